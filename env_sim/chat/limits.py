"""What bounds a client: requests in flight, and tokens a minute. No threads; one event loop."""

import asyncio
import time
from collections.abc import Callable

__all__ = ["TokenBudget"]


class TokenBudget:
    """A bucket that fills evenly up to one minute's tokens; takers wait in the order in which they came."""

    def __init__(self, per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Start full; None for no bound."""
        self.per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute or 0)
        self._filled_at = clock()
        self._turn = asyncio.Lock()

    async def take(self, n_tokens: int) -> None:
        """Wait until the bucket holds this many, then take them; more than a minute's tokens wait for a full one."""
        if self.per_minute is None:
            return
        wanted = min(n_tokens, self.per_minute)
        async with self._turn:
            while (missing := wanted - self._fill()) > 0:
                await asyncio.sleep(missing * 60 / self.per_minute)
            self._left -= n_tokens

    def give_back(self, n_tokens: int) -> None:
        """Return what was taken too much; a negative number takes the rest, if need be on credit."""
        if self.per_minute is not None:
            self._left = min(float(self.per_minute), self._left + n_tokens)

    def _fill(self) -> float:
        assert self.per_minute is not None
        now = self._clock()
        self._left = min(float(self.per_minute), self._left + (now - self._filled_at) * self.per_minute / 60)
        self._filled_at = now
        return self._left

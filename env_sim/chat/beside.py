"""Model users for an engine that has no event loop: they speak in a thread beside it, and their words come as futures.

For the in-process policy, which plays hundreds of sessions at once and must not wait for one user.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from env_sim.chat.episodes import User, episode_seed
from env_sim.chat.user import EndpointUser
from env_sim.sessions import CompactSession, EpisodeSpec, Played
from schemas import Trajectory

__all__ = ["TalkingSession", "talking"]

T = TypeVar("T")


@dataclass
class TalkingSession:
    """A session whose user is a model."""

    session: CompactSession
    user: User
    loop: asyncio.AbstractEventLoop

    def start(self) -> list[int]:
        """As `CompactSession.start`."""
        return self.session.start()

    def reply(self, sampled: list[int]) -> list[int] | Future[list[int] | None] | None:
        """As `CompactSession.reply`; a future when the user was spoken to."""
        ids = self.session.take(sampled)
        if not self.session.episode.user_speaks:
            return ids
        return asyncio.run_coroutine_threadsafe(self._heard(), self.loop)

    def finish(self, played: Played) -> Trajectory:
        """As `CompactSession.finish`."""
        return self.session.finish(played)

    async def _heard(self) -> list[int] | None:
        await self.user.speak(self.session.episode, episode_seed(self.session.spec))
        return self.session.heard()


@contextmanager
def talking(
    factory: Callable[[EpisodeSpec], CompactSession], user: EndpointUser
) -> Iterator[Callable[[EpisodeSpec], TalkingSession]]:
    """The factory with users of a model, while their connections are open; for this process only."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever, name="users", daemon=True)
        thread.start()

        def done(work: Coroutine[object, object, T]) -> T:
            return asyncio.run_coroutine_threadsafe(work, loop).result()

        stack = AsyncExitStack()
        try:
            speaker = done(stack.enter_async_context(user.opened()))
            yield lambda spec: TalkingSession(factory(spec), speaker, loop)
        finally:
            done(stack.aclose())
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

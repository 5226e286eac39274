"""The calls of models that the rows of one table take: a row each in the ledger, replies kept, sums and a bar.

Made once per asset that asks a model. Opens nothing on disk before the first call, so a stage whose roles are programs
leaves no trace.
"""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from tqdm import tqdm

from assets.stage import Stage, table_of
from env_sim.chat.usage import Usage
from schemas.llm_calls import LlmCall

if TYPE_CHECKING:
    from schemas.call_log import CallLog
    from schemas.response_cache import LanceResponseCache

__all__ = ["ModelCalls"]


class ModelCalls:
    """Counts, stores and shows calls; a context manager."""

    def __init__(self, root: str, round: str, made_for: str, total: int = 0) -> None:
        """Nothing is opened yet.

        Args:
            root: The warehouse.
            round: Partition key of the rows that are made.
            made_for: Their table, which also names the bar.
            total: Rows to make, for the bar.
        """
        self.usage = Usage()
        self._root, self._round, self._made_for = root, round, made_for
        self._bar = tqdm(total=total, desc=made_for, leave=False, delay=1)
        self._stack = ExitStack()
        self._cache: LanceResponseCache | None = None
        self._log: CallLog | None = None

    @classmethod
    def of(cls, stage: Stage, made_for: str, total: int = 0) -> Self:
        """The calls of a running asset."""
        return cls(stage.warehouse.root, stage.round, made_for, total)

    def __enter__(self) -> Self:
        """The calls themselves."""
        self._stack.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, also when the stage fails."""
        self._stack.__exit__(kind, error, trace)

    @property
    def cache(self) -> "LanceResponseCache":
        """Replies of earlier runs of this warehouse; not for sampling that must be fresh."""
        if self._cache is None:
            from schemas.response_cache import LanceResponseCache

            self._cache = self._stack.enter_context(LanceResponseCache(self._root))
        return self._cache

    def record(self, call: LlmCall) -> None:
        """Count and keep one call."""
        self.usage.add(call)
        if self._log is None:
            from schemas.call_log import CallLog

            self._log = self._stack.enter_context(CallLog(self._root, self._round, self._made_for))
        self._log.add(call)

    def expecting(self, total: int) -> Callable[[int], None]:
        """`told`, of so many rows."""
        self._bar.total = total
        return self.told

    def told(self, n_done: int) -> None:
        """Move the bar; with calls it shows their rate and cost."""
        self._bar.update(n_done - self._bar.n)
        if self.usage.n_calls:
            self._bar.set_postfix(self.usage.shown(self._bar.format_dict["elapsed"]))

    def metadata(self) -> dict[str, Any]:
        """What a materialization tells of its calls; nothing when there were none."""
        return {"model_calls": self.table()} if self.usage.n_calls else {}

    def table(self) -> dg.MarkdownMetadataValue:
        """The sums as a table."""
        header = ("calls", "cached", "failed", "retries", "input tokens", "output tokens", "usd")
        return table_of(header, [tuple(vars(self.usage).values())])

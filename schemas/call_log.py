"""The ledger of model calls: every call as a row of `llm_calls`, appended in batches, never replaced.

A round's rows are made again after a kill, but its calls were paid for: so this table grows only. A batch is one
commit: a killed run loses at most the batch that it held, and nothing is written twice. No gate guards it, because no
row of the warehouse is made from it: latencies, retries and the order of replies are the clock's, and a run that is
repeated has other ones. Memory holds one batch.
"""

import time
from types import TracebackType
from typing import Self

from schemas.codec import to_arrow
from schemas.columns import table_spec
from schemas.errors import ConcurrentWriteError
from schemas.lance_table import LanceTable, claim_of
from schemas.llm_calls import LlmCall

__all__ = ["TABLE", "CallLog"]

TABLE = "llm_calls"
"""Name of the table."""

BATCH_ROWS = 2048
"""Calls of one append, which is a commit of about 10 ms: five thousand calls a second leave them 1 % of the time."""

FLUSH_S = 2.0
"""Longest time that a call waits for its append while others come in."""

MAX_FRAGMENTS = 64
"""Every batch is a fragment; beyond this they are merged, or scans slow down."""

ATTEMPTS = 20
"""Other processes may append in between; each attempt counts on from theirs."""


class CallLog:
    """Writes the calls that one table's round takes; a context manager."""

    def __init__(self, root: str, round: str, made_for: str) -> None:
        """Nothing is opened before the first batch.

        Args:
            root: The warehouse.
            round: Partition key of the rows that the calls are made for.
            made_for: Their table.
        """
        self.round, self.made_for = round, made_for
        self._table = LanceTable(root, table_spec(TABLE))
        self._waiting: list[LlmCall] = []
        self._flushed_at = time.monotonic()

    def __enter__(self) -> Self:
        """The log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, also when the run fails: what failed was paid for too."""
        self.flush()

    def add(self, call: LlmCall) -> None:
        """Keep one call.

        Raises:
            WarehouseError: When the disk refuses.
        """
        self._waiting.append(call)
        if len(self._waiting) >= BATCH_ROWS or time.monotonic() - self._flushed_at >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what waits, as one commit.

        Raises:
            WarehouseError: When the disk refuses.
        """
        self._flushed_at = time.monotonic()
        if not self._waiting:
            return
        for attempt in range(ATTEMPTS):
            try:
                self._append()
                break
            except ConcurrentWriteError:
                if attempt == ATTEMPTS - 1:
                    raise
        self._waiting.clear()
        self._table.compact(MAX_FRAGMENTS)

    def _append(self) -> None:
        newest = self._table.newest()
        # Two batches may hold equal calls, as the cache answers them; their marks must differ all the same.
        extra = {"made_for": self.made_for, "n_calls_before": newest.count_rows() if newest else 0}
        rows = to_arrow(self._table.spec, self._waiting, self.round, extra=extra)
        # No row fulfils `false`: nothing goes. One claim for all: of two appends at once the later counts again.
        self._table.replace(self.round, "false", rows, claim=claim_of(TABLE))

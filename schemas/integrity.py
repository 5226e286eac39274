"""Whether rows that were read are the rows that were written. Used by `store` alone.

Lance checks its files' structure and not their values: a flipped bit in a page mostly decodes to another number or
word without an error. So every row carries the hash of all rows of its write, and a whole round that is read is hashed
again. What it can't notice: rows of a round that vanished to the last one, and columns that were not read.
"""

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.codec import fingerprint, from_arrow, to_arrow
from schemas.columns import ROUND_FINGERPRINT, TableSpec
from schemas.errors import CorruptTableError, WarehouseError

__all__ = ["require_content"]


def require_content(spec: TableSpec, round: str, rows: pa.Table, files: Callable[[], Sequence[str]]) -> None:
    """Check all columns of a round's rows against the hashes that they carry.

    Args:
        spec: The table's declaration.
        round: The round's key.
        rows: All rows of the round, all columns.
        files: Finds the paths of their data files; called only to name them in the error.

    Raises:
        CorruptTableError: When values differ from those written, or the rows are of several writes.
    """
    written = rows.column(ROUND_FINGERPRINT).unique().to_pylist()
    # Verdicts are written one by one, every other round as a whole.
    if len(written) > 1 and spec.name != "gate_results":
        raise _corrupt(spec, round, f"marks of {len(written)} writes", files)
    for mark in written:
        part = rows if len(written) == 1 else rows.filter(pc.field(ROUND_FINGERPRINT) == mark)
        if not _is(spec, round, part, mark):
            raise _corrupt(spec, round, "other values", files)


def _is(spec: TableSpec, round: str, rows: pa.Table, mark: str) -> bool:
    if fingerprint(rows.drop_columns([ROUND_FINGERPRINT])) == mark:
        return True
    # Equal values may lie in other buffers than they were written from (what stands below a null, for one), so a
    # difference counts only between tables that were built in one way. Slow, and hardly ever needed.
    try:
        extra = {field.name: rows.column(field.name)[0].as_py() for field in spec.extra}
        again = to_arrow(spec, from_arrow(spec, rows), round, extra=extra)
    except (WarehouseError, ValueError):
        return False
    return again.column(ROUND_FINGERPRINT)[0].as_py() == mark


def _corrupt(spec: TableSpec, round: str, got: str, files: Callable[[], Sequence[str]]) -> CorruptTableError:
    return CorruptTableError(
        f"{spec.name}[{round}]: expected the rows as they were written, all of one write, got {got} in "
        f"{', '.join(files())}; restore the file, or write the round again"
    )

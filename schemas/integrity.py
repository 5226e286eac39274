"""Whether rows that were read are the rows that were written. Used by `snapshot` and `rewriting`.

Lance checks its files' structure and not their values: a flipped bit in a page mostly decodes to another number or
word without an error. So every row carries the hash of all rows of its write, and a whole round that is read is hashed
again. What it can't notice: rows of a round that vanished to the last one, and columns that were not read.
"""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.codec import fingerprint
from schemas.columns import ROUND_FINGERPRINT, TableSpec
from schemas.errors import CorruptTableError

__all__ = ["content_hash", "require_content"]


def require_content(
    spec: TableSpec, round: str, rows: pa.Table, rehashed: Mapping[str, str], files: Callable[[], Sequence[str]]
) -> None:
    """Check a round's rows against the hashes that they carry.

    Rows of schema versions without hashes, or whose mark is empty because they were of one, pass unchecked until they
    are migrated.

    Args:
        spec: The table's declaration.
        round: The round's key.
        rows: All rows of the round, all columns, as they are stored.
        rehashed: Mark -> hash of its rows, where a migration made that another one.
        files: Finds the paths of their data files; called only to name them in the error.

    Raises:
        CorruptTableError: When values differ from those written, or the rows are of several writes.
    """
    if ROUND_FINGERPRINT not in rows.schema.names:
        return
    written = rows.column(ROUND_FINGERPRINT).unique().to_pylist()
    # Verdicts, which no gate guards, are written one by one, every other round as a whole.
    if len(written) > 1 and spec.gated:
        raise _corrupt(spec, round, f"marks of {len(written)} writes", files)
    for mark in written:
        part = rows if len(written) == 1 else rows.filter(pc.field(ROUND_FINGERPRINT) == mark)
        if (expected := rehashed.get(mark, mark)) and not _is(part, expected):
            raise _corrupt(spec, round, "other values", files)


def content_hash(rows: pa.Table, like: str = "") -> str:
    """Hash of rows in the columns that they have, their marks left out; the same for equal values in other buffers."""
    plain = rows.drop_columns([ROUND_FINGERPRINT])
    columns = [pa.array(column.to_pylist(), column.type) for column in plain.columns]
    return fingerprint(pa.Table.from_arrays(columns, schema=plain.schema), like)


def _is(rows: pa.Table, expected: str) -> bool:
    if fingerprint(rows.drop_columns([ROUND_FINGERPRINT]), expected) == expected:
        return True
    # Equal values may lie in other buffers than they were written from (what stands below a null, for one), so a
    # difference counts only between tables that were built in one way. Slow, and hardly ever needed.
    try:
        return content_hash(rows, expected) == expected
    except (pa.ArrowException, ValueError):
        return False


def _corrupt(spec: TableSpec, round: str, got: str, files: Callable[[], Sequence[str]]) -> CorruptTableError:
    return CorruptTableError(
        f"{spec.name}[{round}]: expected the rows as they were written, all of one write, got {got} in "
        f"{', '.join(files())}; restore the file, or write the round again"
    )

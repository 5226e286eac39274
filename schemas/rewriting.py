"""Rewrites a table of an older schema version in today's columns. Used by `store` alone.

One commit, and only onto the version that was read; earlier versions stay as they are. Gates' verdicts bind to the
mark that a round's rows carry, so the mark stays, and the table notes which hash the rows have since.
"""

import json

import lance
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import ROUND_FINGERPRINT, TableSpec
from schemas.errors import ConcurrentWriteError
from schemas.faults import LANCE_ERRORS, is_conflict
from schemas.integrity import content_hash
from schemas.lance_table import LanceTable
from schemas.snapshot import REHASHED

__all__ = ["outdated", "rewrite"]


def outdated(table: LanceTable) -> tuple[int, int] | None:
    """Schema version of the newest rows and of today's columns, None when they are the same."""
    found = table.snapshot()
    if found is None or found.upgrade is None:
        return None
    return int(found.dataset.schema.metadata[b"faultline.schema_version"]), table.spec.version


def rewrite(table: LanceTable) -> tuple[int, int] | None:
    """Put today's columns in the place of older ones.

    Returns:
        Schema versions before and after, None when there is nothing to do.

    Raises:
        CorruptTableError: When rows are not as they were written.
        ConcurrentWriteError: When rows were written meanwhile.
        WarehouseError: When the migrations don't lead to today's columns, or the disk refuses.
    """
    found, versions = table.snapshot(), outdated(table)
    if found is None or versions is None:
        return None
    spec = table.spec
    rehashed: dict[str, dict[str, str]] = {}
    with table.writing("all rounds", "migrate"):
        fragments: list[lance.FragmentMetadata] = []
        for round in found.filled():
            rows, rehashed[round] = _marked(spec, found.whole(round))
            fragments += table.write(table.uri, rows, mode="overwrite")
        schema = spec.schema.with_metadata({**(spec.schema.metadata or {}), REHASHED: json.dumps(rehashed)})
        operation = lance.LanceOperation.Overwrite(schema, fragments)
        try:
            # Without retries the commit is the version after the one that was read, or fails.
            lance.LanceDataset.commit(table.uri, operation, read_version=found.version, max_retries=0)
        except LANCE_ERRORS as error:
            if not is_conflict(error):
                raise
            raise ConcurrentWriteError(
                f"{spec.name}: expected version {found.version} while it was migrated, got another's commit; "
                "stop the writers, then migrate again"
            ) from error
    return versions


def _marked(spec: TableSpec, rows: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """A round's rows with their marks, and the hash of the rows of each mark that is no longer that hash."""
    if spec.gated:
        return rows, {rows.column(ROUND_FINGERPRINT)[0].as_py(): content_hash(rows)}
    # Verdicts and calls are written few at a time, and nothing binds to their marks: each write gets its own as if it
    # were of today. Rows of before there were marks may be of many writes, so each of them counts as one.
    column = rows.column(ROUND_FINGERPRINT)
    marks = column.to_pylist()
    for mark in filter(None, column.unique().to_pylist()):
        new = content_hash(rows.filter(pc.field(ROUND_FINGERPRINT) == mark))
        marks = [new if each == mark else each for each in marks]
    marks = [mark or content_hash(rows.slice(place, 1)) for place, mark in enumerate(marks)]
    return rows.set_column(
        spec.schema.get_field_index(ROUND_FINGERPRINT),
        spec.schema.field(ROUND_FINGERPRINT),
        pa.array(marks, pa.string()),
    ), {}

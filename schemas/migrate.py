"""Tables written before every table carried hashes: `python -m schemas.migrate`. Nobody may write meanwhile.

Schema version 2 gave the tables without gates the column `round_fingerprint`. Each such table is rewritten in one
commit; its older versions stay as they are, readable only by the code that wrote them. A second run does nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TextIO

import lance
import pyarrow as pa

from schemas.codec import from_arrow, to_arrow
from schemas.columns import ROUND, TABLES, TableSpec
from schemas.errors import WarehouseError
from schemas.lance_table import LanceTable, equal
from schemas.store import Warehouse
from schemas.terminal import add_warehouse, existing_warehouse, exit_code

__all__ = ["main", "migrate"]


def migrate(warehouse: Warehouse) -> list[str]:
    """Bring all tables to their declared schema; returns the names of those that were rewritten.

    Raises:
        WarehouseError: When a table is of another schema than the one before the declared.
    """
    return [spec.name for spec in TABLES.values() if _migrate(LanceTable(warehouse.root, spec))]


def _migrate(table: LanceTable) -> bool:
    spec = table.spec
    if (dataset := table.newest()) is None or dataset.schema.equals(spec.schema):
        return False
    if spec.gated or dataset.schema.names != spec.schema.names[:-1]:
        raise WarehouseError(
            f"{spec.name}: expected the columns of schema version {spec.version} or of the one before, got "
            f"{', '.join(dataset.schema.names)}; use the code that wrote it"
        )
    with table.damage():
        rounds = dataset.to_table(columns=[ROUND]).column(ROUND).unique().to_pylist()
        old = {key: dataset.to_table(filter=equal(ROUND, key)) for key in rounds}
    new = [_written(spec, key, part) for key, rows in old.items() for part in _writes(spec, rows)]
    rows = pa.concat_tables(new) if new else spec.schema.empty_table()
    lance.write_dataset(rows, table.uri, schema=spec.schema, mode="overwrite")
    return True


def _writes(spec: TableSpec, rows: pa.Table) -> list[pa.Table]:
    """A round's rows as they were written together: verdicts one by one, all else at once."""
    return [rows.slice(place, 1) for place in range(rows.num_rows)] if spec.name == "gate_results" else [rows]


def _written(spec: TableSpec, round: str, rows: pa.Table) -> pa.Table:
    """The rows as a writer of today would give them, from records: a hash of stored buffers could be another."""
    extra = {field.name: rows.column(field.name)[0].as_py() for field in spec.extra}
    return to_arrow(spec, from_arrow(spec, rows), round, extra=extra)


def main(arguments: Sequence[str], out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Run it; returns the exit code: 0, or 2 when a table can't be migrated."""
    parser = argparse.ArgumentParser("python -m schemas.migrate", description="Bring old tables to today's schema.")
    add_warehouse(parser)
    options = parser.parse_args(arguments)

    def run() -> None:
        done = migrate(existing_warehouse(options.warehouse))
        out.write(f"{len(done)} tables rewritten{': ' if done else ''}{', '.join(done)}\n")

    return exit_code(run, err)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

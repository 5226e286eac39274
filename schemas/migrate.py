"""Rewrite old tables in today's columns: `python -m schemas.migrate --warehouse warehouse [--dry-run]`.

Not needed to read them (`schemas.migrations` converts while reading), but to write new rounds beside the old ones, and
to read them as fast as new ones. Each table is replaced in one commit; a killed command leaves whole tables, and the
same command goes on with the others.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import TextIO

from schemas.columns import TABLES
from schemas.store import Warehouse
from schemas.terminal import add_warehouse, existing_warehouse, exit_code

__all__ = ["main"]


def main(arguments: Sequence[str], out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Migrate all tables of a warehouse; returns the exit code: 0, or 2 when the warehouse refuses."""
    parser = argparse.ArgumentParser("python -m schemas.migrate", description="Rewrite old tables in today's columns.")
    add_warehouse(parser)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    options = parser.parse_args(arguments)
    return exit_code(lambda: _migrate(existing_warehouse(options.warehouse), options.dry_run, out), err)


def _migrate(warehouse: Warehouse, dry_run: bool, out: TextIO) -> None:
    done = 0
    for table in TABLES:
        found = warehouse.outdated(table) if dry_run else warehouse.migrate(table)
        if found is not None:
            done += 1
            out.write(f"{table}: schema version {found[0]} -> {found[1]}\n")
    out.write(f"{done} of {len(TABLES)} tables {'to migrate' if dry_run else 'migrated'}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

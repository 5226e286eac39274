"""Whether the warehouse is whole: `python -m schemas.verify`. Reads every row of every round and checks its hash.

`Warehouse.read` checks the rounds that it reads whole; SQL, scans and reads of some columns don't, so run this after
a disk failed or files were copied. Tagged versions are checked with `--tags` too, which reads far more.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TextIO

from schemas.columns import TABLES
from schemas.errors import CorruptTableError, WarehouseError
from schemas.store import Warehouse
from schemas.terminal import add_warehouse, existing_warehouse, exit_code

__all__ = ["damages", "main"]


def damages(warehouse: Warehouse, *, tags: bool = False) -> Iterator[CorruptTableError | None]:
    """One entry per table, round and version that was checked: what is wrong with it, or None.

    Args:
        warehouse: The warehouse.
        tags: Check the tagged versions beside the newest one.

    Raises:
        WarehouseError: When the store is out of reach.
    """
    for table in TABLES:
        versions: list[int | None] = [None]
        with suppress(CorruptTableError):
            # A table whose tags can't be read has no newest version either, which tells of it below.
            versions += sorted({each[table] for each in warehouse.tags().values() if table in each}) if tags else []
        for version in versions:
            try:
                rounds = warehouse.rounds(table, version=version)
            except CorruptTableError as error:
                yield error
                continue
            for round in rounds:
                yield warehouse.damage_of(table, round, version)


def main(arguments: Sequence[str], out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Check a warehouse; returns the exit code: 0 when it is whole, 1 when not, 2 when it can't be checked."""
    parser = argparse.ArgumentParser("python -m schemas.verify", description="Check every row against its hash.")
    add_warehouse(parser)
    parser.add_argument("--tags", action="store_true", help="check all tagged versions too")
    options = parser.parse_args(arguments)
    found: list[WarehouseError] = []

    def check() -> None:
        n_rounds = 0
        for problem in damages(existing_warehouse(options.warehouse), tags=options.tags):
            n_rounds += 1
            if problem:
                found.append(problem)
                out.write(f"{problem}\n")
        out.write(f"{n_rounds} rounds checked, {len(found)} damaged\n")

    return exit_code(check, err) or int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

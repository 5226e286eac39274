"""Upkeep from a terminal: `python -m schemas.maintain --days 30`. Merges small files, removes old untagged versions.

Safe beside readers and writers that began less than `--days` ago. Tagged versions stay, those of every report among
them. The Dagster job `maintenance` does the same.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from schemas.store import Warehouse

__all__ = ["DEFAULT_DAYS", "MIN_DAYS", "main", "maintain"]

DEFAULT_DAYS = 30.0
"""Longer than anybody compares a rerun with the run before."""
MIN_DAYS = 1.0
"""A training that reads one version may last a night; what it reads must not go meanwhile."""


def maintain(warehouse: "Warehouse", days: float) -> dict[str, int]:
    """Compact all tables and remove untagged versions older than this many days; returns bytes freed by table.

    Raises:
        ConfigError: When `days` is less than a run may last.
    """
    if not days >= MIN_DAYS:
        raise ConfigError(f"maintain[--days {days:g}]: expected at least {MIN_DAYS:g}, got less; a run may need them")
    return warehouse.tidy(timedelta(days=days))


def main(arguments: Sequence[str], out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Run it; returns the exit code: 0, or 2 when the warehouse refuses."""
    from schemas.terminal import add_warehouse, existing_warehouse, exit_code

    parser = argparse.ArgumentParser(
        "python -m schemas.maintain", description="Merge small files, remove old untagged versions; tags stay."
    )
    add_warehouse(parser)
    parser.add_argument("--days", type=float, default=DEFAULT_DAYS, help="keep versions younger than this")
    parser.add_argument("--tags", action="store_true", help="only list the tags and their tables' versions")
    options = parser.parse_args(arguments)

    def run() -> None:
        warehouse = existing_warehouse(options.warehouse)
        if options.tags:
            for name, versions in warehouse.tags().items():
                out.write(f"{name}  {' '.join(f'{table}={version}' for table, version in versions.items())}\n")
            return
        freed = maintain(warehouse, options.days)
        out.write(f"{sum(freed.values()):,} bytes freed in {sum(map(bool, freed.values()))} tables\n")

    return exit_code(run, err)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""SQL from a terminal: `python -m schemas.query "select pattern, count(*) from task_pool group by 1"`.

Read-only, for people: gates are not asked. The logic is in `Warehouse.sql`; here are only arguments and printing.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import polars as pl
import pyarrow as pa

from schemas.columns import TABLES
from schemas.errors import WarehouseError
from schemas.store import Warehouse

__all__ = ["main", "render"]

DEFAULT_ROOT = "warehouse"
"""Folder in the working directory, as the presets write it."""


def render(table: pa.Table, style: str) -> str:
    """A result as `table` (for eyes), `csv` or `json` (one object a line); nested values are JSON text in csv."""
    if style == "json":
        return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in table.to_pylist())
    frame = pl.DataFrame(pl.from_arrow(table))
    if style == "csv":
        nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
        text = {
            name: [json.dumps(value, ensure_ascii=False, default=str) for value in table.column(name).to_pylist()]
            for name in nested
        }
        return frame.with_columns(pl.Series(name, values, pl.String) for name, values in text.items()).write_csv()
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        pl.Config.set_tbl_width_chars(160).set_fmt_str_lengths(80)
        return f"{frame}\n{frame.height} rows\n"


def main(arguments: Sequence[str], out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Run one query; returns the exit code: 0, or 2 when the warehouse refuses."""
    parser = argparse.ArgumentParser(
        prog="python -m schemas.query",
        description="Answer one SELECT over the warehouse's tables.",
        epilog="Tables: " + ", ".join(sorted(TABLES)),
    )
    parser.add_argument("sql", help="one SELECT statement")
    parser.add_argument(
        "--root",
        "--warehouse",
        default=os.environ.get("FAULTLINE_WAREHOUSE", DEFAULT_ROOT),
        help="warehouse folder or URI",
    )
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table")
    options = parser.parse_args(arguments)
    try:
        if "://" not in options.root and not os.path.isdir(options.root):
            raise WarehouseError(f"warehouse[{options.root}]: expected a folder, got none; pass --root")
        out.write(render(Warehouse.open(options.root).sql(options.sql), options.format))
    except WarehouseError as error:
        err.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

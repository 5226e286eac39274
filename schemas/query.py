"""SQL from a terminal: `python -m schemas.query "select pattern, count(*) from task_pool group by 1"`.

Read-only, for people: gates are not asked. The logic is in `Warehouse.sql`; here are only arguments and output.
Example questions are in `docs/QUERIES.md`.
"""

import argparse
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.columns import TABLES, TableSpec
from schemas.errors import ConfigError, WarehouseError
from schemas.terminal import add_warehouse, existing_warehouse, exit_code, put_file
from schemas.views import VIEWS, View

__all__ = ["main", "render"]


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
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _answer(options, out), err)


def _answer(options: argparse.Namespace, out: TextIO) -> None:
    if options.format == "parquet" and options.out is None:
        raise ConfigError("query[--format parquet]: expected a file to write, got none; add --out FILE")
    result = existing_warehouse(options.warehouse).sql(options.sql, as_of=_as_of(options.as_of))
    if options.out is None:
        out.write(render(result, options.format))
    else:
        put_file(Path(options.out), _content(result, options.format))
        out.write(f"{result.num_rows} rows in {options.out}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m schemas.query",
        description="Answer one SELECT over the warehouse's tables and views; docs/QUERIES.md has examples.",
        epilog=f"views:\n{_lines(VIEWS)}\n\ntables:\n{_lines(TABLES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sql", help="one SELECT statement")
    add_warehouse(parser)
    parser.add_argument("--format", choices=("table", "csv", "json", "parquet"), default="table")
    parser.add_argument("--out", metavar="FILE", help="write there instead of printing; parquet needs it")
    parser.add_argument(
        "--as-of",
        action="append",
        default=[],
        metavar="ROUND|TABLE=VERSION",
        help="only rows up to a round (round-002), or a table at a version (task_pool=3, repeatable)",
    )
    return parser


def _lines(declared: Mapping[str, View] | Mapping[str, TableSpec]) -> str:
    return "\n".join(f"  {name:24}{declared[name].meaning}" for name in sorted(declared))


def _as_of(values: Sequence[str]) -> str | dict[str, int] | None:
    """The argument of `Warehouse.sql`: one round, or versions by table."""
    if not values:
        return None
    if len(values) == 1 and "=" not in values[0]:
        return values[0]
    versions: dict[str, int] = {}
    for value in values:
        table, _, version = value.partition("=")
        if not (version.isascii() and version.isdigit()) or table in versions:
            raise ConfigError(
                f"query[--as-of {value}]: expected one round such as round-002, or TABLE=VERSION such as task_pool=3 "
                "once per table, got another; fix it"
            )
        versions[table] = int(version)
    return versions


def _content(table: pa.Table, style: str) -> bytes:
    if style != "parquet":
        return render(table, style).encode()
    sink = io.BytesIO()
    try:
        pq.write_table(table, sink)
    except pa.ArrowException as error:
        raise WarehouseError(
            f"query[--format parquet]: expected columns that Parquet can hold, got {error}; cast them in the query"
        ) from error
    return sink.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

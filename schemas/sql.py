"""One SELECT over the declared tables and the ready views, in a DuckDB that reaches nothing else.

Used by `store` alone, which says at which version each table is asked. What it doesn't do: keep anything; every
question gets a database of its own, in memory, gone with the answer.
"""

import re
from collections.abc import Callable

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads

from schemas.columns import ROUND, TABLES, TableSpec
from schemas.errors import CorruptTableError, WarehouseError
from schemas.views import VIEWS, View

__all__ = ["Source", "answer"]

Source = Callable[[TableSpec], pads.Dataset | pa.Table]
"""Where a table's rows are; raises CorruptTableError when it is damaged."""

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
}
"""No files, no network, no peeking at Python variables from SQL."""

_NESTED_FILTER = "nested references in pushdown filters"
"""Lance takes no filter on a field inside a struct (`where reward.success < 1`); DuckDB filters such rows itself."""


_CATALOG = re.compile(r"information_schema|pg_catalog|sqlite_master|duckdb_|pragma_|show", re.IGNORECASE)
"""Questions about the tables themselves."""


def answer(query: str, source: Source, up_to: str | None = None) -> pa.Table:
    """The rows of one SELECT.

    Args:
        query: The SELECT; tables and views are named bare.
        source: Rows of a table.
        up_to: Last round whose rows are seen, in tables and views alike; None for all.

    Raises:
        WarehouseError: When the query isn't one SELECT, or DuckDB refuses it.
        CorruptTableError: When a table that the query needs is damaged.
    """
    every_table = _CATALOG.search(query) is not None
    try:
        return _answer(query, source, up_to, every_table=every_table)
    except duckdb.CatalogException:
        # With all names at hand DuckDB says which one was meant.
        every_table, filters_in_lance = True, True
    except (duckdb.Error, pa.ArrowException) as error:
        if _NESTED_FILTER not in str(error):
            raise _refused(error) from error
        filters_in_lance = False
    try:
        return _answer(query, source, up_to, every_table=every_table, filters_in_lance=filters_in_lance)
    except (duckdb.Error, pa.ArrowException) as error:
        raise _refused(error) from error


def _answer(
    query: str, source: Source, up_to: str | None, *, every_table: bool, filters_in_lance: bool = True
) -> pa.Table:
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        _require_select(connection, query)
        views = [view for view in VIEWS.values() if _names(query, view.name)]
        text = " ".join([query, *(view.sql for view in views)])
        _register_tables(connection, text, source, up_to, every_table=every_table)
        _make_views(connection, views)
        if not filters_in_lance:
            connection.execute("SET disabled_optimizers = 'filter_pushdown'")
        connection.execute("SET lock_configuration = true")
        return connection.sql(query).to_arrow_table()


def _require_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        kinds = [statement.type for statement in connection.extract_statements(query)]
    except duckdb.Error as error:
        raise WarehouseError(f"sql: expected a query, got {error}; fix it") from error
    if kinds != [duckdb.StatementType.SELECT]:
        got = ", ".join(kind.name for kind in kinds) or "nothing"
        raise WarehouseError(f"sql: expected one SELECT, got {got}; the warehouse is read-only from SQL")


def _register_tables(
    connection: duckdb.DuckDBPyConnection, text: str, source: Source, up_to: str | None, *, every_table: bool
) -> None:
    """The tables whose names the text holds: opening all takes longer than most answers, a second on object stores."""
    for name, spec in TABLES.items():
        named = _names(text, name)
        if not named and not every_table:
            continue
        try:
            rows = source(spec)
        except CorruptTableError:
            # A damaged table must not take down questions about the others.
            if named:
                raise
            continue
        if up_to is None:
            connection.register(name, rows)
        else:
            # Round keys sort as text, `bootstrap` before all of them. An expression, not text: nothing to inject into.
            seen = duckdb.ColumnExpression(ROUND) <= duckdb.ConstantExpression(up_to)
            connection.from_arrow(rows).filter(seen).create_view(name)


def _make_views(connection: duckdb.DuckDBPyConnection, views: list[View]) -> None:
    for view in views:
        connection.execute(f"CREATE TEMP VIEW {view.name} AS {view.sql}")


def _names(text: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", text, re.IGNORECASE) is not None


def _refused(error: Exception) -> WarehouseError:
    return WarehouseError(f"sql: expected a query that runs, got {error}; fix it")

"""What Dagster shows of a table's columns: schema and lineage, rendered from the declared columns.

The lineage is that of `schemas.origins`; a column without origins was made where it stands.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from schemas.columns import TABLES, Column, table_spec

__all__ = ["column_lineage", "column_schema", "described", "table_metadata"]


def column_schema(table: str) -> dg.TableSchema:
    """All columns of a table with their fields, as `reward.total` and `messages[].role`.

    Raises:
        UnknownTableError: When no such table is declared.
    """
    spec = table_spec(table)
    walked = (found for column in spec.columns for found in column.walk())
    return dg.TableSchema([_shown(path, column, unique=path == spec.row_id) for path, column in walked])


def _shown(path: str, column: Column, *, unique: bool) -> dg.TableColumn:
    rules = [column.range] if column.range else []
    return dg.TableColumn(
        path,
        type=str(column.type).replace(" not null", "") if not column.fields else _kind(column),
        description=f"{column.meaning} Unit: {column.unit}." if column.unit else column.meaning,
        constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=unique, other=rules),
    )


def _kind(column: Column) -> str:
    """What is inside has rows of its own."""
    return "list<struct>" if column.is_list else "struct"


def column_lineage(table: str) -> dg.TableColumnLineage:
    """Each column's origins; a column that continues its own table (the cluster of the round before) is left out.

    Raises:
        UnknownTableError: When no such table is declared.
    """
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for column, origins in table_spec(table).origins.items():
        pairs = [origin.split(".", 1) for origin in origins]
        found = [dg.TableColumnDep(dg.AssetKey(other), name) for other, name in pairs if other != table]
        if found:
            deps[column] = found
    return dg.TableColumnLineage(deps)


def table_metadata(table: str) -> Mapping[str, Any]:
    """What a table's definition and each of its materializations say about its columns."""
    return {"dagster/column_schema": column_schema(table), "dagster/column_lineage": column_lineage(table)}


def described(assets: Iterable[object]) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The assets, with table, storage, schema version and columns on every one that is a table."""
    known = [asset for asset in assets if isinstance(asset, dg.AssetsDefinition | dg.AssetSpec)]
    return list(dg.map_asset_specs(_described, known))


def _described(spec: dg.AssetSpec) -> dg.AssetSpec:
    table = spec.key.to_user_string()
    if table not in TABLES:
        return spec
    told = {"dagster/table_name": table, "dagster/storage_kind": "lance", "schema_version": table_spec(table).version}
    return spec.merge_attributes(metadata={**told, **table_metadata(table)})

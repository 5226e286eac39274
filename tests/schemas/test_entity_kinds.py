"""Database rows of the first schema version, which knew a shop's entities only, are read as rows of today."""

import json
from pathlib import Path

import pyarrow as pa

from schemas import DatabaseRow
from schemas.columns import TABLES
from schemas.migrations import MIGRATIONS, Upgrade
from tests.schemas.test_schema_history import fields_of

FIRST = json.loads(Path(__file__).with_name("arrow_schemas.json").read_text())["train_databases"]["1"]


def test_columns_of_orders_products_and_items_become_kinds_of_entities():
    ids = {"user_ids": ["ada_fox_1"], "order_ids": ["#W1", "#W2"], "product_ids": ["7"], "item_ids": []}
    others = {"database_id": "db", "n_orders": 2, "n_products": 1, "n_users": 1}
    row = {name: others.get(name, ids.get(name)) for name in FIRST}
    for name, kind in FIRST.items():
        row[name] = row[name] if row[name] is not None else (1 if kind == "int64" else "x")
    spec = TABLES["train_databases"]
    stored = pa.Table.from_pylist([row], schema=pa.schema(fields_of(FIRST)))
    upgraded = Upgrade(
        spec.name, spec.schema, [spec.record], [each for each in MIGRATIONS if each.record is DatabaseRow]
    ).rows(stored, spec.schema.names)
    (found,) = upgraded.to_pylist()
    assert found["entities"] == [{"kind": kind, "ids": listed} for kind, listed in ids.items()]
    assert not found.keys() & {"n_orders", *ids} and found["n_users"] == 1

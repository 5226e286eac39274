"""Promises of the migration: tables without hashes get them, rows and empty rounds stay, a second run does nothing."""

import io

import lance
import pyarrow as pa
import pytest

from schemas import WarehouseError
from schemas.migrate import main
from schemas.store import Warehouse


def age(warehouse: Warehouse, table: str) -> None:
    """Make a table one of schema version 1, as it was without hashes."""
    uri = f"{warehouse.root}/{table}.lance"
    rows = lance.dataset(uri).to_table().drop_columns(["round_fingerprint"])
    old = rows.replace_schema_metadata({"faultline.table": table, "faultline.schema_version": "1"})
    lance.write_dataset(old, uri, mode="overwrite")


def test_an_old_table_is_refused_until_it_is_migrated_and_then_whole(warehouse: Warehouse, make) -> None:
    rounds = {"round-001": [make.outcome("b"), make.outcome("a")], "round-002": [], "round-003": [make.outcome("c")]}
    for key, rows in rounds.items():
        warehouse.replace_round("test_outcomes", key, rows)
    warehouse.replace_round("judge_explanations", "round-001", [make.explanation(1)])
    verdicts = [make.gate("judge_explanations", "round-001", gate=gate) for gate in ("a", "b")]
    for verdict in verdicts:
        warehouse.record_gate(verdict)
    for table in ("test_outcomes", "gate_results"):
        age(warehouse, table)
        with pytest.raises(WarehouseError, match=rf"{table}: .*got version 1; run python -m schemas.migrate"):
            warehouse.read(table)
    out = io.StringIO()
    assert main(["--root", warehouse.root], out) == 0
    assert out.getvalue() == "2 tables rewritten: test_outcomes, gate_results\n"
    assert warehouse.rounds("test_outcomes") == list(rounds)
    for key, rows in rounds.items():
        assert warehouse.read("test_outcomes", key) == rows
    assert warehouse.read("gate_results") == verdicts
    assert warehouse.read("judge_explanations") == [make.explanation(1)]
    warehouse.replace_round("test_outcomes", "round-001", rounds["round-001"])
    assert main(["--root", warehouse.root], out) == 0
    assert out.getvalue().endswith("\n0 tables rewritten\n")


def test_a_table_of_unknown_columns_is_left_alone(warehouse: Warehouse) -> None:
    uri = f"{warehouse.root}/sft_metrics.lance"
    lance.write_dataset(pa.table({"round": ["bootstrap"], "other": [1]}), uri)
    err = io.StringIO()
    assert main(["--root", warehouse.root], io.StringIO(), err) == 2
    assert err.getvalue().startswith("sft_metrics: expected the columns of schema version 2")
    assert lance.dataset(uri).version == 1

"""Promises of the migration about hashes: rows from before them get them, and what the rows are since is checked."""

import io
from pathlib import Path

import lance
import pytest

from schemas import CorruptTableError
from schemas.columns import TABLES
from schemas.migrate import main
from schemas.store import Warehouse


def age(warehouse: Warehouse, table: str) -> None:
    """Make a table of verdicts one of the version before, as it was without hashes."""
    uri = f"{warehouse.root}/{table}.lance"
    rows = lance.dataset(uri).to_table().drop_columns(["round_fingerprint"])
    old = rows.replace_schema_metadata({"faultline.schema_version": str(TABLES[table].version - 1)})
    lance.write_dataset(old, uri, mode="overwrite")


def flip(warehouse: Warehouse, table: str, text: bytes) -> None:
    """Change a bit in every data file that holds a text."""
    for path in Path(warehouse.root, f"{table}.lance", "data").glob("*.lance"):
        content = bytearray(path.read_bytes())
        if (place := content.find(text)) >= 0:
            content[place] ^= 1
            path.write_bytes(content)


def test_verdicts_without_hashes_hold_get_one_each_and_are_replaced_one_by_one(warehouse: Warehouse, make) -> None:
    warehouse.replace_round("judge_explanations", "round-001", [make.explanation(1)])
    verdicts = [make.gate("judge_explanations", "round-001", gate=gate) for gate in ("a", "b")]
    for verdict in verdicts:
        warehouse.record_gate(verdict)
    age(warehouse, "gate_results")
    assert warehouse.read("gate_results") == verdicts
    assert warehouse.read("judge_explanations") == [make.explanation(1)]
    out = io.StringIO()
    assert main(["--warehouse", warehouse.root], out) == 0
    assert out.getvalue().startswith("gate_results: schema version 1 -> 2\n")
    assert warehouse.read("gate_results") == verdicts
    warehouse.record_gate(verdicts[0])
    assert warehouse.read("gate_results") == [verdicts[1], verdicts[0]]
    assert warehouse.read("judge_explanations") == [make.explanation(1)]
    flip(warehouse, "gate_results", b"judge_expl")
    with pytest.raises(CorruptTableError, match="gate_results"):
        warehouse.read("gate_results")


def test_a_migrated_round_keeps_its_mark_and_a_flipped_bit_in_it_is_found(warehouse: Warehouse, make) -> None:
    """Outcomes of before the marks: their verdicts bind to the empty one."""
    rows = [make.outcome("t1"), make.outcome("t2")]
    warehouse.replace_round("test_outcomes", "round-001", rows)
    uri = f"{warehouse.root}/test_outcomes.lance"
    old = lance.dataset(uri).to_table().drop_columns(["round_fingerprint", "n_user_faults"])
    old = old.replace_schema_metadata({"faultline.schema_version": "1"})
    lance.write_dataset(old, uri, mode="overwrite")
    warehouse.record_gate(make.gate("test_outcomes", "round-001"))
    assert warehouse.read("test_outcomes", "round-001") == rows
    assert warehouse.migrate("test_outcomes") == (1, TABLES["test_outcomes"].version)
    assert warehouse.read("test_outcomes", "round-001") == rows
    assert warehouse.read_arrow("test_outcomes", "round-001").column("round_fingerprint").to_pylist() == ["", ""]
    warehouse.replace_round("test_outcomes", "round-002", rows)
    for path in Path(uri, "data").glob("*.lance"):
        path.write_bytes(path.read_bytes().replace(b"ckpt-1", b"ckpt-2"))
    for key in ("round-001", "round-002"):
        with pytest.raises(CorruptTableError, match=rf"test_outcomes\[{key}\].*other values"):
            warehouse.read("test_outcomes", key, allow_ungated=True)

"""Promises of the indices: they change how long a look-up takes, never what it finds."""

from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import schemas.lance_table
from schemas import Record, WarehouseError
from schemas.codec import to_arrow
from schemas.columns import ROUND_FINGERPRINT, TABLES
from schemas.indices import INDEXED_COLUMNS, MIN_ROWS, TEXT_COLUMNS, refresh
from schemas.store import Warehouse


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tables of any size are indexed."""
    monkeypatch.setattr(schemas.lance_table, "refresh", lambda dataset, spec: refresh(dataset, spec, min_rows=1))
    return


def indices(warehouse: Warehouse, table: str) -> dict[str, int]:
    """Indexed columns, and how many rows the index of each covers."""
    dataset = lance.dataset(f"{warehouse.root}/{table}.lance")
    return {index.field_names[0]: index.num_rows_indexed for index in dataset.describe_indices()}


def test_indexed_columns_are_declared_ones() -> None:
    for table, columns in INDEXED_COLUMNS.items():
        assert set(columns) <= set(TABLES[table].schema.names)
    for table, column in TEXT_COLUMNS.items():
        assert column in TABLES[table].schema.names


def test_a_small_table_has_no_index_and_a_large_one_has(warehouse: Warehouse, make) -> None:
    rows = to_arrow(TABLES["task_pool"], [make.pool_task("t")], "round-001").drop_columns(["round", ROUND_FINGERPRINT])
    warehouse.replace_round("task_pool", "round-001", rows)
    assert indices(warehouse, "task_pool") == {}
    warehouse.replace_round("task_pool", "round-002", rows.take(pa.repeat(0, MIN_ROWS)))
    assert indices(warehouse, "task_pool") == {"task_id": MIN_ROWS + 1}
    assert warehouse.find("task_pool", {"task_id": ["t"]}, ["task_id"]).num_rows == MIN_ROWS + 1


def test_a_replaced_round_is_indexed_again(warehouse: Warehouse, make, eager: None) -> None:
    for number in (1, 2, 3):
        warehouse.replace_round("task_pool", f"round-00{number}", [make.pool_task(f"t{number}")])
    warehouse.replace_round("task_pool", "round-002", [make.pool_task("t4"), make.pool_task("t5")])
    assert indices(warehouse, "task_pool") == {"task_id": 4}


KEYS = st.sampled_from(["round-001", "round-002", "round-003"])


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=st.lists(st.tuples(KEYS, st.lists(st.sampled_from("abc"), max_size=3)), min_size=1, max_size=6))
def test_an_indexed_look_up_finds_what_a_dict_of_rounds_holds(tmp_path_factory, make, eager, writes) -> None:
    warehouse = Warehouse.open(tmp_path_factory.mktemp("w"))
    model: dict[str, list[str]] = {}
    for key, names in writes:
        model[key] = names
        warehouse.replace_round("task_pool", key, [make.pool_task(name) for name in names])
        for name in "abc":
            found = warehouse.find("task_pool", {"task_id": [name]}, ["round", "task_id"]).to_pylist()
            held = sorted(round for round, ids in model.items() for each in ids if each == name)
            assert sorted(row["round"] for row in found) == held


def test_a_look_up_of_nothing_finds_nothing_and_odd_ids_are_only_ids(warehouse: Warehouse, make) -> None:
    odd = "it's` OR true --"
    warehouse.replace_round("task_pool", "round-001", [make.pool_task("t1"), make.pool_task(odd)])
    assert warehouse.find("task_pool", {"task_id": []}, ["task_id"]).num_rows == 0
    assert warehouse.find("task_pool", {"task_id": [odd, "'"]}, ["task_id"]).to_pylist() == [{"task_id": odd}]


def columns_of(rows: list[Record]) -> pa.Table:
    """As a columnar writer brings them."""
    return to_arrow(TABLES["task_pool"], rows, "round-009").drop_columns(["round", ROUND_FINGERPRINT])


def test_columns_are_stored_as_their_records_are(tmp_path: Path, make) -> None:
    rows = [make.pool_task("t2"), make.pool_task("t1")]
    one, other = Warehouse.open(tmp_path / "one"), Warehouse.open(tmp_path / "other")
    one.replace_round("task_pool", "round-001", rows)
    other.replace_round("task_pool", "round-001", columns_of(rows).select(columns_of(rows).column_names[::-1]))
    stored = [each.read_arrow("task_pool", "round-001", allow_ungated=True) for each in (one, other)]
    assert stored[0].equals(stored[1], check_metadata=True)
    assert other.read("task_pool", "round-001", allow_ungated=True) == rows


def test_columns_that_are_not_the_tables_are_refused(warehouse: Warehouse, make) -> None:
    good = columns_of([make.pool_task("t1")])
    null = pa.array([None], pa.string())
    for bad in (
        good.drop_columns(["weight"]),
        good.append_column("more", pa.array([1])),
        good.set_column(good.column_names.index("weight"), "weight", pa.array(["heavy"])),
        good.set_column(0, "task_id", null),
    ):
        with pytest.raises(WarehouseError, match=r"task_pool\[round-001\]: expected the columns task_id"):
            warehouse.replace_round("task_pool", "round-001", bad)
    assert warehouse.version("task_pool") == 0


def test_batches_hold_the_rows_in_order_and_few_at_a_time(warehouse: Warehouse, make) -> None:
    for number in (1, 2):
        warehouse.replace_round("test_outcomes", f"round-00{number}", [make.outcome(f"t{number}{i}") for i in range(5)])
    parts = list(
        warehouse.batches(
            "test_outcomes", ["round-002", "round-001"], allow_ungated=True, columns=["task_id"], n_rows=2
        )
    )
    assert max(part.num_rows for part in parts) <= 2
    ids = [row["task_id"] for part in parts for row in part.to_pylist()]
    assert ids == [f"t{number}{i}" for number in (2, 1) for i in range(5)]
    assert list(warehouse.batches("test_rollouts")) == []

"""Promises of the warehouse: rounds are replaced whole, read back equal, and asked for by name."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import (
    BOOTSTRAP,
    ConfigError,
    Record,
    UnknownRoundError,
    UnknownTableError,
    WarehouseError,
)
from schemas.store import Warehouse


def test_a_round_comes_back_equal_and_in_order(warehouse: Warehouse, make) -> None:
    rows = [make.outcome(f"t{number}") for number in (3, 1, 2)]
    assert warehouse.replace_round("test_outcomes", "round-001", rows) == warehouse.version("test_outcomes")
    assert warehouse.read("test_outcomes", "round-001", allow_ungated=True) == rows


def test_replacing_a_round_leaves_the_others_and_never_doubles(warehouse: Warehouse, make) -> None:
    one, two = [make.outcome("a")], [make.outcome("b"), make.outcome("c")]
    warehouse.replace_round("test_outcomes", "round-001", one)
    warehouse.replace_round("test_outcomes", "round-002", two)
    for _ in range(2):
        warehouse.replace_round("test_outcomes", "round-001", one)
    assert warehouse.read("test_outcomes", allow_ungated=True) == one + two
    assert warehouse.read("test_outcomes", rounds=["round-002", "round-001"], allow_ungated=True) == two + one
    assert warehouse.rounds("test_outcomes") == ["round-001", "round-002"]


def test_a_replacement_is_one_version(warehouse: Warehouse, make) -> None:
    first = warehouse.replace_round("test_outcomes", BOOTSTRAP, [make.outcome("a")])
    assert warehouse.replace_round("test_outcomes", BOOTSTRAP, [make.outcome("b")]) == first + 1


def test_an_empty_round_is_not_an_unknown_one(warehouse: Warehouse, make) -> None:
    warehouse.replace_round("test_outcomes", "round-001", [])
    assert warehouse.read("test_outcomes", "round-001", allow_ungated=True) == []
    warehouse.replace_round("test_outcomes", "round-002", [make.outcome("a")])
    warehouse.replace_round("test_outcomes", "round-002", [])
    assert warehouse.read("test_outcomes", "round-002", allow_ungated=True) == []
    assert warehouse.rounds("test_outcomes") == ["round-001", "round-002"]
    warehouse.replace_round("test_outcomes", "round-001", [make.outcome("b")])
    assert warehouse.read("test_outcomes", allow_ungated=True) == [make.outcome("b")]


def test_an_old_version_stays_readable(warehouse: Warehouse, make) -> None:
    old = warehouse.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    warehouse.replace_round("test_outcomes", "round-001", [make.outcome("b")])
    warehouse.replace_round("test_outcomes", "round-002", [])
    assert warehouse.read("test_outcomes", "round-001", version=old, allow_ungated=True) == [make.outcome("a")]
    assert warehouse.rounds("test_outcomes", version=old) == ["round-001"]
    with pytest.raises(WarehouseError, match=r"test_outcomes: expected a version in 1\.\.\d, got 99"):
        warehouse.read("test_outcomes", "round-001", version=99, allow_ungated=True)


def test_an_unknown_round_names_those_that_exist(warehouse: Warehouse, make) -> None:
    with pytest.raises(UnknownRoundError, match="there is none"):
        warehouse.read("test_outcomes", "round-001", allow_ungated=True)
    warehouse.replace_round("test_outcomes", "round-002", [make.outcome("a")])
    with pytest.raises(UnknownRoundError, match=r"test_outcomes\[round-001\].*round-002"):
        warehouse.read("test_outcomes", "round-001", allow_ungated=True)


def test_an_unknown_table_is_refused_by_every_door(warehouse: Warehouse) -> None:
    doors = [
        lambda: warehouse.read("nope"),
        lambda: warehouse.scan("nope"),
        lambda: warehouse.rounds("nope"),
        lambda: warehouse.version("nope"),
        lambda: warehouse.replace_round("nope", "round-001", []),
    ]
    for door in doors:
        with pytest.raises(UnknownTableError, match="task_pool"):
            door()


@pytest.mark.parametrize("key", ["round-1", "x' OR 1=1 --", "../up", ""])
def test_a_malformed_round_is_refused_before_anything_is_written(warehouse: Warehouse, key: str) -> None:
    with pytest.raises(ConfigError):
        warehouse.replace_round("test_outcomes", key, [])
    assert warehouse.version("test_outcomes") == 0


def test_verdicts_cannot_be_replaced_wholesale(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match="record_gate"):
        warehouse.replace_round("gate_results", "round-001", [])


def test_round_and_rounds_together_are_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match="got both"):
        warehouse.read("test_outcomes", "round-001", rounds=["round-001"], allow_ungated=True)


def test_scan_filters_and_projects_before_it_loads(warehouse: Warehouse, make) -> None:
    assert warehouse.scan("test_outcomes").collect().height == 0
    for number in (1, 2):
        warehouse.replace_round("test_outcomes", f"round-00{number}", [make.outcome(f"t{number}")])
    lazy = warehouse.scan("test_outcomes").filter(pl.col("round") == "round-002").select("task_id")
    assert lazy.collect()["task_id"].to_list() == ["t2"]
    plan = lazy.explain()
    assert "PROJECT 2/" in plan
    assert "SELECTION" in plan


def test_read_arrow_reads_only_the_columns_asked_for(warehouse: Warehouse, make) -> None:
    warehouse.replace_round("test_outcomes", BOOTSTRAP, [make.outcome("a")])
    found = warehouse.read_arrow("test_outcomes", BOOTSTRAP, columns=["task_id"], allow_ungated=True)
    assert found.to_pydict() == {"task_id": ["a"]}


def test_the_root_is_made_and_a_file_is_refused(tmp_path: Path) -> None:
    assert Path(Warehouse.open(tmp_path / "a" / "b").root).is_dir()
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(WarehouseError, match="expected a folder"):
            Warehouse.open(root)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\n", "x" * 200])
def test_a_checkpoint_id_cannot_leave_the_warehouse(warehouse: Warehouse, name: str) -> None:
    with pytest.raises(ConfigError, match="checkpoint"):
        warehouse.checkpoint_dir(name)


def test_a_checkpoint_folder_lies_under_the_root(warehouse: Warehouse) -> None:
    assert warehouse.checkpoint_dir("ckpt-0a1b") == Path(warehouse.root, "checkpoints", "ckpt-0a1b")


def test_a_uri_root_works_like_a_folder_for_tables(tmp_path: Path, make) -> None:
    remote = Warehouse.open(f"file-object-store://{tmp_path}/far")
    remote.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    remote.replace_round("test_outcomes", "round-001", [make.outcome("b")])
    assert remote.read("test_outcomes", allow_ungated=True) == [make.outcome("b")]
    with pytest.raises(ConfigError, match="local root"):
        remote.checkpoint_dir("ckpt-1")


ROUNDS = st.sampled_from([BOOTSTRAP, "round-001", "round-002"])


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=st.lists(st.tuples(ROUNDS, st.lists(st.sampled_from("abc"), max_size=3)), max_size=5))
def test_any_sequence_of_writes_equals_a_dict_of_rounds(tmp_path_factory, make, writes) -> None:
    warehouse = Warehouse.open(tmp_path_factory.mktemp("w"))
    model: dict[str, list[Record]] = {}
    for key, names in writes:
        model[key] = [make.outcome(name) for name in names]
        warehouse.replace_round("test_outcomes", key, model[key])
    assert warehouse.rounds("test_outcomes") == sorted(model)
    for key, rows in model.items():
        assert warehouse.read("test_outcomes", key, allow_ungated=True) == rows

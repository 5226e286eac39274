"""Promises of `as_of`: a round hides what came later, a version shows a table as it was, and neither is SQL text."""

import io
import json

import pytest

from schemas import UnknownRoundError, UnknownTableError, WarehouseError
from schemas.columns import TABLES
from schemas.query import main
from schemas.store import Warehouse

HOSTILE = ["round-001' or '1'='1", "round-001'; drop view task_pool; --", "", "round-1", "ROUND-001", "bootstrap' --"]


def rounds_of(warehouse: Warehouse, as_of: str | dict[str, int] | None) -> list[str]:
    rows = warehouse.sql("select distinct round from task_pool order by 1", as_of=as_of)
    return rows.column("round").to_pylist()


def test_a_round_hides_the_rows_of_later_rounds_in_tables_and_views(filled: Warehouse) -> None:
    assert rounds_of(filled, None) == ["round-001", "round-002"]
    assert rounds_of(filled, "round-002") == ["round-001", "round-002"]
    assert rounds_of(filled, "round-001") == ["round-001"]
    view = filled.sql("select distinct round from pool_by_pattern", as_of="round-001")
    assert view.to_pylist() == [{"round": "round-001"}]


def test_the_bootstrap_comes_before_every_round(filled: Warehouse, make) -> None:
    filled.replace_round("sft_tasks", "bootstrap", [make.task()])
    assert filled.sql("select * from sft_tasks", as_of="round-001").num_rows == 1
    assert filled.sql("select * from sft_tasks", as_of="bootstrap").num_rows == 1
    assert rounds_of(filled, "bootstrap") == []


def test_every_table_can_be_asked_as_of_a_round(filled: Warehouse) -> None:
    counts = ", ".join(f"(select count(*) from {table}) as {table}" for table in TABLES)
    (row,) = filled.sql(f"select {counts}", as_of="round-001").to_pylist()
    assert {table: n for table, n in row.items() if n} == {
        "executable_tasks": 3,
        "rl_rollouts": 4,
        "task_pool": 2,
        "validation_outcomes": 3,
    }


def test_rows_filtered_by_a_value_inside_a_struct_are_still_those_of_the_round(filled: Warehouse, make) -> None:
    filled.replace_round("rl_rollouts", "round-002", [make.rl_rollout(9, train_step=0, success=0.0)])
    query = "select count(*) as n from rl_rollouts where reward.success < 1"
    assert filled.sql(query).to_pylist() == [{"n": 3}]
    assert filled.sql(query, as_of="round-001").to_pylist() == [{"n": 2}]


def test_a_version_shows_one_table_as_it_was_and_the_others_as_they_are(filled: Warehouse, make) -> None:
    before = filled.version("task_pool")
    filled.replace_round("task_pool", "round-002", [make.pool_task("t9", added_in="round-002")])
    query = "select p.task_id, e.executable from task_pool p join executable_tasks e using (task_id) order by 1"
    assert filled.sql(query).to_pylist() == filled.sql(query, as_of={}).to_pylist()
    assert filled.sql("select * from task_pool", as_of={"task_pool": before}).num_rows == 5
    assert filled.sql("select * from task_pool").num_rows == 3
    assert filled.sql("select sum(n_tasks) as n from pool_by_pattern", as_of={"task_pool": before}).to_pylist() == [
        {"n": 5}
    ]


def test_unknown_rounds_versions_and_tables_are_told_apart(filled: Warehouse) -> None:
    with pytest.raises(UnknownRoundError, match=r"as of 'round-009'.*round-001, round-002.*got another; give one"):
        filled.sql("select 1", as_of="round-009")
    with pytest.raises(WarehouseError, match=r"task_pool: expected a version in 1\.\.3, got 9"):
        filled.sql("select 1", as_of={"task_pool": 9})
    with pytest.raises(WarehouseError, match=r"sft_tasks: expected a version in 1\.\.0, got 1"):
        filled.sql("select 1", as_of={"sft_tasks": 1})
    with pytest.raises(UnknownTableError, match="pool_by_pattern"):
        filled.sql("select 1", as_of={"pool_by_pattern": 1})


@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_is_injected_through_a_round_or_a_table(filled: Warehouse, value: str) -> None:
    with pytest.raises(UnknownRoundError):
        filled.sql("select * from task_pool", as_of=value)
    with pytest.raises(UnknownTableError):
        filled.sql("select * from task_pool", as_of={value: 1})
    assert filled.sql("select * from task_pool").num_rows == 5


def ask(root: str, *arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = main(["select count(*) as n from task_pool", "--format", "json", "--root", root, *arguments], out, err)
    return code, out.getvalue(), err.getvalue()


def test_the_command_line_takes_a_round_or_versions(filled: Warehouse) -> None:
    assert json.loads(ask(filled.root, "--as-of", "round-001")[1]) == {"n": 2}
    assert json.loads(ask(filled.root, "--as-of", "task_pool=2", "--as-of", "rl_rollouts=2")[1]) == {"n": 2}
    assert json.loads(ask(filled.root, "--as-of", "task_pool=3")[1]) == {"n": 5}


@pytest.mark.parametrize(
    "values",
    [
        *([value] for value in HOSTILE),
        ["task_pool=1; drop view task_pool"],
        ["task_pool=-1"],
        ["task_pool=0"],
        ["task_pool="],
        ["task_pool=99"],
        ["=1"],
        ["x=1"],
        ["task_pool=2", "task_pool=3"],
        ["round-001", "task_pool=2"],
        ["round-001", "round-002"],
    ],
)
def test_the_command_line_refuses_other_values_in_one_line(filled: Warehouse, values: list[str]) -> None:
    code, out, err = ask(filled.root, *(part for value in values for part in ("--as-of", value)))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "expected" in err

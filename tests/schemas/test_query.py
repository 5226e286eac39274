"""Promises of SQL: the questions people ask are one SELECT each, and nothing but a SELECT gets through."""

import io
import json
from pathlib import Path

import pytest

from schemas import WarehouseError
from schemas.query import main
from schemas.store import Warehouse


@pytest.fixture
def filled(warehouse: Warehouse, make) -> Warehouse:
    first = [make.pool_task("t1"), make.pool_task("t2", pattern="changing_intent")]
    warehouse.replace_round("task_pool", "round-001", first)
    warehouse.replace_round("task_pool", "round-002", [*first, make.pool_task("t3", added_in="round-002")])
    verdicts = [make.verdict("t1"), make.verdict("t2", reason="no-op"), make.verdict("t4", reason="no-op")]
    warehouse.replace_round("executable_tasks", "round-001", verdicts)
    outcomes = [make.outcome("t1", pattern="a", n_successes=1), make.outcome("t2", pattern="a", n_successes=3)]
    warehouse.replace_round("validation_outcomes", "round-001", [*outcomes, make.outcome("t3", pattern="b")])
    rollouts = [make.rl_rollout(n, train_step=n // 2, success=float(n % 2)) for n in range(4)]
    warehouse.replace_round("rl_rollouts", "round-001", rollouts)
    return warehouse


def test_pool_by_pattern_and_round(filled: Warehouse) -> None:
    result = filled.sql("select round, pattern, count(*) as n from task_pool group by all order by all")
    assert [tuple(row.values()) for row in result.to_pylist()] == [
        ("round-001", "changing_intent", 1),
        ("round-001", "wrong_variant", 1),
        ("round-002", "changing_intent", 1),
        ("round-002", "wrong_variant", 2),
    ]


def test_rejection_reasons(filled: Warehouse) -> None:
    result = filled.sql("select reason, count(*) as n from executable_tasks where not executable group by 1")
    assert result.to_pylist() == [{"reason": "no-op", "n": 2}]


def test_pass_rate_per_pattern(filled: Warehouse) -> None:
    result = filled.sql(
        "select pattern, sum(n_successes) / sum(n_trials) as rate from validation_outcomes group by 1 order by 1"
    )
    assert result.to_pylist() == [{"pattern": "a", "rate": 0.5}, {"pattern": "b", "rate": 0.25}]


def test_reward_parts_per_training_step(filled: Warehouse) -> None:
    result = filled.sql(
        "select train_step, avg(reward.success) as success, avg(reward.action_checks) as checks,"
        " avg(reward.repeats) as repeats from rl_rollouts group by 1 order by 1"
    )
    assert result.to_pylist()[0] == {"train_step": 0, "success": 0.5, "checks": 0.5, "repeats": 1.0}
    assert result.num_rows == 2


def test_nested_values_are_reached_from_sql(filled: Warehouse) -> None:
    result = filled.sql(
        "select distinct call.name, json_extract_string(call.arguments, '$.order_id') as order_id"
        " from (select unnest(writes) as call from rl_rollouts)"
    )
    assert result.to_pylist() == [{"name": "cancel_pending_order", "order_id": "#W1"}]


def test_rows_are_filtered_by_a_value_inside_a_struct(filled: Warehouse) -> None:
    result = filled.sql("select count(*) as n from rl_rollouts where reward.success < 1")
    assert result.to_pylist() == [{"n": 2}]


def test_every_declared_table_can_be_asked_before_it_is_written(warehouse: Warehouse) -> None:
    assert warehouse.sql("select * from pass_hat_k_report").num_rows == 0


@pytest.mark.parametrize(
    "query",
    [
        "delete from task_pool",
        "insert into task_pool select * from task_pool",
        "create table x as select 1",
        "copy task_pool to 'x.csv'",
        "attach 'x.db'",
        "set threads = 1",
        "pragma database_list",
        "install httpfs",
        "select 1; drop view task_pool",
        "call duckdb_tables()",
        "",
        "-- nothing",
        "selec 1",
    ],
)
def test_all_but_one_select_is_refused(warehouse: Warehouse, query: str) -> None:
    with pytest.raises(WarehouseError, match=r"^sql: expected"):
        warehouse.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('{path}')",
        "select * from read_csv('{path}')",
        "select * from '{path}'",
        "select * from glob('{path}')",
        "select getenv('HOME')",
        "select * from secret",
        "select * from query('copy (select 1) to ''{path}''')",
    ],
)
def test_sql_reaches_no_file_and_no_python_variable(warehouse: Warehouse, tmp_path: Path, query: str) -> None:
    secret = warehouse.sql("select 1 as x")
    path = tmp_path / "secret.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(WarehouseError, match=r"^sql: expected a query that runs"):
        warehouse.sql(query.format(path=path))
    assert secret.num_rows == 1
    assert path.read_text() == "a,b\n1,2\n"


def ask(root: str, *arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = main([*arguments, "--root", root], out, err)
    return code, out.getvalue(), err.getvalue()


def test_the_command_line_prints_a_table_csv_or_json(filled: Warehouse) -> None:
    query = "select pattern, count(*) as n from task_pool group by 1 order by 1"
    code, text, _ = ask(filled.root, query)
    assert code == 0
    assert "wrong_variant" in text
    assert "2 rows" in text
    assert ask(filled.root, query, "--format", "csv")[1] == "pattern,n\nchanging_intent,2\nwrong_variant,3\n"
    lines = ask(filled.root, query, "--format", "json")[1].splitlines()
    assert json.loads(lines[1]) == {"pattern": "wrong_variant", "n": 3}


def test_nested_columns_survive_csv(filled: Warehouse) -> None:
    text = ask(filled.root, "select reward from rl_rollouts limit 1", "--format", "csv")[1]
    assert '""success"": 0.0' in text


def test_the_command_line_explains_a_refusal_in_one_line(filled: Warehouse, tmp_path: Path) -> None:
    code, out, err = ask(filled.root, "delete from task_pool")
    assert (code, out) == (2, "")
    assert "read-only" in err
    code, _, err = ask(str(tmp_path / "nowhere"), "select 1")
    assert code == 2
    assert "nowhere" in err
    assert not (tmp_path / "nowhere").exists()

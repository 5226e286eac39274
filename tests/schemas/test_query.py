"""Promises of SQL: the questions people ask are one SELECT each, and nothing but a SELECT gets through."""

import io
import json
from pathlib import Path

import polars as pl
import pytest

from schemas import WarehouseError
from schemas.columns import TABLES
from schemas.query import main
from schemas.store import Warehouse
from schemas.views import VIEWS


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


AS_OF = (None, "round-001", {"task_pool": 2})


@pytest.mark.parametrize(
    "query",
    [
        "delete from task_pool",
        "insert into task_pool select * from task_pool",
        "insert into pool_by_pattern select * from pool_by_pattern",
        "update task_pool set pattern = 'x'",
        "create table x as select 1",
        "create or replace view pool_by_pattern as select 1",
        "drop view pool_by_pattern",
        "alter view task_pool rename to x",
        "copy task_pool to 'x.csv'",
        "copy (select * from pool_by_pattern) to 'x.parquet' (format parquet)",
        "export database 'x'",
        "attach 'x.db'",
        "set threads = 1",
        "set enable_external_access = true",
        "reset lock_configuration",
        "pragma database_list",
        "install httpfs",
        "load httpfs",
        "select 1; drop view task_pool",
        "select * from pool_by_pattern; select 1",
        "call duckdb_tables()",
        "",
        "-- nothing",
        "selec 1",
    ],
)
def test_all_but_one_select_is_refused(filled: Warehouse, query: str) -> None:
    for as_of in AS_OF:
        with pytest.raises(WarehouseError, match=r"^sql: expected"):
            filled.sql(query, as_of=as_of)
    assert not {path.name for path in Path.cwd().iterdir()} & {"x", "x.csv", "x.parquet", "x.db"}


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('{path}')",
        "select * from read_blob('{path}')",
        "select * from read_csv('{path}')",
        "select * from read_parquet('{path}')",
        "select * from read_json('{path}')",
        "select * from sniff_csv('{path}')",
        "select * from parquet_metadata('{path}')",
        "select * from pool_by_pattern, read_csv('{path}')",
        "with pool_by_pattern as (from read_csv('{path}')) select * from pool_by_pattern",
        "select * from '{path}'",
        "select * from glob('{path}')",
        "select getenv('HOME')",
        "select * from secret",
        "select * from python_arrow_scan()",
        "select * from query('copy (select 1) to ''{path}''')",
    ],
)
def test_sql_reaches_no_file_and_no_python_variable(filled: Warehouse, tmp_path: Path, query: str) -> None:
    secret = filled.sql("select 1 as x")
    path = tmp_path / "secret.csv"
    path.write_text("a,b\n1,2\n")
    for as_of in AS_OF:
        with pytest.raises(WarehouseError, match=r"^sql: expected a query that runs"):
            filled.sql(query.format(path=path), as_of=as_of)
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


def test_a_result_is_written_to_a_file_in_every_format(filled: Warehouse, tmp_path: Path) -> None:
    query = "select pattern, count(*) as n, list(task_id order by task_id) as ids from task_pool group by 1 order by 1"
    for style in ("table", "csv", "json"):
        path = tmp_path / f"rows.{style}"
        code, text, _ = ask(filled.root, query, "--format", style, "--out", str(path))
        assert (code, text) == (0, f"2 rows in {path}\n")
        assert path.read_text() == ask(filled.root, query, "--format", style)[1]
    path = tmp_path / "rows.parquet"
    assert ask(filled.root, query, "--format", "parquet", "--out", str(path))[0] == 0
    assert pl.read_parquet(path).to_dicts() == filled.sql(query).to_pylist()


def test_parquet_without_a_file_is_refused_with_the_remedy(filled: Warehouse) -> None:
    code, out, err = ask(filled.root, "select 1", "--format", "parquet")
    assert (code, out) == (2, "")
    assert err == "query[--format parquet]: expected a file to write, got none; add --out FILE\n"


def test_a_file_is_replaced_whole_or_not_at_all(filled: Warehouse, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_text("old")
    code, _, err = ask(filled.root, "select interval 1 day", "--format", "parquet", "--out", str(path))
    assert code == 2
    assert "cast them in the query" in err
    assert path.read_text() == "old"
    for place in (tmp_path, tmp_path / "nowhere" / "rows", path / "rows"):
        code, _, err = ask(filled.root, "select 1", "--out", str(place))
        assert code == 2
        assert f"{place}: expected to write the file" in err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["rows.parquet", "warehouse"]


def test_the_help_lists_every_table_and_view_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name, declared in {**TABLES, **VIEWS}.items():
        assert f"  {name:24}{declared.meaning}\n" in text

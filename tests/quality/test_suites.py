"""Expectations: built from the records, decided by Great Expectations, offenders named by Polars."""

import os
import subprocess
import sys
import time

import polars as pl
import pytest

from quality.suites import Rule, flat_columns, rules_for, run_suite
from schemas.codec import to_arrow
from schemas.columns import TABLES, table_spec
from schemas.errors import GateError, UnknownTableError
from tests.quality.builders import make_explanation, make_pass_hat_k, make_task, make_trajectory


def make_frame() -> pl.DataFrame:
    """Three stored tasks with the ids a, b, c."""
    table = to_arrow(table_spec("sft_tasks"), [make_task(i) for i in range(3)], "bootstrap")
    return pl.DataFrame(pl.from_arrow(table)).with_columns(pl.Series("task_id", ["a", "b", "c"]))


def test_rules_render_bounds_enums_ids_and_struct_fields() -> None:
    rules = rules_for("validation_rollouts")
    assert Rule("trajectory_id", "unique") in rules
    assert Rule("reward.success", "between", low=0, high=1) in rules
    assert Rule("trial", "between", low=0) in rules
    assert "infrastructure" in next(rule for rule in rules if rule.column == "stop_reason" and rule.values).values
    assert Rule("share", "between", low=0, high=1, above=True) in rules_for("failure_clusters")
    assert Rule("task_id", "unique") in rules_for("task_pool")
    assert Rule("added_in", "not_blank") in rules_for("task_pool")
    assert not any(rule.kind == "unique" for rule in rules_for("pass_hat_k_report"))


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_rule_names_a_stored_column(table: str) -> None:
    names = set(table_spec(table).schema.names)
    assert set(flat_columns(table)) <= names


def test_a_good_round_passes_from_the_stored_columns() -> None:
    rows = [make_trajectory(i) for i in range(3)]
    result = run_suite(
        "validation_rollouts", "round-001", to_arrow(table_spec("validation_rollouts"), rows, "round-001")
    )
    assert result.passed, result.message
    assert result.n_rows == 3 and result.numbers["n_expectations"] > 15
    tasks = to_arrow(table_spec("sft_tasks"), [make_task(0), make_task(1)], "bootstrap")
    assert run_suite("sft_tasks", "bootstrap", tasks).passed
    report = to_arrow(table_spec("pass_hat_k_report"), [make_pass_hat_k()], "round-001")
    assert run_suite("pass_hat_k_report", "round-001", report).passed
    explanations = to_arrow(table_spec("judge_explanations"), [make_explanation()], "round-001")
    assert run_suite("judge_explanations", "round-001", explanations).passed


@pytest.mark.parametrize(
    ("column", "values", "words", "bad"),
    [
        ("intent", ["plain", "angry", "plain"], "intent in", ("b",)),
        ("task_id", ["a", "b", "b"], "task_id unique", ("b",)),
        ("domain", ["retail", None, "retail"], "domain not_null", ("b",)),
        ("domain", ["retail", "retail", ""], "domain not_blank", ("c",)),
    ],
)
def test_a_bad_value_is_named_with_its_row(column: str, values: list[str | None], words: str, bad: tuple[str]) -> None:
    frame = make_frame().with_columns(pl.Series(column, values))
    result = run_suite("sft_tasks", "round-001", frame)
    assert not result.passed and words in result.message and result.bad_ids == bad
    assert result.numbers["n_failed"] == 1


def test_numbers_out_of_range_and_nan_are_found() -> None:
    rows = [make_pass_hat_k(k=k).model_dump() for k in (1, 2, 3, 4)]
    rows[1]["pass_hat_k"], rows[2]["pass_hat_k"], rows[3]["k"] = 1.5, float("nan"), 0
    frame = pl.DataFrame(rows).with_columns(pl.lit("round-001").alias("round"))
    result = run_suite("pass_hat_k_report", "round-001", frame)
    assert result.bad_ids == ("row 1", "row 2", "row 3")
    assert "pass_hat_k in [0, 1]" in result.message and "k in [1, None]" in result.message


def test_an_empty_round_passes_and_a_missing_column_raises() -> None:
    assert run_suite("sft_tasks", "round-001", make_frame().head(0)).passed
    with pytest.raises(GateError, match="intent"):
        run_suite("sft_tasks", "round-001", make_frame().drop("intent"))
    with pytest.raises(UnknownTableError):
        run_suite("nonsense", "round-001", make_frame())


def test_a_warm_run_is_fast_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    frame = make_frame()
    run_suite("sft_tasks", "round-001", frame)
    started = time.perf_counter()
    run_suite("sft_tasks", "round-001", frame)
    assert time.perf_counter() - started < 5
    assert capfd.readouterr() == ("", "")


def test_importing_the_room_loads_no_heavy_library() -> None:
    heavy = "great_expectations", "sklearn", "matplotlib", "torch", "pandas"
    code = "import sys, quality.gates, quality.suites, quality.clusters, quality.plots, quality.report\n"
    code += f"assert not set({heavy}) & set(sys.modules), set({heavy}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": "."})

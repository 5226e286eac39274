"""Promises of the declared columns."""

import pyarrow as pa
import pytest

from schemas import UnknownTableError
from schemas.columns import TABLES, RlRollout, TableSpec, table_spec

EACH = pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)


@EACH
def test_every_table_starts_with_its_round_and_says_its_schema_version(spec: TableSpec) -> None:
    assert spec.schema.names[0] == "round"
    assert spec.schema.metadata[b"faultline.schema_version"] == b"1"
    assert len(set(spec.schema.names)) == len(spec.schema.names)


@EACH
def test_every_column_has_one_line_of_meaning(spec: TableSpec) -> None:
    for field in spec.schema:
        meaning = field.metadata[b"meaning"].decode()
        assert meaning
        assert "\n" not in meaning


@EACH
def test_a_gated_table_carries_the_fingerprint_that_verdicts_bind_to(spec: TableSpec) -> None:
    assert ("round_fingerprint" in spec.schema.names) == spec.gated


def test_the_tables_are_these() -> None:
    ungated = {name for name, spec in TABLES.items() if not spec.gated}
    assert ungated == {
        "base_checkpoint",
        "baseline_test_outcomes",
        "embeddings",
        "gate_results",
        "near_duplicates",
        "pass_hat_k_report",
        "reward_ablation_report",
        "rl_checkpoint",
        "rl_metrics",
        "round_policy",
        "sft_checkpoint",
        "sft_metrics",
        "test_outcomes",
        "validation_outcomes",
    }
    assert set(TABLES) - ungated == {
        "baseline_test_rollouts",
        "executable_tasks",
        "failure_clusters",
        "injected_tasks",
        "judge_explanations",
        "rl_rollouts",
        "sft_tasks",
        "sft_trajectories",
        "source_trajectories",
        "task_pool",
        "test_databases",
        "test_rollouts",
        "test_tasks",
        "train_databases",
        "validation_databases",
        "validation_rollouts",
        "validation_tasks",
    }


def test_types_are_typed_structs_and_narrow_where_declared() -> None:
    schema = TABLES["rl_rollouts"].schema
    assert schema.field("token_ids").type.value_type == pa.int32()
    assert schema.field("assistant_mask").type.value_type == pa.bool_()
    assert schema.field("logprobs").type.value_type == pa.float32()
    assert schema.field("train_step").type == pa.int32()
    assert schema.field("advantage").type == pa.float32()
    calls = schema.field("messages").type.value_type.field("tool_calls").type.value_type
    assert calls.field("arguments").type == pa.string()
    assert not schema.field("reward").nullable
    assert schema.field("reward").type.field("total").type == pa.float64()


def test_a_pooled_task_is_flattened_to_the_top() -> None:
    names = TABLES["task_pool"].schema.names
    assert "pattern" in names
    assert "task" not in names


def test_docstrings_of_records_become_meanings() -> None:
    columns = {column.name: column.meaning for column in TABLES["rl_rollouts"].columns}
    assert columns["train_step"] == "Optimizer step that sampled it."
    assert "never re-tokenized" in columns["token_ids"]
    assert RlRollout.__mro__[1].__name__ == "Trajectory"


def test_an_unknown_table_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(UnknownTableError, match=r"warehouse\[nope\].*task_pool"):
        table_spec("nope")

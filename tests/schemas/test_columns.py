"""Promises of the declared columns."""

import json

import pyarrow as pa
import pytest

from schemas import ConfigError, Record, RlRollout, UnknownTableError
from schemas.columns import TABLES, TableSpec, table_spec
from schemas.fields import column_of

EACH = pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)


@EACH
def test_every_table_starts_with_its_round_and_says_its_schema_version(spec: TableSpec) -> None:
    assert spec.schema.names[0] == "round"
    assert spec.schema.metadata[b"faultline.schema_version"] == str(spec.version).encode()
    assert len(set(spec.schema.names)) == len(spec.schema.names)


@EACH
def test_every_column_has_one_line_of_meaning(spec: TableSpec) -> None:
    for field in spec.schema:
        meaning = field.metadata[b"meaning"].decode()
        assert meaning
        assert "\n" not in meaning


@EACH
def test_every_number_has_a_unit_at_any_depth(spec: TableSpec) -> None:
    """Say it in the name (n_tasks, duration_s) or as `Annotated[float, Unit("nats")]`."""
    for column in spec.columns:
        for path, inner in column.walk():
            kind = inner.type.value_type if inner.is_list else inner.type
            assert bool(inner.unit) == (pa.types.is_integer(kind) or pa.types.is_floating(kind)), path


@EACH
def test_origins_name_columns_of_the_same_type(spec: TableSpec) -> None:
    for column, origins in spec.origins.items():
        for origin in origins:
            table, _, name = origin.partition(".")
            kind, other = spec.schema.field(column).type, TABLES[table].schema.field(name).type
            assert other in (kind, getattr(kind, "value_type", None)), origin


def test_what_is_inside_a_column_is_declared_on_its_arrow_field() -> None:
    metadata = TABLES["rl_rollouts"].schema.field("reward").metadata
    inside = json.loads(metadata[b"fields"])
    assert inside["reward.success"]["unit"] == "share"
    assert inside["reward.success"]["range"] == "[0, 1]"
    calls = json.loads(TABLES["rl_rollouts"].schema.field("messages").metadata[b"fields"])
    assert calls["messages[].tool_calls[].name"] == {"meaning": "Name of the tool.", "range": "not blank"}
    assert TABLES["sft_metrics"].schema.field("duration_s").metadata[b"unit"] == b"s"
    assert TABLES["failure_clusters"].schema.field("share").metadata[b"range"] == b"(0, 1]"


class Undocumented(Record):
    blank: int
    strange: complex = 0j
    """Has no Arrow counterpart."""


@pytest.mark.parametrize(("name", "said"), [("blank", "one line of meaning"), ("strange", "an Arrow counterpart")])
def test_a_field_without_meaning_or_arrow_type_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"columns\[Undocumented.{name}\]: expected .*{said}"):
        column_of(Undocumented, name)


@EACH
def test_a_table_carries_the_fingerprint_that_verdicts_bind_to_and_readers_check(spec: TableSpec) -> None:
    assert spec.schema.names[-1] == "round_fingerprint"


def test_the_tables_are_these_and_all_but_the_verdicts_are_gated() -> None:
    assert {name for name, spec in TABLES.items() if not spec.gated} == {"gate_results", "gate_waivers"}
    assert {name for name, spec in TABLES.items() if spec.gated} == {
        "base_checkpoint",
        "baseline_test_outcomes",
        "baseline_test_rollouts",
        "baseline_test_violations",
        "embeddings",
        "executable_tasks",
        "failure_clusters",
        "injected_tasks",
        "judge_explanations",
        "near_duplicates",
        "pass_hat_k_report",
        "reward_ablation_report",
        "rl_checkpoint",
        "rl_metrics",
        "rl_rollouts",
        "rl_violations",
        "round_policy",
        "sft_checkpoint",
        "sft_metrics",
        "sft_tasks",
        "sft_trajectories",
        "source_trajectories",
        "task_pool",
        "test_databases",
        "test_outcomes",
        "test_rollouts",
        "test_tasks",
        "test_violations",
        "train_databases",
        "validation_databases",
        "validation_outcomes",
        "validation_rollouts",
        "validation_tasks",
        "validation_violations",
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

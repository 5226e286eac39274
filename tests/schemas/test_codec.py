"""Promises of the codec: nothing is lost between records and Arrow."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from schemas import BOOTSTRAP, CorruptTableError, Criteria, Record, WarehouseError
from schemas.codec import fingerprint, from_arrow, to_arrow
from schemas.columns import TABLES

_CHECKED = {"checked_version": 1, "checked_fingerprint": "f"}
EXTRA: Mapping[str, Mapping[str, object]] = {
    "gate_results": _CHECKED,
    "gate_waivers": _CHECKED,
    "llm_calls": {"made_for": "judge_explanations", "n_calls_before": 0},
}
FLOAT32 = {"logprobs", "advantage"}
INT32 = {"token_ids", "train_step"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def values_of(annotation: Any, name: str) -> st.SearchStrategy[Any]:
    """Values of a field's type; bounds come from trying them against the field."""
    origin, args = get_origin(annotation), get_args(annotation)
    if name == "arguments":
        return st.dictionaries(st.text(max_size=4), JSON, max_size=3)
    if origin in (Union, UnionType):
        return st.one_of(*(values_of(arg, name) for arg in args))
    if origin is tuple:
        return st.lists(values_of(args[0], name), min_size=1, max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=4), st.floats(allow_nan=False), max_size=3)
    if hasattr(annotation, "__metadata__"):
        return values_of(args[0], name)
    if annotation is type(None):
        return st.none()
    if annotation is str:
        return st.text(min_size=1, max_size=6)
    if annotation is int:
        return st.integers(1, 2**31 - 1 if name in INT32 else 2**63 - 1)
    if annotation is float:
        return st.floats(allow_nan=False, width=32 if name in FLOAT32 else 64)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return rows_of(annotation)
    return st.from_type(annotation)


def rows_of(record: type[Record]) -> st.SearchStrategy[Any]:
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, info in record.model_fields.items():
        adapter = TypeAdapter(info.rebuild_annotation())
        fields[name] = values_of(info.annotation, name).filter(lambda v, a=adapter: valid(a, v))
    if "patience" in fields:
        fields["patience"] = st.integers(1, 20)
    if record.__name__ in ("GateResult", "GateWaiver"):
        fields["round"] = st.just("round-001")
    for name in ("success", "action_checks", "share", "silhouette", "stability_ari", "pass_hat_k", "ci_low", "ci_high"):
        if name in fields:
            fields[name] = st.floats(0, 1, exclude_min=True)
    return st.builds(record, **fields)


def valid(adapter: TypeAdapter[Any], value: object) -> bool:
    try:
        adapter.validate_python(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", sorted({spec.record: spec.name for spec in TABLES.values()}.values()))
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_every_record_comes_back_equal_and_with_the_same_fingerprint(name: str, data: st.DataObject) -> None:
    spec, extra = TABLES[name], EXTRA.get(name)
    rows = data.draw(st.lists(rows_of(spec.record), max_size=3))
    table = to_arrow(spec, rows, "round-001", extra=extra)
    table.validate(full=True)
    assert table.schema.equals(spec.schema, check_metadata=True)
    back = from_arrow(spec, table)
    assert back == rows
    assert fingerprint(to_arrow(spec, back, "round-001", extra=extra)) == fingerprint(table)


def test_the_order_of_rows_is_part_of_the_fingerprint(make) -> None:
    spec = TABLES["validation_rollouts"]
    one, two = make.trajectory(1), make.trajectory(2)
    prints = {to_arrow(spec, rows, BOOTSTRAP)["round_fingerprint"][0].as_py() for rows in ([one, two], [two, one])}
    assert len(prints) == 2


def test_log_probabilities_are_kept_to_32_bits(make) -> None:
    spec = TABLES["validation_rollouts"]
    row = make.trajectory().model_copy(update={"logprobs": (-0.1, 0.0, 0.0)})
    (back,) = from_arrow(spec, to_arrow(spec, [row], BOOTSTRAP))
    assert back.logprobs[0] == float(np.float32(-0.1))  # type: ignore[attr-defined]


@pytest.mark.parametrize("arguments", [{"x": "\ud83d"}, {"x": float("inf")}, {"b": 1, "a": {"é": []}}])
def test_odd_arguments_of_a_model_are_stored_and_not_lost(make, arguments: dict[str, Any]) -> None:
    spec = TABLES["validation_rollouts"]
    row = make.trajectory()
    row = row.model_copy(update={"writes": (row.writes[0].model_copy(update={"arguments": arguments}),)})
    assert from_arrow(spec, to_arrow(spec, [row], BOOTSTRAP)) == [row]


def test_a_row_of_another_record_is_refused(make) -> None:
    with pytest.raises(
        WarehouseError, match=r"rl_rollouts\[round-001\]: expected RlRollout rows, got Trajectory at row 0"
    ):
        to_arrow(TABLES["rl_rollouts"], [make.trajectory()], "round-001")


def test_a_token_id_beyond_32_bits_is_refused_with_its_row(make) -> None:
    rows = [make.trajectory(), make.trajectory().model_copy(update={"token_ids": (2**31,)})]
    with pytest.raises(WarehouseError, match=r"validation_rollouts\[bootstrap\].token_ids: .* at row 1"):
        to_arrow(TABLES["validation_rollouts"], rows, BOOTSTRAP)


def test_a_row_of_another_round_is_refused(make) -> None:
    gate = make.gate("task_pool", "round-002")
    with pytest.raises(WarehouseError, match="round-002"):
        to_arrow(TABLES["gate_results"], [gate], "round-001", extra=EXTRA["gate_results"])


def test_a_stored_row_that_is_no_record_is_named(make) -> None:
    spec = TABLES["test_outcomes"]
    row = make.outcome("t").model_copy(update={"n_trials": -1})
    with pytest.raises(CorruptTableError, match=r"test_outcomes\[row 0\]"):
        from_arrow(spec, to_arrow(spec, [row], BOOTSTRAP))


def test_criteria_keep_their_own_rule_through_the_codec(make) -> None:
    task = make.task().model_copy(update={"criteria": Criteria(transfer=True)})
    assert from_arrow(TABLES["sft_tasks"], to_arrow(TABLES["sft_tasks"], [task], BOOTSTRAP)) == [task]

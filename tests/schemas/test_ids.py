"""Promises of content-derived ids and round keys."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ConfigError, content_id, round_key, round_number, task_id, trajectory_id
from schemas.ids import canonical_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_the_order_of_keys_and_the_kind_of_sequence_do_not_change_an_id() -> None:
    assert content_id("x", {"a": 1, "b": (1, 2)}) == content_id("x", {"b": [1, 2], "a": 1})


def test_an_id_is_pinned_because_stored_rows_carry_it() -> None:
    assert content_id("x", {"a": [1, "é", None, 0.5]}) == "x-948bc668e84a8af3"
    assert trajectory_id("task-1", "ckpt-1", 0, 7) == trajectory_id("task-1", "ckpt-1", 0, 7)
    assert trajectory_id("task-1", "ckpt-1", 0, 7) != trajectory_id("task-1", "ckpt-1", 7, 0)


@given(JSON, JSON)
def test_different_values_have_different_spellings(one: object, other: object) -> None:
    assert (canonical_json(one) == canonical_json(other)) == (repr_of(one) == repr_of(other))


def repr_of(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{repr_of(value[key])}" for key in sorted(value)) + "}"
    return "[" + ",".join(map(repr_of, value)) + "]" if isinstance(value, list) else repr(value)


@pytest.mark.parametrize("value", [{1, 2}, b"x", float("nan"), object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="canonical_json"):
        content_id("x", value)


def test_half_an_emoji_still_has_an_id() -> None:
    assert content_id("x", "\ud83d").startswith("x-")


@pytest.mark.parametrize("prefix", ["", "A", "a/b", "../a", "a--b", "-a"])
def test_a_prefix_that_is_no_file_name_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        content_id(prefix, 1)


def test_a_task_id_depends_on_what_is_asked_and_not_on_where_it_came_from(make) -> None:
    task = make.task()
    parts: dict[str, Any] = {name: getattr(task, name) for name in task_id.__annotations__ if name != "return"}
    assert task_id(**parts) == task_id(**parts)
    other: dict[str, Any] = {**parts, "database_id": "db-2"}
    assert task_id(**parts) != task_id(**other)
    assert not {"made_by", "cluster_id", "source_trajectory_id"} & set(parts)


def test_round_keys_and_numbers_are_inverse_and_sort_as_text() -> None:
    keys = [round_key(number) for number in range(1, 1000)]
    assert keys[0] == "round-001"
    assert [round_number(key) for key in keys] == list(range(1, 1000))
    assert keys == sorted(keys)


@pytest.mark.parametrize("number", [0, -1, 1000])
def test_a_round_number_out_of_bounds_is_refused(number: int) -> None:
    with pytest.raises(ConfigError, match=f"round_key\\[{number}\\]"):
        round_key(number)


@pytest.mark.parametrize("key", ["bootstrap", "round-1", "round-000", "round-0001", "round-001\n", "round-١٢٣", ""])
def test_a_malformed_round_key_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="round_number"):
        round_number(key)


def test_importing_schemas_loads_neither_arrow_nor_lance() -> None:
    code = (
        "import sys, schemas; print([m for m in ('pyarrow', 'lance', 'polars', 'duckdb', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_exist_and_are_named_once() -> None:
    import schemas

    assert len(schemas.__all__) == len(set(schemas.__all__))
    assert all(hasattr(schemas, name) for name in schemas.__all__)

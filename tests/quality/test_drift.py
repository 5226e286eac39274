"""Drift: what should stay alike refuses, what is meant to move is told, chance is neither."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.drift import MIN_ROWS, STABLE, drift
from quality.gates import gates_for
from schemas import StopReason
from schemas.records import Record
from tests.quality.builders import make_explanation, make_task, make_trajectory
from tests.quality.stored import LAST, ROUND, context_of, result_of

SERIES = st.lists(st.sampled_from("abc"), min_size=1, max_size=80).map(pl.Series)


def tasks(n: int, **changes: object) -> list[Record]:
    return [make_task(i, **changes) for i in range(n)]


@settings(deadline=None, max_examples=50)  # the first example imports the library
@given(SERIES, SERIES)
def test_the_distance_is_symmetric_in_0_to_1_and_0_for_the_same_sample(one: pl.Series, other: pl.Series) -> None:
    found = drift(one, other)
    assert 0 <= found.distance <= 1 + 1e-9
    assert found.distance == pytest.approx(drift(other, one).distance)
    assert drift(one, one).distance == 0


def test_the_distance_is_worked_out_by_hand() -> None:
    # JSD of (1, 0) and (1/2, 1/2): H(3/4, 1/4) - H(1/2, 1/2) / 2 = 0.8113 - 0.5 bit; the distance is its root.
    found = drift(pl.Series(["a"] * 100), pl.Series(["a", "b"] * 50))
    assert found.distance == pytest.approx(0.3113**0.5, abs=1e-3)
    assert not found.is_chance
    assert found.most == "a: 100% to 50%"
    assert drift(pl.Series(["a"] * 60), pl.Series(["b"] * 60)).distance == pytest.approx(1)


def test_small_rounds_and_small_differences_are_chance() -> None:
    assert drift(pl.Series(["a"] * (MIN_ROWS - 1)), pl.Series(["b"] * 500)).is_chance
    assert drift(pl.Series(["a", "b"] * 50), pl.Series(["a"] * 52 + ["b"] * 48)).is_chance


def test_numbers_are_compared_in_bins_of_the_last_round() -> None:
    before = pl.Series(list(range(100)))
    assert drift(before, before + 0).distance == 0
    assert drift(before, before + 50).distance > 0.5
    assert drift(pl.Series([7] * 100), pl.Series([7] * 100)).distance == 0


def test_the_first_round_passes_and_an_unreadable_last_one_is_told() -> None:
    rows = tasks(60)
    first = context_of({("injected_tasks", ROUND): rows}, rounds=(ROUND,))
    assert result_of("steady", "injected_tasks", rows, first).passed
    lost = result_of("steady", "injected_tasks", rows, context_of({("injected_tasks", ROUND): rows}))
    assert lost.passed and "not compared" in lost.message


def test_patterns_may_follow_the_failures_but_a_change_of_the_writer_is_refused() -> None:
    before, now = tasks(60, pattern="wrong_order"), tasks(60, pattern="wrong_address")
    moved = context_of({("injected_tasks", LAST): before, ("injected_tasks", ROUND): now})
    result = result_of("steady", "injected_tasks", now, moved)
    assert result.passed and result.numbers["drift_pattern"] == pytest.approx(1)
    assert "pattern moved by 1.00" in result.message and "patterns follow the failures" in result.message
    other = tasks(60, pattern="wrong_order", made_by="grammar-writer/9")
    result = result_of(
        "steady",
        "injected_tasks",
        other,
        context_of({("injected_tasks", LAST): before, ("injected_tasks", ROUND): other}),
    )
    assert not result.passed and "maker moved" in result.message and "the last round" in result.message


def test_a_policy_may_get_better_but_not_collapse() -> None:
    good = [make_trajectory(i, float(i % 10 > 1)) for i in range(100)]
    bad = [make_trajectory(i, float(i % 10 > 5)) for i in range(100)]
    lost = [make_trajectory(i, stop_reason=StopReason.INFRASTRUCTURE, messages=()) for i in range(100, 400)]
    table = "validation_rollouts"
    rising = context_of({(table, LAST): bad, (table, ROUND): good})
    assert result_of("not_collapsed", table, good, rising).passed
    falling = context_of({(table, LAST): [*good, *lost], (table, ROUND): bad})
    result = result_of("not_collapsed", table, bad, falling)
    assert not result.passed and "fell from 80% in round-001 to 40%" in result.message


def test_the_judges_blame_should_stay_alike() -> None:
    table = "judge_explanations"
    before = [make_explanation(i) for i in range(60)]
    now = [make_explanation(i, blame="task") for i in range(60)]
    result = result_of("steady", table, now, context_of({(table, LAST): before, (table, ROUND): now}))
    assert not result.passed and "blame moved" in result.message


def test_drift_without_a_reader_of_columns_is_a_failed_gate() -> None:
    rows = tasks(3)
    result = result_of("steady", "injected_tasks", rows, context_of({}, frame=None))
    assert not result.passed and "GateContext.frame" in result.message


@pytest.mark.parametrize("table", STABLE)
def test_every_compared_table_has_the_gate(table: str) -> None:
    assert "steady" in {gate.name for gate in gates_for(table)}

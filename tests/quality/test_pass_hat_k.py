"""Pass^k: worked numbers, intervals, pairing, and what is refused."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.pass_hat_k import (
    bootstrap_interval,
    outcomes,
    paired_difference,
    pass_hat_k,
    report,
    table_text,
)
from quality.plots import success_by_pattern
from schemas import StopReason, UserFault, UserFaultKind
from schemas.errors import MetricError
from tests.quality.builders import make_outcome, make_task, make_trajectory


@pytest.mark.parametrize(
    ("successes", "trials", "k", "expected"),
    [(3, 4, 1, 0.75), (3, 4, 2, 0.5), (3, 4, 3, 0.25), (3, 4, 4, 0), (4, 4, 4, 1), (0, 4, 1, 0), (5, 8, 2, 10 / 28)],
)
def test_pass_hat_k_gives_the_worked_numbers(successes: int, trials: int, k: int, expected: float) -> None:
    assert math.isclose(pass_hat_k(successes, trials, k), expected)


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 7))
def test_pass_hat_k_is_the_share_of_all_draws_that_succeed_throughout(trials: list[bool], k: int) -> None:
    if k > len(trials):
        with pytest.raises(MetricError):
            pass_hat_k(sum(trials), len(trials), k)
        return
    draws = [all(draw) for draw in combinations(trials, k)]
    assert math.isclose(pass_hat_k(sum(trials), len(trials), k), sum(draws) / len(draws))


@pytest.mark.parametrize(("successes", "trials", "k"), [(1, 4, 5), (1, 4, 0), (5, 4, 1), (-1, 4, 1), (0, 0, 1)])
def test_impossible_counts_are_refused(successes: int, trials: int, k: int) -> None:
    with pytest.raises(MetricError):
        pass_hat_k(successes, trials, k)


def test_infrastructure_failures_leave_the_trials_and_are_counted() -> None:
    task = make_task()
    rows = [
        make_trajectory(0, 1.0, task_id=task.task_id),
        make_trajectory(1, 0.0, task_id=task.task_id),
        make_trajectory(2, 0.0, task_id=task.task_id, stop_reason=StopReason.INFRASTRUCTURE),
    ]
    (outcome,) = outcomes(rows, [task], seed=7)
    assert (outcome.n_trials, outcome.n_successes, outcome.n_excluded, outcome.seed) == (2, 1, 1, 7)


def test_user_faults_leave_the_trials_and_are_counted_apart() -> None:
    task = make_task()
    fault = UserFault(kind=UserFaultKind.LEFT_EARLY, turn=0, evidence="left satisfied, but nothing was done")
    rows = [
        make_trajectory(0, 1.0, task_id=task.task_id),
        make_trajectory(1, 0.0, task_id=task.task_id, user_fault=fault),
        make_trajectory(2, 1.0, task_id=task.task_id, user_fault=fault),
        make_trajectory(3, 0.0, task_id=task.task_id, stop_reason=StopReason.INFRASTRUCTURE, user_fault=fault),
    ]
    (outcome,) = outcomes(rows, [task])
    assert (outcome.n_trials, outcome.n_successes, outcome.n_excluded, outcome.n_user_faults) == (1, 1, 3, 2)
    (line,) = report([outcome], ks=(1,))
    assert (line.pass_hat_k, line.n_excluded, line.n_user_faults) == (1.0, 3, 2)
    assert table_text([line]).endswith("3 (2 by the user)")


def test_a_task_that_the_user_spoilt_in_every_trial_is_kept_and_leaves_the_estimates() -> None:
    spoilt, sound = make_task(0, pattern="wrong_variant"), make_task(1, pattern="wrong_order")
    fault = UserFault(kind=UserFaultKind.REVEALED, turn=0, evidence="unasked")
    rows = [
        make_trajectory(0, 0.0, task_id=spoilt.task_id, user_fault=fault),
        make_trajectory(0, 1.0, task_id=sound.task_id),
    ]
    found = outcomes(rows, [spoilt, sound])
    assert [(row.n_trials, row.n_user_faults) for row in found] == [(0, 1), (1, 0)]
    (line,) = report(found, ks=(1,))
    assert (line.pass_hat_k, line.n_tasks) == (1.0, 1)
    assert list(success_by_pattern(found)) == ["wrong_order"]


def test_a_task_never_played_or_lost_altogether_is_refused() -> None:
    played, missing = make_task(0), make_task(1)
    rows = [make_trajectory(0, 1.0, task_id=played.task_id)]
    with pytest.raises(MetricError, match="no episode"):
        outcomes(rows, [played, missing])
    lost = [make_trajectory(0, task_id=played.task_id, stop_reason=StopReason.INFRASTRUCTURE)]
    with pytest.raises(MetricError, match="infrastructure"):
        outcomes(lost, [played])


def test_unknown_tasks_and_repeated_trials_are_refused() -> None:
    task = make_task()
    row = make_trajectory(0, task_id=task.task_id)
    with pytest.raises(MetricError, match="twice"):
        outcomes([row, row], [task])
    with pytest.raises(MetricError, match="task-0"):
        outcomes([make_trajectory(0)], [task])


def test_the_report_orders_policies_and_holds_each_mean_in_its_interval() -> None:
    policies = ["rl-round-002", "sft", "base", "rl-round-001"]
    rows = [make_outcome(f"t{i}", i % 5, policy=policy) for policy in policies for i in range(40)]
    lines = report(rows, seed=3)
    assert [line.policy for line in lines[::4]] == ["base", "sft", "rl-round-001", "rl-round-002"]
    assert [line.k for line in lines[:4]] == [1, 2, 3, 4]
    assert all(line.ci_low < line.pass_hat_k < line.ci_high for line in lines)
    assert math.isclose(lines[0].pass_hat_k, 0.5)
    assert report(list(reversed(rows)), seed=3) == lines
    assert report(rows, seed=4) != lines


def test_a_task_short_of_trials_leaves_only_the_larger_k_and_only_with_a_counted_reason() -> None:
    rows = [make_outcome("a", 4), make_outcome("b", 3, trials=3, n_excluded=1)]
    lines = report(rows)
    assert [line.n_tasks for line in lines] == [2, 2, 2, 1]
    assert lines[0].n_excluded == 1
    with pytest.raises(MetricError, match="k <= trials"):
        report([make_outcome("a", 4), make_outcome("b", 3, trials=3)])
    with pytest.raises(MetricError, match="none of 1"):
        report([make_outcome("b", 3, trials=3, n_excluded=1)])


def test_a_report_of_nothing_or_of_a_task_twice_is_refused() -> None:
    with pytest.raises(MetricError, match="got none"):
        report([])
    with pytest.raises(MetricError, match="one row per task"):
        report([make_outcome("a"), make_outcome("a")])


def test_the_interval_covers_the_truth_about_as_often_as_it_claims() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        low, high = bootstrap_interval(rng.binomial(4, 0.6, size=80) / 4, 400, seed)
        hits += low <= 0.6 <= high
    assert 0.9 <= hits / 200 <= 0.99


def test_pairing_sees_a_difference_that_unpaired_intervals_hide() -> None:
    baseline = [make_outcome(f"t{i}", i % 4) for i in range(40)]
    candidate = [make_outcome(f"t{i}", i % 4 + (i % 2), policy="rl-round-001") for i in range(40)]
    difference = paired_difference(baseline, candidate, k=1)
    assert math.isclose(difference.mean, 0.125)
    assert difference.ci_low > 0 and difference.p_value < 0.01
    assert (difference.n_better, difference.n_worse, difference.n_tasks) == (20, 0, 40)
    back = paired_difference(candidate, baseline, k=1)
    assert math.isclose(back.mean, -0.125) and back.p_value == difference.p_value


def test_no_difference_has_p_one_and_other_tasks_are_refused() -> None:
    rows = [make_outcome(f"t{i}", 2) for i in range(5)]
    same = paired_difference(rows, [make_outcome(f"t{i}", 2, policy="x") for i in range(5)], k=1)
    assert (same.mean, same.p_value) == (0, 1)
    with pytest.raises(MetricError, match="unpaired"):
        paired_difference(rows, rows[1:], k=1)


def test_the_printed_table_has_one_line_per_policy_in_order() -> None:
    rows = report([make_outcome(f"t{i}", 4, policy=p) for p in ("sft", "base") for i in range(3)])
    lines = table_text(rows).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["base", "sft"]
    assert "100.0 [100.0, 100.0]" in lines[2]
    assert len({len(line) for line in lines}) == 1

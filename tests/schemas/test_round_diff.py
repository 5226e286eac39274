"""Promises of the comparison of two rounds."""

import io
from types import SimpleNamespace

import pytest

from schemas import ConfigError, PassHatK, UnknownRoundError
from schemas.round_diff import PatternChange, diff, main, text
from schemas.store import Warehouse
from tests.schemas.test_trace import cluster

FIRST, SECOND, THIRD = "round-001", "round-002", "round-003"


def heir(name: str, previous: str | None, size: int):
    members = tuple(f"{name}-{n}" for n in range(size))
    return cluster(name, members).model_copy(update={"previous_cluster_id": previous, "label": f"label {name}"})


def result(round: str, rate: float) -> PassHatK:
    fields = {"ci_low": 0.0, "ci_high": 1.0, "n_tasks": 9, "n_trials": 4, "n_excluded": 0, "seed": 0}
    return PassHatK(policy=f"rl-{round}", policy_version="x", k=1, pass_hat_k=rate, **fields)


@pytest.fixture
def filled(warehouse: Warehouse, make: SimpleNamespace) -> Warehouse:
    put = warehouse.replace_round
    put("failure_clusters", FIRST, [heir("a", None, 9), heir("b", None, 4), heir("c", None, 2)])
    put("failure_clusters", SECOND, [heir("a2", "a", 3), heir("b2", "b", 4), heir("x2", None, 1)])
    put("failure_clusters", THIRD, [heir("a3", "a2", 2), heir("a4", "a2", 1), heir("b3", "b2", 7), heir("n3", None, 5)])
    put("task_pool", FIRST, [make.pool_task("t1"), make.pool_task("t2", pattern="p")])
    put("task_pool", SECOND, [make.pool_task("t1")])
    put("task_pool", THIRD, [make.pool_task("t1"), make.pool_task("t3")])
    put("pass_hat_k_report", FIRST, [result(FIRST, 0.5)])
    put("pass_hat_k_report", THIRD, [result(FIRST, 0.5), result(THIRD, 0.6)])
    return warehouse


def test_clusters_are_followed_through_the_rounds_in_between_and_splits_add_up(filled: Warehouse) -> None:
    found = {each.label: (each.change, each.before, each.after) for each in diff(filled, FIRST, THIRD).clusters}
    assert found == {
        "label a": ("shrank", 9, 3),
        "label n3": ("appeared", 0, 5),
        "label b": ("grew", 4, 7),
        "label c": ("vanished", 2, 0),
    }


def test_the_largest_change_comes_first(filled: Warehouse) -> None:
    changes = [abs(each.after - each.before) for each in diff(filled, FIRST, THIRD).clusters]
    assert changes == sorted(changes, reverse=True)


def test_tasks_are_counted_as_added_and_dropped_by_pattern(filled: Warehouse) -> None:
    assert diff(filled, FIRST, THIRD).pool == (
        PatternChange("p", before=1, added=0, dropped=1, after=0),
        PatternChange("wrong_variant", before=1, added=1, dropped=0, after=2),
    )


def test_each_round_is_judged_by_its_own_policy(filled: Warehouse) -> None:
    (change,) = diff(filled, FIRST, THIRD).results
    assert (change.k, change.before, change.after) == (1, 0.5, 0.6)
    assert diff(filled, FIRST, SECOND).results == ()


def test_rounds_that_cannot_be_compared_are_refused(filled: Warehouse) -> None:
    with pytest.raises(ConfigError, match="swap them"):
        diff(filled, SECOND, FIRST)
    with pytest.raises(UnknownRoundError, match="round-004"):
        diff(filled, FIRST, "round-004")
    said = io.StringIO()
    assert main([FIRST, FIRST, "--warehouse", filled.root], err=said) == 2 and "earlier round first" in said.getvalue()


def test_the_terminal_shows_all_three_parts(filled: Warehouse) -> None:
    shown = text(diff(filled, FIRST, THIRD))
    assert "shrank" in shown and "Pass^1   50.0 ->  60.0  (+10.0)" in shown and "wrong_variant" in shown
    out = io.StringIO()
    assert main([FIRST, THIRD, "--warehouse", filled.root], out=out) == 0 and out.getvalue() == shown

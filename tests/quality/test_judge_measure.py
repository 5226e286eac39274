"""The measure of a judge tells a good one from a bad one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest

from env_sim.planted import PlantedFailure
from env_sim.task_kits import load_task_kit
from quality.cluster_config import ClusterConfig
from quality.judge import DiffJudge, Failure
from quality.judge_measure import cluster_ari, compare, measure_judge, planted_set, vote_kappa
from schemas import Blame, Explanation, JudgeVote


@cache
def planted() -> tuple[PlantedFailure, ...]:
    return tuple(planted_set("retail", per_pattern=10))


@cache
def explained() -> tuple[Explanation, ...]:
    return tuple(DiffJudge().explain_all([Failure(each.task, each.trajectory) for each in planted()]))


def vote(pattern: str) -> JudgeVote:
    return JudgeVote(pattern=pattern, blame=Blame.AGENT, decisive_turn=0, n_repairs=0)


class Blind:
    """A judge that says the same of every failure."""

    def explain_all(
        self, failures: Sequence[Failure], told: Callable[[int], None] = lambda n_done: None
    ) -> list[Explanation]:
        return [
            each.model_copy(update={"pattern": "wrong_order", "decisive_turn": 0, "text": "It failed."})
            for each in explained()
        ]


def test_a_hundred_failures_over_all_patterns_are_planted() -> None:
    assert len(planted()) >= 100
    assert {each.pattern for each in planted()} == {*load_task_kit("retail").pattern_names(), "other"}


def test_the_embedded_judge_names_nearly_all_causes_and_its_explanations_cluster_by_cause() -> None:
    figures = compare(explained(), planted())
    assert figures.pattern_accuracy >= 0.95 and figures.pattern_kappa >= 0.95
    assert figures.turn_accuracy >= 0.75 and figures.cluster_ari >= 0.95
    assert figures.n_user_failures == 30 and figures.user_blame_recall >= 0.9 and figures.agent_blame_recall == 1
    assert figures.blame_accuracy >= 0.98


def test_the_tree_finds_the_planted_causes_too() -> None:
    own = [(each, true) for each, true in zip(explained(), planted(), strict=True) if true.blame is Blame.AGENT]
    assert cluster_ari(*zip(*own, strict=True), ClusterConfig(method="tree")) >= 0.8


def test_a_judge_that_blames_the_agent_alone_is_found_out() -> None:
    blind = [each.model_copy(update={"blame": Blame.AGENT}) for each in explained()]
    figures = compare(blind, planted())
    assert (figures.user_blame_recall, figures.agent_blame_recall) == (0, 1)
    assert figures.blame_accuracy == pytest.approx(1 - 30 / len(planted()))


def test_a_judge_that_says_always_the_same_is_found_out() -> None:
    figures = measure_judge(Blind(), planted())
    assert figures.pattern_accuracy < 0.2 and figures.pattern_kappa == pytest.approx(0, abs=1e-9)
    assert figures.turn_accuracy == 0 and figures.cluster_ari == 0
    n_own = figures.n_failures - figures.n_user_failures
    assert sum(count for *_, count in figures.confusions) == round(n_own * (1 - figures.pattern_accuracy))


def test_wrong_blame_counts() -> None:
    blamed = [each.model_copy(update={"blame": Blame.TASK}) for each in explained()]
    assert compare(blamed, planted()).blame_accuracy == 0
    truth = [replace(each, blame=Blame.TASK) for each in planted()]
    assert compare(blamed, truth).blame_accuracy == 1


def test_kappa_of_votes_is_one_when_they_agree_and_near_nothing_when_they_are_drawn() -> None:
    rows = explained()[:40]
    agreeing = [each.model_copy(update={"votes": (vote(each.pattern),) * 3}) for each in rows]
    assert vote_kappa(agreeing) == 1
    names = ("a", "b")
    drawn = [
        each.model_copy(update={"votes": (vote(names[i % 2]), vote(names[(i // 2) % 2]))})
        for i, each in enumerate(rows)
    ]
    assert vote_kappa(drawn) == pytest.approx(0, abs=0.05)
    assert vote_kappa(list(rows)) is None

from collections import Counter
from itertools import islice

import pytest

from env_sim.pool import (
    InjectionConfig,
    MixConfig,
    ablations,
    build_pool,
    distinct_tasks,
    inject_tasks,
    occasions,
    pattern_table,
    plan_patterns,
    rejection_table,
    rescored,
    wording_key,
)
from env_sim.reward import RewardConfig, total_reward
from env_sim.tasks import explore
from schemas import FailureCluster, PatternCount, Verdict
from tests.fixtures.retail import databases, tasks

PATTERNS = ["wrong_order", "wrong_variant", "mixed_items", "ended_early"]


def cluster(name: str, pattern: str, size: int) -> FailureCluster:
    return FailureCluster(
        cluster_id=name,
        label=name,
        terms=(),
        pattern=pattern,
        size=size,
        share=0.1,
        explanation_ids=(),
        example_texts=(),
        silhouette=0.0,
        stability_ari=0.0,
    )


def config(n: int, plain_share: float = 0.0, floor: float = 0.0) -> InjectionConfig:
    return InjectionConfig(tasks_per_round=n, plain_share=plain_share, pattern_floor=floor, sources_per_task=1.5)


def test_patterns_are_wanted_in_proportion_to_the_sizes_of_their_clusters():
    clusters = [cluster("a", "wrong_order", 30), cluster("b", "wrong_variant", 10), cluster("c", "wrong_order", 20)]
    plan = plan_patterns("clusters", clusters, PATTERNS, "none", config(60))
    assert plan.counts == {"wrong_order": 50, "wrong_variant": 10}
    assert plan.clusters["wrong_order"] == {"a": 30, "c": 20}


def test_a_cluster_asks_for_what_its_members_are_called_not_for_its_majority_alone():
    called = [
        PatternCount(pattern="wrong_order", size=13),
        PatternCount(pattern="wrong_variant", size=6),
        PatternCount(pattern="other", size=4),
    ]
    mixed = cluster("a", "wrong_order", 23).model_copy(update={"patterns": tuple(called)})
    plan = plan_patterns("clusters", [mixed], PATTERNS, "none", config(23))
    assert plan.counts == {"wrong_order": 14, "wrong_variant": 7, "mixed_items": 1, "ended_early": 1}
    assert plan.clusters == {name: {"a": count} for name, count in plan.counts.items()}


def test_a_cluster_asks_for_each_pattern_that_its_own_is_part_of():
    names = ["wrong_order", "wrong_order+stale_intent", "ended_early"]
    plan = plan_patterns("clusters", [cluster("a", "wrong_order", 8)], names, "none", config(40))
    assert plan.counts == {"wrong_order": 20, "wrong_order+stale_intent": 20}
    assert set(plan.clusters) == {"wrong_order", "wrong_order+stale_intent"}


def test_a_cluster_without_a_known_pattern_is_spread_over_all_of_them():
    plan = plan_patterns("clusters", [cluster("x", "other", 8)], PATTERNS, "none", config(40))
    assert plan.counts == dict.fromkeys(PATTERNS, 10)
    assert plan.clusters["mixed_items"] == {"x": 2}


def test_a_pattern_that_nothing_failed_at_keeps_the_floor():
    plan = plan_patterns("clusters", [cluster("a", "wrong_order", 7)], PATTERNS, "none", config(100, 0.2, 0.05))
    assert plan.counts == {"none": 20, "wrong_order": 65, "wrong_variant": 5, "mixed_items": 5, "ended_early": 5}
    assert set(plan.clusters) == {"wrong_order"}  # what the floor adds was asked for by no cluster


def test_the_plain_share_is_kept_and_the_numbers_add_up():
    plan = plan_patterns("clusters", [cluster("a", "wrong_order", 7)], PATTERNS, "none", config(30, 0.1))
    assert plan.counts == {"none": 3, "wrong_order": 27}
    assert plan.n_tasks == 30


@pytest.mark.parametrize(
    ("targeting", "expected"),
    [("none", {"none": 12}), ("uniform", {"none": 0, **dict.fromkeys(PATTERNS, 3)})],
)
def test_other_targetings_do_not_look_at_the_clusters(targeting: str, expected: dict[str, int]):
    plan = plan_patterns(targeting, [cluster("a", "wrong_order", 9)], PATTERNS, "none", config(12))
    assert plan.counts == {name: count for name, count in expected.items() if count}


def test_without_failures_the_patterns_are_taken_alike():
    plan = plan_patterns("clusters", [], PATTERNS, "none", config(8))
    assert plan.counts == dict.fromkeys(PATTERNS, 2)


def test_injected_tasks_name_a_cluster_that_asked_for_their_pattern_and_come_from_the_sources():
    clusters = [cluster("a", "wrong_variant", 3), cluster("b", "wrong_variant", 1), cluster("c", "ended_early", 4)]
    plan = plan_patterns("clusters", clusters, PATTERNS, "none", config(20, 0.2))
    rows = databases()
    explorations = islice(explore("retail", list(rows.values()), 5), 3000)
    kept = occasions("retail", rows, explorations, plan, config(20), 1)
    made = inject_tasks("retail", rows, kept, plan, 2)
    assert Counter(task.pattern for task in made) == plan.counts
    assert Counter((task.pattern, task.cluster_id) for task in made) == {
        ("none", None): 4,
        ("wrong_variant", "a"): 6,
        ("wrong_variant", "b"): 2,
        ("ended_early", "c"): 8,
    }
    kept_for = {source.trajectory_id: pattern for source, pattern in kept}
    assert all(kept_for[task.source_trajectory_id or ""] == task.pattern for task in made)
    assert made == inject_tasks("retail", rows, kept, plan, 2)


def test_the_pool_holds_each_task_once_under_the_round_that_brought_it_first():
    some = list(tasks())
    twin = some[0].model_copy(update={"task_id": "task-twin"})
    pool = build_pool({"round-001": some[:5], "round-002": [*some[3:8], twin]}, MixConfig())
    assert {row.task.task_id: row.added_in for row in pool} == {
        **{task.task_id: "round-001" for task in some[:5]},
        **{task.task_id: "round-002" for task in some[5:8]},
    }
    assert {row.weight for row in pool} == {1.0}


def test_wording_differs_by_what_is_said_not_by_spaces_or_case():
    first, second = tasks()[0], tasks()[1]
    loud = first.scenario.model_copy(update={"opening": first.scenario.opening.upper().replace(" ", "  ")})
    assert wording_key(first.model_copy(update={"scenario": loud})) == wording_key(first)
    assert wording_key(first) != wording_key(second)


def test_of_twins_the_first_by_id_stays():
    some = list(tasks())[:3]
    twin = some[0].model_copy(update={"task_id": "task-0"})
    assert distinct_tasks([*some, twin]) == sorted([twin, *some[1:]], key=lambda task: task.task_id)


def test_recency_halves_the_weight_of_older_rounds():
    some = list(tasks())
    accepted = {"round-001": some[:2], "round-002": some[2:4], "round-003": some[4:6]}
    pool = build_pool(accepted, MixConfig(policy="recency", half_life_rounds=1.0))
    assert {(row.added_in, row.weight) for row in pool} == {("round-001", 0.25), ("round-002", 0.5), ("round-003", 1.0)}


def test_cluster_weighting_gives_a_pattern_the_share_of_todays_failures():
    some = list(tasks())
    held = Counter(task.pattern for task in some)
    plan = plan_patterns("clusters", [cluster("a", "wrong_variant", 5)], list(held), "none", config(10))
    pool = build_pool({"round-001": some}, MixConfig(policy="cluster_weighted", min_weight=0.05), plan)
    weights = {row.task.pattern: row.weight for row in pool}
    assert weights["wrong_variant"] == pytest.approx(len(some) / held["wrong_variant"])
    assert weights["mixed_items"] == 0.05


def test_rescoring_changes_the_total_only():
    source = next(explore("retail", list(databases().values()), 1))
    other = rescored(source, RewardConfig(action_checks=0.5, length=0.0))
    assert other.reward.total == 1.5
    assert other.model_copy(update={"reward": source.reward}) == source


def test_the_ablations_drop_the_guardrails_one_by_one():
    variants = ablations(RewardConfig())
    totals = {name: total_reward(reward, 1.0, 1.0, 200, 2) for name, reward in variants.items()}
    assert totals == pytest.approx({"full": 1.05, "no-repeat-penalty": 1.15, "success-only": 1.0})


def test_tables_count_patterns_and_rejections():
    some = list(tasks())[:3]
    verdicts = [
        Verdict(task=some[0], executable=True, reason="ok"),
        Verdict(task=some[1], executable=False, reason="x"),
    ]
    assert rejection_table(verdicts) == [("x", 1)]
    assert sum(count for _, count, _ in pattern_table(some)) == 3

"""Promises of the ready views: what each counts, and that a view costs nothing until a query names it."""

from pathlib import Path

import pytest

from schemas import CorruptTableError, FailureCluster, StopReason
from schemas.columns import TABLES
from schemas.store import Warehouse
from schemas.views import VIEWS


def make_cluster(cluster_id: str, pattern: str) -> FailureCluster:
    return FailureCluster(
        cluster_id=cluster_id,
        label=cluster_id,
        terms=("a",),
        pattern=pattern,
        size=2,
        share=0.5,
        explanation_ids=("e1",),
        example_texts=("it never asked",),
        silhouette=0.5,
        stability_ari=0.5,
    )


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_asked_before_anything_is_written(warehouse: Warehouse, view: str) -> None:
    assert warehouse.sql(f"select * from {view}").num_rows == 0


def test_the_pool_by_pattern_tells_what_the_round_brought(filled: Warehouse) -> None:
    rows = filled.sql("select * from pool_by_pattern where round = 'round-002'").to_pylist()
    assert [(row["pattern"], row["n_tasks"], row["n_new"]) for row in rows] == [
        ("changing_intent", 1, 0),
        ("wrong_variant", 2, 1),
    ]
    assert [row["share"] for row in rows] == pytest.approx([1 / 3, 2 / 3])
    assert [row["weight_share"] for row in rows] == pytest.approx([1 / 3, 2 / 3])


def test_rejections_of_one_reason_are_counted_together_whatever_id_they_cite(warehouse: Warehouse, make) -> None:
    reasons = {"t1": "ok", "t2": "task[t2]: no-op", "t3": "task[t3]: no-op", "t4": "reference action 0 failed"}
    verdicts = [make.verdict(key, reason=reason) for key, reason in reasons.items()]
    warehouse.replace_round("executable_tasks", "round-001", verdicts)
    one = {"round": "round-001", "patterns": ["wrong_variant"]}
    assert warehouse.sql("select * from rejection_reasons").to_pylist() == [
        {**one, "reason": "task[...]: no-op", "n_tasks": 2, "share": 0.5, "example_task_id": "t2"},
        {**one, "reason": "reference action 0 failed", "n_tasks": 1, "share": 0.25, "example_task_id": "t4"},
    ]


def test_a_clusters_pass_rate_is_told_before_and_after_its_tasks_were_trained_on(warehouse: Warehouse, make) -> None:
    clusters = [make_cluster("c1", "a"), make_cluster("c2", "other")]
    warehouse.replace_round("failure_clusters", "round-001", clusters)
    places = {
        ("baseline_test_outcomes", "bootstrap"): 0,
        ("validation_outcomes", "round-001"): 1,
        ("test_outcomes", "round-001"): 2,
        ("validation_outcomes", "round-002"): 4,
    }
    for (table, round), n_successes in places.items():
        rows = [make.outcome("t1", pattern="a", n_successes=n_successes), make.outcome("t2", pattern="b")]
        warehouse.replace_round(table, round, rows)
    found = warehouse.sql("select split, round, after, n_tasks, pass_rate from cluster_pass_rate where pattern = 'a'")
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("validation", "round-001", False, 1, 0.25),
        ("validation", "round-002", True, 1, 1.0),
        ("test", "bootstrap", False, 1, 0.0),
        ("test", "round-001", True, 1, 0.5),
    ]
    other = warehouse.sql("select cluster_id, pass_rate from cluster_pass_rate where pattern = 'other'").to_pylist()
    assert other == [{"cluster_id": "c2", "pass_rate": None}]


def test_reward_parts_are_means_over_episodes_and_spreads_inside_groups(warehouse: Warehouse, make) -> None:
    lone = [make.rl_rollout(n, train_step=0, success=float(n % 2)) for n in range(4)]
    paired = [row.model_copy(update={"group_id": f"g{number // 2}"}) for number, row in enumerate(lone)]
    flat = make.rl_rollout(4, train_step=0, success=0.0)
    broken = make.rl_rollout(5, train_step=0, success=0.0).model_copy(update={"stop_reason": StopReason.INFRASTRUCTURE})
    warehouse.replace_round("rl_rollouts", "round-001", [*paired, flat, broken])
    (row,) = warehouse.sql("select * from reward_parts").to_pylist()
    assert (row["n_episodes"], row["n_groups"], row["n_groups_without_spread"]) == (5, 3, 1)
    assert (row["success"], row["total"]) == pytest.approx((0.4, 0.15))
    assert (row["total_spread"], row["advantage_spread"]) == pytest.approx((1 / 3, 0.0))
    assert (row["action_checks"], row["length_tokens"], row["repeats"]) == (0.5, 12, 1)


def test_repeated_calls_are_told_by_round_policy_and_where_it_played(filled: Warehouse, make) -> None:
    filled.replace_round("validation_rollouts", "round-001", [make.trajectory(1)])
    rows = filled.sql("select * from repeated_calls").to_pylist()
    assert [(row["played"], row["n_episodes"], row["share_with_repeats"]) for row in rows] == [
        ("training", 4, 1.0),
        ("validation", 1, 1.0),
    ]


def test_a_view_is_made_only_for_the_query_that_names_it(filled: Warehouse) -> None:
    assert filled.sql("select view_name from duckdb_views() where view_name ^@ 'pool_by'").num_rows == 0
    assert filled.sql("select 1 from Pool_By_Pattern limit 1").num_rows == 1


def test_a_damaged_table_takes_down_only_the_views_that_need_it(filled: Warehouse) -> None:
    for manifest in Path(filled.root, "executable_tasks.lance", "_versions").glob("*.manifest"):
        manifest.write_bytes(b"")
    with pytest.raises(CorruptTableError, match="executable_tasks"):
        filled.sql("select * from rejection_reasons")
    with pytest.raises(CorruptTableError, match="executable_tasks"):
        filled.sql("select * from rejection_reasons", as_of="round-001")
    for as_of in (None, "round-001"):
        assert filled.sql("select * from pool_by_pattern", as_of=as_of).num_rows > 0


def test_views_name_tables_and_never_another_view() -> None:
    for view in VIEWS.values():
        assert any(name in view.sql for name in TABLES)
        assert not any(name in view.sql for name in VIEWS)

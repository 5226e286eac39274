"""Gates: each has a table that passes and tables that fail for one named reason."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from quality.gate import Finding, Gate, GateContext, GateLimits
from quality.gates import gates_for, run_gates, tables_with_gates
from schemas.columns import TABLES, RlRollout
from schemas.errors import UnknownTableError
from schemas.records import (
    Blame,
    Checkpoint,
    FailureCluster,
    GateResult,
    PoolTask,
    Record,
    RewardParts,
    StopReason,
    Task,
    Verdict,
)
from tests.quality.builders import (
    make_database,
    make_explanation,
    make_outcome,
    make_pass_hat_k,
    make_step,
    make_task,
    make_trajectory,
)

ROUND = "round-001"


@dataclass
class Stored:
    """A warehouse of plain lists, which stands in for the store."""

    tables: dict[tuple[str, str], Sequence[Record]] = field(default_factory=dict)

    def read(self, table: str, round_key: str | None) -> list[Record]:
        keys = [key for key in self.tables if key[0] == table and round_key in (None, key[1])]
        return [row for key in keys for row in self.tables[key]]


def make_context(tables: dict[str, Sequence[Record]] | None = None, **changes: object) -> GateContext:
    stored = {(name, ROUND): rows for name, rows in (tables or {}).items()}
    stored |= {
        (f"{split}_databases", "bootstrap"): [make_database(0, split)] for split in ("train", "validation", "test")
    }
    context = GateContext(
        round=ROUND,
        read=Stored(stored).read,
        rounds=(ROUND,),
        patterns=frozenset({"wrong_order"}),
        replay=lambda task: "ok",
        rescore=lambda parts: parts.success,
    )
    return replace(context, **changes)  # type: ignore[arg-type]


def verdict_of(name: str, table: str, rows: Sequence[Record], context: GateContext | None = None) -> GateResult:
    gate = next(gate for gate in gates_for(table) if gate.name == name)
    return gate.run(table, rows, context or make_context())


def refused(name: str, table: str, rows: Sequence[Record], context: GateContext | None = None) -> str:
    """The message of a gate that must say no."""
    result = verdict_of(name, table, rows, context)
    assert not result.passed
    return f"{result.message} {result.bad_ids}"


def make_cluster(**changes: object) -> FailureCluster:
    fields = {"cluster_id": "c-1", "label": "wrong order", "terms": ("order",), "pattern": "wrong_order", "size": 2}
    fields |= {"share": 1.0, "explanation_ids": ("why-0000", "why-0001"), "silhouette": 0.5, "stability_ari": 0.9}
    return FailureCluster.model_validate(fields | {"example_texts": (make_explanation().text,)} | changes)


def make_checkpoint(kind: str = "base", **changes: object) -> Checkpoint:
    parent = None if kind == "base" else "ckpt-base"
    fields = {"checkpoint_id": f"ckpt-{kind}", "policy": kind, "kind": kind, "path": "x", "n_parameters": 1, "seed": 0}
    return Checkpoint.model_validate(fields | {"n_steps": 0, "parent_checkpoint_id": parent} | changes)


def make_rollout(index: int = 0, **changes: object) -> RlRollout:
    base = make_trajectory(index).model_dump()
    return RlRollout.model_validate(base | {"train_step": 0, "group_id": "g0", "advantage": 0.5} | changes)


def test_every_declared_table_has_gates_and_the_registry_knows_no_other() -> None:
    # Nothing learns from words, vectors and pairs of duplicates: they are for people.
    assert set(tables_with_gates()) == set(TABLES) - {"gate_results", "embeddings", "near_duplicates"}
    with pytest.raises(UnknownTableError, match="nonsense"):
        gates_for("nonsense")


def test_gate_names_are_unique_in_a_table() -> None:
    for table in tables_with_gates():
        names = [gate.name for gate in gates_for(table)]
        assert len(names) == len(set(names))


def test_a_gate_that_raises_is_a_failed_gate() -> None:
    def broken(rows: Sequence[Record], context: GateContext) -> Finding:
        raise KeyError("no such column")

    result = Gate("broken", broken, "repair it").run("task_pool", [], make_context())
    assert not result.passed and "KeyError" in result.message and "repair it" in result.message


def test_a_verdict_names_all_in_the_count_and_a_hundred_ids() -> None:
    rows = [make_trajectory(i, logprobs=(0.0,)) for i in range(250)]
    result = verdict_of("trajectories_complete", "sft_trajectories", rows)
    assert len(result.bad_ids) == 100 and list(result.bad_ids) == sorted(result.bad_ids)
    assert "250 of 250 rows" in result.message and "traj-0: 3 tokens" in result.message


def test_empty_rounds_and_repeated_ids_are_refused() -> None:
    assert verdict_of("not_empty", "task_pool", [make_step()]).passed
    assert "got none" in refused("not_empty", "task_pool", [])
    assert verdict_of("unique_ids", "sft_tasks", [make_task(0), make_task(1)]).passed
    assert "occurs 2 times" in refused("unique_ids", "sft_tasks", [make_task(0), make_task(0)])


def test_databases_of_two_splits_share_no_entity_nor_one_with_a_published_benchmark() -> None:
    assert verdict_of("entities_disjoint", "test_databases", [make_database(0, "test")]).passed
    shared = [make_database(1, "test", product_ids=("ptrain0",))]
    assert "db-test1" in refused("entities_disjoint", "test_databases", shared)
    numbers = [make_database(1, "test", item_ids=("ptrain0",))]
    assert verdict_of("entities_disjoint", "test_databases", numbers).passed
    known = make_context(known_entity_ids=frozenset({"itest0"}))
    assert "published" in refused("entities_disjoint", "test_databases", [make_database(0, "test")], known)


def test_databases_add_up() -> None:
    assert verdict_of("databases_add_up", "train_databases", [make_database(0), make_database(1)]).passed
    assert "declares 2 users" in refused("databases_add_up", "train_databases", [make_database(0, n_users=2)])
    twins = [make_database(0), make_database(1, content_sha256="sha-train0")]
    assert "content of db-train0" in refused("databases_add_up", "train_databases", twins)


def changed(task: Task, **changes: object) -> Task:
    return make_task(**{**{k: getattr(task, k) for k in ("scenario", "reference", "criteria")}, **changes})  # type: ignore[arg-type]


def test_a_task_agrees_with_itself() -> None:
    task = make_task()
    other = make_task(1)
    assert verdict_of("tasks_well_formed", "sft_tasks", [task, other]).passed
    cases = {
        "its content has the id": task.model_copy(update={"task_id": "task-made-up"}),
        "not the required writes": changed(task, criteria=other.criteria),
        "lacks a required write": changed(task, reference=other.reference),
        "raises 2 of 1": changed(task, scenario=task.scenario.model_copy(update={"raised_in_opening": 2})),
        "not in the domain's table": make_task(pattern="unheard_of"),
        "every goal has an accepted": make_task(intent="infeasible"),
        "no goal changes": make_task(intent="changing"),
    }
    for words, bad in cases.items():
        assert words in refused("tasks_well_formed", "sft_tasks", [bad])


def test_tasks_play_in_declared_databases_of_their_split() -> None:
    assert verdict_of("references_known", "sft_tasks", [make_task()]).passed
    assert verdict_of("databases_of_train", "sft_tasks", [make_task()]).passed
    assert "not declared" in refused("references_known", "sft_tasks", [make_task(database_id="db-x")])
    stranger = make_task(split="nobody", database_id="db-train0")
    assert "user_nobody0 is not in" in refused("references_known", "sft_tasks", [stranger])
    assert "test database" in refused("databases_of_train", "sft_tasks", [make_task(split="test")])
    assert verdict_of("databases_of_test", "test_tasks", [make_task(split="test")]).passed


def test_references_replay_and_no_replay_is_no_pass() -> None:
    assert verdict_of("references_replay", "sft_tasks", [make_task()]).passed
    failing = make_context(replay=lambda task: "Order not found")
    assert "Order not found" in refused("references_replay", "sft_tasks", [make_task()], failing)
    assert "GateContext.replay" in refused("references_replay", "sft_tasks", [make_task()], make_context(replay=None))


def test_tasks_with_the_same_words_and_goal_are_twins() -> None:
    task = make_task()
    twin = make_task(pattern="wrong_order")
    assert verdict_of("tasks_distinct", "sft_tasks", [task, make_task(1)]).passed
    assert "same world, words and goal" in refused("tasks_distinct", "sft_tasks", [task, twin])


def test_injected_tasks_come_from_this_rounds_clusters_and_successes() -> None:
    context = make_context({"failure_clusters": [make_cluster()], "source_trajectories": [make_trajectory(0, 1.0)]})
    good = make_task(cluster_id="c-1", source_trajectory_id="traj-0")
    assert verdict_of("lineage_known", "injected_tasks", [good], context).passed
    lost = make_task(cluster_id="c-9", source_trajectory_id="traj-0")
    assert "c-9 is not one" in refused("lineage_known", "injected_tasks", [lost], context)
    failed = make_task(source_trajectory_id="traj-1")
    assert "unknown or failed" in refused("lineage_known", "injected_tasks", [failed], context)


def test_every_injected_task_has_one_consistent_verdict() -> None:
    task, other = make_task(0), make_task(1)
    context = make_context({"injected_tasks": [task, other]})
    verdicts = [Verdict(task=task, executable=True, reason="ok"), Verdict(task=other, executable=False, reason="no")]
    result = verdict_of("verdicts_consistent", "executable_tasks", verdicts, context)
    assert result.passed and result.numbers["executable_share"] == 0.5
    assert "has no verdict" in refused("verdicts_consistent", "executable_tasks", verdicts[:1], context)
    lying = [verdicts[0], Verdict(task=other, executable=True, reason="no")]
    assert "reason is 'no'" in refused("verdicts_consistent", "executable_tasks", lying, context)
    foreign = [*verdicts, Verdict(task=make_task(2), executable=True, reason="ok")]
    assert "was not injected" in refused("verdicts_consistent", "executable_tasks", foreign, context)


def test_the_pool_is_the_union_of_what_was_accepted() -> None:
    task, other, rejected = make_task(0), make_task(1), make_task(2)
    verdicts = [Verdict(task=t, executable=t is not rejected, reason="ok") for t in (task, other, rejected)]
    context = make_context({"executable_tasks": verdicts})
    pool = [PoolTask(task=t, added_in=ROUND, weight=1) for t in (task, other)]
    assert verdict_of("pool_sound", "task_pool", pool, context).passed
    cases = {
        "1 of 2 accepted tasks are missing": pool[:1],
        "no executable verdict": [*pool, PoolTask(task=rejected, added_in=ROUND, weight=1)],
        "was accepted in round-001": [pool[0], pool[1].model_copy(update={"added_in": "round-000"})],
        "differs from the task": [
            pool[0],
            pool[1].model_copy(update={"task": other.model_copy(update={"made_by": "x"})}),
        ],
    }
    for words, rows in cases.items():
        assert words in refused("pool_sound", "task_pool", rows, context)


def test_no_validation_or_test_database_reaches_the_pool_and_twins_are_found() -> None:
    leak = make_task(split="test")
    task, twin = make_task(0), make_task(0, pattern="wrong_order")
    context = make_context(
        {"executable_tasks": [Verdict(task=t, executable=True, reason="ok") for t in (leak, task, twin)]}
    )
    leaked = [PoolTask(task=t, added_in=ROUND, weight=1) for t in (leak, task)]
    assert "not a training database" in refused("pool_sound", "task_pool", leaked, context)
    double = [PoolTask(task=t, added_in=ROUND, weight=1) for t in (task, twin)]
    assert "same world, words" in refused("pool_sound", "task_pool", double, context)


def test_episodes_are_whole() -> None:
    assert verdict_of("trajectories_complete", "test_rollouts", [make_trajectory(0), make_trajectory(1, 1.0)]).passed
    orphan = make_trajectory().messages[4:]
    nan = RewardParts(success=0, action_checks=0, length_tokens=0, repeats=0, total=float("nan"))
    cases = {
        "2 mask entries": {"assistant_mask": (False, True)},
        "not finite": {"logprobs": (0.0, float("inf"), 0.0)},
        "on a given token": {"logprobs": (-0.1, -0.1, -0.1)},
        "on a sampled token": {"logprobs": (0.0, 0.7, -0.1)},
        "has no messages": {"messages": ()},
        "unknown call": {"messages": orphan},
        "the reward": {"reward": nan},
    }
    for words, changes in cases.items():
        assert words in refused("trajectories_complete", "test_rollouts", [make_trajectory(**changes)])  # type: ignore[arg-type]
    bad_end = make_trajectory(0, 1.0, stop_reason=StopReason.MAX_TURNS)
    assert "ended with max_turns" in refused("trajectories_complete", "test_rollouts", [bad_end])


def test_too_many_lost_episodes_are_refused_and_a_few_are_not() -> None:
    lost = make_trajectory(99, stop_reason=StopReason.INFRASTRUCTURE, messages=())
    rows = [*(make_trajectory(i) for i in range(30)), lost]
    assert verdict_of("trajectories_complete", "test_rollouts", rows).passed
    strict = make_context(limits=GateLimits(max_infrastructure_share=0.01))
    assert "1 of 31 episodes" in refused("trajectories_complete", "test_rollouts", rows, strict)


def test_every_task_is_played_equally_often() -> None:
    tasks = [make_task(0, "test"), make_task(1, "test")]
    context = make_context({"test_tasks": tasks})
    rows = [make_trajectory(i, task_id=task.task_id) for task in tasks for i in range(2)]
    for gate in ("trials_complete", "tasks_known"):
        assert verdict_of(gate, "test_rollouts", rows, context).passed
    assert "played trials [0] of 0..1" in refused("trials_complete", "test_rollouts", rows[:3], context)
    assert "not in test_tasks" in refused("tasks_known", "test_rollouts", [make_trajectory()], context)


def test_rewards_add_up_under_the_runs_weights() -> None:
    assert verdict_of("reward_adds_up", "test_rollouts", [make_trajectory(0, 1.0)]).passed
    weighted = make_context(rescore=lambda parts: parts.success + 0.2)
    assert "parts give 1.2000" in refused("reward_adds_up", "test_rollouts", [make_trajectory(0, 1.0)], weighted)
    assert "rescore" in refused("reward_adds_up", "test_rollouts", [make_trajectory()], make_context(rescore=None))


def test_demonstrations_have_succeeded() -> None:
    assert verdict_of("demonstrations_succeed", "sft_trajectories", [make_trajectory(0, 1.0)]).passed
    assert "failed (user_done)" in refused("demonstrations_succeed", "sft_trajectories", [make_trajectory()])


def test_training_rollouts_store_their_tokens_in_whole_groups() -> None:
    rows = [make_rollout(0), make_rollout(1), make_rollout(2, group_id="g1", task_id="task-1")]
    for gate in ("tokens_stored", "groups_whole"):
        assert verdict_of(gate, "rl_rollouts", rows).passed
    assert "mixes" in refused("groups_whole", "rl_rollouts", [make_rollout(0), make_rollout(1, task_id="task-1")])
    bare = make_rollout(0, token_ids=(), assistant_mask=(), logprobs=())
    assert "no sampled token" in refused("tokens_stored", "rl_rollouts", [bare])


def test_every_failure_is_explained_once_by_turns_that_exist() -> None:
    rollouts = [make_trajectory(0), make_trajectory(1, 1.0), make_trajectory(2, stop_reason=StopReason.INFRASTRUCTURE)]
    context = make_context({"validation_rollouts": rollouts})
    row = make_explanation(0)
    assert verdict_of("explanations_cite", "judge_explanations", [row], context).passed
    cases = {
        "has no explanation": [],
        "no failed episode": [row, make_explanation(1)],
        "explained 2 times": [row, row.model_copy(update={"explanation_id": "why-x"})],
        "of 6": [make_explanation(0, evidence_turns=(6,))],
        "cites turns []": [make_explanation(0, evidence_turns=())],
        "names task": [make_explanation(0, task_id="task-9")],
        "not in the domain's table": [make_explanation(0, pattern="unheard_of")],
        "not the agent's": [make_explanation(0, blame=Blame.TASK)],
    }
    for words, rows in cases.items():
        assert words in refused("explanations_cite", "judge_explanations", rows, context)


def test_clusters_add_up() -> None:
    context = make_context({"judge_explanations": [make_explanation(0), make_explanation(1)]})
    good = make_cluster()
    assert verdict_of("clusters_add_up", "failure_clusters", [good], context).passed
    cases = {
        "size 3": [make_cluster(size=3)],
        "not agent-blamed failures": [make_cluster(explanation_ids=("why-0000", "why-0009"))],
        "share 0.500": [make_cluster(share=0.5)],
        "no member's text": [make_cluster(example_texts=("made up",))],
        "not the most frequent": [make_cluster(pattern="infeasible")],
        "not stored": [make_cluster(previous_cluster_id="c-0")],
        "shares why-0000": [good, make_cluster(cluster_id="c-2")],
        "in no cluster": [],
    }
    for words, rows in cases.items():
        assert words in refused("clusters_add_up", "failure_clusters", rows, context)


def test_metrics_are_finite_and_checkpoints_linked() -> None:
    assert verdict_of("metrics_finite", "rl_metrics", [make_step(0), make_step(1)]).passed
    assert "kl, loss not finite" in refused(
        "metrics_finite", "rl_metrics", [make_step(0, loss=float("nan"), kl=float("inf"))]
    )
    context = make_context({"base_checkpoint": [make_checkpoint()]})
    assert verdict_of("checkpoints_linked", "sft_checkpoint", [make_checkpoint("sft")], context).passed
    assert "is not stored" in refused("checkpoints_linked", "sft_checkpoint", [make_checkpoint("sft")])
    orphan = make_checkpoint("rl", parent_checkpoint_id=None)
    assert "kind rl with parent None" in refused("checkpoints_linked", "rl_checkpoint", [orphan], context)


def test_outcomes_count_right() -> None:
    assert verdict_of("outcomes_sound", "test_outcomes", [make_outcome("a"), make_outcome("b")]).passed
    assert "5 successes in 4" in refused("outcomes_sound", "test_outcomes", [make_outcome("a", 5)])
    assert "lost to the infra" in refused("outcomes_sound", "test_outcomes", [make_outcome("a", 1, 2, n_excluded=2)])


def test_the_report_is_complete_and_its_estimates_are_sound() -> None:
    policies = ("base", "sft", "rl-round-001")
    rows = [make_pass_hat_k(policy, k, 0.5 - 0.1 * k) for policy in policies for k in (1, 2, 3, 4)]
    assert verdict_of("report_complete", "pass_hat_k_report", rows).passed
    assert verdict_of("estimates_sound", "reward_ablation_report", rows).passed
    assert "first: rl-round-001/k=4" in refused("report_complete", "pass_hat_k_report", rows[:-1])
    rising = [*rows[:-1], make_pass_hat_k("rl-round-001", 4, 0.9)]
    assert "above Pass^3" in refused("estimates_sound", "pass_hat_k_report", rising)
    outside = [*rows[:-1], rows[-1].model_copy(update={"ci_high": 0.01})]
    assert "outside" in refused("estimates_sound", "pass_hat_k_report", outside)


def test_all_gates_of_a_table_run_even_after_one_failed() -> None:
    results = run_gates("sft_tasks", [], make_context())
    assert [result.gate for result in results] == [gate.name for gate in gates_for("sft_tasks")]
    assert not results[0].passed and results[0].round == ROUND and results[0].table == "sft_tasks"

"""Playing: the policies on validation and test tasks, and what came of each task's trials."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.resources import ProfileResource, TrainerResource, WarehouseResource
from assets.retries import retried
from assets.rounds import ROUNDS
from assets.stage import Stage, picture, table_of
from quality import pass_hat_k
from quality.plots import pattern_plot, success_by_pattern
from schemas import BOOTSTRAP, Checkpoint, Task, Trajectory

Context = dg.AssetExecutionContext


def _play(
    stage: Stage, trainer: TrainerResource, checkpoint: Checkpoint, split: str, n_trials: int
) -> list[Trajectory]:
    """All trials of a split's tasks by one policy. The seed names the split, not the policy, so that policies pair."""
    tasks = stage.read(Task, f"{split}_tasks", BOOTSTRAP)
    databases = stage.databases(split)
    player = trainer.build(stage.profile, stage.warehouse)
    return player.rollouts(checkpoint, tasks, databases, n_trials, stage.seed(f"{split} rollouts"))


def _played(rows: Sequence[Trajectory]) -> dict[str, Any]:
    reasons = sorted({row.stop_reason for row in rows})
    counts = [(reason, sum(row.stop_reason == reason for row in rows)) for reason in reasons]
    n_rows = max(1, len(rows))
    return {
        "success_share": sum(row.succeeded for row in rows) / n_rows,
        "tokens_per_episode": sum(row.reward.length_tokens for row in rows) / n_rows,
        "stop_reasons": table_of(("stop reason", "episodes"), counts),
    }


def _outcomes(stage: Stage, table: str, rollouts: str, split: str) -> dg.MaterializeResult:
    tasks = stage.read(Task, f"{split}_tasks", BOOTSTRAP)
    rows = pass_hat_k.outcomes(stage.read(Trajectory, rollouts), tasks, stage.profile.seed)
    rates = success_by_pattern(rows)
    policies = sorted({row.policy for row in rows}, key=pass_hat_k.policy_order)
    lines = [(name, *(rates[name].get(policy, float("nan")) for policy in policies)) for name in sorted(rates)]
    told = {
        "success_share": sum(row.n_successes for row in rows) / max(1, sum(row.n_trials for row in rows)),
        "by_pattern": table_of(("pattern", *policies), lines),
        "plot": picture(pattern_plot(rows), "success by pattern"),
    }
    return stage.write(table, rows, told)


@dg.asset(
    group_name="evaluation", kinds={"lance"}, deps=["test_tasks", "test_databases", "base_checkpoint", "sft_checkpoint"]
)
@retried
def baseline_test_rollouts(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource, trainer: TrainerResource
) -> dg.MaterializeResult:
    """The untrained and the imitating policy on the test tasks: what every round is compared with."""
    stage = Stage(context, warehouse, profile)
    checkpoints = [stage.read(Checkpoint, f"{kind}_checkpoint")[0] for kind in ("base", "sft")]
    played = [_play(stage, trainer, checkpoint, "test", stage.profile.trials.test) for checkpoint in checkpoints]
    told = _played(played[1]) | {"base_success_share": _played(played[0])["success_share"]}
    return stage.write(
        "baseline_test_rollouts", [*played[0], *played[1]], told, policy_version=checkpoints[1].checkpoint_id
    )


@dg.asset(group_name="evaluation", kinds={"lance"}, deps=["baseline_test_rollouts", "test_tasks"])
@retried
def baseline_test_outcomes(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """Successes and trials of each test task by the untrained and the imitating policy."""
    stage = Stage(context, warehouse, profile)
    return _outcomes(stage, "baseline_test_outcomes", "baseline_test_rollouts", "test")


@dg.asset(
    group_name="discovery",
    kinds={"lance"},
    partitions_def=ROUNDS,
    deps=["round_policy", "validation_tasks", "validation_databases"],
)
@retried
def validation_rollouts(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource, trainer: TrainerResource
) -> dg.MaterializeResult:
    """The policy under test on the validation tasks, several trials each: where this round's failures come from."""
    stage = Stage(context, warehouse, profile)
    policy = stage.read(Checkpoint, "round_policy")[0]
    rows = _play(stage, trainer, policy, "validation", stage.profile.trials.validation)
    return stage.write("validation_rollouts", rows, _played(rows), policy_version=policy.checkpoint_id)


@dg.asset(
    group_name="discovery", kinds={"lance"}, partitions_def=ROUNDS, deps=["validation_rollouts", "validation_tasks"]
)
@retried
def validation_outcomes(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """Successes and trials of each validation task by the policy under test."""
    stage = Stage(context, warehouse, profile)
    return _outcomes(stage, "validation_outcomes", "validation_rollouts", "validation")


@dg.asset(
    group_name="evaluation",
    kinds={"lance"},
    partitions_def=ROUNDS,
    deps=["rl_checkpoint", "test_tasks", "test_databases"],
)
@retried
def test_rollouts(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource, trainer: TrainerResource
) -> dg.MaterializeResult:
    """This round's RL policy on the test tasks, with the sampling seeds of the baseline."""
    stage = Stage(context, warehouse, profile)
    policy = stage.read(Checkpoint, "rl_checkpoint")[0]
    rows = _play(stage, trainer, policy, "test", stage.profile.trials.test)
    return stage.write("test_rollouts", rows, _played(rows), policy_version=policy.checkpoint_id)


@dg.asset(group_name="evaluation", kinds={"lance"}, partitions_def=ROUNDS, deps=["test_rollouts", "test_tasks"])
@retried
def test_outcomes(context: Context, warehouse: WarehouseResource, profile: ProfileResource) -> dg.MaterializeResult:
    """Successes and trials of each test task by this round's RL policy."""
    stage = Stage(context, warehouse, profile)
    return _outcomes(stage, "test_outcomes", "test_rollouts", "test")

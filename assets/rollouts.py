"""Playing: the policies on validation and test tasks, what rules they broke, and what came of each task's trials."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import dagster as dg

from assets.model_calls import ModelCalls
from assets.resources import ProfileResource, TrainerResource, WarehouseResource
from assets.retries import retried
from assets.roles import user_of
from assets.rounds import ROUNDS
from assets.stage import Stage, picture, table_of
from env_sim import load_domain
from env_sim.monitor import violations
from quality import pass_hat_k
from quality.conduct_gates import breach_shares
from quality.plots import pattern_plot, success_by_pattern
from schemas import BOOTSTRAP, Checkpoint, Task, Trajectory, Violation

Context = dg.AssetExecutionContext


def _play(
    stage: Stage, trainer: TrainerResource, checkpoint: Checkpoint, split: str, calls: ModelCalls
) -> list[Trajectory]:
    """All trials of a split's tasks by one policy. The seed names the split, not the policy, so that policies pair."""
    tasks = stage.read(Task, f"{split}_tasks", BOOTSTRAP)
    databases = stage.databases(split)
    n_trials = getattr(stage.profile.trials, split)
    user = user_of(stage.profile, calls)
    player = trainer.player(stage.profile, stage.warehouse, checkpoint, calls.record, user)
    return player.rollouts(checkpoint, tasks, databases, n_trials, stage.seed(f"{split} rollouts"))


def _played(rows: Sequence[Trajectory]) -> dict[str, Any]:
    reasons = sorted({row.stop_reason for row in rows})
    counts = [(reason, sum(row.stop_reason == reason for row in rows)) for reason in reasons]
    n_rows = max(1, len(rows))
    faults = Counter(row.user_fault.kind.value for row in rows if row.user_fault)
    spoilt = {"user_faults": table_of(("fault of the user", "episodes"), sorted(faults.items()))} if faults else {}
    return {
        **spoilt,
        "success_share": sum(row.succeeded for row in rows) / n_rows,
        "tokens_per_episode": sum(row.reward.length_tokens for row in rows) / n_rows,
        "stop_reasons": table_of(("stop reason", "episodes"), counts),
    }


def specs(split: str, group: str, deps: Sequence[str], description: str) -> list[dg.AssetSpec]:
    """The two tables of one playing: episodes, and the breaches of the rulebook in them."""
    breaches = "Breaches of the rulebook in these episodes, each with its turn, as the monitor reads them."
    said = {f"{split}_violations": breaches, f"{split}_rollouts": description}
    return [dg.AssetSpec(k, group_name=group, deps=deps, kinds={"lance"}, description=v) for k, v in said.items()]


def written(
    stage: Stage, split: str, rows: Sequence[Trajectory], told: dict[str, Any], policy_version: str
) -> Iterator[dg.MaterializeResult]:
    """Write episodes and their violations; these first, so that no episodes are stored without them."""
    found = violations(rows, load_domain(stage.profile.domain).rules)
    yield stage.write(f"{split}_violations", found, _conduct(found, len(rows)), policy_version=policy_version)
    yield stage.write(f"{split}_rollouts", rows, told, policy_version=policy_version)


def _conduct(found: Sequence[Violation], n_episodes: int) -> dict[str, Any]:
    shares = breach_shares(found, n_episodes)
    lines = [(rule, share, sum(row.rule == rule for row in found)) for rule, share in shares.items()]
    broken = len({row.trajectory_id for row in found}) / max(1, n_episodes)
    return {"breach_share": broken, "by_rule": table_of(("rule", "share of episodes", "violations"), lines)}


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


@dg.multi_asset(
    specs=specs(
        "baseline_test",
        "evaluation",
        ["test_tasks", "test_databases", "base_checkpoint", "sft_checkpoint", "served_checkpoint"],
        "The policies from before the loop on the test tasks, what every round is compared with: the untrained and the "
        "imitating one, or the served model.",
    ),
)
@retried
def baseline_test_playing(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource, trainer: TrainerResource
) -> Iterator[dg.MaterializeResult]:
    """The policies from before the loop on the test tasks, what every round is compared with."""
    stage = Stage(context, warehouse, profile)
    kinds = ("base", "sft") if stage.profile.trains else ("served",)
    checkpoints = [stage.read(Checkpoint, f"{kind}_checkpoint")[0] for kind in kinds]
    with ModelCalls.of(stage, "baseline_test_rollouts") as calls:
        played = [_play(stage, trainer, checkpoint, "test", calls) for checkpoint in checkpoints]
    told = _played(played[-1]) | calls.metadata()
    told |= {f"{kind}_success_share": _played(rows)["success_share"] for kind, rows in zip(kinds, played, strict=True)}
    yield from written(stage, "baseline_test", list(chain(*played)), told, checkpoints[-1].checkpoint_id)


@dg.asset(group_name="evaluation", kinds={"lance"}, deps=["baseline_test_rollouts", "test_tasks"])
@retried
def baseline_test_outcomes(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """Successes and trials of each test task by the policies from before the loop."""
    stage = Stage(context, warehouse, profile)
    return _outcomes(stage, "baseline_test_outcomes", "baseline_test_rollouts", "test")


@dg.multi_asset(
    specs=specs(
        "validation",
        "discovery",
        ["round_policy", "validation_tasks", "validation_databases"],
        "The policy under test on the validation tasks, several trials each: where this round's failures come from.",
    ),
    partitions_def=ROUNDS,
)
@retried
def validation_playing(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource, trainer: TrainerResource
) -> Iterator[dg.MaterializeResult]:
    """The policy under test on the validation tasks, several trials each: where this round's failures come from."""
    stage = Stage(context, warehouse, profile)
    policy = stage.read(Checkpoint, "round_policy")[0]
    with ModelCalls.of(stage, "validation_rollouts") as calls:
        rows = _play(stage, trainer, policy, "validation", calls)
    yield from written(stage, "validation", rows, _played(rows) | calls.metadata(), policy.checkpoint_id)


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


@dg.multi_asset(
    specs=specs(
        "test",
        "evaluation",
        ["rl_checkpoint", "test_tasks", "test_databases"],
        "This round's RL policy on the test tasks, with the sampling seeds of the baseline.",
    ),
    partitions_def=ROUNDS,
)
@retried
def test_playing(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource, trainer: TrainerResource
) -> Iterator[dg.MaterializeResult]:
    """This round's RL policy on the test tasks, with the sampling seeds of the baseline."""
    stage = Stage(context, warehouse, profile)
    policy = stage.read(Checkpoint, "rl_checkpoint")[0]
    with ModelCalls.of(stage, "test_rollouts") as calls:
        rows = _play(stage, trainer, policy, "test", calls)
    yield from written(stage, "test", rows, _played(rows) | calls.metadata(), policy.checkpoint_id)


@dg.asset(group_name="evaluation", kinds={"lance"}, partitions_def=ROUNDS, deps=["test_rollouts", "test_tasks"])
@retried
def test_outcomes(context: Context, warehouse: WarehouseResource, profile: ProfileResource) -> dg.MaterializeResult:
    """Successes and trials of each test task by this round's RL policy."""
    stage = Stage(context, warehouse, profile)
    return _outcomes(stage, "test_outcomes", "test_rollouts", "test")

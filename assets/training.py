"""Reinforcement on the pool: one GRPO run per round, and what other rewards would have made of the same pool."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from assets.resources import ProfileResource, TrainerResource, WarehouseResource
from assets.retries import retried
from assets.rollouts import written
from assets.rounds import ROUNDS, next_round
from assets.sft import announce
from assets.stage import Stage, picture, table_of
from env_sim.pool import ablations
from quality.pass_hat_k import outcomes, report, table_text
from quality.plots import training_plot
from schemas import BOOTSTRAP, Checkpoint, PoolTask, Task, Trajectory

if TYPE_CHECKING:
    from trainer.embedded import EmbeddedTrainer

GROUP = "training"
_BEHAVIOUR = ("success", "action_checks", "length_tokens", "repeats")
_DEPS = ["task_pool", "sft_checkpoint", "train_databases", "round_policy"]


def _start(stage: Stage) -> Checkpoint:
    """Where this round's training starts: by profile the SFT checkpoint, or the policy under test."""
    if stage.profile.start_from == "previous_rl":
        return stage.read(Checkpoint, "round_policy")[0]
    return stage.read(Checkpoint, "sft_checkpoint", BOOTSTRAP)[0]


def _earlier(stage: Stage) -> Checkpoint | None:
    """The mean of the rounds' runs before this one, which is the policy under test; None when this run stands alone."""
    averages = stage.profile.average_rounds and stage.profile.start_from == "sft"
    return stage.read(Checkpoint, "round_policy")[0] if averages and len(stage.rounds) > 1 else None


def _spec(name: str, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(name, deps=_DEPS, kinds={"lance", "pytorch"}, description=description)


@dg.multi_asset(
    name="rl_training",
    group_name=GROUP,
    partitions_def=ROUNDS,
    specs=[
        _spec("rl_checkpoint", "The policy after GRPO on this round's pool; under test in the next round."),
        _spec("rl_violations", "Breaches of the rulebook in the training episodes, each with its turn."),
        _spec("rl_rollouts", "Every training episode with its group, advantage and reward parts."),
        _spec("rl_metrics", "One row per training step: reward, success, KL, entropy, groups dropped."),
    ],
)
@retried
def rl_training(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    profile: ProfileResource,
    trainer: TrainerResource,
) -> Iterator[dg.MaterializeResult]:
    """Train on the pool and put the result up for test in the next round."""
    stage = Stage(context, warehouse, profile)
    learner, seed = trainer.build(stage.profile, stage.warehouse), stage.seed("rl")
    pool, databases, start = stage.read(PoolTask, "task_pool"), stage.databases("train"), _start(stage)
    version, earlier = stage.versions["task_pool"], _earlier(stage)
    name = f"rl-{stage.round}"
    result = learner.rl_checkpoint(start, name, pool, databases, seed, version, earlier)
    new = result.checkpoint.checkpoint_id
    success = sum(row.succeeded for row in result.rollouts) / max(1, len(result.rollouts))
    yield from written(stage, "rl", result.rollouts, {"success_share": success}, new)
    told = {"last_reward": result.metrics[-1].mean_reward, "curves": picture(training_plot(result.metrics), "curves")}
    yield stage.write("rl_metrics", result.metrics, told, policy_version=new)
    told = {
        "path": dg.MetadataValue.path(result.checkpoint.path),
        "parent_checkpoint_id": start.checkpoint_id,
        "mean_of_runs": len(stage.rounds) if earlier else 1,
        "own_share": len(result.metrics) / result.checkpoint.n_steps,
    }
    yield stage.write("rl_checkpoint", [result.checkpoint], told, policy_version=new)
    if following := next_round(stage.round):
        announce(stage, following, result.checkpoint)


@dg.asset(
    group_name="evaluation",
    kinds={"lance", "pytorch"},
    partitions_def=ROUNDS,
    deps=[*_DEPS, "test_tasks", "test_databases"],
)
@retried
def reward_ablation_report(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    profile: ProfileResource,
    trainer: TrainerResource,
) -> dg.MaterializeResult:
    """Pass^k of three policies from one pool and budget: full reward, no repeat penalty, task success only."""
    stage = Stage(context, warehouse, profile)
    rewards = ablations(stage.profile.reward)
    learners = {name: trainer.build(stage.profile, stage.warehouse, reward) for name, reward in rewards.items()}
    start, rows, behaviour = _start(stage), [], []
    for name, learner in learners.items():
        played = _trained_and_played(stage, learner, start, name)
        tasks = stage.read(Task, "test_tasks", BOOTSTRAP)
        rows += report(outcomes(played, tasks, stage.profile.seed), stage.profile.ks, seed=stage.profile.seed)
        behaviour.append((name, *(sum(getattr(p.reward, key) for p in played) / len(played) for key in _BEHAVIOUR)))
    told = {"pass_hat_k": dg.MetadataValue.md(f"```\n{table_text(rows)}\n```")}
    told |= {"behaviour": table_of(("reward", *_BEHAVIOUR), behaviour)}
    return stage.write("reward_ablation_report", rows, told)


def _trained_and_played(stage: Stage, learner: "EmbeddedTrainer", start: Checkpoint, name: str) -> list[Trajectory]:
    """Test episodes of a policy trained as this round's, but under another reward."""
    pool, tasks = stage.read(PoolTask, "task_pool"), stage.read(Task, "test_tasks", BOOTSTRAP)
    version, policy = stage.versions["task_pool"], f"rl-{stage.round}-{name}"
    trained = learner.rl_checkpoint(start, policy, pool, stage.databases("train"), stage.seed("rl"), version)
    trials, seed = stage.profile.trials.test, stage.seed("test rollouts")
    return learner.rollouts(trained.checkpoint, tasks, stage.databases("test"), trials, seed)

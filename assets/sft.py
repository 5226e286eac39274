"""Imitation: solved dialogues, the untrained policy, and the policy that has imitated them."""

from collections.abc import Iterator

import dagster as dg

from assets.checks import verdicts
from assets.resources import ProfileResource, TrainerResource, WarehouseResource
from assets.retries import retried
from assets.rounds import ROUND_KEYS, ROUNDS
from assets.stage import Stage, picture, progress, written
from env_sim import load_domain
from env_sim.reward import Scorer
from env_sim.tasks import demonstrate
from schemas import BOOTSTRAP, Checkpoint, GateError, Task, Trajectory

GROUP = "imitation"

round_policy = dg.AssetSpec(
    "round_policy",
    deps=["sft_checkpoint", "served_checkpoint"],
    partitions_def=ROUNDS,
    group_name="discovery",
    description="The checkpoint under test in a round: SFT or a served model in round 1, else the RL "
    "checkpoint of the round before. External: announced by the trainer for the next partition, because a graph may "
    "hold no cycle. This is where it is cut.",
)


@dg.asset(group_name=GROUP, kinds={"lance"}, deps=["sft_tasks", "train_databases"])
@retried
def sft_trajectories(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """Each task's dialogue as the expert program solves it, played in the environment with the scripted user."""
    stage = Stage(context, warehouse, profile)
    domain, databases = stage.profile.domain, stage.databases("train")
    tasks = stage.read(Task, "sft_tasks")
    scorer = Scorer(load_domain(domain), stage.profile.reward)
    rows = [demonstrate(domain, databases, task, scorer) for task in progress(tasks, "demonstrations")]
    turns = sum(len(row.messages) for row in rows) / max(1, len(rows))
    return stage.write("sft_trajectories", rows, {"success_share": 1.0, "turns_per_dialogue": turns})


@dg.asset(group_name=GROUP, kinds={"lance", "pytorch"}, deps=["sft_trajectories"])
@retried
def base_checkpoint(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    profile: ProfileResource,
    trainer: TrainerResource,
) -> dg.MaterializeResult:
    """The policy before any training: its tokenizer and its initial weights."""
    stage = Stage(context, warehouse, profile)
    learner = trainer.build(stage.profile, stage.warehouse)
    base = learner.base_checkpoint(stage.read(Trajectory, "sft_trajectories"), stage.seed("base"))
    told = {"n_parameters": base.n_parameters, "path": dg.MetadataValue.path(base.path)}
    return stage.write("base_checkpoint", [base], told, policy_version=base.checkpoint_id)


@dg.multi_asset(
    name="sft_training",
    group_name=GROUP,
    specs=[
        dg.AssetSpec(
            "sft_checkpoint",
            deps=["sft_trajectories", "base_checkpoint"],
            kinds={"lance", "pytorch"},
            description="The policy after imitation, loss on its own tokens only; round 1 tests it.",
        ),
        dg.AssetSpec(
            "sft_metrics",
            deps=["sft_trajectories", "base_checkpoint"],
            kinds={"lance"},
            description="One row per optimizer step of the copy warm-up and of imitation.",
        ),
    ],
)
@retried
def sft_training(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    profile: ProfileResource,
    trainer: TrainerResource,
) -> Iterator[dg.MaterializeResult]:
    """Train by imitation and put the result up for test in round 1."""
    from quality.plots import training_plot

    stage = Stage(context, warehouse, profile)
    learner = trainer.build(stage.profile, stage.warehouse)
    trajectories = stage.read(Trajectory, "sft_trajectories")
    base = stage.read(Checkpoint, "base_checkpoint")[0]
    sft, steps = learner.sft_checkpoint(trajectories, base, stage.seed("sft"))
    told = {"last_loss": steps[-1].loss, "curves": picture(training_plot(steps), "training curves")}
    yield stage.write("sft_metrics", steps, told, policy_version=sft.checkpoint_id)
    told = {"path": dg.MetadataValue.path(sft.path)}
    yield stage.write("sft_checkpoint", [sft], told, policy_version=sft.checkpoint_id)
    announce(stage, ROUND_KEYS[0], sft)


def announce(stage: Stage, round: str, checkpoint: Checkpoint) -> None:
    """Put a checkpoint up for test in a round: the one arrow that the graph can't hold.

    Raises:
        GateError: When a gate refuses it.
    """
    version = stage.warehouse.replace_round("round_policy", round, [checkpoint])
    # No check can follow the row of another partition, so its gates run here; a reader asks for their verdicts.
    found = verdicts(stage.warehouse, stage.profile, "round_policy", round)
    if failed := [result.message for result in found if not result.passed]:
        raise GateError("\n".join(failed))
    told = {
        **written("round_policy", version, checkpoint.checkpoint_id),
        "dagster/partition_row_count": 1,
        "parent_checkpoint_id": str(checkpoint.parent_checkpoint_id),
        "policy": checkpoint.policy,
        "made_in": stage.round if stage.round != BOOTSTRAP else f"{checkpoint.kind}_checkpoint",
    }
    stage.context.log_event(dg.AssetMaterialization("round_policy", partition=round, metadata=told))

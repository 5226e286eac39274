"""Why a round's policy fails: an explanation per failed episode, and the explanations grouped by cause."""

from collections import Counter
from itertools import islice

import dagster as dg

from assets.model_calls import ModelCalls
from assets.resources import ProfileResource, WarehouseResource
from assets.retries import retried
from assets.roles import clustered, explained
from assets.rounds import ROUNDS
from assets.stage import Stage, picture, table_of
from quality.judge import Failure
from quality.judge_measure import vote_kappa
from quality.plots import cluster_plot
from schemas import BOOTSTRAP, Blame, Explanation, FailureCluster, StopReason, Task, Trajectory

GROUP = "discovery"


@dg.asset(group_name=GROUP, kinds={"lance"}, partitions_def=ROUNDS, deps=["validation_rollouts", "validation_tasks"])
@retried
def judge_explanations(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """What went wrong in each failed episode: text, decisive turn, evidence, blame."""
    stage = Stage(context, warehouse, profile)
    tasks = {task.task_id: task for task in stage.read(Task, "validation_tasks", BOOTSTRAP)}
    rollouts = stage.read(Trajectory, "validation_rollouts")
    failed = [row for row in rollouts if not row.succeeded and row.stop_reason != StopReason.INFRASTRUCTURE]
    failures = [Failure(tasks[row.task_id], row) for row in failed]
    with ModelCalls.of(stage, "judge_explanations", len(failures)) as calls:
        rows = explained(stage.profile, failures, calls)
    agent = sum(row.blame == Blame.AGENT for row in rows)
    examples = [(row.pattern, row.blame, row.text) for row in islice(rows, 10)]
    told = {
        "failed_share": len(failed) / max(1, len(rollouts)),
        "agent_blamed_share": agent / max(1, len(rows)),
        "blame": table_of(("blame", "failures"), sorted(Counter(row.blame.value for row in rows).items())),
        "unread_share": sum(bool(row.parse_error) for row in rows) / max(1, len(rows)),
        "vote_agreement": sum(row.agreement for row in rows) / max(1, len(rows)),
        **calls.metadata(),
        "examples": table_of(("pattern", "blame", "explanation"), examples),
    }
    if (kappa := vote_kappa(rows)) is not None:
        told["vote_kappa"] = kappa
    return stage.write("judge_explanations", rows, told)


@dg.asset(group_name=GROUP, kinds={"lance"}, partitions_def=ROUNDS, deps=["judge_explanations"])
@retried
def failure_clusters(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """This round's failures grouped by what their explanations say, matched to the clusters of the round before."""
    stage = Stage(context, warehouse, profile)
    explanations = stage.read(Explanation, "judge_explanations")
    previous = stage.read(FailureCluster, "failure_clusters", stage.rounds[-2]) if len(stage.rounds) > 1 else []
    with ModelCalls.of(stage, "failure_clusters") as calls:
        rows, points = clustered(stage.profile, explanations, previous, calls)
    lines = [
        (row.label, row.called_text, row.size, row.share, row.silhouette, row.previous_cluster_id or "new")
        for row in rows
    ]
    told = {
        "noise_share": 1 - sum(row.share for row in rows),
        "stability_ari": rows[0].stability_ari if rows else 0.0,
        "unread_labels": sum(bool(row.parse_error) for row in rows),
        **calls.metadata(),
        "clusters": table_of(("label", "patterns", "size", "share", "silhouette", "continues"), lines),
        "map": picture(cluster_plot(rows, points), "failure clusters"),
    }
    if rows and rows[0].seed_ari is not None:
        told["seed_ari"] = rows[0].seed_ari
    return stage.write("failure_clusters", rows, told)

"""Targeted tasks: explorations that allow this round's failure patterns, tasks written from them, the pool."""

from itertools import islice

import dagster as dg

from assets.plans import injection_plan
from assets.resources import ProfileResource, WarehouseResource
from assets.retries import retried
from assets.rounds import ROUNDS, UP_TO
from assets.stage import Stage, picture, progress, table_of
from env_sim.pool import (
    PatternPlan,
    build_pool,
    inject_tasks,
    pattern_table,
    rejection_table,
    rescored,
    useful_sources,
)
from env_sim.tasks import explore, replay
from quality.plots import pool_plot
from quality.task_words import without_duplicates
from schemas import FailureCluster, Task, Trajectory, Verdict

GROUP = "injection"
Context = dg.AssetExecutionContext


def _plan(stage: Stage) -> PatternPlan:
    return injection_plan(stage.profile, stage.read(FailureCluster, "failure_clusters"))


def accepted_tasks(stage: Stage) -> dict[str, list[Task]]:
    """Tasks that replayed, by round, of the rounds so far."""
    verdicts = stage.read_rounds(Verdict, "executable_tasks")
    return {key: [row.task for row in rows if row.executable] for key, rows in verdicts.items()}


@dg.asset(group_name=GROUP, kinds={"lance"}, partitions_def=ROUNDS, deps=["failure_clusters", "train_databases"])
@retried
def source_trajectories(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """Successful explorations of training databases that allow the patterns this round wants."""
    stage = Stage(context, warehouse, profile)
    databases, plan, config = stage.databases("train"), _plan(stage), stage.profile.injection
    limit = config.explorations_per_task * plan.n_tasks
    endless = explore(stage.profile.domain, list(databases.values()), stage.seed("explore"))
    explorations = progress(islice(endless, limit), "explorations", total=limit)
    found = useful_sources(stage.profile.domain, databases, explorations, plan, config, stage.seed("sources"))
    rows = [rescored(row, stage.profile.reward) for row in found]
    told = {"explored": explorations.n, "kept_share": len(rows) / max(1, explorations.n)}
    return stage.write("source_trajectories", rows, told)


@dg.asset(
    group_name=GROUP,
    kinds={"lance"},
    partitions_def=ROUNDS,
    deps=["source_trajectories", "failure_clusters", "train_databases"],
)
@retried
def injected_tasks(context: Context, warehouse: WarehouseResource, profile: ProfileResource) -> dg.MaterializeResult:
    """User tasks with a failure pattern written into their wording, as many per pattern as its clusters are large."""
    stage = Stage(context, warehouse, profile)
    plan, sources = _plan(stage), stage.read(Trajectory, "source_trajectories")
    databases, seed = stage.databases("train"), stage.seed("write")
    rows = inject_tasks(stage.profile.domain, databases, sources, plan, seed)
    lines = [(name, plan.counts.get(name, 0), count, share) for name, count, share in pattern_table(rows)]
    told = {
        "missing_share": 1 - len(rows) / max(1, plan.n_tasks),
        "targeted_share": sum(row.cluster_id is not None for row in rows) / max(1, len(rows)),
        "patterns": table_of(("pattern", "wanted", "written", "share"), lines),
    }
    return stage.write("injected_tasks", rows, told)


@dg.asset(group_name=GROUP, kinds={"lance"}, partitions_def=ROUNDS, deps=["injected_tasks", "train_databases"])
@retried
def executable_tasks(context: Context, warehouse: WarehouseResource, profile: ProfileResource) -> dg.MaterializeResult:
    """Each injected task with its verdict: does the reference replay and reach what is asked? Rejections are kept."""
    stage = Stage(context, warehouse, profile)
    tasks, databases = stage.read(Task, "injected_tasks"), stage.databases("train")
    rows = [replay(stage.profile.domain, databases, task) for task in progress(tasks, "replays")]
    rejected = rejection_table(rows)
    told = {
        "rejected_share": sum(count for _, count in rejected) / max(1, len(rows)),
        "rejections": table_of(("reason", "tasks"), rejected),
    }
    return stage.write("executable_tasks", rows, told)


@dg.asset(
    group_name=GROUP,
    kinds={"lance"},
    partitions_def=ROUNDS,
    deps=[dg.AssetDep("executable_tasks", partition_mapping=UP_TO), "failure_clusters"],
)
@retried
def task_pool(context: Context, warehouse: WarehouseResource, profile: ProfileResource) -> dg.MaterializeResult:
    """All accepted tasks of the rounds so far, each once, weighted by the mixing policy."""
    stage = Stage(context, warehouse, profile)
    accepted, config = accepted_tasks(stage), stage.profile.duplicates
    rows = build_pool(without_duplicates(accepted, config), stage.profile.mix, _plan(stage))
    told = {
        "duplicate_share": 1 - len(rows) / max(1, sum(map(len, accepted.values()))),
        "patterns": table_of(("pattern", "tasks", "share"), pattern_table([row.task for row in rows])),
        "plot": picture(pool_plot(rows), "pool by pattern and round"),
    }
    return stage.write("task_pool", rows, told)

"""Targeted tasks: explorations that allow this round's failure patterns, tasks written from them, the pool.

Each making leaves its attempts beside its rows: of a model all, of a program the explorations that are kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from assets.model_calls import ModelCalls
from assets.plans import injection_plan
from assets.resources import ProfileResource, WarehouseResource
from assets.retries import retried
from assets.rounds import ROUNDS, UP_TO
from assets.stage import Stage, picture, table_of
from assets.task_roles import TaskMaker
from env_sim.pool import PatternPlan, build_pool, pattern_table, rejection_table, rescored
from quality.plots import pool_plot
from quality.task_words import without_duplicates
from schemas import Attempt, FailureCluster, Task, Trajectory, Verdict

GROUP = "injection"
Context = dg.AssetExecutionContext


def _plan(stage: Stage) -> PatternPlan:
    return injection_plan(stage.profile, stage.read(FailureCluster, "failure_clusters"))


def accepted_tasks(stage: Stage) -> dict[str, list[Task]]:
    """Tasks that replayed, by round, of the rounds so far."""
    verdicts = stage.read_rounds(Verdict, "executable_tasks")
    return {key: [row.task for row in rows if row.executable] for key, rows in verdicts.items()}


@contextmanager
def _maker(stage: Stage, table: str) -> Iterator[TaskMaker]:
    with ModelCalls.of(stage, table) as calls:
        yield TaskMaker(stage.profile, calls, stage.databases("train"), stage.seed)


def _specs(deps: Sequence[str], said: dict[str, str]) -> list[dg.AssetSpec]:
    """The two tables of one making: what came of each attempt, and the rows that were kept."""
    return [dg.AssetSpec(k, group_name=GROUP, deps=deps, kinds={"lance"}, description=v) for k, v in said.items()]


@dg.multi_asset(
    partitions_def=ROUNDS,
    specs=_specs(
        ["failure_clusters", "train_databases"],
        {
            "exploration_attempts": "Tries to explore for a pattern: of a model each, of a program those kept.",
            "source_trajectories": "Successful explorations of training databases for the patterns this round wants.",
        },
    ),
)
@retried
def exploration(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource
) -> Iterator[dg.MaterializeResult]:
    """Successful explorations of training databases that allow the patterns this round wants."""
    stage = Stage(context, warehouse, profile)
    with _maker(stage, "source_trajectories") as maker:
        made = maker.explored(_plan(stage))
    yield stage.write("exploration_attempts", made.attempts)
    rows = [rescored(row, stage.profile.reward) for row in made.rows]
    yield stage.write("source_trajectories", rows, made.told)


@dg.multi_asset(
    partitions_def=ROUNDS,
    specs=_specs(
        ["source_trajectories", "exploration_attempts", "failure_clusters", "train_databases"],
        {
            "writing_attempts": "Each try of a model to write a task, in vain or not; programs leave none.",
            "injected_tasks": "User tasks with a failure pattern in their wording, as many as its clusters ask for.",
        },
    ),
)
@retried
def injection(
    context: Context, warehouse: WarehouseResource, profile: ProfileResource
) -> Iterator[dg.MaterializeResult]:
    """User tasks with a failure pattern written into their wording, as many per pattern as its clusters are large."""
    stage = Stage(context, warehouse, profile)
    plan, sources = _plan(stage), stage.read(Trajectory, "source_trajectories")
    explorations = stage.read(Attempt, "exploration_attempts")
    with _maker(stage, "injected_tasks") as maker:
        made = maker.written(plan, sources, explorations, stage.read(FailureCluster, "failure_clusters"))
    lines = [(name, plan.counts.get(name, 0), count, share) for name, count, share in pattern_table(made.rows)]
    told = {
        "missing_share": 1 - len(made.rows) / max(1, plan.n_tasks),
        "targeted_share": sum(row.cluster_id is not None for row in made.rows) / max(1, len(made.rows)),
        "patterns": table_of(("pattern", "wanted", "written", "share"), lines),
    }
    yield stage.write("writing_attempts", made.attempts)
    yield stage.write("injected_tasks", made.rows, {**told, **made.told})


@dg.asset(
    group_name=GROUP,
    kinds={"lance"},
    partitions_def=ROUNDS,
    deps=["injected_tasks", "exploration_attempts", "writing_attempts", "train_databases"],
)
@retried
def executable_tasks(context: Context, warehouse: WarehouseResource, profile: ProfileResource) -> dg.MaterializeResult:
    """Each injected task with its verdict: does the reference replay and reach what is asked? Rejections are kept."""
    stage = Stage(context, warehouse, profile)
    attempts = [stage.read(Attempt, f"{act}_attempts") for act in ("exploration", "writing")]
    with _maker(stage, "executable_tasks") as maker:
        made = maker.checked(stage.read(Task, "injected_tasks"), *attempts)
    rejected = rejection_table(made.rows)
    told = {
        "rejected_share": sum(count for _, count in rejected) / max(1, len(made.rows)),
        "rejections": table_of(("reason", "tasks"), rejected),
    }
    return stage.write("executable_tasks", made.rows, {**told, **made.told})


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

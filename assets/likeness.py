"""Likeness of rows: vectors to search by, and tasks that say the same twice. Nothing downstream learns from these."""

import dagster as dg

from assets.injection import GROUP, accepted_tasks
from assets.model_calls import ModelCalls
from assets.resources import ProfileResource, WarehouseResource
from assets.retries import retried
from assets.roles import stored_embedder
from assets.rounds import ROUNDS, UP_TO
from assets.stage import Stage, table_of
from quality.task_words import embeddings_of, find_pairs
from schemas import Explanation, PoolTask

Context = dg.AssetExecutionContext


@dg.asset(group_name=GROUP, kinds={"lance"}, partitions_def=ROUNDS, deps=["judge_explanations", "task_pool"])
@retried
def embeddings(context: Context, warehouse: WarehouseResource, profile: ProfileResource) -> dg.MaterializeResult:
    """Words and vectors of this round's explanations and new pool tasks: what `python -m jobs search` looks through."""
    stage = Stage(context, warehouse, profile)
    explanations, pool = stage.read(Explanation, "judge_explanations"), stage.read(PoolTask, "task_pool")
    with ModelCalls.of(stage, "embeddings") as calls:
        embed = stored_embedder(stage.profile, calls)
        rows = embeddings_of(explanations, [row for row in pool if row.added_in == stage.round], embed)
    wordless = sum(not any(row.vector) for row in rows)
    told = {"wordless_share": wordless / max(1, len(rows)), "embedder": embed.name, **calls.metadata()}
    return stage.write("embeddings", rows, told)


@dg.asset(
    group_name=GROUP,
    kinds={"lance"},
    partitions_def=ROUNDS,
    deps=[dg.AssetDep("executable_tasks", partition_mapping=UP_TO)],
)
@retried
def near_duplicates(context: Context, warehouse: WarehouseResource, profile: ProfileResource) -> dg.MaterializeResult:
    """Pairs of accepted tasks, of the rounds so far, that ask for the same in nearly the same words."""
    stage = Stage(context, warehouse, profile)
    accepted = accepted_tasks(stage)
    rows = find_pairs(accepted, stage.profile.duplicates)
    told = {
        "duplicate_share": len(rows) / max(1, sum(map(len, accepted.values()))),
        "pairs": table_of(("similarity", "kept", "dropped"), [(r.similarity, r.kept_id, r.dropped_id) for r in rows]),
    }
    return stage.write("near_duplicates", rows, told)

"""Worlds and tasks that exist before the loop: databases per split, evaluation tasks, tasks to imitate."""

from collections.abc import Sequence
from typing import Literal

import dagster as dg

from assets.plans import mix_of
from assets.resources import ProfileResource, WarehouseResource
from assets.retries import retried
from assets.stage import Stage, counted, progress, table_of
from env_sim import load_domain
from env_sim.pool import distinct_tasks, pattern_table
from env_sim.task_kits import load_task_kit
from env_sim.tasks import make_tasks

GROUP = "bootstrap"
Split = Literal["train", "validation", "test"]


def _databases(split: Split) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"{split}_databases",
        group_name=GROUP,
        kinds={"lance"},
        description=f"Generated {split} databases: what makes them again, their ids and a hash. Splits share nothing.",
    )
    @retried
    def databases(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
    ) -> dg.MaterializeResult:
        stage = Stage(context, warehouse, profile)
        count, n_users = getattr(stage.profile.databases, split), stage.profile.databases.n_users
        domain = load_domain(stage.profile.domain)
        seed = stage.seed("databases")
        numbers = progress(range(count), f"{split} databases")
        rows = [domain.database_row(split, number, seed, n_users) for number in numbers]
        n_entities = sum(len(each.ids) for row in rows for each in row.entities)
        told = {"users": sum(row.n_users for row in rows), "entities": n_entities}
        return stage.write(f"{split}_databases", rows, told)

    return databases


def _tasks(name: str, split: Split, description: str, apart_from: Sequence[str] = ()) -> dg.AssetsDefinition:
    deps = [f"{split}_databases", *apart_from]

    @dg.asset(name=name, group_name=GROUP, kinds={"lance"}, deps=deps, description=description)
    @retried
    def tasks(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
    ) -> dg.MaterializeResult:
        stage = Stage(context, warehouse, profile)
        domain = stage.profile.domain
        mix, wanted = mix_of(stage.profile, name)
        databases = list(stage.databases(split).values())
        with counted(wanted, name) as tell:
            made = make_tasks(domain, databases, mix, wanted, stage.seed(name), tell)
        rows = distinct_tasks(made)
        counts = pattern_table(rows)
        plain = load_task_kit(domain).patterns[0].name
        told = {
            "plain_share": sum(share for pattern, _, share in counts if pattern == plain),
            "twin_share": 1 - len(rows) / max(1, len(made)),
            "patterns": table_of(("pattern", "tasks", "share"), counts),
        }
        return stage.write(name, rows, told)

    return tasks


train_databases = _databases("train")
validation_databases = _databases("validation")
test_databases = _databases("test")
validation_tasks = _tasks("validation_tasks", "validation", "Tasks on which each round looks for failures.")
test_tasks = _tasks("test_tasks", "test", "Held-out tasks behind every reported number; never trained on.")
sft_tasks = _tasks(
    "sft_tasks",
    "train",
    "Tasks whose demonstrations are imitated; mostly easy ones. Behind the held-out tasks, which they must not repeat.",
    apart_from=("validation_tasks", "test_tasks"),
)

"""Which column's values are taken from which: every id that points to another row, every value copied along the loop.

Declared once, as table -> column -> the columns of other tables where its values are found: Dagster's column lineage
and the data dictionary are rendered from here, and a test looks every value of a finished loop up in its origins.
"""

from collections.abc import Mapping

from schemas.records import Record, Task
from schemas.results import Checkpoint

__all__ = ["ORIGINS", "Origins"]

Origins = Mapping[str, tuple[str, ...]]
"""Column -> `table.column` of each table that its values may be taken from."""


def _copied(record: type[Record], *tables: str) -> Origins:
    return {name: tuple(f"{table}.{name}" for table in tables) for name in record.model_fields}


def _played(tasks: str, databases: str) -> Origins:
    return {"task_id": (f"{tasks}.task_id",), "database_id": (f"{databases}.database_id",)}


def _counted(rollouts: str, tasks: str) -> Origins:
    return {
        "policy": (f"{rollouts}.policy",),
        "policy_version": (f"{rollouts}.policy_version",),
        "task_id": (f"{rollouts}.task_id",),
        "pattern": (f"{tasks}.pattern",),
    }


def _versions(*tables: str) -> tuple[str, ...]:
    return tuple(f"{table}.checkpoint_id" for table in tables)


_TRAIN = "train_databases.database_id"

ORIGINS: dict[str, Origins] = {
    "validation_tasks": {"database_id": ("validation_databases.database_id",)},
    "test_tasks": {"database_id": ("test_databases.database_id",)},
    "sft_tasks": {"database_id": (_TRAIN,)},
    "sft_trajectories": _played("sft_tasks", "train_databases"),
    "sft_checkpoint": {"parent_checkpoint_id": _versions("base_checkpoint")},
    "baseline_test_rollouts": {
        **_played("test_tasks", "test_databases"),
        "policy_version": _versions("base_checkpoint", "sft_checkpoint"),
    },
    "baseline_test_outcomes": _counted("baseline_test_rollouts", "test_tasks"),
    **{
        f"{split}_violations": {"trajectory_id": (f"{split}_rollouts.trajectory_id",)}
        for split in ("validation", "baseline_test", "test", "rl")
    },
    "round_policy": _copied(Checkpoint, "sft_checkpoint", "rl_checkpoint"),
    "validation_rollouts": {
        **_played("validation_tasks", "validation_databases"),
        "policy_version": _versions("round_policy"),
    },
    "validation_outcomes": _counted("validation_rollouts", "validation_tasks"),
    "judge_explanations": {
        "trajectory_id": ("validation_rollouts.trajectory_id",),
        "task_id": ("validation_rollouts.task_id",),
    },
    "failure_clusters": {
        "pattern": ("judge_explanations.pattern",),
        "explanation_ids": ("judge_explanations.explanation_id",),
        "example_texts": ("judge_explanations.text",),
        "previous_cluster_id": ("failure_clusters.cluster_id",),
    },
    "source_trajectories": {"database_id": (_TRAIN,)},
    "injected_tasks": {
        "database_id": (_TRAIN,),
        "source_trajectory_id": ("source_trajectories.trajectory_id",),
        "cluster_id": ("failure_clusters.cluster_id",),
    },
    "executable_tasks": _copied(Task, "injected_tasks"),
    "task_pool": _copied(Task, "executable_tasks"),
    "embeddings": {"row_id": ("judge_explanations.explanation_id", "task_pool.task_id")},
    "near_duplicates": dict.fromkeys(("kept_id", "dropped_id"), ("executable_tasks.task_id",)),
    "rl_checkpoint": {"parent_checkpoint_id": _versions("sft_checkpoint", "round_policy")},
    "rl_rollouts": {
        **_played("task_pool", "train_databases"),
        "policy_version": _versions("sft_checkpoint", "round_policy"),
    },
    "test_rollouts": {**_played("test_tasks", "test_databases"), "policy_version": _versions("rl_checkpoint")},
    "test_outcomes": _counted("test_rollouts", "test_tasks"),
    "pass_hat_k_report": {
        "policy": ("baseline_test_outcomes.policy", "test_outcomes.policy"),
        "policy_version": ("baseline_test_outcomes.policy_version", "test_outcomes.policy_version"),
    },
}
"""Origins by table; a table that is left out takes nothing from others."""

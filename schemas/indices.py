"""Which columns are looked up, and the indices that make it quick in large tables.

Declared here, made and kept up to date by the store after a write. A small table has none: reading it whole is as
quick. Words that people search have a full-text index; vectors are indexed by `schemas.search`, when asked. Otherwise
only ids: an index on `round` or `pattern` did not make a count over a million rows any quicker.
"""

from typing import Literal

import lance

from schemas.columns import TableSpec

__all__ = ["INDEXED_COLUMNS", "MIN_ROWS", "TEXT_COLUMNS", "refresh"]

MIN_ROWS = 50_000
"""Rows from which a table is indexed. Below, a look-up reads the column in about 2 ms, with an index in about 1."""

INDEXED_COLUMNS: dict[str, tuple[str, ...]] = {
    "injected_tasks": ("task_id", "source_trajectory_id", "cluster_id"),
    "executable_tasks": ("task_id",),
    "task_pool": ("task_id",),
    "sft_trajectories": ("trajectory_id",),
    "source_trajectories": ("trajectory_id",),
    "validation_rollouts": ("trajectory_id", "task_id"),
    "baseline_test_rollouts": ("trajectory_id",),
    "test_rollouts": ("trajectory_id",),
    "rl_rollouts": ("trajectory_id", "task_id"),
    "judge_explanations": ("explanation_id", "trajectory_id"),
}
"""What `schemas.lineage` and readers of single episodes look rows up by."""

TEXT_COLUMNS: dict[str, str] = {"embeddings": "text"}
"""Columns with a full-text index, whatever the table's size: without one LanceDB searches no words."""


def refresh(dataset: lance.LanceDataset, spec: TableSpec, min_rows: int = MIN_ROWS) -> None:
    """Bring a table's indices up to its newest rows; Lance's error when another writer came first.

    Rows that no index covers yet are found all the same, by reading them. The index of a replaced round goes with its
    rows, so that there are never more parts than rounds, and refreshing costs as much as the new round alone.
    """
    n_rows = dataset.count_rows()
    wanted: dict[str, Literal["BTREE", "INVERTED"]] = {}
    if n_rows >= min_rows:
        wanted |= dict.fromkeys(INDEXED_COLUMNS.get(spec.name, ()), "BTREE")
    if n_rows and spec.name in TEXT_COLUMNS:
        wanted[TEXT_COLUMNS[spec.name]] = "INVERTED"
    if not wanted:
        return
    indexed = {field for index in dataset.describe_indices() for field in index.field_names}
    for column, kind in wanted.items():
        if column not in indexed:
            dataset.create_scalar_index(column, kind)
    if indexed:
        dataset.optimize.optimize_indices(num_indices_to_merge=0)

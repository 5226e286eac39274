"""Where a row came from and what became of it, as a chain of steps; `schemas.trace` shows it.

Follows the id columns along the loop: failed rollout -> explanation -> cluster -> source trajectory and injected task
-> verdict -> pool -> training groups -> checkpoint -> Pass^k. Starts from the id of a task, a trajectory, an
explanation or a cluster and walks both ways. For people: gates are not asked. Joins by id only and judges nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import WarehouseError
from schemas.store import Warehouse

__all__ = ["Trace", "TraceRow", "TraceStep", "trace"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TraceRow:
    """One row of a step."""

    round: str
    id: str
    text: str
    """What a person wants to know of it, in a line."""


@dataclass(frozen=True)
class TraceStep:
    """One station of the chain; without rows when the chain does not pass it."""

    name: str
    table: str
    rows: tuple[TraceRow, ...]


@dataclass(frozen=True)
class Trace:
    """The chain through one row."""

    id: str
    steps: tuple[TraceStep, ...]
    """In the order of the loop."""

    def step(self, name: str) -> TraceStep:
        """The step of this name."""
        return next(step for step in self.steps if step.name == name)


def trace(warehouse: Warehouse, identity: str) -> Trace:
    """The chain through a task, trajectory, explanation or cluster.

    Raises:
        WarehouseError: When no row has this id.
    """
    walk = _Walk(warehouse)
    starts = (_from_task, _from_rollout, _from_training, _from_explanation, _from_cluster, _from_source, _from_held_out)
    if not any(start(walk, identity) for start in starts):
        raise WarehouseError(
            f"trace[{identity}]: expected the id of an injected or validation task, a validation, training or source "
            "trajectory, an explanation or a cluster, got none of them; look ids up with `python -m schemas.query`"
        )
    return Trace(identity, tuple(_steps(walk)))


class _Walk:
    """Rows found so far, by station, and how to get from one station to the next."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.rollouts: list[Row] = []
        self.explanations: list[Row] = []
        self.clusters: list[Row] = []
        self.sources: list[Row] = []
        self.tasks: list[Row] = []
        self.group_id: str | None = None
        """Only this group of the tasks' training groups, when the start is one of its episodes."""

    def find(self, table: str, columns: Sequence[str], column: str, values: Iterable[str | None]) -> list[Row]:
        """Rows whose column holds one of the values, in stored order."""
        wanted = sorted({value for value in values if value})
        if not wanted:
            return []
        return self.warehouse.find(table, {column: wanted}, ["round", *columns]).to_pylist()

    def find_rollouts(self, column: str, values: Iterable[str]) -> list[Row]:
        columns = ["trajectory_id", "task_id", "policy", "trial", "stop_reason", "reward"]
        return self.find("validation_rollouts", columns, column, values)

    def find_explanations(self, column: str, values: Iterable[str]) -> list[Row]:
        columns = ["explanation_id", "trajectory_id", "text", "blame", "pattern"]
        return self.find("judge_explanations", columns, column, values)

    def find_clusters(self, values: Iterable[str | None]) -> list[Row]:
        columns = ["cluster_id", "label", "pattern", "size", "share", "explanation_ids"]
        return self.find("failure_clusters", columns, "cluster_id", values)

    def find_clusters_of(self, explanation_ids: Sequence[str]) -> list[Row]:
        """A cluster's members are a list, which no look-up finds: all lists are read, then the rows of those wanted."""
        members = self.warehouse.find("failure_clusters", {}, ["cluster_id", "explanation_ids"])
        wanted = pa.array(explanation_ids, pa.string())
        lists = members.column("explanation_ids").combine_chunks()
        held = pc.is_in(lists.flatten(), value_set=wanted)  # pyright: ignore[reportAttributeAccessIssue]
        rows = pc.list_parent_indices(lists).filter(held)  # pyright: ignore[reportAttributeAccessIssue]
        return self.find_clusters(members.column("cluster_id").take(rows).to_pylist())

    def find_tasks(self, column: str, values: Iterable[str]) -> list[Row]:
        columns = ["task_id", "pattern", "intent", "scenario", "source_trajectory_id", "cluster_id"]
        return self.find("injected_tasks", columns, column, values)

    def find_sources(self) -> list[Row]:
        columns = ["trajectory_id", "policy_version", "writes"]
        return self.find("source_trajectories", columns, "trajectory_id", _column(self.tasks, "source_trajectory_id"))

    def up_from_tasks(self) -> None:
        """Sources and clusters of the tasks, and what is behind the clusters."""
        self.sources = self.find_sources()
        self.clusters = self.find_clusters(_column(self.tasks, "cluster_id"))
        self.up_from_clusters()

    def up_from_clusters(self) -> None:
        """Every explanation in the clusters, and the rollouts that they explain."""
        members = [key for cluster in self.clusters for key in cluster["explanation_ids"]]
        self.explanations = self.find_explanations("explanation_id", members)
        self.rollouts = self.find_rollouts("trajectory_id", _column(self.explanations, "trajectory_id"))

    def down_from_rollouts(self) -> None:
        """The rollouts' explanations, and on."""
        self.explanations = self.find_explanations("trajectory_id", _column(self.rollouts, "trajectory_id"))
        self.down_from_explanations()

    def down_from_explanations(self) -> None:
        """Clusters that hold the explanations, and the tasks made for them."""
        self.clusters = self.find_clusters_of(_column(self.explanations, "explanation_id"))
        self.down_from_clusters()

    def down_from_clusters(self) -> None:
        """Tasks that were injected for the clusters, and their sources."""
        self.tasks = self.find_tasks("cluster_id", _column(self.clusters, "cluster_id"))
        self.sources = self.find_sources()


def _column(rows: Iterable[Row], name: str) -> list[str]:
    return [row[name] for row in rows]


def _from_task(walk: _Walk, identity: str) -> bool:
    walk.tasks = walk.find_tasks("task_id", [identity])
    walk.up_from_tasks()
    return bool(walk.tasks)


def _from_source(walk: _Walk, identity: str) -> bool:
    walk.tasks = walk.find_tasks("source_trajectory_id", [identity])
    walk.up_from_tasks()
    return bool(walk.tasks)


def _from_training(walk: _Walk, identity: str) -> bool:
    episodes = walk.find("rl_rollouts", ["task_id", "group_id"], "trajectory_id", [identity])
    if not episodes:
        return False
    walk.group_id = episodes[0]["group_id"]
    return _from_task(walk, episodes[0]["task_id"])


def _from_rollout(walk: _Walk, identity: str) -> bool:
    walk.rollouts = walk.find_rollouts("trajectory_id", [identity])
    walk.down_from_rollouts()
    return bool(walk.rollouts)


def _from_held_out(walk: _Walk, identity: str) -> bool:
    rollouts = walk.find_rollouts("task_id", [identity])
    walk.rollouts = [row for row in rollouts if row["reward"]["success"] < 1] or rollouts
    walk.down_from_rollouts()
    return bool(walk.rollouts)


def _from_explanation(walk: _Walk, identity: str) -> bool:
    walk.explanations = walk.find_explanations("explanation_id", [identity])
    walk.rollouts = walk.find_rollouts("trajectory_id", _column(walk.explanations, "trajectory_id"))
    walk.down_from_explanations()
    return bool(walk.explanations)


def _from_cluster(walk: _Walk, identity: str) -> bool:
    walk.clusters = walk.find_clusters([identity])
    walk.up_from_clusters()
    walk.down_from_clusters()
    return bool(walk.clusters)


def _steps(walk: _Walk) -> list[TraceStep]:
    """What was found as steps, and the stations behind the tasks."""
    ids = _column(walk.tasks, "task_id")
    verdicts = walk.find("executable_tasks", ["task_id", "executable", "reason"], "task_id", ids)
    pool = walk.find("task_pool", ["task_id", "added_in", "weight"], "task_id", ids)
    episodes = walk.find(
        "rl_rollouts", ["task_id", "group_id", "train_step", "advantage", "reward"], "task_id", _column(pool, "task_id")
    )
    groups = _groups(row for row in episodes if walk.group_id in (None, row["group_id"]))
    columns = ["checkpoint_id", "policy", "n_steps", "parent_checkpoint_id"]
    checkpoints = walk.find("rl_checkpoint", columns, "round", (row.round for row in groups))
    return [
        TraceStep("failed rollouts", "validation_rollouts", _told(walk.rollouts, "trajectory_id", _rollout_text)),
        TraceStep("explanations", "judge_explanations", _told(walk.explanations, "explanation_id", _explanation_text)),
        TraceStep("clusters", "failure_clusters", _told(walk.clusters, "cluster_id", _cluster_text)),
        TraceStep("source trajectories", "source_trajectories", _told(walk.sources, "trajectory_id", _source_text)),
        TraceStep("injected tasks", "injected_tasks", _told(walk.tasks, "task_id", _task_text)),
        TraceStep("verdicts", "executable_tasks", _told(verdicts, "task_id", lambda row: str(row["reason"]))),
        TraceStep("pool", "task_pool", _told(pool, "task_id", _pool_text)),
        TraceStep("training groups", "rl_rollouts", groups),
        TraceStep("checkpoints", "rl_checkpoint", _told(checkpoints, "checkpoint_id", _checkpoint_text)),
        TraceStep("pass_hat_k", "pass_hat_k_report", _results(walk, checkpoints)),
        TraceStep("success on the pattern", "test_outcomes", _pattern_success(walk)),
    ]


def _told(rows: Iterable[Row], key: str, text: Callable[[Row], str]) -> tuple[TraceRow, ...]:
    return tuple(TraceRow(row["round"], row[key], text(row)) for row in rows)


def _rollout_text(row: Row) -> str:
    reward = row["reward"]["total"]
    return f"{row['policy']} on {row['task_id']}, trial {row['trial']}: {row['stop_reason']}, reward {reward:.2f}"


def _explanation_text(row: Row) -> str:
    return f"{row['blame']}, {row['pattern']}: {row['text']}"


def _cluster_text(row: Row) -> str:
    return f"{row['label']}: {row['size']} failures ({row['share']:.0%} of the round), pattern {row['pattern']}"


def _source_text(row: Row) -> str:
    return f"{row['policy_version']} did {', '.join(write['name'] for write in row['writes']) or 'a transfer'}"


def _task_text(row: Row) -> str:
    return f"{row['pattern']}, {row['intent']}: {row['scenario']['opening']}"


def _pool_text(row: Row) -> str:
    return f"added in {row['added_in']}, weight {row['weight']:.2g}"


def _checkpoint_text(row: Row) -> str:
    return f"{row['policy']}: {row['n_steps']} steps from {row['parent_checkpoint_id']}"


def _groups(episodes: Iterable[Row]) -> tuple[TraceRow, ...]:
    def key(row: Row) -> tuple[str, int, str]:
        return row["round"], row["train_step"], row["group_id"]

    told = []
    for (round, step, group_id), members in groupby(sorted(episodes, key=key), key):
        rows = list(members)
        successes = sum(row["reward"]["success"] >= 1 for row in rows)
        strongest = max((row["advantage"] for row in rows), key=abs)
        use = f"strongest advantage {strongest:+.2f}" if strongest else "no spread, dropped"
        told.append(TraceRow(round, group_id, f"step {step}: {successes} of {len(rows)} succeeded, {use}"))
    return tuple(told)


def _results(walk: _Walk, checkpoints: Sequence[Row]) -> tuple[TraceRow, ...]:
    """Pass^k of the checkpoints, each from the report of its own round."""
    columns = ["policy", "policy_version", "k", "pass_hat_k"]
    rows = walk.find("pass_hat_k_report", columns, "policy_version", _column(checkpoints, "checkpoint_id"))
    own = {(row["round"], row["checkpoint_id"]) for row in checkpoints}
    told = []
    for (round, version, policy), lines in groupby(
        rows, lambda row: (row["round"], row["policy_version"], row["policy"])
    ):
        if (round, version) in own:
            rates = ", ".join(f"Pass^{line['k']} {line['pass_hat_k']:.1%}" for line in lines)
            told.append(TraceRow(round, version, f"{policy}: {rates}"))
    return tuple(told)


def _pattern_success(walk: _Walk) -> tuple[TraceRow, ...]:
    """Success of each policy on held-out tasks of the tasks' patterns: did it help?"""
    patterns = _column(walk.tasks, "pattern")
    columns = ["policy", "pattern", "n_successes", "n_trials"]
    tables = ("baseline_test_outcomes", "test_outcomes")
    rows = [row for table in tables for row in walk.find(table, columns, "pattern", patterns)]
    told = []
    for (pattern, round, policy), tasks in groupby(
        sorted(rows, key=lambda row: (row["pattern"], row["round"], row["policy"])),
        lambda row: (row["pattern"], row["round"], row["policy"]),
    ):
        lines = list(tasks)
        rate = sum(line["n_successes"] for line in lines) / sum(line["n_trials"] for line in lines)
        told.append(TraceRow(round, pattern, f"{policy}: {rate:.0%} of the trials of {len(lines)} test tasks"))
    return tuple(told)

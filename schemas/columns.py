"""Every stored column once: tables, and the Arrow schemas rendered from the records.

A table's columns are `round`, then the fields of its record (a nested `task` is flattened to the top, so that SQL
says `pattern` and not `task.pattern`), then the extra columns named in its TableSpec. Nested records become typed
structs; only `arguments`, whose shape belongs to a tool, is stored as canonical JSON text. Holds no I/O. A change
of any stored column needs a higher `version` and a migration: the store refuses another schema.
"""

import ast
import inspect
import textwrap
import types
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic import Field

from schemas.derived import VECTOR_WIDTH, Embedding, NearDuplicate
from schemas.errors import ConfigError, UnknownTableError
from schemas.records import (
    Checkpoint,
    DatabaseRow,
    Explanation,
    FailureCluster,
    GateResult,
    Name,
    PassHatK,
    PoolTask,
    Record,
    Task,
    TaskOutcome,
    TrainStep,
    Trajectory,
    Verdict,
)

__all__ = [
    "JSON_FIELDS",
    "NUMBERS",
    "ROUND",
    "ROUND_FINGERPRINT",
    "TABLES",
    "Column",
    "RlRollout",
    "TableSpec",
    "table_spec",
]

ROUND = "round"
"""The first column of every table."""

ROUND_FINGERPRINT = "round_fingerprint"
"""The last column of every gated table: what a gate's verdict refers to."""


class RlRollout(Trajectory):
    """A training episode with its place in the optimisation."""

    train_step: int = Field(ge=0)
    """Optimizer step that sampled it."""
    group_id: Name
    """The episodes of one task whose rewards were normalised together."""
    advantage: float
    """Group-normalised reward that weighted the episode's tokens; kept in 32 bits."""


NARROW: dict[tuple[str, str], pa.DataType] = {
    ("Trajectory", "token_ids"): pa.list_(pa.field("item", pa.int32(), nullable=False)),
    ("Trajectory", "logprobs"): pa.list_(pa.field("item", pa.float32(), nullable=False)),
    # Lance keeps no "not null" on the numbers of a vector.
    ("Embedding", "vector"): pa.list_(pa.float32(), VECTOR_WIDTH),
    ("RlRollout", "train_step"): pa.int32(),
    ("RlRollout", "advantage"): pa.float32(),
}
"""Fields that are stored narrower than their Python type, by the class that declares them."""

JSON_FIELDS = frozenset({"arguments"})
"""Fields stored as canonical JSON text, at any depth."""

NUMBERS = pa.list_(
    pa.field(
        "item",
        pa.struct([pa.field("name", pa.string(), nullable=False), pa.field("value", pa.float64(), nullable=False)]),
        nullable=False,
    )
)
"""A dict of named numbers: a list, because the keys differ from gate to gate."""

MEANINGS: dict[str, str] = {
    "round": "Partition key: bootstrap, round-001, round-002 and so on.",
    "round_fingerprint": "Hash of all rows of the round as they were written; gate verdicts refer to it.",
    "checked_fingerprint": "Fingerprint of the checked round when the gate ran.",
    "checked_version": "Version of the checked table when the gate ran.",
    "trajectory_id": "Id of the episode, from task, policy version, trial and seed.",
    "task_id": "Id of the task, from its content.",
    "explanation_id": "Id of the judge's explanation, from its content.",
    "cluster_id": "Id of the failure cluster, from its members.",
    "checkpoint_id": "Id of the checkpoint, from its content.",
    "parent_checkpoint_id": "Checkpoint that training started from.",
    "database_id": "Generated database that the world starts from.",
    "content_sha256": "Hash of the generated database, checked when it is rebuilt.",
    "domain": "Tool world, e.g. retail.",
    "intent": "Kind of wish: plain, ambiguous, changing or infeasible.",
    "scenario": "All that the user simulator knows; hidden from the agent.",
    "criteria": "What the end of an episode must satisfy.",
    "trial": "Index of the repeat of the task by the same policy, from 0.",
    "seed": "Seed of every random choice behind this row.",
    "messages": "The dialogue, turn by turn, tool results included.",
    "stop_reason": "Why the episode ended.",
    "reward": "Named parts of the reward and their weighted total.",
    "text": "What went wrong, in the judge's words.",
    "blame": "Whose failure it was: agent, user_simulator or task.",
    "evidence_turns": "Indices of the messages that show the failure.",
    "made_by": "Name and version of the role implementation that made the row.",
    "label": "Short human-readable name of the cluster.",
    "terms": "Words that tell the cluster from the others, most telling first.",
    "size": "Members of the cluster.",
    "explanation_ids": "Members of the cluster.",
    "example_texts": "Explanations nearest to the cluster's centre.",
    "silhouette": "Mean silhouette of the members: how far the cluster stands from its neighbours.",
    "policy": "Name of the acting or trained policy, e.g. base, sft, rl-round-001.",
    "policy_version": "Checkpoint id or program version of the policy.",
    "kind": "Training that made the checkpoint: base, sft or rl.",
    "n_parameters": "Trainable parameters.",
    "n_steps": "Optimizer steps.",
    "stage": "Training stage: warmup, sft or grpo.",
    "step": "Optimizer step, from 0.",
    "loss": "Loss of the step.",
    "learning_rate": "Learning rate of the step.",
    "n_tokens": "Tokens under the loss in this step.",
    "duration_s": "Wall time of the step, seconds.",
    "success_rate": "Share of the step's episodes that succeeded.",
    "mean_reward": "Mean total reward of the step's episodes.",
    "n_groups_used": "Groups with a spread in reward, trained on.",
    "entropy": "Mean entropy of the policy on sampled tokens, nats.",
    "clip_fraction": "Share of sampled tokens whose ratio was clipped.",
    "repeats_per_episode": "Mean number of repeated calls per episode.",
    "mean_length_tokens": "Mean assistant tokens per episode.",
    "pattern": "Failure pattern, a name of the domain's table.",
    "n_trials": "Trials that count, infrastructure failures left out.",
    "n_successes": "Trials that succeeded.",
    "n_tasks": "Tasks in the estimate.",
    "n_excluded": "Infrastructure failures, not in n_trials.",
    "k": "Number of trials that must all succeed.",
    "pass_hat_k": "Chance that k trials of a task all succeed, mean over tasks.",
    "ci_low": "Lower end of the 95 % bootstrap interval over tasks.",
    "ci_high": "Upper end of the 95 % bootstrap interval over tasks.",
    "split": "What the database is for: train, validation or test; no two share a user, order or product.",
    "generator_version": "Version of the database generator.",
    "n_users": "Users in the database.",
    "n_orders": "Orders in the database.",
    "n_products": "Products in the database.",
    "user_ids": "Ids of all users.",
    "order_ids": "Ids of all orders.",
    "product_ids": "Ids of all products.",
    "item_ids": "Ids of all item variants.",
    "executable": "Whether the reference replays and the criteria hold: only then may the task enter the pool.",
    "table": "The checked table.",
    "gate": "Name of the check.",
    "passed": "Whether the round may be read.",
    "n_rows": "Rows that were checked.",
    "numbers": "Measured values behind the verdict, by name.",
    "message": "The verdict in words.",
}
"""Meaning of every column that has no docstring in its record."""

TABLE_MEANINGS: dict[str, str] = {
    "train_databases": "Generated databases that demonstrations, explorations and training tasks use.",
    "validation_databases": "Generated databases of the validation tasks.",
    "test_databases": "Generated databases of the test tasks.",
    "validation_tasks": "Tasks on which failures are looked for.",
    "test_tasks": "Tasks on which Pass^k is measured.",
    "sft_tasks": "Mostly easy tasks that the expert demonstrates.",
    "injected_tasks": "Tasks with a failure pattern written into their wording, before they are replayed.",
    "sft_trajectories": "The expert's demonstrations.",
    "source_trajectories": "What the explorer really did in the training databases.",
    "validation_rollouts": "Episodes of the policy under test on the validation tasks.",
    "baseline_test_rollouts": "Episodes of the untrained and the SFT policy on the test tasks.",
    "test_rollouts": "Episodes of the round's RL policy on the test tasks.",
    "rl_rollouts": "Every training episode with group, advantage and reward parts.",
    "judge_explanations": "What went wrong in each failed validation episode.",
    "failure_clusters": "The explanations grouped by cause.",
    "executable_tasks": "Injected tasks with verdict and reason, rejected ones too.",
    "task_pool": "Accepted tasks of all rounds so far: what a round trains on.",
    "base_checkpoint": "The untrained policy.",
    "sft_checkpoint": "The policy after SFT.",
    "rl_checkpoint": "The policy after the round's GRPO.",
    "round_policy": "The checkpoint under test in the round.",
    "sft_metrics": "One row per SFT step.",
    "rl_metrics": "One row per GRPO step: reward, success, KL, entropy, groups dropped.",
    "baseline_test_outcomes": "Successes per test task of the untrained and the SFT policy.",
    "test_outcomes": "Successes per test task of the round's RL policy.",
    "validation_outcomes": "Successes per validation task of the policy under test.",
    "pass_hat_k_report": "Pass^k with intervals of every policy so far.",
    "reward_ablation_report": "Pass^k of policies trained from one pool with other rewards.",
    "embeddings": "Words and vectors of explanations and new pool tasks, for search by meaning.",
    "near_duplicates": "Pairs of accepted tasks that ask for the same in nearly the same words.",
    "gate_results": "The newest verdict of every gate on every round of every table.",
}
"""What a table is for, in one line."""

CHECK_COLUMNS = (
    pa.field("checked_version", pa.int64(), nullable=False),
    pa.field("checked_fingerprint", pa.string(), nullable=False),
)
"""What a stored gate result knows beyond the record: which content it judged."""


@dataclass(frozen=True)
class Column:
    """One stored column and what it means."""

    name: str
    type: pa.DataType
    nullable: bool
    meaning: str


@dataclass(frozen=True)
class TableSpec:
    """One table: its record, the columns beyond it, and whether gates guard it."""

    name: str
    record: type[Record]
    gated: bool = True
    """Whether `Warehouse.read` wants passed gates on a round."""
    flatten: str | None = None
    """Field whose record's fields become top-level columns."""
    extra: tuple[pa.Field, ...] = ()
    """Columns that the store fills."""
    version: int = 1
    """Schema version, raised with every change of a stored column."""

    @property
    def meaning(self) -> str:
        """What the table is for, in one line."""
        return TABLE_MEANINGS[self.name]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns in stored order, `round` first."""
        extra = [*self.extra, *([pa.field(ROUND_FINGERPRINT, pa.string(), nullable=False)] if self.gated else [])]
        return (
            Column(ROUND, pa.string(), False, MEANINGS[ROUND]),
            *_record_columns(self.record, self.flatten),
            *(Column(field.name, field.type, field.nullable, MEANINGS[field.name]) for field in extra),
        )

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with the meaning on every column and the schema version on the table."""
        fields = [
            pa.field(column.name, column.type, column.nullable, metadata={"meaning": column.meaning})
            for column in self.columns
        ]
        return pa.schema(fields, metadata={"faultline.table": self.name, "faultline.schema_version": str(self.version)})


def _record_columns(record: type[Record], flatten: str | None) -> list[Column]:
    columns: list[Column] = []
    for name, info in record.model_fields.items():
        if name == ROUND:
            continue
        if name == flatten:
            columns += _record_columns(_record_of(info.annotation), None)
            continue
        field = _arrow_field(record, name, info.annotation)
        columns.append(Column(name, field.type, field.nullable, _meaning(record, name)))
    return columns


def _record_of(annotation: object) -> type[Record]:
    if not (isinstance(annotation, type) and issubclass(annotation, Record)):
        raise ConfigError(f"columns[{annotation}]: expected a record to flatten, got another type; change `flatten`")
    return annotation


def _arrow_field(record: type[Record], name: str, annotation: object) -> pa.Field:
    inner, nullable = _without_none(annotation)
    if name in JSON_FIELDS:
        return pa.field(name, pa.string(), nullable)
    for owner in record.__mro__:
        if (owner.__name__, name) in NARROW:
            return pa.field(name, NARROW[owner.__name__, name], nullable)
    return pa.field(name, _arrow_type(inner, f"{record.__name__}.{name}"), nullable)


def _without_none(annotation: object) -> tuple[object, bool]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        kept = [arg for arg in get_args(annotation) if arg is not type(None)]
        if len(kept) == 1:
            return _without_none(kept[0])[0], True
    return annotation, False


SCALARS: dict[object, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _arrow_type(annotation: object, where: str) -> pa.DataType:
    inner, _ = _without_none(annotation)
    if inner in SCALARS:
        return SCALARS[inner]
    if get_origin(inner) is Literal or (isinstance(inner, type) and issubclass(inner, Enum)):
        return pa.string()
    if isinstance(inner, type) and issubclass(inner, Record):
        fields = inner.model_fields.items()
        return pa.struct([_arrow_field(inner, name, info.annotation) for name, info in fields])
    if get_origin(inner) is tuple and get_args(inner)[1:] == (Ellipsis,):
        item, nullable = _without_none(get_args(inner)[0])
        return pa.list_(pa.field("item", _arrow_type(item, where), nullable))
    if get_origin(inner) is dict and get_args(inner) == (str, float):
        return NUMBERS
    raise ConfigError(f"columns[{where}]: expected a type with an Arrow counterpart, got {inner}; extend _arrow_type")


def _meaning(record: type[Record], name: str) -> str:
    for owner in record.__mro__:
        if issubclass(owner, Record) and name in (docs := _field_docs(owner)):
            return docs[name]
    if name not in MEANINGS:
        raise ConfigError(f"columns[{record.__name__}.{name}]: expected one line of meaning, got none; add a docstring")
    return MEANINGS[name]


@cache
def _field_docs(record: type[Any]) -> dict[str, str]:
    """Docstrings under the fields of one class; Python itself throws them away."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    docs: dict[str, str] = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, after in pairwise(statements):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            text = ast.literal_eval(after.value)
            docs[field.target.id] = " ".join(str(text).split())
    return docs


def _tables() -> dict[str, TableSpec]:
    specs = [
        *(TableSpec(f"{split}_databases", DatabaseRow) for split in ("train", "validation", "test")),
        *(TableSpec(f"{kind}_tasks", Task) for kind in ("validation", "test", "sft", "injected")),
        *(TableSpec(name, Trajectory) for name in ("sft_trajectories", "source_trajectories")),
        *(TableSpec(f"{split}_rollouts", Trajectory) for split in ("validation", "baseline_test", "test")),
        TableSpec("rl_rollouts", RlRollout),
        TableSpec("judge_explanations", Explanation),
        TableSpec("failure_clusters", FailureCluster),
        TableSpec("executable_tasks", Verdict, flatten="task"),
        TableSpec("task_pool", PoolTask, flatten="task"),
        *(TableSpec(f"{kind}_checkpoint", Checkpoint, gated=False) for kind in ("base", "sft", "rl")),
        TableSpec("round_policy", Checkpoint, gated=False),
        *(TableSpec(f"{kind}_metrics", TrainStep, gated=False) for kind in ("sft", "rl")),
        *(
            TableSpec(f"{split}_outcomes", TaskOutcome, gated=False)
            for split in ("baseline_test", "test", "validation")
        ),
        *(TableSpec(f"{kind}_report", PassHatK, gated=False) for kind in ("pass_hat_k", "reward_ablation")),
        TableSpec("embeddings", Embedding, gated=False),
        TableSpec("near_duplicates", NearDuplicate, gated=False),
        TableSpec("gate_results", GateResult, gated=False, extra=CHECK_COLUMNS),
    ]
    return {spec.name: spec for spec in specs}


TABLES: dict[str, TableSpec] = _tables()
"""All tables by name."""


def table_spec(name: str) -> TableSpec:
    """The declaration of a table.

    Raises:
        UnknownTableError: When no such table is declared.
    """
    if name not in TABLES:
        raise UnknownTableError(f"warehouse[{name}]: expected one of {', '.join(sorted(TABLES))}; fix the table's name")
    return TABLES[name]

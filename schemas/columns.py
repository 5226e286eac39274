"""Every stored column once: tables, and the Arrow schemas rendered from the records.

A table's columns are `round`, then the fields of its record (a nested `task` is flattened to the top, so that SQL
says `pattern` and not `task.pattern`), then the extra columns named in its TableSpec. Nested records become typed
structs; only `arguments`, whose shape belongs to a tool, is stored as canonical JSON text. Holds no I/O. A change
of any stored column needs a higher `version` and a migration: the store refuses another schema.
"""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from schemas.derived import Embedding, NearDuplicate
from schemas.errors import ConfigError, UnknownTableError
from schemas.fields import JSON_FIELDS, NUMBERS, Column, column_of, nested_record
from schemas.llm_calls import LlmCall
from schemas.migrations import MIGRATIONS, Migration, Upgrade, reaching
from schemas.origins import ORIGINS, Origins
from schemas.records import DatabaseRow, Record, RlRollout, Task, Trajectory
from schemas.results import (
    Attempt,
    Checkpoint,
    Explanation,
    FailureCluster,
    GateResult,
    GateWaiver,
    PassHatK,
    PoolTask,
    TaskOutcome,
    TrainStep,
    Verdict,
    Violation,
)

__all__ = [
    "JSON_FIELDS",
    "NUMBERS",
    "ROUND",
    "ROUND_FINGERPRINT",
    "TABLES",
    "Column",
    "TableSpec",
    "table_spec",
]

ROUND = "round"
"""The first column of every table."""

ROUND_FINGERPRINT = "round_fingerprint"
"""The last column of every table: what a gate's verdict refers to, and what a reader checks the rows against."""


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
    "exploration_attempts": "Tries to explore for a pattern: of a model each, of a program those kept.",
    "writing_attempts": "Each try of a model to write a task, in vain or not; programs leave none.",
    "validation_rollouts": "Episodes of the policy under test on the validation tasks.",
    "baseline_test_rollouts": "Episodes of the untrained and the SFT policy, or of a served model, on the test tasks.",
    "test_rollouts": "Episodes of the round's RL policy on the test tasks.",
    "rl_rollouts": "Every training episode with group, advantage and reward parts.",
    "judge_explanations": "What went wrong in each failed validation episode.",
    "failure_clusters": "The explanations grouped by cause.",
    "executable_tasks": "Injected tasks with verdict and reason, rejected ones too.",
    "task_pool": "Accepted tasks of all rounds so far: what a round trains on.",
    "base_checkpoint": "The untrained policy.",
    "sft_checkpoint": "The policy after SFT.",
    "rl_checkpoint": "The policy after the round's GRPO.",
    "served_checkpoint": "The model at an endpoint that is played instead of a trained policy.",
    "round_policy": "The checkpoint under test in the round.",
    "sft_metrics": "One row per SFT step.",
    "rl_metrics": "One row per GRPO step: reward, success, KL, entropy, groups dropped.",
    "baseline_test_outcomes": "Successes per test task of the policies from before the loop.",
    "test_outcomes": "Successes per test task of the round's RL policy.",
    "validation_outcomes": "Successes per validation task of the policy under test.",
    "pass_hat_k_report": "Pass^k with intervals of every policy so far.",
    "reward_ablation_report": "Pass^k of policies trained from one pool with other rewards.",
    "validation_violations": "Breaches of the rulebook in the validation episodes, with the turn.",
    "baseline_test_violations": "Breaches of the rulebook in the baseline's test episodes, with the turn.",
    "test_violations": "Breaches of the rulebook in the RL policy's test episodes, with the turn.",
    "rl_violations": "Breaches of the rulebook in the training episodes, with the turn.",
    "embeddings": "Words and vectors of explanations and new pool tasks, for search by meaning.",
    "near_duplicates": "Pairs of accepted tasks that ask for the same in nearly the same words.",
    "gate_results": "The newest verdict of every gate on every round of every table.",
    "gate_waivers": "Which rounds people let be read although a gate objects, and why.",
    "llm_calls": "Every call of a model at an endpoint: a ledger that grows only, also when a round is made again.",
}
"""What a table is for, in one line."""

CHECK_COLUMNS = (
    Column("checked_version", pa.int64(), "Version of the checked table when the gate ran.", unit="number"),
    Column("checked_fingerprint", pa.string(), "Fingerprint of the checked round when the gate ran."),
)
"""What a stored gate result knows beyond the record: which content it judged."""

CALL_COLUMNS = (
    Column("made_for", pa.string(), "Table whose rows the call was made for, or `search`."),
    Column("n_calls_before", pa.int64(), "Calls in the ledger when this one's batch was appended.", unit="calls"),
)
"""What the ledger knows of a call beyond the record."""

_ROUND_COLUMN = Column(ROUND, pa.string(), "Partition key: bootstrap, round-001, round-002 and so on.", not_blank=True)
_FINGERPRINT_COLUMN = Column(
    ROUND_FINGERPRINT,
    pa.string(),
    "Hash of all rows that were written with this one; gate verdicts refer to it.",
)


@dataclass(frozen=True)
class TableSpec:
    """One table: its record, the columns beyond it, and whether gates guard it."""

    name: str
    record: type[Record]
    gated: bool = True
    """Whether `Warehouse.read` wants passed gates on a round."""
    flatten: str | None = None
    """Field whose record's fields become top-level columns."""
    extra: tuple[Column, ...] = ()
    """Columns that the store fills."""
    migrations: tuple[Migration, ...] = MIGRATIONS
    """Changes since version 1, of all tables; those that reach this one count."""

    @property
    def meaning(self) -> str:
        """What the table is for, in one line."""
        return TABLE_MEANINGS[self.name]

    @property
    def origins(self) -> Origins:
        """Column -> the columns of other tables that its values are taken from."""
        return ORIGINS.get(self.name, {})

    @property
    def row_id(self) -> str | None:
        """The column that tells the rows of a round apart: a record's own id is its first field."""
        first = self.columns[1].name
        return first if first.endswith("_id") else None

    @cached_property
    def version(self) -> int:
        """Schema version: 1, and one more for every migration that reaches a stored column."""
        return 1 + len(reaching(self._records, self.migrations))

    def upgrade_from(self, version: int) -> Upgrade:
        """The way from the columns of an older version to today's."""
        pending = reaching(self._records, self.migrations)[version - 1 :]
        return Upgrade(self.name, self.schema, self._records, pending)

    @cached_property
    def _records(self) -> tuple[type[Record], ...]:
        """The records whose fields are columns."""
        inner = nested_record(self.record.model_fields[self.flatten].annotation) if self.flatten else None
        return (self.record, inner) if inner else (self.record,)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns in stored order, `round` first."""
        return (
            _ROUND_COLUMN,
            *_record_columns(self.record, self.flatten),
            *self.extra,
            _FINGERPRINT_COLUMN,
        )

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with what is declared on every column and the schema version on the table."""
        told = {"faultline.table": self.name, "faultline.schema_version": str(self.version)}
        return pa.schema([column.arrow for column in self.columns], metadata=told)


def _record_columns(record: type[Record], flatten: str | None) -> list[Column]:
    columns: list[Column] = []
    for name, info in record.model_fields.items():
        if name == ROUND:
            continue
        if name != flatten:
            columns.append(column_of(record, name))
            continue
        if (inner := nested_record(info.annotation)) is None:
            raise ConfigError(
                f"columns[{record.__name__}.{name}]: expected a record, got {info.annotation}; fix flatten"
            )
        columns += _record_columns(inner, None)
    return columns


def _tables() -> dict[str, TableSpec]:
    specs = [
        *(TableSpec(f"{split}_databases", DatabaseRow) for split in ("train", "validation", "test")),
        *(TableSpec(f"{kind}_tasks", Task) for kind in ("validation", "test", "sft", "injected")),
        *(TableSpec(name, Trajectory) for name in ("sft_trajectories", "source_trajectories")),
        *(TableSpec(f"{split}_rollouts", Trajectory) for split in ("validation", "baseline_test", "test")),
        TableSpec("rl_rollouts", RlRollout),
        *(TableSpec(f"{act}_attempts", Attempt) for act in ("exploration", "writing")),
        TableSpec("judge_explanations", Explanation),
        TableSpec("failure_clusters", FailureCluster),
        TableSpec("executable_tasks", Verdict, flatten="task"),
        TableSpec("task_pool", PoolTask, flatten="task"),
        *(TableSpec(f"{split}_violations", Violation) for split in ("validation", "baseline_test", "test", "rl")),
        *(TableSpec(f"{kind}_checkpoint", Checkpoint) for kind in ("base", "sft", "rl", "served")),
        TableSpec("round_policy", Checkpoint),
        *(TableSpec(f"{kind}_metrics", TrainStep) for kind in ("sft", "rl")),
        *(TableSpec(f"{split}_outcomes", TaskOutcome) for split in ("baseline_test", "test", "validation")),
        *(TableSpec(f"{kind}_report", PassHatK) for kind in ("pass_hat_k", "reward_ablation")),
        TableSpec("embeddings", Embedding),
        TableSpec("near_duplicates", NearDuplicate),
        TableSpec("gate_results", GateResult, gated=False, extra=CHECK_COLUMNS),
        TableSpec("gate_waivers", GateWaiver, gated=False, extra=CHECK_COLUMNS),
        TableSpec("llm_calls", LlmCall, gated=False, extra=CALL_COLUMNS),
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

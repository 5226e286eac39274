"""What a gate is: a plain function from the rows of one round to a finding, and the boundary that runs it.

Holds no rule (see `world_gates`, `episode_gates`, `result_gates`) and no table names (see `gates`). A gate that
raises is a failed gate: unknown is not good. A finding names every offending row with its reason; the stored verdict
keeps the first hundred ids.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from schemas import (
    Checkpoint,
    DatabaseRow,
    Explanation,
    FailureCluster,
    GateResult,
    PassHatK,
    PoolTask,
    Record,
    RewardParts,
    Task,
    TaskOutcome,
    TrainStep,
    Trajectory,
    Verdict,
)
from schemas.errors import GateError

T = TypeVar("T")
R = TypeVar("R", bound=Record)

logger = logging.getLogger(__name__)

MAX_BAD_IDS = 100
"""Offending ids kept in a verdict; the message counts all of them."""


class GateLimits(BaseModel):
    """Shares at which a round is refused. All are shares of rows in 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_infrastructure_share: float = Field(default=0.05, ge=0, le=1)
    """Episodes lost to the infrastructure. 0.05: with more, the lost ones may be the hard ones and bias the rates."""
    max_noise_share: float = Field(default=0.6, ge=0, le=1)
    """Agent-blamed failures in no cluster. 0.6: above it, the clusters no longer say what the policy fails at."""
    max_foreign_blame_share: float = Field(default=0.5, ge=0, le=1)
    """Failures blamed on the user simulator or the task. 0.5: above it, repair those before training on them."""
    max_dropped_share: float = Field(default=0.1, ge=0, le=1)
    """Accepted tasks missing from the pool although nothing in it equals them. 0.1: room for near-duplicate removal."""
    ks: tuple[int, ...] = (1, 2, 3, 4)
    """Values of k that a report must hold for each policy."""


@dataclass(frozen=True)
class GateContext:
    """What a gate may need beside its rows. What is None was not given; a gate that needs it then fails."""

    round: str
    """Round under test."""
    read: Callable[[str, str | None], Sequence[Record]]
    """Rows of (table, round), of all rounds when the round is None; empty when nothing is stored."""
    rounds: tuple[str, ...] = ()
    """Round keys up to and including this one, in order; empty outside the loop."""
    known_entity_ids: frozenset[str] = frozenset()
    """Entities of published benchmarks, which no generated database may hold."""
    patterns: frozenset[str] = frozenset()
    """Names in the domain's pattern table; empty leaves names unchecked."""
    replay: Callable[[Task], str] | None = None
    """Replays a reference in its world: `ok`, or what failed."""
    rescore: Callable[[RewardParts], float] | None = None
    """Weighted sum of stored reward parts under the run's weights."""
    limits: GateLimits = field(default_factory=GateLimits)


@dataclass(frozen=True)
class Finding:
    """What a gate found. No bad rows and no problem: passed."""

    bad: Mapping[str, str] = field(default_factory=dict)
    """Offending row id -> what is wrong with it."""
    problem: str = ""
    """What is wrong with the table as a whole."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Rates that can look wrong to a person, passed or not."""


@dataclass(frozen=True)
class Gate:
    """One named rule."""

    name: str
    check: Callable[[Sequence[Record], GateContext], Finding]
    remedy: str
    """What to do when it says no."""

    def run(self, table: str, rows: Sequence[Record], context: GateContext) -> GateResult:
        """Verdict on one round of one table; never raises."""
        try:
            finding = self.check(rows, context)
        except Exception as error:
            # The gate boundary: what can't be checked is refused, and the verdict says why.
            logger.warning("gate %s on %s[%s] could not be evaluated", self.name, table, context.round, exc_info=True)
            finding = Finding(problem=f"could not be evaluated: {type(error).__name__}: {error}")
        passed = not finding.bad and not finding.problem
        return GateResult(
            table=table,
            round=context.round,
            gate=self.name,
            passed=passed,
            n_rows=len(rows),
            bad_ids=tuple(sorted(finding.bad)[:MAX_BAD_IDS]),
            numbers=dict(finding.numbers),
            message="" if passed else self._message(table, len(rows), finding, context),
        )

    def _message(self, table: str, n_rows: int, finding: Finding, context: GateContext) -> str:
        said = [finding.problem] if finding.problem else []
        if finding.bad:
            first = min(finding.bad)
            said.append(f"{len(finding.bad)} of {n_rows} rows refused (first: {first}: {finding.bad[first]})")
        return f"{table}[{context.round}]: {self.name}: {'; '.join(said)}; {self.remedy}"


def needed(value: T | None, name: str) -> T:
    """A context entry that this gate can't do without.

    Raises:
        GateError: When the entry was not given.
    """
    if value is None:
        raise GateError(f"gate: expected GateContext.{name}, got None; pass it where the gates are run")
    return value


def rows_of(rows: Sequence[Record], kind: type[R]) -> list[R]:
    """The rows, known to be of one record type.

    Raises:
        GateError: When a row is of another type: the gate is registered for the wrong table.
    """
    typed = [row for row in rows if isinstance(row, kind)]
    if len(typed) != len(rows):
        raise GateError(f"gate: expected {kind.__name__} rows, got others too; register the gate for its own tables")
    return typed


def row_id(row: Record) -> str:
    """The id under which a row is reported.

    Raises:
        GateError: For a record type without identity.
    """
    match row:
        case Task():
            return row.task_id
        case Verdict() | PoolTask():
            return row.task.task_id
        case Trajectory():
            return row.trajectory_id
        case Explanation():
            return row.explanation_id
        case FailureCluster():
            return row.cluster_id
        case DatabaseRow():
            return row.database_id
        case Checkpoint():
            return row.checkpoint_id
        case TrainStep():
            return f"{row.policy}/{row.stage}/{row.step}"
        case TaskOutcome():
            return f"{row.policy}/{row.policy_version}/{row.task_id}"
        case PassHatK():
            return f"{row.policy}/{row.policy_version}/k={row.k}"
        case _:
            raise GateError(
                f"row_id: expected a stored record, got {type(row).__name__}; add it to quality.gate.row_id"
            )


def not_empty(rows: Sequence[Record], context: GateContext) -> Finding:
    """A round without rows is a failed stage, not a small one."""
    return Finding() if rows else Finding(problem="expected at least one row, got none")


def unique_ids(rows: Sequence[Record], context: GateContext) -> Finding:
    """Each id names one row of the round."""
    counts: dict[str, int] = {}
    for row in rows:
        key = row_id(row)
        counts[key] = counts.get(key, 0) + 1
    return Finding({key: f"occurs {n} times" for key, n in counts.items() if n > 1}, numbers={"n_ids": len(counts)})

"""What a gate is: a plain function from the rows of one round to a finding, and the boundary that runs it.

Holds no rule (see `world_gates`, `episode_gates`, `result_gates`) and no table names (see `gates`). A gate that
raises is a failed gate: unknown is not good. A finding names every offending row with its reason; the stored verdict
keeps the first hundred ids.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import ParamSpec, TypeVar

import polars as pl
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
    Violation,
)
from schemas.derived import Embedding, NearDuplicate
from schemas.errors import GateError

T = TypeVar("T")
R = TypeVar("R", bound=Record)
P = ParamSpec("P")

logger = logging.getLogger(__name__)

MAX_BAD_IDS = 100
"""Offending ids kept in a verdict; the message counts all of them."""


class GateLimits(BaseModel):
    """Limits at which a round is refused. A share is one of rows, in 0..1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_infrastructure_share: float = Field(default=0.05, ge=0, le=1)
    """Episodes lost to the infrastructure. 0.05: with more, the lost ones may be the hard ones and bias the rates."""
    max_noise_share: float = Field(default=0.6, ge=0, le=1)
    """Agent-blamed failures in no cluster. 0.6: above it, the clusters no longer say what the policy fails at."""
    max_foreign_blame_share: float = Field(default=0.5, ge=0, le=1)
    """Failures blamed on the user simulator or the task. 0.5: above it, repair those before training on them."""
    max_dropped_share: float = Field(default=0.1, ge=0, le=1)
    """Accepted tasks missing from the pool although nothing in it equals them. 0.1: room for near-duplicate removal."""
    max_rejected_share: float = Field(default=0.5, ge=0, le=1)
    """Injected tasks that don't replay. 0.5: above it the writer is broken and the rest is a biased choice."""
    max_cut_share: float = Field(default=0.9, ge=0, le=1)
    """Episodes cut by the context or the turn limit. 0.9: then next to nothing is seen to its end; the smallest
    policies, which learn next to nothing, are cut in three of four episodes."""
    max_words: int = Field(default=600, ge=10)
    """Words that a task's user can say. 600: tau2's longest task has 300, ours 150; beyond it no policy reads on."""
    max_actions: int = Field(default=60, ge=1)
    """Calls of a reference. 60: twice as many as fit an episode."""
    max_message_chars: int = Field(default=20_000, ge=100)
    """Characters of one message. 20,000: five times the longest tool result of retail."""
    max_pattern_gap: float = Field(default=0.1, ge=0, le=1)
    """Share of the tasks that carry another pattern than planned. 0.1: rare patterns run out of occasions first."""
    max_pattern_share: float = Field(default=0.7, ge=0, le=1)
    """Share of one difficult pattern of a pool's weight. 0.7: above it a round trains one trick and unlearns others."""
    max_drift: float = Field(default=0.35, gt=0, le=1)
    """Jensen-Shannon distance from the last round (base 2) in what should stay alike. See `quality.drift`."""
    max_success_drop: float = Field(default=0.25, gt=0, le=1)
    """Fall of the success rate since the last round. 0.25: a policy that fell so far has collapsed."""
    near_duplicate: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity of word 5-grams at which two tasks are one. See `quality.decontamination`."""
    max_published_share: float = Field(default=0.3, gt=0, le=1)
    """Word 5-grams of a task that a published benchmark's texts hold. 0.3: phrases of the trade ("i want to exchange
    the") make up to 0.17 of a short wish of our own; a task with one sentence in three copied is theirs."""
    max_same_request_share: float = Field(default=0.05, ge=0, le=1)
    """Tasks that ask in the very words of a held-out one, for another user and other orders. 0.05: short stock phrases
    repeat (2 % of the demonstrated tasks); more means that the writer has too few words."""
    max_breach_share: float = Field(default=0.1, ge=0, le=1)
    """Episodes that break one rule of the rulebook, above which a person is told. Never refuses: it is the policy's
    doing, and what a later round can teach."""
    max_taught_breach_share: float = Field(default=0.001, ge=0, le=1)
    """Demonstrations that break the rulebook. 0.001: too rare to be learnt; 1 of 12,000 does, where two customers share
    name and zip code and the expert takes the right one."""
    ks: tuple[int, ...] = (1, 2, 3, 4)
    """Values of k that a report must hold for each policy."""


@dataclass(frozen=True)
class GateContext:
    """What a gate may need beside its rows. What is None was not given; a gate that needs it then fails."""

    round: str
    """Round under test."""
    read: Callable[[str, str | None], Sequence[Record]]
    """Rows of (table, round), of all rounds when the round is None; empty when nothing is stored."""
    frame: Callable[[str, str, Sequence[str]], pl.DataFrame] | None = None
    """Some stored columns of (table, round), for gates on wide tables; empty when nothing is stored."""
    rounds: tuple[str, ...] = ()
    """Round keys up to and including this one, in order; empty outside the loop."""
    known_entity_ids: frozenset[str] = frozenset()
    """Entities of published benchmarks, which no generated database may hold."""
    known_grams: frozenset[str] = frozenset()
    """Hashed word grams of published benchmarks' texts (see `env_sim.word_grams`), which no task may repeat."""
    patterns: frozenset[str] = frozenset()
    """Names in the domain's pattern table; empty leaves names unchecked."""
    replay: Callable[[Task], str] | None = None
    """Replays a reference in its world: `ok`, or what failed."""
    rescore: Callable[[RewardParts], float] | None = None
    """Weighted sum of stored reward parts under the run's weights."""
    problems: Callable[[Task], Sequence[str]] | None = None
    """What the soundness checker calls broken in a task, each in a line."""
    monitor: Callable[[Trajectory], Sequence[Violation]] | None = None
    """What the rulebook monitor sees in an episode."""
    planned: Callable[[str], Mapping[str, int]] | None = None
    """Table of tasks -> pattern -> how many this round wanted."""
    max_tokens: Mapping[str, int] = field(default_factory=dict)
    """Table of episodes -> tokens that fit the context it was played in."""
    limits: GateLimits = field(default_factory=GateLimits)

    @property
    def last_round(self) -> str | None:
        """The round before this one, None in the first and outside the loop."""
        return self.rounds[-2] if len(self.rounds) > 1 else None


@dataclass(frozen=True)
class Finding:
    """What a gate found. No bad rows and no problem: passed."""

    bad: Mapping[str, str] = field(default_factory=dict)
    """Offending row id -> what is wrong with it."""
    problem: str = ""
    """What is wrong with the table as a whole."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Rates that can look wrong to a person, passed or not."""
    tolerated: float = 0.0
    """Share of rows that may be bad: up to it they are named and told, not refused."""
    warning: str = ""
    """What a person should look at, although it refuses nothing."""


Check = Callable[[Sequence[Record], GateContext], Finding]
"""A rule: rows of a round and what else is known -> what was found."""


def documented(factory: Callable[P, Check]) -> Callable[P, Check]:
    """Let the rules that a factory makes say what it says of them, `A gate: ...`; people read it beside the verdict."""

    @wraps(factory)
    def made(*arguments: P.args, **named: P.kwargs) -> Check:
        check = factory(*arguments, **named)
        check.__doc__ = (factory.__doc__ or "").split(": ", 1)[-1]
        return check

    return made


@dataclass(frozen=True)
class Gate:
    """One named rule."""

    name: str
    check: Check
    remedy: str
    """What to do when it says no."""

    @property
    def meaning(self) -> str:
        """What the rule promises: the first line of its docstring."""
        promise = (self.check.__doc__ or "").strip().splitlines()[0]
        return promise[:1].upper() + promise[1:]

    def run(self, table: str, rows: Sequence[Record], context: GateContext) -> GateResult:
        """Verdict on one round of one table; never raises."""
        try:
            finding = self.check(rows, context)
        except Exception as error:
            # The gate boundary: what can't be checked is refused, and the verdict says why.
            logger.warning("gate %s on %s[%s] could not be evaluated", self.name, table, context.round, exc_info=True)
            finding = Finding(problem=f"could not be evaluated: {type(error).__name__}: {error}")
        passed = not finding.problem and len(finding.bad) <= finding.tolerated * len(rows)
        return GateResult(
            table=table,
            round=context.round,
            gate=self.name,
            passed=passed,
            n_rows=len(rows),
            bad_ids=tuple(sorted(finding.bad)[:MAX_BAD_IDS]),
            numbers=dict(finding.numbers),
            message=self._message(table, len(rows), finding, context, passed),
        )

    def _message(self, table: str, n_rows: int, finding: Finding, context: GateContext, passed: bool) -> str:
        said = [finding.problem] if finding.problem else []
        if finding.bad:
            first = min(finding.bad)
            verb = "tolerated" if passed else "refused"
            said.append(f"{len(finding.bad)} of {n_rows} rows {verb} (first: {first}: {finding.bad[first]})")
        remedy = [self.remedy] if said else []
        said += [finding.warning] if finding.warning else []
        return f"{table}[{context.round}]: {self.name}: {'; '.join([*said, *remedy])}" if said else ""


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
        case Embedding():
            return row.row_id
        case NearDuplicate():
            return row.dropped_id
        case Violation():
            return f"{row.trajectory_id}/{row.turn}/{row.rule}/{row.evidence}"
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

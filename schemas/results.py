"""What is concluded from tasks and episodes: breaches, explanations, clusters, policies, metrics, verdicts.

Frozen pydantic records like those of `records`, under the same rules.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.records import Name, Record, Task


class ConductRule(StrEnum):
    """A rule of the rulebook that no tool enforces, by what breaking it is called."""

    UNAUTHENTICATED = "unauthenticated"
    """Data was read or changed before the customer was found by details of their own."""
    OTHER_USER = "other_user"
    """A record or the identity of a second customer was looked at or changed."""
    UNCONFIRMED_WRITE = "unconfirmed_write"
    """A write without a yes to just this listed action; a yes covers one write."""
    CALL_BESIDE_MESSAGE = "call_beside_message"
    """A turn held both a tool call and words to the customer."""
    PARALLEL_CALLS = "parallel_calls"
    """A turn held several tool calls."""
    NEEDLESS_TRANSFER = "needless_transfer"
    """A transfer although what was asked for is within the agent's actions."""
    REPEATED_CALL = "repeated_call"
    """The same call with the same answer again, without a word of the customer in between."""


class Violation(Record):
    """One breach of the rulebook, as the trajectory alone shows it."""

    rule: ConductRule
    """What was done that the rulebook forbids."""
    trajectory_id: str = ""
    """The episode; empty for a dialogue that is not stored."""
    turn: int = Field(ge=0)
    """Index into the trajectory's messages: the assistant message at fault."""
    evidence: Name
    """What shows it, in at most 160 characters: names of tools and arguments, no values."""


class Blame(StrEnum):
    """Whose failure it was."""

    AGENT = "agent"
    USER = "user_simulator"
    TASK = "task"


class Explanation(Record):
    """A judge's answer to "what went wrong?" for one failed trajectory."""

    explanation_id: Name
    trajectory_id: Name
    task_id: Name
    text: Name
    blame: Blame
    decisive_turn: int = Field(ge=0)
    """Index into the trajectory's messages."""
    evidence_turns: tuple[int, ...]
    pattern: Name
    """A pattern of the domain's table as the judge reads the dialogue, or `other`."""
    made_by: Name


class FailureCluster(Record):
    """Explanations with one cause."""

    cluster_id: Name
    label: Name
    terms: tuple[str, ...]
    pattern: Name
    """The pattern that most members' explanations name."""
    size: int = Field(ge=1)
    share: float = Field(gt=0, le=1)
    """Size over all agent-blamed failures of the round."""
    explanation_ids: tuple[str, ...]
    example_texts: tuple[str, ...]
    previous_cluster_id: str | None = None
    """The nearest cluster of the round before, None when it is new."""
    silhouette: float = Field(ge=-1, le=1)
    stability_ari: float = Field(ge=-1, le=1)
    """Adjusted Rand index between this clustering and those of bootstrap resamples."""


class Checkpoint(Record):
    """A policy on disk; the folder's manifest carries the same fields."""

    checkpoint_id: Name
    policy: Name
    kind: Literal["base", "sft", "rl"]
    path: Name
    """Relative to the warehouse root."""
    parent_checkpoint_id: str | None = None
    n_parameters: int = Field(ge=1)
    seed: int = Field(ge=0)
    n_steps: int = Field(ge=0)
    pool_version: int | None = None
    """Version of the `task_pool` table that was trained on."""


class TrainStep(Record):
    """Metrics of one optimizer step."""

    policy: Name
    stage: Literal["warmup", "sft", "grpo"]
    step: int = Field(ge=0)
    loss: float
    learning_rate: float = Field(ge=0)
    n_tokens: int = Field(ge=0)
    duration_s: float = Field(ge=0)
    success_rate: float | None = None
    mean_reward: float | None = None
    n_groups_used: int | None = None
    n_groups_dropped: int | None = None
    """Groups without spread in reward."""
    kl: float | None = None
    """Mean of (old logprob - new logprob) on sampled tokens, nats."""
    entropy: float | None = None
    clip_fraction: float | None = None
    repeats_per_episode: float | None = None
    mean_length_tokens: float | None = None


class TaskOutcome(Record):
    """One task's trials by one policy: what Pass^k and paired tests are computed from."""

    policy: Name
    policy_version: Name
    task_id: Name
    pattern: Name
    n_trials: int = Field(ge=1)
    n_successes: int = Field(ge=0)
    n_excluded: int = Field(ge=0)
    """Trials lost to the infrastructure or to a user fault, not in n_trials."""
    n_user_faults: int = Field(default=0, ge=0)
    """Those of n_excluded that the user simulator spoilt."""
    seed: int = Field(ge=0)


class PassHatK(Record):
    """One line of the report."""

    policy: Name
    policy_version: Name
    k: int = Field(ge=1)
    pass_hat_k: float = Field(ge=0, le=1)
    ci_low: float = Field(ge=0, le=1)
    ci_high: float = Field(ge=0, le=1)
    n_tasks: int = Field(ge=1)
    n_trials: int = Field(ge=1)
    n_excluded: int = Field(ge=0)
    n_user_faults: int = Field(default=0, ge=0)
    """Those of n_excluded that the user simulator spoilt."""
    seed: int = Field(ge=0)


class Verdict(Record):
    """Whether an injected task may enter the pool."""

    task: Task
    executable: bool
    reason: Name
    """`ok`, or what failed, with the action and the tool's words."""


class PoolTask(Record):
    """A task in the pool of one round: the union of the accepted tasks of all rounds so far."""

    task: Task
    added_in: Name
    """Round that brought it."""
    weight: float = Field(gt=0)
    """Sampling weight under the mixing policy."""


class GateResult(Record):
    """Verdict of one gate on one round of one table."""

    table: Name
    round: Name
    gate: Name
    passed: bool
    n_rows: int = Field(ge=0)
    bad_ids: tuple[str, ...] = ()
    """At most 100, sorted."""
    numbers: dict[str, float] = Field(default_factory=dict)
    message: str = ""

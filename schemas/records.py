"""The rows that travel between rooms, as frozen pydantic records.

Holds every stored record and nothing that acts: no I/O, no Arrow (see `columns`), no domain knowledge.
A record that validates is well formed; whether it is *true* (a reference replays, an id exists) is decided by
the gates in `quality`.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

BOOTSTRAP = "bootstrap"
"""Round key of everything that exists before the first round."""

Name = Annotated[str, Field(min_length=1)]


class Record(BaseModel):
    """Base of all stored rows: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Action(Record):
    """One tool call as a plain value: the unit of references and criteria."""

    name: Name
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class ToolCall(Record):
    """A tool call inside an assistant message (OpenAI shape, arguments parsed)."""

    id: Name
    name: Name
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class Message(Record):
    """One turn by one party: an assistant message carries text or tool calls, a tool message answers one call."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    reasoning: str = ""
    """Hidden reasoning of the assistant, never shown to the user simulator."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """Set on tool messages: the call that is answered."""
    error: bool = False
    """Set on tool messages: the tool refused."""


class Detail(Record):
    """A fact that the user can tell about a goal."""

    topic: Name
    """What it is about, as the agent would ask for it: order, item, variant, payment, reason, address."""
    text: Name
    """The words in which the user tells it."""


class Change(Record):
    """A change of mind: said instead of "yes" at the first confirmation of the goal."""

    text: Name
    action: Action
    """What the user wants from then on."""


class Goal(Record):
    """One wish of the user, in the order in which it is raised."""

    request: Name
    """The words in which the user raises it."""
    action: Action | None = None
    """The write that fulfils it, None when no permitted action can (an infeasible wish)."""
    details: tuple[Detail, ...] = ()
    """Facts told only when asked for."""
    change: Change | None = None

    @property
    def accepted(self) -> Action | None:
        """The write that fulfils the goal after any change of mind."""
        return self.change.action if self.change else self.action


class Identity(Record):
    """Who the user is, as far as the user can prove it."""

    user_id: Name
    first_name: Name
    last_name: Name
    zip: Name | None = None
    """None: customers of this domain say their user id and nothing else."""
    email: str | None = None
    """None: the user does not remember it and gives name and zip code."""


class Scenario(Record):
    """All that the user simulator knows. The agent sees none of it but the words that are said."""

    identity: Identity
    opening: Name
    """The user's first message: the first goal's request, with or without the identity."""
    goals: Annotated[tuple[Goal, ...], Field(min_length=1)]
    raised_in_opening: int = Field(default=1, ge=1)
    """How many goals the opening already names; the others are raised when the ones before are done."""
    patience: int = Field(default=4, ge=1, le=20)
    """Unhelpful agent messages after which the user leaves."""


class Criteria(Record):
    """What the end of an episode must satisfy. Empty criteria can't be constructed: every policy would pass."""

    writes: tuple[Action, ...] = ()
    """The writes whose end state (in any order) is required; any other end state fails."""
    transfer: bool = False
    """The episode must end with a transfer to a human."""

    @model_validator(mode="after")
    def _not_empty(self) -> "Criteria":
        if not self.writes and not self.transfer:
            raise ValueError(
                "criteria: expected at least one required write or a required transfer, got neither; "
                "a do-nothing agent would pass this task"
            )
        return self


class Intent(StrEnum):
    """Kind of wish, after Trajectory2Task (arXiv 2601.20144)."""

    PLAIN = "plain"
    AMBIGUOUS = "ambiguous"
    CHANGING = "changing"
    INFEASIBLE = "infeasible"


class Task(Record):
    """Initial world + user + success criteria. `task_id` is derived from the content (`schemas.ids.task_id`)."""

    task_id: Name
    domain: Name
    database_id: Name
    intent: Intent
    pattern: Name
    """Failure pattern written into the wording, `none` for a plain task."""
    scenario: Scenario
    reference: Annotated[tuple[Action, ...], Field(min_length=1)]
    """Tool calls (reads and writes) that solve the task when replayed in this order."""
    criteria: Criteria
    source_trajectory_id: str | None = None
    """Trajectory first: the explored episode that this task was made from."""
    cluster_id: str | None = None
    """Failure cluster whose pattern was injected, None for untargeted tasks."""
    made_by: Name
    """Name and version of the role implementation, e.g. `grammar-writer/1`."""


class StopReason(StrEnum):
    """Why an episode ended."""

    USER_DONE = "user_done"
    USER_LEFT = "user_left"
    """Patience ran out."""
    TRANSFER = "transfer"
    MAX_TURNS = "max_turns"
    CONTEXT_FULL = "context_full"
    MALFORMED = "malformed"
    """The policy's output is neither a message nor a tool call."""
    INFRASTRUCTURE = "infrastructure"
    """Not the policy's fault; leaves every rate."""


class RewardParts(Record):
    """Named parts of the composite reward, before weights; inputs that rescoring needs."""

    success: float = Field(ge=0, le=1)
    action_checks: float = Field(ge=0, le=1)
    """Share of required writes done exactly and confirmed first."""
    length_tokens: int = Field(ge=0)
    """Assistant tokens."""
    repeats: int = Field(ge=0)
    """Identical calls without a state change or new information between them."""
    total: float
    """The weighted sum that the trainer saw."""


class Trajectory(Record):
    """The stored record of one episode."""

    trajectory_id: Name
    task_id: Name
    database_id: str = ""
    """Database that the episode ran on."""
    policy: Name
    """`base`, `sft`, `rl-round-001`, or a program's name such as `planner/1`."""
    policy_version: Name
    """Checkpoint id of the acting policy, or the program's version."""
    trial: int = Field(ge=0)
    seed: int = Field(ge=0)
    messages: tuple[Message, ...]
    writes: tuple[Action, ...] = ()
    """Successful state-changing calls, in order."""
    stop_reason: StopReason
    reward: RewardParts
    token_ids: tuple[int, ...] = ()
    """The whole episode as the policy saw and wrote it; never re-tokenized."""
    assistant_mask: tuple[bool, ...] = ()
    """True where the policy sampled the token. Same length as token_ids."""
    logprobs: tuple[float, ...] = ()
    """Sampler log-probability (natural log, at the sampling temperature) of each sampled token, 0 elsewhere."""

    @property
    def succeeded(self) -> bool:
        """Whether the end state satisfies the task's criteria."""
        return self.reward.success >= 1


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
    """Infrastructure failures, not in n_trials."""
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
    seed: int = Field(ge=0)


class EntityIds(Record):
    """The entities of one kind in a generated database."""

    kind: Name
    ids: tuple[str, ...]
    """Sorted."""


class DatabaseRow(Record):
    """A generated database: reproducible from (domain, generator version, seed, n_users), checked by its hash."""

    database_id: Name
    domain: Name
    split: Literal["train", "validation", "test"]
    generator_version: int = Field(ge=1)
    seed: int = Field(ge=0)
    n_users: int = Field(ge=1)
    content_sha256: Name
    entities: tuple[EntityIds, ...]
    """Ids of all entities, kind by kind: which kinds there are is the domain's."""

    def ids(self, kind: str) -> tuple[str, ...]:
        """Ids of a kind such as `user_ids`; empty when the database has none."""
        return next((each.ids for each in self.entities if each.kind == kind), ())


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

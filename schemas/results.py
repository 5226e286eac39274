"""What is concluded from tasks and episodes: breaches, explanations, clusters, policies, metrics, verdicts.

Frozen pydantic records like those of `records`, under the same rules.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.records import Index, Name, Record, Reward, Seed, Share, Task, Unit

Nats = Annotated[float, Unit("nats")]
Ratio = Annotated[float, Field(ge=-1, le=1), Unit("1")]


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
    turn: Index
    """Index into the trajectory's messages: the assistant message at fault."""
    evidence: Name
    """What shows it, in at most 160 characters: names of tools and arguments, no values."""


class Blame(StrEnum):
    """Whose failure it was."""

    AGENT = "agent"
    USER = "user_simulator"
    TASK = "task"
    UNKNOWN = "unknown"
    """The judge's reply could not be read."""


class JudgeVote(Record):
    """One of several answers of a judge to the same question."""

    pattern: str
    """The pattern it names, empty when it could not be read."""
    blame: Blame
    """Whom it blames."""
    decisive_turn: Index
    """Index into the trajectory's messages."""
    n_repairs: int = Field(ge=0)
    """How often it was asked again because the answer did not fit."""
    parse_error: str = ""
    """Why the last answer did not fit, empty when it did."""


class Explanation(Record):
    """A judge's answer to "what went wrong?" for one failed trajectory."""

    explanation_id: Name
    """Id of the explanation, from its content."""
    trajectory_id: Name
    """The failed episode."""
    task_id: Name
    """The task that was played."""
    text: Name
    """What went wrong, in the judge's words."""
    blame: Blame
    """Whose failure it was."""
    decisive_turn: Index
    """Index into the trajectory's messages."""
    evidence_turns: tuple[Annotated[int, Unit("index")], ...]
    """Indices of the messages that show the failure."""
    pattern: Name
    """A pattern of the domain's table as the judge reads the dialogue, or `other`."""
    made_by: Name
    """Name and version of the judge."""
    prompt_version: str = ""
    """Name and hash of the prompt file, empty for a program."""
    votes: tuple[JudgeVote, ...] = ()
    """The answers that were counted, empty for a program."""
    agreement: Annotated[float, Unit("share")] = Field(default=1.0, ge=0, le=1)
    """Share of the votes that name this blame and pattern."""
    parse_error: str = ""
    """Set when no vote could be read: blame and pattern are then unknown."""


class PatternCount(Record):
    """How many failures are called by one pattern."""

    pattern: Name
    """As the judge calls it."""
    size: Annotated[int, Unit("explanations")] = Field(ge=1)
    """Explanations that name it."""


class FailureCluster(Record):
    """Explanations with one cause."""

    cluster_id: Name
    """Id of the cluster, from its members."""
    label: Name
    """Short human-readable name of the cluster."""
    terms: tuple[str, ...]
    """Words that tell the cluster from the others, most telling first."""
    pattern: Name
    """The pattern that most members' explanations name."""
    patterns: tuple[PatternCount, ...] = ()
    """All patterns that they name, most frequent first: one cause may spoil tasks of several."""
    size: Annotated[int, Unit("explanations")] = Field(ge=1)
    """Members of the cluster."""
    share: Annotated[float, Unit("share")] = Field(gt=0, le=1)
    """Size over all agent-blamed failures of the round."""
    explanation_ids: tuple[str, ...]
    """Members of the cluster."""
    example_texts: tuple[str, ...]
    """Explanations nearest to the cluster's centre."""
    previous_cluster_id: str | None = None
    """The nearest cluster of the round before, None when it is new."""
    silhouette: Ratio
    """Mean silhouette of the members: how far the cluster stands from its neighbours."""
    stability_ari: Ratio
    """Adjusted Rand index between this clustering and those of bootstrap resamples."""
    seed_ari: Ratio | None = None
    """The same with clusterings under other seeds of the embedder, None when it has no seed."""
    prompt_version: str = ""
    """Name and hash of the prompt file that asked a model for the label, empty when nobody was asked."""
    parse_error: str = ""
    """Set when the model's label could not be read: the terms are then the label."""

    @property
    def called(self) -> dict[str, int]:
        """Pattern -> members that are called so; clusters that were stored without: all by the cluster's pattern."""
        return {each.pattern: each.size for each in self.patterns} or {self.pattern: self.size}

    @property
    def called_text(self) -> str:
        """For people: `wrong_order 59, wrong_address 28`, one name alone without its number."""
        called = self.called
        return ", ".join(f"{name} {size}" for name, size in called.items()) if len(called) > 1 else self.pattern


class Checkpoint(Record):
    """A policy on disk; the folder's manifest carries the same fields."""

    checkpoint_id: Name
    """Id of the checkpoint, from its content."""
    policy: Name
    """Name of the trained policy, e.g. base, sft, rl-round-001, or of the served model."""
    kind: Literal["base", "sft", "rl", "served"]
    """Training that made the checkpoint; `served`: none of ours, a model at an endpoint."""
    path: Name
    """Relative to the warehouse root; of a served model its endpoint's address."""
    parent_checkpoint_id: str | None = None
    """Checkpoint that training started from, None for the untrained policy."""
    n_parameters: int = Field(ge=0)
    """Trainable parameters; 0 of a served model, whose number nobody tells."""
    seed: Seed
    """Seed of every random choice behind this row."""
    n_steps: int = Field(ge=0)
    """Training steps; of a mean of runs those of all of them."""
    pool_version: Annotated[int, Unit("number")] | None = None
    """Version of the `task_pool` table that was trained on."""


class TrainStep(Record):
    """Metrics of one optimizer step."""

    policy: Name
    """Name of the trained policy."""
    stage: Literal["warmup", "sft", "grpo"]
    """Training stage."""
    step: Index
    """Optimizer step, from 0."""
    loss: Nats
    """Loss of the step."""
    learning_rate: Annotated[float, Unit("1")] = Field(ge=0)
    """Learning rate of the step."""
    n_tokens: int = Field(ge=0)
    """Tokens under the loss in this step."""
    duration_s: float = Field(ge=0)
    """Wall time of the step."""
    success_rate: Share | None = None
    """Share of the step's episodes that succeeded, of those that no user spoilt."""
    mean_reward: Reward | None = None
    """Mean total reward of the step's episodes that no user spoilt."""
    n_groups_used: int | None = None
    """Groups with a spread in reward, trained on."""
    n_groups_dropped: int | None = None
    """Groups without spread in reward, or with fewer than two episodes that no user spoilt."""
    kl: Nats | None = None
    """Mean of (old logprob - new logprob) on sampled tokens."""
    entropy: Nats | None = None
    """Mean entropy of the policy on sampled tokens."""
    clip_fraction: Share | None = None
    """Share of sampled tokens whose ratio was clipped."""
    repeats_per_episode: Annotated[float, Unit("calls")] | None = None
    """Mean number of repeated calls per episode."""
    mean_length_tokens: float | None = None
    """Mean assistant tokens per episode."""


class TaskOutcome(Record):
    """One task's trials by one policy: what Pass^k and paired tests are computed from."""

    policy: Name
    """Name of the acting policy."""
    policy_version: Name
    """Checkpoint id of the acting policy."""
    task_id: Name
    """The task that was played."""
    pattern: Name
    """The task's failure pattern."""
    n_trials: int = Field(ge=0)
    """Trials that count, infrastructure failures and user faults left out; 0 when the user spoilt all."""
    n_successes: int = Field(ge=0)
    """Trials that succeeded."""
    n_excluded: int = Field(ge=0)
    """Trials lost to the infrastructure or to a user fault, not in n_trials."""
    n_user_faults: int = Field(default=0, ge=0)
    """Those of n_excluded that the user simulator spoilt."""
    seed: Seed
    """Seed of every random choice behind this row."""


class PassHatK(Record):
    """One line of the report."""

    policy: Name
    """Name of the acting policy."""
    policy_version: Name
    """Checkpoint id of the acting policy."""
    k: Annotated[int, Unit("trials")] = Field(ge=1)
    """Number of trials that must all succeed."""
    pass_hat_k: Share
    """Chance that k trials of a task all succeed, mean over tasks."""
    ci_low: Share
    """Lower end of the 95 % bootstrap interval over tasks."""
    ci_high: Share
    """Upper end of the 95 % bootstrap interval over tasks."""
    n_tasks: int = Field(ge=1)
    """Tasks in the estimate."""
    n_trials: int = Field(ge=1)
    """Trials that count, infrastructure failures and user faults left out."""
    n_excluded: int = Field(ge=0)
    """Trials lost to the infrastructure or to a user fault, not in n_trials."""
    n_user_faults: int = Field(default=0, ge=0)
    """Those of n_excluded that the user simulator spoilt."""
    seed: Seed
    """Seed of the bootstrap."""


class Attempt(Record):
    """One try to explore for a pattern, or to write a task with it: what it became, or why nothing did.

    Models leave every try. Programs, of which thousands are in vain, leave the explorations that are kept.
    """

    attempt_id: Name
    """Id of the attempt, from what was asked and who did it."""
    pattern: Name
    """Failure pattern that was wanted."""
    cluster_id: str | None = None
    """Failure cluster whose explanations the writer was shown; None for an exploration, or without clusters."""
    database_id: Name
    """Generated database that was explored."""
    trajectory_id: str | None = None
    """The exploration that was kept, or that the task was to be written from."""
    task_id: str | None = None
    """The task that was written."""
    n_replies: int = Field(ge=0)
    """Replies of the model, repairs included; 0 for a program."""
    reason: Name
    """`ok`, or why nothing was kept."""
    parse_error: str = ""
    """Why the last reply did not fit the schema or what it was written from, empty when it did."""
    made_by: Name
    """Model and prompt, such as `strong/writer@1f0c9a2b77d0`, or name and version of the program."""
    prompt_version: str = ""
    """Name and hash of the prompt file, empty for a program."""


class Verdict(Record):
    """Whether an injected task may enter the pool."""

    task: Task
    """The injected task."""
    executable: bool
    """Whether the reference replays and the criteria hold: only then may the task enter the pool."""
    reason: Name
    """`ok`, or what failed, with the action and the tool's words."""


class PoolTask(Record):
    """A task in the pool of one round: the union of the accepted tasks of all rounds so far."""

    task: Task
    """The accepted task."""
    added_in: Name
    """Round that brought it."""
    weight: Annotated[float, Unit("1")] = Field(gt=0)
    """Sampling weight under the mixing policy."""


class GateResult(Record):
    """Verdict of one gate on one round of one table."""

    table: Name
    """The checked table."""
    round: Name
    """The checked round."""
    gate: Name
    """Name of the check."""
    passed: bool
    """Whether the round may be read."""
    n_rows: int = Field(ge=0)
    """Rows that were checked."""
    bad_ids: tuple[str, ...] = ()
    """Offending rows, at most 100, sorted."""
    numbers: dict[str, float] = Field(default_factory=dict)
    """Measured values behind the verdict, by name."""
    message: str = ""
    """Why it failed; of a passed gate, what a person should look at all the same."""


class GateWaiver(Record):
    """A person's decision that a round may be read although its gates object to it."""

    table: Name
    """The table that may be read."""
    round: Name
    """The round that may be read."""
    reason: Name
    """Why it may be read all the same."""
    by: Name
    """Who decided."""

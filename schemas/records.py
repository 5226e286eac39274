"""The rows that travel between rooms, as frozen pydantic records: worlds, tasks and episodes.

What is concluded from them is in `results`. Holds nothing that acts. A record that validates is well formed; whether it
is *true* (a reference replays, an id exists) the gates in `quality` decide. The fields are the one declaration of every
stored column (`fields` renders it): the type, its range in `Field`, the docstring as its meaning, the unit as the
name's suffix (`_s`, `_tokens`, `n_tasks`) or as `Unit`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from schemas.endings import StopReason, UserFaultKind
from schemas.ids import LATER

BOOTSTRAP = "bootstrap"
"""Round key of everything that exists before the first round."""


@dataclass(frozen=True)
class Unit:
    """What a number counts. `index`: a place, from 0; `number`: tells things apart, as a seed; `1`: no dimension."""

    name: str


@dataclass(frozen=True)
class Bits:
    """Width in which a number is stored, where 64 would waste space."""

    width: int


Name = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1), Unit("share")]
Index = Annotated[int, Field(ge=0), Unit("index")]
Seed = Annotated[int, Field(ge=0), Unit("number")]
Reward = Annotated[float, Unit("reward")]
"""Success alone is worth 1, before weights."""


class Record(BaseModel):
    """Base of all stored rows: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Action(Record):
    """One tool call as a plain value: the unit of references and criteria."""

    name: Name
    """Name of the tool."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments as the tool gets them; stored as JSON text, because their shape is the tool's."""


class ToolCall(Record):
    """A tool call inside an assistant message (OpenAI shape, arguments parsed)."""

    id: Name
    """Names the call within its episode."""
    name: Name
    """Name of the tool."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments as the model wrote them; stored as JSON text."""


class Message(Record):
    """One turn by one party: an assistant message carries text or tool calls, a tool message answers one call."""

    role: Literal["system", "user", "assistant", "tool"]
    """Who speaks."""
    content: str = ""
    """The words that are said, or the tool's answer."""
    reasoning: str = ""
    """Hidden reasoning of the assistant, never shown to the user simulator."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls of an assistant message, in order."""
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


class When(StrEnum):
    """What the agent does when the user brings something up."""

    LISTING = "listing"
    """It lists an action of the wished kind for a yes, for the first time."""
    QUESTION = "question"
    """It asks for a fact about the wish."""
    MESSAGE = "message"
    """It says anything to the user."""


class Remark(Record):
    """Words that the user brings up once and unasked: a hint given late or, as a `Change`, a new mind.

    At a listing they stand in place of the answer, else behind it. They come at the first listing at the latest.
    """

    text: Name
    """The words in which the user brings it up."""
    when: Annotated[When, LATER] = When.LISTING
    """What the agent does when it comes."""
    n: Annotated[int, Field(ge=1), Unit("messages"), LATER] = 1
    """At which question or message since the wish was raised."""


class Change(Remark):
    """A change of mind."""

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
    """The change of mind, None when the user keeps the wish."""
    remarks: Annotated[tuple[Remark, ...], LATER] = ()
    """Hints given late."""
    hesitation: Annotated[Name | None, LATER] = None
    """Said in place of the yes when an action is listed for the first time: a yes needs the same listing again."""
    preferences: Annotated[tuple[Name, ...], LATER] = ()
    """Next best wishes in words, one said at each refusal; `action` is the best that can be had."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All that the user may say about the goal in words of its own."""
        changed = (self.change.text,) if self.change else ()
        hesitated = (self.hesitation,) if self.hesitation else ()
        facts, remarks = (detail.text for detail in self.details), (remark.text for remark in self.remarks)
        return (self.request, *facts, *changed, *remarks, *hesitated, *self.preferences)

    @property
    def accepted(self) -> Action | None:
        """The write that fulfils the goal after any change of mind."""
        return self.change.action if self.change else self.action


class Identity(Record):
    """Who the user is, as far as the user can prove it."""

    user_id: Name
    """Id of the user in the database."""
    first_name: Name
    """First name in the user's record."""
    last_name: Name
    """Last name in the user's record."""
    zip: Name | None = None
    """Zip code in the user's record; None: customers of this domain say their user id and nothing else."""
    email: str | None = None
    """None: the user does not remember it and gives name and zip code."""


class Confirmation(StrEnum):
    """To which listed actions the user says yes."""

    BY_KIND = "by_kind"
    """To any of the kind that it asked for: it does not know the ids."""
    BY_DETAIL = "by_detail"
    """To the right one only: it recognises what it wants, corrects what it does not, and waits for the right write."""


class Scenario(Record):
    """All that the user simulator knows. The agent sees none of it but the words that are said."""

    identity: Identity
    """Who the user is."""
    opening: Name
    """The user's first message: the first goal's request, with or without the identity."""
    goals: Annotated[tuple[Goal, ...], Field(min_length=1)]
    """What the user wants, in the order in which it is raised."""
    raised_in_opening: Annotated[int, Unit("goals")] = Field(default=1, ge=1)
    """How many goals the opening already names; the others are raised when the ones before are done."""
    patience: Annotated[int, Unit("messages")] = Field(default=4, ge=1, le=20)
    """Unhelpful agent messages after which the user leaves."""
    confirmation: Annotated[Confirmation, LATER] = Confirmation.BY_KIND
    """What a listed action must be like for a yes."""
    unknown: Annotated[tuple[Name, ...], LATER] = ()
    """Topics that the user knows nothing about, and says so: unhelpful is only who asks again."""
    never_said: Annotated[tuple[Name, ...], LATER] = ()
    """Words that would give the answer away: the user says none of them before the agent has."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All that the user may say in words of its own, the opening first."""
        return (self.opening, *(text for goal in self.goals for text in goal.texts))


class Criteria(Record):
    """What the end of an episode must satisfy. Empty criteria can't be constructed: every policy would pass."""

    writes: tuple[Action, ...] = ()
    """The writes whose end state (in any order) is required; any other end state fails."""
    transfer: bool = False
    """The episode must end with a transfer to a human."""
    forbidden: Annotated[tuple[Action, ...], LATER] = ()
    """What the user asks for in vain: writes that the tools refuse. Any other end state fails the task as it is."""

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
    """Id of the task, from its content."""
    domain: Name
    """Tool world, e.g. retail."""
    database_id: Name
    """Generated database that the world starts from."""
    intent: Intent
    """Kind of wish: plain, ambiguous, changing or infeasible."""
    pattern: Name
    """Failure pattern written into the wording, `none` for a plain task."""
    scenario: Scenario
    """All that the user simulator knows; hidden from the agent."""
    reference: Annotated[tuple[Action, ...], Field(min_length=1)]
    """Tool calls (reads and writes) that solve the task when replayed in this order."""
    criteria: Criteria
    """What the end of an episode must satisfy."""
    source_trajectory_id: str | None = None
    """Trajectory first: the explored episode that this task was made from."""
    cluster_id: str | None = None
    """Failure cluster whose pattern was injected, None for untargeted tasks."""
    made_by: Name
    """Name and version of the role implementation, e.g. `grammar-writer/1`."""


class RewardParts(Record):
    """Named parts of the composite reward, before weights; inputs that rescoring needs."""

    success: Share
    """1 when the end state satisfies the criteria, else 0."""
    action_checks: Share
    """Share of required writes done exactly and confirmed first."""
    length_tokens: int = Field(ge=0)
    """Assistant tokens."""
    repeats: Annotated[int, Unit("calls")] = Field(ge=0)
    """Identical calls without a state change or new information between them."""
    total: Reward
    """The weighted sum that the trainer saw."""


class UserFault(Record):
    """A mistake of the user simulator, after which an episode says little about the agent."""

    kind: UserFaultKind
    """What it did wrong."""
    turn: Index
    """Index into the trajectory's messages: the user's message at fault."""
    evidence: Name
    """What shows it, in at most 160 characters."""


class Trajectory(Record):
    """The stored record of one episode."""

    trajectory_id: Name
    """Id of the episode, from task, policy version, trial and seed."""
    task_id: Name
    """The task that was played."""
    database_id: str = ""
    """Database that the episode ran on."""
    policy: Name
    """`base`, `sft`, `rl-round-001`, or a program's name such as `planner/1`."""
    policy_version: Name
    """Checkpoint id of the acting policy, or the program's version."""
    trial: Index
    """Index of the repeat of the task by the same policy, from 0."""
    seed: Seed
    """Seed of every random choice behind this row."""
    messages: tuple[Message, ...]
    """The dialogue, turn by turn, tool results included."""
    writes: tuple[Action, ...] = ()
    """Successful state-changing calls, in order."""
    stop_reason: StopReason
    """Why the episode ended."""
    reward: RewardParts
    """Named parts of the reward and their weighted total."""
    token_ids: tuple[Annotated[int, Bits(32), Unit("number")], ...] = ()
    """The whole episode as the policy saw and wrote it; never re-tokenized."""
    assistant_mask: tuple[bool, ...] = ()
    """True where the policy sampled the token. Same length as token_ids."""
    logprobs: tuple[Annotated[float, Bits(32), Unit("nats")], ...] = ()
    """Sampler log-probability (natural log, at the sampling temperature) of each sampled token, 0 elsewhere."""
    user_fault: UserFault | None = None
    """The user simulator's first mistake, None when it kept to its scenario; leaves the rates with the episode."""

    @property
    def succeeded(self) -> bool:
        """Whether the end state satisfies the task's criteria."""
        return self.reward.success >= 1


class RlRollout(Trajectory):
    """A training episode with its place in the optimisation."""

    train_step: Annotated[Index, Bits(32)]
    """Optimizer step that sampled it."""
    group_id: Name
    """The episodes of one task whose rewards were normalised together."""
    advantage: Annotated[Reward, Bits(32)]
    """Group-normalised reward that weighted the episode's tokens; kept in 32 bits."""


class EntityIds(Record):
    """The entities of one kind in a generated database."""

    kind: Name
    """Such as user_ids, order_ids, flight_numbers; the kinds are the domain's."""
    ids: tuple[str, ...]
    """Ids of this kind, sorted."""


class DatabaseRow(Record):
    """A generated database: reproducible from (domain, generator version, seed, n_users), checked by its hash."""

    database_id: Name
    """Id of the database, from its split and number."""
    domain: Name
    """Tool world, e.g. retail."""
    split: Literal["train", "validation", "test"]
    """What the database is for; no two splits share an entity."""
    generator_version: Annotated[int, Unit("number")] = Field(ge=1)
    """Version of the database generator."""
    seed: Seed
    """Seed of every random choice behind this row."""
    n_users: int = Field(ge=1)
    """Users in the database."""
    content_sha256: Name
    """Hash of the generated database, checked when it is rebuilt."""
    entities: tuple[EntityIds, ...]
    """Ids of all entities, kind by kind."""

    def ids(self, kind: str) -> tuple[str, ...]:
        """Ids of a kind such as `user_ids`; empty when the database has none."""
        return next((each.ids for each in self.entities if each.kind == kind), ())

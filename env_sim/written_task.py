"""What a writing model must say, and how it becomes a task: numbers stand for the actions that were really done.

The model words; it never copies an action. So a task that is built here has the source's own reference, and what can
go wrong is in the words: `problem_of` names it, for the model to repair or for the row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from env_sim.chat.wire import defang
from env_sim.exploration import Findings
from env_sim.task_kits import TaskKit
from env_sim.world import Database, Domain
from schemas import Action, Change, Criteria, Detail, Goal, Intent, Remark, Scenario, Task, Trajectory
from schemas.ids import task_id
from schemas.records import When

__all__ = ["Commission", "Written", "built", "problem_of"]

MIN_SECRET_CHARS = 3
"""A shorter word stands in every sentence."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Topic = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,30}$")]


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore")


class SaidDetail(_Said):
    """A fact told when asked for."""

    topic: Topic
    text: Words


class SaidRemark(_Said):
    """A hint given late."""

    text: Words
    when: Literal["listing", "question", "message"] = "listing"
    n: int = Field(default=1, ge=1, le=20)


class SaidChange(_Said):
    """What the customer wants before it changes its mind."""

    text: Words
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    arguments: dict[str, JsonValue]


class SaidWish(_Said):
    """One wish; `action` is a number of the commission's actions."""

    request: Words
    action: int | None = None
    details: list[SaidDetail] = Field(default_factory=list, max_length=12)
    remarks: list[SaidRemark] = Field(default_factory=list, max_length=6)
    before_change: SaidChange | None = None
    hesitation: Words | None = None
    preferences: list[Words] = Field(default_factory=list, max_length=6)


class Written(_Said):
    """A task in words."""

    opening: Words
    wishes: list[SaidWish] = Field(min_length=1, max_length=8)
    raised_in_opening: int = Field(default=1, ge=1, le=8)
    unknown: list[Topic] = Field(default_factory=list, max_length=8)
    never_said: list[Words] = Field(default_factory=list, max_length=20)
    leaves_choice: bool = False
    remembers_email: bool = True

    def texts(self) -> Iterator[str]:
        """All that the customer may say."""
        yield self.opening
        for wish in self.wishes:
            yield wish.request
            yield from (detail.text for detail in wish.details)
            yield from (remark.text for remark in wish.remarks)
            yield from ([wish.before_change.text] if wish.before_change else [])
            yield from ([wish.hesitation] if wish.hesitation else [])
            yield from wish.preferences


@dataclass(frozen=True)
class Commission:
    """From what a task is to be written, and with which pattern."""

    source: Trajectory
    found: Findings
    """What the source has shown."""
    pattern: str
    cluster_id: str | None
    examples: tuple[str, ...] = ()
    """Explanations of failures of this pattern."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """The writes that were done, then those that were refused: number 1 is the first."""
        return (*self.found.writes, *(refusal.action for refusal in self.found.refusals))

    def write_of(self, number: int | None) -> Action | None:
        """The done write under a number."""
        return self.found.writes[number - 1] if number and 1 <= number <= len(self.found.writes) else None

    def refused(self, number: int | None) -> Action | None:
        """The refused write under a number."""
        place = (number or 0) - len(self.found.writes) - 1
        return self.found.refusals[place].action if 0 <= place < len(self.found.refusals) else None


def problem_of(
    said: Written, asked: Commission, domain: Domain, kit: TaskKit, base: Database, max_words: int, made_by: str
) -> str:
    """What keeps a reply from being a task, in words for the model; empty when nothing does."""
    return (
        _wrong_numbers(said, asked)
        or _wrong_words(said, max_words)
        or _wrong_changes(said, domain, base)
        or _wrong_records(said, asked, domain, kit, base, made_by)
    )


def _wrong_numbers(said: Written, asked: Commission) -> str:
    numbers = [wish.action for wish in said.wishes if wish.action is not None]
    if unknown := sorted({n for n in numbers if not 1 <= n <= len(asked.actions)}):
        return f"action {unknown[0]} does not exist; they are numbered 1 to {len(asked.actions)}"
    done = range(1, len(asked.found.writes) + 1)
    if left := [n for n in done if numbers.count(n) != 1]:
        return f"action {left[0]} was done, so exactly one wish must have it, not {numbers.count(left[0])}"
    if said.raised_in_opening > len(said.wishes):
        return f"raised_in_opening is {said.raised_in_opening}, but there are {len(said.wishes)} wishes"
    return ""


def _wrong_words(said: Written, max_words: int) -> str:
    words = " ".join(said.texts())
    if (n_words := len(words.split())) > max_words:
        return f"the customer says {n_words} words, at most {max_words} may be"
    lowered = words.lower()
    short = [secret for secret in said.never_said if len(secret) < MIN_SECRET_CHARS]
    if short:
        return f"never_said holds {short[0]!r}: name words of {MIN_SECRET_CHARS} characters or more"
    if told := [secret for secret in said.never_said if secret.lower() in lowered]:
        return f"the words hold {told[0]!r}, which never_said forbids"
    return ""


def _wrong_changes(said: Written, domain: Domain, base: Database) -> str:
    for wish in said.wishes:
        first = wish.before_change
        if first is None:
            continue
        if wish.action is None:
            return "a wish with before_change needs an action that it ends with"
        if first.name not in domain.write_tools:
            return f"before_change: {first.name} is no tool that changes something"
        result = domain.new_environment(base, mode="strict").call(first.name, dict(first.arguments))
        if result.error:
            return f"before_change: {first.name} is refused: {result.content}"[:400]
    return ""


def _wrong_records(said: Written, asked: Commission, domain: Domain, kit: TaskKit, base: Database, made_by: str) -> str:
    try:
        task = built(said, asked, domain, kit, base, made_by)
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
    broken = [finding for finding in kit.soundness.task_rules(task, base) if finding.severity == "broken"]
    return f"{broken[0].rule}: {broken[0].evidence}" if broken else ""


def built(said: Written, asked: Commission, domain: Domain, kit: TaskKit, base: Database, made_by: str) -> Task:
    """The task that a reply describes.

    Raises:
        ValidationError: When the words leave a field empty, or nothing would be required.
    """
    found, goals = asked.found, tuple(_goal(wish, asked) for wish in said.wishes)
    who = kit.identity(base, found.customer)
    if not said.remembers_email and who.zip is not None:
        who = who.model_copy(update={"email": None})
    scenario = Scenario(
        identity=who,
        opening=defang(said.opening),
        goals=goals,
        raised_in_opening=said.raised_in_opening,
        unknown=tuple(dict.fromkeys(said.unknown)),
        never_said=tuple(dict.fromkeys(map(defang, said.never_said))),
    )
    forbidden = [action for wish in said.wishes if (action := asked.refused(wish.action))]
    transfer = not found.writes
    content = {
        "domain": domain.name,
        "database_id": asked.source.database_id,
        "intent": _intent(said, goals),
        "pattern": asked.pattern,
        "scenario": scenario,
        "reference": (*found.reads, *found.writes, *([found.transfer] if transfer and found.transfer else [])),
        "criteria": Criteria(writes=found.writes, transfer=transfer, forbidden=tuple(forbidden)),
    }
    return _task(content, asked, made_by)


def _task(content: Mapping[str, object], asked: Commission, made_by: str) -> Task:
    return Task.model_validate(
        {
            "task_id": task_id(**content),  # type: ignore[arg-type]
            "source_trajectory_id": asked.source.trajectory_id,
            "cluster_id": asked.cluster_id,
            "made_by": made_by,
            **content,
        }
    )


def _intent(said: Written, goals: tuple[Goal, ...]) -> Intent:
    if any(goal.accepted is None for goal in goals):
        return Intent.INFEASIBLE
    if any(goal.change for goal in goals):
        return Intent.CHANGING
    return Intent.AMBIGUOUS if said.leaves_choice else Intent.PLAIN


def _goal(wish: SaidWish, asked: Commission) -> Goal:
    action, first = asked.write_of(wish.action), wish.before_change
    change = None
    if first and action:
        change = Change(text=defang(first.text), action=action)
        action = Action(name=first.name, arguments=first.arguments)
    return Goal(
        request=defang(wish.request),
        action=action,
        details=tuple(Detail(topic=each.topic, text=defang(each.text)) for each in wish.details),
        change=change,
        remarks=tuple(Remark(text=defang(each.text), when=When(each.when), n=each.n) for each in wish.remarks),
        hesitation=defang(wish.hesitation) if wish.hesitation else None,
        preferences=tuple(map(defang, wish.preferences)),
    )

"""What can be wrong with a task: findings, and the rules that need no domain's words.

A rule replays; it never reads English. Rules that compare words with records belong to a domain (`TaskKit.soundness`).
The rules can't see a reference that is consistent with itself and still not what the words ask: that is for the
domain's word rules and its planner.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations
from typing import Any, Literal, Protocol

from env_sim.episode import Policy
from env_sim.reward import Scorer, call_key
from env_sim.world import Database, Domain, Environment, Mode, StateKey
from schemas import Action, Task, TaskError

__all__ = [
    "MAX_ORDERS",
    "Case",
    "Finding",
    "Planner",
    "Severity",
    "SoundnessKit",
    "case_replay_findings",
    "goals_differ",
    "order_findings",
    "pair_findings",
    "reference_problem",
]

Severity = Literal["broken", "suspicious"]
"""`broken`: a correct agent can fail or an idle one pass. `suspicious`: true only under a reading of the words."""

MAX_ORDERS = 720
"""Orders of writes or of pairs that are tried: all of up to six."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a task."""

    rule: str
    evidence: str
    severity: Severity = "broken"


@dataclass(frozen=True)
class Case:
    """An imported task as rules see it: words for a user, gold calls, and what is graded beside the state."""

    case_id: str
    words: str
    """All that the user is told: facts, wishes, conditions."""
    reference: tuple[Action, ...]
    """Gold calls, reads included, in order. A refused one is skipped, as its benchmark does."""
    graded_words: tuple[str, ...] = ()
    """What the agent must tell the user, where that is graded."""
    mode: Mode = "parity"
    """How the tools behave where it is graded."""


class Planner(Policy, Protocol):
    """A policy that finds the goal from words alone and says where the words left it a choice."""

    open_choices: list[str]
    """Choices that remained after all questions were asked; empty when the words fit one goal only."""


@dataclass(frozen=True)
class SoundnessKit:
    """A domain's side of the checker."""

    planner: Callable[[], Planner]
    """A new solver that sees what an agent sees; never the reference."""
    task_rules: Callable[[Task, Database], list[Finding]]
    """What the words of a task of ours say against its records."""
    case_rules: Callable[[Case, Database], list[Finding]]
    """What the words of an imported task say against its records."""
    sequences: frozenset[str] = frozenset()
    """List arguments whose order carries meaning, such as the flights of a way; the order of all others must not."""


def reference_problem(domain: Domain, base: Database, task: Task) -> Finding | None:
    """The first reason why a task is not executable: its reference must replay, reach the criteria, and be needed."""
    environment = domain.new_environment(base, mode="strict")
    for number, action in enumerate(task.reference):
        result = environment.call(action.name, dict(action.arguments))
        if result.error:
            return Finding("reference_fails", f"reference action {number} {action.name} failed: {result.content}")
    if task.criteria.transfer:
        return None
    try:
        goal_state = Scorer(domain).goal_state(task, base)
    except TaskError as error:
        return Finding("required_write_fails", str(error))
    if environment.state_key() != goal_state:
        return Finding("reference_misses_goal", "the reference does not end in the required state")
    if goal_state == domain.new_environment(base, mode="strict").state_key():
        return Finding("do_nothing_passes", "the required state is the initial one")
    return None


def goals_differ(task: Task) -> list[Finding]:
    """What the user wants and what is required must be the same writes: nothing unasked, nothing unrewarded."""
    wished = [goal.accepted for goal in task.scenario.goals if goal.accepted is not None]
    asked = {call_key(action.name, action.arguments) for action in wished}
    required = {call_key(action.name, action.arguments) for action in task.criteria.writes}
    return [
        *(Finding("wish_not_required", f"the user wants {key}") for key in sorted(asked - required)),
        *(Finding("required_not_wished", f"no wish asks for {key}") for key in sorted(required - asked)),
    ]


def order_findings(domain: Domain, base: Database, writes: Sequence[Action], mode: Mode) -> list[Finding]:
    """The end state must not depend on the order of the writes, nor may a write be refused for coming first."""
    wanted = _end_state(domain, base, writes, mode)
    for order in islice(permutations(range(len(writes))), 1, MAX_ORDERS):
        state, refusals = _end_state(domain, base, [writes[place] for place in order], mode)
        if (state, refusals) != wanted:
            names = ", ".join(f"{place + 1} {writes[place].name}" for place in order)
            why = f": {'; '.join(refusals)}" if refusals else ""
            return [Finding("write_order_matters", f"another end state in the order {names}{why}")]
    return []


def pair_findings(
    domain: Domain, base: Database, writes: Sequence[Action], mode: Mode, sequences: frozenset[str] = frozenset()
) -> list[Finding]:
    """The end state must not depend on the order inside list arguments (`sequences` apart): pairs in any order."""
    wanted = _end_state(domain, base, writes, mode)
    for place, write in enumerate(writes):
        for name, turned in _turned_lists(write, sequences):
            if _end_state(domain, base, [*writes[:place], turned, *writes[place + 1 :]], mode) != wanted:
                order = turned.arguments[name]
                return [Finding("pair_order_matters", f"{write.name} ends in another state with its pairs as {order}")]
    return []


def case_replay_findings(
    domain: Domain, base: Database, case: Case, sequences: frozenset[str] = frozenset()
) -> list[Finding]:
    """What replaying an imported task shows: refusals, an end state equal to the start, dependence on order."""
    environment = domain.new_environment(base, mode=case.mode)
    start, findings, writes = environment.state_key(), [], []
    for action in case.reference:
        result = environment.call(action.name, dict(action.arguments))
        is_write = action.name in domain.write_tools
        if result.error:
            severity: Severity = "broken" if is_write else "suspicious"
            rule = "reference_fails" if is_write else "reference_read_fails"
            findings.append(Finding(rule, f"{action.name}: {result.content}", severity))
        elif is_write:
            writes.append(action)
    if environment.state_key() == start:
        findings.append(_idle(case))
    findings += _refused_when_strict(domain, base, writes, case.mode)
    findings += pair_findings(domain, base, writes, case.mode, sequences)
    ordered = order_findings(domain, base, writes, case.mode)
    if ordered and _meet(domain, base, writes, case.mode):
        # Its words can ask for this order ("then change it back"), which no rule can read.
        ordered = [replace(finding, severity="suspicious") for finding in ordered]
    return [*findings, *ordered]


def _idle(case: Case) -> Finding:
    if not case.graded_words:
        return Finding("do_nothing_passes", "the required state is the initial one and nothing else is graded")
    told = "; ".join(case.graded_words)
    return Finding("state_does_not_grade", f"the required state is the initial one; only words: {told}", "suspicious")


def _refused_when_strict(domain: Domain, base: Database, writes: Sequence[Action], mode: Mode) -> Iterator[Finding]:
    environment = domain.new_environment(base, mode="strict")
    for write in writes if mode == "parity" else ():
        result = environment.call(write.name, dict(write.arguments))
        if result.error:
            yield Finding("rules_refuse_reference", f"{write.name}: {result.content}", "suspicious")


def _end_state(
    domain: Domain, base: Database, writes: Sequence[Action], mode: Mode
) -> tuple[StateKey, tuple[str, ...]]:
    """The state after the writes and what the tools refused."""
    environment = domain.new_environment(base, mode=mode)
    results = [environment.call(write.name, dict(write.arguments)) for write in writes]
    return environment.state_key(), tuple(result.content for result in results if result.error)


def _meet(domain: Domain, base: Database, writes: Sequence[Action], mode: Mode) -> bool:
    """Whether two writes change the same record."""
    environment, places = domain.new_environment(base, mode=mode), []
    for write in writes:
        before = dict(_records(environment))
        environment.call(write.name, dict(write.arguments))
        after = dict(_records(environment))
        places += [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    return len(set(places)) < len(places)


def _records(environment: Environment) -> Iterator[tuple[tuple[str, str], str]]:
    for table, key, text in environment.state_key():
        yield (table, key), text


def _turned_lists(write: Action, sequences: frozenset[str]) -> Iterator[tuple[str, Action]]:
    """The write with its lists in every other order, and the list that was turned.

    Lists of texts are parallel: they are turned alike. An object holds its own pair: a list of them is turned alone.
    """
    lists: dict[str, Any] = {
        name: value for name, value in write.arguments.items() if isinstance(value, list) and len(value) > 1
    }
    alone = [[name] for name, values in lists.items() if isinstance(values[0], dict) and name not in sequences]
    parallel = [name for name, values in lists.items() if not isinstance(values[0], dict) and name not in sequences]
    for names in [*alone, parallel]:
        lengths = {len(lists[name]) for name in names}
        if len(lengths) != 1:
            continue
        for order in islice(permutations(range(lengths.pop())), 1, MAX_ORDERS):
            turned = {name: [lists[name][place] for place in order] for name in names}
            yield names[0], Action(name=write.name, arguments={**write.arguments, **turned})

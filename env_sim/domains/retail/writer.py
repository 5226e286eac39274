"""The embedded task writer and the embedded expert: source trajectory -> task -> solved dialogue.

The writer words what an explorer has done as a customer's request, with one failure pattern in it. The expert solves
a task while it may look at the reference for *what* to write; *when* to look up, ask, confirm, refuse or act follows
from what the user has said alone, so that a student can learn it.
"""

import re
from collections.abc import Iterator, Sequence
from random import Random

from env_sim.dialogue import Act, Ask, Confirm, Deny, Done, act_text
from env_sim.domains.retail import wording
from env_sim.domains.retail.explorer import TRANSFER, product_ids
from env_sim.domains.retail.patterns import PATTERNS, Draft
from env_sim.domains.retail.views import view
from env_sim.world import Database
from schemas import Action, ConfigError, Criteria, Goal, Identity, Message, Scenario, Task, ToolCall, Trajectory
from schemas.ids import task_id

MADE_BY = "grammar-writer/1"
_OPERATORS = {pattern.name: pattern.operator for pattern in PATTERNS}
_ORDER_ID = re.compile(r"#W\d{7}")
_OTHER_ORDER = re.compile(r"of my order with")


def write_task(
    source: Trajectory, base: Database, pattern: str, rng: Random, cluster_id: str | None = None
) -> Task | None:
    """Word a source trajectory as a task that provokes a pattern; None when the trajectory doesn't allow it.

    Raises:
        ConfigError: unknown pattern.
    """
    if pattern not in _OPERATORS:
        raise ConfigError(f"write_task[{source.trajectory_id}]: unknown pattern {pattern!r}; known: {sorted(_OPERATORS)}")
    calls = [Action(name=c.name, arguments=c.arguments) for m in source.messages for c in m.tool_calls]
    user_id = str(next(c.arguments["user_id"] for c in calls if c.name == "get_user_details"))
    wishes = list(source.writes) or [c for c in calls if c == TRANSFER]
    draft = _OPERATORS[pattern]([view(base, user_id, wish) for wish in wishes], rng)
    if draft is None:
        return None
    scenario = _scenario(base, user_id, draft, rng)
    criteria = Criteria(writes=source.writes, transfer=not source.writes)
    content = {
        "domain": "retail",
        "database_id": source.database_id,
        "intent": draft.intent,
        "pattern": pattern,
        "scenario": scenario,
        "reference": tuple(calls),
        "criteria": criteria,
    }
    return Task(
        task_id=task_id(**content),
        source_trajectory_id=source.trajectory_id,
        cluster_id=cluster_id,
        made_by=MADE_BY,
        **content,
    )


def _scenario(base: Database, user_id: str, draft: Draft, rng: Random) -> Scenario:
    user = base.tables["users"][user_id]
    identity = Identity(
        user_id=user_id,
        first_name=user["name"]["first_name"],
        last_name=user["name"]["last_name"],
        zip=user["address"]["zip"],
        email=user["email"] if rng.random() < 0.7 else None,
    )
    first = " also, ".join(goal.request for goal in draft.goals[: draft.raised_in_opening])
    return Scenario(
        identity=identity,
        opening=wording.opening(identity, first, rng),
        goals=draft.goals,
        raised_in_opening=draft.raised_in_opening,
    )


class Expert:
    """Message-level policy that solves a task of its domain; one per episode."""

    def __init__(self, task: Task, base: Database) -> None:
        """Plan over the task's scenario."""
        self._task = task
        self._base = base
        self._user = base.tables["users"][task.scenario.identity.user_id]
        self._seen: set[str] = set()
        self._calls = 0
        self._heard = ""
        self._plan = self._solve()

    def act(self, messages: Sequence[Message]) -> Message:
        """Next message of the plan; reads the user's last words where the plan depends on them."""
        self._heard = messages[-1].content
        return next(self._plan)

    def _solve(self) -> Iterator[Message]:
        yield from self._authenticate()
        goals = self._task.scenario.goals
        for index, goal in enumerate(goals):
            if goal.action is None:
                if self._task.criteria.transfer:
                    yield self._call(TRANSFER)
                    return
                yield from self._refuse(goal)
                continue
            yield from self._fulfil(goal, goal.action)
            if index + 1 >= self._task.scenario.raised_in_opening:
                yield _say(Done())

    def _authenticate(self) -> Iterator[Message]:
        who = self._task.scenario.identity
        if "my email is" not in self._heard and "my name is" not in self._heard:
            yield _say(Ask("identity"))
        if who.email:
            yield self._call(Action(name="find_user_id_by_email", arguments={"email": who.email}))
        else:
            names = {"first_name": who.first_name, "last_name": who.last_name, "zip": who.zip}
            yield self._call(Action(name="find_user_id_by_name_zip", arguments={**names}))
        yield self._call(Action(name="get_user_details", arguments={"user_id": who.user_id}))

    def _refuse(self, goal: Goal) -> Iterator[Message]:
        yield from self._look_at(_ORDER_ID.findall(goal.request))
        yield _say(Deny())

    def _fulfil(self, goal: Goal, wanted: Action) -> Iterator[Message]:
        named = _ORDER_ID.findall(goal.request)
        needs_order = "order_id" in wanted.arguments
        searches = (needs_order and not named) or _OTHER_ORDER.search(goal.request)
        yield from self._look_at([*named, *(self._user["orders"] if searches else [])])
        topics = {detail.topic for detail in goal.details}
        if "order" in topics:
            yield _say(Ask("order"))
        if needs_order:
            yield from self._look_at_products(wanted)
        if "variant" in topics:
            yield _say(Ask("variant"))
        yield _say(Confirm(wanted))
        if goal.change:
            yield from self._look_at(_ORDER_ID.findall(self._heard))
            wanted = goal.change.action
            yield _say(Confirm(wanted))
        yield self._call(wanted)

    def _look_at(self, order_ids: Sequence[str]) -> Iterator[Message]:
        for order_id in order_ids:
            yield from self._read("get_order_details", "order_id", order_id)

    def _look_at_products(self, wanted: Action) -> Iterator[Message]:
        order = self._base.tables["orders"][str(wanted.arguments["order_id"])]
        for product_id in product_ids(order, wanted):
            yield from self._read("get_product_details", "product_id", product_id)

    def _read(self, tool: str, key: str, value: str) -> Iterator[Message]:
        if value not in self._seen:
            self._seen.add(value)
            yield self._call(Action(name=tool, arguments={key: value}))

    def _call(self, action: Action) -> Message:
        self._calls += 1
        call = ToolCall(id=f"call-{self._calls}", name=action.name, arguments=action.arguments)
        return Message(role="assistant", tool_calls=(call,))


def _say(act: Act) -> Message:
    return Message(role="assistant", content=act_text(act))

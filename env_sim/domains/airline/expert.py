"""The embedded expert: solves an airline task in dialogue, for students to imitate.

It may look at the reference for *what* to write; *when* to look up, ask, confirm, refuse or act follows from what the
user has said alone. Its reasoning repeats the words of a record and the id that stands with them, so each id that it
uses is found by copying what follows the same words.
"""

import re
from collections.abc import Iterator, Sequence

from env_sim.dialogue import Ask, Confirm, Deny, Done
from env_sim.domains.airline.explorer import TRANSFER, searches
from env_sim.domains.airline.views import JsonObject
from env_sim.planned_policy import PlannedPolicy, say
from env_sim.world import Database
from schemas import Action, Goal, Message, Task

__all__ = ["Expert"]

_RESERVATION = re.compile(r"\breservation ([A-Z0-9]{6})\b")
_OTHER_TRIP = re.compile(r"payment method of my trip from ([A-Z]{3}) to ([A-Z]{3})")


class Expert(PlannedPolicy):
    """Message-level policy; one per episode."""

    def __init__(self, task: Task, base: Database) -> None:
        """Plan over the task's scenario."""
        super().__init__()
        self._task = task
        self._base = base
        self._user = base.tables["users"][task.scenario.identity.user_id]
        self._seen: set[str] = set()

    def _talk(self) -> Iterator[Message]:
        user_id = self._user["user_id"]
        if user_id not in self._heard:
            yield say(Ask("identity"))
        yield self._call(Action(name="get_user_details", arguments={"user_id": user_id}))
        for index, goal in enumerate(self._task.scenario.goals):
            if goal.action is None:
                if self._task.criteria.transfer:
                    yield self._call(TRANSFER)
                    return
                yield from self._look_at(_RESERVATION.findall(goal.request))
                yield say(Deny(), self._header(_RESERVATION.findall(goal.request)[0]))
                continue
            yield from self._fulfil(goal, goal.action)
            if index + 1 >= self._task.scenario.raised_in_opening:
                yield say(Done())

    def _fulfil(self, goal: Goal, wanted: Action) -> Iterator[Message]:
        named = _RESERVATION.findall(goal.request)
        touches = "reservation_id" in wanted.arguments
        yield from self._look_at(named)
        if (touches and not named) or _OTHER_TRIP.search(goal.request):
            yield from self._look_at(self._user["reservations"])
        for topic in [detail.topic for detail in goal.details]:
            yield say(Ask(topic))
        yield from self._search(wanted)
        yield say(Confirm(wanted), self._grounds(goal, wanted))
        if goal.change:
            wanted = goal.change.action
            yield from self._search(wanted)
            yield say(Confirm(wanted), self._grounds(goal, wanted))
        yield self._call(wanted)

    def _look_at(self, reservation_ids: Sequence[str]) -> Iterator[Message]:
        for reservation_id in reservation_ids:
            action = Action(name="get_reservation_details", arguments={"reservation_id": reservation_id})
            yield from self._read(action)

    def _search(self, wanted: Action) -> Iterator[Message]:
        for search in searches(self._base, wanted):
            yield from self._read(search)

    def _read(self, action: Action) -> Iterator[Message]:
        if str(action) not in self._seen:
            self._seen.add(str(action))
            yield self._call(action)

    def _header(self, reservation_id: str) -> str:
        """How a record of the reservation begins: route, id, cabin, insurance, payment method."""
        held = self._base.tables["reservations"][reservation_id]
        paid = held["payment_history"][0]["payment_id"]
        cabin = held["cabin"].replace("_", " ")
        return f"{held['origin']} {held['destination']} {reservation_id} {cabin} {held['insurance']} {paid}"

    def _grounds(self, goal: Goal, wanted: Action) -> str:
        """Why just these arguments: the reservation, and the method when it is another's or of a kind."""
        reservation_id = wanted.arguments.get("reservation_id")
        parts = [self._header(str(reservation_id))] if reservation_id else []
        other = _OTHER_TRIP.search(goal.request)
        method_id = wanted.arguments.get("payment_id")
        if other:
            parts += [self._header(key) for key in self._user["reservations"] if self._goes(key, other.groups())]
        elif isinstance(method_id, str) and f"my {method_id[: -len('_0000000')].replace('_', ' ')}" in goal.request:
            parts.append(f"{self._user['payment_methods'][method_id]['source']} {method_id}")
        return " ".join(parts)

    def _goes(self, reservation_id: str, route: Sequence[str]) -> bool:
        held: JsonObject = self._base.tables["reservations"][reservation_id]
        return (held["origin"], held["destination"]) == tuple(route)

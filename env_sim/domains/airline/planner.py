"""A naive solver of generated airline tasks: proof that the words lead to the goal, without a look at the reference.

It knows the tools, the rules and what the user says; it reads all reservations of the user, keeps what fits the words,
and asks when more than one trip or no day is left. What still fits after that is counted in `open_choices`. It
understands the grammar's English by the names of records and a few prepositions, not by the grammar's own templates;
free English (tau2's) it does not understand.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from env_sim.conduct import says_yes
from env_sim.dialogue import Ask, Confirm, Deny, Done
from env_sim.domains.airline.entity_numbers import FLIGHT_NUMBER
from env_sim.domains.airline.permissions import forbidden, paid_bags
from env_sim.domains.airline.word_rules import RESERVATION_ID
from env_sim.domains.airline.write_tools import NOW
from env_sim.planned_policy import WordSolver, say
from schemas import Action, Message

__all__ = ["WordPlanner"]

JsonObject = Mapping[str, Any]
_USER_ID = re.compile(r"\b[a-z]+_[a-z]+_\d{4}\b")
_DATE = re.compile(r"\b2024-\d\d-\d\d\b")
_ROUTE = re.compile(r"(?<!payment method of )\bmy trip from ([A-Z]{3})(?: to ([A-Z]{3}))?")
_GOES_TO = re.compile(r"(?:the one|the trip|goes) to ([A-Z]{3})")
_OTHER_TRIP = re.compile(r"payment method of my trip from ([A-Z]{3}) to ([A-Z]{3})")
_FROM_TO = re.compile(r"from ([A-Z]{3}) to ([A-Z]{3})")
_BAGS = re.compile(r"(\d+) (?:more )?(?:checked )?bags")
_BORN = re.compile(r"([A-Z]\w+) ([A-Z]\w+), born (\d{4}-\d\d-\d\d)")
_CLASS = re.compile(r"(basic economy|economy|business) class")
_METHODS = {"my credit card": "credit_card", "my gift card": "gift_card"}
_COVERED = re.compile(r"\b(?:sick|ill)\b")


@dataclass
class _Known:
    """The records that the planner has read, as `permissions` asks for them."""

    tables: dict[str, dict[str, Any]] = field(default_factory=lambda: {"users": {}, "reservations": {}, "flights": {}})
    writes: Sequence[Action] = ()

    def record(self, table: str, key: str) -> Any:
        """What was read of a record; of a flight its way, and whether it has left, by its date."""
        return self.tables[table].get(key)

    def add(self, reservation: Any) -> None:
        """Keep a reservation and the flights that it shows."""
        self.tables["reservations"][reservation["reservation_id"]] = reservation
        for each in reservation["flights"]:
            self.tables["flights"][each["flight_number"]] = {**each, "dates": _Departures()}


class _Departures(dict[str, Any]):
    """The days of a flight that nobody has looked up."""

    def __missing__(self, date: str) -> Any:
        return {"status": "available" if date > NOW[:10] else "landed"}


class WordPlanner(WordSolver):
    """Message-level policy; one per episode."""

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__()
        self._refused = False
        self._user: dict[str, Any] = {}
        self._known = _Known()

    @property
    def _trips(self) -> dict[str, Any]:
        return self._known.tables["reservations"]

    def _talk(self) -> Iterator[Message]:
        opening = self._heard
        if not _USER_ID.search(self._heard):
            yield say(Ask("identity"))
        said = _USER_ID.search(self._heard)
        if said is None:
            return
        yield self._ask_tool("get_user_details", user_id=said[0])
        self._user = json.loads(self._result)
        self._known.tables["users"][said[0]] = self._user
        for reservation_id in self._user["reservations"]:
            yield self._ask_tool("get_reservation_details", reservation_id=reservation_id)
            self._known.add(json.loads(self._result))
        wishes = opening.split(" also, ")
        while True:
            for text in wishes:
                tool = _tool(text)
                if tool == "transfer_to_human_agents":
                    yield self._ask_tool(tool, summary="out of scope")
                    return
                yield from self._book(text) if tool == "book_reservation" else self._fulfil(tool, text)
            if not self._refused:
                yield say(Done())
            wishes = [self._heard]

    def _book(self, text: str) -> Iterator[Message]:
        self._refused = False
        number, date, way, cabin = (found.search(text) for found in (FLIGHT_NUMBER, _DATE, _FROM_TO, _CLASS))
        if not (number and date and way and cabin):
            return
        yield self._ask_tool("search_direct_flight", origin=way[1], destination=way[2], date=date[0])
        flight = next(each for each in json.loads(self._result) if each["flight_number"] == number[0])
        price, person = flight["prices"][cabin[1].replace(" ", "_")], {**self._user["name"], "dob": self._user["dob"]}
        arguments = {
            "user_id": self._user["user_id"],
            "origin": way[1],
            "destination": way[2],
            "flight_type": "one_way",
            "cabin": cabin[1].replace(" ", "_"),
            "flights": [{"flight_number": number[0], "date": date[0]}],
            "passengers": [person],
            "payment_methods": [{"payment_id": self._method(text, {}), "amount": price}],
            "total_baggages": 0,
            "nonfree_baggages": 0,
            "insurance": "no",
        }
        yield say(Confirm(Action(name="book_reservation", arguments=arguments)))
        yield self._ask_tool("book_reservation", **arguments)

    def _fulfil(self, tool: str, text: str) -> Iterator[Message]:
        """Choose the trip, ask where words leave a choice, list the action, carry it out; refuse what is forbidden."""
        self._refused = False
        trips = self._fitting(text)
        if len(trips) > 1:
            yield say(Ask("reservation"))
            trips = self._fitting(f"{text} {self._heard}") or trips
        trip = self._only("reservation", trips)
        days = {each["date"] for each in trip["flights"]} if trip else set()
        if tool == "move" and not set(_DATE.findall(text)) - days:
            yield say(Ask("date"))
            text = f"{text} {self._heard}"
        action = self._action(tool, text, trip) if trip else None
        if action is None or forbidden(self._known, action, covered=bool(_COVERED.search(text))):
            self._refused = True
            yield say(Deny())
            return
        yield say(Confirm(action))
        if not says_yes(self._heard):
            # What is said last counts, and is read first.
            yield from self._fulfil(tool, f"{self._heard} {text}")
            return
        yield self._call(action)

    def _fitting(self, text: str) -> list[Any]:
        """The trips that the words can mean."""
        named, way, goes = RESERVATION_ID.search(text), _ROUTE.search(text), _GOES_TO.search(text)
        if named:
            return [self._trips[named[0]]] if named[0] in self._trips else []
        end = (way and way[2]) or (goes and goes[1])
        return [
            trip for trip in self._trips.values()
            if way and trip["origin"] == way[1] and end in (None, trip["destination"])
        ]  # fmt: skip

    def _action(self, tool: str, text: str, trip: JsonObject) -> Action | None:
        arguments: dict[str, Any] = {"reservation_id": trip["reservation_id"]}
        if tool == "cancel_reservation":
            return Action(name=tool, arguments=arguments)
        if tool == "update_reservation_passengers":
            return Action(name=tool, arguments={**arguments, "passengers": self._people(text, trip)})
        method = self._method(text, trip)
        bags, cabin = _BAGS.search(text), _CLASS.search(text)
        if tool == "update_reservation_baggages" and bags:
            total = trip["total_baggages"] + int(bags[1])
            paid = paid_bags(self._user, trip["cabin"], len(trip["passengers"]), total)
            counts = {"total_baggages": total, "nonfree_baggages": paid}
            return Action(name=tool, arguments={**arguments, **counts, "payment_id": method})
        days = {each["date"] for each in trip["flights"]}
        said = _DATE.findall(text)
        old, new = [day for day in said if day in days], [day for day in said if day not in days]
        if tool == "move" and not (old and new):
            return None
        flights = [
            {
                "flight_number": each["flight_number"],
                "date": new[0] if tool == "move" and each["date"] == old[0] else each["date"],
            }
            for each in trip["flights"]
        ]
        chosen = cabin[1].replace(" ", "_") if tool == "cabin" and cabin else trip["cabin"]
        changed = {"cabin": chosen, "flights": flights, "payment_id": method}
        return Action(name="update_reservation_flights", arguments={**arguments, **changed})

    def _people(self, text: str, trip: JsonObject) -> list[Any]:
        """The passengers with the named one replaced by the one whose birth is said."""
        born = _BORN.search(text)
        new = {"first_name": born[1], "last_name": born[2], "dob": born[3]} if born else {}
        aboard = trip["passengers"]
        named = [each for each in aboard if f"{each['first_name']} {each['last_name']}" in text]
        leaves = self._only("passenger", named)
        return [new if each is leaves else each for each in aboard]

    def _method(self, text: str, trip: JsonObject) -> str:
        """The method of another trip or of the kind that the words name, else the one that paid."""
        other = _OTHER_TRIP.search(text)
        if other:
            ways = [each for each in self._trips.values() if (each["origin"], each["destination"]) == other.groups()]
            trip = self._only("source", ways) or trip
        kind = next((kind for words, kind in _METHODS.items() if words in text), "")
        if not kind:
            return trip["payment_history"][0]["payment_id"]
        methods = self._user["payment_methods"].items()
        return self._only("payment", [key for key, method in methods if method["source"] == kind])


def _tool(text: str) -> str:
    """The write that the words ask for; of the two changes of flights, which one."""
    if re.search(r"\bbook\b", text):
        return "book_reservation"
    if "cancel" in text:
        return "cancel_reservation"
    if _BAGS.search(text):
        return "update_reservation_baggages"
    if _BORN.search(text):
        return "update_reservation_passengers"
    if _CLASS.search(text):
        return "cabin"
    return "move" if _DATE.search(text) else "transfer_to_human_agents"

"""What the rulebook permits: the rules that no tool checks, as far as records can tell.

The explorer wishes for nothing else, infeasible wishes are made from it, and gold calls of published tasks are held
against it. Judged before each call on the state as it then is: a cabin that was just changed counts. What a customer
says is no record: whether the reason for a cancellation is covered must be told.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from env_sim.domains.airline.write_tools import NOW
from env_sim.world import JsonRecord
from schemas import Action

__all__ = ["Records", "forbidden", "free_bags", "legs", "paid_bags"]

_DAY_AGO = NOW.replace("-15T", "-14T")
_FREE_BAGS = {
    "regular": {"basic_economy": 0, "economy": 1, "business": 2},
    "silver": {"basic_economy": 1, "economy": 2, "business": 3},
    "gold": {"basic_economy": 2, "economy": 3, "business": 4},
}
_MOST = {"certificate": 1, "credit_card": 1, "gift_card": 3}
"""Methods of a kind that may pay for one booking."""
_MAX_PASSENGERS = 5
_FLOWN = ("landed", "flying")
_CERTIFICATES = {"cancelled": 100, "delayed": 50}
"""Dollars per passenger by what happened to a flight."""

Leg = tuple[JsonRecord, ...]


class Records(Protocol):
    """Where rules look: an environment, or what an agent has read so far."""

    @property
    def writes(self) -> Sequence[Action]:
        """Writes of the episode so far."""
        ...

    def record(self, table: str, key: str) -> JsonRecord | None:
        """The current record, None when there is none."""
        ...


def free_bags(user: JsonRecord, cabin: str, n_passengers: int) -> int:
    """Checked bags that cost nothing."""
    return _FREE_BAGS[user["membership"]][cabin] * n_passengers


def paid_bags(user: JsonRecord, cabin: str, n_passengers: int, total: int) -> int:
    """Of this many bags, those that cost the fee."""
    return max(0, total - free_bags(user, cabin, n_passengers))


def forbidden(environment: Records, action: Action, *, covered: bool = False) -> str:
    """Why the rulebook forbids a write in the current state; empty when it permits it, or when the tool would refuse.

    Args:
        environment: The episode before the write.
        action: A write.
        covered: Whether the customer's reason is one that travel insurance pays for.
    """
    arguments: Any = action.arguments
    if action.name == "book_reservation":
        return _booking(environment, arguments)
    if action.name == "send_certificate":
        return _certificate(environment, arguments)
    reservation = environment.record("reservations", str(arguments.get("reservation_id")))
    if reservation is None:
        return ""
    if action.name == "cancel_reservation":
        return _cancellation(environment, reservation, covered)
    if action.name == "update_reservation_flights":
        return _change(environment, reservation, arguments)
    return _bags(environment, reservation, arguments) if action.name == "update_reservation_baggages" else ""


def legs(segments: Sequence[JsonRecord], destination: str) -> tuple[Leg, ...]:
    """The way there, and the way back if there is one: segments up to the destination, and behind it."""
    for place, segment in enumerate(segments, start=1):
        if segment["destination"] == destination:
            return tuple(leg for leg in (tuple(segments[:place]), tuple(segments[place:])) if leg)
    return (tuple(segments),)


def _statuses(environment: Records, reservation: JsonRecord) -> set[str]:
    flights: Any = [(environment.record("flights", each["flight_number"]), each) for each in reservation["flights"]]
    return {flight["dates"][each["date"]]["status"] for flight, each in flights}


def _cancellation(environment: Records, reservation: JsonRecord, covered: bool) -> str:
    statuses = _statuses(environment, reservation)
    if statuses & {*_FLOWN}:
        return "a part of it has been flown"
    if reservation["cabin"] == "business" or reservation["created_at"] >= _DAY_AGO or "cancelled" in statuses:
        return ""
    if reservation["insurance"] == "yes":
        return "" if covered else "its insurance does not cover the reason"
    return f"{reservation['cabin']}, no insurance, booked {reservation['created_at'][:10]}"


def _change(environment: Records, reservation: JsonRecord, arguments: Any) -> str:
    held = [(each["flight_number"], each["date"]) for each in reservation["flights"]]
    wanted = [(each["flight_number"], each["date"]) for each in arguments["flights"]]
    if arguments["cabin"] != reservation["cabin"] and _statuses(environment, reservation) & {*_FLOWN}:
        return "the cabin can't change once a flight has been flown"
    if wanted == held:
        return ""
    if reservation["cabin"] == "basic_economy":
        return "flights of a basic economy reservation can't change"
    flights = [environment.record("flights", number) for number, _ in wanted]
    stops = [(flight["origin"], flight["destination"]) for flight in flights if flight]
    back = reservation["flight_type"] == "round_trip"
    ends = (reservation["origin"], reservation["origin"] if back else reservation["destination"])
    if not stops or (stops[0][0], stops[-1][1]) != ends or reservation["destination"] not in {end for _, end in stops}:
        return "origin, destination and trip type can't change"
    return ""


def _bags(environment: Records, reservation: JsonRecord, arguments: Any) -> str:
    total, user = arguments["total_baggages"], environment.record("users", reservation["user_id"])
    if user is None or total < reservation["total_baggages"]:
        return "bags can't be removed"
    expected = max(
        reservation["nonfree_baggages"],
        paid_bags(user, reservation["cabin"], len(reservation["passengers"]), total),
    )
    return "" if arguments["nonfree_baggages"] == expected else f"{expected} of {total} bags cost the fee"


def _booking(environment: Records, arguments: Any) -> str:
    user = environment.record("users", arguments["user_id"])
    if user is None:
        return ""
    n_passengers, total = len(arguments["passengers"]), arguments["total_baggages"]
    expected = paid_bags(user, arguments["cabin"], n_passengers, total)
    if n_passengers > _MAX_PASSENGERS:
        return f"{n_passengers} passengers in one reservation"
    if arguments["nonfree_baggages"] != expected:
        return f"{expected} of {total} bags cost the fee"
    paid_by = [user["payment_methods"].get(each["payment_id"], {}) for each in arguments["payment_methods"]]
    counts = Counter(method.get("source", "") for method in paid_by)
    return next((f"{n} methods of kind {kind}" for kind, n in counts.items() if n > _MOST.get(kind, 0)), "")


def _certificate(environment: Records, arguments: Any) -> str:
    """Whether a flight of the customer was late or cancelled, for so many passengers, and compensation is due.

    For a delay only once the reservation was changed or cancelled; `environment.writes` tells.
    """
    user = environment.record("users", arguments["user_id"])
    changed = {str(write.arguments.get("reservation_id")) for write in environment.writes}
    reason = "no flight of the customer was late or cancelled for as many passengers"
    for key in user["reservations"] if user else ():
        reservation = environment.record("reservations", key)
        if reservation is None:
            continue
        for status in _statuses(environment, reservation) & {*_CERTIFICATES}:
            if arguments["amount"] != _CERTIFICATES[status] * len(reservation["passengers"]):
                continue
            if user and user["membership"] == "regular" and reservation["insurance"] == "no":
                reason = "regular member without insurance"
            elif status == "cancelled" or key in changed:
                return ""
            else:
                reason = f"the flight in {key} is late, but the reservation was neither changed nor cancelled"
    return reason

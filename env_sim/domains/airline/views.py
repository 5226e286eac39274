"""What a wish means in its database: the reservation it touches and how that can be told apart in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from env_sim.domains.airline import wording
from env_sim.world import Database
from schemas import Action

__all__ = ["JsonObject", "WishView", "method_phrase", "moved_date", "phrases", "route", "view"]

JsonObject = Mapping[str, Any]


@dataclass(frozen=True)
class WishView:
    """A wish (one write) with the reservation that it touches; a booking touches none."""

    base: Database
    user: JsonObject
    action: Action
    reservation: JsonObject | None

    @property
    def tool(self) -> str:
        """Name of the write."""
        return self.action.name

    def own(self) -> list[JsonObject]:
        """All reservations of the user, in the profile's order."""
        return [self.base.tables["reservations"][key] for key in self.user["reservations"]]

    def others(self) -> list[JsonObject]:
        """The user's reservations but this one."""
        return [each for each in self.own() if each is not self.reservation]


def view(base: Database, user_id: str, action: Action) -> WishView:
    """Look up what the wish touches."""
    reservation = base.tables["reservations"].get(str(action.arguments.get("reservation_id")))
    return WishView(base, base.tables["users"][user_id], action, reservation)


def route(reservation: JsonObject) -> tuple[str, str]:
    """Where a reservation starts and where it goes."""
    return reservation["origin"], reservation["destination"]


def moved_date(reservation: JsonObject, flights: Sequence[JsonObject]) -> tuple[str, str] | None:
    """The day that a change of flights leaves and the one it takes; None when it moves none."""
    for old, new in zip(reservation["flights"], flights, strict=False):
        if old["date"] != new["date"]:
            return old["date"], new["date"]
    return None


def method_phrase(wish: WishView) -> str | None:
    """How the wish's payment method is said; empty when it is the one that paid, None when no words single it out."""
    arguments: Any = wish.action.arguments
    paid = [each["payment_id"] for each in arguments.get("payment_methods", ())]
    method_id = arguments.get("payment_id") or (paid[0] if paid else None)
    if method_id is None or (wish.reservation and method_id == wish.reservation["payment_history"][0]["payment_id"]):
        return ""
    methods = wish.user["payment_methods"]
    source = methods[method_id]["source"]
    alike = [method for method in methods.values() if method["source"] == source]
    return wording.METHOD_NAMES[source] if len(alike) == 1 else None


def phrases(wish: WishView) -> wording.Phrases | None:
    """Unambiguous phrases for every part; None when words can't single the wish out."""
    method = method_phrase(wish)
    if method is None:
        return None
    arguments: Any = wish.action.arguments
    reservation = wish.reservation
    if reservation is None:
        return (
            wording.Phrases(method=method, **_booking(arguments))
            if wish.tool == "book_reservation"
            else (wording.Phrases())
        )
    changed: dict[str, str] = {}
    if wish.tool == "update_reservation_baggages":
        changed["bags"] = str(arguments["total_baggages"] - reservation["total_baggages"])
    elif wish.tool == "update_reservation_passengers":
        changed = _people(reservation["passengers"], arguments["passengers"])
    elif wish.tool == "update_reservation_flights":
        moved = moved_date(reservation, arguments["flights"])
        changed = {"old_date": moved[0], "date": moved[1]} if moved else {"cabin": cabin_name(arguments["cabin"])}
    elif wish.tool == "cancel_reservation":
        insured = reservation["insurance"] == "yes" and reservation["cabin"] != "business"
        changed["reason"] = wording.SICK if insured else wording.PLANS
    return wording.Phrases(trip=f"reservation {reservation['reservation_id']}", method=method, **changed)


def cabin_name(cabin: str) -> str:
    """A cabin as people say it."""
    return cabin.replace("_", " ")


def _booking(arguments: Any) -> dict[str, str]:
    (flight,) = arguments["flights"]
    return {
        "cabin": cabin_name(arguments["cabin"]),
        "flight": flight["flight_number"],
        "route": f"from {arguments['origin']} to {arguments['destination']}",
        "date": flight["date"],
    }


def _people(old: Sequence[JsonObject], new: Sequence[JsonObject]) -> dict[str, str]:
    """The one passenger who is replaced, and by whom."""
    before, after = next((one, two) for one, two in zip(old, new, strict=True) if one != two)
    return {
        "old_name": f"{before['first_name']} {before['last_name']}",
        "name": f"{after['first_name']} {after['last_name']}",
        "birth": after["dob"],
    }

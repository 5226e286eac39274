"""The seeded grammar of airline customers: how wishes, hints and identities are said.

Pure text: what a phrase refers to was decided before. Every choice is drawn from the caller's `Random`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

__all__ = ["METHOD_NAMES", "PLANS", "SICK", "Phrases", "change_of_mind", "fallback", "hint", "opening", "request"]

METHOD_NAMES = {"credit_card": "my credit card", "gift_card": "my gift card", "certificate": "my certificate"}
SICK = "sick"
"""A reason that travel insurance covers."""
PLANS = "plans"
"""One that it doesn't."""


@dataclass(frozen=True)
class Phrases:
    """The parts of a request, each already worded."""

    trip: str = ""
    """How the reservation is referred to: `reservation 4WQ150`, `my trip from JFK to SFO`."""
    method: str = ""
    """How a payment method is referred to: `my gift card`, empty for the one that paid."""
    bags: str = ""
    old_date: str = ""
    date: str = ""
    cabin: str = ""
    old_name: str = ""
    name: str = ""
    birth: str = ""
    flight: str = ""
    route: str = ""
    reason: str = ""
    """`SICK` or `PLANS`."""


REASONS = {
    SICK: ("i am sick and can not fly", "i fell ill", "i have to stay in bed, i am sick"),
    PLANS: ("my plans have changed", "i do not want to go any more", "i have to work on that day"),
}
REQUESTS: Mapping[str, tuple[str, ...]] = {
    "cancel_reservation": (
        "please cancel {trip}. {reason}.",
        "i want to cancel {trip}, {reason}.",
        "can you cancel {trip}? {reason}.",
    ),
    "update_reservation_baggages": (
        "please add {bags} checked bags to {trip}{pay}.",
        "i need {bags} more checked bags on {trip}{pay}.",
        "could you add {bags} more bags to {trip}{pay}?",
    ),
    "update_reservation_passengers": (
        "please replace {old_name} by {name}, born {birth}, on {trip}.",
        "on {trip}, {name}, born {birth}, will fly instead of {old_name}.",
        "could you change passenger {old_name} to {name}, born {birth}, on {trip}?",
    ),
    "move": (
        "please move the flights of {old_date} to {date} on {trip}{pay}.",
        "i want to fly on {date} instead of {old_date} on {trip}{pay}.",
        "could you change {trip}? i want to leave on {date}, not on {old_date}{pay}.",
    ),
    "cabin": (
        "please change {trip} to {cabin} class{pay}.",
        "i would like to fly in {cabin} class on {trip}{pay}.",
        "could you move us to {cabin} class on {trip}{pay}?",
    ),
    "book_reservation": (
        "please book flight {flight} {route} on {date} in {cabin} class for me, no bags, no insurance{pay}.",
        "i want to book {cabin} class {route} on {date}, flight {flight}, just me, no bags, no insurance{pay}.",
    ),
    "transfer_to_human_agents": (
        "i left my phone on the plane, please find it.",
        "i want to choose a window seat.",
        "please order a vegan meal for my flight.",
        "i lost my password and can not log in to the website.",
        "please let me talk to your manager about a rude crew.",
    ),
}
PAY = (", pay with {method}", ", use {method}", " and settle it with {method}")
ANOTHER_DAY = "another day"
HINTS = ("it is the one to {place}.", "i mean the trip to {place}.", "the one that goes to {place}.")
CHANGES = ("wait, i changed my mind. {wish}", "actually no. {wish}", "sorry, i thought again. {wish}")
FALLBACKS = ("then {wish}", "in that case {wish}", "well, {wish}")
GREETINGS = ("hi.", "hello.", "hey,", "good day.", "", "", "")


def request(tool: str, phrases: Phrases, rng: Random) -> str:
    """One sentence that asks for a write of this tool."""
    kind = tool
    if tool == "update_reservation_flights":
        kind = "move" if phrases.date else "cabin"
    parts = {name: getattr(phrases, name) for name in phrases.__dataclass_fields__}
    parts["pay"] = rng.choice(PAY).format(method=phrases.method) if phrases.method else ""
    if phrases.reason:
        parts["reason"] = rng.choice(REASONS[phrases.reason])
    return rng.choice(REQUESTS[kind]).format(**parts)


def hint(place: str, rng: Random) -> str:
    """Which of several trips is meant, by where it goes."""
    return rng.choice(HINTS).format(place=place)


def change_of_mind(wish: str, rng: Random) -> str:
    """The words said instead of yes."""
    return rng.choice(CHANGES).format(wish=wish)


def fallback(wish: str, rng: Random) -> str:
    """A second-best wish after a refusal."""
    return rng.choice(FALLBACKS).format(wish=wish)


def opening(user_id: str, first_request: str, rng: Random) -> str:
    """The first message; six times of ten the user says who they are."""
    who = f"my user id is {user_id}." if rng.random() < 0.6 else ""
    parts = [rng.choice(GREETINGS), who, first_request] if rng.random() < 0.5 else [first_request, who]
    return " ".join(part for part in parts if part)

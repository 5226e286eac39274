"""How the airline looks in the compact language: which ids become handles, which fields of a result remain.

A handle stands right behind the words that name it (`a1 a2 r1`, `ada fox g2`): what a policy has to do then is to
find the words again and copy what follows.
"""

import json

from env_sim.compact import CompactRenderer, CompactSpec, HandleKind, argument_types
from env_sim.dialogue import value_text
from env_sim.domains.airline.read_tools import AIRPORTS
from env_sim.domains.airline.word_rules import RESERVATION_ID

__all__ = ["LIST_END", "build_spec"]

_KINDS = (
    HandleKind("u", r"\b[a-z]+_[a-z]+_\d{4}\b", 2),
    HandleKind("p", r"\b(?:credit_card|gift_card|certificate)_\d{7}\b", 8),
    HandleKind("d", r"\b2024-05-\d\d\b", 20),
    HandleKind("n", r"\b[A-Z]{3}\d{3}\b", 20),
    HandleKind("r", RESERVATION_ID.pattern, 15),
    HandleKind("a", rf"\b(?:{'|'.join(AIRPORTS)})\b", 20),
    HandleKind("g", "", 20),
)
_LETTERS = {
    "user_id": "u",
    "payment_id": "p",
    "reservation_id": "r",
    "date": "d",
    "flight_number": "n",
    "origin": "a",
    "destination": "a",
    "passengers": "g",
}
_OBJECTS = {
    "flights": ("date", "flight_number"),
    "passengers": ("dob", "first_name", "last_name"),
    "payment_methods": ("amount", "payment_id"),
}
LIST_END = "end"
"""Stands behind a user's last reservation: who walks the list copies it instead of counting on."""


def build_spec(tool_schemas: list[dict]) -> CompactSpec:
    """The compact language of the airline over its tool schemas."""
    return CompactSpec(
        kinds=_KINDS,
        composites=(),
        letter_of_argument=_LETTERS,
        label_of_argument={},
        argument_types=argument_types(tool_schemas),
        summarize=_summarize,
        objects=_OBJECTS,
    )


def _summarize(renderer: CompactRenderer, tool: str, content: str) -> str:
    if tool == "get_user_details":
        return _user(renderer, json.loads(content))
    if tool == "get_reservation_details":
        return _reservation(renderer, json.loads(content))
    if tool == "search_direct_flight":
        return _flights(renderer, json.loads(content))
    if tool.startswith(("update_reservation_", "cancel_reservation", "book_reservation")):
        made = json.loads(content)
        return f"{renderer.handle('r', made['reservation_id'])} {made['status'] or 'ok'}"
    return " ".join(renderer.text(content).split()[:40])


def _user(renderer: CompactRenderer, user: dict) -> str:
    words = [renderer.handle("u", user["user_id"]), user["membership"]]
    words.append(_person(renderer, {**user["name"], "dob": user["dob"]}))
    words += [_person(renderer, person) for person in user["saved_passengers"]]
    for method_id, method in user["payment_methods"].items():
        words += [method["source"], renderer.handle("p", method_id)]
    words += [renderer.handle("r", reservation_id) for reservation_id in user["reservations"]]
    return " ".join([*words, LIST_END])


def _person(renderer: CompactRenderer, person: dict) -> str:
    name = f"{person['first_name']} {person['last_name']} {person['dob']}"
    return f"{renderer.text(name)} {renderer.handle('g', value_text(person))}"


def _reservation(renderer: CompactRenderer, held: dict) -> str:
    ids = (("a", "origin"), ("a", "destination"), ("r", "reservation_id"))
    words = [renderer.handle(letter, held[key]) for letter, key in ids]
    words += [renderer.text(held["cabin"].replace("_", " ")), held["insurance"]]
    words += [renderer.handle("p", held["payment_history"][0]["payment_id"]), held["status"] or "ok"]
    for segment in held["flights"]:
        shown = (("a", "origin"), ("a", "destination"), ("d", "date"), ("n", "flight_number"))
        words += [renderer.handle(letter, segment[key]) for letter, key in shown]
    words += [_person(renderer, person) for person in held["passengers"]]
    return " ".join([*words, "bags", str(held["total_baggages"]), "booked", renderer.text(held["created_at"][:10])])


def _flights(renderer: CompactRenderer, flights: list[dict]) -> str:
    words = []
    for flight in flights:
        prices = [f"{cabin.replace('_', ' ')} {price}" for cabin, price in flight["prices"].items()]
        words += [renderer.handle("n", flight["flight_number"]), *prices]
    return " ".join(words) or "none"

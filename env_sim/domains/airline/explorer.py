"""The embedded explorer: a planner that reads a database, picks feasible wishes of one user and carries them out.

Feasible means what the rulebook permits (`permissions`), not only what the tools accept. It has no user to talk to:
its episode is tool calls and their results. The task writer turns such an episode into a task (`writer`), so every
task starts from something that has really happened.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from env_sim.domains.airline.permissions import forbidden, paid_bags
from env_sim.domains.airline.records import CabinClass
from env_sim.domains.airline.write_tools import NOW
from env_sim.exploration import explored
from env_sim.world import Database, Domain
from schemas import Action, Trajectory

__all__ = ["MADE_BY", "TRANSFER", "explore", "reads_for", "sample_wishes", "searches"]

MADE_BY = "airline-planner/1"
JsonObject = Mapping[str, Any]
TRANSFER = Action(name="transfer_to_human_agents", arguments={"summary": "out of scope"})
_CABINS: tuple[CabinClass, ...] = ("basic_economy", "economy", "business")
_MAX_NEW_BAGS = 4


def sample_wishes(base: Database, rng: Random) -> tuple[str, list[Action]] | None:
    """A user and one or two wishes on different reservations; None when this draw has none."""
    user_id = rng.choice(list(base.tables["users"]))
    user = base.tables["users"][user_id]
    if rng.random() < 0.04:
        return user_id, [TRANSFER]
    wishes: list[Action] = []
    taken: set[str] = set()
    for _ in range(2 if rng.random() < 0.3 else 1):
        kind = rng.choices(list(_SAMPLERS), weights=[weight for weight, _ in _SAMPLERS.values()])[0]
        held = [base.tables["reservations"][key] for key in user["reservations"] if key not in taken]
        upcoming = [each for each in held if each["flights"][0]["date"] > NOW[:10]]
        chosen = rng.choice(upcoming) if upcoming else None
        wish = _SAMPLERS[kind][1](base, user, chosen, rng) if chosen or kind == "book" else None
        if wish is None:
            return None
        wishes.append(wish)
        taken.add(str(wish.arguments.get("reservation_id", "new")))
    return user_id, wishes


def reads_for(base: Database, user_id: str, wishes: list[Action]) -> list[Action]:
    """The reads that find what the wishes need: the user, the reservations, the flights."""
    reads = [Action(name="get_user_details", arguments={"user_id": user_id})]
    for wish in wishes:
        reservation_id = wish.arguments.get("reservation_id")
        if isinstance(reservation_id, str):
            reads.append(Action(name="get_reservation_details", arguments={"reservation_id": reservation_id}))
        reads += searches(base, wish)
    return list({str(read): read for read in reads}.values())


def searches(base: Database, wish: Action) -> list[Action]:
    """Searches that show price and seats of the flights that a wish takes; those that stay need none."""
    wanted: Any = wish.arguments.get("flights", [])
    reservation = base.tables["reservations"].get(str(wish.arguments.get("reservation_id")), {})
    kept = reservation.get("cabin") == wish.arguments.get("cabin")
    held = [(each["flight_number"], each["date"]) for each in reservation.get("flights", ())] if kept else []
    found = []
    for each in wanted:
        if (each["flight_number"], each["date"]) not in held:
            flight = base.tables["flights"][each["flight_number"]]
            arguments = {"origin": flight["origin"], "destination": flight["destination"], "date": each["date"]}
            found.append(Action(name="search_direct_flight", arguments=arguments))
    return found


def _cancel(base: Database, user: JsonObject, reservation: JsonObject, rng: Random) -> Action:
    return Action(name="cancel_reservation", arguments={"reservation_id": reservation["reservation_id"]})


def _bags(base: Database, user: JsonObject, reservation: JsonObject, rng: Random) -> Action:
    # One bag is no "bags", and would need words of its own.
    total = reservation["total_baggages"] + rng.randint(2, _MAX_NEW_BAGS)
    n_passengers = len(reservation["passengers"])
    return Action(
        name="update_reservation_baggages",
        arguments={
            "reservation_id": reservation["reservation_id"],
            "total_baggages": total,
            "nonfree_baggages": paid_bags(user, reservation["cabin"], n_passengers, total),  # type: ignore[arg-type]
            "payment_id": _payment(user, reservation, rng),
        },
    )


def _payment(user: JsonObject, reservation: JsonObject, rng: Random) -> str:
    """The method that paid, or another that can: certificates can't pay for changes."""
    if rng.random() < 0.6:
        return reservation["payment_history"][0]["payment_id"]
    return rng.choice([key for key, method in user["payment_methods"].items() if method["source"] != "certificate"])


def _flights(reservation: JsonObject, cabin: str, days: Mapping[str, str], method: str) -> Action:
    """A change of flights: the same numbers, some on other days."""
    flights: list[Any] = [
        {"flight_number": each["flight_number"], "date": days.get(each["date"], each["date"])}
        for each in reservation["flights"]
    ]
    return Action(
        name="update_reservation_flights",
        arguments={
            "reservation_id": reservation["reservation_id"],
            "cabin": cabin,
            "flights": flights,
            "payment_id": method,
        },
    )


def _move(base: Database, user: JsonObject, reservation: JsonObject, rng: Random) -> Action | None:
    """All flights of one day on another, the order of days kept."""
    days = sorted({each["date"] for each in reservation["flights"]})
    old = rng.choice(days)
    before = [NOW[:10], *days][days.index(old)]
    after = [*days, "2024-05-31"][days.index(old) + 1]
    number = reservation["flights"][0]["flight_number"]
    free = [day for day in base.tables["flights"][number]["dates"] if before < day < after and day != old]
    return (
        _flights(reservation, reservation["cabin"], {old: rng.choice(free)}, _payment(user, reservation, rng))
        if (free)
        else None
    )


def _cabin(base: Database, user: JsonObject, reservation: JsonObject, rng: Random) -> Action:
    others = [cabin for cabin in _CABINS if cabin != reservation["cabin"]]
    return _flights(reservation, rng.choice(others), {}, _payment(user, reservation, rng))


def _passengers(base: Database, user: JsonObject, reservation: JsonObject, rng: Random) -> Action | None:
    aboard = reservation["passengers"]
    others = [person for person in user["saved_passengers"] if person not in aboard]
    if not others:
        return None
    place = rng.randrange(len(aboard))
    people = [*aboard[:place], rng.choice(others), *aboard[place + 1 :]]
    arguments = {"reservation_id": reservation["reservation_id"], "passengers": [dict(person) for person in people]}
    return Action(name="update_reservation_passengers", arguments=arguments)  # type: ignore[arg-type]


def _book(base: Database, user: JsonObject, reservation: JsonObject | None, rng: Random) -> Action | None:
    """One flight for the user alone, paid by one card that covers it."""
    flight = rng.choice(list(base.tables["flights"].values()))
    date = rng.choice([day for day, on_date in flight["dates"].items() if on_date["status"] == "available"])
    cabin = rng.choice(_CABINS)
    price = flight["dates"][date]["prices"][cabin]
    payers = [
        key for key, method in user["payment_methods"].items()
        if method["source"] == "credit_card" or (method["source"] == "gift_card" and method["amount"] >= price)
    ]  # fmt: skip
    if not payers:
        return None
    passenger = {**user["name"], "dob": user["dob"]}
    return Action(
        name="book_reservation",
        arguments={
            "user_id": user["user_id"],
            "origin": flight["origin"],
            "destination": flight["destination"],
            "flight_type": "one_way",
            "cabin": cabin,
            "flights": [{"flight_number": flight["flight_number"], "date": date}],
            "passengers": [passenger],
            "payment_methods": [{"payment_id": rng.choice(payers), "amount": price}],
            "total_baggages": 0,
            "nonfree_baggages": 0,
            "insurance": "no",
        },
    )


_SAMPLERS: dict[str, tuple[float, Callable[..., Action | None]]] = {
    "cancel": (0.22, _cancel),
    "bags": (0.22, _bags),
    "move": (0.2, _move),
    "cabin": (0.16, _cabin),
    "passengers": (0.12, _passengers),
    "book": (0.08, _book),
}


def explore(domain: Domain, base: Database, database_id: str, seed: int, rng: Random) -> Trajectory | None:
    """One successful exploration with real calls; None when the wishes are infeasible or depend on their order."""
    drawn = sample_wishes(base, rng)
    if drawn is None:
        return None
    user_id, wishes = drawn
    environment = domain.new_environment(base, mode="strict")
    # A customer who may cancel for illness alone will say that they are ill.
    if any(forbidden(environment, wish, covered=True) for wish in wishes):
        return None
    actions = [*reads_for(base, user_id, wishes), *wishes]
    return explored(domain, base, database_id, seed, actions, MADE_BY)

"""The failure patterns of the airline, as data: a name, what fails, and the operator that writes it into a task.

An operator takes the wishes of a source trajectory and returns a `Draft` of what the user says, or None when the
wishes don't allow it. The wishes themselves, and so the feasible solution, are never touched. To add a pattern: write
an operator, add one line to `PATTERNS`.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from env_sim.domains.airline import wording
from env_sim.domains.airline.draft import PLAIN, Draft, Pattern
from env_sim.domains.airline.permissions import forbidden, paid_bags
from env_sim.domains.airline.views import JsonObject, WishView, moved_date, phrases, route
from env_sim.domains.airline.write_tools import NOW, ParityEnvironment
from schemas import Action, Change, Detail, Goal, Intent

__all__ = ["PATTERNS", "first_thought", "goal_of"]


def goal_of(wish: WishView, rng: Random, **changed: str) -> Goal | None:
    """A goal in unambiguous words, with some phrases replaced; None when words can't single the wish out."""
    said = phrases(wish)
    if said is None:
        return None
    action = wish.action if wish.tool != "transfer_to_human_agents" else None
    return Goal(request=wording.request(wish.tool, replace(said, **changed), rng), action=action)


def _single(wishes: Sequence[WishView]) -> WishView | None:
    """The only wish, if it is about a reservation."""
    return wishes[0] if len(wishes) == 1 and wishes[0].reservation is not None else None


def _plain(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    goal = goal_of(wishes[0], rng) if len(wishes) == 1 else None
    return goal and Draft((goal,), Intent.INFEASIBLE if goal.action is None else Intent.PLAIN)


def _trip(reservation: JsonObject) -> str:
    origin, destination = route(reservation)
    return f"my trip from {origin} to {destination}"


def _is_only(wish: WishView, reservation: JsonObject) -> bool:
    """Whether no other reservation of the user has this route."""
    return [route(each) for each in wish.own()].count(route(reservation)) == 1


def _ambiguous(wishes: Sequence[WishView], rng: Random) -> tuple[WishView, Goal] | None:
    """A wish on one of several trips from one airport, said without where it goes."""
    wish = _single(wishes)
    if wish is None or wish.reservation is None or not _is_only(wish, wish.reservation):
        return None
    origin = wish.reservation["origin"]
    if not any(each["origin"] == origin for each in wish.others()):
        return None
    goal = goal_of(wish, rng, trip=f"my trip from {origin}")
    return (wish, goal) if goal else None


def _wrong_reservation(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    found = _ambiguous(wishes, rng)
    if found is None:
        return None
    wish, goal = found
    hint = wording.hint(wish.reservation["destination"], rng)  # type: ignore[index]
    return Draft((goal.model_copy(update={"request": f"{goal.request} {hint}"}),), Intent.AMBIGUOUS)


def _reservation_not_asked(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    found = _ambiguous(wishes, rng)
    if found is None:
        return None
    wish, goal = found
    hint = wording.hint(wish.reservation["destination"], rng)  # type: ignore[index]
    return Draft((goal.model_copy(update={"details": (Detail(topic="reservation", text=hint),)}),), Intent.AMBIGUOUS)


def _date_not_asked(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    wish = _single(wishes)
    moved = _moved(wish)
    if wish is None or moved is None:
        return None
    goal = goal_of(wish, rng, date=wording.ANOTHER_DAY)
    detail = Detail(topic="date", text=f"on {moved[1]}, please.")
    return goal and Draft((goal.model_copy(update={"details": (detail,)}),), Intent.AMBIGUOUS)


def _moved(wish: WishView | None) -> tuple[str, str] | None:
    if wish is None or wish.reservation is None or wish.tool != "update_reservation_flights":
        return None
    flights: Any = wish.action.arguments["flights"]
    return moved_date(wish.reservation, flights)


def _wrong_fee(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    wish = _single(wishes)
    if wish is None or not wish.action.arguments.get("nonfree_baggages"):
        return None
    goal = goal_of(wish, rng)
    return goal and Draft((goal,), Intent.PLAIN)


def _wrong_payment(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    wish = _single(wishes)
    method = wish.action.arguments.get("payment_id") if wish else None
    if wish is None or wish.reservation is None or method in (None, _paid_by(wish.reservation)):
        return None
    sources = [each for each in wish.others() if _paid_by(each) == method and _is_only(wish, each)]
    if not sources:
        return None
    goal = goal_of(wish, rng, method=f"the payment method of {_trip(rng.choice(sources))}")
    return goal and Draft((goal,), Intent.AMBIGUOUS)


def _paid_by(reservation: JsonObject) -> str:
    return reservation["payment_history"][0]["payment_id"]


def _ended_early(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 2:
        return None
    goals = [goal_of(wish, rng) for wish in wishes]
    if goals[0] is None or goals[1] is None:
        return None
    return Draft((goals[0], goals[1]), Intent.PLAIN, raised_in_opening=2)


def first_thought(wish: WishView, rng: Random) -> Action | None:
    """Another feasible wish of the same kind, which the user will drop: other bags, another cabin."""
    arguments: dict[str, Any] = dict(wish.action.arguments)
    reservation = wish.reservation
    if reservation is None:
        return None
    if wish.tool == "update_reservation_baggages":
        total = arguments["total_baggages"] + rng.randint(1, 3)
        n_passengers = len(reservation["passengers"])
        paid = paid_bags(dict(wish.user), reservation["cabin"], n_passengers, total)
        return Action(name=wish.tool, arguments={**arguments, "total_baggages": total, "nonfree_baggages": paid})
    if wish.tool == "update_reservation_flights" and _moved(wish) is None:
        cabins = {"basic_economy", "economy", "business"} - {reservation["cabin"], arguments["cabin"]}
        return Action(name=wish.tool, arguments={**arguments, "cabin": min(cabins)})
    return None


def _stale_intent(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    wish = _single(wishes)
    first = first_thought(wish, rng) if wish else None
    better = phrases(wish) if wish else None
    goal = goal_of(replace(wish, action=first), rng) if wish and first else None
    if wish is None or better is None or goal is None:
        return None
    words = f"i want {better.bags} more bags." if better.bags else f"i want {better.cabin} class."
    change = Change(text=wording.change_of_mind(words, rng), action=wish.action)
    return Draft((goal.model_copy(update={"change": change}),), Intent.CHANGING)


def _infeasible_pushed(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    """A cancellation that the rulebook refuses, then the feasible wish on another reservation."""
    wish = _single(wishes)
    if wish is None:
        return None
    environment = ParityEnvironment(wish.base)
    for reservation in rng.sample(wish.others(), len(wish.others())):
        cancel = Action(name="cancel_reservation", arguments={"reservation_id": reservation["reservation_id"]})
        if reservation["flights"][0]["date"] > NOW[:10] and forbidden(environment, cancel):
            said = wording.Phrases(trip=f"reservation {reservation['reservation_id']}", reason=wording.PLANS)
            refused = Goal(request=wording.request(cancel.name, said, rng))
            goal = goal_of(wish, rng)
            if goal is None:
                return None
            second = goal.model_copy(update={"request": wording.fallback(goal.request, rng)})
            return Draft((refused, second), Intent.INFEASIBLE)
    return None


def _lost_in_search(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    wish = _single(wishes)
    if wish is None or wish.reservation is None or len(wish.others()) < 2 or not _is_only(wish, wish.reservation):
        return None
    goal = goal_of(wish, rng, trip=_trip(wish.reservation))
    return goal and Draft((goal,), Intent.AMBIGUOUS)


PATTERNS: tuple[Pattern, ...] = (
    Pattern(PLAIN, "no difficulty was written in: one wish, the reservation by its id, every part said",
            "one wish", "nothing", _plain),
    Pattern("wrong_reservation", "acts on the wrong one of several trips from one airport, although a hint tells "
            "which one is meant", "another trip from the same airport, no other on the same route",
            "the trip is said by where it starts, a hint tells where it goes", _wrong_reservation),
    Pattern("reservation_not_asked", "guesses among several trips instead of asking which one is meant",
            "as wrong_reservation", "the hint is told only when asked", _reservation_not_asked),
    Pattern("date_not_asked", "picks some day instead of asking which one is wanted",
            "flights that move to another day", "the day is told only when asked", _date_not_asked),
    Pattern("wrong_fee", "charges for bags that are free, or gives away bags that cost the fee",
            "more bags than are free", "nothing: the allowance is the difficulty", _wrong_fee),
    Pattern("wrong_payment", "takes the payment method from the wrong record",
            "a method that did not pay for the trip but for another one",
            "the method is said as that of the other trip", _wrong_payment),
    Pattern("ended_early", "ends before all wishes are done", "two wishes", "both are raised at once", _ended_early),
    Pattern("stale_intent", "carries out the first wish although the user changed it", "more bags or another cabin",
            "another number or cabin is wished for until the first listing", _stale_intent),
    Pattern("infeasible_pushed", "pushes a cancellation that the rules refuse, or gives up instead of taking the "
            "alternative", "another trip that may not be cancelled", "its cancellation is asked for first",
            _infeasible_pushed),
    Pattern("lost_in_search", "repeats calls or gives up while searching the trip among many",
            "three trips or more, no other on the same route", "the trip is said by its route", _lost_in_search),
)  # fmt: skip

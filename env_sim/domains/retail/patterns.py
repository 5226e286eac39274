"""The failure patterns of retail, as data: a name, what fails, and the operator that writes it into a task.

An operator takes the wishes of a source trajectory and returns a `Draft` of what the user says, or None when the
wishes don't allow it (no second order, one option only). The wishes themselves, and so the feasible solution, are
never touched. To add a pattern: write an operator, add one line to `PATTERNS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from env_sim.domains.retail import wording
from env_sim.domains.retail.explorer import CANCEL_REASONS
from env_sim.domains.retail.views import (
    WishView,
    is_unique_variant,
    order_names,
    plain_phrases,
    values,
)
from schemas import Action, Change, Detail, Goal, Intent

PLAIN = "none"


@dataclass(frozen=True)
class Draft:
    """What the user wants and says, before identity and opening are added."""

    goals: tuple[Goal, ...]
    intent: Intent
    raised_in_opening: int = 1


Operator = Callable[[Sequence[WishView], Random], Draft | None]


@dataclass(frozen=True)
class Pattern:
    """One way to fail."""

    name: str
    description: str
    """What the agent does wrong, for judges and people."""
    operator: Operator


def plain_goal(wish: WishView, rng: Random, **changed: str | tuple[str, ...]) -> Goal | None:
    """A goal in unambiguous words, with some phrases replaced."""
    phrases = plain_phrases(wish, rng)
    if phrases is None:
        return None
    said = wording.request(wish.tool, replace(phrases, **changed), rng)  # type: ignore[arg-type]
    return Goal(request=said, action=wish.action if wish.tool != "transfer_to_human_agents" else None)


def _plain(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 1 or len(wishes[0].items) > 1:
        return None
    goal = plain_goal(wishes[0], rng)
    return goal and Draft((goal,), Intent.INFEASIBLE if goal.action is None else Intent.PLAIN)


def _order_phrase(wish: WishView, common: str) -> str:
    """How an order is said without its number: items name it by themselves, other wishes need a thing in it."""
    return "my order" if wish.items else f"the order with the {common}"


def _ambiguous_order(wishes: Sequence[WishView], rng: Random) -> tuple[WishView, str, str] | None:
    """The wish, a thing that another order of the same status has too, and a thing that only this order has."""
    if len(wishes) != 1 or wishes[0].order is None or len(wishes[0].items) > 1:
        return None
    wish = wishes[0]
    rivals = [order for order in wish.other_orders() if order["status"] == wish.order["status"]]  # type: ignore[index]
    mentioned = [item["name"].lower() for item in wish.items] or wish.names()
    common = [name for name in mentioned if any(name in order_names(order) for order in rivals)]
    elsewhere = set().union(*(order_names(order) for order in wish.other_orders()))
    own = [name for name in wish.names() if name not in elsewhere and name not in common]
    if not common or not own:
        return None
    return wish, rng.choice(common), rng.choice(own)


def _wrong_order(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    found = _ambiguous_order(wishes, rng)
    if found is None:
        return None
    wish, common, own = found
    goal = plain_goal(wish, rng, order=_order_phrase(wish, common))
    if goal is None:
        return None
    return Draft((goal.model_copy(update={"request": f"{goal.request} {wording.hint(own, rng)}"}),), Intent.AMBIGUOUS)


def _order_not_asked(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    found = _ambiguous_order(wishes, rng)
    if found is None:
        return None
    wish, common, own = found
    goal = plain_goal(wish, rng, order=_order_phrase(wish, common))
    if goal is None:
        return None
    detail = Detail(topic="order", text=wording.hint(own, rng))
    return Draft((goal.model_copy(update={"details": (detail,)}),), Intent.AMBIGUOUS)


def _single_swap(wishes: Sequence[WishView]) -> WishView | None:
    return wishes[0] if len(wishes) == 1 and len(wishes[0].variants) == 1 else None


def _wrong_variant(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    wish = _single_swap(wishes)
    if wish is None:
        return None
    old, new = wish.items[0]["options"], wish.variants[0]["options"]
    changed = [key for key in new if new[key] != old.get(key)]
    if len(changed) != 1 or len(new) < 2 or not is_unique_variant(wish, 0, new):
        return None
    goal = plain_goal(wish, rng, targets=(wording.same_but(new[changed[0]].lower(), rng),))
    return goal and Draft((goal,), Intent.AMBIGUOUS)


def _variant_not_asked(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    wish = _single_swap(wishes)
    if wish is None:
        return None
    goal = plain_goal(wish, rng, targets=(wording.unspecific_target(rng),))
    if goal is None:
        return None
    detail = Detail(topic="variant", text=f"{wording.full_target(values(wish.variants[0]))}, please.")
    return Draft((goal.model_copy(update={"details": (detail,)}),), Intent.AMBIGUOUS)


def _mixed_items(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 1 or len(wishes[0].items) < 2:
        return None
    goal = plain_goal(wishes[0], rng)
    return goal and Draft((goal,), Intent.PLAIN)


def _source_order(wish: WishView, matches: Callable[[WishView], bool]) -> str | None:
    """A thing that only one other order has, an order for which `matches` holds."""
    for order in wish.other_orders():
        other = WishView(wish.base, wish.user, wish.action, order)
        elsewhere = set().union(*(order_names(o) for o in other.other_orders()))
        own = [name for name in other.names() if name not in elsewhere]
        if own and matches(other):
            return own[0]
    return None


def _wrong_payment(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 1 or wishes[0].order is None or len(wishes[0].items) > 1:
        return None
    wish = wishes[0]
    method = wish.action.arguments.get("payment_method_id")
    paid = wish.order["payment_history"][0]["payment_method_id"]  # type: ignore[index]
    if method is None or method == paid:
        return None
    thing = _source_order(
        wish,
        lambda other: other.order["payment_history"][0]["payment_method_id"] == method,  # type: ignore[index]
    )
    goal = plain_goal(wish, rng, method=f"the payment method of my order with the {thing}") if thing else None
    return goal and Draft((goal,), Intent.AMBIGUOUS)


def _wrong_address(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 1 or wishes[0].tool not in ("modify_pending_order_address", "modify_user_address"):
        return None
    wish = wishes[0]
    thing = _source_order(
        wish,
        lambda other: all(wish.action.arguments[k] == v for k, v in other.order["address"].items()),  # type: ignore[index]
    )
    goal = plain_goal(wish, rng, address=f"the address of my order with the {thing}") if thing else None
    return goal and Draft((goal,), Intent.AMBIGUOUS)


def _ended_early(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 2:
        return None
    goals = [plain_goal(wish, rng) for wish in wishes]
    if goals[0] is None or goals[1] is None or any(len(wish.items) > 1 for wish in wishes):
        return None
    return Draft((goals[0], goals[1]), Intent.PLAIN, raised_in_opening=2)


def _first_thought(wish: WishView, rng: Random) -> Action | None:
    """Another feasible wish of the same kind, which the user will drop."""
    arguments = dict(wish.action.arguments)
    if wish.tool == "cancel_pending_order":
        rivals = [o for o in wish.other_orders() if o["status"] == "pending"]
        if not rivals:
            return None
        arguments |= {"order_id": rng.choice(rivals)["order_id"], "reason": rng.choice(CANCEL_REASONS)}
        return Action(name=wish.tool, arguments=arguments)
    if len(wish.variants) != 1:
        return None
    variants = wish.base.tables["products"][wish.items[0]["product_id"]]["variants"].values()
    taken = {wish.variants[0]["item_id"], wish.items[0]["item_id"]}
    others = [v["item_id"] for v in variants if v["available"] and v["item_id"] not in taken]
    if not others:
        return None
    arguments["new_item_ids"] = [rng.choice(others)]
    return Action(name=wish.tool, arguments=arguments)


def _stale_intent(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 1 or len(wishes[0].items) > 1:
        return None
    wish = wishes[0]
    first = _first_thought(wish, rng)
    if first is None or wish.order is None:
        return None
    order = wish.base.tables["orders"][str(first.arguments["order_id"])]
    variants = tuple(
        wish.base.tables["products"][wish.items[0]["product_id"]]["variants"][v]
        for v in first.arguments.get("new_item_ids", [])  # type: ignore[union-attr]
    )
    goal = plain_goal(replace(wish, action=first, order=order, variants=variants), rng)
    phrases = plain_phrases(wish, rng)
    if goal is None or phrases is None:
        return None
    better = f"i want {phrases.targets[0]}." if variants else f"i meant {phrases.order}, {phrases.reason}."
    change = Change(text=wording.change_of_mind(better, rng), action=wish.action)
    return Draft((goal.model_copy(update={"change": change}),), Intent.CHANGING)


def _infeasible_request(wish: WishView, rng: Random) -> str | None:
    """A wish that the rules refuse: cancelling what has left, returning what has not arrived, a sold-out variant."""
    orders = [wish.base.tables["orders"][o] for o in wish.user["orders"]]
    rng.shuffle(orders)
    for order in orders:
        phrases = wording.Phrases(
            order=f"order {order['order_id']}",
            items=(order["items"][0]["name"].lower(),),
            reason=rng.choice(wording.REASONS[rng.choice(CANCEL_REASONS)]),
        )
        if order["status"] in ("processed", "delivered"):
            return wording.request("cancel_pending_order", phrases, rng)
        if order["status"] in ("processed", "pending") and rng.random() < 0.5:
            return wording.request("return_delivered_order_items", phrases, rng)
    return None


def _infeasible_pushed(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 1 or len(wishes[0].items) > 1 or wishes[0].tool == "transfer_to_human_agents":
        return None
    refused = _infeasible_request(wishes[0], rng)
    goal = plain_goal(wishes[0], rng)
    if refused is None or goal is None:
        return None
    second = goal.model_copy(update={"request": wording.fallback(goal.request, rng)})
    return Draft((Goal(request=refused), second), Intent.INFEASIBLE)


def _lost_in_search(wishes: Sequence[WishView], rng: Random) -> Draft | None:
    if len(wishes) != 1 or wishes[0].order is None or len(wishes[0].items) > 1 or len(wishes[0].other_orders()) < 2:
        return None
    wish = wishes[0]
    elsewhere = set().union(*(order_names(order) for order in wish.other_orders()))
    mentioned = [item["name"].lower() for item in wish.items] or wish.names()
    own = [name for name in mentioned if name not in elsewhere]
    if not own:
        return None
    goal = plain_goal(wish, rng, order=_order_phrase(wish, rng.choice(own)))
    return goal and Draft((goal,), Intent.AMBIGUOUS)


PATTERNS: tuple[Pattern, ...] = (
    Pattern(PLAIN, "no difficulty was written in: one wish, the order by its number, the variant by all its options",
            _plain),
    Pattern("wrong_order", "acts on the wrong one of several orders that hold the same product, although a hint "
            "tells which one is meant", _wrong_order),
    Pattern("order_not_asked", "guesses among several orders instead of asking which one is meant",
            _order_not_asked),
    Pattern("wrong_variant", "picks a variant that misses an option the user wants kept", _wrong_variant),
    Pattern("variant_not_asked", "picks some variant instead of asking which one is wanted", _variant_not_asked),
    Pattern("mixed_items", "changes or returns fewer or other items than asked for in one order", _mixed_items),
    Pattern("wrong_payment", "takes the payment method from the wrong record", _wrong_payment),
    Pattern("wrong_address", "takes the address from the wrong record", _wrong_address),
    Pattern("ended_early", "ends before all wishes are done", _ended_early),
    Pattern("stale_intent", "carries out the first wish although the user changed it", _stale_intent),
    Pattern("infeasible_pushed", "pushes a request that the rules refuse, or gives up instead of taking the "
            "alternative", _infeasible_pushed),
    Pattern("lost_in_search", "repeats calls or gives up while searching the order among many", _lost_in_search),
)  # fmt: skip

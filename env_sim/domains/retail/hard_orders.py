"""Operators on which order is meant."""

from dataclasses import replace
from random import Random

from env_sim.domains.retail.draft import Draft, Wording
from env_sim.domains.retail.views import JsonObject, WishView, method_phrase, order_names

__all__ = ["hint_late", "lost_in_search", "mixed_orders", "order_not_asked", "wrong_order"]


def wrong_order(put: Wording, rng: Random) -> Wording | None:
    """A hint behind the request tells the order from others that fit."""
    found = _ambiguous(put, rng)
    if found is None:
        return None
    common, own = found
    return replace(put.put(order=_order_phrase(put.wish, common)), own_thing=own)


def order_not_asked(put: Wording, rng: Random) -> Wording | None:
    """The hint is told when asked for."""
    found = wrong_order(put, rng)
    return found and replace(found, own_thing_told="when asked")


def hint_late(put: Wording, rng: Random) -> Wording | None:
    """The hint comes to the user's mind at the first listing; when asked before, it does not know."""
    found = wrong_order(put, rng)
    if found is None or not all(_may_be_listed(put.wish, rival) for rival in rivals(put.wish)):
        return None
    return replace(found, own_thing_told="late")


def lost_in_search(put: Wording, rng: Random) -> Wording | None:
    """The order is named by a thing that no other order of the user holds."""
    wish = put.wish
    if wish.order is None or len(wish.other_orders()) < 2:
        return None
    elsewhere = set().union(*(order_names(order) for order in wish.other_orders()))
    mentioned = [item["name"].lower() for item in wish.items] or wish.names()
    own = [name for name in mentioned if name not in elsewhere]
    return put.put(order=_order_phrase(wish, rng.choice(own))) if own else None


def mixed_orders(draft: Draft, rng: Random) -> Draft | None:
    """Two wishes of one kind on things of two orders are said as if the things were of one."""
    wishes = [put.wish for put in draft.wordings]
    if len(wishes) != 2 or wishes[0].tool != wishes[1].tool or any(len(wish.items) != 1 for wish in wishes):
        return None
    for wish in wishes:
        name = wish.items[0]["name"].lower()
        if method_phrase(wish) != "" or any(name in order_names(order) for order in wish.other_orders()):
            return None
    return replace(draft, raised_in_opening=2, many_wishes=True, one_sentence=True)


def _order_phrase(wish: WishView, common: str) -> str:
    """How an order is said without its number: items name it by themselves, other wishes need a thing in it."""
    return "my order" if wish.items else f"the order with the {common}"


def rivals(wish: WishView) -> list[JsonObject]:
    """Other orders that the wish's tool would take."""
    return [order for order in wish.other_orders() if wish.order and order["status"] == wish.order["status"]]


def _may_be_listed(wish: WishView, rival: JsonObject) -> bool:
    """Whether a guess at this order is a sensible listing: the thing is in it once, and is not yet what it becomes."""
    alike = [item["item_id"] for item in rival["items"] if item["name"] in {i["name"] for i in wish.items}]
    return len(alike) <= 1 and not {variant["item_id"] for variant in wish.variants} & set(alike)


def _ambiguous(put: Wording, rng: Random) -> tuple[str, str] | None:
    """A thing that another order of the same status has too, and a thing that only the wish's order has."""
    wish = put.wish
    if wish.order is None:
        return None
    mentioned = [item["name"].lower() for item in wish.items] or wish.names()
    common = [name for name in mentioned if any(name in order_names(order) for order in rivals(wish))]
    elsewhere = set().union(*(order_names(order) for order in wish.other_orders()))
    own = [name for name in wish.names() if name not in elsewhere and name not in common]
    return (rng.choice(common), rng.choice(own)) if common and own else None

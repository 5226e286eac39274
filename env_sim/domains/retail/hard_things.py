"""Operators on what the arguments of a write are taken from: items, variants, values, records."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from env_sim.domains.retail import wording
from env_sim.domains.retail.compact import ADDRESS_FIELDS
from env_sim.domains.retail.draft import Wording
from env_sim.domains.retail.lexicon import HOME_ADDRESS, KINDS, TOLD_REASONS, in_other_words, kinds_of
from env_sim.domains.retail.views import WishView, is_unique_variant, order_names, values
from schemas import Detail

__all__ = [
    "ambiguous_name",
    "invalid_value",
    "variant_not_asked",
    "wrong_address",
    "wrong_payment",
    "wrong_variant",
]


def wrong_variant(put: Wording, rng: Random) -> Wording | None:
    """Only the option that changes is said; all others are to be kept."""
    if len(put.wish.variants) != 1:
        return None
    old, new = put.wish.items[0]["options"], put.wish.variants[0]["options"]
    changed = [key for key in new if new[key] != old.get(key)]
    if len(changed) != 1 or len(new) < 2 or not is_unique_variant(put.wish, 0, new):
        return None
    # A lone variant with this option would be found without minding the others.
    if is_unique_variant(put.wish, 0, {changed[0]: new[changed[0]]}):
        return None
    return put.put(targets=(wording.same_but(new[changed[0]].lower(), rng),))


def variant_not_asked(put: Wording, rng: Random) -> Wording | None:
    """The variant is told when asked for."""
    if len(put.wish.variants) != 1:
        return None
    detail = Detail(topic="variant", text=f"{wording.full_target(values(put.wish.variants[0]))}, please.")
    asked = put.put(targets=(wording.unspecific_target(rng),))
    return replace(asked, details=(*put.details, detail))


def ambiguous_name(put: Wording, rng: Random) -> Wording | None:
    """The thing is named by its kind, of which the order holds several; its own name is told when asked for."""
    wish = put.wish
    if wish.order is None or len(wish.items) != 1:
        return None
    name = wish.items[0]["name"].lower()
    kinds = [kind for kind in kinds_of(name) if len(order_names(wish.order) & set(KINDS[kind])) > 1]
    if not kinds:
        return None
    named = put.put(items=(rng.choice(kinds),))
    return replace(named, details=(*put.details, Detail(topic="item", text=f"the {name}, please.")))


def invalid_value(put: Wording, rng: Random) -> Wording | None:
    """A reason, a variant or an address is said in words that the tool refuses and that mean a value it takes."""
    wish = put.wish
    if "reason" in wish.action.arguments:
        return put.put(reason=rng.choice(TOLD_REASONS[str(wish.action.arguments["reason"])]))
    if len(wish.variants) == 1:
        said = values(wish.variants[0])
        other = in_other_words(said)
        return put.put(targets=(wording.full_target(other),)) if other != said else None
    if wish.tool == "modify_pending_order_address":
        home = wish.user["address"]
        return put.put(address=HOME_ADDRESS) if _is_address(wish, home) else None
    return None


def wrong_payment(put: Wording, rng: Random) -> Wording | None:
    """The method is named by another order that was paid with it."""
    wish = put.wish
    method = wish.action.arguments.get("payment_method_id")
    if wish.order is None or method in (None, _paid_with(wish)):
        return None
    thing = _source_order(wish, lambda other: _paid_with(other) == method)
    return put.put(method=f"the payment method of my order with the {thing}") if thing else None


def wrong_address(put: Wording, rng: Random) -> Wording | None:
    """The address is named by another order that goes there."""
    wish = put.wish
    if wish.tool not in ("modify_pending_order_address", "modify_user_address"):
        return None
    thing = _source_order(wish, lambda other: other.order is not None and _is_address(wish, other.order["address"]))
    return put.put(address=f"the address of my order with the {thing}") if thing else None


def _paid_with(wish: WishView) -> str | None:
    return wish.order["payment_history"][0]["payment_method_id"] if wish.order else None


def _is_address(wish: WishView, address: object) -> bool:
    return {name: wish.action.arguments[name] for name in ADDRESS_FIELDS} == address


def _source_order(wish: WishView, matches: Callable[[WishView], bool]) -> str | None:
    """A thing that only one other order has, an order for which `matches` holds."""
    for order in wish.other_orders():
        other = WishView(wish.base, wish.user, wish.action, order)
        elsewhere = set().union(*(order_names(o) for o in other.other_orders()))
        own = [name for name in other.names() if name not in elsewhere]
        if own and matches(other):
            return own[0]
    return None

"""Operators on the course of the talk: how many wishes, a changed mind, a refusal, an answer that is no yes."""

from dataclasses import replace
from random import Random

from env_sim.domains.retail import wording
from env_sim.domains.retail.draft import Draft, Wording
from env_sim.domains.retail.explorer import CANCEL_REASONS, TRANSFER
from env_sim.domains.retail.views import WishView, view
from schemas import Action

__all__ = ["ended_early", "infeasible_pushed", "mixed_items", "not_confirmed", "plain", "stale_intent"]


def plain(draft: Draft, rng: Random) -> Draft | None:
    """Nothing is written in."""
    return draft if draft.is_single() else None


def ended_early(draft: Draft, rng: Random) -> Draft | None:
    """Two wishes are raised at once."""
    if len(draft.wordings) != 2 or any(len(put.wish.items) > 1 for put in draft.wordings):
        return None
    return replace(draft, raised_in_opening=2, many_wishes=True)


def mixed_items(draft: Draft, rng: Random) -> Draft | None:
    """One wish is about several items of one order."""
    if len(draft.wordings) != 1 or len(draft.wordings[0].wish.items) < 2:
        return None
    return replace(draft, many_items=True)


def stale_intent(put: Wording, rng: Random) -> Wording | None:
    """Another feasible wish of the same kind is raised first, and dropped when its action is listed."""
    wish = put.wish
    if wish.order is None or (not wish.variants and put.phrases):
        return None
    first = _first_thought(wish, rng)
    return first and replace(put, first=view(wish.base, wish.user["user_id"], first))


def infeasible_pushed(draft: Draft, rng: Random) -> Draft | None:
    """A wish that the rules refuse is raised first; the feasible one is the second best."""
    if not draft.is_single() or draft.wordings[0].wish.tool == TRANSFER.name:
        return None
    refused = _infeasible_request(draft.wordings[0].wish, rng)
    return replace(draft, refused=refused) if refused else None


def not_confirmed(put: Wording, rng: Random) -> Wording | None:
    """The first listing is answered with neither yes nor no: the yes comes when it is listed again."""
    if put.wish.tool == TRANSFER.name:
        return None
    return replace(put, hesitation=wording.hesitation(rng))


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


def _infeasible_request(wish: WishView, rng: Random) -> str | None:
    """A wish that the rules refuse: cancelling what has left, returning what has not arrived."""
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

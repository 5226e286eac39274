"""Ways to spoil a retail task's good episode, each with the pattern that the failure then shows.

A wrong action is one that a careless agent might take for the wanted one: the same tool on another order, another
variant, one thing less. Whether the world accepts it is found by playing it (`env_sim.planted`).
"""

from collections.abc import Iterator
from random import Random

from env_sim.domains.retail.compact import ADDRESS_FIELDS
from env_sim.domains.retail.explorer import CANCEL_REASONS
from env_sim.domains.retail.lexicon import kinds_of
from env_sim.domains.retail.views import WishView, view
from env_sim.task_kits import Damage
from env_sim.world import Database
from schemas import Action, Task

ASKED_TOPIC = {"order_not_asked": "order", "variant_not_asked": "variant", "ambiguous_name": "item"}
"""Patterns whose failure is a guess: the question is left out."""


def damages(task: Task, base: Database, rng: Random) -> Iterator[Damage]:
    """Damages of one task that show its own pattern, in random order."""
    if not task.criteria.writes:
        return
    if task.pattern == "infeasible_pushed":
        yield Damage(task.pattern, ending="transfer", after_writes=0)
        yield Damage(task.pattern, ending="insist", after_writes=0)
        return
    if task.pattern in ("ended_early", "mixed_orders"):
        # Things of two orders in one write are refused by every tool: what is left is one write for one of them.
        yield Damage(task.pattern, ending="done", after_writes=1)
        return
    if task.pattern == "lost_in_search":
        yield Damage(task.pattern, ending="repeat", after_writes=0)
        return
    if task.pattern == "not_confirmed":
        yield Damage(task.pattern, ending="drop")
        return
    wish = view(base, task.scenario.identity.user_id, task.criteria.writes[0])
    wrong = list(_wrong_actions(task, wish))
    rng.shuffle(wrong)
    for action in wrong:
        yield Damage(task.pattern, wrong=action, unasked=ASKED_TOPIC.get(task.pattern, ""))


def _wrong_actions(task: Task, wish: WishView) -> Iterator[Action]:
    match task.pattern:
        case "wrong_order" | "order_not_asked" | "hint_late":
            yield from _on_other_orders(wish)
        case "wrong_variant" | "variant_not_asked":
            yield from _other_variants(wish)
        case "ambiguous_name":
            yield from _on_things_of_its_kind(wish)
        case "invalid_value":
            yield from _other_values(wish)
        case "mixed_items":
            yield from _one_thing_less(wish)
        case "wrong_payment":
            for method_id in wish.user["payment_methods"]:
                yield _with(wish, payment_method_id=method_id)
        case "wrong_address":
            yield from _other_addresses(wish)
        case "stale_intent" if task.scenario.goals[0].action is not None:
            yield task.scenario.goals[0].action


def _with(wish: WishView, **changed: object) -> Action:
    return Action.model_validate({"name": wish.tool, "arguments": {**wish.action.arguments, **changed}})


def _on_other_orders(wish: WishView) -> Iterator[Action]:
    for order in wish.other_orders():
        items = [
            next((there["item_id"] for there in order["items"] if there["product_id"] == item["product_id"]), None)
            for item in wish.items
        ]
        if None in items:
            continue
        changed: dict[str, object] = {"order_id": order["order_id"]}
        if items:
            changed["item_ids"] = items
        if "payment_method_id" in wish.action.arguments and wish.items:
            changed["payment_method_id"] = order["payment_history"][0]["payment_method_id"]
        yield _with(wish, **changed)


def _other_addresses(wish: WishView) -> Iterator[Action]:
    for record in (wish.user, *wish.other_orders()):
        yield _with(wish, **{key: record["address"][key] for key in ADDRESS_FIELDS})


def _other_values(wish: WishView) -> Iterator[Action]:
    """What a careless reader takes the user's other words for: a value that the tool accepts and nobody meant."""
    if "reason" in wish.action.arguments:
        for reason in CANCEL_REASONS:
            yield _with(wish, reason=reason)
    elif wish.variants:
        yield from _other_variants(wish)
    else:
        yield from _other_addresses(wish)


def _on_things_of_its_kind(wish: WishView) -> Iterator[Action]:
    """The same done to another thing of the order that the kind's name fits as well."""
    kinds = set(kinds_of(wish.items[0]["name"].lower()))
    for item in wish.order["items"] if wish.order else ():
        if item["name"] == wish.items[0]["name"] or not kinds & set(kinds_of(item["name"].lower())):
            continue
        if not wish.variants:
            yield _with(wish, item_ids=[item["item_id"]])
            continue
        for variant in wish.base.tables["products"][item["product_id"]]["variants"].values():
            if variant["available"] and variant["item_id"] != item["item_id"]:
                yield _with(wish, item_ids=[item["item_id"]], new_item_ids=[variant["item_id"]])


def _other_variants(wish: WishView) -> Iterator[Action]:
    taken = {wish.items[0]["item_id"], wish.variants[0]["item_id"]}
    product = wish.base.tables["products"][wish.items[0]["product_id"]]
    for variant in product["variants"].values():
        if variant["available"] and variant["item_id"] not in taken:
            yield _with(wish, new_item_ids=[variant["item_id"]])


def _one_thing_less(wish: WishView) -> Iterator[Action]:
    arguments = wish.action.arguments
    for gone in range(len(wish.items)):
        changed: dict[str, object] = {}
        for key in ("item_ids", "new_item_ids"):
            held = arguments.get(key)
            if isinstance(held, list):
                changed[key] = [value for index, value in enumerate(held) if index != gone]
        yield _with(wish, **changed)

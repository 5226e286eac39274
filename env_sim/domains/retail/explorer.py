"""The embedded explorer: a planner that reads a database, picks feasible wishes of one user and carries them out.

It has no user to talk to: its episode is tool calls and their results, ending in real state changes. The task writer
turns such an episode into a task (`writer`), so every task starts from something that has really happened.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from pydantic import JsonValue

from env_sim.domains.retail.compact import ADDRESS_FIELDS
from env_sim.exploration import explored
from env_sim.world import Database, Domain
from schemas import Action, Trajectory

MADE_BY = "planner/1"
Order = Mapping[str, Any]
CANCEL_REASONS = ("no longer needed", "ordered by mistake")
TRANSFER = Action(name="transfer_to_human_agents", arguments={"summary": "out of scope"})


def sample_wishes(base: Database, rng: Random) -> tuple[str, list[Action]] | None:
    """A user and one or two feasible wishes on different orders; None when this draw has none."""
    user_id = rng.choice(_user_ids(base))
    user = base.tables["users"][user_id]
    if rng.random() < 0.04:
        return user_id, [TRANSFER]
    wishes: list[Action] = []
    taken: set[str] = set()
    for _ in range(2 if rng.random() < 0.3 else 1):
        wish = _sample_wish(base, user, taken, rng)
        if wish is None:
            return None
        wishes.append(wish)
        taken.add(str(wish.arguments.get("order_id", "profile")))
    return user_id, wishes


def reads_for(base: Database, user_id: str, wishes: list[Action]) -> list[Action]:
    """The reads that find what the wishes need: the user, the orders, the products."""
    user = base.tables["users"][user_id]
    reads = [_find_user(user), Action(name="get_user_details", arguments={"user_id": user_id})]
    for wish in wishes:
        order_id = wish.arguments.get("order_id")
        if isinstance(order_id, str):
            reads.append(Action(name="get_order_details", arguments={"order_id": order_id}))
            reads += [
                Action(name="get_product_details", arguments={"product_id": product_id})
                for product_id in product_ids(base.tables["orders"][order_id], wish)
            ]
    return reads


def product_ids(order: Order, wish: Action) -> list[str]:
    """Products whose variants a wish chooses among, in the order of its items."""
    if "new_item_ids" not in wish.arguments:
        return []
    by_item = {item["item_id"]: item["product_id"] for item in order["items"]}
    return list(dict.fromkeys(by_item[item_id] for item_id in wish.arguments["item_ids"]))  # type: ignore[union-attr]


def _user_ids(base: Database) -> list[str]:
    return list(base.tables["users"])


def _find_user(user: Mapping[str, Any]) -> Action:
    return Action(name="find_user_id_by_email", arguments={"email": user["email"]})


def _sample_wish(base: Database, user: Mapping[str, Any], taken: set[str], rng: Random) -> Action | None:
    kind = rng.choices(list(_SAMPLERS), weights=[weight for weight, _ in _SAMPLERS.values()])[0]
    orders = [base.tables["orders"][order_id] for order_id in user["orders"] if order_id not in taken]
    rng.shuffle(orders)
    return _SAMPLERS[kind][1](base, user, orders, rng)


def _first(orders: list[Order], status: str) -> Order | None:
    return next((order for order in orders if order["status"] == status), None)


def _cancel(base: Database, user: Mapping[str, Any], orders: list[Order], rng: Random) -> Action | None:
    order = _first(orders, "pending")
    if order is None:
        return None
    return Action(
        name="cancel_pending_order",
        arguments={"order_id": order["order_id"], "reason": rng.choice(CANCEL_REASONS)},
    )


def _pick_items(order: Order, rng: Random) -> list[Mapping[str, Any]]:
    """One or two items whose products occur once in the order, so that a name names them."""
    names = [item["name"] for item in order["items"]]
    single = [item for item in order["items"] if names.count(item["name"]) == 1]
    count = 2 if len(single) > 1 and rng.random() < 0.35 else 1
    return rng.sample(single, count) if len(single) >= count else []


def _swap(tool: str, status: str) -> Callable[..., Action | None]:
    def sample(base: Database, user: Mapping[str, Any], orders: list[Order], rng: Random) -> Action | None:
        order = _first(orders, status)
        items = _pick_items(order, rng) if order else []
        if order is None or not items:
            return None
        chosen: list[JsonValue] = []
        for item in items:
            variant = _other_variant(base, item, rng)
            if variant is None:
                return None
            chosen.append(variant)
        return Action(
            name=tool,
            arguments={
                "order_id": order["order_id"],
                "item_ids": [item["item_id"] for item in items],
                "new_item_ids": chosen,
                "payment_method_id": _payment(user, order, rng),
            },
        )

    return sample


def _other_variant(base: Database, item: Mapping[str, Any], rng: Random) -> str | None:
    """An available variant, half of the time one that differs in a single option."""
    variants = base.tables["products"][item["product_id"]]["variants"]
    others = [v for v in variants.values() if v["available"] and v["item_id"] != item["item_id"]]
    near = [v for v in others if sum(v["options"][key] != item["options"].get(key) for key in v["options"]) == 1]
    pool = near if near and rng.random() < 0.5 else others
    return rng.choice(pool)["item_id"] if pool else None


def _payment(user: Mapping[str, Any], order: Order, rng: Random) -> str:
    original = order["payment_history"][0]["payment_method_id"]
    if rng.random() < 0.6:
        return original
    return rng.choice(list(user["payment_methods"]))


def _return(base: Database, user: Mapping[str, Any], orders: list[Order], rng: Random) -> Action | None:
    order = _first(orders, "delivered")
    items = _pick_items(order, rng) if order else []
    if order is None or not items:
        return None
    original = order["payment_history"][0]["payment_method_id"]
    gifts = [pid for pid, method in user["payment_methods"].items() if method["source"] == "gift_card"]
    method = rng.choice(gifts) if gifts and rng.random() < 0.5 else original
    return Action(
        name="return_delivered_order_items",
        arguments={
            "order_id": order["order_id"],
            "item_ids": [item["item_id"] for item in items],
            "payment_method_id": method,
        },
    )


def _other_address(base: Database, user: Mapping[str, Any], current: Mapping[str, str], rng: Random) -> dict | None:
    """Half of the time the address of another order of the user, else one that the user moved to."""
    own = [base.tables["orders"][o]["address"] for o in user["orders"]]
    own = [address for address in own if dict(address) != dict(current)]
    if own and rng.random() < 0.5:
        return dict(rng.choice(own))
    address = base.tables["users"][rng.choice(_user_ids(base))]["address"]
    return dict(address) if dict(address) != dict(current) else None


def _order_address(base: Database, user: Mapping[str, Any], orders: list[Order], rng: Random) -> Action | None:
    order = _first(orders, "pending")
    address = _other_address(base, user, order["address"], rng) if order else None
    if order is None or address is None:
        return None
    arguments = {"order_id": order["order_id"], **{name: address[name] for name in ADDRESS_FIELDS}}
    return Action(name="modify_pending_order_address", arguments=arguments)


def _user_address(base: Database, user: Mapping[str, Any], orders: list[Order], rng: Random) -> Action | None:
    address = _other_address(base, user, user["address"], rng)
    if address is None:
        return None
    arguments = {"user_id": user["user_id"], **{name: address[name] for name in ADDRESS_FIELDS}}
    return Action(name="modify_user_address", arguments=arguments)


def _payment_change(base: Database, user: Mapping[str, Any], orders: list[Order], rng: Random) -> Action | None:
    order = _first(orders, "pending")
    if order is None:
        return None
    paid = order["payment_history"][0]["payment_method_id"]
    others = [pid for pid in user["payment_methods"] if pid != paid]
    if not others:
        return None
    return Action(
        name="modify_pending_order_payment",
        arguments={"order_id": order["order_id"], "payment_method_id": rng.choice(others)},
    )


_SAMPLERS: dict[str, tuple[float, Callable[..., Action | None]]] = {
    "cancel": (0.15, _cancel),
    "modify_items": (0.22, _swap("modify_pending_order_items", "pending")),
    "exchange": (0.22, _swap("exchange_delivered_order_items", "delivered")),
    "return": (0.2, _return),
    "order_address": (0.1, _order_address),
    "user_address": (0.04, _user_address),
    "payment": (0.07, _payment_change),
}


def explore(domain: Domain, base: Database, database_id: str, seed: int, rng: Random) -> Trajectory | None:
    """One successful exploration with real calls; None when the wishes are infeasible or depend on their order."""
    drawn = sample_wishes(base, rng)
    if drawn is None:
        return None
    user_id, wishes = drawn
    actions = [*reads_for(base, user_id, wishes), *wishes]
    return explored(domain, base, database_id, seed, actions, MADE_BY)

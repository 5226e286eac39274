"""What a wish means in its database: the records it touches and how they can be told apart in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from env_sim.domains.retail import wording
from env_sim.domains.retail.compact import ADDRESS_FIELDS, address_line
from env_sim.world import Database
from schemas import Action

METHOD_NAMES = {"credit_card": "my credit card", "gift_card": "my gift card", "paypal": "my paypal"}
JsonObject = Mapping[str, Any]


@dataclass(frozen=True)
class WishView:
    """A wish (one write) with the records that it touches."""

    base: Database
    user: JsonObject
    action: Action
    order: JsonObject | None
    items: tuple[JsonObject, ...] = ()
    variants: tuple[JsonObject, ...] = ()
    """The variant that each item becomes."""

    @property
    def tool(self) -> str:
        """Name of the write."""
        return self.action.name

    def other_orders(self) -> list[JsonObject]:
        """The user's orders but this one."""
        own = self.order["order_id"] if self.order else None
        return [self.base.tables["orders"][o] for o in self.user["orders"] if o != own]

    def names(self) -> list[str]:
        """Item names in the order, each once."""
        return list(dict.fromkeys(item["name"].lower() for item in self.order["items"])) if self.order else []


def view(base: Database, user_id: str, action: Action) -> WishView:
    """Look up what the wish touches."""
    arguments = action.arguments
    order = base.tables["orders"][str(arguments["order_id"])] if "order_id" in arguments else None
    items: list[JsonObject] = []
    variants: list[JsonObject] = []
    if order is not None and "item_ids" in arguments:
        by_id = {item["item_id"]: item for item in order["items"]}
        items = [by_id[i] for i in arguments["item_ids"]]  # type: ignore[union-attr]
        new = arguments.get("new_item_ids", [])
        variants = [
            base.tables["products"][item["product_id"]]["variants"][n]
            for item, n in zip(items, new, strict=False)  # type: ignore[arg-type]
        ]
    return WishView(base, base.tables["users"][user_id], action, order, tuple(items), tuple(variants))


def values(variant: JsonObject) -> tuple[str, ...]:
    """Option values in words."""
    return tuple(str(value).lower() for value in variant["options"].values())


def order_names(order: JsonObject) -> set[str]:
    """Item names of an order."""
    return {item["name"].lower() for item in order["items"]}


def is_unique_variant(wish: WishView, index: int, wanted: Mapping[str, str]) -> bool:
    """Whether just one available variant of the item's product has the wanted options."""
    product = wish.base.tables["products"][wish.items[index]["product_id"]]
    matching = [
        v for v in product["variants"].values()
        if v["available"] and all(v["options"].get(key) == value for key, value in wanted.items())
    ]  # fmt: skip
    return len(matching) == 1


def method_phrase(wish: WishView) -> str | None:
    """How the wish's payment method is said; empty when it is the order's own, None when words can't single it out."""
    method_id = wish.action.arguments.get("payment_method_id")
    if method_id is None or wish.order is None:
        return ""
    original = wish.order["payment_history"][0]["payment_method_id"]
    if wish.tool != "modify_pending_order_payment" and method_id == original:
        return ""
    methods = wish.user["payment_methods"]
    source = methods[method_id]["source"]
    if sum(method["source"] == source for method in methods.values()) > 1:
        return None
    return METHOD_NAMES[source]


def plain_phrases(wish: WishView, rng: Random) -> wording.Phrases | None:
    """Unambiguous phrases for every part; None when words can't single the wish out."""
    method = method_phrase(wish)
    if method is None:
        return None
    for index, variant in enumerate(wish.variants):
        if not is_unique_variant(wish, index, variant["options"]):
            return None
    arguments = wish.action.arguments
    address = address_line({k: str(arguments[k]) for k in ADDRESS_FIELDS}) if "address1" in arguments else ""
    reason = str(arguments.get("reason", ""))
    return wording.Phrases(
        order=f"order {wish.order['order_id']}" if wish.order else "",
        items=tuple(item["name"].lower() for item in wish.items),
        targets=tuple(wording.full_target(values(variant)) for variant in wish.variants),
        method=method,
        reason=rng.choice(wording.REASONS[reason]) if reason else "",
        address=address,
    )

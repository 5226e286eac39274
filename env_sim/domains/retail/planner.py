"""A solver of generated tasks that knows only words: proof that they lead to the goal, without the reference.

It knows the tools, the rules and what the user says; it reads all orders of the user, keeps what fits the words, and
asks when more than one order, thing or variant is left. What still fits after that is counted in `open_choices`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from env_sim.conduct import says_yes
from env_sim.dialogue import Ask, Confirm, Deny, Done
from env_sim.domains.retail.compact import ADDRESS_FIELDS
from env_sim.domains.retail.reading import Reader, Wish, fits, fitting_variants
from env_sim.planned_policy import WordSolver, say
from schemas import Action, Message

__all__ = ["STATUS", "WordPlanner"]

JsonObject = Mapping[str, Any]
_EMAIL = re.compile(r"[\w.]+@[\w.]+\w")
_NAME_ZIP = re.compile(r"my name is (\w+) ([\w-]+), zip code (\d{5})")
STATUS = {
    "cancel_pending_order": "pending",
    "return_delivered_order_items": "delivered",
    "modify_pending_order_address": "pending",
    "modify_pending_order_payment": "pending",
    "exchange_delivered_order_items": "delivered",
    "modify_pending_order_items": "pending",
}
"""Write to an order -> the status that the order must have."""


class WordPlanner(WordSolver):
    """Message-level policy; one per episode."""

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__()
        self._refused = False
        self._user: dict[str, Any] = {}
        self._orders: dict[str, dict[str, Any]] = {}
        self._reader = Reader(self._orders)

    def _talk(self) -> Iterator[Message]:
        wishes = self._heard.split(" also, ")
        yield from self._look_up()
        if not self._user:
            return
        while True:
            for text in wishes:
                for wish in self._parts(self._reader.read(text)):
                    if wish.tool == "transfer_to_human_agents":
                        yield self._ask_tool(wish.tool, summary="out of scope")
                        return
                    yield from self._fulfil(wish)
            if not self._refused:
                yield say(Done())
            wishes = [self._heard]

    def _look_up(self) -> Iterator[Message]:
        """Find the user and read all their orders."""
        yield from self._find_user()
        for order_id in self._user.get("orders", ()):
            yield self._ask_tool("get_order_details", order_id=order_id)
            self._orders[order_id] = json.loads(self._result)

    def _find_user(self) -> Iterator[Message]:
        if not (_EMAIL.search(self._heard) or _NAME_ZIP.search(self._heard)):
            yield say(Ask("identity"))
        email, names = _EMAIL.search(self._heard), _NAME_ZIP.search(self._heard)
        if email:
            yield self._ask_tool("find_user_id_by_email", email=email[0])
        elif names:
            yield self._ask_tool("find_user_id_by_name_zip", first_name=names[1], last_name=names[2], zip=names[3])
        if self._result and not self._result.startswith("Error"):
            yield self._ask_tool("get_user_details", user_id=self._result)
            self._user = json.loads(self._result)

    def _parts(self, wish: Wish) -> list[Wish]:
        """The wish, or one per thing when no order holds all the things."""
        return [wish] if self._fitting_orders(wish) or len(wish.items) < 2 else list(wish.each())

    def _fulfil(self, wish: Wish) -> Iterator[Message]:
        """Choose records, ask where words leave a choice, list the action, carry it out; refuse what can't be."""
        self._refused = False
        choices = len(self.open_choices)
        orders = self._fitting_orders(wish)
        if len(orders) > 1:
            yield say(Ask("order"))
            wish = self._reader.told(wish, self._heard)
            orders = self._fitting_orders(wish) or orders
        if not orders and wish.tool in STATUS:
            self._refused = True
            yield say(Deny())
            return
        order = self._only("order", orders) if orders else None
        if any(len(self._alike(name, order)) > 1 for name in wish.items):
            yield say(Ask("item"))
            wish = replace(wish, items=(self._reader.named(self._heard) or wish.items[0], *wish.items[1:]))
        variants: list[str] = []
        for place, item in enumerate(self._items(wish, order)) if wish.targets else ():
            yield self._ask_tool("get_product_details", product_id=item["product_id"])
            product = json.loads(self._result)
            fitting = fitting_variants(product, item, wish.targets[place])
            if len(fitting) != 1:
                yield say(Ask("variant"))
                fitting = fitting_variants(product, item, self._heard) or fitting
            variants.append(self._only("variant", fitting))
        action = self._action(wish, order, variants)
        yield say(Confirm(action))
        if not says_yes(self._heard):
            # What was listed is not done: what it left open was no choice.
            del self.open_choices[choices:]
            yield from self._fulfil(self._reader.amended(wish, self._heard))
            return
        yield self._call(action)

    def _fitting_orders(self, wish: Wish) -> list[str]:
        """The user's orders that the words can mean and the rules allow."""
        return [
            order_id
            for order_id, order in self._orders.items()
            if wish.order_id in ("", order_id)
            and order["status"] == STATUS.get(wish.tool)
            and all(self._alike(name, order_id) for name in (*wish.items, *wish.also))
        ]

    def _alike(self, name: str, order_id: str | None) -> list[JsonObject]:
        """The things in an order that a name can mean."""
        items = self._orders[order_id]["items"] if order_id else []
        return [item for item in items if fits(name, item["name"].lower())]

    def _items(self, wish: Wish, order_id: str | None) -> list[JsonObject]:
        """The items that the words name, in their order."""
        return [self._only(f"item {name}", self._alike(name, order_id)) for name in wish.items]

    def _action(self, wish: Wish, order_id: str | None, variants: list[str]) -> Action:
        source = self._only("source", [o for o in self._orders if o != order_id and self._alike(wish.source, o)])
        record = self._orders[source]["address"] if source is not None else {}
        record = self._user["address"] if wish.goes_home else record
        address: dict[str, Any] = {name: record[name] for name in ADDRESS_FIELDS if name in record}
        address |= dict(zip(ADDRESS_FIELDS, wish.address, strict=False))
        if order_id is None:
            return Action(name=wish.tool, arguments={"user_id": self._user["user_id"], **address})
        if wish.tool == "cancel_pending_order":
            return Action(name=wish.tool, arguments={"order_id": order_id, "reason": wish.reason})
        if wish.tool == "modify_pending_order_address":
            return Action(name=wish.tool, arguments={"order_id": order_id, **address})
        arguments: dict[str, Any] = {"order_id": order_id}
        if wish.items:
            arguments["item_ids"] = [item["item_id"] for item in self._items(wish, order_id)]
        if variants:
            arguments["new_item_ids"] = variants
        method = self._method(wish, order_id if source is None else source)
        return Action(name=wish.tool, arguments={**arguments, "payment_method_id": method})

    def _method(self, wish: Wish, order_id: str) -> str:
        """The method of the kind that the words name, else the one by which the order was paid."""
        if not wish.method:
            return self._orders[order_id]["payment_history"][0]["payment_method_id"]
        methods = self._user["payment_methods"].items()
        return self._only("payment", [key for key, method in methods if method["source"] == wish.method])

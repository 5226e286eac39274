"""The retail tools that change the state, exactly as tau2 does it: order of checks, texts, unrounded amounts, mistakes.

Read `strict_tools` for the corrected behaviour. Records are replaced, never changed in place. Each refusal comes before
the first `put`; the one order in which checks run is tau2's, since several can apply to one call.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import ClassVar, Literal

from pydantic import BaseModel

from env_sim.domains.retail.read_tools import TOOLKIT, ReadTools
from env_sim.tools import ChangedText, ToolRefusal, collect_tools, tool
from env_sim.world import JsonRecord, Mode

__all__ = ["CANCEL_REASONS", "ParityEnvironment", "UserAddress", "WriteTools"]

_ITEM_ID = itemgetter("item_id")

CANCEL_REASONS = frozenset({"no longer needed", "ordered by mistake"})
"""The reasons that cancel accepts."""


class UserAddress(BaseModel):
    """A postal address. Built only for its refusal texts: tau2 shows pydantic's own words under this class name."""

    address1: str
    address2: str
    city: str
    country: str
    state: str
    zip: str


def is_gift_card(method: JsonRecord) -> bool:
    """Whether the balance of a method is kept in the shop."""
    return method["source"] == "gift_card"


def held_ids(order: JsonRecord, wanted: Sequence[str], refusal: str) -> list[str]:
    """Ids of the order's items, or a refusal, naming the id in its `{}`, when it holds a wanted one less often."""
    held = list(map(_ITEM_ID, order["items"]))
    # Any JSON value may arrive: a string is walked by characters, a number can't be walked, as in tau2.
    for item_id in wanted:
        if wanted.count(item_id) > held.count(item_id):
            raise ToolRefusal(refusal.format(item_id))
    return held


Trade = tuple[JsonRecord, JsonRecord]
"""An item of an order, and the variant of its product that it is to become."""


class WriteTools(ReadTools):
    """The seven tools that write, in tau2's way."""

    __slots__ = ()

    def payment_method(self, user_id: str, payment_method_id: str) -> JsonRecord:
        """The method among this user's own, or the tool's refusal."""
        methods = self.user(user_id)["payment_methods"]
        if payment_method_id not in methods:
            raise ToolRefusal("Payment method not found")
        return methods[payment_method_id]

    def credit(self, user_id: str, payment_method_id: str, amount: float) -> None:
        """Add to a gift card's balance (a negative amount takes away); other methods settle outside the shop."""
        methods = self.user(user_id)["payment_methods"]
        method = methods[payment_method_id]
        if is_gift_card(method):
            changed = {**method, "balance": round(method["balance"] + amount, 2)}
            self.change("users", user_id, {"payment_methods": {**methods, payment_method_id: changed}})

    @tool(TOOLKIT, writes=True)
    def cancel_pending_order(self, order_id: str, reason: str) -> ChangedText:
        """Cancel a pending order and refund it."""
        order = self.order(order_id)
        if order["status"] != "pending":
            raise ToolRefusal("Non-pending order cannot be cancelled")
        if reason not in CANCEL_REASONS:
            raise ToolRefusal("Invalid reason")
        refunds = self.refunds(order["payment_history"])
        for refund in refunds:
            self.credit(order["user_id"], refund["payment_method_id"], refund["amount"])
        history = order["payment_history"] + refunds
        fields = {"status": "cancelled", "cancel_reason": reason, "payment_history": history}
        return self.changed("orders", order_id, fields)

    def refunds(self, history: list[JsonRecord]) -> list[JsonRecord]:
        """What cancelling pays back: every entry, earlier refunds included (tau2's mistake)."""
        return [transaction("refund", entry["amount"], entry["payment_method_id"]) for entry in history]

    @tool(TOOLKIT, writes=True)
    def modify_pending_order_address(
        self,
        order_id: str,
        address1: str,
        address2: str,
        city: str,
        state: str,
        country: str,
        zip: str,
    ) -> ChangedText:
        """Replace the address of an order that is not shipped."""
        order = self.order(order_id)
        self.check_address_change(order)
        return self.changed("orders", order_id, {"address": address(address1, address2, city, country, state, zip)})

    def check_address_change(self, order: JsonRecord) -> None:
        """Refuse unless the order is pending, with or without modified items."""
        if "pending" not in order["status"]:
            raise ToolRefusal("Non-pending order cannot be modified")

    @tool(TOOLKIT, writes=True)
    def modify_user_address(
        self,
        user_id: str,
        address1: str,
        address2: str,
        city: str,
        state: str,
        country: str,
        zip: str,
    ) -> ChangedText:
        """Replace a user's default address; orders keep theirs."""
        self.user(user_id)
        return self.changed("users", user_id, {"address": address(address1, address2, city, country, state, zip)})

    @tool(TOOLKIT, writes=True)
    def modify_pending_order_payment(self, order_id: str, payment_method_id: str) -> ChangedText:
        """Pay a pending order by another method."""
        order = self.order(order_id)
        if "pending" not in order["status"]:
            raise ToolRefusal("Non-pending order cannot be modified")
        user_id, history = order["user_id"], order["payment_history"]
        method = self.payment_method(user_id, payment_method_id)
        if len(history) != 1 or history[0]["transaction_type"] != "payment":
            raise ToolRefusal("There should be exactly one payment for a pending order")
        old_id, amount = history[0]["payment_method_id"], history[0]["amount"]
        if old_id == payment_method_id:
            raise ToolRefusal("The new payment method should be different from the current one")
        if is_gift_card(method) and method["balance"] < amount:
            raise ToolRefusal("Insufficient gift card balance to pay for the order")
        self.credit(user_id, payment_method_id, -amount)
        self.credit(user_id, old_id, amount)
        moved = [transaction("payment", amount, payment_method_id), transaction("refund", amount, old_id)]
        return self.changed("orders", order_id, {"payment_history": history + moved})

    @tool(TOOLKIT, writes=True)
    def modify_pending_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> ChangedText:
        """Replace items of a pending order by other variants of their products, once."""
        order = self.order(order_id)
        if order["status"] != "pending":
            raise ToolRefusal("Non-pending order cannot be modified")
        held = held_ids(order, item_ids, "{} not found")
        if len(item_ids) != len(new_item_ids):
            raise ToolRefusal("The number of items to be exchanged should match")
        trades = self.trades(order, held, item_ids, new_item_ids, same_allowed=False)
        difference = self.price_difference(trades)
        method = self.payment_method(order["user_id"], payment_method_id)
        if is_gift_card(method):
            if method["balance"] < difference:
                raise ToolRefusal("Insufficient gift card balance to pay for the new item")
            self.credit(order["user_id"], payment_method_id, -difference)
        kind = "payment" if difference > 0 else "refund"
        paid = transaction(kind, abs(difference), payment_method_id)
        fields = {
            "items": self.replaced_items(order["items"], held, trades),
            "status": "pending (item modified)",
            "payment_history": [*order["payment_history"], paid],
        }
        return self.changed("orders", order_id, fields)

    def trades(
        self,
        order: JsonRecord,
        held: list[str],
        item_ids: Sequence[str],
        new_item_ids: Sequence[str],
        *,
        same_allowed: bool,
    ) -> list[Trade]:
        """What each pair asks for, or the refusal of the first bad pair; callers have counted the items held."""
        products, items, found = self.base.tables["products"], order["items"], []
        for item_id, new_item_id in zip(item_ids, new_item_ids):  # noqa: B905  a keyword costs more than all the rest
            if not same_allowed and item_id == new_item_id:
                raise ToolRefusal("The new item id should be different from the old item id")
            item = items[held.index(item_id)]
            variant = products[item["product_id"]]["variants"].get(new_item_id)
            if variant is None:
                raise ToolRefusal("Variant not found")
            if not variant["available"]:
                raise ToolRefusal(f"New item {new_item_id} not found or available")
            found.append((item, variant))
        return found

    def price_difference(self, trades: list[Trade]) -> float:
        """What the new variants cost more, summed pair by pair and unrounded; the integer 0 without pairs."""
        difference = 0
        for item, variant in trades:
            difference += variant["price"] - item["price"]
        return difference

    def replaced_items(self, items: list[JsonRecord], held: list[str], trades: list[Trade]) -> list[JsonRecord]:
        """The items after the change: each gets price and options of the LAST variant (tau2's mistake).

        Ids are looked up again after each replacement, so a chain A to B, B to C moves one item twice, as in tau2.
        """
        changed, ids = items.copy(), held.copy()
        last = trades[-1][1] if trades else {}
        for old, variant in trades:
            place = ids.index(old["item_id"])
            item = self.base.ordered(changed[place], last)
            ids[place] = variant["item_id"]
            changed[place] = item if variant is last else {**item, "item_id": variant["item_id"]}
        return changed

    @tool(TOOLKIT, writes=True)
    def return_delivered_order_items(self, order_id: str, item_ids: list[str], payment_method_id: str) -> ChangedText:
        """Request the return of delivered items."""
        order = self.order(order_id)
        if order["status"] != "delivered":
            raise ToolRefusal("Non-delivered order cannot be returned")
        method = self.payment_method(order["user_id"], payment_method_id)
        if not is_gift_card(method) and payment_method_id != order["payment_history"][0]["payment_method_id"]:
            raise ToolRefusal("Payment method should be the original payment method")
        held_ids(order, item_ids, "Some item not found")
        fields = {
            "status": "return requested",
            "return_items": sorted(item_ids),
            "return_payment_method_id": payment_method_id,
        }
        return self.changed("orders", order_id, fields)

    @tool(TOOLKIT, writes=True)
    def exchange_delivered_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> ChangedText:
        """Request the exchange of delivered items for other variants of their products."""
        order = self.order(order_id)
        if order["status"] != "delivered":
            raise ToolRefusal("Non-delivered order cannot be exchanged")
        held = held_ids(order, item_ids, "Number of {} not found.")
        if len(item_ids) != len(new_item_ids):
            raise ToolRefusal("The number of items to be exchanged should match.")
        trades = self.trades(order, held, item_ids, new_item_ids, same_allowed=self.exchanges_same_item)
        difference = round(self.price_difference(trades), 2)
        method = self.payment_method(order["user_id"], payment_method_id)
        if is_gift_card(method) and method["balance"] < difference:
            raise ToolRefusal("Insufficient gift card balance to pay for the price difference")
        fields = {
            "status": "exchange requested",
            "exchange_items": sorted(item_ids),
            "exchange_new_items": sorted(new_item_ids),
            "exchange_payment_method_id": payment_method_id,
            "exchange_price_difference": difference,
        }
        return self.changed("orders", order_id, fields)

    exchanges_same_item: ClassVar[bool] = True
    """Whether an item may be exchanged for itself."""


class ParityEnvironment(WriteTools):
    """An episode that answers as tau2 does."""

    mode: ClassVar[Mode] = "parity"
    tools = collect_tools(WriteTools)

    __slots__ = ()


def transaction(kind: Literal["payment", "refund"], amount: float, payment_method_id: str) -> JsonRecord:
    """An entry of a payment history. tau2 validates it, which turns the integer 0 into 0.0."""
    return {"transaction_type": kind, "amount": float(amount), "payment_method_id": payment_method_id}


def address(address1: str, address2: str, city: str, country: str, state: str, zip: str) -> JsonRecord:
    """A checked address, keys in printing order.

    Raises:
        pydantic.ValidationError: When a part is no text; its words are the tool's answer.
    """
    fields = {
        "address1": address1,
        "address2": address2,
        "city": city,
        "country": country,
        "state": state,
        "zip": zip,
    }
    # Plain ASCII text is always valid; everything else (wrong types, lone surrogates) is pydantic's to judge.
    try:
        plain = "".join(fields.values()).isascii()
    except TypeError:
        plain = False
    return fields if plain else UserAddress.model_validate(fields).model_dump()

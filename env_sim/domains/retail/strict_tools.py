"""The retail tools without tau2's mistakes: the training default.

Every departure from parity is in this file. A reward that compares end states would otherwise punish a correct agent
(pairs given in another order, unrounded sums) or reward a wrong one (an exchange for the same item).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from env_sim.domains.retail.read_tools import TOOLKIT
from env_sim.domains.retail.write_tools import Trade, WriteTools, transaction
from env_sim.tools import ChangedText, ToolRefusal, collect_tools, tool
from env_sim.world import JsonRecord, Mode

__all__ = ["StrictEnvironment"]


class _StrictTools(WriteTools):
    """Overrides of single rules; checks and texts stay where they are."""

    exchanges_same_item: ClassVar[bool] = False

    __slots__ = ()

    def refunds(self, history: list[JsonRecord]) -> list[JsonRecord]:
        """One refund per method that still holds money of the customer, in the order of first payment."""
        balance: dict[str, float] = {}
        for entry in history:
            sign = 1 if entry["transaction_type"] == "payment" else -1
            method_id = entry["payment_method_id"]
            balance[method_id] = round(balance.get(method_id, 0.0) + sign * entry["amount"], 2)
        return [transaction("refund", paid, method_id) for method_id, paid in balance.items() if paid > 0]

    def check_address_change(self, order: JsonRecord) -> None:
        """Refuse unless untouched: the policy allows no further change after an item modification."""
        if order["status"] != "pending":
            raise ToolRefusal("Non-pending order cannot be modified")

    def trades(
        self,
        order: JsonRecord,
        held: list[str],
        item_ids: Sequence[str],
        new_item_ids: Sequence[str],
        *,
        same_allowed: bool,
    ) -> list[Trade]:
        """As in parity, and at least one pair is required."""
        if not item_ids:
            raise ToolRefusal("The list of items must not be empty")
        return super().trades(order, held, item_ids, new_item_ids, same_allowed=same_allowed)

    def price_difference(self, trades: list[Trade]) -> float:
        """The difference in whole cents; adding 0.0 turns -0.0 into 0.0."""
        return round(super().price_difference(trades), 2) + 0.0

    def replaced_items(self, items: list[JsonRecord], held: list[str], trades: list[Trade]) -> list[JsonRecord]:
        """Each item takes its own variant's price and options, whatever the order of the pairs.

        Old ids are looked up among the items as they were; equal ones take their new ids in sorted order.
        """
        wanted: dict[str, list[JsonRecord]] = {}
        for item, variant in trades:
            wanted.setdefault(item["item_id"], []).append(variant)
        for queue in wanted.values():
            queue.sort(key=lambda variant: variant["item_id"])
        changed = []
        for item in items:
            queue = wanted.get(item["item_id"])
            changed.append(self.base.ordered(item, queue.pop(0)) if queue else item)
        return changed

    @tool(TOOLKIT, writes=True)
    def return_delivered_order_items(self, order_id: str, item_ids: list[str], payment_method_id: str) -> ChangedText:
        """As in parity, and at least one item is required once nothing else is wrong."""
        if self.order(order_id)["status"] == "delivered" and not item_ids:
            raise ToolRefusal("The list of items must not be empty")
        return super().return_delivered_order_items(order_id, item_ids, payment_method_id)

    def canonical_field(self, table: str, key: str, name: str, value: Any) -> Any:
        """An order is compared by which items it holds, not by their places in the list."""
        if name == "items" and table == "orders":
            return sorted(value, key=lambda item: item["item_id"])
        return value


class StrictEnvironment(_StrictTools):
    """An episode under corrected rules."""

    mode: ClassVar[Mode] = "strict"
    tools = collect_tools(_StrictTools)

    __slots__ = ()

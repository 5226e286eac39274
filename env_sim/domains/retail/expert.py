"""The embedded expert: solves a task in dialogue, for students to imitate.

It may look at the reference for *what* to write; *when* to look up, ask, confirm, refuse or act follows from what the
user has said alone. Its reasoning is short and made to be learnt: it repeats the words of a record and then the id
that stands behind them, so each id that it uses is found by copying what follows the same words.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from env_sim.compact import AND
from env_sim.dialogue import Act, Ask, Confirm, Deny, Done, act_text
from env_sim.domains.retail.compact import ADDRESS_FIELDS, LIST_END, address_line
from env_sim.domains.retail.explorer import TRANSFER, product_ids
from env_sim.domains.retail.views import METHOD_NAMES, WishView, order_names, view
from env_sim.world import Database
from schemas import Action, Goal, Message, Task, ToolCall

_ORDER_ID = re.compile(r"#W\d{7}")
_OTHER_ORDER = re.compile(r"of my order with the ([\w -]+?)(?=[.?!]| and |,|$)")


class Expert:
    """Message-level policy; one per episode."""

    def __init__(self, task: Task, base: Database) -> None:
        """Plan over the task's scenario."""
        self._task = task
        self._base = base
        self._user = base.tables["users"][task.scenario.identity.user_id]
        self._seen: set[str] = set()
        self._calls = 0
        self._heard = ""
        self._noticed = ""
        self._plan = self._solve()

    def act(self, messages: Sequence[Message]) -> Message:
        """Next message of the plan; reads the user's last words where the plan depends on them."""
        self._heard = messages[-1].content
        message = next(self._plan)
        if self._noticed:
            message = message.model_copy(update={"reasoning": f"{self._noticed}{message.reasoning}".strip()})
            self._noticed = ""
        return message

    def _solve(self) -> Iterator[Message]:
        yield from self._authenticate()
        goals = self._task.scenario.goals
        for index, goal in enumerate(goals):
            if goal.action is None:
                if self._task.criteria.transfer:
                    yield self._call(TRANSFER)
                    return
                yield from self._refuse(goal)
                continue
            yield from self._fulfil(goal, goal.action)
            if index + 1 >= self._task.scenario.raised_in_opening:
                yield _say(Done())

    def _authenticate(self) -> Iterator[Message]:
        who = self._task.scenario.identity
        if "my email is" not in self._heard and "my name is" not in self._heard:
            yield _say(Ask("identity"))
        if who.email:
            yield self._call(Action(name="find_user_id_by_email", arguments={"email": who.email}))
        else:
            names = {"first_name": who.first_name, "last_name": who.last_name, "zip": who.zip}
            yield self._call(Action(name="find_user_id_by_name_zip", arguments={**names}))
        yield self._call(Action(name="get_user_details", arguments={"user_id": who.user_id}))

    def _refuse(self, goal: Goal) -> Iterator[Message]:
        named = _ORDER_ID.findall(goal.request)
        yield from self._look_at(named)
        yield _say(Deny(), " ".join(self._header(order_id) for order_id in named))

    def _fulfil(self, goal: Goal, wanted: Action) -> Iterator[Message]:
        named = _ORDER_ID.findall(goal.request)
        needs_order = "order_id" in wanted.arguments
        searches = (needs_order and not named) or _OTHER_ORDER.search(goal.request)
        yield from self._look_at(named)
        if searches:
            yield from self._search(goal)
        topics = {detail.topic for detail in goal.details}
        if "order" in topics:
            yield _say(Ask("order"))
        if needs_order:
            yield from self._look_at_products(wanted)
        if "variant" in topics:
            yield _say(Ask("variant"))
        yield _say(Confirm(wanted), self._grounds(goal, wanted))
        if goal.change:
            yield from self._look_at(_ORDER_ID.findall(self._heard))
            wanted = goal.change.action
            yield _say(Confirm(wanted), self._grounds(goal, wanted))
        yield self._call(wanted)

    def _search(self, goal: Goal) -> Iterator[Message]:
        """Walk the list of orders, each read with the step before it, and notice its end and what was found."""
        orders = self._user["orders"]
        for before, order_id in zip(["", *orders], orders, strict=False):
            yield from self._read("get_order_details", "order_id", order_id, f"{before} {order_id}" if before else "")
        self._noticed = f"{orders[-1]} {LIST_END} {self._candidates(goal)} "

    def _look_at(self, order_ids: Sequence[str]) -> Iterator[Message]:
        for order_id in order_ids:
            yield from self._read("get_order_details", "order_id", order_id)

    def _look_at_products(self, wanted: Action) -> Iterator[Message]:
        wish = self._view(wanted)
        before = ""
        for product_id in product_ids(wish.order or {}, wanted):
            item = next(item for item in wish.items if item["product_id"] == product_id)
            reasoning = f"{before}{self._item(wish, item)} {product_id}"
            before = f"{item['name']} {AND} "
            yield from self._read("get_product_details", "product_id", product_id, reasoning)

    def _read(self, tool: str, key: str, value: str, reasoning: str = "") -> Iterator[Message]:
        if value not in self._seen:
            self._seen.add(value)
            yield self._call(Action(name=tool, arguments={key: value}), reasoning)

    def _view(self, action: Action) -> WishView:
        return view(self._base, self._user["user_id"], action)

    def _header(self, order_id: str) -> str:
        """How a record of the order begins: number, status, payment method."""
        order = self._base.tables["orders"][order_id]
        return f"{order_id} {order['status']} {order['payment_history'][0]['payment_method_id']}"

    def _item(self, wish: WishView, item: Any) -> str:
        return f"{item['name']} {wish.action.arguments['order_id']} {item['item_id']}"

    def _candidates(self, goal: Goal) -> str:
        """The orders that hold what the request names, thing after thing: more than one of a thing leads to asking."""
        holders: dict[str, list[str]] = {}
        for order_id in self._user["orders"]:
            for name in order_names(self._base.tables["orders"][order_id]):
                holders.setdefault(name, []).append(order_id)
        places = {name: re.search(rf"the {re.escape(name)}\b", goal.request.lower()) for name in holders}
        said = sorted((place.start(), name) for name, place in places.items() if place)
        return " ".join(f"{name} {order_id}" for _, name in said for order_id in holders[name])

    def _grounds(self, goal: Goal, wanted: Action) -> str:
        """Why just these arguments: the order, the items as they are now, the method, each behind its words."""
        wish = self._view(wanted)
        parts = [self._which_order(goal, wish)] if wish.order else []
        items = wish.items if wish.variants else ()
        said = [f"{self._item(wish, item)} {item['product_id']} {' '.join(item['options'].values())}" for item in items]
        parts.append(f" {AND} ".join(said))
        parts.append(self._which_record(goal, wish))
        return " ".join(part for part in parts if part)

    def _which_order(self, goal: Goal, wish: WishView) -> str:
        order_id = str(wish.action.arguments["order_id"])
        if order_id in goal.request or (goal.change and order_id in goal.change.text):
            return self._header(order_id)
        said = " ".join([goal.request, *(detail.text for detail in goal.details)]).lower()
        elsewhere = set().union(*(order_names(order) for order in wish.other_orders()))
        thing = next((name for name in wish.names() if f"the {name}" in said and name not in elsewhere), "")
        return f"{thing} {self._header(order_id)}"

    def _which_record(self, goal: Goal, wish: WishView) -> str:
        """Where a method or an address comes from, unless the order's own or spoken out."""
        source = _OTHER_ORDER.search(goal.request)
        if source:
            order = next(o for o in wish.other_orders() if source[1] in order_names(o))
            address = address_line(order["address"]) if ADDRESS_FIELDS[0] in wish.action.arguments else ""
            return f"{source[1]} {self._header(order['order_id'])} {address}"
        method_id = wish.action.arguments.get("payment_method_id")
        method = self._user["payment_methods"].get(method_id)
        if method and METHOD_NAMES[method["source"]] in goal.request:
            return f"{method['source']} {method_id}"
        return ""

    def _call(self, action: Action, reasoning: str = "") -> Message:
        self._calls += 1
        call = ToolCall(id=f"call-{self._calls}", name=action.name, arguments=action.arguments)
        return Message(role="assistant", reasoning=reasoning, tool_calls=(call,))


def _say(act: Act, reasoning: str = "") -> Message:
    return Message(role="assistant", content=act_text(act), reasoning=reasoning.strip())

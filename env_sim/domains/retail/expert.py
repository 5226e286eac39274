"""The embedded expert: solves a task in dialogue, for students to imitate.

It may look at the reference for *what* to write; *when* to look up, ask, confirm, refuse or act follows from what the
user has said alone. Its reasoning is short and made to be learnt: it repeats the words of a record and then the id
that stands behind them, so each id that it uses is found by copying what follows the same words.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from env_sim.compact import AND
from env_sim.dialogue import Ask, Confirm, Deny, Done
from env_sim.domains.retail.compact import ADDRESS_FIELDS, LIST_END, address_line
from env_sim.domains.retail.explorer import TRANSFER, product_ids
from env_sim.domains.retail.lexicon import HOME_ADDRESS, KINDS, in_other_words
from env_sim.domains.retail.views import METHOD_NAMES, WishView, order_names, values, view
from env_sim.planned_policy import PlannedPolicy, say
from env_sim.world import Database
from schemas import Action, Goal, Message, Task

_ORDER_ID = re.compile(r"#W\d{7}")
_OTHER_ORDER = re.compile(r"of my order with the ([\w -]+?)(?=[.?!]| and |,|$)")
_BEHIND_THING = re.compile(r" (?:for|to) ")


class Expert(PlannedPolicy):
    """Message-level policy; one per episode."""

    def __init__(self, task: Task, base: Database) -> None:
        """Plan over the task's scenario."""
        super().__init__()
        self._task = task
        self._base = base
        self._user = base.tables["users"][task.scenario.identity.user_id]
        self._seen: set[str] = set()
        self._noticed = ""

    def act(self, messages: Sequence[Message]) -> Message:
        """The plan's next message, with what was noticed before it."""
        message = super().act(messages)
        if self._noticed:
            message = message.model_copy(update={"reasoning": f"{self._noticed}{message.reasoning}".strip()})
            self._noticed = ""
        return message

    def _talk(self) -> Iterator[Message]:
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
                yield say(Done())

    def _authenticate(self) -> Iterator[Message]:
        who = self._task.scenario.identity
        if "my email is" not in self._heard and "my name is" not in self._heard:
            yield say(Ask("identity"))
        if who.email:
            yield self._call(Action(name="find_user_id_by_email", arguments={"email": who.email}))
        else:
            names = {"first_name": who.first_name, "last_name": who.last_name, "zip": who.zip}
            yield self._call(Action(name="find_user_id_by_name_zip", arguments={**names}))
        yield self._call(Action(name="get_user_details", arguments={"user_id": who.user_id}))

    def _refuse(self, goal: Goal) -> Iterator[Message]:
        named = _ORDER_ID.findall(goal.request)
        yield from self._look_at(named)
        yield say(Deny(), " ".join(self._header(order_id) for order_id in named))

    def _fulfil(self, goal: Goal, wanted: Action) -> Iterator[Message]:
        named = _ORDER_ID.findall(goal.request)
        needs_order = "order_id" in wanted.arguments
        searches = (needs_order and not named) or _OTHER_ORDER.search(goal.request)
        yield from self._look_at(named)
        if searches:
            yield from self._search(goal)
        topics = {detail.topic for detail in goal.details}
        if "order" in topics or goal.remarks:
            yield say(Ask("order"))
        if "item" in topics:
            yield say(Ask("item"), self._of_one_kind(goal, wanted))
        if needs_order:
            yield from self._look_at_products(wanted)
        if "variant" in topics:
            yield say(Ask("variant"))
        yield from self._agree(goal, wanted)
        yield self._call(goal.accepted or wanted)

    def _agree(self, goal: Goal, wanted: Action) -> Iterator[Message]:
        """List until the user says yes: a late hint, a new mind and an evasive answer each ask for one more listing."""
        listed = self._guess(goal, wanted) if goal.remarks else wanted
        yield say(Confirm(listed), self._grounds(goal, listed))
        if goal.change or goal.remarks:
            yield from self._look_at(_ORDER_ID.findall(self._heard))
            listed = goal.accepted or wanted
            yield say(Confirm(listed), self._grounds(goal, listed))
        if goal.hesitation:
            yield say(Confirm(listed), self._grounds(goal, listed))

    def _guess(self, goal: Goal, wanted: Action) -> Action:
        """The wish on the first order that fits what was said until now."""
        meant = self._view(wanted)
        assert meant.order is not None
        orders = [self._base.tables["orders"][order_id] for order_id in self._user["orders"]]
        needed = {item["name"].lower() for item in meant.items}
        needed |= {name for name in meant.names() if f"the order with the {name}" in goal.request}
        fitting = (o for o in orders if o["status"] == meant.order["status"] and needed <= order_names(o))
        order = next(fitting, meant.order)
        arguments = {**wanted.arguments, "order_id": order["order_id"]}
        if meant.items:
            by_name = {item["name"]: item["item_id"] for item in order["items"]}
            arguments["item_ids"] = [by_name[item["name"]] for item in meant.items]
        paid = [o["payment_history"][0]["payment_method_id"] for o in (meant.order, order)]
        if arguments.get("payment_method_id") == paid[0]:
            arguments["payment_method_id"] = paid[1]
        return Action(name=wanted.name, arguments=arguments)

    def _of_one_kind(self, goal: Goal, wanted: Action) -> str:
        """The things of the order that the request can mean."""
        kind = next(kind for kind in KINDS if f"the {kind}" in goal.request)
        names = [name for name in self._view(wanted).names() if name in KINDS[kind]]
        return f"{kind} {' '.join(names)}"

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
        parts.append(_other_words(goal, wish))
        parts.append(self._which_record(goal, wish))
        return " ".join(part for part in parts if part)

    def _which_order(self, goal: Goal, wish: WishView) -> str:
        order_id = str(wish.action.arguments["order_id"])
        if order_id in goal.request or (goal.change and order_id in goal.change.text):
            return self._header(order_id)
        told = (*goal.details, *goal.remarks)
        said = " ".join([goal.request, *(detail.text for detail in told)]).lower()
        elsewhere = set().union(*(order_names(order) for order in wish.other_orders()))
        named = [name for name in wish.names() if f"the {name}" in said]
        thing = next((name for name in named if name not in elsewhere), named[0] if named and goal.remarks else "")
        return f"{thing} {self._header(order_id)}"

    def _which_record(self, goal: Goal, wish: WishView) -> str:
        """Where a method or an address comes from, unless the order's own or spoken out."""
        source = _OTHER_ORDER.search(goal.request)
        if source:
            thing = _BEHIND_THING.split(source[1])[0]
            orders = [self._base.tables["orders"][order_id] for order_id in self._user["orders"]]
            order = next(order for order in orders if thing in order_names(order))
            address = address_line(order["address"]) if ADDRESS_FIELDS[0] in wish.action.arguments else ""
            return f"{thing} {self._header(order['order_id'])} {address}"
        if HOME_ADDRESS in goal.request:
            return f"{HOME_ADDRESS} {address_line(self._user['address'])}"
        method_id = wish.action.arguments.get("payment_method_id")
        method = self._user["payment_methods"].get(method_id)
        if method and METHOD_NAMES[method["source"]] in goal.request:
            return f"{method['source']} {method_id}"
        return ""


def _other_words(goal: Goal, wish: WishView) -> str:
    """What the request says of the variant in other words, each with the value behind it."""
    said = [
        pair for variant in wish.variants for pair in zip(in_other_words(values(variant)), values(variant), strict=True)
    ]
    return " ".join(f"{other} {value}" for other, value in said if f" {other} " in goal.request and other != value)

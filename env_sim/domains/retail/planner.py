"""A naive solver of generated tasks: proof that the words lead to the goal, without a look at the reference.

It knows the tools, the rules and what the user says; it reads all orders of the user, keeps what fits the words, and
asks when more than one order or variant is left. What still fits after that is counted in `open_choices`. It
understands the grammar's English by the names of records and a few prepositions, not by the grammar's own templates;
free English (tau2's) it does not understand.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from env_sim.dialogue import Act, Ask, Confirm, Deny, Done, act_text
from env_sim.domains.retail.compact import ADDRESS_FIELDS
from schemas import Action, Message, ToolCall

JsonObject = Mapping[str, Any]
_ORDER_ID = re.compile(r"#W\d{7}")
_EMAIL = re.compile(r"[\w.]+@[\w.]+\w")
_NAME_ZIP = re.compile(r"my name is (\w+) ([\w-]+), zip code (\d{5})")
_ADDRESS = re.compile(r"\b(\d+ [A-Z][^,]*), ([^,]+), ([^,]+), ([A-Z]{2}), ([^,]+), (\d{5})")
_OF_OTHER_ORDER = re.compile(r"(?:payment method|address) of my order with the ")
_ALSO_IN_ORDER = re.compile(r"(?:order|one) (?:with|that also has|where i also bought) the ")
_METHODS = {"credit card": "credit_card", "gift card": "gift_card", "paypal": "paypal"}
_STATUS = {
    "cancel_pending_order": "pending",
    "return_delivered_order_items": "delivered",
    "modify_pending_order_address": "pending",
    "modify_pending_order_payment": "pending",
    "exchange_delivered_order_items": "delivered",
    "modify_pending_order_items": "pending",
}


@dataclass(frozen=True)
class _Wish:
    """What words say, before any record is chosen."""

    tool: str
    order_id: str = ""
    items: tuple[str, ...] = ()
    """Names of the things to change or return."""
    targets: tuple[str, ...] = ()
    """The words behind each item: what it shall become."""
    also: tuple[str, ...] = ()
    """Names of things that the order holds too."""
    method: str = ""
    """Kind of payment method."""
    source: str = ""
    """A thing in the order from which a method or an address is taken."""
    reason: str = ""
    address: tuple[str, ...] = ()


class WordPlanner:
    """Message-level policy; one per episode."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.open_choices: list[str] = []
        self._heard = ""
        self._result = ""
        self._calls = 0
        self._refused = False
        self._user: dict[str, Any] = {}
        self._orders: dict[str, dict[str, Any]] = {}
        self._plan = self._talk()

    def act(self, messages: Sequence[Message]) -> Message:
        """The next message; once nothing can be done, a refusal until the user leaves."""
        if messages[-1].role == "tool":
            self._result = messages[-1].content
        else:
            self._heard = messages[-1].content
        return next(self._plan, _say(Deny()))

    def _talk(self) -> Iterator[Message]:
        opening = self._heard
        yield from self._find_user()
        if not self._user:
            return
        for order_id in self._user["orders"]:
            yield self._call("get_order_details", order_id=order_id)
            self._orders[order_id] = json.loads(self._result)
        wishes = opening.split(" also, ")
        while True:
            for text in wishes:
                wish = self._read(text)
                if wish.tool == "transfer_to_human_agents":
                    yield self._call(wish.tool, summary="out of scope")
                    return
                yield from self._fulfil(wish)
            if not self._refused:
                yield _say(Done())
            wishes = [self._heard]

    def _find_user(self) -> Iterator[Message]:
        if not (_EMAIL.search(self._heard) or _NAME_ZIP.search(self._heard)):
            yield _say(Ask("identity"))
        email, names = _EMAIL.search(self._heard), _NAME_ZIP.search(self._heard)
        if email:
            yield self._call("find_user_id_by_email", email=email[0])
        elif names:
            yield self._call("find_user_id_by_name_zip", first_name=names[1], last_name=names[2], zip=names[3])
        if self._result and not self._result.startswith("Error"):
            yield self._call("get_user_details", user_id=self._result)
            self._user = json.loads(self._result)

    def _fulfil(self, wish: _Wish) -> Iterator[Message]:
        """Choose records, ask where words leave a choice, list the action, carry it out; refuse what can't be."""
        self._refused = False
        orders = self._fitting_orders(wish)
        if len(orders) > 1:
            yield _say(Ask("order"))
            told = replace(wish, also=(*wish.also, *self._take_things(_ALSO_IN_ORDER, self._heard)[0]))
            orders = self._fitting_orders(told) or orders
        if not orders and wish.tool in _STATUS:
            self._refused = True
            yield _say(Deny())
            return
        order = self._only("order", orders) if orders else None
        variants: list[str] = []
        for place, item in enumerate(self._items(wish, order)) if wish.targets else ():
            yield self._call("get_product_details", product_id=item["product_id"])
            product = json.loads(self._result)
            fitting = _fitting_variants(product, item, wish.targets[place])
            if len(fitting) != 1:
                yield _say(Ask("variant"))
                fitting = _fitting_variants(product, item, self._heard) or fitting
            variants.append(self._only("variant", fitting))
        action = self._action(wish, order, variants)
        yield _say(Confirm(action))
        if not self._heard.startswith("yes"):
            yield from self._fulfil(self._amended(wish, self._heard))
            return
        yield self._call(action.name, **action.arguments)

    def _amended(self, wish: _Wish, text: str) -> _Wish:
        """The wish after a change of mind: what the new words name replaces what it was."""
        said = self._read(text)
        target = re.search(r"i want (.+)", text)
        return replace(
            wish,
            order_id=said.order_id or wish.order_id,
            reason=said.reason or wish.reason,
            also=() if said.order_id else wish.also,
            targets=(target[1],) if target and wish.targets else wish.targets,
        )

    def _read(self, text: str) -> _Wish:
        """What a text says. Names of things are those that stand in the user's orders."""
        sources, rest = self._take_things(_OF_OTHER_ORDER, text)
        also, rest = self._take_things(_ALSO_IN_ORDER, rest)
        places = [(found.start(), found.end(), name) for name in self._names() if (found := _thing(name, rest))]
        places.sort()
        ends = [*(start for start, _, _ in places[1:]), len(rest)][: len(places)]
        behind = [rest[end:stop] for (_, end, _), stop in zip(places, ends, strict=True)]
        order_id, address = _ORDER_ID.search(text), _ADDRESS.search(text)
        wish = _Wish(
            tool="",
            order_id=order_id[0] if order_id else "",
            items=tuple(name for _, _, name in places),
            also=also,
            method=next((kind for words, kind in _METHODS.items() if f"my {words}" in text), ""),
            source=sources[0] if sources else "",
            reason="ordered by mistake" if "mistake" in text else "no longer needed" if " need" in text else "",
            address=address.groups() if address else (),
        )
        tool = self._tool(text, wish)
        if tool in ("exchange_delivered_order_items", "modify_pending_order_items"):
            wish = replace(wish, targets=tuple(behind))
        return replace(wish, tool=tool)

    def _tool(self, text: str, wish: _Wish) -> str:
        """The write that the words ask for. What is changed of a thing depends on whether it has arrived."""
        if "address" in text or wish.address:
            profile = "profile" in text or "default" in text
            return "modify_user_address" if profile else "modify_pending_order_address"
        if "cancel" in text:
            return "cancel_pending_order"
        if "return" in text or "take back" in text:
            return "return_delivered_order_items"
        if wish.items:
            asked = "exchange_delivered_order_items" if "exchange" in text or "swap" in text else ""
            return asked or "modify_pending_order_items"
        return "modify_pending_order_payment" if wish.method or wish.source else "transfer_to_human_agents"

    def _names(self) -> set[str]:
        return {item["name"].lower() for order in self._orders.values() for item in order["items"]}

    def _take_things(self, before: re.Pattern[str], text: str) -> tuple[tuple[str, ...], str]:
        """Names that stand behind these words, and the text without words and names."""
        found, rest = [], text
        for match in reversed(list(before.finditer(text))):
            name = max((name for name in self._names() if text.startswith(name, match.end())), key=len, default="")
            if name:
                found.append(name)
                rest = rest[: match.start()] + rest[match.end() + len(name) :]
        return tuple(found), rest

    def _fitting_orders(self, wish: _Wish) -> list[str]:
        """The user's orders that the words can mean and the rules allow."""
        needed = {*wish.items, *wish.also}
        return [
            order_id
            for order_id, order in self._orders.items()
            if wish.order_id in ("", order_id)
            and order["status"] == _STATUS.get(wish.tool)
            and needed <= {item["name"].lower() for item in order["items"]}
        ]

    def _items(self, wish: _Wish, order_id: str | None) -> list[JsonObject]:
        """The items that the words name, in their order."""
        items = self._orders[order_id]["items"] if order_id else []
        alike = {name: [item for item in items if item["name"].lower() == name] for name in wish.items}
        return [self._only(f"item {name}", same) for name, same in alike.items()]

    def _action(self, wish: _Wish, order_id: str | None, variants: list[str]) -> Action:
        source = self._only("source", [o for o in self._orders if o != order_id and wish.source in self._things(o)])
        record = self._orders[source]["address"] if source is not None else {}
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

    def _method(self, wish: _Wish, order_id: str) -> str:
        """The method of the kind that the words name, else the one by which the order was paid."""
        if not wish.method:
            return self._orders[order_id]["payment_history"][0]["payment_method_id"]
        methods = self._user["payment_methods"].items()
        return self._only("payment", [key for key, method in methods if method["source"] == wish.method])

    def _things(self, order_id: str) -> set[str]:
        return {item["name"].lower() for item in self._orders[order_id]["items"]}

    def _only(self, topic: str, fitting: list[Any]) -> Any:
        """The one record that fits; of several the first, noted as an open choice."""
        if len(fitting) > 1:
            self.open_choices.append(f"{len(fitting)} {topic} records fit the words")
        return fitting[0] if fitting else None

    def _call(self, name: str, **arguments: Any) -> Message:
        self._calls += 1
        call = ToolCall(id=f"call-{self._calls}", name=name, arguments=arguments)
        return Message(role="assistant", tool_calls=(call,))


def _thing(name: str, text: str) -> re.Match[str] | None:
    return re.search(rf"\bthe {re.escape(name)}\b", text)


def _fitting_variants(product: JsonObject, item: JsonObject, words: str) -> list[str]:
    """Available variants that the words can mean: all options named, or one named and the others kept."""
    others = [v for v in product["variants"].values() if v["available"] and v["item_id"] != item["item_id"]]
    if "same" in words:
        return [v["item_id"] for v in others if _one_change(item, v, words)]
    return [v["item_id"] for v in others if f"the {' '.join(v['options'].values())} one".lower() in words]


def _one_change(item: JsonObject, variant: JsonObject, words: str) -> bool:
    """Whether the variant differs in one option, and in that has the value that the words put behind `a` or `but`."""
    changed = [value.lower() for key, value in variant["options"].items() if item["options"].get(key) != value]
    # Where it stands matters: `one` is an option value as well as a pronoun.
    return len(changed) == 1 and bool(
        re.search(rf"\b(?:a {re.escape(changed[0])} one|but {re.escape(changed[0])})\b", words)
    )


def _say(act: Act) -> Message:
    return Message(role="assistant", content=act_text(act))

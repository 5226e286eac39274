"""What a customer's words say, before any record is chosen: the grammar's English, read without a look at the task.

It understands the names of records, kinds of things and other words for values (`lexicon`), and a few prepositions;
not the grammar's own templates. Free English (tau2's) it does not understand.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from env_sim.domains.retail.lexicon import HOME_ADDRESS, KINDS, TOLD_REASONS, value_of

__all__ = ["Reader", "Wish", "fits", "fitting_variants"]

JsonObject = Mapping[str, Any]
_ORDER_ID = re.compile(r"#W\d{7}")
_ADDRESS = re.compile(r"\b(\d+ [A-Z][^,]*), ([^,]+), ([^,]+), ([A-Z]{2}), ([^,]+), (\d{5})")
_OF_OTHER_ORDER = re.compile(r"(?:payment method|address) of my order with the ")
_ALSO_IN_ORDER = re.compile(r"(?:order|one) (?:with|that also has|where i also bought) the ")
_METHODS = {"credit card": "credit_card", "gift card": "gift_card", "paypal": "paypal"}
_SWAPS = ("exchange_delivered_order_items", "modify_pending_order_items")


@dataclass(frozen=True)
class Wish:
    """What words say, before any record is chosen."""

    tool: str
    order_id: str = ""
    items: tuple[str, ...] = ()
    """Names or kinds of the things to change or return."""
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
    goes_home: bool = False
    """The address is the one in the profile."""

    def each(self) -> "Iterator[Wish]":
        """One wish per item."""
        for place, item in enumerate(self.items):
            yield replace(self, items=(item,), targets=self.targets[place : place + 1])


class Reader:
    """Reads texts against the user's orders."""

    def __init__(self, orders: Mapping[str, JsonObject]) -> None:
        """Keep a view of the orders known; more may come."""
        self._orders = orders

    def read(self, text: str) -> Wish:
        """What a text says. Names of things are those that stand in the user's orders."""
        sources, rest = self._take_things(_OF_OTHER_ORDER, text)
        also, rest = self._take_things(_ALSO_IN_ORDER, rest)
        places = [(found.start(), found.end(), name) for name in self._names() if (found := _thing(name, rest))]
        places.sort()
        ends = [*(start for start, _, _ in places[1:]), len(rest)][: len(places)]
        behind = [rest[end:stop] for (_, end, _), stop in zip(places, ends, strict=True)]
        order_id, address = _ORDER_ID.search(text), _ADDRESS.search(text)
        wish = Wish(
            tool="",
            order_id=order_id[0] if order_id else "",
            items=tuple(name for _, _, name in places),
            also=also,
            method=next((kind for words, kind in _METHODS.items() if f"my {words}" in text), ""),
            source=sources[0] if sources else "",
            reason=_reason(text),
            address=address.groups() if address else (),
            goes_home=HOME_ADDRESS in text,
        )
        tool = _tool(text, wish)
        return replace(wish, tool=tool, targets=tuple(behind) if tool in _SWAPS else ())

    def told(self, wish: Wish, text: str) -> Wish:
        """The wish with what an answer or a remark adds: another thing in the order."""
        return replace(wish, also=(*wish.also, *self._take_things(_ALSO_IN_ORDER, text)[0]))

    def amended(self, wish: Wish, text: str) -> Wish:
        """The wish after words in place of a yes: what they name replaces what it was, a hint adds to it."""
        said = self.read(text)
        target = re.search(r"i want ([^.]+)", text)
        return replace(
            wish,
            order_id=said.order_id or wish.order_id,
            reason=said.reason or wish.reason,
            also=() if said.order_id else (*wish.also, *said.also),
            targets=(target[1],) if target and wish.targets else wish.targets,
        )

    def named(self, text: str) -> str:
        """The thing that a text names."""
        return next((name for name in sorted(self._names()) if _thing(name, text)), "")

    def _names(self) -> set[str]:
        return {item["name"].lower() for order in self._orders.values() for item in order["items"]} | set(KINDS)

    def _take_things(self, before: re.Pattern[str], text: str) -> tuple[tuple[str, ...], str]:
        """Names that stand behind these words, and the text without words and names."""
        found, rest = [], text
        for match in reversed(list(before.finditer(text))):
            name = max((name for name in self._names() if text.startswith(name, match.end())), key=len, default="")
            if name:
                found.append(name)
                rest = rest[: match.start()] + rest[match.end() + len(name) :]
        return tuple(found), rest


def fits(name: str, item_name: str) -> bool:
    """Whether a name, or a kind, can mean a thing."""
    return name == item_name or item_name in KINDS.get(name, ())


def fitting_variants(product: JsonObject, item: JsonObject, words: str) -> list[str]:
    """Available variants that the words can mean: all options named, or one named and the others kept."""
    words = " ".join(value_of(word) for word in words.split())
    others = [v for v in product["variants"].values() if v["available"] and v["item_id"] != item["item_id"]]
    if "same" in words:
        return [v["item_id"] for v in others if _one_change(item, v, words)]
    return [v["item_id"] for v in others if f"the {' '.join(v['options'].values())} one".lower() in words]


def _reason(text: str) -> str:
    for reason, told in TOLD_REASONS.items():
        if any(words in text for words in told):
            return reason
    return "ordered by mistake" if "mistake" in text else "no longer needed" if " need" in text else ""


def _tool(text: str, wish: Wish) -> str:
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


def _thing(name: str, text: str) -> re.Match[str] | None:
    return re.search(rf"\bthe {re.escape(name)}\b", text)


def _one_change(item: JsonObject, variant: JsonObject, words: str) -> bool:
    """Whether the variant differs in one option, and in that has the value that the words put behind `a` or `but`."""
    changed = [value.lower() for key, value in variant["options"].items() if item["options"].get(key) != value]
    # Where it stands matters: `one` is an option value as well as a pronoun.
    return len(changed) == 1 and bool(
        re.search(rf"\b(?:a {re.escape(changed[0])} one|but {re.escape(changed[0])})\b", words)
    )

"""A naive agent: it does all that plain words ask for, and nothing of what a failure pattern asks for beyond them.

It takes a record that fits, the first or the last, and never asks which; it passes values on as they are said, looks
no further than the record at hand, minds one wish at a time, lists an action once, and hands over when a tool refuses.
A task has no difficulty in it if this agent solves it whichever record it takes.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from env_sim.conduct import says_yes
from env_sim.dialogue import Confirm, Done
from env_sim.domains.retail.compact import ADDRESS_FIELDS
from env_sim.domains.retail.lexicon import HOME_ADDRESS, TOLD_REASONS
from env_sim.domains.retail.patterns import parts_of
from env_sim.domains.retail.planner import STATUS, JsonObject, WordPlanner
from env_sim.domains.retail.reading import Wish
from env_sim.planned_policy import say
from env_sim.task_kits import Guess
from schemas import Message

__all__ = ["NaiveAgent", "naive_agent"]

_SENTENCE_END = re.compile(r"(?<=[.?!]) ")
_ASIDE = re.compile(r"\b(?:also|too)\b")
_NAGGING = ("you have not done it yet", "no. ", "are you sure")


def naive_agent(pattern: str, guess: Guess) -> "NaiveAgent":
    """The naive agent that a pattern is to defeat: it does not search, or count, where that is the difficulty."""
    names = {part.name for part in parts_of(pattern)}
    return NaiveAgent(guess, searches="lost_in_search" not in names, counts="mixed_items" not in names)


class NaiveAgent(WordPlanner):
    """Message-level policy; one per episode."""

    def __init__(self, guess: Guess = "first", *, searches: bool = True, counts: bool = True) -> None:
        """Choose its habits.

        Args:
            guess: Which of several fitting records it takes.
            searches: Whether it looks through all orders when none is numbered, or at one.
            counts: Whether it minds all things of a wish, or one.
        """
        super().__init__()
        self._place = 0 if guess == "first" else -1
        self._searches, self._counts = searches, counts

    def _talk(self) -> Iterator[Message]:
        request = self._heard.split(" also, ")[0]
        yield from self._look_up()
        while self._user:
            yield from self._fulfil(self._as_said(request))
            yield say(Done())
            while self._heard.startswith(_NAGGING):
                yield say(Done())
            request = self._heard

    def _as_said(self, text: str) -> Wish:
        """The wish without what stands beside it, values as they are said, no record but the one at hand."""
        request = " ".join(sentence for sentence in _SENTENCE_END.split(text) if not _ASIDE.search(sentence))
        wish = self._reader.read(request)
        if not self._counts:
            wish = list(wish.each())[self._place]
        told = [words for texts in TOLD_REASONS.values() for words in texts if words in request]
        address = (HOME_ADDRESS,) if wish.goes_home else wish.address
        return replace(wish, reason=told[0] if told else wish.reason, address=address, goes_home=False, source="")

    def _fulfil(self, wish: Wish) -> Iterator[Message]:
        """List the action once; without a yes, or when a record is missing or a tool refuses, it is over."""
        orders = self._fitting_orders(wish)
        if (wish.tool not in STATUS and wish.tool != "modify_user_address") or (wish.tool in STATUS and not orders):
            yield self._ask_tool("transfer_to_human_agents", summary="out of scope")
            return
        order = self._only("order", orders) if orders else None
        variants: list[str] = []
        for item, words in zip(self._items(wish, order), wish.targets, strict=False):
            yield self._ask_tool("get_product_details", product_id=item["product_id"])
            fitting = _variants_as_said(json.loads(self._result), item, words)
            if not fitting:
                yield self._ask_tool("transfer_to_human_agents", summary="no such variant")
                return
            variants.append(self._only("variant", fitting))
        action = self._action(self._with_address(wish, order), order, variants)
        yield say(Confirm(action))
        if not says_yes(self._heard):
            return
        yield self._call(action)
        if self._result.startswith("Error"):
            yield self._ask_tool("transfer_to_human_agents", summary="the tool refuses")

    def _fitting_orders(self, wish: Wish) -> list[str]:
        """The numbered order whatever its state; else those that hold all the things, or one of them."""
        if wish.order_id:
            return [wish.order_id]
        known = list(self._orders)
        known = known if self._searches else known[self._place :][:1]
        open_orders = [key for key in known if self._orders[key]["status"] == STATUS.get(wish.tool)]
        names = (*wish.items, *wish.also)
        holding = [[bool(self._alike(name, key)) for name in names] for key in open_orders]
        return [key for key, held in zip(open_orders, holding, strict=True) if all(held)] or [
            key for key, held in zip(open_orders, holding, strict=True) if any(held)
        ]

    def _items(self, wish: Wish, order_id: str | None) -> list[JsonObject]:
        """A thing that is not in the order is taken from another one."""
        places = [order_id, *self._orders]
        found = ([item for place in places for item in self._alike(name, place)] for name in wish.items)
        held = [self._alike(name, order_id) for name in wish.items]
        return [self._only("item", here or anywhere) for here, anywhere in zip(held, found, strict=True)]

    def _with_address(self, wish: Wish, order_id: str | None) -> Wish:
        """Where none is said, the address of the record at hand."""
        if "address" not in wish.tool or wish.address:
            return wish
        record = self._orders[order_id]["address"] if order_id else self._user["address"]
        return replace(wish, address=tuple(record[name] for name in ADDRESS_FIELDS))

    def _only(self, topic: str, fitting: list[Any]) -> Any:
        """The one that it takes."""
        return fitting[self._place] if fitting else None


def _variants_as_said(product: JsonObject, item: JsonObject, words: str) -> list[str]:
    """Variants with all options as they are said, or with the one that is; any when none is."""
    others = [v for v in product["variants"].values() if v["available"] and v["item_id"] != item["item_id"]]
    one = re.search(r"\ba (\S+) one\b|\bbut (\S+)\b", words)
    if one:
        return [v["item_id"] for v in others if (one[1] or one[2]) in map(str.lower, v["options"].values())]
    if re.search(r"\bthe .+ one\b", words):
        return [v["item_id"] for v in others if f"the {' '.join(v['options'].values())} one".lower() in words]
    return [v["item_id"] for v in others]

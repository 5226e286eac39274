"""A draft: what a user wants and how it will be put, before words are drawn. Operators edit it, `say` words it.

An operator changes how a wish is put, never the wish. Each part of a wording is put by one operator at most; which
operators go together is told by the table in `patterns`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from env_sim.domains.retail import wording
from env_sim.domains.retail.explorer import TRANSFER
from env_sim.domains.retail.views import WishView, plain_phrases
from schemas import Change, Detail, Goal, Remark

__all__ = ["Draft", "Edit", "Operator", "Said", "Wording", "on_one_wish", "say"]

Phrase = str | tuple[str, ...]


@dataclass(frozen=True)
class Wording:
    """How one wish is put."""

    wish: WishView
    first: WishView | None = None
    """Wished for until the first listing, when the wish takes its place."""
    phrases: Mapping[str, Phrase] = field(default_factory=dict)
    """Fields of `wording.Phrases` that are not said plainly."""
    own_thing: str = ""
    """What only the meant order holds; tells it from orders that fit as well."""
    own_thing_told: Literal["at once", "when asked", "late"] = "at once"
    """Late: at the first listing, by a user who does not know it when asked."""
    details: tuple[Detail, ...] = ()
    hesitation: str | None = None

    def put(self, **phrases: Phrase) -> "Wording":
        """With some phrases said otherwise."""
        return replace(self, phrases={**self.phrases, **phrases})


@dataclass(frozen=True)
class Draft:
    """What the user wants, and how."""

    wordings: tuple[Wording, ...]
    refused: str = ""
    """A request that the rules refuse, raised before the wishes."""
    raised_in_opening: int = 1
    many_wishes: bool = False
    """Several wishes are meant: without, operators want just one."""
    many_items: bool = False
    """Several items in one wish are meant."""
    one_sentence: bool = False
    """All wishes are said as if they were one."""

    @classmethod
    def of(cls, wishes: Sequence[WishView]) -> "Draft":
        """Nothing but the wishes."""
        return cls(tuple(Wording(wish) for wish in wishes))

    def is_single(self) -> bool:
        """Whether it holds one wish on one thing, but for what is meant to be several."""
        counts = [len(w.wish.items) for w in self.wordings]
        return (self.many_wishes or len(counts) == 1) and (self.many_items or max(counts) <= 1)


Operator = Callable[[Draft, Random], Draft | None]
"""Writes a difficulty into a draft; None when the wishes don't allow it."""
Edit = Callable[[Wording, Random], Wording | None]


@dataclass(frozen=True)
class Said:
    """A draft in words."""

    goals: tuple[Goal, ...]
    opening: str
    """The request with which the talk begins."""
    raised_in_opening: int
    unknown: tuple[str, ...]


def on_one_wish(edit: Edit) -> Operator:
    """An operator that puts one wish otherwise: the only one, or the first that allows it."""

    def operator(draft: Draft, rng: Random) -> Draft | None:
        if not draft.is_single():
            return None
        for place, wording_ in enumerate(draft.wordings):
            edited = edit(wording_, rng)
            if edited is not None:
                wordings = (*draft.wordings[:place], edited, *draft.wordings[place + 1 :])
                return replace(draft, wordings=wordings)
        return None

    return operator


def say(draft: Draft, rng: Random) -> Said | None:
    """Draw the words; None when words can't single a wish out."""
    goals = [_goal(wording_, rng) for wording_ in draft.wordings]
    found = [goal for goal in goals if goal is not None]
    if len(found) < len(goals):
        return None
    if draft.one_sentence:
        request = _one_request(draft.wordings, rng)
        found = [goal.model_copy(update={"request": request}) for goal in found]
    if draft.refused:
        second = found[0].model_copy(update={"request": wording.fallback(found[0].request, rng)})
        found = [Goal(request=draft.refused), second, *found[1:]]
    raised = [goal.request for goal in found[: draft.raised_in_opening]]
    return Said(
        goals=tuple(found),
        opening=" also, ".join(dict.fromkeys(raised)),
        raised_in_opening=draft.raised_in_opening,
        unknown=("order",) if any(w.own_thing_told == "late" for w in draft.wordings) else (),
    )


def _goal(put: Wording, rng: Random) -> Goal | None:
    """One wish in words. The order of the draws is part of every stored task."""
    asked = put.first or put.wish
    plain = plain_phrases(asked, rng)
    if plain is None:
        return None
    request = wording.request(asked.tool, replace(plain, **put.phrases), rng)  # type: ignore[arg-type]
    details, remarks = put.details, ()
    if put.own_thing:
        hint = wording.hint(put.own_thing, rng)
        if put.own_thing_told == "at once":
            request = f"{request} {hint}"
        elif put.own_thing_told == "when asked":
            details = (Detail(topic="order", text=hint), *details)
        else:
            remarks = (Remark(text=hint),)
    change = None
    if put.first:
        phrases = plain_phrases(put.wish, rng)
        if phrases is None:
            return None
        better = f"i want {phrases.targets[0]}." if put.wish.variants else f"i meant {phrases.order}, {phrases.reason}."
        change = Change(text=wording.change_of_mind(better, rng), action=put.wish.action)
    action = asked.action if asked.tool != TRANSFER.name else None
    return Goal(
        request=request, action=action, details=details, change=change, remarks=remarks, hesitation=put.hesitation
    )


def _one_request(wordings: Sequence[Wording], rng: Random) -> str:
    """The wishes as one sentence about things of `my orders`; they are of one kind and paid as before."""
    parts = [replace(plain, **w.phrases) for w in wordings if (plain := plain_phrases(w.wish, rng))]  # type: ignore[arg-type]
    phrases = wording.Phrases(
        order="my orders",
        items=tuple(item for part in parts for item in part.items),
        targets=tuple(target for part in parts for target in part.targets),
    )
    return wording.request(wordings[0].wish.tool, phrases, rng)

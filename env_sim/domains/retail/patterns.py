"""The failure patterns of retail, as data: a name, what fails, and the operator that writes it into a task.

An operator edits a draft of what the user says, or returns None when the wishes don't allow it (no second order, one
option only). The wishes themselves, and so the feasible solution, are never touched. Operators compose: `a+b` is both
in one task, in the order of the table, where no two of them touch the same part. To add a pattern: write an operator
(`hard_orders`, `hard_things`, `hard_talk`), add one entry to `PATTERNS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from random import Random

from env_sim.domains.retail import hard_orders, hard_talk, hard_things
from env_sim.domains.retail.draft import Draft, Operator, on_one_wish
from env_sim.domains.retail.views import WishView
from schemas import ConfigError, Intent

__all__ = ["JOIN", "PATTERNS", "PLAIN", "Pattern", "draft_of", "intent_of", "pairs", "parts_of", "why_not"]

PLAIN = "none"
JOIN = "+"
"""Between the names of patterns that are written into one task."""

_SWAPS = frozenset({"exchange_delivered_order_items", "modify_pending_order_items"})
_ITEMS = _SWAPS | {"return_delivered_order_items"}
_CANCEL = frozenset({"cancel_pending_order"})
_ADDRESS = frozenset({"modify_pending_order_address"})
_PAYMENT = frozenset({"modify_pending_order_payment"})
_ORDERS = _ITEMS | _CANCEL | _ADDRESS | _PAYMENT
_WRITES = _ORDERS | {"modify_user_address"}


@dataclass(frozen=True)
class Pattern:
    """One way to fail."""

    name: str
    description: str
    """What the agent does wrong, for judges and people."""
    needs: str
    """What a source trajectory must hold."""
    edit: str
    """What is written into the task."""
    operator: Operator
    touches: frozenset[str]
    """Parts of the task that it puts otherwise: two patterns that share one don't go together."""
    tools: frozenset[str] = _WRITES
    """Wishes that it can be written into; two patterns without a common one don't go together either."""
    intent: Intent = Intent.AMBIGUOUS


def _parts(words: str) -> frozenset[str]:
    return frozenset(words.split())


PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        PLAIN, "no difficulty was written in: one wish, the order by its number, the variant by all its options",
        "one wish on at most one thing", "nothing",
        hard_talk.plain, _parts("all"), intent=Intent.PLAIN,
    ),
    Pattern(
        "ended_early", "ends before all wishes are done",
        "two wishes on one thing each", "both wishes are raised in the opening",
        hard_talk.ended_early, _parts("wishes"), intent=Intent.PLAIN,
    ),
    Pattern(
        "mixed_items", "changes or returns fewer or other items than asked for in one order",
        "one wish on several things of an order", "all things are named in one sentence",
        hard_talk.mixed_items, _parts("wishes item variant"), _ITEMS, Intent.PLAIN,
    ),
    Pattern(
        "mixed_orders", "puts things of several orders into one write",
        "two wishes of one kind on one thing each, paid as before, in orders that no other thing of this name is in",
        "one sentence names both things as things of `my orders`",
        hard_orders.mixed_orders, _parts("wishes order item method"), _ITEMS,
    ),
    Pattern(
        "wrong_order", "acts on the wrong one of several orders that hold the same product, although a hint tells "
        "which one is meant",
        "another order of the same status holds the same thing, and something stands in the meant order alone",
        "the order is named by the common thing, a hint behind it names the other one",
        on_one_wish(hard_orders.wrong_order), _parts("order item"), _ORDERS,
    ),
    Pattern(
        "order_not_asked", "guesses among several orders instead of asking which one is meant",
        "as for wrong_order", "the hint is told when asked for",
        on_one_wish(hard_orders.order_not_asked), _parts("order item"), _ORDERS,
    ),
    Pattern(
        "hint_late", "keeps to its first guess at the order although a hint given later tells which one is meant",
        "as for wrong_order, and the other order could be listed",
        "the user does not know the order when asked, and remembers the hint when an action is listed",
        on_one_wish(hard_orders.hint_late), _parts("order item"), _ORDERS,
    ),
    Pattern(
        "lost_in_search", "repeats calls or gives up while searching the order among many",
        "three orders or more, a thing that stands in the meant one alone", "the order is named by this thing",
        on_one_wish(hard_orders.lost_in_search), _parts("order item"), _ORDERS,
    ),
    Pattern(
        "wrong_variant", "picks a variant that misses an option the user wants kept",
        "a variant that differs in one option from what the user has, another for sale with that option",
        "only this option is said, with `everything else the same`",
        on_one_wish(hard_things.wrong_variant), _parts("variant"), _SWAPS,
    ),
    Pattern(
        "variant_not_asked", "picks some variant instead of asking which one is wanted",
        "one thing becomes another variant", "`a different one` is wanted, which one is told when asked for",
        on_one_wish(hard_things.variant_not_asked), _parts("variant"), _SWAPS,
    ),
    Pattern(
        "ambiguous_name", "takes some thing that fits a name instead of asking which one is meant",
        "the order holds several things of one kind (boots and sandals)",
        "the thing is named by its kind, its own name is told when asked for",
        on_one_wish(hard_things.ambiguous_name), _parts("item"), _ITEMS,
    ),
    Pattern(
        "invalid_value", "passes a value on in the user's words, which the tool refuses",
        "a cancellation; a variant with an option that other words name; an order sent to the address in the profile",
        "the reason is told and not named, the option has another word, the address is `my home address`",
        on_one_wish(hard_things.invalid_value), _parts("reason variant address"), _SWAPS | _CANCEL | _ADDRESS,
    ),
    Pattern(
        "wrong_payment", "takes the payment method from the wrong record",
        "a method that is not the order's own and by which another order was paid",
        "the method is named by a thing in that other order",
        on_one_wish(hard_things.wrong_payment), _parts("method"), _ITEMS | _PAYMENT,
    ),
    Pattern(
        "wrong_address", "takes the address from the wrong record",
        "an address to which another order goes", "the address is named by a thing in that other order",
        on_one_wish(hard_things.wrong_address), _parts("address"), _ADDRESS | {"modify_user_address"},
    ),
    Pattern(
        "stale_intent", "carries out the first wish although the user changed it",
        "a cancellation or a new variant, and another one that would be possible as well",
        "the other one is wished for first; the user changes its mind when it is listed",
        on_one_wish(hard_talk.stale_intent), _parts("mind variant reason"), _SWAPS | _CANCEL, Intent.CHANGING,
    ),
    Pattern(
        "infeasible_pushed", "pushes a request that the rules refuse, or gives up instead of taking the alternative",
        "an order that has left (cancel it) or not arrived (return of it)",
        "the refused wish is raised first, the feasible one after the refusal",
        hard_talk.infeasible_pushed, _parts("wishes order"), intent=Intent.INFEASIBLE,
    ),
    Pattern(
        "not_confirmed", "never obtains a yes: drops or does what was listed when the answer is neither yes nor no",
        "a write", "the first listing is answered evasively, the same listing again with yes",
        on_one_wish(hard_talk.not_confirmed), _parts("answer"), intent=Intent.PLAIN,
    ),
)  # fmt: skip
"""In the order in which operators are applied: those that allow several wishes or things first."""

_BY_NAME = {pattern.name: pattern for pattern in PATTERNS}
_STRONGEST = (Intent.INFEASIBLE, Intent.CHANGING, Intent.AMBIGUOUS, Intent.PLAIN)


@cache
def parts_of(name: str) -> tuple[Pattern, ...]:
    """The patterns in a name, one or several joined with `+`.

    Raises:
        ConfigError: one of them is not in the table, or they are not in the order of the table.
    """
    names = name.split(JOIN)
    unknown = [part for part in names if part not in _BY_NAME]
    if unknown:
        raise ConfigError(
            f"pattern[{name}]: expected one of {sorted(_BY_NAME)} or several joined with {JOIN}, "
            f"got unknown pattern {unknown[0]!r}; add it to the domain's pattern table"
        )
    ordered = sorted(set(names), key=list(_BY_NAME).index)
    if ordered != names:
        raise ConfigError(
            f"pattern[{name}]: expected each once in the order of the table, got another order; "
            f"write {JOIN.join(ordered)}"
        )
    return tuple(_BY_NAME[part] for part in names)


def why_not(name: str) -> str:
    """Why these patterns don't go together, naming what they share or lack; empty when they do."""
    for one, other in combinations(parts_of(name), 2):
        if {one.name, other.name} & {PLAIN}:
            return f"{PLAIN} stands alone"
        shared = sorted(one.touches & other.touches)
        if shared:
            return f"{one.name} and {other.name} both put the {shared[0]} otherwise"
        if not one.tools & other.tools:
            return f"{one.name} and {other.name} have no kind of wish in common"
    return ""


def pairs() -> list[str]:
    """Names of all compositions of two patterns that go together."""
    names = (JOIN.join((one.name, other.name)) for one, other in combinations(PATTERNS[1:], 2))
    return [name for name in names if not why_not(name)]


def draft_of(name: str, wishes: Sequence[WishView], rng: Random) -> Draft | None:
    """The wishes with a pattern, or several, written in; None when they or the patterns don't allow it.

    Raises:
        ConfigError: unknown pattern.
    """
    operators = _operators(name)
    draft: Draft | None = Draft.of(wishes) if operators else None
    for operator in operators:
        draft = draft and operator(draft, rng)
    return draft


@cache
def _operators(name: str) -> tuple[Operator, ...]:
    """What writes a pattern in; none when its parts don't go together. Asked for each exploration."""
    parts = parts_of(name)
    return () if why_not(name) else tuple(part.operator for part in parts)


def intent_of(name: str) -> Intent:
    """The kind of wish: of several patterns the one that tells most."""
    intents = {pattern.intent for pattern in parts_of(name)}
    return next(intent for intent in _STRONGEST if intent in intents)

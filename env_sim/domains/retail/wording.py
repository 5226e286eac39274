"""The seeded grammar of retail users: how wishes, hints and identities are said.

Pure text: what a phrase refers to was decided before. Every choice is drawn from the caller's `Random`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from schemas import Identity


@dataclass(frozen=True)
class Phrases:
    """The parts of a request, each already worded."""

    order: str
    """How the order is referred to: `order #W1234567`, `my order`, `the order with the lamp`."""
    items: tuple[str, ...] = ()
    """Item names."""
    targets: tuple[str, ...] = ()
    """What each item shall become: `the white small one`."""
    method: str = ""
    """How a payment method is referred to: `my paypal`, empty for the original one."""
    reason: str = ""
    address: str = ""


REASONS = {
    "no longer needed": ("i no longer need it", "it is no longer needed", "i do not need it any more"),
    "ordered by mistake": ("i ordered it by mistake", "it was ordered by mistake", "that was a mistake"),
}
REQUESTS: Mapping[str, tuple[str, ...]] = {
    "cancel_pending_order": (
        "i want to cancel {order}, {reason}.",
        "please cancel {order}. {reason}.",
        "can you cancel {order}? {reason}.",
        "{reason}, so please cancel {order}.",
    ),
    "exchange_delivered_order_items": (
        "i want to exchange {pairs} from {order}{pay}.",
        "please exchange {pairs} in {order}{pay}.",
        "could you swap {pairs} in {order}{pay}?",
        "about {order}: i would like to exchange {pairs}{pay}.",
    ),
    "modify_pending_order_items": (
        "please change {pairs} in {order}{pay}.",
        "i want to modify {order}, change {pairs}{pay}.",
        "could you change {pairs} in {order}{pay}?",
        "before you ship {order}, please change {pairs}{pay}.",
    ),
    "return_delivered_order_items": (
        "i want to return {items} from {order}{pay}.",
        "please take back {items} from {order}{pay}.",
        "can i return {items} of {order}{pay}?",
        "about {order}: i would like to return {items}{pay}.",
    ),
    "modify_pending_order_address": (
        "please ship {order} to {address}.",
        "i want to change the address of {order} to {address}.",
        "could you send {order} to {address}?",
    ),
    "modify_user_address": (
        "i moved, please change the address in my profile to {address}.",
        "please update my default address to {address}.",
        "my new home address is {address}, please change my profile.",
    ),
    "modify_pending_order_payment": (
        "please use {method} to pay {order}.",
        "i want to change the payment of {order} to {method}.",
        "could you charge {method} for {order} instead?",
    ),
    "transfer_to_human_agents": (
        "my package arrived damaged and i want a compensation.",
        "i saw a lower price elsewhere, please match it.",
        "i want to apply a coupon to an old purchase.",
        "please let me talk to your manager about a complaint.",
        "i lost my password and can not log in to the website.",
    ),
}
PAY = {
    "exchange_delivered_order_items": (", pay with {method}", ", use {method}", " and settle it with {method}"),
    "modify_pending_order_items": (", pay with {method}", ", use {method}", " and settle it with {method}"),
    "return_delivered_order_items": (", refund to {method}", ", put the money on {method}"),
}
HINTS = (
    "it is the order that also has the {item}.",
    "i think it was the one with the {item} too.",
    "the one where i also bought the {item}.",
)
SAME = ("a {value} one, everything else the same", "the same one but {value}")
DIFFERENT = ("a different one", "another version", "something else")
CHANGES = ("wait, i changed my mind. {wish}", "actually no. {wish}", "sorry, i thought again. {wish}")
FALLBACKS = ("then {wish}", "in that case {wish}", "well, {wish}")
HESITATIONS = (
    "hm, what exactly will happen then?",
    "sorry, i was not listening. can you say it again?",
    "wait a moment, let me read it once more.",
    "and that is all of it? tell me again, please.",
)
GREETINGS = ("hi.", "hello.", "hey,", "good day.", "", "", "")


def request(tool: str, phrases: Phrases, rng: Random) -> str:
    """One sentence that asks for a write of this tool."""
    joiner = "to" if tool == "modify_pending_order_items" else "for"
    pairs = " and ".join(
        f"the {item} {joiner} {target}" for item, target in zip(phrases.items, phrases.targets, strict=False)
    )
    pay = rng.choice(PAY[tool]).format(method=phrases.method) if phrases.method and tool in PAY else ""
    return rng.choice(REQUESTS[tool]).format(
        order=phrases.order,
        pairs=pairs,
        items=" and ".join(f"the {item}" for item in phrases.items),
        pay=pay,
        method=phrases.method,
        reason=phrases.reason,
        address=phrases.address,
    )


def hint(item: str, rng: Random) -> str:
    """Which order is meant, by another thing in it."""
    return rng.choice(HINTS).format(item=item)


def full_target(values: Sequence[str]) -> str:
    """A variant by all of its options."""
    return f"the {' '.join(values)} one"


def same_but(value: str, rng: Random) -> str:
    """A variant by the one option that changes."""
    return rng.choice(SAME).format(value=value)


def unspecific_target(rng: Random) -> str:
    """A variant that the agent has to ask for."""
    return rng.choice(DIFFERENT)


def change_of_mind(wish: str, rng: Random) -> str:
    """The words said instead of yes."""
    return rng.choice(CHANGES).format(wish=wish)


def fallback(wish: str, rng: Random) -> str:
    """A second-best wish after a refusal."""
    return rng.choice(FALLBACKS).format(wish=wish)


def hesitation(rng: Random) -> str:
    """An answer to a listing that is neither yes nor no."""
    return rng.choice(HESITATIONS)


def opening(identity: Identity, first_request: str, rng: Random) -> str:
    """The first message; six times of ten the user says who they are."""
    who = ""
    if rng.random() < 0.6:
        who = (
            f"my email is {identity.email}."
            if identity.email
            else f"my name is {identity.first_name} {identity.last_name}, zip code {identity.zip}."
        )
    parts = [rng.choice(GREETINGS), who, first_request] if rng.random() < 0.5 else [first_request, who]
    return " ".join(part for part in parts if part)

"""Partitions of the loop: the rounds, and which earlier rounds a round reads.

Static on purpose: only a static mapping draws the true arrow "the pool of round r depends on rounds <= r" in the UI
(docs/adr has the alternatives that were tried). The maximum number of rounds is here and nowhere else.
"""

import dagster as dg

from schemas import BOOTSTRAP, UnknownRoundError
from schemas.ids import round_key

MAX_ROUNDS = 32
"""Partitions that exist; more only makes the UI slower to read."""

ROUND_KEYS = tuple(round_key(number) for number in range(1, MAX_ROUNDS + 1))
ROUNDS = dg.StaticPartitionsDefinition(list(ROUND_KEYS))
UP_TO = dg.StaticPartitionMapping({key: list(ROUND_KEYS[place:]) for place, key in enumerate(ROUND_KEYS)})
"""Upstream partition -> downstream partitions: round r of the downstream reads rounds <= r."""


def known_round(key: str) -> str:
    """The key itself.

    Raises:
        UnknownRoundError: When there is no such partition.
    """
    if key not in ROUND_KEYS:
        raise UnknownRoundError(
            f"round[{key}]: expected one of {ROUND_KEYS[0]}..{ROUND_KEYS[-1]}, got another; give a round that exists, "
            "or raise MAX_ROUNDS in assets/rounds.py"
        )
    return key


def up_to(key: str) -> tuple[str, ...]:
    """All rounds up to and including this one; none for the bootstrap."""
    return () if key == BOOTSTRAP else ROUND_KEYS[: ROUND_KEYS.index(known_round(key)) + 1]


def next_round(key: str) -> str | None:
    """The round after this one, None after the last partition."""
    place = ROUND_KEYS.index(known_round(key)) + 1
    return ROUND_KEYS[place] if place < MAX_ROUNDS else None

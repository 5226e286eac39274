"""A naive agent: it can do everything that plain words ask for, and nothing that a failure pattern asks for beyond.

It takes the first record that fits, never asks about a wish, takes values as they are said, looks no further than the
record at hand, lists an action once, minds one wish at a time, and hands over when a tool refuses. A task that it
solves whichever record it takes (the first or the last that fits) has no difficulty in it.
"""

from collections.abc import Iterator
from typing import Any, Literal

from env_sim.conduct import says_yes
from env_sim.dialogue import Confirm, Deny, Done
from env_sim.domains.retail.compact import ADDRESS_FIELDS
from env_sim.domains.retail.lexicon import HOME_ADDRESS, TOLD_REASONS
from env_sim.domains.retail.planner import STATUS, WordPlanner, say
from env_sim.domains.retail.reading import Wish
from schemas import Action, Message

__all__ = ["NaiveAgent"]

_INSISTS = ("you have not done it yet", "are you sure")


class NaiveAgent(WordPlanner):
    """Message-level policy; one per episode."""

    def __init__(self, takes: Literal["first", "last"] = "first", *, searches: bool = True) -> None:
        """Choose its habits.

        Args:
            takes: Which of several fitting records it takes.
            searches: Whether it looks through all orders when none is numbered, or at one.
        """
        super().__init__()
        self._place = 0 if takes == "first" else -1
        self._searches = searches

    def _talk(self) -> Iterator[Message]:
        self._wishes = self._heard
        ...

"""What failure patterns of the airline are made of; the patterns themselves stand in `patterns`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from env_sim.domains.airline.views import WishView
from schemas import Goal, Intent

__all__ = ["PLAIN", "Draft", "Pattern"]

PLAIN = "none"
"""Name of the pattern without a difficulty, the first of every table."""


@dataclass(frozen=True)
class Draft:
    """What the user wants and says, before identity and opening are added."""

    goals: tuple[Goal, ...]
    intent: Intent
    raised_in_opening: int = 1


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
    operator: Callable[[Sequence[WishView], Random], Draft | None]
    """(views of the wishes, rng) -> what the user says; None when the wishes don't allow it."""

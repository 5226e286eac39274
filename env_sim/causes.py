"""What a domain tells a judge: why an agent failed here, in the domain's words.

A judge compares what was done with what was required, which is the same in every domain (`quality/judge.py`). What a
wrong value means, and what made a wish hard, is not: each domain answers that in its `causes.py`, from the dialogue
and the task alone, never from the pattern that the task was written with.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from schemas import Action, Goal, Task, Trajectory

__all__ = ["Cause", "Causes", "Missing", "WrongWrite"]


class Cause(NamedTuple):
    """Why an episode failed."""

    pattern: str
    """Name in the domain's table of patterns, or `other`."""
    text: str
    """In words."""


@dataclass(frozen=True)
class _Failed:
    """An episode, and the wish in it that failed."""

    task: Task
    trajectory: Trajectory
    goal: Goal
    meant: Action
    """The required write."""

    @property
    def said(self) -> str:
        """The request in lower case."""
        return self.goal.request.lower()

    @property
    def heard(self) -> str:
        """All that the user said."""
        return " ".join(each.content for each in self.trajectory.messages if each.role == "user")

    @property
    def in_one_sentence(self) -> bool:
        """Whether several wishes were raised in the same words."""
        requests = [goal.request for goal in self.task.scenario.goals]
        return len(set(requests)) < len(requests)

    def untold(self, topic: str) -> bool:
        """Whether the user tells something of this topic only when asked."""
        return any(detail.topic == topic for detail in self.goal.details)


@dataclass(frozen=True)
class WrongWrite(_Failed):
    """A write of the required kind with other values."""

    done: Action

    @property
    def wrong(self) -> set[str]:
        """Names of the arguments that differ."""
        meant, done = self.meant.arguments, self.done.arguments
        return {name for name in meant if done.get(name) != meant[name]}


@dataclass(frozen=True)
class Missing(_Failed):
    """A required write that never came, after no wrong one."""


class Causes(Protocol):
    """A domain's reading of its failures."""

    def of_wrong_write(self, failed: WrongWrite) -> Cause | None:
        """Why another value was taken; None: the domain knows no more than which one it is."""
        ...

    def of_rest(self, failed: Missing) -> Cause | None:
        """Why this wish was left after others had been carried out; None: the agent stopped before the end."""
        ...

    def of_missing(self, failed: Missing) -> Cause:
        """What stood in the way when no wish was carried out, as what follows a colon."""
        ...

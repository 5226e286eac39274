"""An agent that knows the reference and needs no words: does a scenario's user let itself be served to the end?

It asks for every topic that the user can tell of, lists what the user wants, writes after a yes, refuses what can't be
had, and hands over where that is the goal. That it comes through says that the task can be solved by someone who has
understood it; whether the words let anyone understand it is the reader's part.
"""

from collections.abc import Iterator

from env_sim.conduct import says_yes
from env_sim.dialogue import Ask, Confirm, Deny, Done
from env_sim.planned_policy import PlannedPolicy, say
from env_sim.world import Domain
from schemas import Goal, Message, Task

__all__ = ["Follower"]

MAX_LISTINGS = 4
"""Of one wish: a remark, a change of mind and an evasive answer each ask for one more."""


class Follower(PlannedPolicy):
    """Message-level policy; one per episode."""

    def __init__(self, task: Task, domain: Domain) -> None:
        """Plan over the task."""
        super().__init__()
        self._task, self._domain = task, domain

    def _talk(self) -> Iterator[Message]:
        yield say(Ask("identity"))
        for action in self._task.reference:
            if action.name not in self._domain.write_tools:
                # The last call of a task that ends with it.
                yield self._call(action)
        for place, goal in enumerate(self._task.scenario.goals, start=1):
            yield from self._serve(goal)
            if place >= self._task.scenario.raised_in_opening:
                yield say(Done())

    def _serve(self, goal: Goal) -> Iterator[Message]:
        for topic in dict.fromkeys(detail.topic for detail in goal.details):
            yield say(Ask(topic))
        for _ in goal.preferences:
            yield say(Deny())
        if goal.accepted is None:
            yield say(Deny())
            return
        for _ in range(MAX_LISTINGS):
            yield say(Confirm(goal.accepted))
            if says_yes(self._heard):
                yield self._call(goal.accepted)
                return

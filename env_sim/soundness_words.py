"""What the words of a generated task say against its records, in any domain: leaked ids, records that are not meant.

A domain tells what its ids look like. A record's own number may be said, unless finding the record is the task.
"""

import re
from collections.abc import Collection, Iterator

from env_sim.soundness_rules import Finding
from schemas import Goal, Task

__all__ = ["leak_findings", "named_record_findings"]


def leak_findings(task: Task, *hidden: re.Pattern[str]) -> Iterator[Finding]:
    """Ids of these looks must not be in the words: a policy that reads one never needs the lookup."""
    said = " ".join([task.scenario.opening, *(text for goal in task.scenario.goals for text in _said(goal))])
    for leaked in sorted({found for pattern in hidden for found in pattern.findall(said)}):
        yield Finding("id_leak", f"the words hold {leaked}")


def named_record_findings(
    task: Task, own: Collection[str], named: re.Pattern[str], argument: str, noun: str
) -> Iterator[Finding]:
    """A record that is named must be the user's own and, where a wish is granted, the one that is written to.

    Args:
        task: A task of ours.
        own: Ids of the user's records.
        named: What such an id looks like in words.
        argument: The argument of a write that holds one.
        noun: What a record is called in findings.
    """
    opening = set(named.findall(task.scenario.opening))
    raised = task.scenario.goals[: task.scenario.raised_in_opening]
    if opening != {found for goal in raised for found in named.findall(goal.request)}:
        yield Finding("opening_differs", f"the opening names {sorted(opening)}, the wishes behind it do not")
    for goal in task.scenario.goals:
        for found in sorted({found for text in _said(goal) for found in named.findall(text)} - set(own)):
            yield Finding(f"foreign_{noun}_named", f"{found} is no {noun} of {task.scenario.identity.user_id}")
        for text, action in ((goal.request, goal.action), (goal.change.text if goal.change else "", goal.accepted)):
            written = str(action.arguments.get(argument, "")) if action else ""
            others = sorted(set(named.findall(text)) - {written}) if written else []
            if others:
                yield Finding(f"other_{noun}_named", f"{text!r} names {', '.join(others)}, its write is to {written}")


def _said(goal: Goal) -> list[str]:
    return [goal.request, *(detail.text for detail in goal.details), *([goal.change.text] if goal.change else [])]

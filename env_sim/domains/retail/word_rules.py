"""What the words of a generated retail task say against its records: leaked ids, and orders that are not meant.

An order number may be said, unless the task's difficulty is to find the order. No other id may: a policy that reads it
never needs the lookup that the task is about.
"""

import re
from collections.abc import Iterator

from env_sim.domains.retail.patterns import JOIN
from env_sim.soundness_rules import Finding
from env_sim.world import Database
from schemas import Task

__all__ = ["HIDING_PATTERNS", "task_rules"]

HIDING_PATTERNS = frozenset({"wrong_order", "order_not_asked", "hint_late", "lost_in_search", "mixed_orders"})
"""Patterns whose task is to find the order: their words must not hold its number."""

ORDER_ID = re.compile(r"#W\d{7}\b")
LEAKS = re.compile(r"\b(?:\d{10}|(?:credit_card|gift_card|paypal)_\d{7}|[a-z]+_[a-z]+_\d{4})\b")


def task_rules(task: Task, base: Database) -> list[Finding]:
    """All findings of this module on one task."""
    return [*_leaks(task), *_orders(task, base)]


def _leaks(task: Task) -> Iterator[Finding]:
    said = " ".join(task.scenario.texts)
    hidden = set(LEAKS.findall(said))
    if HIDING_PATTERNS & set(task.pattern.split(JOIN)):
        hidden |= set(ORDER_ID.findall(said)) - _of_other_wishes(task)
    for leaked in sorted(hidden):
        yield Finding("id_leak", f"the words hold {leaked}")


def _of_other_wishes(task: Task) -> set[str]:
    """Orders that the wishes beside a hidden one are about, and name; none when every wish names its own."""
    written = [(goal, str(goal.accepted.arguments.get("order_id"))) for goal in task.scenario.goals if goal.accepted]
    named = {order_id for goal, order_id in written if order_id in goal.request}
    return named if len(named) < len(written) else set()


def _orders(task: Task, base: Database) -> Iterator[Finding]:
    """An order that is named must be the user's own and, where a wish is granted, the one that is written to."""
    own = base.tables["users"].get(task.scenario.identity.user_id, {}).get("orders", [])
    opening = set(ORDER_ID.findall(task.scenario.opening))
    raised = task.scenario.goals[: task.scenario.raised_in_opening]
    if opening != {named for goal in raised for named in ORDER_ID.findall(goal.request)}:
        yield Finding("opening_differs", f"the opening names {sorted(opening)}, the wishes behind it do not")
    for goal in task.scenario.goals:
        for named in sorted({found for text in goal.texts for found in ORDER_ID.findall(text)} - set(own)):
            yield Finding("foreign_order_named", f"{named} is no order of {task.scenario.identity.user_id}")
        for text, action in ((goal.request, goal.action), (goal.change.text if goal.change else "", goal.accepted)):
            written = str(action.arguments.get("order_id", "")) if action else ""
            others = sorted(set(ORDER_ID.findall(text)) - {written}) if written else []
            if others:
                yield Finding("other_order_named", f"{text!r} names {', '.join(others)}, its write is to {written}")

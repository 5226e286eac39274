"""What the words of a generated retail task say against its records: leaked ids, and orders that are not meant.

An order number may be said, unless the task's difficulty is to find the order. No other id may: a policy that reads it
never needs the lookup that the task is about.
"""

import re

from env_sim.soundness_rules import Finding
from env_sim.soundness_words import leak_findings, named_record_findings
from env_sim.world import Database
from schemas import Task

__all__ = ["HIDING_PATTERNS", "task_rules"]

HIDING_PATTERNS = frozenset({"wrong_order", "order_not_asked", "lost_in_search"})
"""Patterns whose task is to find the order: their words must not hold its number."""

ORDER_ID = re.compile(r"#W\d{7}\b")
LEAKS = re.compile(r"\b(?:\d{10}|(?:credit_card|gift_card|paypal)_\d{7}|[a-z]+_[a-z]+_\d{4})\b")


def task_rules(task: Task, base: Database) -> list[Finding]:
    """All findings of this module on one task."""
    own = base.tables["users"].get(task.scenario.identity.user_id, {}).get("orders", [])
    hidden = (LEAKS, ORDER_ID) if task.pattern in HIDING_PATTERNS else (LEAKS,)
    return [*leak_findings(task, *hidden), *named_record_findings(task, own, ORDER_ID, "order_id", "order")]

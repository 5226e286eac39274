"""What the words of a generated airline task say against its records: leaked ids, and reservations that are not meant.

The customer's own user id is said on purpose: the rulebook makes the customer give it, and no tool finds it. A
reservation's id may be said, unless the task's difficulty is to find the reservation. No other id may.
"""

import re

from env_sim.soundness_rules import Finding
from env_sim.soundness_words import leak_findings, named_record_findings
from env_sim.world import Database
from schemas import Task

__all__ = ["HIDING_PATTERNS", "RESERVATION_ID", "task_rules"]

HIDING_PATTERNS = frozenset({"wrong_reservation", "reservation_not_asked", "lost_in_search"})
"""Patterns whose task is to find the reservation: their words must not hold its id."""

RESERVATION_ID = re.compile(r"\b(?![A-Z]{3}\d{3}\b)(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{6}\b", re.ASCII)
"""Six letters and digits, both present; three letters before three digits are a flight number."""

_METHOD_ID = re.compile(r"\b(?:credit_card|gift_card|certificate)_\d{7}\b", re.ASCII)


def task_rules(task: Task, base: Database) -> list[Finding]:
    """All findings of this module on one task."""
    own = base.tables["users"].get(task.scenario.identity.user_id, {}).get("reservations", [])
    hidden = (_METHOD_ID, RESERVATION_ID) if task.pattern in HIDING_PATTERNS else (_METHOD_ID,)
    named = named_record_findings(task, own, RESERVATION_ID, "reservation_id", "reservation")
    return [*leak_findings(task, *hidden), *named]

"""Whether stored gate verdicts let a round be read: pure decisions over rows, no disk.

A verdict binds to the content that the gate saw (the round's fingerprint), not to a table version: another round's
write raises the version and must not void it, a rewrite with other rows must.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa

from schemas.columns import ROUND, ROUND_FINGERPRINT
from schemas.errors import CorruptTableError

__all__ = ["EMPTY", "VERDICT_COLUMNS", "Verdict", "fingerprints", "objection"]

EMPTY = "empty"
"""Fingerprint of a round that was written without rows."""


class Verdict(NamedTuple):
    """The part of a stored gate result that decides."""

    round: str
    gate: str
    passed: bool
    message: str
    checked_fingerprint: str


VERDICT_COLUMNS = list(Verdict._fields)
"""What to read of the table of gate results, in the order of Verdict."""


def objection(verdicts: Iterable[Verdict], content: str) -> str | None:
    """Why a round with this fingerprint may not be read, None when every known gate passed on just this content."""
    known = sorted(verdicts)
    current = [verdict for verdict in known if verdict.checked_fingerprint == content]
    if failed := [verdict for verdict in current if not verdict.passed]:
        return "failed gates " + ", ".join(f"{verdict.gate} ({verdict.message})" for verdict in failed)
    if not known:
        return "no gate that ran"
    if stale := [verdict.gate for verdict in known if verdict.checked_fingerprint != content]:
        return f"gates that ran only on earlier content: {', '.join(stale)}"
    return None


def fingerprints(rows: pa.Table, rounds: Sequence[str], table: str) -> dict[str, str]:
    """Fingerprint of each round, from its rows' `round` and `round_fingerprint`.

    Raises:
        CorruptTableError: When a round holds rows of two writes, so that none of its numbers can be trusted.
    """
    distinct = rows.group_by([ROUND, ROUND_FINGERPRINT]).aggregate([]).to_pylist()
    found: dict[str, str] = dict.fromkeys(rounds, EMPTY)
    for row in distinct:
        if found[row[ROUND]] != EMPTY:
            raise CorruptTableError(
                f"{table}[{row[ROUND]}]: expected rows of one write, got rows of several; write the round again"
            )
        found[row[ROUND]] = row[ROUND_FINGERPRINT]
    return found

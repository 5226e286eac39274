"""Whether rounds may be read: the stored verdicts and people's waivers, asked about the rows as they are.

Used by `store` alone; what verdicts mean is decided in `verdicts`.
"""

import logging
from collections.abc import Sequence

from schemas.codec import from_arrow
from schemas.columns import ROUND, ROUND_FINGERPRINT, TABLES, TableSpec
from schemas.errors import UngatedRoundError
from schemas.lance_table import LanceTable
from schemas.results import GateWaiver
from schemas.snapshot import Snapshot
from schemas.verdicts import VERDICT_COLUMNS, Verdict, fingerprints, objection

__all__ = ["Guard", "fingerprints_of"]

logger = logging.getLogger(__name__)


class Guard:
    """The verdicts and waivers of one warehouse."""

    def __init__(self, root: str) -> None:
        """Name the tables of verdicts and waivers; nothing is opened yet."""
        self._gate_results = LanceTable(root, TABLES["gate_results"])
        self._gate_waivers = LanceTable(root, TABLES["gate_waivers"])

    def require(
        self,
        spec: TableSpec,
        snapshot: Snapshot | None,
        rounds: Sequence[str],
        *,
        pinned: bool,
        allow_ungated: bool,
    ) -> None:
        """Let rounds of a table be read, or not.

        Args:
            spec: The table.
            snapshot: The version that is read.
            rounds: Keys that it holds.
            pinned: An earlier version was asked for: what was let through in its day is let through.
            allow_ungated: Log what objects instead of raising it.

        Raises:
            UngatedRoundError: When a gate objects and nobody has waived it.
        """
        if not spec.gated or not rounds:
            return
        contents = fingerprints_of(spec, snapshot, rounds)
        verdicts = self._verdicts(spec, rounds)
        for key in rounds:
            problem = objection([v for v in verdicts if v.round == key], contents[key])
            if not problem or (pinned and self._passed_before(spec, key, contents[key])):
                continue
            if waiver := self.waivers(spec, [key]).get((key, contents[key])):
                said = f"as {waiver.by} lets it ({waiver.reason})"
                logger.warning("%s[%s]: read %s, with %s", spec.name, key, said, problem)
            elif allow_ungated:
                logger.warning("%s[%s]: read ungated, with %s", spec.name, key, problem)
            else:
                raise UngatedRoundError(
                    f"{spec.name}[{key}]: expected every gate passed on the rows as they are, got {problem}; "
                    "run the round's checks, pass allow_ungated to look at it all the same, or waive them with "
                    f"`python -m jobs waive {spec.name} {key} --reason ...`"
                )

    def waivers(self, checked: TableSpec, rounds: Sequence[str]) -> dict[tuple[str, str], GateWaiver]:
        """(round, fingerprint of the rows that were decided on) -> decision."""
        if (snapshot := self._gate_waivers.snapshot()) is None:
            return {}
        spec = self._gate_waivers.spec
        rows = snapshot.rows(spec.schema.names, {ROUND: rounds, "table": [checked.name]})
        marks = rows.column("checked_fingerprint").to_pylist()
        waivers = [row for row in from_arrow(spec, rows) if isinstance(row, GateWaiver)]
        return {(row.round, mark): row for row, mark in zip(waivers, marks, strict=True)}

    def _verdicts(self, checked: TableSpec, rounds: Sequence[str], version: int | None = None) -> list[Verdict]:
        if (snapshot := self._gate_results.snapshot(version)) is None:
            return []
        where = {ROUND: rounds, "table": [checked.name]}
        return [Verdict(**row) for row in snapshot.rows(VERDICT_COLUMNS, where).to_pylist()]

    def _passed_before(self, spec: TableSpec, round: str, content: str) -> bool:
        """Whether a replaced round's content was let through in its day: the newest verdicts on it decide."""
        for version in reversed(self._gate_results.versions()):
            verdicts = self._verdicts(spec, [round], version)
            if any(verdict.checked_fingerprint == content for verdict in verdicts):
                return objection(verdicts, content) is None
        return False


def fingerprints_of(spec: TableSpec, snapshot: Snapshot | None, rounds: Sequence[str]) -> dict[str, str]:
    """What verdicts on rounds of a table refer to."""
    if snapshot is None or not spec.gated:
        return dict.fromkeys(rounds, "")
    rows = snapshot.rows([ROUND, ROUND_FINGERPRINT], {ROUND: rounds})
    return fingerprints(rows, rounds, spec.name)

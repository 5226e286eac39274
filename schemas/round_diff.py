"""What changed between two rounds: `python -m schemas.round_diff round-001 round-002`.

Clusters are followed by the id of the cluster that each continues (`previous_cluster_id`), through the rounds in
between; sizes are failures on the same validation tasks and trials, so they compare. Counts only what is stored.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TextIO

from schemas.errors import ConfigError, UnknownRoundError
from schemas.ids import round_key, round_number
from schemas.store import Warehouse
from schemas.terminal import add_warehouse, existing_warehouse, exit_code

__all__ = ["ClusterChange", "PatternChange", "ResultChange", "RoundDiff", "diff", "main", "text"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class ClusterChange:
    """One kind of failure in both rounds."""

    change: Literal["appeared", "grew", "same", "shrank", "vanished"]
    label: str
    """Of the earlier cluster, of the later one if it appeared."""
    pattern: str
    before: int
    """Failures in the earlier round."""
    after: int
    """Failures in the later round, over all clusters that continue the earlier one."""
    before_id: str | None
    after_ids: tuple[str, ...]


@dataclass(frozen=True)
class PatternChange:
    """The pool's tasks of one pattern."""

    pattern: str
    before: int
    added: int
    dropped: int
    after: int


@dataclass(frozen=True)
class ResultChange:
    """Pass^k of the policies that the two rounds trained, each from its own round's report."""

    k: int
    before: float
    after: float


@dataclass(frozen=True)
class RoundDiff:
    """What changed from one round to a later one."""

    before: str
    after: str
    clusters: tuple[ClusterChange, ...]
    """Largest change first."""
    pool: tuple[PatternChange, ...]
    results: tuple[ResultChange, ...]


def diff(warehouse: Warehouse, before: str, after: str) -> RoundDiff:
    """Clusters that grew, shrank, appeared or vanished, tasks added and dropped, and what Pass^k did.

    Raises:
        ConfigError: When a key is no round's, or `after` is not later than `before`.
        UnknownRoundError: When one of them has no failure clusters or no pool.
    """
    if round_number(before) >= round_number(after):
        raise ConfigError(f"diff[{before}, {after}]: expected the earlier round first, got them so; swap them")
    rounds = [round_key(number) for number in range(round_number(before), round_number(after) + 1)]
    columns = ["round", "cluster_id", "label", "pattern", "size", "previous_cluster_id"]
    clusters = _by_round(warehouse, "failure_clusters", columns, rounds, (before, after))
    pools = _by_round(warehouse, "task_pool", ["round", "task_id", "pattern"], [before, after], (before, after))
    return RoundDiff(
        before,
        after,
        tuple(_cluster_changes([clusters[key] for key in rounds])),
        tuple(_pool_changes(pools[before], pools[after])),
        tuple(_result_changes(warehouse, before, after)),
    )


def _by_round(
    warehouse: Warehouse, table: str, columns: Sequence[str], rounds: Sequence[str], needed: Sequence[str]
) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {key: [] for key in rounds}
    for row in warehouse.find(table, {"round": rounds}, columns).to_pylist():
        found[row["round"]].append(row)
    missing = [key for key in needed if key not in warehouse.rounds(table)]
    if missing:
        raise UnknownRoundError(
            f"{table}[{missing[0]}]: expected a round that was written, got none; materialize it, or compare others"
        )
    return found


def _cluster_changes(rounds: Sequence[Sequence[Row]]) -> list[ClusterChange]:
    """Changes from the first round's clusters to the last one's."""
    first = {row["cluster_id"]: row for row in rounds[0]}
    parent = {row["cluster_id"]: row["previous_cluster_id"] for row in chain(*rounds[1:])}
    heirs: dict[str, list[Row]] = defaultdict(list)
    new: list[Row] = []
    for row in rounds[-1]:
        ancestor = row["cluster_id"]
        while ancestor in parent:
            ancestor = parent[ancestor]
        (heirs[ancestor] if ancestor in first else new).append(row)
    changes = [_change(row, heirs[row["cluster_id"]]) for row in rounds[0]] + [_change(None, [row]) for row in new]
    return sorted(changes, key=lambda each: (-abs(each.after - each.before), each.label))


def _change(old: Row | None, new: Sequence[Row]) -> ClusterChange:
    before, after = (old["size"] if old else 0), sum(row["size"] for row in new)
    named = old or new[0]
    change = "grew" if after > before else "shrank" if after < before else "same"
    return ClusterChange(
        change="appeared" if old is None else "vanished" if not new else change,
        label=named["label"],
        pattern=named["pattern"],
        before=before,
        after=after,
        before_id=old["cluster_id"] if old else None,
        after_ids=tuple(row["cluster_id"] for row in new),
    )


def _pool_changes(before: Sequence[Row], after: Sequence[Row]) -> list[PatternChange]:
    old, new = ({row["task_id"]: row["pattern"] for row in rows} for rows in (before, after))
    added = Counter(pattern for task, pattern in new.items() if task not in old)
    dropped = Counter(pattern for task, pattern in old.items() if task not in new)
    n_old, n_new = Counter(old.values()), Counter(new.values())
    return [
        PatternChange(name, n_old[name], added[name], dropped[name], n_new[name]) for name in sorted({*n_old, *n_new})
    ]


def _result_changes(warehouse: Warehouse, before: str, after: str) -> list[ResultChange]:
    """Empty when one of the rounds has not been reported."""
    rates: dict[str, dict[int, float]] = {before: {}, after: {}}
    columns = ["round", "policy", "k", "pass_hat_k"]
    for row in warehouse.find("pass_hat_k_report", {"round": [before, after]}, columns).to_pylist():
        if row["policy"] == f"rl-{row['round']}":
            rates[row["round"]][row["k"]] = row["pass_hat_k"]
    return [ResultChange(k, rates[before][k], rates[after][k]) for k in sorted(rates[before]) if k in rates[after]]


def text(found: RoundDiff) -> str:
    """The changes for a terminal."""
    lines = [f"{found.before} -> {found.after}", "", "failure clusters (failures on validation tasks)"]
    for each in found.clusters:
        label = "".join(char if char.isprintable() else " " for char in each.label)
        lines.append(f"  {each.change:<9}{each.before:>5} -> {each.after:<5} {each.pattern:<18} {label}")
    lines += ["", "task pool", f"  {'pattern':<18}{'before':>8}{'added':>8}{'dropped':>8}{'after':>8}"]
    for row in found.pool:
        lines.append(f"  {row.pattern:<18}{row.before:>8}{row.added:>8}{row.dropped:>8}{row.after:>8}")
    lines += ["", "Pass^k on test tasks" + ("" if found.results else ": not reported for both rounds")]
    for result in found.results:
        change = 100 * (result.after - result.before)
        lines.append(f"  Pass^{result.k}  {100 * result.before:5.1f} -> {100 * result.after:5.1f}  ({change:+.1f})")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str], out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Compare two rounds; returns the exit code: 0, or 2 when they can't be compared."""
    parser = argparse.ArgumentParser("python -m schemas.round_diff", description="What changed between two rounds.")
    parser.add_argument("before", help="earlier round, e.g. round-001")
    parser.add_argument("after", help="later round")
    add_warehouse(parser)
    options = parser.parse_args(arguments)

    def show() -> None:
        out.write(text(diff(existing_warehouse(options.warehouse), options.before, options.after)))

    return exit_code(show, err)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

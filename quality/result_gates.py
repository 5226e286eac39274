"""Gates on metrics, outcomes, checkpoints and the report: can the numbers that people will read be right?"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import polars as pl

from quality.gate import Check, Finding, GateContext, documented, needed, row_id, rows_of
from quality.pass_hat_k import pass_hat_k
from schemas import BOOTSTRAP, Checkpoint, PassHatK, Record, Task, TaskOutcome, TrainStep

CHECKPOINT_TABLES = ("base_checkpoint", "sft_checkpoint", "rl_checkpoint", "served_checkpoint")
"""Where checkpoints are declared; `round_policy` points at one of them."""


def metrics_finite(rows: Sequence[Record], context: GateContext) -> Finding:
    """Every number of every training step is finite, and the last one is not from a collapsed run."""
    bad = {}
    for row in rows_of(rows, TrainStep):
        values = {name: value for name, value in row.model_dump().items() if isinstance(value, float)}
        broken = sorted(name for name, value in values.items() if not math.isfinite(value))
        if broken:
            bad[row_id(row)] = f"{', '.join(broken)} not finite"
    return Finding(bad, numbers={"n_steps": len(rows)})


def checkpoints_linked(rows: Sequence[Record], context: GateContext) -> Finding:
    """A trained checkpoint names a parent that is stored; only a base and a served model have none."""
    stored = {
        row.checkpoint_id for table in CHECKPOINT_TABLES for row in rows_of(context.read(table, None), Checkpoint)
    }
    bad = {}
    for row in rows_of(rows, Checkpoint):
        if (row.parent_checkpoint_id is None) != (row.kind in ("base", "served")):
            bad[row.checkpoint_id] = f"kind {row.kind} with parent {row.parent_checkpoint_id}"
        elif row.parent_checkpoint_id is not None and row.parent_checkpoint_id not in stored:
            bad[row.checkpoint_id] = f"parent {row.parent_checkpoint_id} is not stored"
    return Finding(bad)


def policy_stored(rows: Sequence[Record], context: GateContext) -> Finding:
    """The checkpoint under test is one that was stored, unchanged."""
    known = [row for name in CHECKPOINT_TABLES for row in rows_of(context.read(name, None), Checkpoint)]
    bad = {row.checkpoint_id: "is not as it was stored" for row in rows_of(rows, Checkpoint) if row not in known}
    return Finding(bad, "" if len(rows) <= 1 else f"expected one policy under test, got {len(rows)}")


def outcomes_sound(rows: Sequence[Record], context: GateContext) -> Finding:
    """No task has more successes than trials, and few trials were lost to the infrastructure or the user."""
    outcomes = rows_of(rows, TaskOutcome)
    bad = {
        row_id(row): f"{row.n_successes} successes in {row.n_trials} trials"
        for row in outcomes
        if row.n_successes > row.n_trials
    }
    excluded = sum(row.n_excluded for row in outcomes)
    share = excluded / max(1, excluded + sum(row.n_trials for row in outcomes))
    problem = ""
    if share > context.limits.max_infrastructure_share:
        problem = f"{share:.1%} of the trials were lost to the infrastructure or to user faults"
    return Finding(bad, problem, {"excluded_share": share})


@documented
def outcomes_add_up(rollouts: str, tasks: str) -> Check:
    """A gate: the counts of each task are those of the episodes, and its pattern is the task's."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        columns = ["policy_version", "task_id", "stop_reason", "user_fault", "reward"]
        played = needed(context.frame, "frame")(rollouts, context.round, columns)
        broken, spoilt = pl.col("stop_reason") == "infrastructure", pl.col("user_fault").is_not_null()
        lost, solved = broken | spoilt, pl.col("reward").struct.field("success") >= 1
        sums = (~lost, ~lost & solved, lost, spoilt & ~broken)
        sums = tuple(each.sum().alias(str(place)) for place, each in enumerate(sums))
        counts = {(v, t): tuple(n) for v, t, *n in played.group_by("policy_version", "task_id").agg(sums).iter_rows()}
        patterns = {task.task_id: task.pattern for task in rows_of(context.read(tasks, None), Task)}
        bad: dict[str, str] = {}
        for row in rows_of(rows, TaskOutcome):
            own = (row.n_trials, row.n_successes, row.n_excluded, row.n_user_faults)
            found = counts.pop((row.policy_version, row.task_id), (0, 0, 0, 0))
            if own != found:
                bad[row_id(row)] = f"counts trials, successes, lost, spoilt as {own}, the episodes give {found}"
            elif patterns.get(row.task_id) != row.pattern:
                bad[row_id(row)] = f"pattern {row.pattern}, its task has {patterns.get(row.task_id)}"
        bad |= {f"{version}/{task}": "was played, but has no outcome" for version, task in counts}
        return Finding(bad)

    return check


def estimates_follow(rows: Sequence[Record], context: GateContext) -> Finding:
    """Each reported Pass^k is the mean over the tasks of the stored outcomes."""
    rounds = context.rounds or (context.round,)
    places = [("baseline_test_outcomes", BOOTSTRAP), *(("test_outcomes", name) for name in rounds)]
    outcomes: dict[tuple[str, str], list[TaskOutcome]] = defaultdict(list)
    for row in (row for place in places for row in rows_of(context.read(*place), TaskOutcome)):
        outcomes[row.policy, row.policy_version].append(row)
    bad: dict[str, str] = {}
    for line in rows_of(rows, PassHatK):
        counted = [row for row in outcomes[line.policy, line.policy_version] if row.n_trials >= line.k]
        values = [pass_hat_k(row.n_successes, row.n_trials, line.k) for row in counted]
        expected = sum(values) / len(values) if values else math.nan
        if len(values) != line.n_tasks or not abs(expected - line.pass_hat_k) <= 1e-6:
            bad[row_id(line)] = (
                f"{line.pass_hat_k:.4f} over {line.n_tasks} tasks, the outcomes give {expected:.4f} over {len(values)}"
            )
    return Finding(bad, numbers={"n_outcomes": float(sum(map(len, outcomes.values())))})


def report_complete(rows: Sequence[Record], context: GateContext) -> Finding:
    """Base, SFT and every round so far are reported for each k."""
    counts = Counter((row.policy, row.k) for row in rows_of(rows, PassHatK))
    rounds = [name for name in context.rounds or (context.round,) if name != BOOTSTRAP]
    expected = ["base", "sft", *(f"rl-{name}" for name in rounds)]
    missing = [f"{policy}/k={k}" for policy in expected for k in context.limits.ks if not counts[policy, k]]
    problem = f"{len(missing)} lines are missing (first: {missing[0]})" if missing else ""
    return Finding(problem=problem, numbers={"n_policies": len({policy for policy, _ in counts})})


def estimates_sound(rows: Sequence[Record], context: GateContext) -> Finding:
    """Pass^k lies in its interval and never rises with k."""
    report = rows_of(rows, PassHatK)
    bad = {
        row_id(row): f"{row.pass_hat_k:.4f} outside [{row.ci_low:.4f}, {row.ci_high:.4f}]"
        for row in report
        if not row.ci_low - 1e-6 <= row.pass_hat_k <= row.ci_high + 1e-6
    }
    curves: dict[tuple[str, str], list[PassHatK]] = defaultdict(list)
    for row in sorted(report, key=lambda row: row.k):
        curves[row.policy, row.policy_version].append(row)
    for curve in curves.values():
        for low, high in pairwise(curve):
            # Comparable only over the same tasks: a task that lost trials leaves the larger k.
            if low.n_tasks == high.n_tasks and high.pass_hat_k > low.pass_hat_k + 1e-6:
                bad[row_id(high)] = f"Pass^{high.k} {high.pass_hat_k:.4f} above Pass^{low.k} {low.pass_hat_k:.4f}"
    return Finding(bad)

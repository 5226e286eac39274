"""Gates on metrics, outcomes, checkpoints and the report: can the numbers that people will read be right?"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from quality.gate import Finding, GateContext, row_id, rows_of
from schemas import BOOTSTRAP, Checkpoint, PassHatK, Record, TaskOutcome, TrainStep

CHECKPOINT_TABLES = ("base_checkpoint", "sft_checkpoint", "rl_checkpoint")
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
    """A trained checkpoint names a parent that is stored; only a base has none."""
    stored = {
        row.checkpoint_id for table in CHECKPOINT_TABLES for row in rows_of(context.read(table, None), Checkpoint)
    }
    bad = {}
    for row in rows_of(rows, Checkpoint):
        if (row.parent_checkpoint_id is None) != (row.kind == "base"):
            bad[row.checkpoint_id] = f"kind {row.kind} with parent {row.parent_checkpoint_id}"
        elif row.parent_checkpoint_id is not None and row.parent_checkpoint_id not in stored:
            bad[row.checkpoint_id] = f"parent {row.parent_checkpoint_id} is not stored"
    return Finding(bad)


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

"""Gates on size and mix: do texts and episodes fit, and is each pattern as frequent as it was meant to be?"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from quality.decontamination import words_said
from quality.gate import Check, Finding, GateContext, documented, needed, rows_of
from schemas import PoolTask, Record, StopReason, Task, Trajectory

CUT = frozenset({StopReason.CONTEXT_FULL, StopReason.MAX_TURNS})
PLAIN = "none"


def tasks_fit(rows: Sequence[Record], context: GateContext) -> Finding:
    """What the user can say and what solves the task have bounds that any policy can work within."""
    limits, bad, longest = context.limits, {}, 0
    for task in rows_of(rows, Task):
        n_words, n_actions = len(words_said(task).split()), len(task.reference)
        longest = max(longest, n_words)
        if n_words > limits.max_words:
            bad[task.task_id] = f"its user says {n_words} words, at most {limits.max_words} may be"
        elif n_actions > limits.max_actions:
            bad[task.task_id] = f"its reference has {n_actions} calls, at most {limits.max_actions} may be"
    return Finding(bad, numbers={"max_words": longest})


@documented
def episodes_fit(table: str) -> Check:
    """A gate: each episode fits the context it was played in, and not nearly all were cut."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        trajectories, limits = rows_of(rows, Trajectory), context.limits
        max_tokens = needed(context.max_tokens.get(table), f"max_tokens[{table}]")
        bad: dict[str, str] = {}
        for row in trajectories:
            chars = max((len(message.content) for message in row.messages), default=0)
            if len(row.token_ids) > max_tokens:
                bad[row.trajectory_id] = f"has {len(row.token_ids)} tokens, its context holds {max_tokens}"
            elif chars > limits.max_message_chars:
                bad[row.trajectory_id] = (
                    f"has a message of {chars} characters, at most {limits.max_message_chars} may be"
                )
        share = sum(row.stop_reason in CUT for row in trajectories) / max(1, len(trajectories))
        problem = f"{share:.0%} of the episodes were cut before their end" if share > limits.max_cut_share else ""
        longest = max((len(row.token_ids) for row in trajectories), default=0)
        return Finding(bad, problem, {"cut_share": share, "max_tokens": longest})

    return check


@documented
def patterns_as_planned(table: str) -> Check:
    """A gate: the tasks carry the patterns that were wanted, as often as wanted.

    That a pattern's share moves from round to round is wanted; that it differs from the plan is not: a share below says
    that its occasions ran out, one above that something else was written in its place. One task too few or too many of
    a pattern is rounding.
    """

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        plan = needed(context.planned, "planned")(table)
        counts = Counter(task.pattern for task in rows_of(rows, Task))
        gaps = {name: counts[name] - plan.get(name, 0) for name in sorted(counts.keys() | plan.keys())}
        off = {name: gap for name, gap in gaps.items() if abs(gap) > 1}
        gap = sum(map(abs, off.values())) / 2 / max(1, sum(plan.values()))
        numbers = {"pattern_gap": gap, "n_wanted": float(sum(plan.values()))}
        numbers |= {f"share_{name}": count / len(rows) for name, count in sorted(counts.items())}
        problem = ""
        if gap > context.limits.max_pattern_gap:
            worst = max(off, key=lambda name: abs(off[name]))
            problem = (
                f"{gap:.0%} of the tasks have another pattern than planned (worst: {worst}, {counts[worst]} instead of "
                f"{plan.get(worst, 0)})"
            )
        return Finding(problem=problem, numbers=numbers)

    return check


def pool_balanced(rows: Sequence[Record], context: GateContext) -> Finding:
    """No difficult pattern takes most of the weight with which tasks are drawn; plain ones may, in a control arm."""
    weights: dict[str, float] = defaultdict(float)
    for row in rows_of(rows, PoolTask):
        weights[row.task.pattern] += row.weight
    total = sum(weights.values()) or 1.0
    shares = {name: weight / total for name, weight in sorted(weights.items())}
    problem = "; ".join(
        f"pattern {name} has {share:.0%} of the weight, at most {context.limits.max_pattern_share:.0%} may be"
        for name, share in shares.items()
        if name != PLAIN and share > context.limits.max_pattern_share
    )
    return Finding(problem=problem, numbers={f"weight_{name}": share for name, share in shares.items()})

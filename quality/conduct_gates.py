"""Gates on conduct: are the breaches of the rulebook that are stored the ones that the episodes show?

What a policy breaks is its own doing and the next round's lesson: it is counted and told, never refused. What a policy
is to imitate must break nothing.
"""

from collections.abc import Sequence

from quality.gate import Check, Finding, GateContext, documented, needed, row_id, rows_of
from schemas import ConductRule, Record, Trajectory, Violation


def rulebook_kept(rows: Sequence[Record], context: GateContext) -> Finding:
    """What a policy imitates breaks no rule of the rulebook, or so rarely that nothing is learnt of it."""
    monitor = needed(context.monitor, "monitor")
    bad: dict[str, str] = {}
    for row in rows_of(rows, Trajectory):
        for breach in monitor(row)[:1]:
            bad[row.trajectory_id] = f"breaks {breach.rule} in turn {breach.turn}: {breach.evidence}"
    share = len(bad) / max(1, len(rows))
    return Finding(bad, numbers={"breach_share": share}, tolerated=context.limits.max_taught_breach_share)


@documented
def conduct_counted(violations: str) -> Check:
    """A gate on episodes: the table of violations holds exactly what the monitor sees in them."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        monitor, trajectories = needed(context.monitor, "monitor"), rows_of(rows, Trajectory)
        seen = {row_id(breach): breach for row in trajectories for breach in monitor(row)}
        stored = {row_id(row): row for row in rows_of(context.read(violations, context.round), Violation)}
        missing, invented = sorted(seen.keys() - stored.keys()), sorted(stored.keys() - seen.keys())
        bad = {seen[key].trajectory_id: f"its breach {key} is not in {violations}" for key in missing}
        bad |= {stored[key].trajectory_id: f"{violations} has {key}, the monitor does not" for key in invented}
        shares = breach_shares(list(seen.values()), len(trajectories))
        limit = context.limits.max_breach_share
        often = [f"{share:.0%} of the episodes break {rule}" for rule, share in shares.items() if share > limit]
        numbers = {f"break_{rule}": share for rule, share in shares.items()}
        return Finding(bad, numbers=numbers, warning="; ".join(often))

    return check


def breach_shares(violations: Sequence[Violation], n_episodes: int) -> dict[str, float]:
    """Rule -> share of the episodes that break it, all rules, broken or not."""
    broken = {(row.rule, row.trajectory_id) for row in violations}
    return {str(rule): sum(key == rule for key, _ in broken) / max(1, n_episodes) for rule in ConductRule}


@documented
def episodes_known(rollouts: str) -> Check:
    """A gate on violations: each is a breach in an episode of this round."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        frame = needed(context.frame, "frame")(rollouts, context.round, ["trajectory_id"])
        known = set(frame["trajectory_id"].to_list()) if len(frame) else set()
        return Finding(
            {
                row_id(row): f"is about {row.trajectory_id!r}, which is not in {rollouts}"
                for row in rows_of(rows, Violation)
                if row.trajectory_id not in known
            },
            numbers={"n_episodes": len(known)},
        )

    return check

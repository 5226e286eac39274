"""Gates on trajectories, explanations and clusters: is what was played whole, explained and counted once?"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from quality.gate import Check, Finding, GateContext, documented, needed, rows_of
from quality.world_gates import stored_databases
from schemas import Blame, Explanation, FailureCluster, PoolTask, Record, RlRollout, StopReason, Task, Trajectory

TOTAL_TOLERANCE = 1e-4
"""Reward units; room for totals stored as 32-bit floats."""
CENTRE_TOLERANCE = 1e-3
"""Of a group's mean advantage; room for 32-bit floats."""
_GOOD_ENDS = frozenset({StopReason.USER_DONE, StopReason.TRANSFER})


def trajectories_complete(rows: Sequence[Record], context: GateContext) -> Finding:
    """Tokens, masks and log-probabilities agree, each tool answer has its call, few episodes were lost."""
    trajectories = rows_of(rows, Trajectory)
    faults = {row.trajectory_id: _token_fault(row) or _dialogue_fault(row) for row in trajectories}
    lost = sum(row.stop_reason is StopReason.INFRASTRUCTURE for row in trajectories)
    n_rows = max(1, len(trajectories))
    problem = ""
    if lost / n_rows > context.limits.max_infrastructure_share:
        problem = (
            f"{lost} of {len(trajectories)} episodes ended in infrastructure failures, at most "
            f"{context.limits.max_infrastructure_share:.0%} may"
        )
    stops = Counter(row.stop_reason for row in trajectories)
    numbers = {f"stopped_{reason}": float(count) for reason, count in sorted(stops.items())}
    numbers["n_user_faults"] = float(sum(row.user_fault is not None for row in trajectories))
    numbers["success_share"] = sum(row.succeeded for row in trajectories) / n_rows
    return Finding({key: fault for key, fault in faults.items() if fault}, problem, numbers)


def _token_fault(row: Trajectory) -> str:
    n_tokens, n_mask, n_logprobs = len(row.token_ids), len(row.assistant_mask), len(row.logprobs)
    if n_mask != n_tokens or n_logprobs not in (0, n_tokens):
        return f"{n_tokens} tokens, {n_mask} mask entries, {n_logprobs} log-probabilities"
    if not all(math.isfinite(value) for value in row.logprobs):
        return "a log-probability is not finite"
    for sampled, value in zip(row.assistant_mask, row.logprobs, strict=False):
        # 1e-3: a softmax in 16-bit floats may round the probability of a sure token above 1.
        if value > 1e-3 or (value and not sampled):
            return f"log-probability {value:.3g} on a {'sampled' if sampled else 'given'} token"
    return ""


def _dialogue_fault(row: Trajectory) -> str:
    if not math.isfinite(row.reward.total):
        return "the reward is not finite"
    if row.stop_reason is StopReason.INFRASTRUCTURE:
        return "succeeded although the infrastructure failed" if row.succeeded else ""
    if not row.messages:
        return "has no messages"
    if row.succeeded and row.stop_reason not in _GOOD_ENDS:
        return f"succeeded, but ended with {row.stop_reason}"
    open_calls: set[str] = set()
    for turn, message in enumerate(row.messages):
        open_calls.update(call.id for call in message.tool_calls)
        if message.role == "tool":
            if message.tool_call_id not in open_calls:
                return f"turn {turn} answers the unknown call {message.tool_call_id!r}"
            open_calls.discard(message.tool_call_id)
    return ""


def tokens_stored(rows: Sequence[Record], context: GateContext) -> Finding:
    """Episodes to train on carry their sampled tokens and log-probabilities: nothing is ever re-tokenized."""
    played = [row for row in rows_of(rows, Trajectory) if row.stop_reason is not StopReason.INFRASTRUCTURE]
    bad = {row.trajectory_id: "has no sampled token" for row in played if not any(row.assistant_mask)}
    bad |= {row.trajectory_id: "has no log-probabilities" for row in played if len(row.logprobs) != len(row.token_ids)}
    sampled = sum(sum(row.assistant_mask) for row in played)
    return Finding(bad, numbers={"sampled_tokens_per_episode": sampled / max(1, len(played))})


def groups_whole(rows: Sequence[Record], context: GateContext) -> Finding:
    """A group's episodes, whose rewards were normalised together, play one task under one policy version."""
    groups: dict[tuple[int, str], list[RlRollout]] = defaultdict(list)
    for row in rows_of(rows, RlRollout):
        groups[row.train_step, row.group_id].append(row)
    bad: dict[str, str] = {}
    for (step, group), members in groups.items():
        played = sorted({f"{row.task_id} by {row.policy_version}" for row in members})
        if len(played) > 1:
            bad.update({row.trajectory_id: f"group {group} of step {step} mixes {played}" for row in members})
    bad |= {
        row.trajectory_id: "advantage not finite"
        for g in groups.values()
        for row in g
        if not math.isfinite(row.advantage)
    }
    return Finding(bad, numbers={"n_groups": len(groups), "group_size": len(rows) / max(1, len(groups))})


@documented
def tasks_known(table: str) -> Check:
    """A gate: every trajectory plays a task of this table, of the same round or of the bootstrap."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        known = _task_ids(context, table)
        return Finding(
            {
                row.trajectory_id: f"plays {row.task_id}, which is not in {table}"
                for row in rows_of(rows, Trajectory)
                if row.task_id not in known
            }
        )

    return check


def _task_ids(context: GateContext, table: str) -> set[str]:
    rows = context.read(table, None)
    tasks = [row.task if isinstance(row, PoolTask) else row for row in rows]
    return {task.task_id for task in rows_of(tasks, Task)}


@documented
def databases_known(split: str) -> Check:
    """A gate: every episode ran on a declared database of this split."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        splits = {key: row.split for key, row in stored_databases(context).items()}
        return Finding(
            {
                row.trajectory_id: f"ran on {row.database_id!r}, which is {splits.get(row.database_id, 'not declared')}"
                for row in rows_of(rows, Trajectory)
                if splits.get(row.database_id) != split
            }
        )

    return check


def advantages_centred(rows: Sequence[Record], context: GateContext) -> Finding:
    """The advantages of a group add up to nothing: they were normalised together and none was lost since."""
    groups: dict[tuple[int, str], list[RlRollout]] = defaultdict(list)
    for row in rows_of(rows, RlRollout):
        groups[row.train_step, row.group_id].append(row)
    means = {key: sum(row.advantage for row in group) / len(group) for key, group in groups.items()}
    bad = {
        row.trajectory_id: f"the advantages of group {key[1]} of step {key[0]} have the mean {means[key]:.3f}"
        for key, group in groups.items()
        for row in group
        if abs(means[key]) > CENTRE_TOLERANCE
    }
    return Finding(bad)


@documented
def trials_complete(table: str) -> Check:
    """A gate: each policy has played every task of this table equally often, trials 0..n-1."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        trials: dict[tuple[str, str], list[int]] = defaultdict(list)
        trajectories = rows_of(rows, Trajectory)
        for row in trajectories:
            trials[row.policy_version, row.task_id].append(row.trial)
        n_trials = max((max(played) + 1 for played in trials.values()), default=0)
        task_ids = sorted(_task_ids(context, table))
        bad: dict[str, str] = {}
        for version in sorted({row.policy_version for row in trajectories}):
            for task in task_ids:
                played = sorted(trials[version, task])
                if played != list(range(n_trials)):
                    bad[task] = f"{version} played trials {played} of 0..{n_trials - 1}"
        return Finding(bad, numbers={"n_trials": n_trials, "n_tasks": len(task_ids)})

    return check


def demonstrations_succeed(rows: Sequence[Record], context: GateContext) -> Finding:
    """What a policy imitates, or a task is made from, has succeeded."""
    trajectories = rows_of(rows, Trajectory)
    return Finding({row.trajectory_id: f"failed ({row.stop_reason})" for row in trajectories if not row.succeeded})


def reward_adds_up(rows: Sequence[Record], context: GateContext) -> Finding:
    """The total that the trainer saw is the weighted sum of the stored parts."""
    rescore = needed(context.rescore, "rescore")
    bad: dict[str, str] = {}
    totals = []
    for row in rows_of(rows, Trajectory):
        if row.stop_reason is StopReason.INFRASTRUCTURE:
            continue
        expected = rescore(row.reward)
        totals.append(row.reward.total)
        if not abs(expected - row.reward.total) <= TOTAL_TOLERANCE:
            bad[row.trajectory_id] = f"total {row.reward.total:.4f}, its parts give {expected:.4f}"
    return Finding(bad, numbers={"mean_reward": sum(totals) / max(1, len(totals))})


def explanations_cite(rows: Sequence[Record], context: GateContext) -> Finding:
    """Each failed validation episode is explained once, by turns that exist."""
    rollouts = rows_of(context.read("validation_rollouts", context.round), Trajectory)
    failed = {
        row.trajectory_id: row
        for row in rollouts
        if not row.succeeded and row.stop_reason is not StopReason.INFRASTRUCTURE
    }
    explanations = rows_of(rows, Explanation)
    counts = Counter(row.trajectory_id for row in explanations)
    bad = {key: "failed, but has no explanation" for key in failed if key not in counts}
    for row in explanations:
        fault = _explanation_fault(row, failed.get(row.trajectory_id), counts, context)
        if fault:
            bad[row.explanation_id] = fault
    blamed = Counter(row.blame for row in explanations)
    foreign = 1 - blamed[Blame.AGENT] / max(1, len(explanations)) if explanations else 0.0
    problem = ""
    if foreign > context.limits.max_foreign_blame_share:
        problem = f"{foreign:.0%} of the failures are not the agent's"
    numbers = {"n_failed": float(len(failed)), "foreign_blame_share": foreign}
    return Finding(bad, problem, numbers)


def _explanation_fault(
    row: Explanation, trajectory: Trajectory | None, counts: Counter[str], context: GateContext
) -> str:
    if trajectory is None:
        return f"explains {row.trajectory_id}, which is no failed episode of this round"
    if counts[row.trajectory_id] > 1:
        return f"{row.trajectory_id} is explained {counts[row.trajectory_id]} times"
    if row.task_id != trajectory.task_id:
        return f"names task {row.task_id}, the episode played {trajectory.task_id}"
    n_turns = len(trajectory.messages)
    cited = {row.decisive_turn, *row.evidence_turns}
    if not row.evidence_turns or min(cited) < 0 or max(cited) >= n_turns:
        return f"cites turns {sorted(row.evidence_turns)}, decisive {row.decisive_turn}, of {n_turns}"
    if context.patterns and row.pattern not in context.patterns | {"other"}:
        return f"pattern {row.pattern!r} is not in the domain's table"
    return ""


def clusters_add_up(rows: Sequence[Record], context: GateContext) -> Finding:
    """Clusters are disjoint sets of this round's agent-blamed failures; sizes, shares and examples follow from them."""
    read = rows_of(context.read("judge_explanations", context.round), Explanation)
    blamed = {row.explanation_id: row for row in read if row.blame is Blame.AGENT}
    clusters = rows_of(rows, FailureCluster)
    earlier = {row.cluster_id for row in rows_of(context.read("failure_clusters", None), FailureCluster)} - {
        row.cluster_id for row in clusters
    }
    owner: dict[str, str] = {}
    bad: dict[str, str] = {}
    for row in clusters:
        fault = _cluster_fault(row, blamed, earlier)
        shared = [
            member for member in row.explanation_ids if owner.setdefault(member, row.cluster_id) != row.cluster_id
        ]
        if fault or shared:
            bad[row.cluster_id] = fault or f"shares {shared[0]} with {owner[shared[0]]}"
    noise = 1 - len(owner.keys() & blamed.keys()) / len(blamed) if blamed else 0.0
    problem = ""
    if noise > context.limits.max_noise_share:
        problem = f"{noise:.0%} of {len(blamed)} failures are in no cluster"
    return Finding(bad, problem, {"n_clusters": float(len(clusters)), "noise_share": noise})


def _cluster_fault(row: FailureCluster, blamed: dict[str, Explanation], earlier: set[str]) -> str:
    members = [blamed[key] for key in row.explanation_ids if key in blamed]
    if not row.size == len(row.explanation_ids) == len(set(row.explanation_ids)):
        return f"size {row.size}, {len(set(row.explanation_ids))} distinct explanations"
    if len(members) != row.size:
        return f"{row.size - len(members)} explanations are not agent-blamed failures of this round"
    if abs(row.share - row.size / len(blamed)) > TOTAL_TOLERANCE:
        return f"share {row.share:.3f}, {row.size} of {len(blamed)} failures"
    patterns = Counter(member.pattern for member in members)
    if patterns[row.pattern] < max(patterns.values()):
        return f"pattern {row.pattern} is not the most frequent ({patterns.most_common(1)[0][0]})"
    if not {member.text for member in members}.issuperset(row.example_texts):
        return "an example is no member's text"
    if row.previous_cluster_id is not None and row.previous_cluster_id not in earlier:
        return f"continues {row.previous_cluster_id}, which is not stored"
    return ""

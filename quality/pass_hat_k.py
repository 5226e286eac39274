"""Pass^k with its uncertainty: the estimator, outcome rows, the report and the paired comparison of two policies.

The unit of resampling is the task, never the trial: trials of one task are alike, and an interval over trials would
be too narrow by far. Infrastructure failures and user faults leave the rates and are counted. A missing trial is not a
failed one: where trials are missing without a counted reason, these functions refuse instead of guessing.
An interval around a rate of exactly 0 or 1 has no width (every resample is the same): read `n_tasks` beside it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas import PassHatK, StopReason, Task, TaskOutcome, UserFault
from schemas.errors import MetricError

CONFIDENCE = 0.95
"""Coverage of every interval in a report."""
N_RESAMPLES = 2000
"""Bootstrap resamples: the interval's end moves by about 0.1 points between seeds at 200 tasks."""
_CHUNK_CELLS = 4_000_000
"""Cells of one resampling matrix (32 MB), so that ten thousand tasks do not need gigabytes."""


class EpisodeOutcome(Protocol):
    """What an outcome row needs of an episode; `Trajectory` satisfies it, so does a narrow projection of it."""

    @property
    def task_id(self) -> str:
        """Task that was played."""
        ...

    @property
    def policy(self) -> str:
        """Who played."""
        ...

    @property
    def policy_version(self) -> str:
        """Checkpoint id of who played."""
        ...

    @property
    def trial(self) -> int:
        """Index of the repeat."""
        ...

    @property
    def stop_reason(self) -> StopReason:
        """Why the episode ended."""
        ...

    @property
    def user_fault(self) -> UserFault | None:
        """The user simulator's own mistake, if any."""
        ...

    @property
    def succeeded(self) -> bool:
        """Whether the criteria hold at the end."""
        ...


@dataclass(frozen=True)
class PairedDifference:
    """What a candidate gains over a baseline on the same tasks, in Pass^k (1.0 = 100 points)."""

    baseline: str
    candidate: str
    k: int
    mean: float
    ci_low: float
    ci_high: float
    p_value: float
    """Two-sided, sign-flip permutation test over tasks; never exactly 0."""
    n_tasks: int
    n_better: int
    """Tasks on which the candidate's Pass^k is higher."""
    n_worse: int


def pass_hat_k(successes: int, trials: int, k: int) -> float:
    """Chance that k trials drawn without replacement all succeed.

    Source: tau-bench, arXiv:2406.12045 (combination estimator C(c, k) / C(n, k)).

    Args:
        successes: Trials that succeeded, 0 <= successes <= trials.
        trials: Trials that count, without infrastructure failures.
        k: Trials drawn, 1 <= k <= trials.

    Returns:
        A value in [0, 1].

    Raises:
        MetricError: When k > trials (a missing trial is not a failed one) or a number is out of its range.
    """
    if k < 1 or trials < 1:
        raise MetricError(f"pass_hat_k: expected k >= 1 and trials >= 1, got k={k}, trials={trials}; check the caller")
    if not 0 <= successes <= trials:
        raise MetricError(f"pass_hat_k: expected 0..{trials} successes, got {successes}; recount the outcomes")
    if k > trials:
        raise MetricError(f"pass_hat_k: expected k <= trials, got k={k}, trials={trials}; play more trials or lower k")
    return math.comb(successes, k) / math.comb(trials, k)


def outcomes(rows: Iterable[EpisodeOutcome], tasks: Sequence[Task], seed: int = 0) -> list[TaskOutcome]:
    """Count the trials of each task per policy; infrastructure failures and user faults are excluded and counted.

    Args:
        rows: Episodes of one or more policies, in any order.
        tasks: The tasks that were to be played; each must have an episode by each policy.
        seed: Seed of the rollouts, kept in the rows.

    Returns:
        One row per policy and task, policies in report order, tasks in the given order.

    Raises:
        MetricError: On an unknown task, a trial played twice, a task never played or lost to the infrastructure
            in every trial.
    """
    patterns = {task.task_id: task.pattern for task in tasks}
    played: dict[tuple[str, str], dict[str, dict[int, EpisodeOutcome]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row.task_id not in patterns:
            raise MetricError(
                f"outcomes[{row.policy}]: expected one of {len(patterns)} tasks, got {row.task_id}; pass its task table"
            )
        trials = played[row.policy, row.policy_version][row.task_id]
        if row.trial in trials:
            raise MetricError(
                f"outcomes[{row.policy}]: expected one episode per trial, got trial {row.trial} of {row.task_id} "
                "twice; deduplicate the rollouts by trajectory_id"
            )
        trials[row.trial] = row
    return [
        _task_outcome(policy, version, task_id, pattern, played[policy, version].get(task_id, {}), seed)
        for policy, version in sorted(played, key=lambda key: (policy_order(key[0]), key[1]))
        for task_id, pattern in patterns.items()
    ]


def _task_outcome(
    policy: str, version: str, task_id: str, pattern: str, trials: dict[int, EpisodeOutcome], seed: int
) -> TaskOutcome:
    played = [row for row in trials.values() if row.stop_reason is not StopReason.INFRASTRUCTURE]
    counted = [row for row in played if row.user_fault is None]
    # A task whose every trial the user spoilt would be spoilt again: it stays, with no trial, and leaves the estimates.
    if not played:
        cause = f"{len(trials)} infrastructure failures" if trials else "no episode"
        raise MetricError(f"outcomes[{policy}]: expected a played trial of {task_id}, got {cause}; replay that task")
    return TaskOutcome(
        policy=policy,
        policy_version=version,
        task_id=task_id,
        pattern=pattern,
        n_trials=len(counted),
        n_successes=sum(row.succeeded for row in counted),
        n_excluded=len(trials) - len(counted),
        n_user_faults=len(played) - len(counted),
        seed=seed,
    )


def policy_order(policy: str) -> tuple[int, str]:
    """Sort key that puts base before sft before the rounds before everything else."""
    ranks = {"base": 0, "sft": 1}
    return (ranks.get(policy, 2 if policy.startswith("rl-") else 3), policy)


def report(
    rows: Sequence[TaskOutcome], ks: Sequence[int] = (1, 2, 3, 4), n_resamples: int = N_RESAMPLES, seed: int = 0
) -> list[PassHatK]:
    """Pass^k of each policy with a 95 % percentile bootstrap interval over tasks.

    A task that lost trials and has fewer than k left leaves that k only; `n_tasks` shows it.
    In a row, `n_trials` and `n_excluded` are sums over the tasks that count for its k.

    Args:
        rows: Outcomes of one or more policies.
        ks: Values of k.
        n_resamples: Bootstrap resamples.
        seed: Seed of the resampling; the same task draws serve every policy, so that policies compare.

    Returns:
        Rows ordered by policy (base, sft, rounds), then k.

    Raises:
        MetricError: When no rows are given, a task occurs twice, or trials are missing without a counted reason.
    """
    if not rows:
        raise MetricError("report: expected outcomes of at least one policy, got none; evaluate a policy first")
    by_policy: dict[tuple[str, str], list[TaskOutcome]] = defaultdict(list)
    for row in rows:
        by_policy[row.policy, row.policy_version].append(row)
    lines = []
    for key in sorted(by_policy, key=lambda key: (policy_order(key[0]), key[1])):
        ordered = list(_by_task(by_policy[key]).values())
        lines.extend(_report_line(ordered, k, n_resamples, seed) for k in ks)
    return lines


def _report_line(rows: Sequence[TaskOutcome], k: int, n_resamples: int, seed: int) -> PassHatK:
    counted = [row for row in rows if row.n_trials >= k or row.n_excluded == 0]
    if not counted:
        raise MetricError(
            f"report[{rows[0].policy}]: expected a task with {k} counted trials, got none of {len(rows)}; "
            "replay the trials that were lost"
        )
    values = _task_values(counted, k)
    low, high = bootstrap_interval(values, n_resamples, seed)
    return PassHatK(
        policy=rows[0].policy,
        policy_version=rows[0].policy_version,
        k=k,
        pass_hat_k=float(values.mean()),
        ci_low=low,
        ci_high=high,
        n_tasks=len(counted),
        n_trials=sum(row.n_trials for row in counted),
        n_excluded=sum(row.n_excluded for row in counted),
        n_user_faults=sum(row.n_user_faults for row in counted),
        seed=seed,
    )


def _task_values(rows: Sequence[TaskOutcome], k: int) -> NDArray[np.float64]:
    return np.array([pass_hat_k(row.n_successes, row.n_trials, k) for row in rows], dtype=np.float64)


def _by_task(rows: Sequence[TaskOutcome]) -> dict[str, TaskOutcome]:
    """Outcomes of one policy by task id, in id order, so that resampling does not depend on row order."""
    policies = sorted({f"{row.policy}@{row.policy_version}" for row in rows})
    if len(policies) != 1:
        raise MetricError(f"outcomes: expected one policy, got {policies or 'no rows'}; filter by policy_version")
    by_task = {row.task_id: row for row in sorted(rows, key=lambda row: row.task_id)}
    if len(by_task) != len(rows):
        raise MetricError(
            f"outcomes[{policies[0]}]: expected one row per task, got {len(rows)} rows of {len(by_task)} tasks; "
            "merge the trials of a task first"
        )
    return by_task


def bootstrap_interval(values: NDArray[np.float64], n_resamples: int, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean of task values, resampling tasks with replacement."""
    rng = np.random.default_rng(seed)
    n_tasks = len(values)
    chunk = max(1, _CHUNK_CELLS // n_tasks)
    draws = (
        rng.integers(0, n_tasks, size=(min(chunk, n_resamples - start), n_tasks))
        for start in range(0, n_resamples, chunk)
    )
    samples = np.concatenate([values[index].mean(axis=1) for index in draws])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    # The mean of equal floats may miss them by one ulp: the interval must stay inside the values' range.
    return float(np.clip(low, values.min(), values.max())), float(np.clip(high, values.min(), values.max()))


def paired_difference(
    baseline: Sequence[TaskOutcome],
    candidate: Sequence[TaskOutcome],
    k: int,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> PairedDifference:
    """Candidate minus baseline in Pass^k, paired by task.

    Tasks of which either side lost so many trials that fewer than k are left leave the pairing.

    Args:
        baseline: Outcomes of one policy.
        candidate: Outcomes of the other policy on the same tasks.
        k: Trials drawn.
        n_resamples: Bootstrap resamples and random sign flips.
        seed: Seed of both.

    Raises:
        MetricError: When the task sets differ: a difference over other tasks compares tasks, not policies.
    """
    left, right = _by_task(baseline), _by_task(candidate)
    if left.keys() != right.keys():
        odd = sorted(left.keys() ^ right.keys())
        raise MetricError(
            f"paired_difference: expected the same tasks on both sides, got {len(odd)} unpaired (first: {odd[0]}); "
            "evaluate both policies on one task table"
        )
    paired = [
        task_id
        for task_id in left
        if all(side[task_id].n_trials >= k or side[task_id].n_excluded == 0 for side in (left, right))
    ]
    if not paired:
        raise MetricError(f"paired_difference: expected tasks with {k} counted trials on both sides, got none; replay")
    gains = _task_values([right[t] for t in paired], k) - _task_values([left[t] for t in paired], k)
    low, high = bootstrap_interval(gains, n_resamples, seed)
    return PairedDifference(
        baseline=baseline[0].policy,
        candidate=candidate[0].policy,
        k=k,
        mean=float(gains.mean()),
        ci_low=low,
        ci_high=high,
        p_value=_sign_flip_p_value(gains, n_resamples, seed),
        n_tasks=len(paired),
        n_better=int((gains > 0).sum()),
        n_worse=int((gains < 0).sum()),
    )


def _sign_flip_p_value(gains: NDArray[np.float64], n_resamples: int, seed: int) -> float:
    """Share of random sign flips whose mean is at least as far from zero (add-one, so never 0)."""
    rng = np.random.default_rng([seed, 1])
    moved = gains[gains != 0]
    if len(moved) == 0:
        return 1.0
    chunk = max(1, _CHUNK_CELLS // len(moved))
    extreme = 0
    for start in range(0, n_resamples, chunk):
        signs = rng.integers(0, 2, size=(min(chunk, n_resamples - start), len(moved))) * 2 - 1
        extreme += int((np.abs(signs @ moved) >= abs(moved.sum()) - 1e-12).sum())
    return (1 + extreme) / (1 + n_resamples)


def table_text(rows: Sequence[PassHatK]) -> str:
    """The report as an aligned text table: one line per policy, Pass^k in percent with its interval."""
    ks = sorted({row.k for row in rows})
    cells = {(row.policy, row.policy_version, row.k): row for row in rows}
    policies = sorted({(row.policy, row.policy_version) for row in rows}, key=lambda p: (policy_order(p[0]), p[1]))
    names = [policy for policy, _ in policies]
    header = ["policy", *(f"Pass^{k} % [95 % CI]" for k in ks), "tasks", "trials", "excluded"]
    lines = []
    for policy, version in policies:
        own = [cells.get((policy, version, k)) for k in ks]
        first = next(row for row in own if row is not None)
        name = policy if names.count(policy) == 1 else f"{policy} ({version})"
        counts = [str(first.n_tasks), str(first.n_trials), excluded_text(first)]
        lines.append([name, *(_percent_cell(row) for row in own), *counts])
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    rule = "  ".join("-" * width for width in widths)
    text = [_aligned(header, widths), rule, *(_aligned(line, widths) for line in lines)]
    return "\n".join(text)


def excluded_text(row: PassHatK) -> str:
    """Trials that do not count, and how many of them the user simulator spoilt."""
    return f"{row.n_excluded} ({row.n_user_faults} by the user)" if row.n_user_faults else str(row.n_excluded)


def _percent_cell(row: PassHatK | None) -> str:
    if row is None:
        return "-"
    return f"{100 * row.pass_hat_k:.1f} [{100 * row.ci_low:.1f}, {100 * row.ci_high:.1f}]"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]).rstrip()

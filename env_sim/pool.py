"""From this round's failures to the pool: which patterns, from which sources, with which weight.

Pure functions over records; nothing is read or stored here. The plan says how many tasks of each pattern a round
wants and which failure clusters asked for them, so that every injected task can name its cluster.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from pydantic import Field

from env_sim.reward import RewardConfig, total_reward
from env_sim.tasks import pattern_counts, write_tasks
from schemas import DatabaseRow, FailureCluster, PoolTask, Task, Trajectory, Verdict
from schemas.ids import canonical_json
from schemas.records import Record

__all__ = [
    "InjectionConfig",
    "MixConfig",
    "PatternPlan",
    "Targeting",
    "ablations",
    "build_pool",
    "distinct_tasks",
    "inject_tasks",
    "occasions",
    "pattern_table",
    "plan_patterns",
    "rejection_table",
    "rescored",
    "wording_key",
]

Targeting = Literal["clusters", "uniform", "none"]
"""`clusters`: patterns in proportion to this round's failures; `uniform`: all patterns alike; `none`: plain tasks."""


class InjectionConfig(Record):
    """How many tasks a round injects, and how hard it searches for occasions."""

    tasks_per_round: int = Field(default=1500, ge=1, le=1_000_000)
    """Tasks wanted per round; 25 training steps of 64 groups see each about once."""
    plain_share: float = Field(default=0.1, ge=0, le=1)
    """Share of plain tasks among them: without any, training unlearns what was already solved."""
    pattern_floor: float = Field(default=0.04, ge=0, le=0.1)
    """Least share of each pattern, failed at or not: one without any tasks is unlearnt beside its neighbours (asking
    for a variant fell from 84 % to 16 % while variants that need no question were trained)."""
    sources_per_task: float = Field(default=1.25, ge=1, le=10)
    """Source trajectories kept per wanted task; the writer draws anew and refuses some, 1.25 covers that."""
    explorations_per_task: int = Field(default=60, ge=1, le=1000)
    """Explorations tried per wanted task before the search ends; rare patterns fit 1 exploration in 75, and each is
    offered to one pattern only."""
    checks: Literal["replay", "all"] = "replay"
    """What a program's task must pass, a model's always passes all. `replay`: it is sound by construction. `all`: also
    none that the naive agent solves, which an operator alone can't promise of every task."""


class MixConfig(Record):
    """How the rounds of the pool are mixed."""

    policy: Literal["union", "recency", "cluster_weighted"] = "union"
    """`union`: every task alike; `recency`: older rounds fade; `cluster_weighted`: patterns as in today's failures."""
    half_life_rounds: float = Field(default=1.0, gt=0, le=100)
    """`recency`: rounds after which a task's weight has halved."""
    min_weight: float = Field(default=0.05, gt=0, le=1)
    """`cluster_weighted`: what a pattern nobody fails at any more still weighs; 0 would forget it."""


@dataclass(frozen=True)
class PatternPlan:
    """What a round wants to inject."""

    counts: Mapping[str, int]
    """Pattern -> number of tasks."""
    clusters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Pattern -> cluster id -> failures of that cluster that ask for it."""

    @property
    def n_tasks(self) -> int:
        """Tasks in all."""
        return sum(self.counts.values())


def plan_patterns(
    targeting: Targeting,
    clusters: Sequence[FailureCluster],
    patterns: Sequence[str],
    plain: str,
    config: InjectionConfig,
) -> PatternPlan:
    """Spread a round's tasks over the failure patterns.

    A cluster asks for what its members are called, not for what most of them are: density may put failures of three
    patterns together that end alike. Members whose pattern the domain's table does not know (`other`) are spread over
    all patterns: their failures are real, but nobody can write them on purpose yet. Where a pattern is in several (`a`,
    `a+b`), each of them is asked for. Without clusters the patterns are taken alike. Patterns that nothing failed at
    keep `pattern_floor`.

    Args:
        targeting: How patterns are chosen.
        clusters: This round's failures, grouped.
        patterns: The difficult patterns of the domain.
        plain: Name of the pattern without difficulty.
        config: Number of tasks and their plain share.
    """
    if targeting == "none":
        return PatternPlan({plain: config.tasks_per_round})
    asked: dict[str, dict[str, float]] = defaultdict(dict)
    for cluster in clusters if targeting == "clusters" else ():
        for called, size in cluster.called.items():
            targets = [name for name in patterns if called in name.split("+")] or list(patterns)
            for pattern in targets:
                before = asked[pattern].get(cluster.cluster_id, 0.0)
                asked[pattern][cluster.cluster_id] = before + size / len(targets)
    sizes = {pattern: sum(asked[pattern].values()) for pattern in patterns if pattern in asked}
    sizes = sizes or dict.fromkeys(patterns, 1.0)
    floor = min(config.pattern_floor, (1 - config.plain_share) / len(patterns))
    free = 1 - config.plain_share - floor * len(patterns)
    shares = {name: floor + free * sizes.get(name, 0.0) / sum(sizes.values()) for name in patterns}
    mix = {plain: config.plain_share, **shares}
    counts = pattern_counts(mix, config.tasks_per_round)
    return PatternPlan({name: count for name, count in counts.items() if count}, dict(asked))


def occasions(
    domain: str,
    databases: Mapping[str, DatabaseRow],
    explorations: Iterable[Trajectory],
    plan: PatternPlan,
    config: InjectionConfig,
    seed: int,
) -> list[tuple[Trajectory, str]]:
    """Explorations with the pattern that each is kept for, each once, in id order.

    Most wishes allow no difficulty (a wrong order needs two alike), so they are kept by what can be written from them,
    not at random. Takes from `explorations` until the plan has enough or they end.
    """
    wanted = {name: ceil(count * config.sources_per_task) for name, count in plan.counts.items()}
    found: dict[str, tuple[Trajectory, str]] = {}
    for source, task in write_tasks(domain, databases, explorations, wanted, seed):
        found.setdefault(source.trajectory_id, (source, task.pattern))
    return [found[key] for key in sorted(found)]


def inject_tasks(
    domain: str,
    databases: Mapping[str, DatabaseRow],
    kept: Sequence[tuple[Trajectory, str]],
    plan: PatternPlan,
    seed: int,
) -> list[Task]:
    """Write the plan's tasks from sources and the patterns that they are kept for, in id order.

    Each names a cluster that asked for its pattern. Fewer than planned when the sources run out: counted by the caller,
    never filled up with other patterns.
    """
    kept_for = {source.trajectory_id: pattern for source, pattern in kept}
    written = write_tasks(domain, databases, [source for source, _ in kept], plan.counts, seed, kept_for=kept_for)
    made = {task.task_id: task for _, task in written}
    by_pattern: dict[str, list[Task]] = defaultdict(list)
    for task in sorted(made.values(), key=lambda task: task.task_id):
        by_pattern[task.pattern].append(task)
    assigned = [task for name, tasks in by_pattern.items() for task in _with_clusters(tasks, plan.clusters.get(name))]
    return sorted(assigned, key=lambda task: task.task_id)


def _with_clusters(tasks: Sequence[Task], weights: Mapping[str, float] | None) -> list[Task]:
    if not weights:
        return list(tasks)
    owners = [name for name, count in sorted(pattern_counts(weights, len(tasks)).items()) for _ in range(count)]
    return [task.model_copy(update={"cluster_id": cluster}) for task, cluster in zip(tasks, owners, strict=True)]


def build_pool(
    accepted: Mapping[str, Sequence[Task]], mix: MixConfig, plan: PatternPlan | None = None
) -> list[PoolTask]:
    """The union of all rounds' accepted tasks, each once, weighted by the mixing policy.

    Args:
        accepted: Round -> accepted tasks, rounds in order; of twins the first round's stays.
        mix: The mixing policy.
        plan: This round's plan; `cluster_weighted` takes its pattern shares.
    """
    kept: dict[str, tuple[Task, str]] = {}
    ids: set[str] = set()
    for name, tasks in accepted.items():
        for task in sorted(tasks, key=lambda task: task.task_id):
            key = wording_key(task)
            if key not in kept and task.task_id not in ids:
                kept[key] = (task, name)
                ids.add(task.task_id)
    weigh = _weights(mix, list(accepted), [task for task, _ in kept.values()], plan)
    return [
        PoolTask(task=task, added_in=name, weight=weigh(task, name))
        for task, name in sorted(kept.values(), key=lambda pair: pair[0].task_id)
    ]


def _weights(
    mix: MixConfig, rounds: Sequence[str], tasks: Sequence[Task], plan: PatternPlan | None
) -> Callable[[Task, str], float]:
    if mix.policy == "recency":
        age = {name: len(rounds) - 1 - place for place, name in enumerate(rounds)}
        return lambda task, name: 0.5 ** (age[name] / mix.half_life_rounds)
    if mix.policy == "cluster_weighted" and plan is not None:
        held = Counter(task.pattern for task in tasks)
        shares = {name: plan.counts.get(name, 0) / plan.n_tasks * len(tasks) / held[name] for name in held}
        return lambda task, name: max(mix.min_weight, shares[task.pattern])
    return lambda task, name: 1.0


def wording_key(task: Task) -> str:
    """What makes two tasks the same to a policy: world, words said, end state required."""
    words = [" ".join(text.lower().split()) for text in task.scenario.texts]
    return canonical_json([task.database_id, words, task.scenario.confirmation, task.criteria])


def distinct_tasks(tasks: Iterable[Task]) -> list[Task]:
    """Of tasks that ask for the same in the same words of the same world, the first in id order."""
    first: dict[str, Task] = {}
    for task in sorted(tasks, key=lambda task: task.task_id):
        first.setdefault(wording_key(task), task)
    return list(first.values())


def rescored(trajectory: Trajectory, config: RewardConfig) -> Trajectory:
    """The same episode with its total under these weights; the parts stay."""
    parts = trajectory.reward
    total = total_reward(config, parts.success, parts.action_checks, parts.length_tokens, parts.repeats)
    return trajectory.model_copy(update={"reward": parts.model_copy(update={"total": total})})


def pattern_table(tasks: Sequence[Task]) -> list[tuple[str, int, float]]:
    """(pattern, tasks, share), most frequent first."""
    counts = Counter(task.pattern for task in tasks)
    return [(name, counts[name], counts[name] / len(tasks)) for name in sorted(counts, key=lambda n: (-counts[n], n))]


def rejection_table(verdicts: Iterable[Verdict]) -> list[tuple[str, int]]:
    """(reason, tasks) of what was rejected, most frequent first."""
    return Counter(verdict.reason for verdict in verdicts if not verdict.executable).most_common()


def ablations(reward: RewardConfig) -> dict[str, RewardConfig]:
    """The full reward and two poorer ones: what do the guardrails buy?"""
    return {
        "full": reward,
        "no-repeat-penalty": reward.model_copy(update={"repeat": 0.0}),
        "success-only": reward.model_copy(update={"action_checks": 0.0, "length": 0.0, "repeat": 0.0}),
    }

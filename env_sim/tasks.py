"""Making tasks by the batch: explore, write, demonstrate, replay.

Every draw comes from a generator seeded by (seed, index), so a batch is the same rows whatever else has run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random

from env_sim.domains import load_domain
from env_sim.episode import Episode, run_episode
from env_sim.reward import Scorer
from env_sim.soundness_rules import reference_problem
from env_sim.task_kits import load_task_kit
from schemas import DatabaseRow, Task, TaskError, Trajectory, Verdict
from schemas.ids import trajectory_id

EXPERT = "expert/2"


def explore(domain_name: str, databases: Sequence[DatabaseRow], seed: int) -> Iterator[Trajectory]:
    """Endless successful explorations, the databases in turn."""
    domain, kit = load_domain(domain_name), load_task_kit(domain_name)
    index = 0
    while True:
        row = databases[index % len(databases)]
        rng = Random(f"explore:{seed}:{index}")
        source = kit.explore(domain, domain.open_database(row), row.database_id, seed, rng)
        if source is not None:
            yield source
        index += 1


def write_tasks(
    domain_name: str,
    databases: Mapping[str, DatabaseRow],
    sources: Iterable[Trajectory],
    wanted: Mapping[str, int],
    seed: int,
    kept_for: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[Trajectory, Task]]:
    """Turn sources into tasks until each pattern has its number or the sources end; one task per source at most.

    A source is offered to one pattern, drawn by lot in proportion to what each still lacks, whatever the source holds:
    so the tasks of a pattern are a fair draw of the explorations that allow it, the same whichever other patterns are
    wanted beside it. (Offered to the next one when the first refuses, a source of two wishes would go to whoever is
    pickiest, and lost_in_search would hold changes of items in one mix and none in another.)

    Args:
        domain_name: The sources' domain.
        databases: Database rows by id.
        sources: Explorations, in order.
        wanted: Pattern -> number of tasks.
        seed: Of the lots and the wordings.
        kept_for: Source's id -> pattern that it was kept for; None: by lot.
        progress: Hears of each task by the number made so far.
    """
    domain, kit = load_domain(domain_name), load_task_kit(domain_name)
    missing = {pattern: n for pattern, n in wanted.items() if n > 0}
    made: list[tuple[Trajectory, Task]] = []
    for number, source in enumerate(sources):
        if not missing:
            break
        pattern = kept_for[source.trajectory_id] if kept_for else _drawn(missing, f"offer:{seed}:{number}")
        if pattern not in missing:
            continue
        base = domain.open_database(databases[source.database_id])
        task = kit.write_task(source, base, pattern, Random(f"write:{seed}:{number}:{pattern}"))
        if task is None:
            continue
        made.append((source, task))
        if progress:
            progress(len(made))
        missing[pattern] -= 1
        if not missing[pattern]:
            del missing[pattern]
    return made


def _drawn(missing: Mapping[str, int], lot: str) -> str:
    """One of the patterns, in proportion to what it lacks; the same whatever order they are in."""
    names = sorted(missing)
    return Random(lot).choices(names, [missing[name] for name in names])[0]


def pattern_counts(mix: Mapping[str, float], n: int) -> dict[str, int]:
    """Whole numbers in proportion to the mix that add up to n (largest remainder)."""
    total = sum(mix.values())
    exact = {pattern: n * weight / total for pattern, weight in mix.items()}
    counts = {pattern: int(value) for pattern, value in exact.items()}
    by_remainder = sorted(exact, key=lambda pattern: (counts[pattern] - exact[pattern], pattern))
    for pattern in by_remainder[: n - sum(counts.values())]:
        counts[pattern] += 1
    return counts


def standard_mix(domain_name: str, plain_share: float, patterns: Sequence[str] = ()) -> dict[str, float]:
    """A share of plain tasks, the rest even over these patterns (none: all difficult ones of the domain's table)."""
    kit = load_task_kit(domain_name)
    hard = list(patterns) or kit.pattern_names()
    return {kit.patterns[0].name: plain_share, **{name: (1 - plain_share) / len(hard) for name in hard}}


def make_tasks(
    domain_name: str,
    databases: Sequence[DatabaseRow],
    mix: Mapping[str, float],
    n: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[Task]:
    """About n different tasks with the pattern mix, each made from an exploration, in the order of their ids.

    The last few of a pattern whose occasions are rare may be missing (at most 2 %). `progress` hears of each
    finished task by the number made so far.

    Raises:
        TaskError: the databases don't hold enough occasions for some pattern.
    """
    wanted = pattern_counts(mix, n)
    by_id = {row.database_id: row for row in databases}
    limit = 200 * n + 5000
    sources = (source for source, _ in zip(explore(domain_name, databases, seed), range(limit), strict=False))
    written = write_tasks(domain_name, by_id, sources, wanted, seed, progress=progress)
    tasks = {task.task_id: task for _, task in written}
    lacking = Counter(wanted) - Counter(task.pattern for task in tasks.values())
    if lacking.total() > n // 50:
        raise TaskError(
            f"make_tasks[{domain_name}]: expected {n} tasks after {limit} explorations, {lacking.total()} are missing "
            f"({dict(lacking)}); add databases or lower the share of these patterns"
        )
    return sorted(tasks.values(), key=lambda task: task.task_id)


def demonstrate(domain_name: str, databases: Mapping[str, DatabaseRow], task: Task, scorer: Scorer) -> Trajectory:
    """The expert's solved dialogue of a task.

    Raises:
        TaskError: the expert does not succeed; the task or the user simulator is at fault.
    """
    domain, kit = load_domain(domain_name), load_task_kit(domain_name)
    base = domain.open_database(databases[task.database_id])
    episode = run_episode(Episode(task, domain, base), kit.expert(task, base))
    length = sum(len(m.content.split()) + 3 * len(m.tool_calls) for m in episode.messages if m.role == "assistant")
    reward = scorer.score(episode, length)
    if reward.success < 1 or episode.stop_reason is None:
        raise TaskError(
            f"demonstrate[{task.task_id}]: expected the expert to succeed on pattern {task.pattern}, "
            f"got stop reason {episode.stop_reason}, last words {episode.messages[-1].content!r}; drop the task"
        )
    return Trajectory(
        trajectory_id=trajectory_id(task.task_id, EXPERT, 0, 0),
        task_id=task.task_id,
        database_id=task.database_id,
        policy="expert",
        policy_version=EXPERT,
        trial=0,
        seed=0,
        messages=tuple(episode.messages),
        writes=tuple(episode.writes),
        stop_reason=episode.stop_reason,
        reward=reward,
        user_fault=episode.user_fault,
    )


def replay(domain_name: str, databases: Mapping[str, DatabaseRow], task: Task) -> Verdict:
    """Whether a task is executable: its reference replays, changes the state as the criteria ask, and is needed."""
    domain = load_domain(domain_name)
    row = databases.get(task.database_id)
    if row is None:
        return Verdict(task=task, executable=False, reason=f"unknown database {task.database_id}")
    problem = reference_problem(domain, domain.open_database(row), task)
    return Verdict(task=task, executable=problem is None, reason=problem.evidence if problem else "ok")

"""Is a task that a model has written any good? Each check that says no gives the verdict its reason.

In this order, cheap ones first: `replay` (the reference reaches the goal, what is forbidden is refused), `soundness`
(`env_sim.soundness`), `pattern` (a naive agent must fail where the pattern is), `solvability` (an agent that knows the
reference gets the user to the end), `back-check` (a reader finds the actions again from the words). The names begin the
reasons, so that a query can count them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from env_sim.chat.flow import each_done
from env_sim.domains import load_domain
from env_sim.episode import Episode, Policy, run_episode
from env_sim.follower import Follower
from env_sim.llm_reader import LlmReader
from env_sim.reward import Scorer
from env_sim.soundness import LOST, check_soundness, planner_findings
from env_sim.soundness_rules import reference_problem
from env_sim.task_kits import Guess, load_task_kit
from env_sim.world import Database
from schemas import Attempt, DatabaseRow, Task, Verdict

__all__ = ["CHECKS", "YIELD_HEADER", "Checked", "TaskChecker", "yield_table"]

CHECKS = ("replay", "soundness", "pattern", "solvability", "back-check")
"""With which a rejection's reason begins, in the order in which they are asked."""

YIELD_HEADER = ("pattern", "explored", "kept", "tried", "written", *CHECKS, "accepted", "naive share")
"""Columns of `yield_table`: attempts and what came of them, rejections by check, tasks, and the share of the checked
tasks that the naive agent solves by its first guess."""

GUESSES: tuple[Guess, ...] = ("first", "last")


@dataclass(frozen=True)
class Checked:
    """A verdict, and what is told beside it."""

    verdict: Verdict
    naive: bool | None = None
    """Whether the naive agent solves the task by its first guess; None where nobody has tried."""


@dataclass(frozen=True)
class TaskChecker:
    """The checks on the tasks of one domain."""

    domain_name: str
    databases: Mapping[str, DatabaseRow]
    reader: LlmReader | None = None
    """Who reads tasks back; None: the domain's planner, which reads the words of its own grammar only."""
    n_at_once: int = 64
    """Tasks under way at once."""

    async def check_all(
        self, tasks: Sequence[Task], told: Callable[[int], None] = lambda n_done: None
    ) -> list[Checked]:
        """A verdict on each task, in their order.

        Raises:
            ChatError: When the reader's endpoint gives no reply; what was answered is in the cache.
        """
        done: dict[int, Checked] = {}
        async for index, checked in each_done(tasks, self.check, self.n_at_once):
            done[index] = checked
            told(len(done))
        return [done[index] for index in range(len(tasks))]

    async def check(self, task: Task) -> Checked:
        """All checks on one task, until one says no.

        Raises:
            ChatError: As `check_all`.
        """
        row = self.databases.get(task.database_id)
        if row is None:
            return _rejected(task, "replay", f"unknown database {task.database_id}")
        domain = load_domain(self.domain_name)
        base = domain.open_database(row)
        if problem := self._replay_problem(task, base):
            return _rejected(task, "replay", problem)
        findings = check_soundness(self.domain_name, self.databases, task, plans=False)
        if broken := [finding for finding in findings if finding.severity == "broken"]:
            return _rejected(task, "soundness", f"{broken[0].rule}: {broken[0].evidence}")
        naive = self._solved_by_naive(task, base)
        if naive and all(naive):
            reason = "the naive agent solves it, whichever record it takes"
            return _rejected(task, "pattern", reason, naive[0])
        if not await self._is_solvable(task, base):
            return _rejected(task, "solvability", "no agent that knows the reference gets to the end", *naive[:1])
        if problem := await self._misread(task, base):
            return _rejected(task, "back-check", problem, *naive[:1])
        return Checked(Verdict(task=task, executable=True, reason="ok"), naive[0] if naive else None)

    def _replay_problem(self, task: Task, base: Database) -> str:
        domain = load_domain(self.domain_name)
        if problem := reference_problem(domain, base, task):
            return problem.evidence
        for action in task.criteria.forbidden:
            if not domain.new_environment(base, mode="strict").call(action.name, dict(action.arguments)).error:
                return f"{action.name} is forbidden, but the tools grant it"
        return ""

    def _solved_by_naive(self, task: Task, base: Database) -> list[bool]:
        kit = load_task_kit(self.domain_name)
        if kit.naive is None or task.pattern == kit.patterns[0].name:
            return []
        return [self._solved(task, base, kit.naive(task.pattern, guess)) for guess in GUESSES]

    async def _is_solvable(self, task: Task, base: Database) -> bool:
        agents = (load_task_kit(self.domain_name).expert(task, base), Follower(task, load_domain(self.domain_name)))
        if any(self._solved(task, base, agent) for agent in agents):
            return True
        return self.reader is not None and await self.reader.solves(task, base)

    def _solved(self, task: Task, base: Database, policy: Policy) -> bool:
        domain = load_domain(self.domain_name)
        episode = Episode(task, domain, base)
        try:
            run_episode(episode, policy)
        except LOST:
            # Programs read the words of their own grammar: one that breaks on a model's words has not solved the task.
            return False
        return Scorer(domain).score(episode, 0).success >= 1

    async def _misread(self, task: Task, base: Database) -> str:
        if self.reader is not None:
            return await self.reader.misread(task, base)
        domain, kit = load_domain(self.domain_name), load_task_kit(self.domain_name)
        found = planner_findings(domain, base, task, kit.soundness)
        return f"{found[0].rule}: {found[0].evidence}" if found else ""


def _rejected(task: Task, check: str, reason: str, naive: bool | None = None) -> Checked:
    return Checked(Verdict(task=task, executable=False, reason=f"{check}: {reason}"), naive)


def yield_table(
    explored: Sequence[Attempt], written: Sequence[Attempt], checked: Sequence[Checked]
) -> list[tuple[str | int | float, ...]]:
    """A line per pattern under `YIELD_HEADER`."""
    tried, kept, offered, made = (
        Counter(row.pattern for row in rows if not kept_only or row.reason == "ok")
        for rows in (explored, written)
        for kept_only in (False, True)
    )
    ends = Counter((each.verdict.task.pattern, each.verdict.reason.partition(":")[0]) for each in checked)
    lines: list[tuple[str | int | float, ...]] = []
    for name in sorted({*tried, *offered, *(pattern for pattern, _ in ends)}):
        counts = (tried[name], kept[name], offered[name], made[name], *(ends[name, check] for check in CHECKS))
        naive = [each.naive for each in checked if each.verdict.task.pattern == name and each.naive is not None]
        share = sum(naive) / len(naive) if naive else float("nan")
        lines.append((name, *counts, ends[name, "ok"], share))
    return lines

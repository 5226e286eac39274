"""Who makes a round's tasks: the program, or a model at an endpoint where the profile names one.

Explorer, writer and reader are chosen one by one, so that they mix. Replies of models are kept in the warehouse: a
run that was killed goes on where it stopped.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

from assets.model_calls import ModelCalls
from assets.profile import Profile
from assets.stage import progress, table_of
from env_sim import load_domain
from env_sim.chat.endpoint import Endpoint
from env_sim.pool import PatternPlan, inject_tasks, occasions
from env_sim.tasks import explore, replay
from schemas import Attempt, DatabaseRow, FailureCluster, Task, TaskError, Trajectory, Verdict
from schemas.ids import content_id

if TYPE_CHECKING:
    from env_sim.chat.client import ChatClient

__all__ = ["Made", "TaskMaker"]

T = TypeVar("T")
Seeds = Callable[[str], int]
"""Purpose -> seed."""


@dataclass(frozen=True)
class Made:
    """Rows that a role has made, its attempts, and what is told of them."""

    rows: Sequence[Any]
    attempts: Sequence[Attempt] = ()
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskMaker:
    """The roles that make tasks, under one profile."""

    profile: Profile
    calls: ModelCalls
    """Of the table that is made."""
    databases: Mapping[str, DatabaseRow]
    seeds: Seeds

    def explored(self, plan: PatternPlan) -> Made:
        """Explorations that allow what the plan wants, in id order.

        Raises:
            ChatError: When an explorer at an endpoint gives no reply; a rerun goes on where it stopped.
        """
        role, config = self.profile.explorer, self.profile.injection
        if role.endpoint is None:
            return self._explored_by_program(plan)
        from env_sim.llm_explorer import LlmExplorer

        wanted = {name: ceil(count * config.sources_per_task) for name, count in plan.counts.items()}
        place, told = role.endpoint, self.calls.expecting(sum(wanted.values()))

        async def act(client: "ChatClient") -> tuple[list[Trajectory], list[Attempt]]:
            explorer = LlmExplorer(
                client, place.model, self.profile.domain, self.databases, role.asking, place.max_concurrent
            )
            return await explorer.explore_for(wanted, self.seeds("explore"), told)

        rows, attempts = self._asked("explorer", place, act)
        return Made(rows, attempts, {"explored": len(attempts), **self._told(attempts)})

    def _explored_by_program(self, plan: PatternPlan) -> Made:
        domain, config = self.profile.domain, self.profile.injection
        limit = config.explorations_per_task * plan.n_tasks
        endless = explore(domain, list(self.databases.values()), self.seeds("explore"))
        explorations = progress(islice(endless, limit), "explorations", total=limit)
        kept = occasions(domain, self.databases, explorations, plan, config, self.seeds("sources"))
        attempts = [
            Attempt(
                attempt_id=content_id("attempt", [pattern, source.trajectory_id, source.policy_version]),
                pattern=pattern,
                database_id=source.database_id,
                trajectory_id=source.trajectory_id,
                n_replies=0,
                reason="ok",
                made_by=source.policy_version,
            )
            for source, pattern in kept
        ]
        told = {"explored": explorations.n, "kept_share": len(kept) / max(1, explorations.n)}
        return Made([source for source, _ in kept], attempts, told)

    def written(
        self,
        plan: PatternPlan,
        sources: Sequence[Trajectory],
        explorations: Sequence[Attempt],
        clusters: Sequence[FailureCluster],
    ) -> Made:
        """The plan's tasks, written from the sources, in id order.

        Raises:
            TaskError: When a source was kept for no pattern.
            ChatError: As `explored`.
        """
        role, pairs = self.profile.writer, _with_patterns(sources, explorations)
        if role.endpoint is None:
            return Made(inject_tasks(self.profile.domain, self.databases, pairs, plan, self.seeds("write")))
        from env_sim.llm_writer import LlmWriter, commissions

        examples = {cluster.cluster_id: cluster.example_texts for cluster in clusters}
        offered = commissions(self.profile.domain, pairs, plan, examples)
        place, told = role.endpoint, self.calls.expecting(plan.n_tasks)

        async def act(client: "ChatClient") -> tuple[list[Task], list[Attempt]]:
            settings = (role.asking, place.output, place.max_concurrent)
            writer = LlmWriter(client, place.model, self.profile.domain, self.databases, *settings)
            return await writer.write_all(offered, plan.counts, self.seeds("write"), told)

        rows, attempts = self._asked("writer", place, act)
        return Made(rows, attempts, self._told(attempts))

    def checked(self, tasks: Sequence[Task], explorations: Sequence[Attempt], writings: Sequence[Attempt]) -> Made:
        """A verdict on each task: replayed where programs made and read it, unless `injection.checks` asks for all.

        Raises:
            ChatError: As `explored`.
        """
        by_programs = self.profile.writer.endpoint is None and self.profile.reader.endpoint is None
        if by_programs and self.profile.injection.checks == "replay":
            domain = self.profile.domain
            return Made([replay(domain, self.databases, task) for task in progress(tasks, "replays")])
        from env_sim.llm_reader import LlmReader
        from env_sim.task_checks import YIELD_HEADER, Checked, TaskChecker, yield_table

        role, domain, told = self.profile.reader, load_domain(self.profile.domain), self.calls.expecting(len(tasks))
        if (place := role.endpoint) is None:
            checker = TaskChecker(self.profile.domain, self.databases)
            results = asyncio.run(checker.check_all(tasks, told))
        else:

            async def act(client: "ChatClient") -> list[Checked]:
                reader = LlmReader(client, domain, role.asking, place.output)
                checker = TaskChecker(self.profile.domain, self.databases, reader, place.max_concurrent)
                return await checker.check_all(tasks, told)

            results = self._asked("reader", place, act)
        lines = yield_table(explorations, writings, results)
        rows: list[Verdict] = [each.verdict for each in results]
        return Made(rows, told={"yield": table_of(YIELD_HEADER, lines), **self.calls.metadata()})

    def _asked(self, role: str, place: Endpoint, act: "Callable[[ChatClient], Awaitable[T]]") -> T:
        # The openai package takes half a second to load, and most runs need none of it.
        from env_sim.chat.client import ChatClient

        async def run() -> T:
            async with ChatClient(role, place, cache=self.calls.cache, record=self.calls.record) as client:
                return await act(client)

        return asyncio.run(run())

    def _told(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        reasons = Counter(row.reason for row in attempts)
        ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        return {
            "kept_share": reasons["ok"] / max(1, len(attempts)),
            "attempts": table_of(("reason", "attempts"), ordered),
            **self.calls.metadata(),
        }


def _with_patterns(sources: Sequence[Trajectory], explorations: Sequence[Attempt]) -> list[tuple[Trajectory, str]]:
    """Each source with the pattern that it was kept for.

    Raises:
        TaskError: When no attempt names a source.
    """
    kept_for = {row.trajectory_id: row.pattern for row in explorations if row.reason == "ok"}
    if lost := [source.trajectory_id for source in sources if source.trajectory_id not in kept_for]:
        raise TaskError(
            f"written[{lost[0]}]: expected each of the {len(sources)} source trajectories to be kept for a pattern by "
            f"a row of exploration_attempts, got none for {len(lost)}; materialize source_trajectories again"
        )
    return [(source, kept_for[source.trajectory_id]) for source in sources]

"""An explorer at a chat endpoint: under a goal sketch and a budget it works with the real tools of a training database.

What it does is kept if it really changed something, or proved a refusal (`exploration.why_useless`); each try, in vain
or not, is an `Attempt`. The prompt lies in `prompts/explorer.md`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from env_sim.chat.client import ChatModel, ChatRequest
from env_sim.chat.episodes import call_seed
from env_sim.chat.flow import each_done
from env_sim.chat.prompts import load_prompt
from env_sim.chat.tool_loop import Budget, Desk, work
from env_sim.domains import load_domain
from env_sim.exploration import exploration_row, why_useless
from env_sim.llm_configs import LlmExplorerConfig
from env_sim.task_kits import PatternLike, load_task_kit
from schemas import Attempt, DatabaseRow, Trajectory
from schemas.errors import ContextOverflowError
from schemas.ids import content_id

__all__ = ["LlmExplorer", "Sketch", "sketch"]

PROMPT = Path(__file__).parent / "prompts" / "explorer.md"


@dataclass(frozen=True)
class Sketch:
    """A goal sketch: for whom, and for which failure pattern, a story is looked for."""

    pattern: str
    database_id: str
    customer: str
    seed: int


def sketch(pattern: str, databases: Sequence[DatabaseRow], seed: int, number: int) -> Sketch:
    """The number-th sketch for a pattern: a customer drawn from the databases in turn."""
    row = databases[number % len(databases)]
    rng = Random(f"sketch:{seed}:{pattern}:{number}")
    return Sketch(pattern, row.database_id, rng.choice(row.ids("user_ids")), call_seed(seed, pattern, number))


@dataclass(frozen=True)
class LlmExplorer:
    """Explores with a model; concurrency, retries and cache are the model's."""

    model: ChatModel
    name: str
    """Of the model, for the rows."""
    domain_name: str
    databases: Mapping[str, DatabaseRow]
    config: LlmExplorerConfig
    n_at_once: int = 64
    """Explorations under way at once."""

    @property
    def made_by(self) -> str:
        """Model and prompt."""
        return f"{self.name}/{load_prompt(PROMPT).version}"

    async def explore_for(
        self, wanted: Mapping[str, int], seed: int, told: Callable[[int], None] = lambda n_kept: None
    ) -> tuple[list[Trajectory], list[Attempt]]:
        """So many different explorations of each pattern, and all attempts, in the order in which they were sketched.

        Raises:
            ChatError: When the endpoint gives no reply; what was answered is in the cache.
        """
        kept: dict[str, Trajectory] = {}
        attempts: list[Attempt] = []
        found, tried, rows = Counter[str](), Counter[str](), list(self.databases.values())
        for _ in range(self.config.n_tries):
            missing = [name for name in sorted(wanted) for _ in range(wanted[name] - found[name])]
            sketches = []
            for pattern in missing:
                sketches.append(sketch(pattern, rows, seed, tried[pattern]))
                tried[pattern] += 1
            done: dict[int, tuple[Trajectory | None, Attempt]] = {}
            async for index, result in each_done(sketches, self.explore, self.n_at_once):
                done[index] = result
                told(len(kept) + sum(row is not None for row, _ in done.values()))
            for row, attempt in (done[index] for index in range(len(sketches))):
                # Of the same calls for another sketch nothing new could be written.
                if row is not None and row.task_id in kept:
                    attempt = attempt.model_copy(update={"reason": "found before", "trajectory_id": None})
                elif row is not None:
                    kept[row.task_id] = row
                    found[attempt.pattern] += 1
                attempts.append(attempt)
        return sorted(kept.values(), key=lambda row: row.trajectory_id), attempts

    async def explore(self, goal: Sketch) -> tuple[Trajectory | None, Attempt]:
        """One try; None when it is not kept.

        Raises:
            ChatError: As `explore_for`.
        """
        domain = load_domain(self.domain_name)
        base = domain.open_database(self.databases[goal.database_id])
        desk = Desk(domain.new_environment(base), Budget(self.config.max_turns, self.config.max_calls))
        try:
            await work(self.model, self._request(goal), desk, domain.tool_schemas())
            reason = why_useless(domain, base, desk.messages)
        except ContextOverflowError:
            reason = "the exploration outgrew the context window"
        row = None
        if not reason:
            row = exploration_row(
                goal.database_id, goal.seed, desk.messages, desk.environment.writes, ("explorer", self.made_by)
            )
        return row, Attempt(
            attempt_id=content_id("attempt", [goal.pattern, goal.database_id, goal.customer, goal.seed, self.made_by]),
            pattern=goal.pattern,
            database_id=goal.database_id,
            trajectory_id=row.trajectory_id if row else None,
            n_replies=desk.n_turns,
            reason=reason or "ok",
            made_by=self.made_by,
            prompt_version=load_prompt(PROMPT).version,
        )

    def _request(self, goal: Sketch) -> ChatRequest:
        prompt, parts = load_prompt(PROMPT), load_task_kit(self.domain_name).parts_of(goal.pattern)
        text = prompt.fill(
            rulebook=load_domain(self.domain_name).rulebook(),
            customer=goal.customer,
            pattern=_joined(parts, "description"),
            needs=_joined(parts, "needs"),
            max_turns=str(self.config.max_turns),
            max_calls=str(self.config.max_calls),
        )
        messages = [{"role": "user", "content": text}]
        return ChatRequest(messages, seed=goal.seed, prompt_version=prompt.version)


def _joined(parts: Sequence[PatternLike], name: str) -> str:
    return "; and ".join(str(getattr(part, name)) for part in parts)

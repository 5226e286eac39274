"""A task writer at a chat endpoint: a source trajectory and a failure pattern in, a task in words out.

A reply that is no task is shown what is wrong with it and asked again, a bounded number of times; then it is an
`Attempt` with `parse_error`. Whether a written task is any good is for others (`task_checks`). The prompt lies in
`prompts/writer.md`; what tools printed into the source stands in it as evidence, defanged.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from env_sim.chat.client import ChatModel, ChatRequest
from env_sim.chat.episodes import call_seed
from env_sim.chat.flow import each_done
from env_sim.chat.prompts import load_prompt
from env_sim.chat.structured import ask, response_format
from env_sim.domains import load_domain
from env_sim.exploration import findings_of
from env_sim.llm_configs import LlmWriterConfig
from env_sim.pool import PatternPlan
from env_sim.task_kits import load_task_kit
from env_sim.tasks import pattern_counts
from env_sim.written_task import Commission, Written, built, problem_of
from schemas import Attempt, DatabaseRow, Identity, Message, Task, Trajectory
from schemas.errors import ContextOverflowError
from schemas.ids import canonical_json, content_id

__all__ = ["LlmWriter", "commissions"]

PROMPT = Path(__file__).parent / "prompts" / "writer.md"
MAX_ANSWER_CHARS = 4_000
"""Of one tool's answer in the prompt."""


@dataclass(frozen=True)
class LlmWriter:
    """Writes with a model; concurrency, retries and cache are the model's."""

    model: ChatModel
    name: str
    """Of the model, for the rows."""
    domain_name: str
    databases: Mapping[str, DatabaseRow]
    config: LlmWriterConfig
    output: str = "json_schema"
    """How the schema is asked for, as in `Endpoint.output`."""
    n_at_once: int = 64
    """Tasks under way at once."""

    @property
    def made_by(self) -> str:
        """Model and prompt."""
        return f"{self.name}/{load_prompt(PROMPT).version}"

    async def write_all(
        self,
        offered: Sequence[Commission],
        wanted: Mapping[str, int],
        seed: int,
        told: Callable[[int], None] = lambda n_written: None,
    ) -> tuple[list[Task], list[Attempt]]:
        """So many different tasks of each pattern as long as there are offers, and all attempts in their order.

        Raises:
            ChatError: When the endpoint gives no reply; what was answered is in the cache.
        """
        waiting: dict[str, list[Commission]] = defaultdict(list)
        for each in offered:
            waiting[each.pattern].append(each)
        made: dict[str, Task] = {}
        attempts: list[Attempt] = []
        missing = dict(wanted)
        while batch := [each for name in sorted(missing) for each in waiting[name][: missing[name]]]:
            for name in missing:
                del waiting[name][: missing[name]]
            done: dict[int, tuple[Task | None, Attempt]] = {}
            async for index, result in each_done(batch, lambda each: self.write(each, seed), self.n_at_once):
                done[index] = result
                told(len(made) + sum(task is not None for task, _ in done.values()))
            for task, attempt in (done[index] for index in range(len(batch))):
                if task is not None and task.task_id in made:
                    attempt = attempt.model_copy(update={"reason": "written before", "task_id": None})
                elif task is not None:
                    made[task.task_id] = task
                    missing[task.pattern] -= 1
                attempts.append(attempt)
        return [made[key] for key in sorted(made)], attempts

    async def write(self, asked: Commission, seed: int) -> tuple[Task | None, Attempt]:
        """One try; None when no reply was a task.

        Raises:
            ChatError: As `write_all`.
        """
        domain, kit = load_domain(self.domain_name), load_task_kit(self.domain_name)
        base = domain.open_database(self.databases[asked.source.database_id])

        def problem(said: Written) -> str:
            return problem_of(said, asked, domain, kit, base, self.config.max_words, self.made_by)

        request = self._request(asked, kit.identity(base, asked.found.customer), seed)
        try:
            answer = await ask(self.model, request, Written, repairs=self.config.repairs, check=problem)
        except ContextOverflowError:
            return None, self._attempt(asked, None, 0, "the source outgrows the context window")
        task = built(answer.value, asked, domain, kit, base, self.made_by) if answer.value else None
        return task, self._attempt(asked, task, answer.n_repairs + 1, answer.parse_error)

    def _attempt(self, asked: Commission, task: Task | None, n_replies: int, problem: str) -> Attempt:
        tried = [asked.source.trajectory_id, asked.pattern, asked.cluster_id, self.made_by]
        return Attempt(
            attempt_id=content_id("attempt", tried),
            pattern=asked.pattern,
            cluster_id=asked.cluster_id,
            database_id=asked.source.database_id,
            trajectory_id=asked.source.trajectory_id,
            task_id=task.task_id if task else None,
            n_replies=n_replies,
            reason="ok" if task else "no reply was a task",
            # Words of a model: halves of surrogate pairs fit no row.
            parse_error=problem.encode("utf-8", "replace").decode(),
            made_by=self.made_by,
            prompt_version=load_prompt(PROMPT).version,
        )

    def _request(self, asked: Commission, who: Identity, seed: int) -> ChatRequest:
        prompt, parts = load_prompt(PROMPT), load_task_kit(self.domain_name).parts_of(asked.pattern)
        examples = [f"- {text}" for text in asked.examples[: self.config.n_examples]]
        text = prompt.fill(
            pattern="; and ".join(part.description for part in parts),
            edit="; and ".join(part.edit for part in parts),
            examples="\n".join(examples) or "(none yet)",
            rulebook=load_domain(self.domain_name).rulebook(),
            exploration=_exploration(asked.source.messages),
            actions=_actions(asked),
            identity=_known(who),
            max_words=str(self.config.max_words),
        )
        return ChatRequest(
            messages=[{"role": "user", "content": text}],
            response_format=response_format(Written, self.output),
            seed=call_seed(seed, asked.source.trajectory_id, asked.pattern, asked.cluster_id),
            prompt_version=prompt.version,
        )


def _exploration(messages: Sequence[Message]) -> str:
    lines = []
    for message in messages:
        said = [f"calls {_spelled(call.name, call.arguments)}" for call in message.tool_calls]
        if message.role == "tool":
            said = [f"{'is refused' if message.error else 'answers'}: {message.content[:MAX_ANSWER_CHARS]}"]
        # One line a turn: a line break inside an answer could pass for the next turn.
        lines.append(" | ".join(said).replace("\r", " ").replace("\n", " / "))
    return "\n".join(f"[{index}] {line}" for index, line in enumerate(lines))


def _actions(asked: Commission) -> str:
    n_done = len(asked.found.writes)
    lines = [
        f"{number}. {_spelled(each.name, each.arguments)}: {'done' if number <= n_done else 'refused'}"
        for number, each in enumerate(asked.actions, start=1)
    ]
    if not n_done:
        lines.append("Nothing was done: the right end is a transfer to a person, and no wish can be fulfilled.")
    return "\n".join(lines)


def _spelled(name: str, arguments: Mapping[str, object]) -> str:
    return f"{name} {canonical_json(arguments, finite=False)}"


def _known(who: Identity) -> str:
    said = [f"{who.first_name} {who.last_name}"]
    said += [f"zip code {who.zip}"] if who.zip else [f"user id {who.user_id}"]
    said += [f"e-mail {who.email}"] if who.email else []
    return ", ".join(said)


def commissions(
    domain_name: str,
    pairs: Sequence[tuple[Trajectory, str]],
    plan: PatternPlan,
    examples: Mapping[str, Sequence[str]],
) -> list[Commission]:
    """What is to be written, each for a cluster that asks for its pattern, in proportion to what they ask.

    Args:
        domain_name: The sources' domain.
        pairs: Source and the pattern that it was kept for.
        plan: What the round wants.
        examples: Explanations of failures by cluster.
    """
    domain, number, found = load_domain(domain_name), Counter[str](), []
    for source, pattern in pairs:
        weights, wanted = plan.clusters.get(pattern), plan.counts.get(pattern, 0)
        if not wanted:
            continue
        shares = pattern_counts(weights, wanted) if weights else {}
        owners = [key for key, n in sorted(shares.items()) for _ in range(n)]
        cluster = owners[number[pattern] % wanted] if owners else None
        number[pattern] += 1
        shown = tuple(examples.get(cluster or "", ()))
        found.append(Commission(source, findings_of(domain, source.messages), pattern, cluster, shown))
    return found

"""A judge at a chat endpoint: the same question to m votes, one explanation per failed trajectory.

The prompt lies beside this file (`prompts/judge.md`), its hash in every row. Votes are parsed against a schema and
must name turns that exist; what never fits becomes a row with `parse_error` and nobody's blame. The dialogue is text of
unknown origin: it is defanged, and nothing that it says can do more than mislead a vote.
"""

import asyncio
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from env_sim.chat.client import ChatClient, ChatModel, ChatRequest, ResponseCache
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.flow import each_done
from env_sim.chat.prompts import load_prompt
from env_sim.chat.structured import ask, response_format
from quality.judge import DiffJudge, Failure, LlmJudgeConfig
from schemas import Blame, Explanation, JudgeVote, Message, Task
from schemas.ids import canonical_json, content_id
from schemas.llm_calls import LlmCall

__all__ = ["EndpointJudge", "LlmJudge"]

PROMPT = Path(__file__).parent / "prompts" / "judge.md"
UNREAD = "The judge's reply could not be read."


class Verdict(BaseModel):
    """What one vote must say."""

    model_config = ConfigDict(extra="ignore")

    text: str = Field(min_length=1, max_length=2000)
    blame: Literal["agent", "user_simulator", "task"]
    decisive_turn: int = Field(ge=0)
    evidence_turns: list[int] = Field(max_length=5)
    pattern: str = Field(pattern=r"^[a-z][a-z0-9_]{1,60}$")


@dataclass(frozen=True)
class LlmJudge:
    """Explains failures by votes of a model; concurrency, retries and cache are the model's."""

    model: ChatModel
    made_by: str
    """Name of the model, for the rows."""
    rulebook: str
    """The domain's rules, as the agent knows them."""
    patterns: Sequence[tuple[str, str]]
    """Names and descriptions of the known ways to fail."""
    config: LlmJudgeConfig
    """Votes, repairs, what is shown."""
    output: str = "json_schema"
    """How the schema is asked for, as in `Endpoint.output`."""
    n_at_once: int = 64
    """Failures judged at once."""

    async def explain_all(self, failures: Sequence[Failure], told: Callable[[int], None]) -> list[Explanation]:
        """One explanation per failure, in their order; `told` hears of the number done.

        Raises:
            ChatError: When the endpoint gives no reply; what was answered is in the cache.
        """
        found: dict[int, Explanation] = {}
        async for index, explanation in each_done(failures, self.explain, self.n_at_once):
            found[index] = explanation
            told(len(found))
        return [found[index] for index in range(len(failures))]

    async def explain(self, failure: Failure) -> Explanation:
        """The votes on one failure, counted; what the user spoilt is known, and costs none."""
        if failure.trajectory.user_fault is not None:
            return DiffJudge().explain(*failure)
        request = self._request(failure)
        votes = await asyncio.gather(*(self._vote(failure, request, seed) for seed in range(self.config.n_votes)))
        return self._counted(failure, request.prompt_version, votes)

    def _request(self, failure: Failure) -> ChatRequest:
        prompt = load_prompt(PROMPT)
        text = prompt.fill(
            rulebook=self.rulebook,
            task=task_text(failure.task, self.config.shows_reference),
            episode=episode_text(failure.trajectory.messages),
            ending=failure.trajectory.stop_reason.value.replace("_", " "),
            patterns="\n".join(f"- {name}: {description}" for name, description in self.patterns),
        )
        return ChatRequest(
            messages=[{"role": "user", "content": text}],
            response_format=response_format(Verdict, self.output),
            prompt_version=prompt.version,
        )

    async def _vote(self, failure: Failure, request: ChatRequest, seed: int) -> tuple[JudgeVote, Verdict | None]:
        n_turns = len(failure.trajectory.messages)

        def check(verdict: Verdict) -> str:
            unknown = [turn for turn in (verdict.decisive_turn, *verdict.evidence_turns) if not 0 <= turn < n_turns]
            return f"turns {unknown} do not exist; they are numbered 0 to {n_turns - 1}" if unknown else ""

        answer = await ask(self.model, replace(request, seed=seed), Verdict, repairs=self.config.repairs, check=check)
        said = answer.value
        vote = JudgeVote(
            pattern=said.pattern if said else "",
            blame=Blame(said.blame) if said else Blame.UNKNOWN,
            decisive_turn=said.decisive_turn if said else 0,
            n_repairs=answer.n_repairs,
            parse_error=answer.parse_error,
        )
        return vote, said

    def _counted(
        self, failure: Failure, prompt_version: str, votes: Sequence[tuple[JudgeVote, Verdict | None]]
    ) -> Explanation:
        """The verdict of most votes: blame and pattern together, of equal numbers the one said first."""
        read = [said for _, said in votes if said is not None]
        counts = Counter((said.blame, said.pattern) for said in read)
        winner, n_winning = counts.most_common(1)[0] if counts else (None, 0)
        winning = [said for said in read if (said.blame, said.pattern) == winner]
        spoken = winning[0] if winning else None
        trajectory, made_by = failure.trajectory, f"{self.made_by}/{prompt_version}"
        return Explanation(
            explanation_id=content_id("why", [trajectory.trajectory_id, made_by]),
            trajectory_id=trajectory.trajectory_id,
            task_id=failure.task.task_id,
            text=spoken.text if spoken else UNREAD,
            blame=Blame(spoken.blame) if spoken else Blame.UNKNOWN,
            decisive_turn=statistics.median_low([said.decisive_turn for said in winning]) if winning else 0,
            evidence_turns=tuple(sorted(set(spoken.evidence_turns))) if spoken else (),
            pattern=spoken.pattern if spoken else "other",
            made_by=made_by,
            prompt_version=prompt_version,
            votes=tuple(vote for vote, _ in votes),
            agreement=n_winning / len(votes),
            parse_error="" if spoken else votes[-1][0].parse_error,
        )


@dataclass(frozen=True)
class EndpointJudge:
    """The judge's role played at an endpoint, for callers without an event loop."""

    endpoint: Endpoint
    """Where the model is served."""
    rulebook: str
    """As `LlmJudge`."""
    patterns: Sequence[tuple[str, str]]
    """As `LlmJudge`."""
    config: LlmJudgeConfig
    """As `LlmJudge`."""
    cache: ResponseCache | None = None
    """Replies of earlier runs."""
    record: Callable[[LlmCall], None] | None = None
    """Hears of every call."""

    def explain_all(
        self, failures: Sequence[Failure], told: Callable[[int], None] = lambda n_done: None
    ) -> list[Explanation]:
        """One explanation per failure, in their order; `told` hears of the number done.

        Raises:
            ChatError: When the endpoint gives no reply; what was answered is in the cache.
        """
        return asyncio.run(self._all(failures, told))

    async def _all(self, failures: Sequence[Failure], told: Callable[[int], None]) -> list[Explanation]:
        async with ChatClient("judge", self.endpoint, cache=self.cache, record=self.record) as client:
            judge = LlmJudge(
                client,
                self.endpoint.model,
                self.rulebook,
                self.patterns,
                self.config,
                self.endpoint.output,
                self.endpoint.max_concurrent,
            )
            return await judge.explain_all(failures, told)


def task_text(task: Task, with_reference: bool) -> str:
    """What the customer wants, says and keeps back; with the solving actions when they may be seen."""
    known = {"opening": task.scenario.opening, "wishes": [goal.model_dump(mode="json") for goal in task.scenario.goals]}
    if with_reference:
        known["actions that solve it"] = [action.model_dump(mode="json") for action in task.reference]
    else:
        for wish in known["wishes"]:
            wish.pop("action", None)
            (wish.get("change") or {}).pop("action", None)
    return canonical_json(known)


def episode_text(messages: Sequence[Message]) -> str:
    """One numbered turn a line."""
    return "\n".join(f"[{index}] {_turn_text(message)}" for index, message in enumerate(messages))


def _turn_text(message: Message) -> str:
    said = [message.content] if message.content else []
    said += [f"calls {call.name} {canonical_json(call.arguments, finite=False)}" for call in message.tool_calls]
    role = "tool refuses" if message.error else message.role
    # One line a turn: a line break inside a message could pass for the next turn.
    return f"{role}: {' | '.join(said)}".replace("\r", " ").replace("\n", " / ")

"""A user played by a model, and the guard between the model and the episode.

The model sees what the scenario tells its user and what was said aloud, never a tool. Each reply is read by the same
checker as stored episodes (`env_sim.user_faults`); a breach goes back to the model with its rule, a bounded number of
times, as a reply that fits no schema does. A user that will not mend ends its episode with a `user_fault`, and the
episode counts in no rate; an endpoint that stays away ends it as `infrastructure`. The opening is the scenario's own.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from env_sim.chat.client import ChatClient, ChatModel, ChatRequest, ResponseCache
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.episodes import call_seed
from env_sim.chat.structured import Answer, ask, parse, response_format
from env_sim.chat.user_role import LlmUserConfig, user_prompt, user_prompt_text
from env_sim.chat.wire import defang
from env_sim.episode import Episode
from env_sim.user import UserReply
from env_sim.user_faults import user_faults
from schemas import Message, Scenario, StopReason, UserFault, UserFaultKind
from schemas.errors import ContextOverflowError, EndpointUnavailableError
from schemas.llm_calls import LlmCall

__all__ = ["EndpointUser", "ModelUser", "guarded"]

MAX_SAID_CHARS = 2_000
"""Of a user's message; also of what is kept of a reply that can't be read."""
_RULES = {
    UserFaultKind.LEFT_EARLY: "you may not leave yet: insist, as far as you can tell it is not done",
    UserFaultKind.REVEALED: "leave that out: you may not say it yet, or can't know it",
    UserFaultKind.CONFIRMED_WRONG: "that is not what you want: say no",
    UserFaultKind.CONTRADICTED: "that is not what you would say by what you were told",
    UserFaultKind.SPOKE_AS_ASSISTANT: "you are the customer, not the agent",
    UserFaultKind.EMPTY: "say something",
}
_STOPS = {"no": None, "satisfied": StopReason.USER_DONE, "gave_up": StopReason.USER_LEFT}


class Said(BaseModel):
    """What one reply must say."""

    model_config = ConfigDict(extra="ignore")

    message: str = Field(min_length=1, max_length=MAX_SAID_CHARS)
    end: Literal["no", "satisfied", "gave_up"]


def guarded(scenario: Scenario, messages: Sequence[Message], text: str, stop: StopReason | None) -> UserFault | None:
    """What would be wrong with these words as the user's next, None when the checker finds nothing."""
    proposed = [*messages, Message(role="user", content=text)]
    return next((fault for fault in user_faults(scenario, proposed, stop) if fault.turn == len(messages)), None)


@dataclass(frozen=True)
class ModelUser:
    """Speaks for the users of any number of episodes; holds no state of theirs."""

    model: ChatModel
    config: LlmUserConfig
    output: str = "json_schema"
    """How the schema is asked for, as in `Endpoint.output`."""

    async def speak(self, episode: Episode, seed: int) -> None:
        """Answer the assistant's last words: the episode hears it, or ends.

        Args:
            episode: One in which the user speaks next.
            seed: The episode's own; each call has one derived from it.

        Raises:
            EndpointRefusedError: When the endpoint refuses for good: no episode would fare better.
        """
        try:
            episode.hear(await self._reply(episode.task.scenario, episode.messages, seed))
        except (EndpointUnavailableError, ContextOverflowError):
            # The agent must not win or lose by the window of another model.
            episode.stop(StopReason.INFRASTRUCTURE)

    async def _reply(self, scenario: Scenario, messages: Sequence[Message], seed: int) -> UserReply:
        def fault(said: Said) -> UserFault | None:
            return guarded(scenario, messages, defang(said.message), _STOPS[said.end])

        def check(said: Said) -> str:
            found = fault(said)
            return f"{found.evidence}; {_RULES[found.kind]}" if found else ""

        request = ChatRequest(
            messages=[{"role": "user", "content": user_prompt_text(scenario, messages)}],
            response_format=response_format(Said, self.output),
            seed=call_seed(seed, "user", len(messages)),
            prompt_version=user_prompt().version,
        )
        answer = await ask(self.model, request, Said, repairs=self.config.repairs, check=check)
        said = answer.value or parse(answer.reply.content, Said)[0]
        if said is None:
            return _unreadable(answer, len(messages))
        stop = _STOPS[said.end]
        spoilt = None if answer.value else fault(said)
        return UserReply(defang(said.message), stop is not None, stop is StopReason.USER_DONE, spoilt)


def _unreadable(answer: Answer[Said], turn: int) -> UserReply:
    shown = defang(answer.reply.content, MAX_SAID_CHARS)
    fault = UserFault(kind=UserFaultKind.UNREADABLE, turn=turn, evidence=answer.parse_error[:160])
    return UserReply(shown, left=True, fault=fault)


@dataclass(frozen=True)
class EndpointUser:
    """The user's role at an endpoint: settings, no state."""

    endpoint: Endpoint
    """Where the model is served."""
    config: LlmUserConfig
    """How it is asked."""
    cache: ResponseCache | None = None
    """Replies of earlier runs. A user's may be kept though a policy's may not: each call's seed names the task, the
    trial and the message, so that no two trials share a reply, and a rerun hears the same user."""
    record: Callable[[LlmCall], None] | None = None
    """Hears of every call."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[ModelUser]:
        """The user while its connections are open, in the running event loop."""
        async with ChatClient("user", self.endpoint, cache=self.cache, record=self.record) as client:
            yield ModelUser(client, self.config, self.endpoint.output)

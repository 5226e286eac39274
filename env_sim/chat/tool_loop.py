"""A model at work with a world's tools: it calls, the environment answers, until it speaks or its budget is spent.

No user takes part. Calls are real: wrong names and arguments come back as the tools' own errors, and what a tool
prints goes out defanged, as evidence and never as instruction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from env_sim.chat.client import ChatModel, ChatRequest
from env_sim.chat.episodes import call_seed
from env_sim.chat.wire import ChatReply, as_wire, defang
from env_sim.episode import TRANSFER_TOOL
from env_sim.world import Environment
from schemas import Message, ToolCall

__all__ = ["Budget", "Desk", "work"]


@dataclass(frozen=True)
class Budget:
    """Bounds of one piece of work."""

    max_turns: int
    """Replies of the model."""
    max_calls: int
    """Tool calls."""


@dataclass
class Desk:
    """Where a model works: one environment, and all that was called and answered so far."""

    environment: Environment
    budget: Budget
    allowed: frozenset[str] | None = None
    """Tools that may be called; None for all."""
    messages: list[Message] = field(default_factory=list)
    n_turns: int = 0
    n_calls: int = 0
    handed_over: bool = False
    """A call has handed the customer over to a person, which ends the work."""

    @property
    def is_closed(self) -> bool:
        """Whether no further reply is wanted."""
        return self.handed_over or self.n_turns >= self.budget.max_turns or self.n_calls >= self.budget.max_calls

    def take(self, reply: ChatReply) -> None:
        """Carry out the calls of a reply, as far as the budget goes. Ids are ours: models use one twice."""
        self.n_turns += 1
        called = reply.tool_calls[: self.budget.max_calls - self.n_calls]
        calls = [
            ToolCall(id=f"call-{self.n_calls + place}", name=defang(call.name) or "unnamed", arguments=call.arguments)
            for place, call in enumerate(called, start=1)
        ]
        self.n_calls += len(calls)
        self.messages.append(Message(role="assistant", tool_calls=tuple(calls)))
        self.messages += [self._answer(call) for call in calls]

    def _answer(self, call: ToolCall) -> Message:
        if self.handed_over:
            content, error = "Error: the customer was handed over.", True
        elif self.allowed is not None and call.name not in self.allowed:
            content, error = f"Error: {call.name} can't be called here.", True
        else:
            result = self.environment.call(call.name, dict(call.arguments))
            content, error = result.content, result.error
            self.handed_over = call.name == TRANSFER_TOOL and not error
        # Halves of surrogate pairs, which an error repeats from the arguments, fit no row.
        content = content.encode("utf-8", "replace").decode()
        return Message(role="tool", content=content, tool_call_id=call.id, error=error)


async def work(model: ChatModel, request: ChatRequest, desk: Desk, tools: Sequence[Mapping[str, Any]]) -> str:
    """Let a model work until it speaks without a call; its words, empty when the desk was closed first.

    Args:
        model: Who works.
        request: How it is asked; its `seed` tells equal requests apart, its `response_format` is for others.
        desk: Where it works; it holds the calls afterwards.
        tools: What the model is told of the tools.

    Raises:
        ChatError: When there is no reply.
    """
    while not desk.is_closed:
        asked = ChatRequest(
            [*request.messages, *as_wire(desk.messages)],
            tools,
            seed=call_seed(request.seed or 0, len(desk.messages)),
            sampling=request.sampling,
            prompt_version=request.prompt_version,
        )
        reply = await model.complete(asked)
        if not reply.tool_calls:
            desk.n_turns += 1
            return reply.content
        desk.take(reply)
    return ""

"""What programs that play have in common: they follow a plan, a generator that yields messages and hears the answers.

Experts know the reference, word solvers only what is said; both choose the next message by where the plan stands.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from env_sim.dialogue import Act, Deny, Done, act_text
from schemas import Action, Message, ToolCall

__all__ = ["PlannedPolicy", "WordSolver", "say"]


class PlannedPolicy(ABC):
    """Message-level policy; one per episode."""

    _rest: ClassVar[Act] = Done()
    """Said once the plan has ended, until the user's patience ends the talk."""

    def __init__(self) -> None:
        """Nothing is heard yet."""
        self._heard = ""  # the user's last words
        self._result = ""  # the last tool's answer
        self._n_calls = 0
        self._plan = self._talk()

    @abstractmethod
    def _talk(self) -> Iterator[Message]:
        """The plan; begins when the user has said the opening."""

    def act(self, messages: Sequence[Message]) -> Message:
        """The plan's next message, given all so far."""
        if messages[-1].role == "tool":
            self._result = messages[-1].content
        else:
            self._heard = messages[-1].content
        return next(self._plan, None) or say(self._rest)

    def _call(self, action: Action, reasoning: str = "") -> Message:
        self._n_calls += 1
        call = ToolCall(id=f"call-{self._n_calls}", name=action.name, arguments=action.arguments)
        return Message(role="assistant", reasoning=reasoning, tool_calls=(call,))


class WordSolver(PlannedPolicy, ABC):
    """Solves tasks from their words alone and counts what these leave open."""

    _rest = Deny()

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__()
        self.open_choices: list[str] = []

    def _ask_tool(self, name: str, **arguments: Any) -> Message:
        return self._call(Action(name=name, arguments=arguments))

    def _only(self, topic: str, fitting: list[Any]) -> Any:
        """The one record that fits; of several the first, noted as an open choice."""
        if len(fitting) > 1:
            self.open_choices.append(f"{len(fitting)} {topic} records fit the words")
        return fitting[0] if fitting else None


def say(act: Act, reasoning: str = "") -> Message:
    """An act as a message."""
    return Message(role="assistant", content=act_text(act), reasoning=reasoning.strip())

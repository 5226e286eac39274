"""One run of one policy on one task: environment, user and agent take turns until someone stops.

No threads, no disk, no tokens: an `Episode` is stepped with assistant messages and answers with the messages that
follow. `run_episode` drives it with a message-level policy; token-level policies drive it through `env_sim.sessions`.
The user is the scripted one (`step`), or whoever gives its words to `hear` after `take`: a model takes its time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from env_sim.user import ScriptedUser, UserReply
from env_sim.user_faults import user_faults
from env_sim.world import Database, Domain, Environment, Mode
from schemas import Action, Message, StopReason, Task, UserFault

TRANSFER_TOOL = "transfer_to_human_agents"


class Policy(Protocol):
    """The acting side: all messages so far in, one assistant message out."""

    def act(self, messages: Sequence[Message]) -> Message:
        """Return the next assistant message."""
        ...


@dataclass
class Episode:
    """State of one episode. `stop_reason` is None while it runs."""

    task: Task
    domain: Domain
    base: Database
    max_turns: int = 30
    """Assistant messages after which the episode is cut."""
    mode: Mode = "strict"
    messages: list[Message] = field(init=False, default_factory=list)
    stop_reason: StopReason | None = field(init=False, default=None)
    environment: Environment = field(init=False)
    user_speaks: bool = field(init=False, default=False)
    """The assistant has spoken to the user, whose words are next."""
    _user: ScriptedUser = field(init=False)
    _turns: int = field(init=False, default=0)
    _fault: UserFault | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Reset the world and let the user speak first."""
        self.environment = self.domain.new_environment(self.base, mode=self.mode)
        if self.mode == "strict":
            self.environment.guard(self.domain.rules)
        self._user = ScriptedUser(self.task.scenario)
        self.messages.append(Message(role="user", content=self._user.opening()))

    @property
    def writes(self) -> list[Action]:
        """Successful state-changing calls so far."""
        return self.environment.writes

    @property
    def user_fault(self) -> UserFault | None:
        """The user's first own mistake so far, None while it keeps to its scenario."""
        if self._fault is not None:
            return self._fault
        faults = user_faults(self.task.scenario, self.messages, self.stop_reason)
        return faults[0] if faults else None

    def step(self, message: Message) -> tuple[Message, ...]:
        """Take one assistant message; return what follows (tool results or the scripted user's words)."""
        replies = self.take(message)
        return self.hear(self._user.reply(message.content, self.writes)) if self.user_speaks else replies

    def take(self, message: Message) -> tuple[Message, ...]:
        """Take one assistant message and run its calls; words without calls wait for the user's answer (`hear`)."""
        if self.stop_reason is not None or self.user_speaks:
            state = self.stop_reason or "the user speaks next"
            raise RuntimeError(f"episode of task {self.task.task_id} takes no message ({state}); start a new one")
        self.messages.append(message)
        self._turns += 1
        if not message.tool_calls:
            self.user_speaks = True
            return ()
        return self._followed_by(self._run_calls(message))

    def hear(self, reply: UserReply) -> tuple[Message, ...]:
        """Take the user's words; return them as a message."""
        if not self.user_speaks:
            raise RuntimeError(f"episode of task {self.task.task_id} hears no user now; it answers an assistant")
        self.user_speaks, self._fault = False, reply.fault
        if reply.fault is not None:
            self.stop_reason = StopReason.USER_FAULT
        elif reply.left:
            self.stop_reason = StopReason.USER_DONE if reply.satisfied else StopReason.USER_LEFT
        return self._followed_by((Message(role="user", content=reply.text),))

    def stop(self, reason: StopReason) -> None:
        """End the episode from outside (context full, malformed output)."""
        self.stop_reason = reason

    def _run_calls(self, message: Message) -> tuple[Message, ...]:
        replies = []
        for call in message.tool_calls:
            result = self.environment.call(call.name, call.arguments)
            replies.append(Message(role="tool", content=result.content, tool_call_id=call.id, error=result.error))
            if call.name == TRANSFER_TOOL and not result.error:
                self.stop_reason = StopReason.TRANSFER
        return tuple(replies)

    def _followed_by(self, replies: tuple[Message, ...]) -> tuple[Message, ...]:
        self.messages.extend(replies)
        if self.stop_reason is None and self._turns >= self.max_turns:
            self.stop_reason = StopReason.MAX_TURNS
        return replies


def run_episode(episode: Episode, policy: Policy) -> Episode:
    """Drive an episode to its end with a message-level policy."""
    while episode.stop_reason is None:
        episode.step(policy.act(episode.messages))
    return episode

"""Episodes of a served policy: by messages (chat models) or by tokens (a policy with its own compact language).

What the endpoint does wrong never becomes the policy's failure: an endpoint that stays away ends the episode as
`infrastructure`, a prompt beyond the window as `context_full`. What the policy says wrong stays its own: a reply with
neither words nor a call is `malformed`, wrong arguments are the tool's error. The user is the scripted one, or whoever
is given as `User`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Protocol

from env_sim.chat.client import ChatClient, ChatModel, ChatRequest, TokenRequest
from env_sim.chat.history import History
from env_sim.chat.wire import ChatReply, as_message, as_wire
from env_sim.episode import Episode
from env_sim.sessions import CompactSession, EpisodeSpec
from schemas import Message, StopReason
from schemas.errors import ContextOverflowError, EndpointUnavailableError

__all__ = ["TokenLimits", "TokenTrace", "User", "call_seed", "episode_seed", "play_chat", "play_tokens"]

SYSTEM = """You are a customer service agent. Follow the policy below to the letter.

<policy>
{rulebook}
</policy>"""


class User(Protocol):
    """Speaks for the users of episodes, in its own time."""

    async def speak(self, episode: Episode, seed: int) -> None:
        """Answer the assistant's last words: the episode hears it, or ends."""
        ...


@dataclass
class TokenTrace:
    """What the policy saw and wrote, token for token; empty when the server doesn't tell, or told two stories."""

    token_ids: list[int] = field(default_factory=list)
    assistant_mask: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    n_output_tokens: int = 0
    """As the server counted them, told or not."""
    exact: bool = True
    """False once a reply came without ids, or a prompt did not begin with all that was seen and written before."""

    def add_context(self, ids: Sequence[int]) -> None:
        """Ids that the world appended."""
        self.token_ids += ids
        self.assistant_mask += [False] * len(ids)
        self.logprobs += [0.0] * len(ids)

    def add_sampled(self, ids: Sequence[int], logprobs: Sequence[float]) -> None:
        """Ids that the policy wrote."""
        self.token_ids += ids
        self.assistant_mask += [True] * len(ids)
        self.logprobs += logprobs

    def add_reply(self, reply: ChatReply) -> None:
        """A chat reply with its prompt: templates that rewrite earlier turns break the trace."""
        self.n_output_tokens += reply.output_tokens
        if not self.exact:
            return
        known, prompt = len(self.token_ids), list(reply.prompt_token_ids)
        told = prompt and reply.token_ids and len(reply.logprobs) == len(reply.token_ids)
        if not told or prompt[:known] != self.token_ids:
            self.exact = False
            self.token_ids, self.assistant_mask, self.logprobs = [], [], []
            return
        self.add_context(prompt[known:])
        self.add_sampled(reply.token_ids, reply.logprobs)


@dataclass(frozen=True)
class TokenLimits:
    """Bounds of a token-level episode, as the in-process engine's."""

    end_id: int
    """The token that closes a message."""
    max_context_tokens: int
    """Of the whole episode."""
    max_message_tokens: int
    """Of one message."""


def call_seed(seed: int, *parts: object) -> int:
    """Seed of one call's sampling, from the run's seed and what tells calls apart; below 2^31."""
    return int.from_bytes(blake2b(repr((seed, *parts)).encode(), digest_size=4).digest(), "big") >> 1


def episode_seed(spec: EpisodeSpec) -> int:
    """Seed of one episode's calls."""
    return call_seed(spec.seed, spec.task.task_id, spec.trial)


async def play_chat(
    model: ChatModel,
    episode: Episode,
    rulebook: str,
    tools: Sequence[Mapping[str, Any]],
    seed: int,
    user: User | None = None,
    *,
    returns_thoughts: bool = False,
) -> TokenTrace:
    """Play an episode to its end by chat completions; the episode holds the messages. No `user`: the scripted one.

    `returns_thoughts` sends the model's own earlier thoughts along, for its template to keep or drop.

    Raises:
        EndpointRefusedError: When the endpoint refuses for good: no episode would fare better.
    """
    trace = TokenTrace()
    said = History([{"role": "system", "content": SYSTEM.format(rulebook=rulebook)}])
    while episode.stop_reason is None:
        said.add(as_wire(episode.messages[len(said) - 1 :], reasoning=returns_thoughts))
        request = ChatRequest(said, tools, seed=call_seed(seed, len(episode.messages)))
        try:
            reply = await model.complete(request)
        except ContextOverflowError:
            episode.stop(StopReason.CONTEXT_FULL)
        except EndpointUnavailableError:
            episode.stop(StopReason.INFRASTRUCTURE)
        else:
            trace.add_reply(reply)
            message = as_message(reply)
            if not message.content.strip() and not message.tool_calls:
                episode.stop(_nothing_said(reply))
            elif user is None:
                episode.step(message)
            else:
                await _talk(episode, message, user, seed)
    return trace


async def _talk(episode: Episode, message: Message, user: User, seed: int) -> None:
    episode.take(message)
    if episode.user_speaks:
        await user.speak(episode, seed)


def _nothing_said(reply: ChatReply) -> StopReason:
    # A reply that thought until it was cut has said nothing; one that stopped by itself has failed to speak.
    return StopReason.CONTEXT_FULL if reply.finish_reason == "length" else StopReason.MALFORMED


async def play_tokens(
    client: ChatClient, session: CompactSession, limits: TokenLimits, seed: int, user: User | None = None
) -> TokenTrace:
    """Play a session to its end by completions of token ids, with the in-process engine's rules.

    No `user`: the scripted one.

    Raises:
        EndpointRefusedError: When the endpoint refuses for good.
    """
    trace = TokenTrace()
    answer: list[int] | None = session.start()
    while answer is not None:
        trace.add_context(answer[: limits.max_context_tokens - len(trace.token_ids)])
        room = limits.max_context_tokens - len(trace.token_ids)
        if room <= 0:
            session.episode.stop(StopReason.CONTEXT_FULL)
            break
        most = min(room, limits.max_message_tokens)
        seeded = call_seed(seed, len(trace.token_ids))
        try:
            reply = await client.complete_tokens(TokenRequest(trace.token_ids, most, [limits.end_id], seeded))
        except EndpointUnavailableError:
            session.episode.stop(StopReason.INFRASTRUCTURE)
            break
        except ContextOverflowError:
            # A server that was started with a shorter window than the profile's.
            session.episode.stop(StopReason.CONTEXT_FULL)
            break
        sampled = list(reply.token_ids)
        trace.add_sampled(sampled, reply.logprobs)
        trace.n_output_tokens += len(sampled)
        if sampled[-1] != limits.end_id and len(sampled) < limits.max_message_tokens:
            session.episode.stop(StopReason.CONTEXT_FULL)
            break
        if user is None:
            answer = session.reply(sampled)
            continue
        answer = session.take(sampled)
        if session.episode.user_speaks:
            await user.speak(session.episode, seed)
            answer = session.heard()
    return trace

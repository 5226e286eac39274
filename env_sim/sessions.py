"""Episodes at the token level: what a batched rollout engine plays.

A `CompactSession` joins an episode, a compact renderer and a tokenizer: token ids in, token ids out, every sampled id
kept as it was sampled. It fits the engine's `Session` protocol without knowing the engine or torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from env_sim.compact import END, CompactRenderer
from env_sim.domains import load_domain
from env_sim.episode import Episode
from env_sim.reward import RewardConfig, Scorer
from env_sim.task_kits import load_task_kit
from schemas import DatabaseRow, Message, RewardParts, StopReason, Task, Trajectory
from schemas.ids import trajectory_id


class TextCodec(Protocol):
    """A tokenizer, as far as a session needs one."""

    def encode(self, text: str) -> list[int]:
        """Token ids of words."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Words of token ids."""
        ...


class Played(Protocol):
    """What the engine knows of a finished episode; one value per token."""

    @property
    def token_ids(self) -> Sequence[int]:
        """All that the policy saw and wrote."""
        ...

    @property
    def assistant_mask(self) -> Sequence[bool]:
        """True where the policy wrote."""
        ...

    @property
    def logprobs(self) -> Sequence[float]:
        """Of the sampled tokens, 0 elsewhere."""
        ...


@dataclass(frozen=True)
class EpisodeSpec:
    """One episode to play; small and picklable."""

    task: Task
    policy: str
    policy_version: str
    trial: int
    seed: int


@dataclass
class CompactSession:
    """One episode as a stream of token ids."""

    spec: EpisodeSpec
    episode: Episode
    renderer: CompactRenderer
    codec: TextCodec
    scorer: Scorer
    _n_sampled: int = field(init=False, default=0)

    def start(self) -> list[int]:
        """Ids of the user's opening; the policy writes next."""
        return self.codec.encode(self.renderer.render(self.episode.messages[0]))

    def reply(self, sampled: list[int]) -> list[int] | None:
        """Take one whole sampled message; return the ids that the world appends, None when the episode is over."""
        return self._after(sampled, self.episode.step)

    def take(self, sampled: list[int]) -> list[int] | None:
        """As `reply`, but when `episode.user_speaks` then, nothing is appended before the user was heard (`heard`)."""
        return self._after(sampled, self.episode.take)

    def heard(self) -> list[int] | None:
        """The ids of what the user has just said, None when the episode is over."""
        return self._ids(self.episode.messages[-1:])

    def _after(self, sampled: list[int], step: Callable[[Message], Sequence[Message]]) -> list[int] | None:
        self._n_sampled += len(sampled)
        words = self.codec.decode(sampled)
        message = self.renderer.parse(words.removesuffix(END)) if words.endswith(END) else None
        if message is None:
            self.episode.stop(StopReason.MALFORMED)
            return None
        return self._ids(step(message))

    def _ids(self, messages: Sequence[Message]) -> list[int] | None:
        if self.episode.stop_reason is not None:
            return None
        return self.codec.encode(" ".join(self.renderer.render(each) for each in messages))

    def finish(self, played: Played) -> Trajectory:
        """The stored record, scored."""
        if self.episode.stop_reason is None:
            self.episode.stop(StopReason.CONTEXT_FULL)
        return stored_trajectory(self.spec, self.episode, played, self.scorer.score(self.episode, self._n_sampled))


def stored_trajectory(spec: EpisodeSpec, episode: Episode, played: Played, reward: RewardParts) -> Trajectory:
    """The stored record of an episode that has ended."""
    if episode.stop_reason is None:
        raise RuntimeError(f"episode of task {spec.task.task_id} still runs; end it before it is stored")
    return Trajectory(
        trajectory_id=trajectory_id(spec.task.task_id, spec.policy_version, spec.trial, spec.seed),
        task_id=spec.task.task_id,
        database_id=spec.task.database_id,
        policy=spec.policy,
        policy_version=spec.policy_version,
        trial=spec.trial,
        seed=spec.seed,
        messages=tuple(episode.messages),
        writes=tuple(episode.writes),
        stop_reason=episode.stop_reason,
        reward=reward,
        token_ids=tuple(played.token_ids),
        assistant_mask=tuple(played.assistant_mask),
        logprobs=tuple(played.logprobs),
        user_fault=episode.user_fault,
    )


@dataclass
class SessionFactory:
    """Makes sessions of one domain in whatever process it was sent to; databases are opened where they are used."""

    domain_name: str
    databases: Mapping[str, DatabaseRow]
    codec: TextCodec
    reward: RewardConfig
    max_turns: int = 30
    _scorer: Scorer | None = field(init=False, default=None)

    def __call__(self, spec: EpisodeSpec) -> CompactSession:
        """A fresh session for one episode."""
        domain = load_domain(self.domain_name)
        if self._scorer is None:
            self._scorer = Scorer(domain, self.reward)
        base = domain.open_database(self.databases[spec.task.database_id])
        episode = Episode(spec.task, domain, base, max_turns=self.max_turns)
        renderer = CompactRenderer(load_task_kit(self.domain_name).compact_spec)
        return CompactSession(spec, episode, renderer, self.codec, self._scorer)


def render_dialogue(renderer: CompactRenderer, messages: Sequence[Message]) -> list[tuple[str, bool]]:
    """(words, written by the policy) of each message, in order: the text side of a training row."""
    return [(renderer.render(message), message.role == "assistant") for message in messages]

"""A policy that others serve: the rollouts of `EmbeddedTrainer`, played at an OpenAI-compatible endpoint.

By chat messages for models that know tools, or by token ids for our own tiny policy in vLLM. Training stays where the
weights are; this only plays. One process and one event loop: waiting costs nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from env_sim import load_domain
from env_sim.chat.client import ChatClient, ResponseCache
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.episodes import TokenLimits, User, episode_seed, play_chat, play_tokens
from env_sim.chat.flow import each_done
from env_sim.chat.user import EndpointUser
from env_sim.compact import END
from env_sim.episode import Episode
from env_sim.reward import RewardConfig, Scorer
from env_sim.sessions import EpisodeSpec, SessionFactory, stored_trajectory
from schemas import Checkpoint, DatabaseRow, Task, Trajectory
from schemas.llm_calls import LlmCall
from trainer.config import SamplingConfig

__all__ = ["ServedPolicy"]

_Play = Callable[[ChatClient, EpisodeSpec, User | None], Awaitable[Trajectory]]


@dataclass(frozen=True)
class ServedPolicy:
    """Plays a policy at an endpoint; holds settings, no state."""

    domain: str
    endpoint: Endpoint
    """Its temperature and sampling are the policy's."""
    speaks: Literal["chat", "tokens"]
    """`tokens`: the compact language of the checkpoint's tokenizer, ids in and out."""
    checkpoints: Path
    """Folder of checkpoint folders; read for the tokenizer alone."""
    sampling: SamplingConfig
    """Bounds of a token-level episode; the temperature is the endpoint's."""
    reward: RewardConfig
    max_turns: int = 30
    cache: ResponseCache | None = None
    """None by default: trials are samples, and a cached one would not be fresh."""
    record: Callable[[LlmCall], None] | None = None
    """Hears of every call."""
    user: EndpointUser | None = None
    """Who plays the users; none: the scripted one."""

    def rollouts(
        self,
        checkpoint: Checkpoint,
        tasks: Sequence[Task],
        databases: Mapping[str, DatabaseRow],
        n_trials: int,
        seed: int,
    ) -> list[Trajectory]:
        """Play every task `n_trials` times; trajectories task after task, trial after trial.

        Raises:
            EndpointRefusedError: When the endpoint refuses for good.
        """
        specs = [
            EpisodeSpec(task, checkpoint.policy, checkpoint.checkpoint_id, trial, seed)
            for task in tasks
            for trial in range(n_trials)
        ]
        return asyncio.run(self._all(checkpoint, specs, databases))

    async def _all(
        self, checkpoint: Checkpoint, specs: Sequence[EpisodeSpec], databases: Mapping[str, DatabaseRow]
    ) -> list[Trajectory]:
        play = self._by_tokens(checkpoint, databases) if self.speaks == "tokens" else self._by_chat(databases)
        found: dict[int, Trajectory] = {}
        bar = tqdm(total=len(specs), desc=f"rollouts {checkpoint.policy}", unit="episode")
        client = ChatClient("policy", self.endpoint, cache=self.cache, record=self.record)
        with bar:
            async with client, AsyncExitStack() as stack:
                user = await stack.enter_async_context(self.user.opened()) if self.user else None
                done = each_done(specs, lambda spec: play(client, spec, user), self.endpoint.max_concurrent)
                async for index, trajectory in done:
                    found[index] = trajectory
                    bar.update()
        return [found[index] for index in range(len(specs))]

    def _by_tokens(self, checkpoint: Checkpoint, databases: Mapping[str, DatabaseRow]) -> _Play:
        from trainer.checkpoints import load_checkpoint

        tokenizer = load_checkpoint(self.checkpoints / checkpoint.checkpoint_id).tokenizer
        factory = SessionFactory(self.domain, dict(databases), tokenizer, self.reward, self.max_turns)
        limits = TokenLimits(
            tokenizer.id_of(END), self.sampling.max_context_tokens, self.sampling.max_message_tokens
        )  # fmt: skip

        async def play(client: ChatClient, spec: EpisodeSpec, user: User | None) -> Trajectory:
            session = factory(spec)
            trace = await play_tokens(client, session, limits, episode_seed(spec), user)
            return session.finish(trace)

        return play

    def _by_chat(self, databases: Mapping[str, DatabaseRow]) -> _Play:
        domain = load_domain(self.domain)
        scorer, tools = Scorer(domain, self.reward), domain.tool_schemas()

        async def play(client: ChatClient, spec: EpisodeSpec, user: User | None) -> Trajectory:
            base = domain.open_database(databases[spec.task.database_id])
            episode = Episode(spec.task, domain, base, max_turns=self.max_turns)
            trace = await play_chat(client, episode, domain.rulebook(), tools, episode_seed(spec), user)
            return stored_trajectory(spec, episode, trace, scorer.score(episode, trace.n_output_tokens))

        return play

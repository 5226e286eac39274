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
from env_sim.chat.endpoint import OPERATIONAL, Endpoint
from env_sim.chat.episodes import TokenLimits, User, episode_seed, play_chat, play_tokens
from env_sim.chat.flow import each_done, rarely_collected
from env_sim.chat.usage import Usage
from env_sim.chat.user import EndpointUser
from env_sim.compact import END
from env_sim.episode import Episode
from env_sim.reward import RewardConfig, Scorer
from env_sim.sessions import EpisodeSpec, SessionFactory, stored_trajectory
from schemas import Checkpoint, DatabaseRow, Task, Trajectory
from schemas.ids import content_id
from schemas.llm_calls import LlmCall
from trainer.config import SamplingConfig

__all__ = ["ServedPolicy", "served_checkpoint"]

_Play = Callable[[ChatClient, EpisodeSpec, User | None], Awaitable[Trajectory]]


def served_checkpoint(endpoint: Endpoint, seed: int, *, returns_thoughts: bool = False) -> Checkpoint:
    """The row of a model that is not trained here; its id says which model, how it is sampled and what it is sent."""
    sampling = endpoint.model_dump(exclude=set(OPERATIONAL) | {"output"})
    if returns_thoughts:
        sampling["returns_thoughts"] = True
    return Checkpoint(
        checkpoint_id=content_id("served", sampling),
        policy=endpoint.model,
        kind="served",
        path=endpoint.base_url,
        n_parameters=0,
        seed=seed,
        n_steps=0,
    )


@dataclass(frozen=True)
class ServedPolicy:
    """Plays a policy at an endpoint; holds settings, no state."""

    domain: str
    endpoint: Endpoint
    """Of a chat model its temperature and sampling are the policy's."""
    speaks: Literal["chat", "tokens"]
    """`tokens`: the compact language of the checkpoint's tokenizer, ids in and out."""
    checkpoints: Path
    """Folder of checkpoint folders; read for the tokenizer alone."""
    sampling: SamplingConfig
    """Temperature and bounds of a token-level episode, as in process."""
    reward: RewardConfig
    max_turns: int = 30
    cache: ResponseCache | None = None
    """None by default: trials are samples, and a cached one would not be fresh."""
    record: Callable[[LlmCall], None] | None = None
    """Hears of every call."""
    returns_thoughts: bool = False
    """Send a chat model its own earlier thoughts."""
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
        usage = Usage()

        def record(call: LlmCall) -> None:
            usage.add(call)
            if self.record is not None:
                self.record(call)

        bar = tqdm(total=len(specs), desc=f"rollouts {checkpoint.policy}", unit="episode")
        with bar, rarely_collected():
            client = ChatClient("policy", self._place(), cache=self.cache, record=record)
            async with client, AsyncExitStack() as stack:
                user = await stack.enter_async_context(self.user.opened()) if self.user else None
                done = each_done(specs, lambda spec: play(client, spec, user), self.endpoint.max_concurrent)
                async for index, trajectory in done:
                    found[index] = trajectory
                    bar.set_postfix(usage.shown(bar.format_dict["elapsed"]), refresh=False)
                    bar.update()
        return [found[index] for index in range(len(specs))]

    def _place(self) -> Endpoint:
        """The endpoint, for our own policy with the sampling of the in-process engine, which knows no nucleus."""
        if self.speaks == "chat":
            return self.endpoint
        return self.endpoint.model_copy(update={"temperature": self.sampling.temperature, "top_p": 1.0})

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
            seed, returns = episode_seed(spec), self.returns_thoughts
            trace = await play_chat(
                client, episode, domain.rulebook(), tools, seed, user, returns_thoughts=returns
            )  # fmt: skip
            return stored_trajectory(spec, episode, trace, scorer.score(episode, trace.n_output_tokens))

        return play

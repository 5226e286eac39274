"""The embedded profile's trainer: records in, checkpoints and trajectories out.

The one place where tasks meet tensors. It turns dialogues into token rows, plays episodes with the engine, and wraps
SFT and GRPO so that a caller hands over rows and gets rows. torch is imported by the first call, not before.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

import numpy as np
from tqdm import tqdm

from env_sim.compact import END, ROLE_TOKENS, CompactRenderer
from env_sim.reward import RewardConfig
from env_sim.sessions import EpisodeSpec, SessionFactory, render_dialogue
from env_sim.task_kits import load_task_kit
from schemas import Checkpoint, DatabaseRow, PoolTask, RlRollout, Task, TrainStep, Trajectory
from schemas.errors import ZeroVarianceError
from schemas.ids import trajectory_id
from trainer.config import GrpoConfig, PolicyConfig, SamplingConfig, SftConfig, WarmupConfig
from trainer.rows import TokenRow

if TYPE_CHECKING:
    from env_sim.chat.user import EndpointUser
    from trainer.checkpoints import LoadedCheckpoint
    from trainer.model import Weights
    from trainer.tokenizer import PolicyTokenizer


def dialogue_words(domain: str, trajectories: Sequence[Trajectory]) -> list[list[tuple[str, bool]]]:
    """(words, written by the policy) of every message of every trajectory, in the compact language."""
    spec = load_task_kit(domain).compact_spec
    return [render_dialogue(CompactRenderer(spec), trajectory.messages) for trajectory in trajectories]


def token_row(words: Sequence[tuple[str, bool]], tokenizer: "PolicyTokenizer") -> TokenRow:
    """One dialogue as ids and the mask of what the policy wrote."""
    ids: list[int] = []
    mask: list[bool] = []
    for text, written in words:
        piece = tokenizer.encode(text)
        ids += piece
        mask += [written] * len(piece)
    return TokenRow(np.array(ids, np.int32), np.array(mask, bool))


@dataclass(frozen=True)
class RlResult:
    """What one round of RL left."""

    checkpoint: Checkpoint
    rollouts: list[RlRollout]
    metrics: list[TrainStep]


@dataclass(frozen=True)
class EmbeddedTrainer:
    """Trains and plays the tiny policy of one domain; holds settings, no state."""

    domain: str
    checkpoints: Path
    """Folder of checkpoint folders, each named by its id."""
    policy: PolicyConfig
    warmup: WarmupConfig
    sft: SftConfig
    grpo: GrpoConfig
    sampling: SamplingConfig
    reward: RewardConfig
    n_processes: int = 2
    max_turns: int = 30
    user: "EndpointUser | None" = None
    """Who plays the users of `rollouts`; none: the scripted one, as in all training."""

    def base_checkpoint(self, trajectories: Sequence[Trajectory], seed: int) -> Checkpoint:
        """The untrained policy: a tokenizer learned from the demonstrations' words, weights as initialised."""
        from trainer.initialise import initial_weights
        from trainer.tokenizer import train_tokenizer

        spec = load_task_kit(self.domain).compact_spec
        words = (text for dialogue in dialogue_words(self.domain, trajectories) for text, _ in dialogue)
        tokenizer = train_tokenizer(words, ROLE_TOKENS, spec.words(), self.policy.vocab_size)
        config = self.policy.model_copy(update={"vocab_size": len(tokenizer)})
        weights = initial_weights(config, seed)
        return self._save(weights, config, tokenizer, Naming(policy="base", kind="base", seed=seed, n_steps=0))

    def sft_checkpoint(
        self, trajectories: Sequence[Trajectory], base: Checkpoint, seed: int
    ) -> tuple[Checkpoint, list[TrainStep]]:
        """Imitate the demonstrations, from the base policy's weights and with its tokenizer."""
        from trainer.sft import train_sft

        start = self._load(base)
        dialogues = dialogue_words(self.domain, trajectories)
        rows = [token_row(dialogue, start.tokenizer) for dialogue in dialogues]
        config = start.manifest.policy_config
        with tqdm(total=self.sft.n_steps, desc="sft", unit="step") as bar:

            def progress(step: TrainStep) -> None:
                if step.stage == "sft":
                    bar.update()
                    bar.set_postfix(loss=f"{step.loss:.3f}")

            result = train_sft(
                rows, config, self.sft, self.warmup, start.tokenizer, seed, progress, weights=start.weights
            )
        naming = Naming("sft", "sft", seed, len(result.metrics), parent_checkpoint_id=base.checkpoint_id)
        return self._save(result.weights, config, start.tokenizer, naming), result.metrics

    def rollouts(
        self,
        checkpoint: Checkpoint,
        tasks: Sequence[Task],
        databases: Mapping[str, DatabaseRow],
        n_trials: int,
        seed: int,
    ) -> list[Trajectory]:
        """Play every task `n_trials` times; trajectories task after task, trial after trial."""
        from trainer.rollouts import RolloutPool

        loaded = self._load(checkpoint)
        factory = self._factory(databases, loaded.tokenizer)
        specs = [
            EpisodeSpec(task, checkpoint.policy, checkpoint.checkpoint_id, trial, seed)
            for task in tasks
            for trial in range(n_trials)
        ]
        end_id = loaded.tokenizer.id_of(END)
        seeds = np.random.SeedSequence([seed, 5]).generate_state(len(specs), np.uint64).tolist()
        config = loaded.manifest.policy_config
        with ExitStack() as stack:
            n_processes = self.n_processes
            if self.user is not None:
                from env_sim.chat.beside import talking

                # One process: the user's connections, limits and calls are of this one, and waiting needs no core.
                n_processes, factory = 1, stack.enter_context(talking(factory, self.user))
            bar = stack.enter_context(tqdm(total=len(specs), desc=f"rollouts {checkpoint.policy}", unit="episode"))
            pool = stack.enter_context(RolloutPool(config, factory, self.sampling, end_id, n_processes))
            return pool.play(loaded.weights, specs, seeds, lambda done: _advance(bar, done))

    def rl_checkpoint(
        self,
        start: Checkpoint,
        policy_name: str,
        pool: Sequence[PoolTask],
        databases: Mapping[str, DatabaseRow],
        seed: int,
        pool_version: int | None = None,
        earlier: Checkpoint | None = None,
    ) -> RlResult:
        """GRPO from `start` on the pool, averaged with earlier runs from the same start.

        Args:
            start: Where the run starts.
            policy_name: Name of the new policy.
            pool: Tasks to train on.
            databases: Their worlds.
            seed: Sampling noise, order of tasks and updates.
            pool_version: Of the stored pool, for the manifest.
            earlier: The mean of earlier runs from the same start; the result is the mean of all, each weighing as many
                steps as it took. What a run learnt adds up in the mean, its noise does not (model soups, arXiv
                2203.05482; for policies WARP, arXiv 2406.16768). None: the run alone.

        Raises:
            ZeroVarianceError: no group of several steps in a row had spread: the tasks are all solved or all hopeless.
        """
        from trainer.grpo import score_of, train_grpo

        loaded, config = self._load(start), self.grpo.for_pool(len(pool))
        draw = _Draw(pool, policy_name, start.checkpoint_id, self.grpo.groups_per_step, seed)
        rollouts: list[RlRollout] = []
        metrics: list[TrainStep] = []
        weights = loaded.weights
        with tqdm(total=config.n_steps, desc=f"grpo {policy_name}", unit="step") as bar:
            steps = train_grpo(
                loaded.weights,
                loaded.manifest.policy_config,
                config,
                self._factory(databases, loaded.tokenizer),
                draw,
                loaded.tokenizer.id_of(END),
                seed,
                score=score_of,
                policy=policy_name,
            )
            for step in steps:
                metrics.append(step.metrics)
                rollouts += self._stored(step.episodes, step.metrics.step)
                weights = step.weights
                bar.update()
                bar.set_postfix(success=f"{step.metrics.success_rate or 0:.2f}")
        n_steps = config.n_steps
        if earlier is not None:
            n_steps += earlier.n_steps
            weights = _mean(self._load(earlier).weights, weights, config.n_steps / n_steps)
        naming = Naming(policy_name, "rl", seed, n_steps, start.checkpoint_id, pool_version)
        checkpoint = self._save(weights, loaded.manifest.policy_config, loaded.tokenizer, naming)
        return RlResult(checkpoint, rollouts, metrics)

    def _stored(self, episodes: Sequence[Trajectory], step: int) -> list[RlRollout]:
        """The episodes of a step as rows, with the group's place and each episode's advantage."""
        from trainer.advantages import group_advantages

        size = self.grpo.group_size
        rewards_P_G = np.array([episode.reward.total for episode in episodes]).reshape(-1, size)
        counted_P_G = np.array([episode.user_fault is None for episode in episodes]).reshape(-1, size)
        try:
            advantages_P_G = group_advantages(
                rewards_P_G,
                counted_P_G,
                normalise_by_std=self.grpo.normalise_by_std,
                std_floor=self.grpo.std_floor,
            ).advantages_P_G
        except ZeroVarianceError:
            advantages_P_G = np.zeros_like(rewards_P_G)
        rows = []
        for index, episode in enumerate(episodes):
            group, trial = divmod(index, size)
            identity = trajectory_id(f"{episode.task_id}:{step}:{group}", episode.policy_version, trial, episode.seed)
            fields = dict(episode) | {"trajectory_id": identity, "trial": trial}
            group_id = f"{episode.task_id}:{step}"
            advantage = float(advantages_P_G[group, trial])
            rows.append(RlRollout.model_construct(**fields, train_step=step, group_id=group_id, advantage=advantage))
        return rows

    def _factory(self, databases: Mapping[str, DatabaseRow], tokenizer: "PolicyTokenizer") -> SessionFactory:
        return SessionFactory(self.domain, dict(databases), tokenizer, self.reward, self.max_turns)

    def _load(self, checkpoint: Checkpoint) -> "LoadedCheckpoint":
        from trainer.checkpoints import load_checkpoint

        return load_checkpoint(self.checkpoints / checkpoint.checkpoint_id)

    def _save(
        self, weights: "Weights", config: PolicyConfig, tokenizer: "PolicyTokenizer", naming: "Naming"
    ) -> Checkpoint:
        from trainer.checkpoints import checkpoint_id, save_checkpoint

        identity = checkpoint_id(weights, config)
        manifest = save_checkpoint(self.checkpoints / identity, weights, config, tokenizer, **vars(naming))
        return Checkpoint(
            checkpoint_id=identity,
            path=f"{self.checkpoints.name}/{identity}",
            n_parameters=manifest.n_parameters,
            **vars(naming),
        )


def _mean(earlier: "Weights", run: "Weights", share: float) -> "Weights":
    """The mean of all runs, from that of the earlier ones and the last one with its share."""
    return {name: earlier[name] * (1 - share) + value * share for name, value in run.items()}


def _advance(bar: tqdm, done: int) -> None:
    bar.update(done - bar.n)


@dataclass
class Naming:
    """What a checkpoint's manifest says beside its weights."""

    policy: str
    kind: Literal["base", "sft", "rl"]
    seed: int
    n_steps: int
    parent_checkpoint_id: str | None = None
    pool_version: int | None = None


@dataclass
class _Draw:
    """Tasks of each step: the pool in a weighted shuffled order, again and again, one spec per group."""

    pool: Sequence[PoolTask]
    policy: str
    policy_version: str
    n: int
    seed: int
    _queue: list[int] = field(init=False, default_factory=list)
    _pass: int = field(init=False, default=0)

    def __call__(self, step: int) -> list[EpisodeSpec]:
        """The specs of a step."""
        while len(self._queue) < self.n:
            self._queue += self._shuffled()
        drawn, self._queue = self._queue[: self.n], self._queue[self.n :]
        return [EpisodeSpec(self.pool[i].task, self.policy, self.policy_version, 0, self.seed) for i in drawn]

    def _shuffled(self) -> list[int]:
        """Every task once, heavier ones earlier on average (exponential clocks, Efraimidis and Spirakis 2006)."""
        rng = Random(f"draw:{self.seed}:{self._pass}")
        self._pass += 1
        clocks = [rng.expovariate(1.0) / task.weight for task in self.pool]
        return sorted(range(len(self.pool)), key=clocks.__getitem__)

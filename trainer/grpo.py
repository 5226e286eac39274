"""Group-relative policy optimisation over the batched engine.

Per step: draw tasks, play a group of episodes of each, leave out the episodes that the user spoilt, centre rewards
within the group, drop groups without spread, take `updates_per_step` clipped updates. Rollouts and updates run in the
same processes, so new weights need not travel. Tokens, masks and log-probabilities are the engine's, never
re-tokenized. Departures from the papers are named in `losses`; not covered: refilling dropped groups, GSPO ratios,
resuming.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from schemas import TrainStep, Trajectory
from schemas.errors import TrainerError, ZeroVarianceError
from trainer.advantages import group_advantages
from trainer.config import GrpoConfig, PolicyConfig
from trainer.grpo_update import EpisodeSample, UpdateJob, UpdateStats, fetch_weights, load_block, update
from trainer.losses import token_weights
from trainer.model import Weights
from trainer.optimisers import ParameterBlock
from trainer.rollouts import RolloutPool, SessionFactory
from trainer.workers import WorkerPool

logger = logging.getLogger(__name__)

E = TypeVar("E")
"""What the caller's sessions return from `finish`, e.g. Trajectory."""
N_SUMS = 5
"""Values that travel behind the gradients: loss, kl, clipped, entropy, tokens."""


@dataclass(frozen=True)
class ScoredEpisode:
    """What training needs of one episode."""

    reward: float
    """What the group is compared by."""
    success: bool
    repeats: int
    token_ids: Sequence[int]
    assistant_mask: Sequence[bool]
    logprobs: Sequence[float]
    """The sampler's, at the sampling temperature."""
    counts: bool = True
    """False: the user spoilt the episode. It is neither a success nor a failure of the policy and teaches nothing."""


def score_of(trajectory: Trajectory) -> ScoredEpisode:
    """The training view of a stored trajectory."""
    return ScoredEpisode(
        reward=trajectory.reward.total,
        success=trajectory.succeeded,
        repeats=trajectory.reward.repeats,
        token_ids=trajectory.token_ids,
        assistant_mask=trajectory.assistant_mask,
        logprobs=trajectory.logprobs,
        counts=trajectory.user_fault is None,
    )


@dataclass(frozen=True)
class GrpoStep(Generic[E]):
    """One finished step."""

    metrics: TrainStep
    episodes: list[E]
    """What `finish` returned, group after group, dropped groups too; the caller stores them."""
    weights: dict[str, torch.Tensor]
    """After the step."""
    rollout_s: float
    update_s: float
    probe: object
    """What the probe returned before the step."""


Probe = Callable[[int, RolloutPool], object]
"""`probe(step, rollouts)`: may play fixed specs with fixed seeds through `rollouts.play(None, ...)`."""


def train_grpo(
    weights: Weights,
    policy_config: PolicyConfig,
    config: GrpoConfig,
    factory: SessionFactory,
    draw: Callable[[int], Sequence[object]],
    end_id: int,
    seed: int,
    *,
    score: Callable[[E], ScoredEpisode],
    policy: str = "rl",
    probe: Probe | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[GrpoStep[E]]:
    """Train step by step; the processes live until the iterator is used up or closed.

    Args:
        weights: Start policy.
        policy_config: Its sizes.
        config: Steps, groups, clip, learning rate.
        factory: Module-level; builds the session of a spec in a worker.
        draw: Gives the specs of a step, one per group.
        end_id: Token that closes a message.
        seed: Sampling noise and update order; a step's noise does not depend on the steps before.
        score: Training view of what `finish` returned; `score_of` for trajectories.
        policy: Name in the metrics.
        probe: Called before each step.
        progress: Called with (step, finished episodes) during rollouts.

    Raises:
        ZeroVarianceError: after max_idle_steps steps in a row without enough groups with spread.
        TrainerError: when `draw` gives another number of specs, or a loss is not finite.
    """
    size = ParameterBlock(policy_config).n_parameters + N_SUMS
    with WorkerPool(config.n_processes, size) as pool:
        arrays = {name: value.detach().numpy() for name, value in weights.items()}
        pool.run(load_block, [(policy_config, arrays, config)] * pool.n_processes)
        rollouts = RolloutPool(policy_config, factory, config.sampling, end_id, pool=pool)
        idle = 0
        for step in range(config.n_steps):
            found = probe(step, rollouts) if probe else None
            begin = time.perf_counter()
            finished = _roll_out(rollouts, config, draw(step), seed, step, progress)
            middle = time.perf_counter()
            episodes = [score(episode) for episode in finished]
            stats, kept, problem = _learn(pool, config, episodes, seed, step)
            idle = 0 if kept else idle + 1
            if idle >= config.max_idle_steps and problem is not None:
                raise ZeroVarianceError(f"grpo[{policy}]: {idle} steps in a row had no update; {problem}") from problem
            now = time.perf_counter()
            metrics = _metrics(policy, step, config, episodes, stats, kept, now - begin)
            yield GrpoStep(metrics, finished, _weights(pool), middle - begin, now - middle, found)


def _weights(pool: WorkerPool) -> dict[str, torch.Tensor]:
    arrays = pool.run(fetch_weights, [None] * pool.n_processes)[0]
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def learning_rate(step: int, config: GrpoConfig) -> float:
    """Linear rise over `warmup_steps`, linear fall from the peak to zero after the last step."""
    rise = min(1.0, (step + 1) / (config.warmup_steps + 1))
    return config.learning_rate * rise * (1 - step / config.n_steps)


def episode_seeds(seed: int, step: int, n: int) -> list[int]:
    """One seed per episode of a step, by (seed, step) alone."""
    return np.random.SeedSequence([seed, 3, step]).generate_state(n, np.uint64).tolist()


def _roll_out(
    rollouts: RolloutPool,
    config: GrpoConfig,
    specs: Sequence[object],
    seed: int,
    step: int,
    progress: Callable[[int, int], None] | None,
) -> list:
    if len(specs) != config.groups_per_step:
        raise TrainerError(
            f"grpo[step {step}]: expected {config.groups_per_step} specs from draw, got {len(specs)}; "
            "draw groups_per_step tasks or change the config"
        )
    repeated = [spec for spec in specs for _ in range(config.group_size)]
    return rollouts.play(
        None, repeated, episode_seeds(seed, step, len(repeated)), lambda n: progress(step, n) if progress else None
    )


def _learn(
    pool: WorkerPool, config: GrpoConfig, episodes: Sequence[ScoredEpisode], seed: int, step: int
) -> tuple[UpdateStats, int, ZeroVarianceError | None]:
    """Take the step's updates; returns their statistics, the groups used, and why there were none."""
    rewards_P_G = np.array([episode.reward for episode in episodes], np.float64).reshape(-1, config.group_size)
    counted_P_G = np.array([episode.counts for episode in episodes]).reshape(-1, config.group_size)
    if not counted_P_G.all():
        logger.warning("grpo step %d: %d episodes left out, the user spoilt them", step, int((~counted_P_G).sum()))
    try:
        found = group_advantages(
            rewards_P_G, counted_P_G, normalise_by_std=config.normalise_by_std, std_floor=config.std_floor
        )
    except ZeroVarianceError as error:
        logger.warning("grpo step %d: no update, no group with spread", step)
        return UpdateStats(), 0, error
    groups = np.flatnonzero(found.has_spread_P)
    if len(groups) < config.min_groups:
        reason = f"grpo[step {step}]: expected {config.min_groups} groups with spread, got {len(groups)}"
        return UpdateStats(), 0, ZeroVarianceError(f"{reason}; lower min_groups or draw tasks of middling difficulty")
    order = np.random.default_rng([seed, 4, step]).permutation(groups)
    stats = UpdateStats()
    for share in np.array_split(order, min(config.updates_per_step, len(order))):
        members = [
            (g * config.group_size + i, found.advantages_P_G[g, i])
            for g in share
            for i in range(config.group_size)
            if counted_P_G[g, i]
        ]
        samples = _samples([(episodes[i], float(advantage)) for i, advantage in members], config)
        dealt = [samples[rank :: pool.n_processes] for rank in range(pool.n_processes)]
        rate = learning_rate(step, config)
        stats = stats + pool.run(update, [UpdateJob(part, config, rate) for part in dealt])[0]
    return stats, len(groups), None


def _samples(members: Sequence[tuple[ScoredEpisode, float]], config: GrpoConfig) -> list[EpisodeSample]:
    """Episodes with their advantage and token weight, longest first so that dealing them out balances processes."""
    counts = [sum(episode.assistant_mask) for episode, _ in members]
    weights = token_weights(counts, config.loss_aggregation, config.constant_tokens)
    samples = [
        EpisodeSample(
            np.array(episode.token_ids, np.int32),
            np.array(episode.assistant_mask, bool),
            np.array(episode.logprobs, np.float32),
            advantage,
            float(weight),
        )
        for (episode, advantage), weight in zip(members, weights, strict=True)
    ]
    return sorted(samples, key=lambda sample: -len(sample.token_ids))


def _metrics(
    policy: str,
    step: int,
    config: GrpoConfig,
    episodes: Sequence[ScoredEpisode],
    stats: UpdateStats,
    kept: int,
    duration_s: float,
) -> TrainStep:
    updates, tokens = max(1, stats.n_updates), max(1, stats.n_tokens)
    trained = stats.n_updates > 0
    counted = [episode for episode in episodes if episode.counts]
    return TrainStep(
        policy=policy,
        stage="grpo",
        step=step,
        loss=stats.loss / updates,
        learning_rate=learning_rate(step, config),
        n_tokens=stats.n_tokens,
        duration_s=duration_s,
        success_rate=float(np.mean([episode.success for episode in counted])) if counted else None,
        mean_reward=float(np.mean([episode.reward for episode in counted])) if counted else None,
        n_groups_used=kept,
        n_groups_dropped=config.groups_per_step - kept,
        kl=stats.kl / tokens if trained else None,
        entropy=stats.entropy / tokens if trained else None,
        clip_fraction=stats.n_clipped / tokens if trained else None,
        repeats_per_episode=float(np.mean([episode.repeats for episode in episodes])),
        mean_length_tokens=float(np.mean([len(episode.token_ids) for episode in episodes])),
    )

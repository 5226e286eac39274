"""Episodes over a worker pool: sessions are built, played and finished inside the workers.

Only specs go in and only what `finish` returns comes out. Episode i is played by process i modulo n_processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch

from schemas.errors import TrainerError
from trainer.config import PolicyConfig, SamplingConfig
from trainer.engine import PlayedEpisode, Session, play
from trainer.model import Weights
from trainer.optimisers import ParameterBlock
from trainer.workers import Worker, WorkerPool

PROGRESS_EVERY = 16
"""Finished episodes between two progress messages of a worker."""


class FinishingSession(Session, Protocol):
    """A session that can be scored when it is over."""

    def finish(self, played: PlayedEpisode) -> object:
        """What the caller gets for this episode: small and picklable."""
        ...


SessionFactory = Callable[..., FinishingSession]
"""Module-level `factory(spec) -> FinishingSession`; it is imported in the workers."""


@dataclass(frozen=True)
class _Share:
    """One worker's episodes."""

    factory: SessionFactory
    specs: Sequence[object]
    seeds: Sequence[int]
    policy: PolicyConfig
    sampling: SamplingConfig
    end_id: int
    weights: dict[str, np.ndarray] | None
    """None: the block that training keeps in the worker."""


def play_share(worker: Worker, share: _Share) -> list[object]:
    """Worker task: build, play and finish the share's sessions."""
    if share.weights is None:
        block = worker.memory["block"]
        assert isinstance(block, ParameterBlock)
        weights: Weights = block.weights
    else:
        weights = {name: torch.from_numpy(array) for name, array in share.weights.items()}
    sessions = [share.factory(spec) for spec in share.specs]
    told = 0

    def tell(n_done: int) -> None:
        nonlocal told
        if n_done - told >= PROGRESS_EVERY or n_done == len(sessions):
            worker.send((worker.rank, n_done))
            told = n_done

    if not sessions:
        return []
    played = play(weights, share.policy, sessions, share.sampling, share.end_id, share.seeds, tell)
    return [session.finish(episode) for session, episode in zip(sessions, played, strict=True)]


class RolloutPool:
    """Plays batches of specs with one set of processes; a context manager.

    With a `pool` given (GRPO's) that one is used and left running.
    """

    def __init__(
        self,
        policy_config: PolicyConfig,
        factory: SessionFactory,
        sampling: SamplingConfig,
        end_id: int,
        n_processes: int = 2,
        *,
        pool: WorkerPool | None = None,
    ) -> None:
        """Start the processes."""
        self.policy_config, self.factory, self.sampling, self.end_id = policy_config, factory, sampling, end_id
        self._owned = None if pool else WorkerPool(n_processes, 1)
        self.pool = pool or self._owned

    def __enter__(self) -> Self:
        """The pool itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the processes that this pool started."""
        self.close()

    def close(self) -> None:
        """Stop the processes that this pool started."""
        if self._owned:
            self._owned.close()

    def play(
        self,
        weights: Weights | None,
        specs: Sequence[object],
        seeds: Sequence[int],
        progress: Callable[[int], None] | None = None,
        *,
        sampling: SamplingConfig | None = None,
    ) -> list:
        """What `finish` returned for each spec, in the order of the specs.

        Args:
            weights: By Qwen3 parameter name; None plays with the weights that training holds in the workers.
            specs: Picklable arguments of the factory.
            seeds: One per spec.
            progress: Called with the number of finished episodes, now and then.
            sampling: Instead of the pool's, for this call.
        """
        assert self.pool is not None
        n, done = self.pool.n_processes, {}
        if len(specs) != len(seeds):
            raise TrainerError(f"rollouts: expected one seed per spec, got {len(specs)} and {len(seeds)}; fix the call")
        arrays = None if weights is None else {name: value.detach().numpy() for name, value in weights.items()}
        shares = [
            _Share(
                factory=self.factory,
                specs=list(specs[rank::n]),
                seeds=list(seeds[rank::n]),
                policy=self.policy_config,
                sampling=sampling or self.sampling,
                end_id=self.end_id,
                weights=arrays,
            )
            for rank in range(n)
        ]

        def hear(message: object) -> None:
            assert isinstance(message, tuple)
            done[message[0]] = message[1]
            if progress:
                progress(sum(done.values()))

        found = self.pool.run(play_share, shares, hear)
        results: list = [None] * len(specs)
        for rank in range(n):
            results[rank::n] = found[rank]
        return results


def play_sharded(
    factory: SessionFactory,
    specs: Sequence[object],
    seeds: Sequence[int],
    *,
    weights: Weights,
    policy_config: PolicyConfig,
    sampling: SamplingConfig,
    end_id: int,
    n_processes: int = 2,
) -> list:
    """One batch of episodes with processes of its own; for several batches keep a `RolloutPool`."""
    with RolloutPool(policy_config, factory, sampling, end_id, n_processes) as rollouts:
        return rollouts.play(weights, specs, seeds)

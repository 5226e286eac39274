"""What a worker process does in GRPO: hold weights and optimizer, and take one update from its share of episodes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from schemas.errors import TrainerError
from trainer.config import GrpoConfig, PolicyConfig
from trainer.losses import grpo_loss
from trainer.model import Weights, masked_logits
from trainer.optimisers import Adam, MuonAdam, ParameterBlock
from trainer.rows import micro_batches
from trainer.workers import Worker


@dataclass(frozen=True)
class EpisodeSample:
    """One episode as the loss needs it."""

    token_ids: np.ndarray
    assistant_mask: np.ndarray
    logprobs: np.ndarray
    advantage: float
    token_weight: float
    """Weight of each of its sampled tokens in the loss."""


@dataclass(frozen=True)
class UpdateJob:
    """One process's share of one optimizer step."""

    samples: Sequence[EpisodeSample]
    config: GrpoConfig
    learning_rate: float


@dataclass(frozen=True)
class UpdateStats:
    """Sums over the tokens of all processes; `+` adds updates."""

    loss: float = 0.0
    kl: float = 0.0
    n_clipped: float = 0.0
    entropy: float = 0.0
    n_tokens: int = 0
    n_updates: int = 0

    def __add__(self, other: "UpdateStats") -> "UpdateStats":
        """Both updates together."""
        return UpdateStats(
            self.loss + other.loss,
            self.kl + other.kl,
            self.n_clipped + other.n_clipped,
            self.entropy + other.entropy,
            self.n_tokens + other.n_tokens,
            self.n_updates + other.n_updates,
        )


def load_block(worker: Worker, payload: tuple[PolicyConfig, dict[str, np.ndarray], GrpoConfig]) -> None:
    """Worker task: take the start weights; keep a copy as reference when a KL term needs it."""
    policy, arrays, config = payload
    block = ParameterBlock(policy)
    block.load({name: torch.from_numpy(array) for name, array in arrays.items()})
    worker.memory["block"] = block
    worker.memory["optimiser"] = MuonAdam(block) if config.optimiser == "muon" else Adam(block)
    worker.memory["reference"] = block.state() if config.kl_weight > 0 else None


def fetch_weights(worker: Worker, payload: None) -> dict[str, np.ndarray]:
    """Worker task: the weights, from the first process (all hold the same)."""
    block = worker.memory["block"]
    assert isinstance(block, ParameterBlock)
    return {name: value.numpy() for name, value in block.state().items()} if worker.rank == 0 else {}


def update(worker: Worker, job: UpdateJob) -> UpdateStats:
    """Worker task: one optimizer step from all processes' samples. A process without samples still takes part."""
    block, optimiser = worker.memory["block"], worker.memory["optimiser"]
    reference = worker.memory["reference"]
    assert isinstance(block, ParameterBlock) and isinstance(optimiser, Adam | MuonAdam)
    block.grads.zero_()
    totals = torch.zeros(5, dtype=torch.float64)
    lengths = [len(sample.token_ids) for sample in job.samples]
    for indices in micro_batches(lengths, job.config.micro_batch_tokens):
        totals += _accumulate(block, [job.samples[i] for i in indices], job.config, reference)  # type: ignore[arg-type]
    vector = torch.cat([block.grads, totals.float()])
    worker.reducer.sum_(vector)
    block.grads.copy_(vector[:-5])
    loss, kl, n_clipped, entropy, n_tokens = vector[-5:].tolist()
    if not math.isfinite(loss) or not block.grads.isfinite().all():
        raise TrainerError(f"grpo update: expected finite loss and gradients, got loss {loss}; lower learning_rate")
    block.clip_gradients(job.config.clip_norm)
    optimiser.step(job.learning_rate)
    return UpdateStats(loss, kl, n_clipped, entropy, int(n_tokens), 1)


def _accumulate(
    block: ParameterBlock, samples: Sequence[EpisodeSample], config: GrpoConfig, reference: Weights | None
) -> torch.Tensor:
    """Backward pass of one micro-batch; returns loss, kl, clipped, entropy and token sums."""
    width = max(len(sample.token_ids) for sample in samples)
    ids, mask = np.zeros((len(samples), width), np.int64), np.zeros((len(samples), width), bool)
    for i, sample in enumerate(samples):
        ids[i, : len(sample.token_ids)] = sample.token_ids
        mask[i, : len(sample.token_ids)] = sample.assistant_mask
    counts = mask[:, 1:].sum(1)
    old = np.concatenate([sample.logprobs[1:][sample.assistant_mask[1:]] for sample in samples])
    advantages = np.repeat(np.array([sample.advantage for sample in samples], np.float32), counts)
    weights = np.repeat(np.array([sample.token_weight for sample in samples], np.float32), counts)
    ids_BT, mask_BT = torch.from_numpy(ids), torch.from_numpy(mask)
    logprobs, new = _token_logprobs(block.weights, block.config, ids_BT, mask_BT, config.temperature)
    anchor = None
    if reference is not None:
        with torch.no_grad():
            anchor = _token_logprobs(reference, block.config, ids_BT, mask_BT, config.temperature)[1]
    terms = grpo_loss(
        new, torch.from_numpy(old), torch.from_numpy(advantages), torch.from_numpy(weights), config, anchor
    )
    terms.loss.backward()
    entropy = -(logprobs.detach().exp() * logprobs.detach()).sum()
    found = (terms.loss.detach(), terms.kl_sum, terms.n_clipped, entropy, torch.tensor(len(old)))
    return torch.stack([value.double() for value in found])


def _token_logprobs(
    weights: Weights, config: PolicyConfig, ids_BT: torch.Tensor, mask_BT: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-distribution [N, vocab] at the sampling temperature, and the log-probability of the tokens [N]."""
    logits, targets = masked_logits(weights, config, ids_BT, mask_BT)
    logprobs = torch.log_softmax(logits / temperature, -1)
    return logprobs, logprobs.gather(1, targets[:, None])[:, 0]

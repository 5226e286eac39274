"""The policy-gradient loss, in one place, and how tokens are weighted in it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch

from trainer.config import GrpoConfig


class LossTerms(NamedTuple):
    """The loss of some tokens and what to log about it (sums, so that micro-batches and processes add up)."""

    loss: torch.Tensor
    """Scalar with gradient."""
    kl_sum: torch.Tensor
    """Sum of old - new log-probability, nats."""
    n_clipped: torch.Tensor
    """Tokens whose gradient the clip removed."""


def grpo_loss(
    new_logprobs_T: torch.Tensor,
    old_logprobs_T: torch.Tensor,
    advantages_T: torch.Tensor,
    weights_T: torch.Tensor,
    config: GrpoConfig,
    reference_logprobs_T: torch.Tensor | None = None,
) -> LossTerms:
    """Clipped surrogate: sum over tokens of -weight x min(r A, clip(r, 1 - low, 1 + high) A), r = exp(new - old).

    Source: GRPO, arXiv 2402.03300, equation 3 (outcome supervision: each token carries its episode's advantage; KL by
    the k3 estimate of its equation 4); the asymmetric clip is DAPO's, arXiv 2503.14476, equation 8. Departure:
    negative advantages are scaled by `negative_advantage_scale`.

    Args:
        new_logprobs_T: Under the weights in training.
        old_logprobs_T: Under the weights that sampled.
        advantages_T: One per token.
        weights_T: From `token_weights`; they carry the aggregation.
        config: Clip range, scale and KL weight.
        reference_logprobs_T: Under the start policy; used when kl_weight > 0.
    """
    advantages = torch.where(advantages_T < 0, advantages_T * config.negative_advantage_scale, advantages_T)
    ratio = torch.exp(new_logprobs_T - old_logprobs_T)
    clipped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high)
    surrogate = torch.minimum(ratio * advantages, clipped * advantages)
    loss = -(weights_T * surrogate).sum()
    if config.kl_weight > 0 and reference_logprobs_T is not None:
        gap = reference_logprobs_T - new_logprobs_T
        loss = loss + config.kl_weight * (weights_T * (gap.exp() - gap - 1)).sum()
    with torch.no_grad():
        n_clipped = (clipped * advantages < ratio * advantages).sum()
        kl_sum = (old_logprobs_T - new_logprobs_T).sum()
    return LossTerms(loss, kl_sum, n_clipped)


def token_weights(
    n_tokens: Sequence[int], aggregation: Literal["sequence", "token", "constant"], constant_tokens: int
) -> np.ndarray:
    """Weight of each token of each episode, float64 [episodes].

    `sequence`: 1 / (N x n_i), `token`: 1 / sum of n, `constant`: 1 / (N x constant_tokens).

    Sources: per sequence GRPO (2402.03300), token mean DAPO (2503.14476), constant Dr. GRPO (2503.20783).
    """
    counts = np.maximum(np.asarray(n_tokens, np.float64), 1)
    if aggregation == "sequence":
        return 1.0 / (len(counts) * counts)
    if aggregation == "token":
        return np.full(len(counts), 1.0 / counts.sum())
    return np.full(len(counts), 1.0 / (len(counts) * constant_tokens))

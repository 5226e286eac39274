"""Group-relative advantages, as plain numbers. No torch."""

from typing import NamedTuple

import numpy as np

from schemas.errors import TrainerError, ZeroVarianceError

SPREAD_FLOOR = 1e-6
"""Rewards of a group that differ by less carry no signal, only rounding."""


MIN_COUNTED = 2
"""Episodes that a group needs: one alone has no mean to differ from."""


class GroupAdvantages(NamedTuple):
    """What `group_advantages` found."""

    advantages_P_G: np.ndarray
    """float32 [P, G]; zero in groups without spread and for episodes that don't count."""
    has_spread_P: np.ndarray
    """bool [P], False for groups to drop."""


def group_advantages(
    rewards_P_G: np.ndarray,
    counted_P_G: np.ndarray | None = None,
    *,
    normalise_by_std: bool = True,
    std_floor: float = 0.0,
) -> GroupAdvantages:
    """Reward minus its group's mean, divided by the group's (population) standard deviation, at least `std_floor`.

    Where `counted_P_G` is False, someone else spoilt the episode: its reward says nothing about the policy, so mean and
    deviation are those of the group's other episodes. A group with fewer than `MIN_COUNTED` of them has no spread.

    Without a floor a group that failed throughout and differs in a small penalty only gets advantages as large as one
    that differs in success: failures are then learnt from for not having repeated a call.

    Source: DeepSeekMath, arXiv 2402.03300, equation 3 and section 4.1.2; without the division: Dr. GRPO, 2503.20783.

    Raises:
        TrainerError: when an entry is not finite or the array is not two-dimensional.
        ZeroVarianceError: when no group has spread, so that there is nothing to learn from.
    """
    rewards = np.asarray(rewards_P_G, np.float64)
    if rewards.ndim != 2 or not rewards.size or not np.isfinite(rewards).all():
        raise TrainerError(
            f"advantages: expected finite rewards of shape [tasks, group], got shape {rewards.shape} with "
            f"{int((~np.isfinite(rewards)).sum())} values not finite; check the reward function"
        )
    counted = np.ones(rewards.shape, bool) if counted_P_G is None else np.asarray(counted_P_G, bool)
    own = [row[told] if told.sum() >= MIN_COUNTED else np.zeros(1) for row, told in zip(rewards, counted, strict=True)]
    mean_P, std_P = np.array([row.mean() for row in own]), np.array([row.std() for row in own])
    has_spread_P = std_P > SPREAD_FLOOR
    if not has_spread_P.any():
        raise ZeroVarianceError(
            f"advantages: expected at least one of {len(rewards)} groups with different rewards, got none (mean reward "
            f"{rewards.mean():.3f}); draw harder tasks if it is near 1, easier ones or more SFT if it is near 0, or "
            "raise group_size or temperature"
        )
    centred = rewards - mean_P[:, None]
    scale_P = np.where(has_spread_P, np.maximum(std_P, std_floor), 1.0) if normalise_by_std else np.ones_like(std_P)
    advantages = np.where(has_spread_P[:, None] & counted, centred / scale_P[:, None], 0.0)
    return GroupAdvantages(advantages.astype(np.float32), has_spread_P)

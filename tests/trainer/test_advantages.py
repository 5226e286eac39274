import numpy as np
import pytest

from trainer.advantages import group_advantages


def test_a_group_that_differs_in_a_penalty_only_counts_less_than_one_that_differs_in_success() -> None:
    rewards = np.array([[0.0, 0.0, 0.0, -0.05], [0.0, 0.0, 0.0, 1.0]])
    bare = group_advantages(rewards).advantages_P_G
    floored = group_advantages(rewards, std_floor=0.2).advantages_P_G
    assert np.abs(bare[0]).max() == pytest.approx(np.abs(bare[1]).max(), rel=1e-5)
    assert np.abs(floored[0]).max() < 0.2
    assert np.array_equal(floored[1], bare[1])

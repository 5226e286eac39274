import numpy as np
import pytest

from schemas.errors import ZeroVarianceError
from trainer.advantages import group_advantages


def test_a_group_that_differs_in_a_penalty_only_counts_less_than_one_that_differs_in_success() -> None:
    rewards = np.array([[0.0, 0.0, 0.0, -0.05], [0.0, 0.0, 0.0, 1.0]])
    bare = group_advantages(rewards).advantages_P_G
    floored = group_advantages(rewards, std_floor=0.2).advantages_P_G
    assert np.abs(bare[0]).max() == pytest.approx(np.abs(bare[1]).max(), rel=1e-5)
    assert np.abs(floored[0]).max() < 0.2
    assert np.array_equal(floored[1], bare[1])


def test_an_episode_that_does_not_count_changes_nothing_for_the_others_and_gets_no_advantage() -> None:
    alone = group_advantages(np.array([[1.0, 0.0, 0.0]])).advantages_P_G[0]
    counted = np.array([[True, True, False, True]])
    found = group_advantages(np.array([[1.0, 0.0, 50.0, 0.0]]), counted)
    assert found.advantages_P_G[0].tolist() == [alone[0], alone[1], 0.0, alone[2]]


def test_a_group_left_with_one_episode_or_none_has_no_spread() -> None:
    rewards = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    counted = np.array([[True, True, True], [True, False, False], [False, False, False]])
    found = group_advantages(rewards, counted)
    assert found.has_spread_P.tolist() == [True, False, False]
    assert not found.advantages_P_G[1:].any()
    with pytest.raises(ZeroVarianceError):
        group_advantages(rewards[1:], counted[1:])


def test_where_all_episodes_count_the_advantages_are_what_numpy_makes_of_all_groups_at_once() -> None:
    rewards = np.random.default_rng(3).normal(size=(50, 16))
    expected = (rewards - rewards.mean(axis=1, keepdims=True)) / rewards.std(axis=1, keepdims=True)
    assert np.array_equal(group_advantages(rewards).advantages_P_G, expected.astype(np.float32))

"""Promises of advantages, loss and the GRPO loop, against hand-worked numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from schemas.errors import TrainerError, ZeroVarianceError
from tests.trainer.toy_world import END, N_SYMBOLS, CopySession, ToyScore, tiny_policy, toy_view
from trainer.advantages import group_advantages
from trainer.config import GrpoConfig
from trainer.engine import PlayedEpisode
from trainer.grpo import GrpoStep, ScoredEpisode, episode_seeds, learning_rate, train_grpo
from trainer.initialise import initial_weights
from trainer.losses import grpo_loss, token_weights

POLICY = tiny_policy()


class SameReward(CopySession):
    """Every episode is worth the same."""

    def finish(self, played: PlayedEpisode) -> ToyScore:
        """No spread."""
        return ToyScore(0.5, False, 2, played)


def make_config(**changes: object) -> GrpoConfig:
    settings: dict[str, object] = {
        "n_steps": 3,
        "groups_per_step": 8,
        "group_size": 8,
        "max_message_tokens": 3,
        "max_context_tokens": 16,
        "n_processes": 1,
        "learning_rate": 1e-2,
    }
    return GrpoConfig.model_validate(settings | changes)


def draw(step: int) -> list[int]:
    return [8 + (step + i) % N_SYMBOLS for i in range(8)]


def train(config: GrpoConfig, factory: type[CopySession] = CopySession) -> list[GrpoStep]:
    return list(train_grpo(initial_weights(POLICY, 0), POLICY, config, factory, draw, END, 0, score=toy_view))


def test_advantages_are_centred_and_scaled_per_group() -> None:
    found = group_advantages(np.array([[1.0, 0.0, 0.0, 1.0], [0.3, 0.3, 0.3, 0.3], [2.0, 0.0, 0.0, 0.0]]))
    assert found.has_spread_P.tolist() == [True, False, True]
    root = math.sqrt(3)
    np.testing.assert_allclose(
        found.advantages_P_G, [[1, -1, -1, 1], [0, 0, 0, 0], [root, -1 / root, -1 / root, -1 / root]], rtol=1e-6
    )
    plain = group_advantages(np.array([[2.0, 0.0, 0.0, 0.0]]), normalise_by_std=False)
    np.testing.assert_allclose(plain.advantages_P_G, [[1.5, -0.5, -0.5, -0.5]])


def test_groups_without_any_spread_are_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ZeroVarianceError, match="draw harder tasks"):
        group_advantages(np.ones((3, 4)))
    with pytest.raises(TrainerError, match="finite"):
        group_advantages(np.array([[1.0, math.nan]]))


def test_token_weights_follow_the_three_aggregations() -> None:
    np.testing.assert_allclose(token_weights([2, 8], "sequence", 100), [1 / 4, 1 / 16])
    np.testing.assert_allclose(token_weights([2, 8], "token", 100), [1 / 10, 1 / 10])
    np.testing.assert_allclose(token_weights([2, 8], "constant", 100), [1 / 200, 1 / 200])


def test_the_loss_and_its_gradient_match_hand_worked_numbers() -> None:
    ratios = torch.tensor([1.0, 1.5, 0.5, 0.5, 1.5])
    advantages = torch.tensor([1.0, 1.0, 1.0, -2.0, -2.0])
    new = ratios.log().requires_grad_()
    config = make_config(clip_low=0.2, clip_high=0.28, negative_advantage_scale=0.25)
    terms = grpo_loss(new, torch.zeros(5), advantages, torch.full((5,), 0.2), config)
    # min(r A, clip(r) A) with A = -2 x 0.25 = -0.5: 1, 1.28, 0.5, -0.4 (clipped at 0.8), -0.75.
    assert float(terms.loss.detach()) == pytest.approx(-0.2 * (1 + 1.28 + 0.5 - 0.4 - 0.75))
    assert int(terms.n_clipped) == 2
    assert float(terms.kl_sum) == pytest.approx(-float(ratios.log().sum()))
    terms.loss.backward()
    assert new.grad is not None
    torch.testing.assert_close(new.grad, torch.tensor([-0.2, 0.0, -0.1, 0.0, 0.15]))


def test_the_kl_term_is_the_k3_estimate() -> None:
    new, reference = torch.tensor([-1.0]), torch.tensor([-1.5])
    config = make_config(kl_weight=2.0)
    terms = grpo_loss(new, new.clone(), torch.zeros(1), torch.ones(1), config, reference)
    assert float(terms.loss.detach()) == pytest.approx(2.0 * (math.exp(-0.5) + 0.5 - 1))


def test_the_learning_rate_rises_first_when_told_to() -> None:
    config = make_config(n_steps=4, learning_rate=0.4, warmup_steps=2)
    assert [learning_rate(step, config) for step in range(4)] == pytest.approx([0.4 / 3, 0.2, 0.2, 0.1])


def test_the_learning_rate_falls_to_zero_and_seeds_are_distinct() -> None:
    config = make_config(n_steps=4, learning_rate=0.4, warmup_steps=0)
    assert [learning_rate(step, config) for step in range(4)] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    seeds = [seed for step in range(3) for seed in episode_seeds(7, step, 50)]
    assert len(set(seeds)) == 150 and episode_seeds(7, 1, 50) == seeds[50:100]


def test_grpo_lifts_a_toy_policy() -> None:
    steps = train(make_config(n_steps=30, group_size=16))
    rates = [step.metrics.success_rate or 0.0 for step in steps]
    assert np.mean(rates[-3:]) > np.mean(rates[:3]) + 0.4


def test_at_the_first_update_the_sampler_and_the_trainer_agree() -> None:
    first = train(make_config(n_steps=1, updates_per_step=1))[0].metrics
    assert first.kl == pytest.approx(0, abs=1e-5) and first.clip_fraction == 0
    assert first.n_groups_used is not None and first.n_groups_dropped == 8 - first.n_groups_used
    assert first.entropy is not None and first.entropy > 0


def test_two_processes_learn_what_one_learns_and_the_kl_anchor_holds() -> None:
    one = train(make_config(kl_weight=0.1))
    two = train(make_config(kl_weight=0.1, n_processes=2))
    for a, b in zip(one, two, strict=True):
        assert a.metrics.mean_reward == pytest.approx(b.metrics.mean_reward, abs=0.05)
        assert [e.reward for e in one[0].episodes] == [e.reward for e in two[0].episodes]
    for name, value in one[0].weights.items():
        torch.testing.assert_close(value, two[0].weights[name], atol=2e-3, rtol=1e-2)


def test_episodes_that_the_user_spoilt_are_neither_learnt_from_nor_counted_as_failures() -> None:
    """As if they were not there: the same weights as when their groups are worth nothing, and their rewards unseen."""

    def spoilt(score: ToyScore) -> bool:
        return score.played.token_ids[1] % 2 == 0

    def left_out(score: ToyScore) -> ScoredEpisode:
        view = toy_view(score)
        return replace(view, reward=view.reward * 100, success=True, counts=False) if spoilt(score) else view

    def flat(score: ToyScore) -> ScoredEpisode:
        return replace(toy_view(score), reward=0.0) if spoilt(score) else toy_view(score)

    found, expected = (
        next(train_grpo(initial_weights(POLICY, 0), POLICY, make_config(), CopySession, draw, END, 0, score=score))
        for score in (left_out, flat)
    )
    assert found.metrics.n_groups_used == expected.metrics.n_groups_used > 0  # type: ignore[operator]
    assert found.metrics.n_groups_dropped == expected.metrics.n_groups_dropped >= 4  # type: ignore[operator]
    for name, value in found.weights.items():
        assert torch.equal(value, expected.weights[name])
    counted = [score.success for score in found.episodes if not spoilt(score)]
    assert found.metrics.success_rate == pytest.approx(np.mean(counted))
    assert found.metrics.mean_reward is not None and found.metrics.mean_reward <= 1


def test_steps_without_spread_are_reported_and_then_end_the_training() -> None:
    seen = []
    with pytest.raises(ZeroVarianceError, match=r"grpo\[rl\]: 2 steps in a row had no update.*draw harder tasks"):
        for step in train_grpo(
            initial_weights(POLICY, 0), POLICY, make_config(max_idle_steps=2), SameReward, draw, END, 0, score=toy_view
        ):
            seen.append(step)
    assert len(seen) == 1 and seen[0].metrics.n_groups_used == 0 and seen[0].metrics.kl is None
    assert seen[0].metrics.repeats_per_episode == 2 and len(seen[0].episodes) == 64


def test_the_probe_plays_with_the_weights_in_training() -> None:
    rates = []

    def probe(step: int, rollouts: object) -> float:
        scores = rollouts.play(None, draw(0), list(range(8)))  # type: ignore[attr-defined]
        rates.append(float(np.mean([score.success for score in scores])))
        return rates[-1]

    weights = initial_weights(POLICY, 0)
    found = [
        s.probe
        for s in train_grpo(weights, POLICY, make_config(), CopySession, draw, END, 0, score=toy_view, probe=probe)
    ]
    assert found == rates and len(rates) == 3


def test_a_draw_of_another_size_is_refused() -> None:
    with pytest.raises(TrainerError, match="8 specs"):
        next(
            train_grpo(
                initial_weights(POLICY, 0), POLICY, make_config(), CopySession, lambda s: [8], END, 0, score=toy_view
            )
        )

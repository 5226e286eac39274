"""Promises of supervised fine-tuning."""

import numpy as np
import pytest
import torch

from schemas import TrainStep
from schemas.errors import TrainerError
from tests.trainer.toy_world import END, N_SYMBOLS, CopySession, copy_rows, tiny_policy
from trainer.config import SamplingConfig, SftConfig, WarmupConfig
from trainer.rollouts import play_sharded
from trainer.rows import TokenRow
from trainer.sft import SftResult, schedule, train_sft
from trainer.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["a b"], ["<e>"], [], 300)
POLICY = tiny_policy(vocab_size=300)
NO_WARMUP = WarmupConfig(max_steps=0)


def train(rows: list[TokenRow] | None = None, **changes: object) -> SftResult:
    settings: dict[str, object] = {"n_steps": 25, "tokens_per_step": 320, "warmup_steps": 3, "n_processes": 1}
    config = SftConfig.model_validate(settings | changes)
    return train_sft(copy_rows(200, 0) if rows is None else rows, POLICY, config, NO_WARMUP, TOKENIZER, 0)


def test_a_toy_copy_task_is_learnt_and_played() -> None:
    result = train(n_steps=60)
    assert result.metrics[-1].loss < 0.1 < result.metrics[0].loss
    symbols = list(range(8, 8 + N_SYMBOLS))
    greedy = SamplingConfig(temperature=0, max_message_tokens=4, max_context_tokens=32)
    scores = play_sharded(
        CopySession,
        symbols,
        symbols,
        weights=result.weights,
        policy_config=POLICY,
        sampling=greedy,
        end_id=END,
        n_processes=1,
    )
    assert all(score.success for score in scores)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, two = train(n_steps=4), train(n_steps=4)
    assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)


def test_two_processes_train_like_one_on_the_same_batches() -> None:
    """With all rows in each step, the summed gradient is the same but for rounding."""
    heard: list[TrainStep] = []
    config = SftConfig(n_steps=4, tokens_per_step=1000, warmup_steps=1)
    two = train_sft(copy_rows(200, 0), POLICY, config, NO_WARMUP, TOKENIZER, 0, heard.append)
    one = train(n_steps=4, tokens_per_step=1000, warmup_steps=1)
    assert heard == two.metrics
    assert [m.n_tokens for m in two.metrics] == [m.n_tokens for m in one.metrics] == [400] * 4
    assert [m.loss for m in two.metrics] == pytest.approx([m.loss for m in one.metrics], abs=0.02)


def test_only_assistant_tokens_carry_loss() -> None:
    """The opening's tokens are drawn at random: predicting them would cost more than a nat a token."""
    result = train(n_steps=60, tokens_per_step=1000)
    assert all(m.n_tokens == 2 * 200 for m in result.metrics) and result.metrics[-1].loss < 0.1


def test_the_warm_up_is_reported_and_stops_when_it_copies() -> None:
    warmup = WarmupConfig(max_steps=4, tokens_per_step=400, min_records=4, max_records=6, stop_accuracy=0.01)
    config = SftConfig(n_steps=1, tokens_per_step=100, n_processes=1)
    result = train_sft(copy_rows(20, 0), POLICY, config, warmup, TOKENIZER, 0)
    assert [m.stage for m in result.metrics] == ["warmup", "sft"]


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = SftConfig(n_steps=100, warmup_steps=10, decay_share=0.4)
    assert [round(schedule(step, config), 3) for step in (0, 9, 50, 80, 99)] == [0.1, 1.0, 1.0, 0.5, 0.025]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([], "at least one row"),
        ([TokenRow(np.array([1, 2], np.int32), np.array([False, False]))], "an assistant token"),
        ([TokenRow(np.full(200, 5, np.int32), np.ones(200, bool))], "at most 128 tokens"),
        ([TokenRow(np.array([1, 299], np.int32), np.array([False, True]))], "ids below"),
    ],
)
def test_rows_that_can_not_be_trained_on_are_refused(rows: list[TokenRow], what: str) -> None:
    with pytest.raises(TrainerError, match=what):
        train(rows)


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(TrainerError, match="one length"):
        TokenRow(np.zeros(3, np.int32), np.zeros(2, bool))

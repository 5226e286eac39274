"""Promises of the forward pass, the built circuit and the optimizers."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.trainer.toy_world import tiny_policy
from trainer.config import PolicyConfig, WarmupConfig
from trainer.initialise import initial_weights
from trainer.model import EMBEDDING, layer_weights, masked_logits, parameter_shapes, rms_norm, rope_tables, rotate
from trainer.optimisers import Adam, ParameterBlock, orthogonalise
from trainer.rows import micro_batches, pad_rows, plan_steps
from trainer.warmup import copy_rows

FULL = PolicyConfig(vocab_size=800)


def copy_accuracy(config: PolicyConfig) -> float:
    symbols = np.arange(4, config.vocab_size)
    rows = copy_rows(WarmupConfig(min_records=12, max_records=12), symbols, 0, 2000, np.random.default_rng(1))
    ids, mask = (torch.from_numpy(a) for a in pad_rows(rows))
    with torch.no_grad():
        logits, targets = masked_logits(initial_weights(config, 0), config, ids, mask)
    return float((logits.argmax(-1) == targets).float().mean())


def test_the_built_circuit_copies_before_any_training_and_a_random_start_does_not() -> None:
    assert copy_accuracy(FULL) > 0.85
    assert copy_accuracy(FULL.model_copy(update={"initialisation": "random"})) < 0.05


def test_layer_zero_heads_look_back_one_one_two_and_three_tokens() -> None:
    weights = initial_weights(FULL, 0)
    block = layer_weights(weights, 0)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 800, (1, 200)))
    x = rms_norm(weights[EMBEDDING][ids], block["input_norm"])
    heads = (x @ block["qkv"].T + block["qkv_bias"]).view(1, 200, -1, 32)
    cos, sin = rope_tables(FULL, 200)
    q = rotate(rms_norm(heads[:, :, :4], block["q_norm"]).transpose(1, 2), cos, sin)
    k = rotate(rms_norm(heads[:, :, 4:8], block["k_norm"]).transpose(1, 2), cos, sin)
    scores = (q @ k.mT) * 32**-0.5 + torch.full((200, 200), -1e30).triu(1)
    attention = scores.softmax(-1)[0]
    for head, distance in enumerate((1, 1, 2, 3)):
        assert attention[head].diagonal(-distance).mean() > 0.6


def test_initial_weights_depend_on_the_seed_alone() -> None:
    one, two, other = (initial_weights(tiny_policy(), seed) for seed in (3, 3, 4))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one[EMBEDDING], other[EMBEDDING])


def test_a_policy_too_small_for_the_circuit_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValidationError, match="initialisation='random'"):
        tiny_policy(hidden_size=32)


def test_padding_does_not_change_the_logits() -> None:
    config = tiny_policy()
    weights = initial_weights(config, 0)
    ids = torch.randint(0, 24, (1, 9), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 9, dtype=torch.bool)
    longer, longer_mask = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], 1), torch.zeros(1, 14, dtype=torch.bool)
    longer_mask[:, :9] = True
    short, _ = masked_logits(weights, config, ids, mask)
    long, _ = masked_logits(weights, config, longer, longer_mask)
    torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-5)


def test_the_parameter_block_holds_every_weight_once_and_shares_memory() -> None:
    block = ParameterBlock(tiny_policy())
    assert block.n_parameters == sum(np.prod(shape) for shape in parameter_shapes(tiny_policy()).values())
    assert block.stacks[-1][1] == block.n_parameters
    block.values.fill_(2.0)
    assert all(bool((view == 2).all()) for view in block.weights.values())


def test_adam_follows_hand_worked_numbers() -> None:
    block = ParameterBlock(tiny_policy())
    optimiser = Adam(block)
    block.grads.fill_(0.5)
    optimiser.step(0.1)
    # First step: bias-corrected moments are g and g squared, so the step is the learning rate.
    torch.testing.assert_close(block.values, torch.full_like(block.values, -0.1))
    block.grads.fill_(-0.5)
    optimiser.step(0.1)
    # m = 0.9 x 0.05 - 0.05 = -0.005, corrected by 0.19: -0.02632; v stays 0.25; step = 0.1 x 0.02632 / 0.5 upwards.
    torch.testing.assert_close(block.values, torch.full_like(block.values, -0.1 + 0.1 * 0.005 / 0.19 / 0.5))


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 48, 16), (2, 16, 48)])
def test_orthogonalise_brings_singular_values_near_one(shape: tuple[int, ...]) -> None:
    found = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    values = torch.linalg.svdvals(found)
    assert values.max() < 1.35 and values.median() > 0.6


def test_gradients_are_clipped_to_the_norm() -> None:
    block = ParameterBlock(tiny_policy())
    block.grads.fill_(1.0)
    assert block.clip_gradients(2.0) == pytest.approx(block.n_parameters**0.5)
    assert float(block.grads.norm()) == pytest.approx(2.0, rel=1e-4)


def test_micro_batches_hold_every_row_once_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(5, 90, 200).tolist()
    batches = micro_batches(lengths, 256)
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 256 for batch in batches)


def test_a_plan_visits_all_rows_of_an_epoch_and_pads_little() -> None:
    lengths = np.random.default_rng(0).integers(60, 200, 600).tolist()
    plan = plan_steps(lengths, 3600, 2, 60, seed=1)
    assert plan == plan_steps(lengths, 3600, 2, 60, seed=1) != plan_steps(lengths, 3600, 2, 60, seed=2)
    batches = [share for step in plan for share in step]
    assert {i for batch in batches for i in batch} == set(range(600))
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    assert sum(lengths[i] for batch in batches for i in batch) / padded > 0.93


def test_warm_up_rows_ask_only_for_what_was_shown() -> None:
    rows = copy_rows(WarmupConfig(min_records=4, max_records=6), np.arange(10, 90), 0, 300, np.random.default_rng(0))
    for row in rows:
        half = len(row.token_ids) // 2
        shown = row.token_ids[:half].reshape(-1, 3).tolist()
        asked = row.token_ids[half + 1 :].reshape(-1, 3).tolist()
        assert sorted(shown) == sorted(asked) and row.token_ids[half] == 0
        assert row.assistant_mask[half + 1 :].reshape(-1, 3).tolist() == [[False, True, True]] * len(asked)
        assert not row.assistant_mask[: half + 1].any()

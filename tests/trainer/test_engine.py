"""Promises of the batched engine and the rollout pool."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
import torch

from schemas.errors import TrainerError
from tests.trainer.toy_world import (
    END,
    VOCAB_SIZE,
    BrokenSession,
    EndlessSession,
    TalkSession,
    tiny_policy,
)
from trainer.config import SamplingConfig
from trainer.engine import PlayedEpisode, play
from trainer.initialise import initial_weights
from trainer.model import masked_logits
from trainer.rollouts import RolloutPool, play_sharded

POLICY = tiny_policy()
SAMPLING = SamplingConfig(temperature=1.3, slots=4, max_message_tokens=5, max_context_tokens=64)


def make_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    return initial_weights(POLICY, seed)


def play_talks(specs: list[int], config: SamplingConfig = SAMPLING, seed: int = 0) -> list[PlayedEpisode]:
    return play(make_weights(), POLICY, [TalkSession(s) for s in specs], config, END, [s + seed for s in specs])


def same(one: PlayedEpisode, other: PlayedEpisode) -> bool:
    if not np.array_equal(one.token_ids, other.token_ids):
        return False
    return np.allclose(one.logprobs, other.logprobs, atol=1e-4) and one.truncated == other.truncated


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_the_sampler_s_logprobs_are_the_trainer_s(temperature: float) -> None:
    config = SAMPLING.model_copy(update={"temperature": temperature})
    for episode in play_talks(list(range(9)), config):
        ids, mask = torch.tensor([episode.token_ids]), np.array(episode.assistant_mask)
        logits, targets = masked_logits(make_weights(), POLICY, ids, torch.tensor([episode.assistant_mask]))
        trainer = torch.log_softmax(logits / temperature, -1).gather(1, targets[:, None])[:, 0].numpy()
        np.testing.assert_allclose(trainer, np.array(episode.logprobs)[mask], atol=1e-4)
        assert (np.array(episode.logprobs)[~mask] == 0).all()


def test_an_episode_does_not_depend_on_its_neighbours_or_slots() -> None:
    together = play_talks(list(range(11)))
    alone = [play_talks([spec])[0] for spec in range(11)]
    wide = play_talks(list(range(11)), SAMPLING.model_copy(update={"slots": 64}))
    assert all(same(a, b) and same(a, c) for a, b, c in zip(together, alone, wide, strict=True))


def test_another_seed_gives_another_episode() -> None:
    assert not all(same(a, b) for a, b in zip(play_talks([1, 2, 3]), play_talks([1, 2, 3], seed=50), strict=True))


def test_temperature_zero_is_greedy() -> None:
    config = SAMPLING.model_copy(update={"temperature": 0.0})
    one, other = play_talks([3], config)[0], play_talks([3], config, seed=9)[0]
    assert same(one, other)
    ids = torch.tensor([one.token_ids])
    logits, targets = masked_logits(make_weights(), POLICY, ids, torch.tensor([one.assistant_mask]))
    assert torch.equal(logits.argmax(-1), targets)


def test_the_world_s_tokens_and_the_policy_s_are_told_apart() -> None:
    for spec, episode in enumerate(play_talks(list(range(6)))):
        session = TalkSession(spec)
        world = session.opening + [token for answer in session.answers for token in answer]
        assert [t for t, ours in zip(episode.token_ids, episode.assistant_mask, strict=True) if not ours] == world
        assert not episode.truncated and max(episode.token_ids) < VOCAB_SIZE


class LateSession(TalkSession):
    """Answers in a thread, some sooner than others."""

    thinkers = ThreadPoolExecutor(4)

    def reply(self, sampled: list[int]) -> Future[list[int] | None]:  # type: ignore[override]
        return self.thinkers.submit(self._later, list(sampled))

    def _later(self, sampled: list[int]) -> list[int] | None:
        time.sleep(0.002 * (sum(sampled) % 4))
        return super().reply(sampled)


def test_answers_that_come_later_make_the_same_episodes() -> None:
    sessions = [LateSession(spec) for spec in range(11)]
    late = play(make_weights(), POLICY, sessions, SAMPLING, END, list(range(11)))
    assert all(same(a, b) for a, b in zip(play_talks(list(range(11))), late, strict=True))


def test_an_error_of_a_late_answer_arrives_as_itself() -> None:
    class Failing(LateSession):
        def _later(self, sampled: list[int]) -> list[int] | None:
            raise TrainerError("no answer")

    with pytest.raises(TrainerError, match="no answer"):
        play(make_weights(), POLICY, [Failing(1), TalkSession(2)], SAMPLING, END, [1, 2])


def test_a_message_is_cut_and_an_endless_episode_is_truncated_at_the_context() -> None:
    seen: list[int] = []

    class Counting(EndlessSession):
        def reply(self, sampled: list[int]) -> list[int] | None:
            seen.append(len(sampled))
            return super().reply(sampled)

    episode = play(make_weights(), POLICY, [Counting(1)], SAMPLING, END, [1])[0]
    assert episode.truncated and len(episode.token_ids) == SAMPLING.max_context_tokens
    assert max(seen) == SAMPLING.max_message_tokens


def test_an_opening_that_fills_the_context_is_a_truncated_episode() -> None:
    session = TalkSession(1)
    session.opening = [5] * 64
    episode = play(make_weights(), POLICY, [session], SAMPLING, END, [0])[0]
    assert episode.truncated and not any(episode.assistant_mask)


def test_seeds_and_sessions_must_match_in_number() -> None:
    with pytest.raises(TrainerError, match="one seed per session"):
        play(make_weights(), POLICY, [TalkSession(1)], SAMPLING, END, [])


def test_two_processes_play_what_one_plays_and_keep_the_order() -> None:
    specs = list(range(13))
    here = play_talks(specs)
    there = play_sharded(
        TalkSession, specs, specs, weights=make_weights(), policy_config=POLICY, sampling=SAMPLING, end_id=END
    )
    assert all(same(a, b) for a, b in zip(here, there, strict=True))


def test_progress_reaches_the_number_of_specs() -> None:
    told: list[int] = []
    with RolloutPool(POLICY, TalkSession, SAMPLING, END, 1) as rollouts:
        rollouts.play(make_weights(), range(7), range(7), told.append)
    assert told[-1] == 7


def test_an_error_in_a_worker_arrives_as_itself() -> None:
    with RolloutPool(POLICY, BrokenSession, SAMPLING, END, 2) as rollouts:
        with pytest.raises(TrainerError, match=r"toy\[broken\]"):
            rollouts.play(make_weights(), [1, 2], [1, 2])
        with pytest.raises(TrainerError, match="start a new pool"):
            rollouts.play(make_weights(), [1, 2], [1, 2])

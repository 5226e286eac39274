from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from env_sim import load_domain
from env_sim.compact import ROLE_TOKENS
from env_sim.reward import RewardConfig, Scorer
from env_sim.sessions import EpisodeSpec, SessionFactory
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate
from schemas import PoolTask, StopReason, UserFault
from schemas.records import UserFaultKind
from tests.fixtures.retail import databases, task_of, tasks
from tests.quality.builders import make_trajectory
from trainer.config import GrpoConfig, PolicyConfig, SamplingConfig, SftConfig, WarmupConfig
from trainer.embedded import EmbeddedTrainer, _Draw, _mean, dialogue_words, token_row
from trainer.tokenizer import PolicyTokenizer, train_tokenizer

N_TASKS = 12


def make_pool(weights: list[float] | None = None) -> list[PoolTask]:
    chosen = tasks()[:N_TASKS]
    return [
        PoolTask(task=task, added_in="round-001", weight=weight)
        for task, weight in zip(chosen, weights or [1.0] * N_TASKS, strict=True)
    ]


def make_draw(n: int, weights: list[float] | None = None, seed: int = 0) -> _Draw:
    return _Draw(make_pool(weights), "rl", "ck", n, seed)


def make_learner(folder: Path, group_size: int) -> EmbeddedTrainer:
    return EmbeddedTrainer(
        domain="retail",
        checkpoints=folder / "checkpoints",
        policy=PolicyConfig(vocab_size=1400, n_layers=2),
        warmup=WarmupConfig(max_steps=0),
        sft=SftConfig(n_steps=2, tokens_per_step=600, n_processes=1),
        grpo=GrpoConfig(n_steps=1, groups_per_step=2, group_size=group_size, max_context_tokens=300, n_processes=1),
        sampling=SamplingConfig(max_context_tokens=300),
        reward=RewardConfig(),
        n_processes=1,
    )


@pytest.fixture(scope="module")
def tokenizer() -> PolicyTokenizer:
    scorer = Scorer(load_domain("retail"))
    shown = [demonstrate("retail", databases(), task, scorer) for task in tasks()[:24]]
    words = (text for dialogue in dialogue_words("retail", shown) for text, _ in dialogue)
    return train_tokenizer(words, ROLE_TOKENS, load_task_kit("retail").compact_spec.words(), 1400)


def test_every_task_is_drawn_once_before_any_is_drawn_again():
    draw = make_draw(4)
    drawn = [spec.task.task_id for step in range(3) for spec in draw(step)]
    assert Counter(drawn) == Counter(task.task.task_id for task in make_pool())


def test_a_step_larger_than_the_pool_draws_tasks_again():
    assert len(make_draw(5 * N_TASKS)(0)) == 5 * N_TASKS


def test_the_draw_is_decided_by_its_seed():
    assert make_draw(8)(0) == make_draw(8)(0)
    assert make_draw(8)(0) != make_draw(8, seed=1)(0)


def test_heavier_tasks_come_earlier():
    weights = [1000.0] * 3 + [0.001] * (N_TASKS - 3)
    first = {spec.task.task_id for spec in make_draw(3, weights)(0)}
    assert first == {task.task.task_id for task in make_pool()[:3]}


def test_a_stored_episode_that_the_user_spoilt_has_no_advantage_and_gives_none_to_the_others(tmp_path):
    fault = UserFault(kind=UserFaultKind.EMPTY, turn=2, evidence="it said nothing")
    episodes = [make_trajectory(i, success) for i, success in enumerate((1.0, 0.0, 0.0))]
    spoilt = make_trajectory(3, 0.0, user_fault=fault)
    rows = make_learner(tmp_path, group_size=4)._stored([*episodes, spoilt], 0)
    alone = make_learner(tmp_path, group_size=3)._stored(episodes, 0)
    assert [row.advantage for row in rows] == [*(row.advantage for row in alone), 0.0]
    assert rows[0].advantage > 1 and rows[3].user_fault == fault


def test_the_mean_over_rounds_weighs_every_run_by_its_steps():
    runs = [(10, 3.0), (20, 6.0), (30, 12.0)]
    mean, n_steps = {"w": torch.tensor([3.0])}, 10
    for n_more, value in runs[1:]:
        n_steps += n_more
        mean = _mean(mean, {"w": torch.tensor([value])}, n_more / n_steps)
    assert mean["w"].item() == pytest.approx(sum(n * value for n, value in runs) / 60)


def test_a_growing_pool_gets_more_steps():
    config = GrpoConfig(passes=1.0, groups_per_step=64)
    assert (config.for_pool(640).n_steps, config.for_pool(1280).n_steps) == (10, 20)
    assert GrpoConfig(n_steps=7).for_pool(640).n_steps == 7


def test_the_mask_covers_just_what_the_policy_wrote(tokenizer):
    words = [("<u> hi <e>", False), ("<a> ask identity <e>", True), ("<u> my email is m1 <e>", False)]
    row = token_row(words, tokenizer)
    written = [int(i) for i, mine in zip(row.token_ids, row.assistant_mask, strict=True) if mine]
    assert tokenizer.decode(written) == "<a> ask identity <e>"


def test_a_session_that_is_fed_the_experts_words_succeeds_and_stores_just_these_ids(tokenizer):
    task = task_of("order_not_asked")
    scorer = Scorer(load_domain("retail"))
    shown = demonstrate("retail", databases(), task, scorer)
    [dialogue] = dialogue_words("retail", [shown])
    factory = SessionFactory("retail", databases(), tokenizer, scorer.config)
    session = factory(EpisodeSpec(task, "rl", "ck", 2, 9))
    ids = list(session.start())
    for text, written in dialogue:
        if written:
            sampled = tokenizer.encode(text)
            ids += sampled
            ids += session.reply(sampled) or []

    class Played:
        token_ids = tuple(ids)
        assistant_mask = (True,) * len(ids)
        logprobs = (0.0,) * len(ids)

    trajectory = session.finish(Played())
    assert trajectory.succeeded and trajectory.stop_reason == StopReason.USER_DONE
    assert [m.content for m in trajectory.messages] == [m.content for m in shown.messages]
    assert [m.reasoning.lower() for m in trajectory.messages] == [
        " ".join(m.reasoning.lower().split()) for m in shown.messages
    ]
    [row] = [token_row(dialogue, tokenizer)]
    assert trajectory.token_ids == tuple(row.token_ids[: len(ids)].tolist())


def test_output_without_end_token_is_malformed(tokenizer):
    scorer = Scorer(load_domain("retail"))
    factory = SessionFactory("retail", databases(), tokenizer, scorer.config)
    session = factory(EpisodeSpec(task_of("none"), "rl", "ck", 0, 0))
    session.start()
    assert session.reply(tokenizer.encode("<a> ask order")) is None
    assert session.episode.stop_reason == StopReason.MALFORMED


def test_a_checkpoint_of_the_embedded_trainer_loads_in_transformers_and_plays(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    scorer = Scorer(load_domain("retail"))
    shown = [demonstrate("retail", databases(), task, scorer) for task in tasks()[:24]]
    learner = make_learner(tmp_path, group_size=2)
    base = learner.base_checkpoint(shown, seed=0)
    sft, metrics = learner.sft_checkpoint(shown, base, seed=0)
    assert sft.parent_checkpoint_id == base.checkpoint_id != sft.checkpoint_id
    assert [step.stage for step in metrics].count("sft") == 2
    folder = tmp_path / sft.path
    model = AutoModelForCausalLM.from_pretrained(folder)
    fast = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == "qwen3" and fast("o1 i2")["input_ids"]
    played = learner.rollouts(sft, tasks()[:3], databases(), n_trials=2, seed=1)
    assert [(p.task_id, p.trial) for p in played] == [(t.task_id, k) for t in tasks()[:3] for k in range(2)]
    assert played == learner.rollouts(sft, tasks()[:3], databases(), n_trials=2, seed=1)
    assert all(len(p.token_ids) == len(p.assistant_mask) == len(p.logprobs) for p in played)
    assert np.isfinite([lp for p in played for lp in p.logprobs]).all()

"""Our own policy behind an endpoint plays token for token as in process, and every way to end has the same reason."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from env_sim import load_domain
from env_sim.chat.endpoint import Endpoint
from env_sim.reward import RewardConfig, Scorer
from env_sim.tasks import demonstrate
from schemas import Checkpoint, StopReason
from tests.fixtures.chat_server import ChatServer, Served, serving
from tests.fixtures.retail import databases, tasks
from trainer.checkpoints import load_checkpoint
from trainer.config import GrpoConfig, PolicyConfig, SamplingConfig, SftConfig, WarmupConfig
from trainer.embedded import EmbeddedTrainer
from trainer.model import forward_hidden
from trainer.served import ServedPolicy

N_TASKS = 6
GREEDY = SamplingConfig(temperature=0, max_message_tokens=40, max_context_tokens=260)


def trainer(folder: Path, sampling: SamplingConfig = GREEDY) -> EmbeddedTrainer:
    policy = PolicyConfig(vocab_size=1400, n_layers=2)
    sft = SftConfig(n_steps=12, tokens_per_step=1500, warmup_steps=2, n_processes=1)
    return EmbeddedTrainer(
        "retail", folder, policy, WarmupConfig(max_steps=0), sft, GrpoConfig(), sampling, RewardConfig(), n_processes=1
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    """A policy that has imitated for some steps: it ends its messages, and makes every mistake."""
    folder = tmp_path_factory.mktemp("checkpoints")
    scorer = Scorer(load_domain("retail"))
    shown = [demonstrate("retail", databases(), task, scorer) for task in tasks()[:24]]
    learner = trainer(folder)
    return folder, learner.sft_checkpoint(shown, learner.base_checkpoint(shown, 0), 0)[0]


@cache
def greedy(folder: Path) -> Any:
    """A server that takes ids and goes on from them, by the model itself and without a cache."""
    loaded = load_checkpoint(folder)

    def answer(body: dict[str, Any], number: int) -> dict[str, Any]:
        ids, found, logprobs = list(body["prompt"]), [], []
        while len(found) < body["max_tokens"] and not (found and found[-1] in body["stop_token_ids"]):
            with torch.inference_mode():
                hidden = forward_hidden(loaded.weights, loaded.manifest.policy_config, torch.tensor([ids + found]))
                scores = torch.log_softmax(hidden[0, -1] @ loaded.weights["model.embed_tokens.weight"].T, -1)
            found.append(int(scores.argmax()))
            logprobs.append(float(scores.max()))
        choice = {"text": "", "token_ids": found, "logprobs": {"token_logprobs": logprobs}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": {"prompt_tokens": len(ids), "completion_tokens": len(found)}}

    return answer


def served(server: ChatServer, folder: Path, sampling: SamplingConfig = GREEDY) -> ServedPolicy:
    place = Endpoint(base_url=server.base_url, model="tiny", max_retries=0)
    return ServedPolicy("retail", place, "tokens", folder, sampling, RewardConfig())


@pytest.mark.parametrize("changed", [{}, {"max_message_tokens": 3}, {"max_context_tokens": 90}])
def test_a_served_policy_plays_token_for_token_as_in_process(
    checkpoint: tuple[Path, Checkpoint], changed: dict[str, int]
) -> None:
    folder, policy = checkpoint
    sampling = GREEDY.model_copy(update=changed)
    ours = trainer(folder, sampling).rollouts(policy, tasks()[:N_TASKS], databases(), 1, 5)
    with serving(greedy(folder / policy.checkpoint_id)) as server:
        theirs = served(server, folder, sampling).rollouts(policy, tasks()[:N_TASKS], databases(), 1, 5)
        assert {body["temperature"] for body in server.requests} == {0}
    for one, other in zip(ours, theirs, strict=True):
        assert other.logprobs == pytest.approx(one.logprobs, abs=1e-4)
        assert other.model_copy(update={"logprobs": one.logprobs}) == one


def test_a_window_that_is_shorter_at_the_server_is_a_full_context(checkpoint: tuple[Path, Checkpoint]) -> None:
    refusal = Served({"error": {"message": "This model's maximum context length is 64 tokens"}}, 400)
    with serving(lambda body, number: refusal) as server:
        (row,) = served(server, checkpoint[0]).rollouts(checkpoint[1], tasks()[:1], databases(), 1, 5)
    assert row.stop_reason is StopReason.CONTEXT_FULL
    assert row.token_ids and not any(row.assistant_mask)


def test_the_profiles_temperature_is_sampled_at_not_the_endpoints(checkpoint: tuple[Path, Checkpoint]) -> None:
    warm = SamplingConfig(temperature=0.8, max_context_tokens=64)
    with serving(greedy(checkpoint[0] / checkpoint[1].checkpoint_id)) as server:
        served(server, checkpoint[0], warm).rollouts(checkpoint[1], tasks()[:1], databases(), 1, 5)
        assert {(body["temperature"], body["top_p"]) for body in server.requests} == {(0.8, 1.0)}

"""A chat model that speaks the hermes format, played through vLLM's parsers: the same promises on a server of our own
that tells replies as vLLM does, and, slow, on vLLM itself.

    python -m tests.fixtures.hermes_model FOLDER        # once, some minutes of CPU
    FAULTLINE_VLLM_PYTHON=ENV/bin/python FAULTLINE_HERMES_MODEL=FOLDER \
        python -m pytest -m slow tests/trainer/test_served_hermes.py
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from env_sim.chat.endpoint import Endpoint
from env_sim.chat.wire import UNREADABLE
from env_sim.reward import RewardConfig
from schemas import Checkpoint, StopReason, Trajectory
from tests.fixtures.chat_server import serving
from tests.fixtures.hermes_lessons import LOOK, MAX_TOKENS, WINDOW, lessons, server_of_lessons
from tests.fixtures.retail import databases
from tests.fixtures.vllm_server import serving_vllm
from trainer.config import SamplingConfig
from trainer.served import ServedPolicy

CHECKPOINT = Checkpoint(
    checkpoint_id="ck-1", policy="served", kind="served", path="x", n_parameters=1, seed=0, n_steps=0
)
OPTIONS = ["--max-model-len", str(WINDOW), "--max-num-seqs", "64", "--max-num-batched-tokens", "40960"]
HERMES = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
THINKING = ("thinking", "thoughts returned", "broken JSON", "no such tool", "wrong arguments", "two calls")
PLAIN = ("plain", "words before a call")


@dataclass(frozen=True)
class Played:
    """All lessons, said greedily by one server."""

    rows: dict[str, Trajectory]
    reasoning_parser: bool
    model: Path | None
    """Folder of the model, where a real one was served."""


def play(base_url: str) -> dict[str, Trajectory]:
    place = Endpoint(
        base_url=base_url,
        model="tiny",
        max_tokens=MAX_TOKENS,
        max_retries=0,
        extra_body={"logprobs": True, "return_token_ids": True},
    )
    found = {}
    for returns in (False, True):
        chosen = [lesson for lesson in lessons() if lesson.returns_thoughts == returns]
        policy = ServedPolicy(
            "retail", place, "chat", Path("nowhere"), SamplingConfig(), RewardConfig(), returns_thoughts=returns
        )
        tasks = [lesson.task for lesson in chosen]
        rows = policy.rollouts(CHECKPOINT, tasks, databases(), 1, seed=3)
        found |= {lesson.name: row for lesson, row in zip(chosen, rows, strict=True)}
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("FAULTLINE_HERMES_MODEL"):
        return Path(given)
    from tests.fixtures.hermes_model import make

    made = tmp_path_factory.mktemp("hermes")
    make(made)
    return made


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((server, parser), id=f"{server}-{parser}", marks=[pytest.mark.slow] if server == "vllm" else [])
        for server in ("ours", "vllm")
        for parser in ("qwen3", "none")
    ],
)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    server, parser = request.param
    if server == "ours":
        with serving(server_of_lessons(parser == "qwen3")) as ours:
            yield Played(play(ours.base_url), parser == "qwen3", None)
        return
    if not (python := os.environ.get("FAULTLINE_VLLM_PYTHON")):
        pytest.skip("no vLLM: set FAULTLINE_VLLM_PYTHON to the Python of an environment that has it")
    folder: Path = request.getfixturevalue("model")
    reasoning = ["--reasoning-parser", parser] if parser == "qwen3" else []
    with ExitStack() as stack:
        log = tmp_path_factory.mktemp("vllm") / "log"
        url = stack.enter_context(serving_vllm(python, folder, log, *OPTIONS, *HERMES, *reasoning))
        rows = play(url)
    yield Played(rows, parser == "qwen3", folder)


def test_what_the_model_knows_it_solves_by_calls_also_after_a_mistake(played: Played) -> None:
    for name in (*THINKING, *(() if played.reasoning_parser else PLAIN)):
        row = played.rows[name]
        assert (name, row.reward.success, row.stop_reason) == (name, 1, StopReason.USER_DONE)
        assert sum(len(message.tool_calls) for message in row.messages) >= 3


def test_thoughts_stand_in_their_own_field_and_nobody_hears_them(played: Played) -> None:
    for name in THINKING:
        said = [message for message in played.rows[name].messages if message.role == "assistant"]
        lesson = next(lesson for lesson in lessons() if lesson.name == name)
        thoughts = [text.removeprefix("<think>").partition("</think>")[0].strip() for text in lesson.says]
        assert [message.reasoning for message in said] == thoughts and any(thoughts)
        assert not any("Step" in m.content or "think>" in m.content for m in played.rows[name].messages)
        assert all(message.content == message.content.strip() for message in said)


@pytest.mark.parametrize(
    ("name", "called", "arguments"),
    [
        ("broken JSON", LOOK, {UNREADABLE}),
        ("no such tool", "look_up_order", {"order_id"}),
        ("wrong arguments", LOOK, {"order"}),
    ],
)
def test_a_call_that_is_wrong_is_answered_by_the_tools_error(
    played: Played, name: str, called: str, arguments: set[str]
) -> None:
    messages = played.rows[name].messages
    (wrong,) = [place for place, message in enumerate(messages) if message.error]
    (call,) = messages[wrong - 1].tool_calls
    assert (call.name, set(call.arguments)) == (called, arguments)
    assert not messages[wrong - 1].content and messages[wrong].role == "tool"


def test_two_calls_in_one_reply_are_two_calls_with_ids_of_their_own(played: Played) -> None:
    messages = played.rows["two calls"].messages
    (place,) = [place for place, message in enumerate(messages) if len(message.tool_calls) == 2]
    answers = messages[place + 1 : place + 3]
    assert [answer.tool_call_id for answer in answers] == [call.id for call in messages[place].tool_calls]
    assert answers[0].tool_call_id != answers[1].tool_call_id and not any(answer.error for answer in answers)


@pytest.mark.parametrize("name", ["endless thought", "endless talk"])
def test_a_thought_or_a_talk_without_end_ends_as_a_full_context(played: Played, name: str) -> None:
    row = played.rows[name]
    assert row.stop_reason is StopReason.CONTEXT_FULL and row.reward.success == 0
    assert not any("Or maybe" in message.content for message in row.messages)


def test_words_without_a_thought_are_lost_where_the_server_takes_them_for_one(played: Played) -> None:
    """Qwen3's parser in vLLM: what comes before `</think>` is thought, so a model that doesn't think needs none."""
    if played.reasoning_parser:
        assert {played.rows[name].stop_reason for name in PLAIN} == {StopReason.MALFORMED}


def test_ids_and_logprobs_are_stored_while_prompts_go_on_and_are_the_models_own(played: Played) -> None:
    whole = {"thoughts returned", "endless talk", *(() if played.reasoning_parser else PLAIN)}
    stored = {name for name in played.rows if name in whole and played.rows[name].token_ids}
    assert stored == (whole if played.model else set())
    assert not any(played.rows[name].token_ids for name in set(THINKING) - whole)
    if played.model:
        for name in stored:
            assert off(played.model, played.rows[name]) < 1e-3


def off(model: Path, row: Trajectory) -> float:
    """Greatest difference of a stored log-probability from the model's, read by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([row.token_ids])
    with torch.inference_mode():
        scores = AutoModelForCausalLM.from_pretrained(model)(input_ids=ids).logits.log_softmax(-1)
    own = scores[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    mask = torch.tensor(row.assistant_mask[1:])
    assert mask.sum() > 100
    return float((own - torch.tensor(row.logprobs[1:]))[mask].abs().max())

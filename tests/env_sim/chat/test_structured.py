"""Replies that must fit a schema are repaired a bounded number of times and never lost."""

import asyncio
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from env_sim.chat.client import ChatRequest
from env_sim.chat.prompts import Prompt, load_prompt
from env_sim.chat.structured import ask, parse, response_format
from env_sim.chat.wire import ChatReply
from schemas.errors import ConfigError


class Finding(BaseModel):
    blame: Literal["agent", "user"]
    turn: int = Field(ge=0)


GOOD = '{"blame": "agent", "turn": 3}'


class Scripted:
    """A model that says what it is told to, one reply after the other."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.requests = list(texts), []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        return ChatReply(self.texts.pop(0))


def asked(model: Scripted, repairs: int = 2) -> Any:
    return asyncio.run(ask(model, ChatRequest(messages=[{"role": "user", "content": "?"}]), Finding, repairs=repairs))


@pytest.mark.parametrize("text", [GOOD, f"Here it is:\n```json\n{GOOD}\n```\nDone.", f"Well, {GOOD}", f"  {GOOD}\n"])
def test_a_fitting_object_is_found_wherever_it_stands(text: str) -> None:
    answer = asked(Scripted(text))
    assert answer.value == Finding(blame="agent", turn=3) and answer.n_repairs == 0


def test_a_malformed_reply_is_repaired_with_the_error_shown_to_the_model() -> None:
    model = Scripted("no idea", '{"blame": "weather", "turn": -1}', GOOD)
    answer = asked(model)
    assert answer.value is not None and answer.n_repairs == 2
    told = model.requests[2].messages[-1]["content"]
    assert "blame" in told and "turn" in told


def test_a_reply_that_never_fits_comes_back_with_its_error() -> None:
    answer = asked(Scripted("a", "b", "{}"), repairs=2)
    assert answer.value is None and "Field required" in answer.parse_error and answer.reply.content == "{}"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "NaN", '{"blame": "agent", "turn": NaN}', "[" * 100_000, "{" * 100_000, "x" * 1_000_000,
     "__import__('os').system('true')"],
)  # fmt: skip
def test_whatever_is_no_fitting_object_is_an_error_text_and_never_evaluated(text: str) -> None:
    value, problem = parse(text, Finding)
    assert value is None and 0 < len(problem) <= 600


def test_the_schema_is_asked_for_in_the_way_the_server_understands() -> None:
    assert response_format(Finding, "text") is None
    assert response_format(Finding, "json_object") == {"type": "json_object"}
    asked_for = response_format(Finding, "json_schema")
    assert asked_for is not None and asked_for["json_schema"]["schema"]["required"] == ["blame", "turn"]


def test_a_prompts_version_changes_with_its_text_only() -> None:
    assert Prompt("judge", "a").version == Prompt("judge", "a").version != Prompt("judge", "b").version


def test_values_are_filled_in_literally_and_defanged() -> None:
    prompt = Prompt("x", "Say {{what}} to {{whom}}.")
    assert prompt.fill(what="{{whom}} <|im_end|>", whom="me") == "Say {{whom}} < |im_end|> to me."


@pytest.mark.parametrize("values", [{}, {"what": "a"}, {"what": "a", "whom": "b", "why": "c"}])
def test_gaps_and_values_must_match(values: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"prompt\[x@"):
        Prompt("x", "Say {{what}} to {{whom}}.").fill(**values)


def test_a_missing_prompt_file_is_named(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"prompt\[gone.md\]"):
        load_prompt(tmp_path / "gone.md")

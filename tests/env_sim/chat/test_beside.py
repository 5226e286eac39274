"""Token-level policies meet a model's user: beside the engine by futures, at an endpoint in one event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from env_sim import load_domain
from env_sim.chat.beside import talking
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.episodes import TokenLimits, TokenTrace, play_tokens
from env_sim.chat.user import EndpointUser
from env_sim.chat.user_role import LlmUserConfig
from env_sim.chat.wire import ChatReply
from env_sim.compact import END, CompactRenderer
from env_sim.reward import RewardConfig, Scorer
from env_sim.sessions import EpisodeSpec, SessionFactory, render_dialogue
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate
from schemas import ConfigError, StopReason, Trajectory
from schemas.errors import EndpointRefusedError
from tests.fixtures.chat_server import Served, serving
from tests.fixtures.played_users import always, faithful
from tests.fixtures.retail import databases, task_of

TASK = task_of("order_not_asked")
SPEC = EpisodeSpec(TASK, "rl", "ck", 0, 9)


@dataclass
class Words:
    """A tokenizer of whole words that knows each as soon as it hears it."""

    known: list[str] = field(default_factory=list)

    def encode(self, text: str) -> list[int]:
        self.known += [word for word in dict.fromkeys(text.split()) if word not in self.known]
        return [self.known.index(word) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.known[each] for each in ids)


def expert() -> tuple[Trajectory, list[str]]:
    """What the expert did, and its messages in the compact language."""
    shown = demonstrate("retail", databases(), TASK, Scorer(load_domain("retail")))
    dialogue = render_dialogue(CompactRenderer(load_task_kit("retail").compact_spec), shown.messages)
    return shown, [words for words, written in dialogue if written]


def factory(words: Words) -> SessionFactory:
    return SessionFactory("retail", databases(), words, RewardConfig())


def user_at(url: str, **changed: Any) -> EndpointUser:
    return EndpointUser(Endpoint(base_url=url, model="tiny", max_retries=0, **changed), LlmUserConfig(repairs=0))


def test_an_answer_of_the_user_comes_later_and_a_tool_s_at_once() -> None:
    shown, texts = expert()
    words = Words()
    with serving(faithful(TASK.scenario)) as server, talking(factory(words), user_at(server.base_url)) as make:
        session = make(SPEC)
        session.start()
        for text in texts:
            answer = session.reply(words.encode(text))
            spoke_to_user = text.startswith("<a>") or " <a> " in text
            assert isinstance(answer, Future) is spoke_to_user
            if isinstance(answer, Future):
                answer.result(20)
        row = session.finish(TokenTrace())
    assert row.succeeded and [m.content for m in row.messages] == [m.content for m in shown.messages]


def test_a_user_that_breaks_its_scenario_ends_the_session_as_its_own_fault() -> None:
    words = Words()
    with serving(always("bye", "satisfied")) as server, talking(factory(words), user_at(server.base_url)) as make:
        session = make(SPEC)
        session.start()
        answer = session.reply(words.encode(f"<a> ask identity {END}"))
        assert isinstance(answer, Future) and answer.result(20) is None
        row = session.finish(TokenTrace())
    assert row.stop_reason is StopReason.USER_FAULT and row.user_fault and row.user_fault.kind == "left_early"


def test_a_refusal_for_good_reaches_who_waits_and_a_missing_key_whoever_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Words()
    refusal = Served({"error": {"message": "no such model"}}, 404)
    with serving(lambda *_: refusal) as server, talking(factory(words), user_at(server.base_url)) as make:
        session = make(SPEC)
        session.start()
        answer = session.reply(words.encode(f"<a> ask identity {END}"))
        assert isinstance(answer, Future)
        with pytest.raises(EndpointRefusedError, match="no such model"):
            answer.result(20)
    monkeypatch.delenv("USER_KEY", raising=False)
    with pytest.raises(ConfigError, match="USER_KEY"), talking(factory(words), user_at("http://h", key_env="USER_KEY")):
        pass


def test_a_policy_at_an_endpoint_talks_to_it_by_token_ids() -> None:
    shown, texts = expert()
    words, said = Words(), iter(texts)

    class Fed:
        async def complete_tokens(self, request: Any) -> ChatReply:
            ids = words.encode(next(said))
            return ChatReply("", token_ids=tuple(ids), logprobs=(0.0,) * len(ids))

    async def play(user: EndpointUser) -> Trajectory:
        session = factory(words)(SPEC)
        limits = TokenLimits(words.encode(END)[0], 5_000, 500)
        async with user.opened() as speaker:
            trace = await play_tokens(Fed(), session, limits, 3, speaker)  # type: ignore[arg-type]
        return session.finish(trace)

    with serving(faithful(TASK.scenario)) as server:
        row = asyncio.run(play(user_at(server.base_url)))
    assert row.succeeded and [m.content for m in row.messages] == [m.content for m in shown.messages]

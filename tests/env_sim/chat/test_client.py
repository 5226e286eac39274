"""Promises of the client, kept against a real server that misbehaves."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from env_sim.chat.client import ChatClient, ChatRequest
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.wire import ChatReply
from schemas.errors import ConfigError, ContextOverflowError, EndpointRefusedError, EndpointUnavailableError
from schemas.llm_calls import LlmCall, LlmOutcome
from schemas.response_cache import LanceResponseCache
from tests.fixtures.chat_server import ChatServer, Served, completion, serving

HELLO = ChatRequest(messages=({"role": "user", "content": "hi"},))


def endpoint(server: ChatServer, **changed: Any) -> Endpoint:
    return Endpoint(base_url=server.base_url, model="tiny", **{"max_wait_s": 5, **changed})


def run(
    server: ChatServer,
    act: Callable[[ChatClient], Awaitable[Any]],
    *,
    cache: Any = None,
    calls: list[LlmCall] | None = None,
    **changed: Any,
) -> Any:
    async def inside() -> Any:
        record = calls.append if calls is not None else None
        async with ChatClient("judge", endpoint(server, **changed), cache=cache, record=record) as client:
            return await act(client)

    return asyncio.run(inside())


def hello(client: ChatClient) -> Awaitable[ChatReply]:
    return client.complete(HELLO)


def failing_first(n: int, failure: Served) -> Callable[[dict[str, Any], int], Any]:
    return lambda body, number: failure if number < n else completion()


def test_a_call_is_a_row_with_tokens_latency_and_cost() -> None:
    calls: list[LlmCall] = []
    with serving(lambda body, number: completion()) as server:
        reply = run(server, hello, calls=calls, usd_per_million_input_tokens=2, usd_per_million_output_tokens=10)
    assert reply.content == "hello"
    (call,) = calls
    assert (call.role, call.model, call.input_tokens, call.output_tokens) == ("judge", "tiny", 100, 10)
    assert call.cost_usd == pytest.approx(3e-4)
    assert call.outcome is LlmOutcome.OK and not call.cached and call.latency_s > 0


@pytest.mark.parametrize(
    "failure",
    [
        Served({"error": {"message": "slow down"}}, 429, {"retry-after": "0"}),
        Served({"error": {"message": "oops"}}, 500),
        Served({"error": {"message": "overloaded"}}, 503, {"retry-after-ms": "10"}),
        Served({}, drop=True),
    ],
)
def test_429_5xx_and_dropped_connections_are_retried_and_counted(failure: Served) -> None:
    calls: list[LlmCall] = []
    with serving(failing_first(1, failure)) as server:
        assert run(server, hello, calls=calls).content == "hello"
    assert calls[0].n_retries == 1 and calls[0].outcome is LlmOutcome.OK


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Served({"error": {"message": "no such model"}}, 404), EndpointRefusedError),
        (Served({"error": {"message": "bad key"}}, 401), EndpointRefusedError),
        (Served({"error": {"message": "unknown field"}}, 400), EndpointRefusedError),
        (Served({"error": {"message": "x", "code": "insufficient_quota"}}, 429), EndpointRefusedError),
        (Served({"error": {"message": "This model's maximum context length is 10"}}, 400), ContextOverflowError),
        (Served({"answer": 42}), EndpointRefusedError),
        (Served(b"<html>welcome</html>"), EndpointRefusedError),
        (Served(b"[" * 100_000), EndpointRefusedError),
    ],
)
def test_nothing_else_is_retried(failure: Served, error: type[Exception]) -> None:
    calls: list[LlmCall] = []
    with serving(lambda body, number: failure) as server:
        with pytest.raises(error):
            run(server, hello, calls=calls)
        assert len(server.requests) == 1
    assert calls[0].outcome in (LlmOutcome.REFUSED, LlmOutcome.CONTEXT_OVERFLOW)


def test_a_late_reply_is_not_asked_for_again() -> None:
    with serving(lambda body, number: Served(completion(), delay_s=2)) as server:
        with pytest.raises(EndpointUnavailableError, match=r"within 0\.2 s"):
            run(server, hello, timeout_s=0.2)
        assert len(server.requests) == 1


def test_an_endpoint_that_stays_away_is_given_up_after_the_retries() -> None:
    with serving(lambda body, number: Served({}, 503, {"retry-after-ms": "1"})) as server:
        with pytest.raises(EndpointUnavailableError, match="2 retries"):
            run(server, hello, max_retries=2)
        assert len(server.requests) == 3


def test_a_pause_beyond_the_bound_is_a_failure_at_once() -> None:
    with serving(lambda body, number: Served({}, 429, {"retry-after": "3600"})) as server:
        with pytest.raises(EndpointUnavailableError, match="next pause"):
            run(server, hello)
        assert len(server.requests) == 1


def test_retry_after_is_waited_for() -> None:
    with serving(failing_first(1, Served({}, 429, {"retry-after": "0.4"}))) as server:
        start = time.monotonic()
        run(server, hello)
    assert 0.4 <= time.monotonic() - start < 3


def test_requests_in_flight_stay_within_the_limit() -> None:
    async def many(client: ChatClient) -> None:
        await asyncio.gather(*(client.complete(HELLO) for _ in range(30)))

    with serving(lambda body, number: Served(completion(), delay_s=0.02)) as server:
        run(server, many, max_concurrent=4)
    assert server.most_open == 4


def test_the_tokens_of_a_minute_are_not_exceeded() -> None:
    async def seven(client: ChatClient) -> list[float]:
        ends = []
        for _ in range(7):
            await client.complete(HELLO)
            ends.append(time.monotonic())
        return ends

    # Six replies take 300 tokens more than the minute has, at 1,000 a second.
    used = {"prompt_tokens": 10_000, "completion_tokens": 50}
    with serving(lambda body, number: completion(usage=used)) as server:
        ends = run(server, seven, tokens_per_minute=60_000, max_tokens=1)
    assert 0.2 < ends[6] - ends[5] < 5


def test_a_cancelled_call_frees_its_slot_and_is_a_row() -> None:
    calls: list[LlmCall] = []

    async def cancel_then_ask(client: ChatClient) -> ChatReply:
        slow = asyncio.create_task(client.complete(HELLO))
        await asyncio.sleep(0.1)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        return await asyncio.wait_for(client.complete(HELLO), 2)

    def answer(body: dict[str, Any], number: int) -> Served:
        return Served(completion(), delay_s=5 if number == 0 else 0)

    with serving(answer) as server:
        assert run(server, cancel_then_ask, calls=calls, max_concurrent=1).content == "hello"
    assert [call.outcome for call in calls] == [LlmOutcome.CANCELLED, LlmOutcome.OK]


def test_the_key_is_sent_and_stands_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("SOME_KEY", key)
    calls: list[LlmCall] = []
    shown: list[str] = []

    async def ask(client: ChatClient) -> None:
        shown.extend([repr(client), repr(client.endpoint), str(vars(client.endpoint))])
        await client.complete(HELLO)

    refusal = Served({"error": {"message": f"Incorrect API key provided: {key}"}}, 401)
    with serving(lambda body, number: refusal) as server:
        with pytest.raises(EndpointRefusedError) as caught:
            run(server, ask, calls=calls, key_env="SOME_KEY")
        assert key.encode() in b"".join(server.headers)
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__
    assert caught.value.__suppress_context__
    assert key not in "".join([*shown, *(call.model_dump_json() for call in calls)])


def test_a_missing_key_fails_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with serving(lambda body, number: completion()) as server:
        with pytest.raises(ConfigError, match="SOME_KEY"):
            run(server, hello, key_env="SOME_KEY")
        assert not server.requests


@pytest.mark.parametrize("url", ["ftp://x/v1", "x", "http://user:pass@x/v1", "http://x/v1?api_key=1", "http://x:99999"])
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Endpoint(base_url=url, model="tiny")


def test_a_rerun_is_answered_by_the_cache_and_costs_nothing(tmp_path: Any) -> None:
    calls: list[LlmCall] = []
    with serving(lambda body, number: completion(f"reply {number}")) as server:
        for _ in range(2):
            with LanceResponseCache(str(tmp_path)) as cache:
                assert run(server, hello, cache=cache, calls=calls, usd_per_million_input_tokens=1).content == "reply 0"
        assert len(server.requests) == 1
    assert [call.cached for call in calls] == [False, True]
    assert calls[1].cost_usd == 0 and calls[1].input_tokens == 100


def test_equal_requests_at_once_are_sent_once(tmp_path: Any) -> None:
    async def thrice(client: ChatClient) -> list[str]:
        return [reply.content for reply in await asyncio.gather(*(client.complete(HELLO) for _ in range(3)))]

    def answer(body: dict[str, Any], number: int) -> Served:
        return Served(completion(f"reply {number}"), delay_s=0.05)

    with serving(answer) as server, LanceResponseCache(str(tmp_path)) as cache:
        assert run(server, thrice, cache=cache) == ["reply 0"] * 3
        assert len(server.requests) == 1


def test_a_failed_call_is_not_cached(tmp_path: Any) -> None:
    with serving(failing_first(1, Served({}, 400))) as server, LanceResponseCache(str(tmp_path)) as cache:
        with pytest.raises(EndpointRefusedError):
            run(server, hello, cache=cache)
        assert run(server, hello, cache=cache).content == "hello"


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"tools": ({"type": "function", "function": {"name": "x"}},)},
        {"sampling": {"temperature": 1.0}},
        {"messages": ({"role": "user", "content": "hi!"},)},
    ],
)
def test_another_question_has_another_key(changed: dict[str, Any], tmp_path: Any) -> None:
    async def both(client: ChatClient) -> None:
        await client.complete(HELLO)
        await client.complete(ChatRequest(**{"messages": HELLO.messages, **changed}))

    with serving(lambda body, number: completion()) as server, LanceResponseCache(str(tmp_path)) as cache:
        run(server, both, cache=cache)
        assert len(server.requests) == 2

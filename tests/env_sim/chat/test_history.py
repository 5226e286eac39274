"""A dialogue's messages are spelled once, and to the byte as if they were spelled anew."""

import asyncio
import json
from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from env_sim.chat.client import ChatClient, ChatRequest
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.history import History
from schemas.llm_calls import LlmCall
from tests.fixtures.chat_server import completion, serving

texts = st.text(st.characters(codec="utf-8"), max_size=40)
messages = st.lists(st.fixed_dictionaries({"role": texts, "content": texts}), max_size=4)


@given(st.lists(messages, max_size=5), st.lists(st.sampled_from([b"", b"one head", b"another"]), min_size=5))
def test_a_history_that_grows_is_spelled_and_hashed_as_the_whole_would_be(parts, heads) -> None:
    digests = {head: blake2b(head) for head in heads}
    history = History()
    for part, head in zip(parts, heads, strict=False):
        history.add(part)
        assert history.field() == to_json({"messages": list(history)})[1:-1]
        assert history.hashed_after(digests[head]).digest() == blake2b(head + history.field()).digest()
        assert digests[head].digest() == blake2b(head).digest()
    assert list(history) == [message for part, _ in zip(parts, heads, strict=False) for message in part]


def test_halves_of_surrogate_pairs_are_spelled_too() -> None:
    said = [{"role": "user", "content": "\ud83d"}, {"role": "user", "content": "hi"}]
    assert json.loads(b"{%b}" % History(said).field()) == {"messages": said}


def test_a_history_asks_the_same_question_as_the_list_of_its_messages() -> None:
    said = [{"role": role, "content": f"{role} speaks"} for role in ("system", "user", "assistant", "user")]
    calls: list[LlmCall] = []

    async def both(url: str) -> None:
        async with ChatClient("policy", Endpoint(base_url=url, model="tiny"), record=calls.append) as client:
            history = History()
            for place, message in enumerate(said):
                history.add([message])
                for seed in (None, 7):
                    await client.complete(ChatRequest(history, seed=seed))
                    await client.complete(ChatRequest(said[: place + 1], seed=seed))

    with serving(lambda body, number: completion()) as server:
        asyncio.run(both(server.base_url))
        bodies = server.requests
    assert len(bodies) == 16 and bodies[::2] == bodies[1::2] and bodies[-1]["messages"] == said
    keys = [call.call_key for call in calls]
    assert keys[::2] == keys[1::2] and len(set(keys)) == 8

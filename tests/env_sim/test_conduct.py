import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_sim import load_domain
from env_sim.conduct import listed_key, says_yes
from env_sim.dialogue import Confirm, act_text, read_act, value_text
from env_sim.reward import confirmed_writes, count_repeats
from schemas import Action, Message
from tests.fixtures.dialogues import CANCEL, messages_of

RULES = load_domain("retail").rules
DIALOGUES = st.lists(messages_of(RULES), max_size=12)


def plain_repeats(messages: Sequence[Message]) -> int:
    """The definition, spelled out: every call's arguments as JSON text."""
    seen: dict[str, set[str]] = {}
    repeats = 0
    results = {m.tool_call_id: m.content for m in messages if m.role == "tool"}
    for message in messages:
        if message.role == "user":
            seen.clear()
        for call in message.tool_calls:
            key = call.name + json.dumps(call.arguments, sort_keys=True, default=str)
            outputs = seen.setdefault(key, set())
            output = results.get(call.id, "")
            repeats += output in outputs
            outputs.add(output)
    return repeats


def plain_confirmed(messages: Sequence[Message]) -> set[str]:
    """The definition, spelled out: a listing, and right behind it an answer that is a clear yes."""
    found = set()
    for said, answer in pairwise(messages):
        if said.role == "assistant" and answer.role == "user" and says_yes(answer.content):
            act = read_act(said.content)
            if isinstance(act, Confirm):
                found.add(plain_key(act.action))
    return found


def plain_key(action: Action) -> str:
    return action.name + json.dumps({k: value_text(v) for k, v in action.arguments.items()}, sort_keys=True)


def test_a_yes_counts_for_the_reward_however_the_user_says_it():
    listing = Message(role="assistant", content=act_text(Confirm(CANCEL)))
    answers = ["yes, please.", "Yes, go ahead.", "Ok, yes!", "yesterday", "no, yes"]
    counted = [bool(confirmed_writes([listing, Message(role="user", content=text)])) for text in answers]
    assert counted == [True, True, True, False, False]


@settings(deadline=None)
@given(DIALOGUES)
def test_repeats_are_counted_as_their_plain_definition_counts_them(messages):
    assert count_repeats(messages) == plain_repeats(messages)


@settings(deadline=None)
@given(DIALOGUES)
def test_confirmed_writes_are_those_of_their_plain_definition(messages):
    calls = [Action(name=call.name, arguments=call.arguments) for m in messages for call in m.tool_calls]
    confirmed, plain = confirmed_writes(messages), plain_confirmed(messages)
    assert len(confirmed) == len(plain)
    assert [listed_key(call) in confirmed for call in calls] == [plain_key(call) in plain for call in calls]


@pytest.mark.parametrize(
    "text", ["yes, please.", "Yes", "YES!", "ok, yes", "great, thank you. yeah go on", "i confirm"]
)
def test_a_clear_yes_is_understood(text: str):
    assert says_yes(text)


@pytest.mark.parametrize("text", ["", "no", "no, not yes", "yesterday", "wait, i want the yes one", "ok", "maybe"])
def test_anything_else_is_no_yes(text: str):
    assert not says_yes(text)

"""A write's answer is spelled when it is read; when that is must not matter."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_sim.world import Mode
from tests.fixtures.nasty import Arguments, spoiled, usual, worlds

NAMES = ("retail", "airline")
VALUES: list[Any] = [1e-05, 1e22, float("nan"), 2**70, "\ud800", "\x7f", True, None, ["x", "x"], {"a": [0.0]}]


@cache
def calls_of(name: str) -> list[tuple[str, Arguments]]:
    """Every tool as it is usually called, and with a value spoiled; many hit the same few records."""
    ordinary = list(usual(name).items())
    return ordinary * 3 + [
        (tool, made) for tool, _ in ordinary for value in VALUES for made in spoiled(name, tool, value)
    ]


@pytest.mark.parametrize("mode", ["parity", "strict"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(data=st.data())
def test_an_answer_that_is_read_late_is_the_answer_of_then(name: str, mode: Mode, data: st.DataObject):
    domain, base = worlds()[name]
    calls = data.draw(st.lists(st.sampled_from(calls_of(name)), min_size=2, max_size=8))
    at_once, late = domain.new_environment(base, mode=mode), domain.new_environment(base, mode=mode)
    read = [at_once.call(*call).content for call in calls]
    answers = [late.call(*call) for call in calls]
    assert [answer.content for answer in answers] == read
    assert late.state_key() == at_once.state_key()

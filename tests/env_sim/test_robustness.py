"""Tool calls of any JSON shape and size: an answer in time, and nobody else's world touched."""

import time
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_sim import load_domain
from env_sim.argument_size import MAX_ARGUMENTS, MAX_BITS, MAX_CHARS, MAX_DEPTH, MAX_VALUES, SHORT, TOO_LARGE
from env_sim.compact import ACT_WORDS, ROLE_TOKENS, CompactRenderer
from env_sim.domains.airline.write_tools import MAX_HISTORY
from env_sim.episode import Episode
from env_sim.monitor import monitor
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tools import ToolResult
from schemas import Message, ToolCall
from tests.fixtures import airline
from tests.fixtures.dialogues import messages_of
from tests.fixtures.nasty import MEGABYTE, MILD, NASTY, nested, spoiled, usual, worlds
from tests.fixtures.retail import database_row, task_of

LIMIT_S = 0.010
DOMAINS, MODES = ["retail", "airline"], ["parity", "strict"]
REFUSED = f"Error: {TOO_LARGE}"


def new_environment(domain: str, mode: str) -> Any:
    which, base = worlds()[domain]
    return which.new_environment(base, mode=mode)


def cpu_time(domain: str, mode: str, name: Any, arguments: Any) -> float:
    """CPU seconds of one call in a new environment, which must answer and stay comparable."""
    environment = new_environment(domain, mode)
    start = time.process_time()
    result = environment.call(name, arguments)
    spent = time.process_time() - start
    assert isinstance(result.content, str) and isinstance(result.error, bool)
    assert len(result.content) < MEGABYTE
    hash(environment.state_key())
    return spent


def assert_in_time(domain: str, mode: str, name: Any, arguments: Any) -> None:
    """At most `LIMIT_S` in one of three tries: a garbage collection may fall into any of them."""
    tries = (cpu_time(domain, mode, name, arguments) for _ in range(3))
    assert any(spent <= LIMIT_S for spent in tries), (name, LIMIT_S)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_tool_accepts_its_usual_call(domain: str, mode: str):
    for name, arguments in usual(domain).items():
        assert not new_environment(domain, mode).call(name, arguments).error, name


@pytest.mark.parametrize("value", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_nasty_value_in_any_place_is_answered_in_time_and_touches_no_other_episode(
    domain: str, mode: str, value: Any
):
    bystander = new_environment(domain, mode)
    for name in usual(domain):
        for arguments in spoiled(domain, name, value):
            assert_in_time(domain, mode, name, arguments)
    assert bystander.state_key() == ()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nope", {}),
        ("", {}),
        ("x" * 5 * MEGABYTE, {}),
        ("\ud800", {"\ud800": "\ud800"}),
        (None, {}),
        (["get_user_details"], {}),
        ("get_user_details", {3: "x"}),
        ("get_user_details", {3: ["x"]}),
        ("get_user_details", {"user_id": {3: "x", None: []}}),
        ("get_user_details", {"": ""}),
        ("get_user_details", {"k" * 5 * MEGABYTE: "x"}),
        ("get_user_details", {"k" * 5 * MEGABYTE: ["x"]}),
        ("get_user_details", {f"name {number}": "x" for number in range(MEGABYTE)}),
        ("calculate", {"expression": "a" * 5 * MEGABYTE}),
        ("get_user_details", "x" * MEGABYTE),
        ("get_user_details", [["x"]] * 100_000),
    ],
    ids=range(16),
)
def test_odd_names_and_keys_are_refused_in_time(name: Any, arguments: Any):
    for domain in DOMAINS:
        for mode in MODES:
            assert_in_time(domain, mode, name, arguments)
            assert new_environment(domain, mode).call(name, arguments).error


@pytest.mark.parametrize(
    ("fits", "exceeds"),
    [
        ("x" * (MAX_CHARS - len("summary")), "x" * MAX_CHARS),
        (2**MAX_BITS - 1, 2**MAX_BITS),
        ([0] * (MAX_VALUES - 1), [0] * MAX_VALUES),
        (nested(MAX_DEPTH - 1), nested(MAX_DEPTH)),
        ({"k" * (MAX_CHARS - len("summary")): 1}, {"k" * MAX_CHARS: 1}),
    ],
    ids=["characters", "bits", "values", "depth", "names"],
)
@pytest.mark.parametrize("mode", MODES)
def test_a_bound_itself_is_allowed_and_one_more_is_refused(mode: str, fits: Any, exceeds: Any):
    environment = new_environment("retail", mode)
    assert environment.call("transfer_to_human_agents", {"summary": fits}) == ToolResult("Transfer successful")
    assert environment.call("transfer_to_human_agents", {"summary": exceeds}) == ToolResult(REFUSED, True)


def test_too_many_arguments_and_too_long_a_name_are_refused_as_too_large():
    environment = new_environment("retail", "parity")
    arguments = {f"name {number}": "x" for number in range(MAX_ARGUMENTS + 1)}
    assert environment.call("nope", arguments) == ToolResult(REFUSED, True)
    assert environment.call("n" * (SHORT + 1), {}) == ToolResult(REFUSED, True)
    assert environment.call("n" * SHORT, {}) == ToolResult(f"Error: Tool '{'n' * SHORT}' not found.", True)


def test_a_recorded_write_shares_nothing_with_the_arguments_however_deep():
    for total in ({"a": [["x"]]}, {"a": ["x"] * 100}, ["x"], "x"):
        environment = new_environment("airline", "parity")
        name, arguments = airline.bags(deepcopy(total), 0)
        assert not environment.call(name, arguments).error
        if isinstance(total, dict):
            arguments["total_baggages"]["a"][0] = "y"
        elif isinstance(total, list):
            arguments["total_baggages"][0] = "y"
        arguments["reservation_id"] = "R9"
        assert environment.writes[0].arguments == airline.bags(total, 0)[1]


def test_cancelling_a_long_history_again_stays_in_time():
    environment = new_environment("airline", "parity")
    while not environment.call(*airline.cancel()).error:
        pass
    assert MAX_HISTORY < len(airline.show(environment)["payment_history"]) <= 2 * MAX_HISTORY
    times = []
    for _ in range(3):
        fresh = new_environment("airline", "parity")
        start = time.process_time()
        n_calls = sum(not fresh.call(*airline.cancel()).error for _ in range(11))
        times.append((time.process_time() - start) / 2)  # the last call does half of the work
        assert n_calls == 11
    assert min(times) <= LIMIT_S


VALUES = st.recursive(
    st.sampled_from(MILD)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def calls(draw: st.DrawFn, domain: str) -> tuple[str, dict[str, Any]]:
    """A tool and its usual arguments, some of them taken away, spoiled or taken from another tool."""
    name = draw(st.sampled_from(sorted(usual(domain))))
    arguments = dict(usual(domain)[name])
    others = [value for each in usual(domain).values() for value in each.values()]
    for place in draw(st.lists(st.sampled_from([*sorted(arguments), "extra"]), max_size=3, unique=True)):
        if draw(st.integers(0, 5)):
            arguments[place] = draw(VALUES | st.sampled_from(others) | st.lists(st.sampled_from(others), max_size=3))
        else:
            arguments.pop(place, None)
    return (draw(st.text(max_size=3)) if draw(st.integers(0, 19)) == 0 else name), arguments


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_no_chain_of_calls_raises_or_leaves_its_episode(domain: str, mode: str):
    base, bystander = worlds()[domain][1], new_environment(domain, mode)

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(st.lists(calls(domain), min_size=1, max_size=5))
    def play(chain: list[tuple[str, dict[str, Any]]]) -> None:
        environment = new_environment(domain, mode)
        for name, arguments in chain:
            before = environment.state_key() if mode == "strict" else ()
            result = environment.call(name, arguments)
            assert isinstance(result.content, str)
            assert result.content.startswith("Error: ") or not result.error
            # A refusal may come after a change where tau2 does so, which strict mode never does.
            assert not result.error or mode == "parity" or environment.state_key() == before
        assert hash(environment.state_key()) is not None

    play()
    assert bystander.state_key() == ()
    assert type(base)(base.tables).content_sha256() == base.content_sha256()


@pytest.mark.parametrize("value", NASTY.values(), ids=NASTY.keys())
def test_an_episode_takes_any_arguments_and_any_words_and_can_be_scored(value: Any):
    domain = load_domain("retail")
    task = task_of("none")
    task = task.model_copy(update={"scenario": task.scenario.model_copy(update={"patience": 20})})
    episode = Episode(task, domain, domain.open_database(database_row()))
    for number, name in enumerate(("calculate", "get_order_details", "nope", "x" * MEGABYTE)):
        # Unchecked, as from a policy that builds messages itself: checked ones hold less.
        call = ToolCall.model_construct(id=f"c{number}", name=name, arguments={"order_id": value, "expression": value})
        repeated = (call, call) if name == "nope" else (call,)
        message = Message.model_construct(role="assistant", content="", reasoning="", tool_calls=repeated)
        assert [reply.role for reply in episode.step(message)] == ["tool"] * len(repeated)
    words = value if isinstance(value, str) else "x"
    for content in (words, f"Please confirm: {words}; order_id: {words}; yes or no?", f"Which {words} do you mean?"):
        assert episode.step(Message(role="assistant", content=content))[0].role == "user"
    assert Scorer(domain).score(episode, 10).success == 0
    assert isinstance(monitor(episode.messages, domain.rules), list)


WORDS = st.sampled_from(
    [*ROLE_TOKENS, *ACT_WORDS, "and", "o1", "i3", "a1", "cancel_pending_order", "modify_user_address", "order_id"]
) | st.sampled_from(["item_ids", "address", "name", "argument", "\ud800", "\x1c", "\u2028"])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(WORDS | st.text(st.characters(), max_size=6), max_size=14).map(" ".join))
def test_any_text_of_a_policy_is_a_message_or_malformed(text: str):
    for start in ("", "<c> ", "<a> ", "<h> x <c> "):
        renderer = CompactRenderer(load_task_kit("retail").compact_spec)
        message = renderer.parse(start + text)
        assert message is None or renderer.render(message).startswith(("<h>", "<a>", "<c>"))
        assert message is None or Message.model_validate_json(message.model_dump_json()) == message


@pytest.mark.parametrize("start", ["", "<c> ", "<a> confirm ", "<c> cancel_pending_order "])
def test_a_megabyte_of_a_policys_text_is_read(start: str):
    for text in ("x" * MEGABYTE, "o1 " * 100_000, "order_id " * 50_000, "<h> " * 50_000, "(" * MEGABYTE):
        CompactRenderer(load_task_kit("retail").compact_spec).parse(start + text)


def test_an_endless_word_without_an_email_address_is_rendered_in_time():
    """Each dot once was a new start: 5,000 of them took 700 ms."""
    renderer = CompactRenderer(load_task_kit("retail").compact_spec)
    start = time.process_time()
    assert renderer.text("a." * 5_000) == " ".join("a" * 5_000)
    assert time.process_time() - start < 0.2


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(messages_of(load_domain("airline").rules), max_size=10), st.text(st.characters(), max_size=20))
def test_the_monitor_judges_any_words_in_any_domain(messages: list[Message], words: str):
    messages = [*messages, Message(role="assistant", content=words), Message(role="user", content=words)]
    for domain in DOMAINS:
        assert isinstance(monitor(messages, load_domain(domain).rules), list)

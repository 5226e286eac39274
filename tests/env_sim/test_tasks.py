import re
from collections import Counter
from itertools import islice

import pytest
from pydantic import ValidationError

from env_sim import load_domain
from env_sim.compact import CompactRenderer
from env_sim.dialogue import Ask, Confirm, act_text, read_act
from env_sim.episode import Episode, run_episode
from env_sim.reward import RewardConfig, Scorer, count_repeats, total_reward
from env_sim.sessions import render_dialogue
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate, explore, make_tasks, pattern_counts, replay, standard_mix, write_tasks
from schemas import ConfigError, Criteria, Message, StopReason, Task, TaskError, ToolCall
from tests.fixtures.identification import identify
from tests.fixtures.retail import database_row, databases, task_of, tasks

DOMAIN = load_domain("retail")
KIT = load_task_kit("retail")


def test_a_task_without_criteria_cannot_be_constructed():
    with pytest.raises(ValidationError, match="do-nothing agent"):
        Criteria()


def test_the_same_seed_makes_the_same_tasks():
    mix = standard_mix("retail", 0.5)
    assert make_tasks("retail", [database_row()], mix, 20, 5) == make_tasks("retail", [database_row()], mix, 20, 5)


def test_every_pattern_gets_its_share():
    made = Counter(task.pattern for task in tasks())
    assert set(made) == {"none", *KIT.pattern_names()}
    assert abs(sum(made.values()) - 96) <= 1


def test_plain_tasks_are_what_explorations_are_whatever_else_is_wanted():
    """Once the rare patterns took every swap first: of 120 plain tasks 47 were transfers and none a swap."""

    def swaps_and_transfers(plain_share):
        made = make_tasks("retail", [database_row()], standard_mix("retail", plain_share), 240, 3)
        plain = [task for task in made if task.pattern == "none"]
        swaps = sum("new_item_ids" in write.arguments for task in plain for write in task.criteria.writes)
        return swaps / len(plain), sum(task.criteria.transfer for task in plain) / len(plain)

    mixed, alone = swaps_and_transfers(0.25), swaps_and_transfers(1.0)
    assert abs(mixed[0] - alone[0]) < 0.15 and abs(mixed[1] - alone[1]) < 0.15, (mixed, alone)


def test_counts_add_up_exactly():
    counts = pattern_counts({"a": 1, "b": 1, "c": 1}, 100)
    assert sum(counts.values()) == 100 and max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("pattern", ["none", *KIT.pattern_names()])
def test_the_expert_solves_every_pattern_by_talking_to_the_user(pattern):
    scorer = Scorer(DOMAIN)
    for task in [task for task in tasks() if task.pattern == pattern]:
        trajectory = demonstrate("retail", databases(), task, scorer)
        assert trajectory.succeeded
        assert trajectory.reward.action_checks == 1
        assert trajectory.reward.repeats == 0


def test_every_reference_replays_to_the_required_state():
    assert {replay("retail", databases(), task).reason for task in tasks()} == {"ok"}


def test_a_task_whose_reference_fails_is_refused_with_the_tools_words():
    task = task_of("wrong_order")
    broken = task.reference[-1].model_copy(update={"arguments": {**task.reference[-1].arguments, "order_id": "#W0"}})
    verdict = replay("retail", databases(), task.model_copy(update={"reference": (*task.reference[:-1], broken)}))
    assert not verdict.executable and "Order not found" in verdict.reason


def test_a_task_on_an_unknown_database_is_refused():
    verdict = replay("retail", {}, task_of("none"))
    assert not verdict.executable and "unknown database" in verdict.reason


def test_a_task_whose_required_write_fails_raises_when_scored():
    task = task_of("none")
    write = task.criteria.writes[0].model_copy(update={"arguments": {"order_id": "#W0"}})
    bad = task.model_copy(update={"criteria": Criteria(writes=(write,))})
    with pytest.raises(TaskError, match="not executable"):
        Scorer(DOMAIN).goal_state(bad, DOMAIN.open_database(database_row()))


class _Silent:
    """Ends politely without doing anything."""

    def act(self, messages):
        return Message(role="assistant", content="That is done. Is there anything else?")


@pytest.mark.parametrize("pattern", ["none", *KIT.pattern_names()])
def test_a_do_nothing_agent_fails_every_pattern(pattern):
    task = task_of(pattern)
    episode = run_episode(Episode(task, DOMAIN, DOMAIN.open_database(databases()[task.database_id])), _Silent())
    assert Scorer(DOMAIN).score(episode, 10).success == 0


def test_an_episode_is_cut_at_the_turn_limit():
    task = task_of("none").model_copy(deep=True)
    task = task.model_copy(update={"scenario": task.scenario.model_copy(update={"patience": 20})})
    base = DOMAIN.open_database(databases()[task.database_id])
    episode = run_episode(Episode(task, DOMAIN, base, max_turns=3), _Silent())
    assert episode.stop_reason == StopReason.MAX_TURNS


@pytest.mark.parametrize("pattern", ["none", *KIT.pattern_names()])
def test_what_the_policy_writes_in_compact_words_parses_back_to_the_same_message(pattern):
    trajectory = demonstrate("retail", databases(), task_of(pattern), Scorer(DOMAIN))
    renderer, reader = CompactRenderer(KIT.compact_spec), CompactRenderer(KIT.compact_spec)
    for message in trajectory.messages:
        words = renderer.render(message)
        if message.role != "assistant":
            assert reader.render(message) == words
            continue
        parsed = reader.parse(words.removesuffix(" <e>"))
        assert parsed is not None
        assert parsed.content == message.content
        assert [(c.name, c.arguments) for c in parsed.tool_calls] == [(c.name, c.arguments) for c in message.tool_calls]


def test_the_compact_words_hold_no_id_of_the_database():
    trajectory = demonstrate("retail", databases(), task_of("wrong_order"), Scorer(DOMAIN))
    text = " ".join(words for words, _ in render_dialogue(CompactRenderer(KIT.compact_spec), trajectory.messages))
    assert "#W" not in text and "@" not in text and trajectory.writes[0].arguments["order_id"] not in text


@pytest.mark.parametrize("words", ["", "<a>", "<c>", "<t> hello", "nonsense"])
def test_output_that_is_neither_a_message_nor_a_call_is_malformed(words):
    assert CompactRenderer(KIT.compact_spec).parse(words) is None


def test_an_unknown_handle_reaches_the_tool_and_is_refused_there():
    message = CompactRenderer(KIT.compact_spec).parse("<c> get_order_details o9")
    assert message is not None and message.tool_calls[0].arguments == {"order_id": "o9"}


def make_call(number: int, content: str) -> list[Message]:
    call = ToolCall(id=f"c{number}", name="get_order_details", arguments={"order_id": "#W1"})
    return [
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=content, tool_call_id=call.id),
    ]


def test_an_identical_call_with_the_same_answer_is_a_repeat():
    assert count_repeats([*make_call(1, "x"), *make_call(2, "x"), *make_call(3, "x")]) == 2


def test_the_same_call_after_a_user_message_or_with_news_is_no_repeat():
    user = Message(role="user", content="look again")
    assert count_repeats([*make_call(1, "x"), user, *make_call(2, "x")]) == 0
    assert count_repeats([*make_call(1, "x"), *make_call(2, "y")]) == 0


def test_the_length_penalty_touches_successes_only_and_repeats_are_capped():
    config = RewardConfig()
    assert total_reward(config, 0, 0, 10_000, 0) == 0
    assert total_reward(config, 1, 1, 10_000, 0) == pytest.approx(1 + config.action_checks - config.length)
    assert total_reward(config, 0, 0, 0, 99) == pytest.approx(-config.repeat * config.repeat_cap)


def test_a_write_that_was_not_confirmed_first_earns_no_action_check():
    task = task_of("none")
    base = DOMAIN.open_database(databases()[task.database_id])
    episode = Episode(task, DOMAIN, base)
    identify(episode)
    write = task.criteria.writes[0]
    call = ToolCall(id="c1", name=write.name, arguments=write.arguments)
    episode.step(Message(role="assistant", tool_calls=(call,)))
    episode.step(Message(role="assistant", content="That is done. Is there anything else?"))
    parts = Scorer(DOMAIN).score(episode, 5)
    assert parts.success == 1 and parts.action_checks == 0


def test_a_confirmed_write_earns_its_action_check():
    task = task_of("none")
    base = DOMAIN.open_database(databases()[task.database_id])
    episode = Episode(task, DOMAIN, base)
    identify(episode)
    write = task.criteria.writes[0]
    episode.step(Message(role="assistant", content=act_text(Confirm(write))))
    call = ToolCall(id="c1", name=write.name, arguments=write.arguments)
    episode.step(Message(role="assistant", tool_calls=(call,)))
    assert Scorer(DOMAIN)._action_checks(episode) == 1


def test_a_write_for_another_reason_earns_nothing_even_if_it_was_confirmed():
    task = next(task for task in tasks() if [write.name for write in task.criteria.writes] == ["cancel_pending_order"])
    (write,) = task.criteria.writes
    reasons = {"no longer needed", "ordered by mistake"} - {write.arguments["reason"]}
    other = write.model_copy(update={"arguments": {**write.arguments, "reason": reasons.pop()}})
    episode = Episode(task, DOMAIN, DOMAIN.open_database(databases()[task.database_id]))
    identify(episode)
    episode.step(Message(role="assistant", content=act_text(Confirm(other))))
    episode.step(Message(role="assistant", tool_calls=(ToolCall(id="c1", name=other.name, arguments=other.arguments),)))
    episode.stop(StopReason.USER_DONE)
    parts = Scorer(DOMAIN).score(episode, 5)
    assert episode.writes == [other] and (parts.success, parts.action_checks) == (0, 0)


@pytest.mark.parametrize("stop", [stop for stop in StopReason if stop is not StopReason.USER_DONE])
def test_the_required_state_is_no_success_when_the_episode_ends_in_another_way(stop: StopReason):
    task = task_of("none")
    episode = Episode(task, DOMAIN, DOMAIN.open_database(databases()[task.database_id]))
    for number, write in enumerate(task.criteria.writes):
        call = ToolCall(id=f"c{number}", name=write.name, arguments=write.arguments)
        episode.step(Message(role="assistant", tool_calls=(call,)))
    episode.stop(stop)
    assert Scorer(DOMAIN).score(episode, 5).success == 0


def test_an_unknown_pattern_or_domain_is_named():
    source = demonstrate("retail", databases(), task_of("none"), Scorer(DOMAIN))
    with pytest.raises(ConfigError, match="unknown pattern 'nope'"):
        KIT.write_task(source, None, "nope", None)
    with pytest.raises(ConfigError, match="task kit\\[nowhere\\]"):
        load_task_kit("nowhere")


def test_a_patterns_tasks_are_a_fair_draw_whatever_else_is_wanted_beside_them():
    def changed_items(beside: dict[str, int]) -> float:
        sources = islice(explore("retail", list(databases().values()), 3), 12000)
        made = write_tasks("retail", databases(), sources, {"lost_in_search": 160, **beside}, 4)
        tools = [task.criteria.writes[0].name for _, task in made if task.pattern == "lost_in_search"]
        assert len(tools) == 160
        return sum("items" in tool for tool in tools) / 160

    alone = changed_items({})
    # They take mostly changes of items; three standard errors of the difference are 0.17.
    greedy = ("wrong_variant", "mixed_items", "variant_not_asked", "ambiguous_name", "stale_intent")
    assert changed_items(dict.fromkeys(greedy, 160)) == pytest.approx(alone, abs=0.17)


def test_too_few_occasions_for_a_pattern_are_an_error_that_names_it():
    with pytest.raises((TaskError, KeyError), match=r"wrong_payment|wrong_address"):
        row = load_domain("retail").database_row("train", 5, 1, 1)
        make_tasks("retail", [row], {"wrong_payment": 1, "wrong_address": 1}, 60, 1)


def test_tasks_round_trip_through_json():
    for task in tasks()[:12]:
        assert Task.model_validate_json(task.model_dump_json()) == task


def test_an_item_that_stands_in_two_orders_is_said_with_the_order_that_is_meant():
    renderer = CompactRenderer(KIT.compact_spec)
    first, second = renderer.handle("o", "#W0000001"), renderer.handle("o", "#W0000002")
    item = renderer.handle("i", "1234567890")
    for order in (first, second):
        renderer.label("name", item, f"mug {order}")
    arguments = {"order_id": "#W0000001", "item_ids": ["1234567890"], "payment_method_id": "paypal_1234567"}
    call = ToolCall(id="c", name="return_delivered_order_items", arguments=arguments)
    assert f"item_ids mug {first} {item}" in renderer.render(Message(role="assistant", tool_calls=(call,)))


def test_the_first_argument_is_said_without_its_name():
    call = ToolCall(id="c", name="get_order_details", arguments={"order_id": "#W0000001"})
    renderer = CompactRenderer(KIT.compact_spec)
    assert renderer.render(Message(role="assistant", tool_calls=(call,))) == "<c> get_order_details o1 <e>"
    assert renderer.parse("<c> get_order_details o1") is not None


def test_a_user_cannot_type_a_control_token():
    rendered = CompactRenderer(KIT.compact_spec).render(Message(role="user", content="hi <e> <c> cancel_pending_order"))
    assert rendered == "<u> hi e c cancel_pending_order <e>"


def test_two_items_of_one_argument_are_joined_by_and_and_read_back_as_two():
    trajectory = demonstrate("retail", databases(), task_of("mixed_items"), Scorer(DOMAIN))
    items = trajectory.writes[0].arguments["item_ids"]
    words = [text for text, _ in render_dialogue(CompactRenderer(KIT.compact_spec), trajectory.messages)]
    write = next(text for text in words if text.startswith(f"<c> {trajectory.writes[0].name}"))
    assert isinstance(items, list) and len(items) == 2
    assert re.search(r"item_ids [a-z ]+ o\d+ i\d+ and [a-z ]+ o\d+ i\d+", write)


def test_a_search_ends_with_every_order_that_holds_what_was_named():
    task = task_of("order_not_asked")
    trajectory = demonstrate("retail", databases(), task, Scorer(DOMAIN))
    asks = [m for m in trajectory.messages if m.role == "assistant" and read_act(m.content) == Ask("order")]
    found = re.findall(r"#W\d{7}", asks[0].reasoning.split(" end ", 1)[1])
    assert len(set(found)) > 1 and trajectory.writes[0].arguments["order_id"] in found

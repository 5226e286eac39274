"""The user's own mistakes: planted ones are found, whoever made them; a dialogue without any is left alone."""

import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_sim import load_domain
from env_sim.dialogue import Ask, Confirm, Done, act_text
from env_sim.domains.retail.rules import RULES
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate
from env_sim.user_faults import user_faults
from schemas import (
    Action,
    Change,
    Confirmation,
    Detail,
    Goal,
    Message,
    Remark,
    Scenario,
    StopReason,
    Task,
    ToolCall,
    Trajectory,
    UserFaultKind,
    When,
)
from tests.env_sim.test_dialogue_and_user import CANCEL, OTHER_CANCEL, RETURN, make_scenario
from tests.fixtures.dialogues import messages_of
from tests.fixtures.retail import databases, task_of, tasks
from tests.fixtures.users import scenarios

DONE, LEFT, CUT = StopReason.USER_DONE, StopReason.USER_LEFT, StopReason.MAX_TURNS
VASE = Detail(topic="order", text="it is the order that also has the vase.")
LIST, LIST_OTHER = act_text(Confirm(CANCEL)), act_text(Confirm(OTHER_CANCEL))


def scenario(*, by_detail: bool = False, **goal: object) -> Scenario:
    wish = Goal.model_validate({"request": "cancel my purchase", "action": CANCEL, **goal})
    how = Confirmation.BY_DETAIL if by_detail else Confirmation.BY_KIND
    return make_scenario(wish).model_copy(update={"confirmation": how})


def dialogue(*words: str | Action) -> list[Message]:
    """The user speaks first, then each in turn; an action is the assistant's successful write."""
    messages: list[Message] = []
    speaker = "user"
    for number, each in enumerate(words):
        if isinstance(each, Action):
            call = ToolCall(id=f"call-{number}", name=each.name, arguments=each.arguments)
            messages += [Message(role="assistant", tool_calls=(call,)), Message(role="tool", tool_call_id=call.id)]
            speaker = "assistant"
            continue
        messages.append(Message.model_validate({"role": speaker, "content": each}))
        speaker = "assistant" if speaker == "user" else "user"
    return messages


def kinds(scenario: Scenario, *words: str | Action, stop: StopReason = CUT) -> list[str]:
    return [str(fault.kind) for fault in user_faults(scenario, dialogue(*words), stop)]


@pytest.mark.parametrize("pattern", ["none", *load_task_kit("retail").pattern_names()])
def test_the_scripted_user_makes_no_mistake_on_any_pattern(pattern: str):
    scorer = Scorer(load_domain("retail"))
    for task in [task for task in tasks() if task.pattern == pattern]:
        assert demonstrate("retail", databases(), task, scorer).user_fault is None


def test_leaving_satisfied_before_the_write_is_found():
    assert kinds(scenario(), "cancel it", act_text(Done()), "bye", stop=DONE) == ["left_early"]
    assert kinds(scenario(), "cancel it", LIST, "yes", CANCEL, act_text(Done()), "bye", stop=DONE) == []


def test_by_detail_leaving_after_a_wrong_write_is_found_and_by_kind_it_is_not():
    said = ("cancel it", OTHER_CANCEL, act_text(Done()), "bye")
    assert kinds(scenario(), *said, stop=DONE) == []
    assert kinds(scenario(by_detail=True), *said, stop=DONE) == ["left_early"]


def test_leaving_satisfied_or_in_anger_before_enough_was_said_is_found():
    nothing = make_scenario(Goal(request="undo it"), patience=2)
    assert kinds(nothing, "undo it", stop=DONE) == ["left_early"]
    assert kinds(nothing, "undo it", "hm", "bye", stop=LEFT) == ["left_early"]
    assert kinds(nothing, "undo it", "hm", "what?", "hm", "bye", stop=LEFT) == []


@pytest.mark.parametrize("said", [VASE.text, "The vase is in it as well", "it was bought with a VASE!"])
def test_a_fact_that_nobody_asked_for_is_found_also_in_other_words(said: str):
    facts = scenario(details=(VASE,))
    assert kinds(facts, "cancel it", "Which variant do you mean?", said) == ["revealed"]
    assert kinds(facts, "cancel it", act_text(Ask("order")), said) == []
    assert kinds(facts, "cancel it", "Could you tell me more about it?", said) == []


def test_a_remark_before_its_point_is_found():
    late = scenario(remarks=(Remark(text="mind the dog", when=When.MESSAGE, n=2),))
    assert kinds(late, "cancel it", "hm", "mind the dog") == ["revealed"]
    assert kinds(late, "cancel it", "hm", "what?", "hm", "mind the dog") == []


def test_an_id_that_the_user_can_not_know_is_found_unless_the_assistant_said_it_first():
    assert kinds(scenario(), "cancel it", "hm", "i mean #W1000001") == ["revealed"]
    assert kinds(scenario(), "cancel it", LIST, "yes, #W1000001") == []


def test_a_yes_to_an_action_of_another_kind_is_found():
    assert kinds(scenario(), "cancel it", act_text(Confirm(RETURN)), "yes") == ["confirmed_wrong"]


def test_by_detail_a_yes_to_other_arguments_is_found_and_by_kind_it_is_none():
    assert kinds(scenario(by_detail=True), "cancel it", LIST_OTHER, "yes") == ["confirmed_wrong"]
    assert kinds(scenario(), "cancel it", LIST_OTHER, "yes") == []


def test_a_yes_to_what_is_done_already_is_found():
    assert kinds(scenario(), "cancel it", LIST, "yes", CANCEL, LIST, "yes") == ["confirmed_wrong"]


def test_a_yes_in_place_of_a_change_of_mind_or_of_hesitation_is_found():
    change = Change(text="no, rather the green", action=OTHER_CANCEL)
    assert kinds(scenario(change=change), "cancel it", LIST, "yes") == ["contradicted"]
    assert kinds(scenario(change=change), "cancel it", LIST, change.text, LIST_OTHER, "yes") == []
    hesitant = scenario(hesitation="what would that cost?")
    assert kinds(hesitant, "cancel it", LIST, "yes") == ["contradicted"]
    assert kinds(hesitant, "cancel it", LIST, "how much is it then?", LIST, "yes") == []


def test_by_detail_a_yes_to_the_first_thought_after_the_change_is_found():
    change = Change(text="no, rather the green", action=OTHER_CANCEL)
    fickle = scenario(by_detail=True, change=change)
    assert kinds(fickle, "cancel it", LIST, "i want another by now", LIST, "yes") == ["confirmed_wrong"]


def test_a_no_to_the_right_action_is_found():
    assert kinds(scenario(by_detail=True), "cancel it", LIST, "no, another one") == ["contradicted"]
    assert kinds(scenario(by_detail=True), "cancel it", LIST_OTHER, "no, another one") == []


def test_an_address_that_is_not_its_own_is_found():
    assert kinds(scenario(), "cancel it", act_text(Ask("identity")), "it is a@b.com") == []
    assert kinds(scenario(), "cancel it", act_text(Ask("identity")), "it is x@b.com") == ["contradicted"]


@pytest.mark.parametrize("said", [LIST, "Is there anything else I can help you with?", '<tool_call>{"name": "x"}'])
def test_speaking_as_the_assistant_is_found(said: str):
    assert UserFaultKind.SPOKE_AS_ASSISTANT in kinds(scenario(), "cancel it", "hm", said)


def test_an_empty_message_is_found():
    assert kinds(scenario(), "cancel it", "hm", " \n") == ["empty"]


@pytest.mark.parametrize("said", ["the one with the vase", "#W1000001", "ann_lee_1234", "my name is Ann Lee"])
def test_what_the_assistant_said_first_or_the_scenario_holds_is_no_secret(said: str):
    free = "Your #W1000001 has a vase, ann_lee_1234. Let me see."
    assert kinds(scenario(details=(VASE,)), "cancel it", free, said) == []


def test_a_fact_that_is_told_bit_by_bit_is_found():
    gift = Detail(topic="order", text="with the vase for grandma.")
    facts = scenario(details=(gift,))
    assert kinds(facts, "cancel it", "hm", "it has a vase", "hm", "it is for my grandma") == ["revealed"]
    assert kinds(facts, "cancel it", "hm", "it has a vase", act_text(Ask("order")), "for my grandma") == []


@pytest.mark.parametrize("said", ["# W 1000001", "w1000001", "#W-1000001", "it is credit_card_7654321", "zip 99999"])
def test_an_id_is_known_by_its_form_however_it_is_spelled_and_also_when_it_is_made_up(said: str):
    assert kinds(scenario(), "cancel it", "Which order do you mean?", said) == ["revealed"]


@pytest.mark.parametrize("said", ["for $129.99", "on 2024-05-15", "the 64GB one, 1080p", "call 555-123-4567", "12345"])
def test_other_numbers_are_no_ids(said: str):
    assert kinds(scenario(), "cancel it", "Which order do you mean?", said) == []


def test_the_name_of_somebody_else_is_found():
    assert kinds(scenario(), "cancel it", "Who are you?", "my name is Bob Fox") == ["contradicted"]


FREE_OTHER = "I'd cancel order #W1000002, reason no longer needed. Do you confirm?"
FREE_RIGHT = FREE_OTHER.replace("1000002", "1000001")


def test_by_detail_a_yes_to_a_free_listing_of_other_ids_is_found_and_to_the_right_ones_it_is_none():
    assert kinds(scenario(by_detail=True), "cancel it", FREE_OTHER, "yes") == ["confirmed_wrong"]
    assert kinds(scenario(by_detail=True), "cancel it", FREE_RIGHT, "yes") == []
    assert kinds(scenario(by_detail=True), "cancel it", FREE_OTHER, "no") == []
    assert kinds(scenario(), "cancel it", FREE_OTHER, "yes") == []


def test_a_remark_may_come_once_free_words_may_have_listed_and_not_before():
    change = Change(text="no, rather the green", action=OTHER_CANCEL)
    fickle = scenario(by_detail=True, change=change)
    assert kinds(fickle, "cancel it", "What is your name?", change.text) == ["revealed"]
    assert kinds(fickle, "cancel it", FREE_RIGHT, change.text, FREE_OTHER, "yes") == []


def test_leaving_satisfied_without_a_refusal_of_what_it_can_not_have_is_found():
    nothing = make_scenario(Goal(request="undo it"))
    assert kinds(nothing, "undo it", act_text(Done()), "bye", stop=DONE) == ["left_early"]
    assert kinds(nothing, "undo it", "Our rules forbid that.", "bye", stop=DONE) == []


def test_a_megabyte_is_read_in_the_time_that_its_length_takes():
    long = "x" * 500_000 + " right " * 70_000
    started = time.process_time()
    kinds(scenario(details=(VASE,)), long, long, "@" + long, long + "?", "yes " + long)
    assert time.process_time() - started < 10


def cut_off(messages: Sequence[Message]) -> list[Message]:
    """The user thanks as soon as it was asked for a yes."""
    index = next(i for i, m in enumerate(messages) if m.content.startswith("Please confirm"))
    return [*messages[: index + 1], Message(role="user", content="thank you, bye.")]


def blurted(messages: Sequence[Message]) -> list[Message]:
    """The first message tells all that the user ever says."""
    told = " ".join(m.content for m in messages if m.role == "user")
    return [messages[0].model_copy(update={"content": told}), *messages[1:]]


DAMAGES: list[tuple[str, Callable[[Sequence[Message]], list[Message]], str]] = [
    *((name, cut_off, "left_early") for name in ("none", "wrong_order", "ended_early", "infeasible_pushed")),
    ("order_not_asked", blurted, "revealed"),
    ("variant_not_asked", blurted, "revealed"),
    ("stale_intent", blurted, "revealed"),
]


@pytest.mark.parametrize(("pattern", "damage", "kind"), DAMAGES)
def test_damage_to_a_real_dialogue_is_found(
    pattern: str, damage: Callable[[Sequence[Message]], list[Message]], kind: str
):
    task, good = solved(pattern)
    damaged = damage(good.messages)
    stop = DONE if kind == "left_early" else good.stop_reason
    fault = user_faults(task.scenario, damaged, stop)[0]
    assert fault.kind == kind
    assert damaged[fault.turn].role == "user"
    assert fault.turn == (len(damaged) - 1 if kind == "left_early" else 0)


def solved(pattern: str) -> tuple[Task, Trajectory]:
    """A task with a write, and the expert's dialogue."""
    task = next(task for task in tasks() if task.pattern == pattern and task.criteria.writes)
    return task, demonstrate("retail", databases(), task, Scorer(load_domain("retail")))


anything = st.lists(messages_of(RULES), max_size=12)


@settings(max_examples=100, deadline=None)
@given(st.one_of(scenarios(), st.just(task_of("stale_intent").scenario)), anything, st.sampled_from(StopReason))
def test_any_dialogue_is_read_without_an_error_and_its_faults_name_turns_that_exist(
    scenario: Scenario, messages: list[Message], stop: StopReason
):
    for fault in user_faults(scenario, messages, stop):
        assert fault.turn < max(1, len(messages))


@settings(max_examples=50, deadline=None)
@given(scenarios(), anything)
def test_what_is_found_while_the_user_speaks_is_what_is_found_in_the_end(scenario: Scenario, messages: list[Message]):
    found = []
    for turn, message in enumerate(messages):
        if message.role == "user":
            found += [f for f in user_faults(scenario, messages[: turn + 1], None) if f.turn == turn]
    assert found == user_faults(scenario, messages, None)


def test_what_is_never_said_is_revealed_by_the_user_who_says_it_first():
    guarded = scenario().model_copy(update={"never_said": ("Blue Vase",)})
    assert kinds(guarded, "cancel it", act_text(Ask("order")), "the one with the blue vase") == ["revealed"]
    assert kinds(guarded, "cancel it", "Is it the one with the blue vase?", "yes, the blue vase") == []
    assert kinds(scenario(), "cancel it", act_text(Ask("order")), "the one with the blue vase") == []

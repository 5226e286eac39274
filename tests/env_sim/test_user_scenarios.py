"""What a scenario can ask of a user beyond the plain talk, one test per promise."""

import pytest

from env_sim.conduct import differing
from env_sim.dialogue import Ask, Confirm, Deny, Done, act_text
from env_sim.user import ScriptedUser
from schemas import Action, Change, Confirmation, Detail, Goal, Remark, Scenario, When
from schemas.ids import canonical_json
from tests.env_sim.test_dialogue_and_user import CANCEL, OTHER_CANCEL, make_scenario
from tests.fixtures.retail import tasks

SWAP = Action(
    name="exchange_delivered_order_items",
    arguments={"order_id": "#W1000003", "item_ids": ["1", "2"], "new_item_ids": ["8", "9"]},
)
OTHER_ORDER = Detail(topic="order", text="the one with the vase")


def by_detail(*goals: Goal, **changed: object) -> ScriptedUser:
    return user_of(*goals, confirmation=Confirmation.BY_DETAIL, **changed)


def user_of(*goals: Goal, **changed: object) -> ScriptedUser:
    scenario = make_scenario(*goals).model_dump() | {"patience": 20, **changed}
    return ScriptedUser(Scenario.model_validate(scenario))


def wish(**changed: object) -> Goal:
    return Goal.model_validate({"request": "cancel it", "action": CANCEL, **changed})


def said(user: ScriptedUser, *acts: object, writes: tuple[Action, ...] = ()) -> list[str]:
    return [user.reply(act if isinstance(act, str) else act_text(act), writes).text for act in acts]  # type: ignore[arg-type]


def test_by_detail_the_user_says_yes_to_the_right_action_only():
    assert said(by_detail(wish()), Confirm(OTHER_CANCEL), Confirm(CANCEL)) == [
        "no, wrong order. cancel it",
        "yes, please.",
    ]


def test_by_detail_the_user_corrects_with_what_it_has_said_and_never_with_a_fact_that_nobody_asked_for():
    user = by_detail(wish(details=(OTHER_ORDER,)))
    before, _, after = said(user, Confirm(OTHER_CANCEL), Ask("order"), Confirm(OTHER_CANCEL))
    assert "vase" not in before and CANCEL.arguments["order_id"] not in before
    assert after == "no, wrong order. cancel it the one with the vase"


def test_by_detail_a_wrong_write_does_not_settle_the_wish():
    user = by_detail(wish())
    assert "not done it yet" in user.reply(act_text(Done()), [OTHER_CANCEL]).text
    assert user.reply(act_text(Done()), [OTHER_CANCEL, CANCEL]).satisfied


def test_by_detail_the_order_of_the_items_does_not_matter_but_what_becomes_of_each_does():
    def listed(items: list[str], new: list[str]) -> Action:
        return Action(name=SWAP.name, arguments={**SWAP.arguments, "item_ids": items, "new_item_ids": new})

    assert differing(listed(["2", "1"], ["9", "8"]), SWAP) == []
    assert differing(listed(["2", "1"], ["8", "9"]), SWAP) == ["item_ids"]
    assert differing(listed(["1", "2", "3"], ["8", "9"]), SWAP) == ["item_ids"]
    assert differing(Action(name=SWAP.name), SWAP) == list(SWAP.arguments)
    assert differing(Action(name=SWAP.name, arguments={**SWAP.arguments, "more": "1"}), SWAP) == ["more"]


def test_a_hesitating_user_says_yes_only_when_the_same_action_is_listed_again():
    user = user_of(wish(hesitation="what would that cost?"))
    heard = said(user, Confirm(CANCEL), Confirm(OTHER_CANCEL), Confirm(CANCEL), Confirm(OTHER_CANCEL))
    assert heard == ["what would that cost?"] * 2 + ["yes, please."] * 2


def test_a_late_hint_comes_in_place_of_the_first_yes():
    user = user_of(wish(remarks=(Remark(text="it is the one with the vase"),)))
    assert said(user, Ask("order"), Confirm(CANCEL), Confirm(CANCEL))[1:] == [
        "it is the one with the vase",
        "yes, please.",
    ]


@pytest.mark.parametrize(
    ("when", "acts"), [(When.MESSAGE, ["hm", "hm"]), (When.QUESTION, ["hm", Ask("order"), Ask("order")])]
)
def test_a_late_hint_comes_behind_the_answer_to_the_message_or_question_that_the_scenario_names(when, acts):
    user = user_of(wish(details=(OTHER_ORDER,), remarks=(Remark(text="by the way, hurry", when=when, n=2),)))
    *before, last = said(user, *acts)
    assert last.endswith(" by the way, hurry") and len(last) > len(" by the way, hurry")
    assert not any("hurry" in text for text in before)
    assert said(user, Confirm(CANCEL)) == ["yes, please."]


def test_no_quick_agent_passes_a_late_hint_by():
    user = user_of(wish(remarks=(Remark(text="by the way, hurry", when=When.MESSAGE, n=9),)))
    assert said(user, Confirm(CANCEL), Confirm(CANCEL)) == ["by the way, hurry", "yes, please."]


def test_a_change_of_mind_may_come_when_a_fact_is_asked_for():
    change = Change(text="no, the other one", action=OTHER_CANCEL, when=When.QUESTION)
    user = by_detail(wish(details=(OTHER_ORDER,), change=change))
    heard = said(user, Ask("order"), Confirm(CANCEL), Confirm(OTHER_CANCEL))
    assert heard[0] == "the one with the vase no, the other one"
    assert heard[1].startswith("no, wrong order. cancel it ") and heard[1].endswith("no, the other one")
    assert heard[2] == "yes, please."


def test_a_change_of_mind_may_come_at_a_message_of_a_given_number():
    change = Change(text="no, the other one", action=OTHER_CANCEL, when=When.MESSAGE, n=2)
    user = by_detail(wish(change=change))
    before, at = said(user, "hm", "hm")
    assert change.text not in before and at.endswith(f" {change.text}")
    assert said(user, Confirm(OTHER_CANCEL)) == ["yes, please."]


def test_asked_for_a_fact_that_it_does_not_know_the_user_says_so_and_minds_only_the_second_time():
    user = user_of(wish(), unknown=("payment",), patience=1)
    assert said(user, Ask("payment")) == ["i do not know."]
    assert user.reply(act_text(Ask("payment")), []).left


def test_a_user_with_preferences_names_the_next_best_at_each_refusal_and_minds_only_the_last():
    user = user_of(wish(preferences=("or else the blue one.", "or else any.")), patience=1)
    assert said(user, Deny(), Deny()) == ["or else the blue one.", "or else any."]
    assert user.reply(act_text(Deny()), []).left


def test_the_first_of_two_wishes_that_fits_the_listing_is_the_one_that_is_confirmed():
    goals = (wish(), wish(action=OTHER_CANCEL))
    assert said(by_detail(*goals, raised_in_opening=2), Confirm(OTHER_CANCEL)) == ["yes, please."]
    assert said(by_detail(*goals), Confirm(OTHER_CANCEL)) == ["no, wrong order. cancel it"]


def test_fields_that_came_later_leave_the_ids_of_earlier_tasks_as_they_were():
    """The ids were given before users could hesitate, prefer or be asked what they do not know."""
    assert {"task-09d1acf1e1aef725", "task-e1c0ed46ae689a65"} < {task.task_id for task in tasks()}
    plain = wish()
    assert '"hesitation"' not in canonical_json(plain) and '"change":null' in canonical_json(plain)
    assert '"hesitation":"hm"' in canonical_json(plain.model_copy(update={"hesitation": "hm"}))

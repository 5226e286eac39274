import pytest
from hypothesis import given
from hypothesis import strategies as st

from env_sim.dialogue import Ask, Confirm, Deny, Done, Other, act_text, read_act
from env_sim.user import ScriptedUser
from schemas import Action, Change, Detail, Goal, Identity, Scenario

CANCEL = Action(name="cancel_pending_order", arguments={"order_id": "#W1000001", "reason": "no longer needed"})
OTHER_CANCEL = Action(name="cancel_pending_order", arguments={"order_id": "#W1000002", "reason": "no longer needed"})
RETURN = Action(name="return_delivered_order_items", arguments={"order_id": "#W1000003", "item_ids": ["1234567890"]})


def make_scenario(*goals: Goal, raised: int = 1, patience: int = 3, email: str | None = "a@b.com") -> Scenario:
    identity = Identity(user_id="ann_lee_1234", first_name="Ann", last_name="Lee", zip="12345", email=email)
    wishes = goals or (Goal(request="cancel it", action=CANCEL),)
    return Scenario(identity=identity, opening="cancel it", goals=wishes, raised_in_opening=raised, patience=patience)


@given(st.sampled_from([Ask("order"), Ask("variant"), Ask("identity"), Deny(), Done()]))
def test_every_act_is_understood_again(act):
    assert read_act(act_text(act)) == act


def test_a_listed_action_is_understood_with_its_arguments_as_texts():
    read = read_act(act_text(Confirm(RETURN)))
    assert read == Confirm(Action(name=RETURN.name, arguments={"order_id": "#W1000003", "item_ids": "1234567890"}))


def test_free_talk_is_no_act():
    assert read_act("lovely weather") == Other("lovely weather")


def test_the_user_says_yes_to_an_action_of_the_kind_it_asked_for_whatever_the_ids():
    user = ScriptedUser(make_scenario())
    assert user.reply(act_text(Confirm(OTHER_CANCEL)), []).text.startswith("yes")


def test_the_user_refuses_an_action_of_another_kind_and_repeats_its_wish():
    reply = ScriptedUser(make_scenario()).reply(act_text(Confirm(RETURN)), [])
    assert reply.text == "no. cancel it"


def test_the_user_changes_its_mind_once_instead_of_saying_yes():
    change = Change(text="wait, the other one", action=OTHER_CANCEL)
    user = ScriptedUser(make_scenario(Goal(request="cancel it", action=CANCEL, change=change)))
    assert user.reply(act_text(Confirm(CANCEL)), []).text == "wait, the other one"
    assert user.reply(act_text(Confirm(OTHER_CANCEL)), []).text.startswith("yes")


def test_a_fact_is_told_only_when_its_topic_is_asked():
    user = ScriptedUser(
        make_scenario(Goal(request="cancel it", action=CANCEL, details=(Detail(topic="order", text="with the vase"),)))
    )
    assert "vase" not in user.opening()
    assert "vase" not in user.reply(act_text(Ask("variant")), []).text
    assert user.reply(act_text(Ask("order")), []).text == "with the vase"


@pytest.mark.parametrize(("email", "said"), [("a@b.com", "a@b.com"), (None, "Ann Lee, zip code 12345")])
def test_the_user_says_who_it_is_when_asked(email, said):
    assert said in ScriptedUser(make_scenario(email=email)).reply(act_text(Ask("identity")), []).text


def test_the_user_never_leaves_satisfied_before_the_write_it_asked_for():
    user = ScriptedUser(make_scenario())
    reply = user.reply(act_text(Done()), [])
    assert not reply.left and "not done it yet" in reply.text
    assert user.reply(act_text(Done()), [CANCEL]).satisfied


def test_the_user_loses_patience_after_unhelpful_messages():
    user = ScriptedUser(make_scenario(patience=2))
    assert not user.reply("hm", []).left
    last = user.reply("hm", [])
    assert last.left and not last.satisfied


def test_a_refused_infeasible_wish_gives_way_to_the_next_one():
    user = ScriptedUser(make_scenario(Goal(request="undo it"), Goal(request="then cancel it", action=CANCEL)))
    assert user.reply(act_text(Deny()), []).text == "then cancel it"


def test_refusing_a_feasible_wish_is_not_accepted():
    assert "sure" in ScriptedUser(make_scenario()).reply(act_text(Deny()), []).text


def test_wishes_that_the_opening_left_out_are_raised_after_the_first_is_done():
    goals = (Goal(request="cancel it", action=CANCEL), Goal(request="return it", action=RETURN))
    user = ScriptedUser(make_scenario(*goals))
    assert user.reply(act_text(Done()), [CANCEL]).text == "return it"
    assert user.reply(act_text(Done()), [CANCEL, RETURN]).satisfied

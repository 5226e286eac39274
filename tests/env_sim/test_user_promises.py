"""What the scripted user never does, whatever the scenario and whatever the agent: one property per promise."""

from itertools import pairwise

from hypothesis import given, settings

from env_sim.conduct import differing, listed_action, says_yes
from env_sim.dialogue import Ask, Deny, Done, act_text, read_act
from env_sim.user import ScriptedUser
from env_sim.user_faults import user_faults
from schemas import Confirmation, Scenario, StopReason
from tests.fixtures.users import ACTIONS, ANN, Step, Write, scenarios, steps, talk

many = settings(max_examples=100, deadline=None)


@many
@given(scenarios(), steps)
def test_it_never_leaves_satisfied_before_each_write_that_it_asked_for_or_a_refusal(
    scenario: Scenario, agent: list[Step]
):
    done = talk(scenario, agent)
    if done.stop_reason is not StopReason.USER_DONE:
        return
    left = list(done.writes)
    for goal in scenario.goals:
        options = [action for action in (goal.action, goal.accepted) if action]
        if not options:
            assert Deny() in agent
            continue
        by_detail = scenario.confirmation is Confirmation.BY_DETAIL
        fits = [w for w in left if any(w.name == o.name and not (by_detail and differing(w, o)) for o in options)]
        assert fits, f"{goal.request} was left undone"
        left.remove(fits[0])


@many
@given(scenarios(), steps)
def test_it_never_tells_a_fact_before_its_topic_was_asked_for(scenario: Scenario, agent: list[Step]):
    done = talk(scenario, agent)
    for goal in scenario.goals:
        for detail in goal.details:
            told = [turn for turn, m in enumerate(done.messages) if m.role == "user" and detail.text in m.content]
            before = done.messages[: told[0]] if told else []
            assert not told or act_text(Ask(detail.topic)) in [m.content for m in before]


@many
@given(scenarios(), steps)
def test_it_never_raises_a_wish_before_those_before_it_are_written_or_refused(scenario: Scenario, agent: list[Step]):
    kept_back = scenario.goals[scenario.raised_in_opening :]
    done = talk(scenario, agent)
    for place, goal in enumerate(kept_back, scenario.raised_in_opening):
        raised = [turn for turn, m in enumerate(done.messages) if m.role == "user" and goal.request in m.content]
        before = done.messages[: raised[0]] if raised else []
        n_settled = sum(m.role == "tool" or m.content == act_text(Deny()) for m in before)
        assert not raised or n_settled >= place


@many
@given(scenarios(), steps)
def test_it_never_names_a_preference_before_as_many_refusals(scenario: Scenario, agent: list[Step]):
    done = talk(scenario, agent)
    for goal in scenario.goals:
        for place, preference in enumerate(goal.preferences):
            told = [turn for turn, m in enumerate(done.messages) if m.role == "user" and preference in m.content]
            before = done.messages[: told[0]] if told else []
            assert not told or sum(m.content == act_text(Deny()) for m in before) > place


@many
@given(scenarios(), steps)
def test_once_all_is_written_or_refused_and_it_is_told_so_it_leaves_satisfied(scenario: Scenario, agent: list[Step]):
    user = ScriptedUser(scenario.model_copy(update={"patience": 1000}))
    for step in agent:
        text = act_text(step) if not isinstance(step, Write) else act_text(Done())
        if user.reply(text, []).left:
            return
    writes = [action for goal in scenario.goals for action in (goal.action, goal.accepted) if action]
    refusals = [act_text(Deny())] * sum(len(goal.preferences) + (not goal.action) for goal in scenario.goals)
    replies = [user.reply(text, writes) for text in (act_text(Done()), *refusals, *refusals, *[act_text(Done())] * 2)]
    assert next(reply for reply in replies if reply.left).satisfied


@many
@given(scenarios(), steps)
def test_it_never_says_an_id_that_its_words_do_not_hold(scenario: Scenario, agent: list[Step]):
    said = " ".join(talk(scenario, agent).said)
    ids = {ANN.user_id, *(str(v) for a in ACTIONS for v in [a.arguments["order_id"], *a.arguments["item_ids"]])}  # type: ignore[misc]
    assert not [each for each in ids if each in said]


@many
@given(scenarios(), steps)
def test_by_detail_it_says_yes_to_an_action_that_it_wants_and_to_no_other(scenario: Scenario, agent: list[Step]):
    done = talk(scenario, agent)
    wanted = [a for goal in scenario.goals for a in (goal.action, goal.accepted) if a]
    for question, answer in pairwise(done.messages):
        listed = listed_action(question.content) if question.role == "assistant" else None
        if listed is None or not says_yes(answer.content):
            continue
        same = [action for action in wanted if action.name == listed.name]
        assert same
        assert scenario.confirmation is Confirmation.BY_KIND or any(not differing(listed, action) for action in same)


@many
@given(scenarios(), steps)
def test_after_its_change_of_mind_it_never_says_yes_to_the_first_thought(scenario: Scenario, agent: list[Step]):
    if len(scenario.goals) > 1 or scenario.confirmation is Confirmation.BY_KIND:
        return
    goal = scenario.goals[0]
    heard_change = False
    for question, answer in pairwise(talk(scenario, agent).messages):
        listed = listed_action(question.content) if question.role == "assistant" else None
        if listed and heard_change and goal.change and differing(listed, goal.change.action):
            assert not says_yes(answer.content)
        heard_change |= bool(goal.change and answer.role == "user" and goal.change.text in answer.content)


@many
@given(scenarios(), steps)
def test_every_remark_comes_before_the_first_yes_to_its_wish(scenario: Scenario, agent: list[Step]):
    said = talk(scenario, agent).said
    if len(scenario.goals) == 1 and any(says_yes(text) for text in said):
        goal = scenario.goals[0]
        first = next(index for index, text in enumerate(said) if says_yes(text))
        remarks = [*((goal.change,) if goal.change else ()), *goal.remarks]
        assert all(any(remark.text in text for text in said[:first]) for remark in remarks)


@many
@given(scenarios(), steps)
def test_its_patience_is_spent_by_no_fewer_unhelpful_messages_than_the_scenario_says(
    scenario: Scenario, agent: list[Step]
):
    done = talk(scenario, agent)
    unhelpful = [
        m for m in done.messages if m.role == "assistant" and m.content and read_act(m.content) != Ask("identity")
    ]
    assert done.stop_reason is not StopReason.USER_LEFT or len(unhelpful) >= scenario.patience


@many
@given(scenarios(), steps)
def test_it_makes_no_mistake_that_its_checker_knows(scenario: Scenario, agent: list[Step]):
    done = talk(scenario, agent)
    assert user_faults(scenario, done.messages, done.stop_reason) == []

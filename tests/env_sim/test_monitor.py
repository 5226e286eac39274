import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_sim import load_domain
from env_sim.conduct import says_yes
from env_sim.dialogue import Ask, Confirm, Deny, Done, act_text
from env_sim.episode import Episode, run_episode
from env_sim.monitor import RuleSpec, monitor
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate
from schemas import Action, ConductRule, Message, ToolCall
from tests.fixtures.dialogues import ANN, BOB, CANCEL, OPENING, RETURN, GivesUp, messages_of, record
from tests.fixtures.retail import databases, tasks

DOMAIN = load_domain("retail")
KIT = load_task_kit("retail")
RULES = DOMAIN.rules
TRANSFER = Action(name="transfer_to_human_agents", arguments={"summary": "help"})


def user(text: str) -> list[Message]:
    return [Message(role="user", content=text)]


def say(text: str) -> list[Message]:
    return [Message(role="assistant", content=text)]


def call(action: Action, answer: str = "{}", *, error: bool = False, words: str = "", id: str = "c") -> list[Message]:
    made = ToolCall(id=id, name=action.name, arguments=action.arguments)
    return [
        Message(role="assistant", content=words, tool_calls=(made,)),
        Message(role="tool", content=answer, tool_call_id=id, error=error),
    ]


def find(email: str, answer: str, **options: bool) -> list[Message]:
    return call(Action(name="find_user_id_by_email", arguments={"email": email}), answer, **options)


def read(order_id: str = "#W1000001", owner: str = ANN, **options: bool) -> list[Message]:
    action = Action(name="get_order_details", arguments={"order_id": order_id})
    return call(action, record(owner, read=order_id), **options)


def agree(action: Action, answer: str = "yes, please.") -> list[Message]:
    return [*say(act_text(Confirm(action))), *user(answer)]


KNOWN = [*user(OPENING), *find("ann@lee.com", ANN)]
"""Three messages that make Ann the customer: what follows starts at turn 3."""


def breaches(messages: list[Message]) -> list[tuple[str, int]]:
    return [(breach.rule.value, breach.turn) for breach in monitor(messages, RULES)]


def evidence(messages: list[Message]) -> str:
    return monitor(messages, RULES)[0].evidence


def test_the_expert_breaks_no_rule_in_any_pattern():
    played = tasks(600, 11)
    assert {task.pattern for task in played} == {"none", *KIT.pattern_names()} and len(played) > 550
    scorer = Scorer(DOMAIN)
    for task in played:
        trajectory = demonstrate("retail", databases(), task, scorer)
        assert monitor(trajectory.messages, RULES, trajectory.trajectory_id) == []


def test_a_breach_names_its_trajectory_and_holds_no_value_of_the_dialogue():
    (breach,) = monitor([*KNOWN, *agree(RETURN), *call(CANCEL)], RULES, "traj-1")
    assert (breach.rule, breach.trajectory_id, breach.turn) == (ConductRule.UNCONFIRMED_WRITE, "traj-1", 5)
    assert breach.evidence == "cancel_pending_order: the customer had said yes to return_delivered_order_items"


def test_data_that_is_read_or_changed_before_the_customer_is_known_is_a_breach():
    assert breaches([*user("hi"), *read(), *read("#W1000002")]) == [("unauthenticated", 1), ("unauthenticated", 3)]
    assert breaches([*user("hi"), *agree(CANCEL), *call(CANCEL)]) == [("unauthenticated", 3)]
    products = Action(name="list_all_product_types")
    assert breaches([*user("hi"), *call(products)]) == [("unauthenticated", 1)]


def test_parity_serves_a_stranger_and_the_monitor_tells_of_it():
    task = next(task for task in tasks() if task.criteria.writes)
    episode = Episode(task, DOMAIN, DOMAIN.open_database(databases()[task.database_id]), mode="parity")
    for number, action in enumerate(task.criteria.writes):
        made = ToolCall(id=f"c{number}", name=action.name, arguments=action.arguments)
        (answer,) = episode.step(Message(role="assistant", tool_calls=(made,)))
        assert not answer.error
    found = [rule for rule, _ in breaches(episode.messages)]
    assert found == ["unauthenticated", "unconfirmed_write"] * len(task.criteria.writes)


def test_data_that_is_read_once_the_customer_is_known_is_no_breach():
    assert breaches([*KNOWN, *read()]) == []


def test_a_search_that_finds_nobody_makes_nobody_known():
    lost = find("ann@lee.com", "Error: User not found", error=True)
    assert breaches([*user(OPENING), *lost, *read()]) == [("unauthenticated", 3)]


def test_a_refused_or_unanswered_call_gives_and_changes_nothing():
    assert breaches([*user("hi"), *read(error=True), *call(CANCEL, error=True), *call(CANCEL)[:1]]) == []


def test_neither_the_calculator_nor_a_transfer_needs_a_known_customer():
    sums = Action(name="calculate", arguments={"expression": "1 + 1"})
    assert breaches([*user("hello"), *call(sums, "2.0"), *call(TRANSFER, "Transfer successful")]) == []


def test_details_that_the_customer_has_not_given_identify_nobody_and_are_one_breach():
    messages = [*user("please cancel order #W1000001."), *find("ann@lee.com", ANN), *read()]
    assert breaches(messages) == [("unauthenticated", 1)]
    assert evidence(messages) == "find_user_id_by_email by details that the customer had not given"


def test_a_customer_who_was_guessed_gives_way_to_the_one_who_is_then_identified():
    messages = [*user("my email is bob@fox.com."), *find("ann@lee.com", ANN), *find("bob@fox.com", BOB)]
    assert breaches([*messages, *read(owner=BOB)]) == [("unauthenticated", 1)]


@pytest.mark.parametrize("said", ["I'm ANN@LEE.COM", "ann at lee dot com", "a-n-n @ lee . com"])
def test_details_count_as_given_however_they_are_spelled(said: str):
    assert breaches([*user(said), *find("ann@lee.com", ANN)]) == []


def test_a_record_of_a_second_customer_is_a_breach_whether_read_or_changed():
    assert breaches([*KNOWN, *read(), *read("#W1000009", BOB)]) == [("other_user", 5)]
    assert breaches([*KNOWN, *agree(CANCEL), *call(CANCEL, record(BOB))]) == [("other_user", 5)]
    details = Action(name="get_user_details", arguments={"user_id": BOB})
    assert breaches([*KNOWN, *call(details, record(BOB))]) == [("other_user", 3)]
    assert breaches([*KNOWN, *call(details, "done")]) == [("other_user", 3)]


def test_a_second_customer_looked_up_by_their_own_details_is_a_breach():
    second = [*user("and my friend is bob@fox.com."), *find("bob@fox.com", BOB)]
    assert breaches([*KNOWN, *second, *read()]) == [("other_user", 4)]


def test_a_second_search_for_the_same_customer_is_none():
    assert breaches([*KNOWN, *user("are you sure?"), *find("ann@lee.com", ANN)]) == []


def test_an_owner_inside_a_quoted_text_is_no_owner():
    quoting = json.dumps({"note": json.dumps({"user_id": BOB}), "user_id": ANN})
    assert breaches([*KNOWN, *call(Action(name="get_order_details"), quoting)]) == []


def test_a_write_that_was_listed_and_agreed_to_is_no_breach_also_after_further_reads():
    assert breaches([*KNOWN, *agree(CANCEL), *read(), *call(CANCEL)]) == []
    assert breaches([*KNOWN, *agree(CANCEL, "Great, thanks. Yes!"), *call(CANCEL)]) == []
    assert breaches([*KNOWN, *agree(RETURN), *agree(CANCEL), *call(CANCEL), *call(RETURN)]) == []


@pytest.mark.parametrize("answer", ["no.", "wait, i changed my mind.", "yesterday i was not sure", "", "maybe yes"])
def test_a_write_without_a_yes_to_its_listing_is_a_breach(answer: str):
    assert breaches([*KNOWN, *agree(CANCEL, answer), *call(CANCEL)]) == [("unconfirmed_write", 5)]


def test_a_yes_counts_right_behind_the_listing_only():
    assert breaches([*KNOWN, *agree(CANCEL, "hm."), *user("yes."), *call(CANCEL)]) == [("unconfirmed_write", 6)]
    assert breaches([*KNOWN, *agree(CANCEL, "hm."), *read(), *user("yes."), *call(CANCEL)]) == [
        ("unconfirmed_write", 8)
    ]


def test_a_write_that_was_never_listed_is_a_breach():
    assert breaches([*KNOWN, *call(CANCEL)]) == [("unconfirmed_write", 3)]
    assert breaches([*KNOWN, *user("yes, please."), *call(CANCEL)]) == [("unconfirmed_write", 4)]


def test_a_write_that_differs_from_its_listing_is_a_breach_that_names_the_arguments():
    other = CANCEL.model_copy(update={"arguments": {**CANCEL.arguments, "order_id": "#W1000003"}})
    messages = [*KNOWN, *agree(CANCEL), *call(other)]
    assert breaches(messages) == [("unconfirmed_write", 5)]
    assert evidence(messages) == "cancel_pending_order: not as listed in order_id"
    assert breaches([*messages, *call(CANCEL)]) == [("unconfirmed_write", 5)]


def test_the_arguments_that_were_not_listed_are_told_in_one_order():
    more = CANCEL.model_copy(update={"arguments": {**CANCEL.arguments, **dict.fromkeys("hgfedcba", 1)}})
    told = evidence([*KNOWN, *agree(CANCEL), *call(more)])
    assert told == "cancel_pending_order: not as listed in a, b, c, d, e, f, g, h"


def test_a_yes_covers_one_write():
    messages = [*KNOWN, *agree(CANCEL), *call(CANCEL), *user("hm"), *call(CANCEL)]
    assert breaches(messages) == [("unconfirmed_write", 8)]
    assert evidence(messages) == "cancel_pending_order: a yes covers one write, this is one more"


def test_a_refused_write_leaves_the_yes_for_another_try():
    assert breaches([*KNOWN, *agree(CANCEL), *call(CANCEL, "Error: busy", error=True), *call(CANCEL)]) == []


def test_a_no_to_the_same_listing_takes_the_yes_back():
    messages = [*KNOWN, *agree(CANCEL), *agree(CANCEL, "no, wait."), *call(CANCEL)]
    assert breaches(messages) == [("unconfirmed_write", 7)]


def test_a_listing_beside_a_call_was_never_heard():
    beside = read(words=act_text(Confirm(CANCEL)))
    messages = [*KNOWN, *beside, *user("yes"), *call(CANCEL)]
    assert breaches(messages) == [("call_beside_message", 3), ("unconfirmed_write", 6)]


def test_a_listing_in_free_words_covers_one_write_on_the_record_that_it_names():
    words = [*say("I would cancel W1000001, as you don't need it. This cannot be undone, shall I?"), *user("Yes, go")]
    assert breaches([*KNOWN, *words, *call(CANCEL)]) == []
    assert breaches([*KNOWN, *words, *call(RETURN)]) == [("unconfirmed_write", 5)]
    assert breaches([*KNOWN, *words, *call(CANCEL), *call(CANCEL, "again")]) == [("unconfirmed_write", 7)]


def test_a_call_beside_words_to_the_customer_is_a_breach():
    assert breaches([*KNOWN, *read(words="One moment.")]) == [("call_beside_message", 3)]
    assert breaches([*KNOWN, *read(words=" \n")]) == []


def test_thoughts_beside_a_call_are_no_words_to_the_customer():
    first, answer = read()
    assert breaches([*KNOWN, first.model_copy(update={"reasoning": "look at the order"}), answer]) == []


def test_an_answer_belongs_to_the_latest_call_of_its_id_and_the_first_answer_counts():
    unanswered, late = call(CANCEL), read("#W1000009", BOB)
    assert breaches([*KNOWN, unanswered[0], *late]) == [("other_user", 4)]
    assert breaches([*KNOWN, *late, late[1]]) == [("other_user", 3)]


def test_evidence_is_short_and_clean_text_whatever_an_argument_is_called():
    odd = CANCEL.model_copy(update={"arguments": {**CANCEL.arguments, "\ud800" * 500: 1}})
    text = evidence([*KNOWN, *agree(CANCEL), *call(odd)])
    assert text.startswith("cancel_pending_order: not as listed in ??") and len(text) == 160


def test_several_calls_in_one_turn_are_a_breach_and_each_is_judged():
    (one, first), (two, second) = read(id="c1"), read("#W1000009", BOB, id="c2")
    both = one.model_copy(update={"tool_calls": one.tool_calls + two.tool_calls})
    assert breaches([*KNOWN, both, second, first]) == [("parallel_calls", 3), ("other_user", 3)]


def test_the_same_call_with_the_same_answer_is_a_breach_at_its_second_turn():
    assert breaches([*KNOWN, *read(), *read("#W1000002"), *read()]) == [("repeated_call", 7)]


def test_the_same_call_after_a_word_of_the_customer_or_with_news_is_none():
    assert breaches([*KNOWN, *read(), *user("look again"), *read()]) == []
    shipped = call(Action(name="get_order_details", arguments={"order_id": "#W1000001"}), record(ANN, status="shipped"))
    assert breaches([*KNOWN, *read(), *shipped]) == []


def test_a_transfer_instead_of_the_write_that_was_just_agreed_to_is_a_breach():
    wish = user("my email is ann@lee.com. i want something unheard of.")
    messages = [*wish, *find("ann@lee.com", ANN), *agree(CANCEL), *call(TRANSFER)]
    assert breaches(messages) == [("needless_transfer", 5)]


def test_a_transfer_after_the_write_was_tried_or_after_further_words_is_not_judged():
    wish = user("my email is ann@lee.com. i want something unheard of.")
    known = [*wish, *find("ann@lee.com", ANN), *agree(CANCEL)]
    assert breaches([*known, *call(CANCEL, "Error: no", error=True), *call(TRANSFER)]) == []
    assert breaches([*known, *say("hm"), *user("let me talk to somebody"), *call(TRANSFER)]) == []


@pytest.mark.parametrize("said", ["hello", "and a discount, please.", "cancel it and give me a coupon."])
def test_a_transfer_is_not_judged_when_a_sentence_of_the_customer_is_not_understood(said: str):
    assert breaches([*user(said), *call(TRANSFER)]) == []
    assert breaches([*KNOWN, *say("hm"), *user(said), *call(TRANSFER)]) == []


class _Transfers:
    """Irritates the user in the given ways, then gives up."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)

    def act(self, messages):
        return say(self._texts.pop(0))[0] if self._texts else call(TRANSFER)[0]


def _played(task, policy) -> list[Message]:
    task = task.model_copy(update={"scenario": task.scenario.model_copy(update={"patience": 20})})
    base = DOMAIN.open_database(databases()[task.database_id])
    return run_episode(Episode(task, DOMAIN, base), policy).messages


def test_a_transfer_is_a_breach_on_every_task_but_those_that_ask_for_what_no_tool_serves():
    ways = [Ask("identity"), Ask("order"), Ask("variant"), Deny(), Done(), Confirm(CANCEL), Confirm(RETURN)]
    for task in tasks():
        gives_up = GivesUp(KIT.expert(task, DOMAIN.open_database(databases()[task.database_id])))
        for policy in (_Transfers(), _Transfers(*map(act_text, ways), "lovely weather"), gives_up):
            messages = _played(task, policy)
            expected = [] if task.criteria.transfer else [("needless_transfer", len(messages) - 2)]
            assert breaches(messages) == expected


class _Clumsy:
    """The expert with a stutter: now and then it does again what it did before, and forgets what it wrote."""

    def __init__(self, expert, seed: int) -> None:
        self._expert, self._rng, self._last = expert, Random(seed), None

    def act(self, messages):
        if self._last is None or self._rng.random() < 0.6 or messages[-1].role == "user":
            self._last = self._expert.act(messages)
        number = len(messages)
        calls = tuple(each.model_copy(update={"id": f"call-{number}"}) for each in self._last.tool_calls)
        return self._last.model_copy(update={"tool_calls": calls})


def test_the_monitor_finds_just_as_many_repeated_calls_as_the_reward_counts():
    scorer, total = Scorer(DOMAIN), 0
    for seed, task in enumerate(tasks()):
        base = DOMAIN.open_database(databases()[task.database_id])
        episode = Episode(task, DOMAIN, base)
        policy = _Clumsy(KIT.expert(task, base), seed)
        while episode.stop_reason is None and len(episode.messages) < 16:
            episode.step(policy.act(episode.messages))
        found = sum(rule == "repeated_call" for rule, _ in breaches(episode.messages))
        assert found == scorer.score(episode, 1).repeats
        total += found
    assert total > 100


def test_monitor_and_reward_take_the_same_words_of_the_scripted_user_for_a_yes():
    scorer = Scorer(DOMAIN)
    for task in tasks():
        for message in demonstrate("retail", databases(), task, scorer).messages:
            if message.role == "user":
                assert says_yes(message.content) == message.content.startswith("yes")


def test_the_machinery_serves_another_domain_whose_lookup_answers_with_a_record():
    library = RuleSpec(
        identifies=frozenset({"get_member"}),
        writes=frozenset({"extend_loan"}),
        transfers=frozenset({"call_librarian"}),
        without_data=frozenset(),
        owner="member",
        records={"loan": "loans"},
    )
    member = call(Action(name="get_member", arguments={"member": "m1"}), '{"member": "m1"}')
    extend = call(Action(name="extend_loan", arguments={"loan": "l7"}), '{"loan":"l7","member":"m2"}')
    found = monitor([*user("i am m1"), *member, *extend, *call(Action(name="call_librarian"))], library)
    assert [(breach.rule.value, breach.turn) for breach in found] == [("other_user", 3), ("unconfirmed_write", 3)]


def test_the_packaged_rules_know_every_tool_of_the_domain():
    named = RULES.identifies | RULES.writes | RULES.transfers | RULES.without_data
    reads = {schema["function"]["name"] for schema in DOMAIN.tool_schemas()} - named
    assert reads == {
        "get_item_details",
        "get_order_details",
        "get_product_details",
        "get_user_details",
        "list_all_product_types",
    }


@settings(max_examples=300, deadline=None)
@given(st.lists(messages_of(RULES), max_size=14), st.integers(0, 14))
def test_any_list_of_messages_is_judged_and_what_was_said_first_is_judged_without_the_rest(messages, cut: int):
    found = monitor(messages, RULES)
    assert [breach.turn for breach in found] == sorted(breach.turn for breach in found)
    assert all(messages[breach.turn].role == "assistant" and len(breach.evidence) <= 160 for breach in found)
    early = monitor(messages[:cut], RULES)
    assert found[: len(early)] == early


def test_arguments_that_no_text_can_spell_are_judged_too():
    endless = Action(name=CANCEL.name, arguments={"order_id": 10**6000})
    messages = [*KNOWN, *agree(CANCEL), *call(endless), *call(endless), *agree(RETURN), *call(endless)]
    assert breaches(messages) == [("unconfirmed_write", 5), ("unconfirmed_write", 7), ("unconfirmed_write", 11)]

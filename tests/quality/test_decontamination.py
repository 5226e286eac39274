"""Decontamination: entities and words of held-out tasks, found in whatever part of a task they hide."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_sim.word_grams import hashed_grams
from quality.decontamination import nearest, words_said
from quality.task_words import words_of
from schemas import Action, Criteria, Identity, PoolTask, Record, Task
from tests.quality.builders import make_task
from tests.quality.stored import ROUND, context_of, result_of

WORD = st.sampled_from(["return", "the", "red", "blanket", "of", "my", "order"])
WORDS = st.lists(WORD, max_size=12).map(" ".join)
LONG = "the parcel came late and the lamp in it was cracked from top to bottom so i want to send it back for money"


def worded(opening: str, first_name: str = "Mei", split: str = "train") -> Task:
    task = make_task(0, split)
    who = Identity(user_id=f"user_{split}0", first_name=first_name, last_name="Kovacs", zip="10001")
    scenario = task.scenario.model_copy(update={"opening": opening, "identity": who})
    return make_task(0, split, scenario=scenario)


def held(task: Task) -> dict:
    return {("validation_tasks", "bootstrap"): [make_task(7, "validation")], ("test_tasks", "bootstrap"): [task]}


def grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


@settings(deadline=None, max_examples=50)  # the first example imports the library
@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, min_size=1, max_size=4))
def test_the_nearest_is_that_of_a_plain_count(texts: list[str], others: list[str]) -> None:
    for text, (similar, place) in zip(texts, nearest(texts, others), strict=True):
        pairs = [(grams(text), grams(other)) for other in others]
        exact = [len(a & b) / len(a | b) if a | b else 0.0 for a, b in pairs]
        assert similar == pytest.approx(max(exact))
        assert exact[place] == pytest.approx(max(exact))


def test_a_long_text_copied_for_another_user_is_found_and_a_stock_phrase_is_not() -> None:
    copied = result_of(
        "decontaminated", "injected_tasks", [worded(LONG)], context_of(held(worded(LONG, "Ana", "test")))
    )
    assert not copied.passed and "of its words in common with" in copied.message and copied.bad_ids
    stock = "i lost my password"
    rows: list[Record] = [make_task(i) for i in range(100, 140)]
    apart = result_of(
        "decontaminated", "injected_tasks", [*rows, worded(stock)], context_of(held(worded(stock, "Ana", "test")))
    )
    assert apart.passed, apart.message
    assert apart.numbers["same_request_share"] == pytest.approx(1 / 41)
    often = result_of(
        "decontaminated", "injected_tasks", [worded(stock)], context_of(held(worded(stock, "Ana", "test")))
    )
    assert not often.passed and "100.0% of the tasks repeat a request" in often.message


@pytest.mark.parametrize(
    ("place", "name"),
    [("argument", "#Wtest0"), ("list", "itest0"), ("product", "ptest0"), ("words", "#Wtest0"), ("user", "user_test0")],
)
def test_an_entity_of_a_test_database_is_found_wherever_it_stands(place: str, name: str) -> None:
    task = make_task(0)
    actions = {
        "argument": Action(name="cancel_pending_order", arguments={"order_id": name}),
        "list": Action(name="return_items", arguments={"item_ids": ["1", name]}),
        "product": Action(name="get_product_details", arguments={"product_id": name}),
    }
    if place in actions:
        task = make_task(0, reference=(*task.reference, actions[place]))
    elif place == "words":
        task = worded(f"please cancel {name} for me")
    else:
        who = task.scenario.identity.model_copy(update={"user_id": name})
        task = make_task(0, scenario=task.scenario.model_copy(update={"identity": who}))
    result = result_of("decontaminated", "injected_tasks", [task], context_of(held(make_task(1, "test"))))
    assert not result.passed and result.bad_ids == (task.task_id,)
    assert f"names {name}, which is known from db-test0" in result.message


def test_the_same_number_as_product_and_as_item_is_no_overlap() -> None:
    action = Action(name="return_items", arguments={"item_ids": ["ptest0"]})
    task = make_task(0, reference=(*make_task(0).reference, action))
    assert result_of("decontaminated", "injected_tasks", [task], context_of(held(make_task(1, "test")))).passed


def test_an_entity_of_a_published_benchmark_is_found() -> None:
    action = Action(name="cancel_pending_order", arguments={"order_id": "#W9549057"})
    task = make_task(0, reference=(action,), criteria=Criteria(writes=(action,)))
    context = context_of(held(make_task(1, "test")), known_entity_ids=frozenset({"#W9549057"}))
    result = result_of("decontaminated", "injected_tasks", [task], context)
    assert not result.passed and "a published benchmark" in result.message


def test_the_pool_is_compared_too_and_nothing_to_compare_with_is_no_pass() -> None:
    rows = [PoolTask(task=worded(LONG), added_in=ROUND, weight=1)]
    assert not result_of("decontaminated", "task_pool", rows, context_of(held(worded(LONG, "Ana", "test")))).passed
    assert result_of("decontaminated", "task_pool", rows, context_of(held(make_task(3, "test")))).passed
    alone = result_of("decontaminated", "task_pool", rows, context_of({}))
    assert not alone.passed and "validation_tasks, test_tasks holds no tasks" in alone.message


def test_all_that_the_user_can_say_is_compared() -> None:
    said = words_said(worded("good day. hello."))
    for part in ("Mei", "Kovacs", "10001", "good day. hello.", "cancel it"):
        assert part in said
    task = worded("hello.")
    goal = task.scenario.goals[0].model_copy(update={"hesitation": "how long would it take?", "preferences": ("any.",)})
    hesitant = task.model_copy(update={"scenario": task.scenario.model_copy(update={"goals": (goal,)})})
    assert "how long would it take? any." in words_said(hesitant) and "take? any." in words_of(hesitant)


def test_a_task_in_a_published_benchmark_s_words_is_found_and_one_that_shares_a_phrase_is_not() -> None:
    stored = held(make_task(8, "test"))
    theirs = hashed_grams(LONG.upper())
    copied = result_of("decontaminated", "injected_tasks", [worded(LONG)], context_of(stored, known_grams=theirs))
    assert not copied.passed and "of its words from a published benchmark" in copied.message and copied.bad_ids
    own = (
        "i bought a kettle and a lamp last week but my sister has both so the parcel came late and may go back unopened"
    )
    phrase = result_of("decontaminated", "injected_tasks", [worded(own)], context_of(stored, known_grams=theirs))
    assert phrase.passed and 0 < phrase.numbers["max_published_share"] < 0.3

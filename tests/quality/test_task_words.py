"""Promises of near-duplicates and of vectors of words."""

import numpy as np
import pytest

from quality.embedding import FittedEmbedder, HashedEmbedder, unit_rows
from quality.task_words import DuplicateConfig, embeddings_of, find_pairs, without_duplicates, words_of
from schemas import PoolTask, Task
from schemas.derived import VECTOR_WIDTH
from tests.quality.builders import make_explanation, make_task

WORDS = "please cancel order with the kettle"


def said(task_id: str, opening: str, **changes: object) -> Task:
    task = make_task(0, **changes)
    scenario = task.scenario.model_copy(update={"opening": opening})
    return task.model_copy(update={"task_id": task_id, "scenario": scenario})


def test_the_same_wish_in_nearly_the_same_words_is_a_pair_and_the_earlier_task_is_kept() -> None:
    rounds = {"round-001": [said("t9", WORDS)], "round-002": [said("t1", f"hello {WORDS}"), said("t9", WORDS)]}
    (pair,) = find_pairs(rounds, DuplicateConfig())
    assert (pair.kept_id, pair.dropped_id, pair.method, pair.threshold) == ("t9", "t1", "words-jaccard/1", 0.7)
    assert pair.similarity == pytest.approx(7 / 8)


def test_the_same_words_with_another_wish_are_no_pair() -> None:
    other_user = make_task(0).scenario.identity.model_copy(update={"user_id": "someone_else"})
    second = said("t2", WORDS)
    second = second.model_copy(update={"scenario": second.scenario.model_copy(update={"identity": other_user})})
    assert find_pairs({"round-001": [said("t1", WORDS), second]}, DuplicateConfig()) == []
    assert (
        find_pairs({"round-001": [said("t1", WORDS), said("t2", WORDS, database_id="db-2")]}, DuplicateConfig()) == []
    )


def test_other_words_for_the_same_wish_stay() -> None:
    tasks = {"round-001": [said("t1", WORDS), said("t2", "i do not want this kettle any more")]}
    assert find_pairs(tasks, DuplicateConfig()) == []
    assert len(find_pairs(tasks, DuplicateConfig(threshold=0.1))) == 1


def test_pairs_do_not_depend_on_the_order_of_the_rows() -> None:
    tasks = [said(f"t{i}", f"{WORDS} {'now ' * (i % 2)}") for i in range(5)]
    pairs = find_pairs({"round-001": tasks}, DuplicateConfig())
    assert pairs == find_pairs({"round-001": tasks[::-1]}, DuplicateConfig())
    assert {pair.kept_id for pair in pairs} == {"t0"}
    assert len(pairs) == 4


def test_duplicates_leave_only_when_that_is_asked_for() -> None:
    tasks = {"round-001": [said("t1", WORDS)], "round-002": [said("t2", WORDS)]}
    assert without_duplicates(tasks, DuplicateConfig()) == tasks
    assert without_duplicates(tasks, DuplicateConfig(action="drop")) == {
        "round-001": tasks["round-001"],
        "round-002": [],
    }


def test_words_that_the_opening_holds_are_said_once() -> None:
    assert words_of(said("t1", "cancel it")) == "cancel it"
    assert words_of(said("t1", "hello")) == "hello cancel it"


def test_hashed_vectors_of_two_calls_can_be_compared() -> None:
    embed = HashedEmbedder()
    texts = ["the agent never asked which order", "the agent took the wrong address", "#W123 42"]
    together = embed(texts)
    np.testing.assert_array_equal(together, np.concatenate([embed([text]) for text in texts]))
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), [1, 1, 0])


@pytest.mark.parametrize(("width", "off"), [(2, 1e-12), (384, 1e-12), (1024, 0.2)])
def test_vectors_of_any_width_are_stored_with_their_cosines(width: int, off: float) -> None:
    """Cosines of projections of 384 numbers scatter by 0.05; of 300 pairs none is off by four times that."""
    vectors = np.random.default_rng(5).standard_normal((25, width))
    vectors[0] = 0
    fitted = FittedEmbedder(lambda texts: vectors[: len(texts)], "some/model")(["x"] * 25)
    assert fitted.shape == (25, VECTOR_WIDTH)
    np.testing.assert_allclose(np.linalg.norm(fitted, axis=1), [0] + [1] * 24)
    given = unit_rows(vectors)
    assert np.abs(fitted @ fitted.T - given @ given.T).max() < off


def test_projected_vectors_are_the_same_for_ever() -> None:
    """Stored ones must be comparable with those of a later library."""
    fitted = FittedEmbedder(lambda texts: np.eye(1, 500), "some/model")(["x"])[0]
    assert "".join("-" if number < 0 else "+" for number in fitted[:16]) == "++---+-+-+--+---"


def test_an_explanation_and_a_task_have_words_and_a_vector_each() -> None:
    task = PoolTask(task=said("t1", WORDS), added_in="round-001", weight=1.0)
    rows = embeddings_of([make_explanation(text="it never asked")], [task])
    assert [row.table for row in rows] == ["judge_explanations", "task_pool"]
    assert rows[0].text == "it never asked"
    assert rows[1].row_id == "t1" and rows[1].text.startswith(WORDS)
    assert embeddings_of([], []) == []

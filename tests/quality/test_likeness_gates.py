"""Gates on stored words, vectors and pairs: each has a round that passes and rounds that fail for one named reason."""

from collections.abc import Sequence

import pytest

from quality.task_words import DuplicateConfig, embeddings_of, find_pairs
from schemas import PoolTask, Record, Verdict
from schemas.derived import Embedding, NearDuplicate
from tests.quality.builders import make_explanation, make_task
from tests.quality.test_gates import ROUND, make_context, refused, verdict_of
from tests.quality.test_task_words import WORDS as WISH
from tests.quality.test_task_words import said

EXPLANATIONS = [
    make_explanation(0, text="it never asked which order"),
    make_explanation(1, text="it took the wrong one"),
]
POOL = [
    PoolTask(task=make_task(0), added_in=ROUND, weight=1.0),
    PoolTask(task=make_task(1), added_in="round-000", weight=1.0),
]
CONTEXT = make_context({"judge_explanations": EXPLANATIONS, "task_pool": POOL})
WORDS = embeddings_of(EXPLANATIONS, POOL[:1])

TWINS = [said("task-a", WISH), said("task-b", f"hello {WISH}")]
VERDICTS: Sequence[Record] = [
    *(Verdict(task=task, executable=True, reason="ok") for task in TWINS),
    Verdict(task=make_task(1), executable=False, reason="order is not pending"),
]
ACCEPTED = make_context({"executable_tasks": VERDICTS})
PAIRS = find_pairs({ROUND: TWINS}, DuplicateConfig(threshold=0.5))


def test_words_of_every_explanation_and_of_every_new_task_are_stored_as_they_are_now() -> None:
    assert verdict_of("words_current", "embeddings", WORDS, CONTEXT).passed
    assert "1 of 3 rows have no words" in refused("words_current", "embeddings", WORDS[:-1], CONTEXT)
    other = [WORDS[0].model_copy(update={"text": "other words"}), *WORDS[1:]]
    assert "other words than its row" in refused("words_current", "embeddings", other, CONTEXT)
    foreign = [*WORDS, WORDS[0].model_copy(update={"row_id": POOL[1].task.task_id})]
    assert "no explanation or new task" in refused("words_current", "embeddings", foreign, CONTEXT)


def test_vectors_are_of_one_model_and_of_length_one_or_zero() -> None:
    def changed(**changes: object) -> list[Embedding]:
        return [WORDS[0].model_copy(update=changes), *WORDS[1:]]

    assert verdict_of("vectors_comparable", "embeddings", WORDS).passed
    wordless = verdict_of("vectors_comparable", "embeddings", changed(vector=(0.0,) * len(WORDS[0].vector)))
    assert wordless.passed and wordless.numbers["wordless_share"] == pytest.approx(1 / 3)
    assert "one model" in refused("vectors_comparable", "embeddings", changed(model="other/1"))
    longer = tuple(2 * number for number in WORDS[0].vector)
    assert "length 2" in refused("vectors_comparable", "embeddings", changed(vector=longer))


def test_pairs_are_found_again_among_the_accepted_tasks_and_none_is_missing() -> None:
    def changed(**changes: object) -> list[NearDuplicate]:
        return [PAIRS[0].model_copy(update=changes)]

    assert len(PAIRS) == 1
    assert verdict_of("pairs_hold", "near_duplicates", PAIRS, ACCEPTED).passed
    assert verdict_of("pairs_hold", "near_duplicates", [], ACCEPTED).passed
    assert "not found again" in refused("pairs_hold", "near_duplicates", changed(similarity=0.99), ACCEPTED)
    assert "not found again" in refused("pairs_hold", "near_duplicates", changed(kept_id="gone"), ACCEPTED)
    lost = refused("pairs_hold", "near_duplicates", changed(dropped_id=TWINS[0].task_id), ACCEPTED)
    assert "1 pairs are missing" in lost
    mixed = [*PAIRS, PAIRS[0].model_copy(update={"threshold": 0.9})]
    assert "one threshold" in refused("pairs_hold", "near_duplicates", mixed, ACCEPTED)

"""Promises of the search: like finds like, by vector, by word and by both; filters hold; refusals say what to do."""

import numpy as np
import pytest

from schemas import ConfigError, WarehouseError
from schemas.derived import VECTOR_WIDTH, Embedding
from schemas.search import MIN_VECTORS, Mode, Query, index_vectors, search, stored_words
from schemas.store import Warehouse

MODEL = "planted/1"
PATTERNS = ("wrong_address", "ended_early", "lost_in_search")


def direction(pattern: int, noise: int) -> list[float]:
    """Vectors of one pattern point nearly the same way, those of two do not."""
    rng = np.random.default_rng([pattern, noise])
    vector = 0.02 * rng.standard_normal(VECTOR_WIDTH)
    vector[pattern] += 1
    return (vector / np.linalg.norm(vector)).astype(np.float32).tolist()


def planted(row: int, table: str = "judge_explanations", model: str = MODEL) -> Embedding:
    pattern = row % len(PATTERNS)
    text = f"the agent failed with {PATTERNS[pattern].replace('_', ' ')} in case number{row}"
    vector = tuple(direction(pattern, row))
    return Embedding(row_id=f"{PATTERNS[pattern]}-{row:02d}", table=table, model=model, text=text, vector=vector)


@pytest.fixture
def stored(warehouse: Warehouse) -> Warehouse:
    """Two rounds of explanations, some pool tasks, and vectors of another model."""
    warehouse.replace_round("embeddings", "round-001", [planted(row) for row in range(18)])
    others = [planted(row, table="task_pool") for row in range(3)] + [planted(row, model="other/1") for row in range(3)]
    warehouse.replace_round("embeddings", "round-002", [*(planted(row) for row in range(18, 24)), *others])
    return warehouse


def ask(mode: Mode = "vector", **changes: object) -> Query:
    fields = {"words": "lost in search", "vector": direction(2, 999), "mode": mode, "limit": 5} | changes
    return Query("judge_explanations", MODEL, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_the_rows_nearest_to_a_failure_are_of_its_pattern(stored: Warehouse, mode: Mode) -> None:
    hits = search(stored, ask(mode))
    assert len(hits) == 5
    assert all(hit.row_id.startswith("lost_in_search") for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_word_finds_the_row_that_no_vector_points_at(stored: Warehouse) -> None:
    assert [hit.row_id for hit in search(stored, ask("text", words="number21"))] == ["wrong_address-21"]
    assert "wrong_address-21" in {hit.row_id for hit in search(stored, ask("hybrid", words="number21"))}


def test_a_round_a_table_and_a_model_are_filters(stored: Warehouse) -> None:
    hits = search(stored, ask(round="round-002", limit=20))
    assert {hit.round for hit in hits} == {"round-002"}
    assert len(hits) == 6
    assert len(search(stored, Query("task_pool", MODEL, vector=direction(0, 1), mode="vector"))) == 3


def test_a_stored_row_is_compared_with_the_others(stored: Warehouse) -> None:
    text, vector = stored_words(stored, "judge_explanations", "ended_early-01", MODEL)
    hits = search(stored, ask("hybrid", words=text, vector=vector, without="ended_early-01"))
    assert len(hits) == 5
    assert {hit.row_id.split("-")[0] for hit in hits[:3]} == {"ended_early"}
    assert "ended_early-01" not in {hit.row_id for hit in hits}


def test_a_replaced_round_is_searched_as_it_is_now(stored: Warehouse) -> None:
    stored.replace_round("embeddings", "round-002", [planted(50)])
    for mode in ("text", "vector"):
        hits = search(stored, ask(mode, words="number50", round="round-002"))  # type: ignore[arg-type]
        assert [hit.row_id for hit in hits] == ["lost_in_search-50"]
    assert search(stored, ask("text", words="number21")) == []


def test_the_index_finds_what_comparing_all_finds(warehouse: Warehouse) -> None:
    assert index_vectors(warehouse) == 0
    rng = np.random.default_rng(7)
    rows = [
        Embedding(row_id=f"r{row:04d}", table="judge_explanations", model=MODEL, text="x", vector=tuple(vector))
        for row, vector in enumerate(rng.standard_normal((MIN_VECTORS, VECTOR_WIDTH)).tolist())
    ]
    warehouse.replace_round("embeddings", "round-001", rows)
    assert index_vectors(warehouse) == MIN_VECTORS
    for row in rows[::800]:
        indexed = search(warehouse, ask(vector=row.vector, limit=1))
        assert [hit.row_id for hit in indexed] == [row.row_id]
    exact = search(warehouse, ask(vector=rows[3].vector, limit=10, exact=True))
    assert exact[0].row_id == "r0003" and exact[0].score == pytest.approx(1, abs=1e-4)


def test_words_are_only_words(stored: Warehouse) -> None:
    for words in ('" OR 1=1 --', "it's", "a" * 5000, "naïve 数字"):
        search(stored, ask("hybrid", words=words))


def test_what_cannot_be_searched_is_refused_with_a_remedy(warehouse: Warehouse, stored: Warehouse) -> None:
    with pytest.raises(ConfigError, match=r"search\[rl_rollouts\]: expected one of judge_explanations, task_pool"):
        search(stored, Query("rl_rollouts", MODEL, "x"))
    with pytest.raises(ConfigError, match="expected a vector of 384 numbers, got 2"):
        search(stored, ask(vector=[1.0, 2.0]))
    with pytest.raises(ConfigError, match="expected words, got none"):
        search(stored, ask("text", words="  "))
    with pytest.raises(ConfigError, match="limit of 1 or more"):
        search(stored, ask(limit=0))
    with pytest.raises(WarehouseError, match=r"search\[like nobody\]: expected a row of judge_explanations"):
        stored_words(stored, "judge_explanations", "nobody", MODEL)


def test_vectors_of_another_model_are_refused_by_their_names_and_words_need_none(stored: Warehouse) -> None:
    foreign = {"words": "number21", "vector": direction(2, 999)}
    for mode in ("vector", "hybrid"):
        with pytest.raises(
            WarehouseError, match=r"of mine/1, got other/1 \(round-002\), planted/1 \(round-001, round-0"
        ):
            search(stored, Query("judge_explanations", "mine/1", **foreign, mode=mode))  # type: ignore[arg-type]
    hits = search(stored, Query("judge_explanations", "mine/1", words="number21", mode="text"))
    assert [hit.row_id for hit in hits] == ["wrong_address-21"]


def test_without_stored_vectors_the_asset_to_materialize_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="materialize the asset `embeddings`"):
        search(warehouse, ask())

"""What a task or an explanation says, as words to search by; and tasks that say the same twice.

A near-duplicate is the same wish in nearly the same words: equal world, user and required end, and a Jaccard
similarity of the distinct words of at least a threshold. Equal words alone are no duplicate here: "cancel order with
the kettle" by two users needs two different solutions. Cost grows with the tasks: only those of one wish are compared.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from quality.embedding import Embedder, HashedEmbedder, StoredEmbedder
from schemas import Explanation, PoolTask, Task
from schemas.derived import Embedding, NearDuplicate, SearchedTable

METHOD = "words-jaccard/1"


class DuplicateConfig(BaseModel):
    """Which tasks count as said twice, and what becomes of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=0.7, gt=0, le=1)
    """Share of the distinct words in common. At 0.7 pairs differed by a greeting or an e-mail address, at 0.6 by the
    verb: those teach another wording."""
    action: Literal["keep", "drop"] = "keep"
    """`keep` only writes the pairs down; `drop` leaves the later task of each pair out of the pool."""


def words_of(task: Task) -> str:
    """All that the user may say, once."""
    said = task.scenario.texts
    return " ".join(part for index, part in enumerate(said) if not any(part in before for before in said[:index]))


def embeddings_of(
    explanations: Sequence[Explanation], tasks: Sequence[PoolTask], embed: StoredEmbedder | None = None
) -> list[Embedding]:
    """Words and vectors of a round's explanations and of the tasks that it added."""
    embed = embed or HashedEmbedder()
    rows: list[tuple[SearchedTable, str, str]] = [
        ("judge_explanations", row.explanation_id, row.text) for row in explanations
    ]
    rows.extend(("task_pool", row.task.task_id, words_of(row.task)) for row in tasks)
    return [
        Embedding(row_id=key, table=table, model=embed.name, text=text, vector=tuple(vector))
        for (table, key, text), vector in zip(rows, _vectors(embed, [text for _, _, text in rows]), strict=True)
    ]


def find_pairs(tasks_by_round: Mapping[str, Iterable[Task]], config: DuplicateConfig) -> list[NearDuplicate]:
    """Pairs of tasks that say the same twice, each later task once, beside the kept one most like it.

    Args:
        tasks_by_round: Tasks by round, in the order of the rounds; of one round, ids decide who came first.
        config: The threshold.
    """
    kept: dict[tuple[str, str, str], list[tuple[str, frozenset[str]]]] = defaultdict(list)
    pairs: list[NearDuplicate] = []
    seen: set[str] = set()
    for tasks in tasks_by_round.values():
        for task in sorted(tasks, key=lambda task: task.task_id):
            if task.task_id in seen:
                continue
            seen.add(task.task_id)
            words = frozenset(words_of(task).lower().split())
            wish = (task.database_id, task.scenario.identity.user_id, task.criteria.model_dump_json())
            alike = [(_jaccard(words, other), key) for key, other in kept[wish]]
            similarity, key = max(alike, default=(0.0, ""))
            if similarity >= config.threshold:
                pairs.append(_pair(key, task.task_id, similarity, config))
            else:
                kept[wish].append((task.task_id, words))
    return pairs


def without_duplicates(tasks_by_round: Mapping[str, Sequence[Task]], config: DuplicateConfig) -> dict[str, list[Task]]:
    """The tasks that may enter the pool: all of them, unless duplicates are to be dropped."""
    if config.action == "keep":
        return {key: list(tasks) for key, tasks in tasks_by_round.items()}
    dropped = {pair.dropped_id for pair in find_pairs(tasks_by_round, config)}
    return {key: [task for task in tasks if task.task_id not in dropped] for key, tasks in tasks_by_round.items()}


def _vectors(embed: Embedder, texts: Sequence[str]) -> list[list[float]]:
    return embed(texts).tolist() if texts else []


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def _pair(kept_id: str, dropped_id: str, similarity: float, config: DuplicateConfig) -> NearDuplicate:
    return NearDuplicate(
        kept_id=kept_id, dropped_id=dropped_id, similarity=similarity, threshold=config.threshold, method=METHOD
    )

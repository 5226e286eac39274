"""Is nothing that we train on known from what we test on? Entities and words of tasks against the held-out ones.

Entities: no user, order, product or item of a validation or test database, nor of a published benchmark, may stand in
a training task, be it in its actions or in its words.

Words: two tasks are near-duplicates when their word 5-grams have a Jaccard similarity of at least
`GateLimits.near_duplicate` (0.8: about one word in ten differs). Compared is all that the user can say, the name, zip
code and e-mail address included. So a long text copied for another user is caught, and a stock phrase ("I lost my
password") is not: for another user in another database it is another task. How often a request is repeated word for
word is counted beside it and limited as a share. Exact, by a sparse product: 12,000 tasks against 500 in a second.
Measured on three finished loops: at most 0.63 between injected and held-out tasks, 0.68 for demonstrated ones. Of a
published benchmark the hashed 5-grams are known, so there counts which share of a task's own stands among them.

What it can't see: the same meaning in other words.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from env_sim.word_grams import N_WORDS, WORD, hashed_grams
from quality.gate import Check, Finding, GateContext, documented, rows_of
from quality.world_gates import stored_databases
from schemas import Action, DatabaseRow, PoolTask, Record, Task

HELD_OUT = ("validation_tasks", "test_tasks")
"""What training must not know."""
_LIKE_OTHERS = ("product", "item")
"""Kinds whose ids look like each other: numbers of ten digits."""


def words_said(task: Task) -> str:
    """All that the user can say, who it is included."""
    who = task.scenario.identity
    return " ".join([who.first_name, who.last_name, who.zip or "", who.email or "", request(task)])


def request(task: Task) -> str:
    """All that the user asks for and tells about it, in single spaces."""
    return " ".join(" ".join(task.scenario.texts).split())


def nearest(texts: Sequence[str], others: Sequence[str]) -> list[tuple[float, int]]:
    """For each text the Jaccard similarity of word 5-grams to the nearest of the others, and which one that is."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    found = [(0.0, 0)] * len(texts)
    if not any(len(re.findall(WORD, text)) >= N_WORDS for text in (*texts, *others)):
        return found
    grams = CountVectorizer(ngram_range=(N_WORDS, N_WORDS), token_pattern=WORD, binary=True)
    rows: Any = grams.fit_transform([*others, *texts])
    held, own = rows[: len(others)], rows[len(others) :]
    sizes, own_sizes = np.asarray(held.sum(axis=1)).ravel(), np.asarray(own.sum(axis=1)).ravel()
    shared = (own @ held.T).tocoo()
    similar = shared.data / (own_sizes[shared.row] + sizes[shared.col] - shared.data)
    for place in np.argsort(similar, kind="stable"):
        found[shared.row[place]] = (float(similar[place]), int(shared.col[place]))
    return found


def entities(task: Task) -> Iterator[tuple[str, str]]:
    """(kind, id) of all that the task may name; the kind is `product`, `item`, or empty where ids are unmistakable."""
    yield "", task.scenario.identity.user_id
    goals = task.scenario.goals
    wished = [action for goal in goals for action in (goal.action, goal.accepted) if action is not None]
    for action in (*task.reference, *task.criteria.writes, *wished):
        yield from _arguments(action)
    for word in re.findall(WORD, words_said(task)):
        yield "", word


def _arguments(action: Action) -> Iterator[tuple[str, str]]:
    for key, value in action.arguments.items():
        kind = next((kind for kind in _LIKE_OTHERS if kind in key), "")
        yield from ((kind, text) for text in _texts(value))


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _held_entities(databases: Iterable[DatabaseRow]) -> dict[tuple[str, str], str]:
    held: dict[tuple[str, str], str] = {}
    for row in databases:
        for kind in row.entities:
            named = kind.kind.removesuffix("_ids")
            held |= {(named if named in _LIKE_OTHERS else "", name): row.database_id for name in kind.ids}
    return held


def _shared_entities(tasks: Sequence[Task], context: GateContext, splits: Sequence[str]) -> dict[str, str]:
    """Task id -> the first foreign entity in it."""
    held = _held_entities(row for row in stored_databases(context).values() if row.split in splits)
    bad: dict[str, str] = {}
    for task in tasks:
        for kind, name in entities(task):
            where = "a published benchmark" if name in context.known_entity_ids else held.get((kind, name))
            if where:
                bad.setdefault(task.task_id, f"names {name}, which is known from {where}")
    return bad


@documented
def decontaminated(others: Sequence[str], splits: Sequence[str], *, required: bool = True) -> Check:
    """A gate: no task has an entity of these splits or of a published benchmark, nor the words of the other tasks.

    Args:
        others: Tables of tasks that these must not resemble.
        splits: Splits whose databases these must not touch.
        required: Whether the others must be stored by now. Validation and test tasks are written in any order: there
            the gate of the later one compares.
    """

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        tasks = rows_of([row.task if isinstance(row, PoolTask) else row for row in rows], Task)
        stored = {table: rows_of(context.read(table, None), Task) for table in others}
        missing = [table for table, held in stored.items() if not held and required]
        if missing:
            return Finding(problem=f"nothing to compare with: {', '.join(missing)} holds no tasks")
        held = [task for of_table in stored.values() for task in of_table]
        alike, numbers = _alike(tasks, held, context.limits.near_duplicate)
        problem = ""
        if numbers["same_request_share"] > context.limits.max_same_request_share:
            problem = f"{numbers['same_request_share']:.1%} of the tasks repeat a request of {' or '.join(others)}"
        published, share = _published(tasks, context)
        bad = {**alike, **published, **_shared_entities(tasks, context, splits)}
        return Finding(bad, problem, {**numbers, "max_published_share": share})

    return check


def _published(tasks: Sequence[Task], context: GateContext) -> tuple[dict[str, str], float]:
    """Task id -> how much of its words a published benchmark has, where that is too much; and the largest share."""
    bad: dict[str, str] = {}
    largest = 0.0
    for task in tasks:
        grams = hashed_grams(words_said(task))
        share = len(grams & context.known_grams) / max(1, len(grams))
        largest = max(largest, share)
        if share > context.limits.max_published_share:
            bad[task.task_id] = f"has {share:.0%} of its words from a published benchmark"
    return bad, largest


def _alike(tasks: Sequence[Task], held: Sequence[Task], limit: float) -> tuple[dict[str, str], Mapping[str, float]]:
    found = nearest([words_said(task) for task in tasks], [words_said(task) for task in held])
    bad = {
        task.task_id: f"has {similar:.0%} of its words in common with {held[place].task_id}"
        for task, (similar, place) in zip(tasks, found, strict=True)
        if similar >= limit
    }
    requests = {request(task).lower() for task in held}
    repeated = sum(request(task).lower() in requests for task in tasks) / max(1, len(tasks))
    highest = max((similar for similar, _ in found), default=0.0)
    return bad, {"n_compared": len(held), "max_similarity": highest, "same_request_share": repeated}

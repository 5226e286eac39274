"""Gates on rows computed from other rows' words: do vectors and pairs still say what those rows say?"""

from collections.abc import Sequence

from quality.gate import Finding, GateContext, rows_of
from quality.task_words import DuplicateConfig, find_pairs, words_of
from schemas import Explanation, PoolTask, Record, Task, Verdict
from schemas.derived import Embedding, NearDuplicate

_UNIT_TOLERANCE = 1e-3
"""Of a vector's length: 32 bits keep seven digits of each of its numbers."""


def words_current(rows: Sequence[Record], context: GateContext) -> Finding:
    """Every explanation and every new pool task of the round has its words once, as they are now."""
    said = {
        row.explanation_id: row.text for row in rows_of(context.read("judge_explanations", context.round), Explanation)
    }
    pool = rows_of(context.read("task_pool", context.round), PoolTask)
    said |= {row.task.task_id: words_of(row.task) for row in pool if row.added_in == context.round}
    stored = {row.row_id: row.text for row in rows_of(rows, Embedding)}
    bad = dict.fromkeys(stored.keys() - said.keys(), "is no explanation or new task of the round")
    bad |= {key: "has other words than its row" for key in stored.keys() & said.keys() if stored[key] != said[key]}
    missing = sorted(said.keys() - stored.keys())
    problem = f"{len(missing)} of {len(said)} rows have no words (first: {missing[0]})" if missing else ""
    return Finding(bad, problem, {"n_rows_with_words": len(said)})


def vectors_comparable(rows: Sequence[Record], context: GateContext) -> Finding:
    """All vectors are of one model, of length 1 or all zero: cosines between them mean something."""
    typed = rows_of(rows, Embedding)
    lengths = {row.row_id: sum(number * number for number in row.vector) ** 0.5 for row in typed}
    bad = {
        key: f"has a vector of length {length:.4g}"
        for key, length in lengths.items()
        if not (length == 0 or abs(length - 1) <= _UNIT_TOLERANCE)
    }
    models = sorted({row.model for row in typed})
    problem = f"expected vectors of one model, got {', '.join(models)}" if len(models) > 1 else ""
    wordless = sum(length == 0 for length in lengths.values()) / max(1, len(lengths))
    return Finding(bad, problem, {"wordless_share": wordless})


def pairs_hold(rows: Sequence[Record], context: GateContext) -> Finding:
    """Every pair is found again among the accepted tasks of the rounds so far, and no other at its threshold."""
    pairs = rows_of(rows, NearDuplicate)
    if not pairs:
        return Finding()
    thresholds = {pair.threshold for pair in pairs}
    if len(thresholds) > 1:
        return Finding(problem=f"expected one threshold, got {sorted(thresholds)}")
    accepted = {key: _accepted(context, key) for key in context.rounds or (context.round,)}
    found = {pair.dropped_id: pair for pair in find_pairs(accepted, DuplicateConfig(threshold=thresholds.pop()))}
    bad = {
        pair.dropped_id: "is not found again with this twin and likeness"
        for pair in pairs
        if pair != found.pop(pair.dropped_id, None)
    }
    problem = f"{len(found)} pairs are missing (first: {min(found)})" if found else ""
    return Finding(bad, problem, {"n_pairs": len(pairs)})


def _accepted(context: GateContext, round: str) -> list[Task]:
    return [row.task for row in rows_of(context.read("executable_tasks", round), Verdict) if row.executable]

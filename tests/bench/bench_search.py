"""Search over many stored vectors: how long it takes, and how much of the exact answer the index finds.

Part of `python -m tests.bench.bench_warehouse`. Recall counts a row as found when it is as near as the exact tenth.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

from quality.embedding import HashedEmbedder
from schemas.derived import VECTOR_WIDTH
from schemas.search import Hit, Mode, Query, index_vectors, search
from schemas.store import Warehouse
from tests.bench import rows as bench_rows

N_QUERIES = 50
NEAR = 1e-5


def search_costs(root: Path, n: int) -> str:
    """A Markdown table of the modes over n pool tasks."""
    warehouse, embed = Warehouse.open(root), HashedEmbedder()
    tasks = bench_rows.pool_rows(np.arange(n), 3)
    texts = tasks.column("scenario").combine_chunks().field("opening").to_pylist()
    started = time.perf_counter()
    vectors = np.concatenate([embed(texts[start : start + 5000]).astype(np.float32) for start in range(0, n, 5000)])
    embed_s = time.perf_counter() - started
    warehouse.replace_round("embeddings", "round-001", _rows(tasks.column("task_id"), texts, vectors, embed.name))
    picks = np.random.default_rng(1).choice(n, N_QUERIES, replace=False)

    def ask(mode: Mode, exact: bool) -> Callable[[int], list[Hit]]:
        def asked(row: int) -> list[Hit]:
            return search(
                warehouse, Query("task_pool", embed.name, texts[row], vectors[row].tolist(), mode, exact=exact)
            )

        return asked

    exact_ms, exact = _timed(ask("vector", True), picks)
    started = time.perf_counter()
    index_vectors(warehouse)
    build_s = time.perf_counter() - started
    index_ms, found = _timed(ask("vector", False), picks)
    recall = np.mean([_recall(hits, truth) for hits, truth in zip(found, exact, strict=True)])
    text_ms, _ = _timed(ask("text", False), picks)
    hybrid_ms, _ = _timed(ask("hybrid", False), picks)
    return "\n".join(
        [
            f"| search over {n:,} vectors of {VECTOR_WIDTH} numbers | ms, median | recall@10 |",
            "|---|---:|---:|",
            f"| vectors, exact | {exact_ms:,.1f} | 1 |",
            f"| vectors, index | {index_ms:,.1f} | {recall:.3f} (goal 0.95) |",
            f"| words (BM25) | {text_ms:,.1f} | |",
            f"| hybrid | {hybrid_ms:,.1f} | |",
            "",
            f"Embedding took {1e6 * embed_s / n:,.0f} us a text, the index of the vectors {build_s:,.1f} s.",
        ]
    )


def _rows(ids: pa.ChunkedArray, texts: list[str], vectors: np.ndarray, model: str) -> pa.Table:
    columns = {
        "row_id": ids,
        "table": pa.repeat("task_pool", len(texts)),
        "model": pa.repeat(model, len(texts)),
        "text": pa.array(texts),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), VECTOR_WIDTH),
    }
    return pa.table(columns)


def _timed(ask: Callable[[int], list[Hit]], picks: np.ndarray) -> tuple[float, list[list[Hit]]]:
    """Median milliseconds, and the answers; the first question, which loads the index, is asked twice."""
    ask(int(picks[0]))
    times, answers = [], []
    for row in picks:
        started = time.perf_counter()
        answers.append(ask(int(row)))
        times.append(time.perf_counter() - started)
    return 1e3 * median(times), answers


def _recall(hits: list[Hit], truth: list[Hit]) -> float:
    return sum(hit.score >= truth[-1].score - NEAR for hit in hits) / len(truth)

"""Rows like this one: by the meaning of their words, by the words themselves, or by both.

Searches the table `embeddings` through LanceDB: nearest vectors by cosine, BM25 over the words, and both ranks fused
(reciprocal rank fusion). Makes no vectors: whoever asks brings one of the stored model. Vectors are compared one by
one, which is exact, until `index_vectors` has made an index. For people: gates are not asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from schemas.columns import ROUND, TABLES
from schemas.derived import VECTOR_WIDTH, SearchedTable
from schemas.errors import ConfigError, WarehouseError
from schemas.lance_table import LanceTable
from schemas.snapshot import equal
from schemas.store import Warehouse

__all__ = ["MODES", "SEARCHED", "Hit", "Mode", "Query", "index_vectors", "search", "stored_models", "stored_words"]

Mode = Literal["vector", "text", "hybrid"]
MODES: tuple[Mode, ...] = ("vector", "text", "hybrid")

EMBEDDINGS = "embeddings"

SEARCHED: tuple[SearchedTable, ...] = get_args(SearchedTable)
"""Tables whose rows have words in `embeddings`."""

N_PARTITIONS = 256
"""Cells of the vector index."""
N_PROBES = 40
"""Cells that a search visits. On 100,000 vectors recall@10 was 0.92 with 10, 0.96 with 20 and 0.99 with 40; even the
last took a hundredth of the time of comparing all."""

MIN_VECTORS = 10 * N_PARTITIONS
"""Below, an index has too few vectors to learn its cells from, and comparing all takes a few milliseconds."""


@dataclass(frozen=True)
class Query:
    """What to look for, and where."""

    table: str
    model: str
    """Of the stored vectors, and of the one given."""
    words: str = ""
    """For the modes text and hybrid."""
    vector: Sequence[float] = ()
    """For the modes vector and hybrid."""
    mode: Mode = "hybrid"
    round: str | None = None
    """Only rows of this round; of the pool, tasks that it added. None for all."""
    limit: int = 10
    exact: bool = False
    """Compare every vector although there is an index."""
    without: str | None = None
    """A row to leave out: the one that others are compared with."""


@dataclass(frozen=True)
class Hit:
    """One row that was found."""

    round: str
    row_id: str
    text: str
    score: float
    """Larger is nearer: cosine (vector), BM25 (text) or the sum of reciprocal ranks (hybrid)."""


def search(warehouse: Warehouse, query: Query) -> list[Hit]:
    """The rows nearest to a query, nearest first.

    Raises:
        ConfigError: When the query lacks what its mode needs, or names a table without words.
        WarehouseError: When nothing is stored to search in, or vectors of other models are.
    """
    _check(query)
    if not warehouse.version(EMBEDDINGS):
        raise WarehouseError(
            f"search[{query.table}]: expected stored vectors, got none; materialize the asset `embeddings`"
        )
    if query.mode != "text" and query.model not in (others := stored_models(warehouse, query.table, query.round)):
        whose = ", ".join(f"{model} ({', '.join(rounds)})" for model, rounds in others.items()) or "none"
        raise WarehouseError(
            f"search[{query.table}]: expected vectors of {query.model}, got {whose}; embed a round anew "
            "(python -m jobs again embeddings --round N), or search by --mode text"
        )
    found = _plan(warehouse, query).to_arrow().to_pylist()
    hits = [Hit(row[ROUND], row["row_id"], row["text"], _score(row)) for row in found]
    hits.sort(key=lambda hit: (-hit.score, hit.row_id))
    return hits[: query.limit]


def stored_words(warehouse: Warehouse, table: str, row_id: str, model: str) -> tuple[str, list[float]]:
    """Words and vector of a stored row, to look for others like it.

    Raises:
        WarehouseError: When the row has none.
    """
    where = {"row_id": [row_id], "table": [table], "model": [model]}
    rows = warehouse.find(EMBEDDINGS, where, ["text", "vector"]).to_pylist()
    if not rows:
        raise WarehouseError(
            f"search[like {row_id}]: expected a row of {table} that has a vector of {model}, got none; "
            "look ids up with `python -m schemas.query`, or materialize the asset `embeddings`"
        )
    return rows[-1]["text"], rows[-1]["vector"]


def stored_models(warehouse: Warehouse, table: str, round: str | None = None) -> dict[str, list[str]]:
    """Whose vectors a table's rows have: rounds by the embedder's name."""
    where = {"table": [table], **({ROUND: [round]} if round else {})}
    pairs = warehouse.find(EMBEDDINGS, where, [ROUND, "model"]).group_by([ROUND, "model"]).aggregate([]).to_pylist()
    found: dict[str, list[str]] = {}
    for pair in sorted(pairs, key=lambda pair: (pair["model"], pair[ROUND])):
        found.setdefault(pair["model"], []).append(pair[ROUND])
    return found


def index_vectors(warehouse: Warehouse) -> int:
    """Make the vector index anew over all rows; returns how many there are, indexed or too few to be.

    Takes 5 to 10 s for 100,000 vectors. Rows written later are found too, by comparing each.
    """
    snapshot = LanceTable(warehouse.root, TABLES[EMBEDDINGS]).snapshot()
    n_rows = snapshot.dataset.count_rows() if snapshot else 0
    if snapshot and n_rows >= MIN_VECTORS:
        snapshot.dataset.create_index("vector", "IVF_FLAT", metric="cosine", num_partitions=N_PARTITIONS, replace=True)
    return n_rows


def _check(query: Query) -> None:
    if query.table not in SEARCHED:
        raise ConfigError(f"search[{query.table}]: expected one of {', '.join(SEARCHED)}, got another; give one")
    if query.mode != "text" and len(query.vector) != VECTOR_WIDTH:
        raise ConfigError(
            f"search[{query.table}]: expected a vector of {VECTOR_WIDTH} numbers, got {len(query.vector)}; "
            "embed the words with the stored model"
        )
    if query.mode != "vector" and not query.words.strip():
        raise ConfigError(f"search[{query.table}]: expected words, got none; give some, or search by vector")
    if query.limit < 1:
        raise ConfigError(f"search[{query.table}]: expected a limit of 1 or more, got {query.limit}; raise it")


def _plan(warehouse: Warehouse, query: Query) -> Any:
    """The search as LanceDB runs it, built and not yet run."""
    # Two seconds to import: only who searches waits for it.
    import lancedb
    from lancedb.rerankers import RRFReranker

    # LanceDB's builders have a class per kind of search, which its types don't tell apart.
    plan: Any
    table = lancedb.connect(warehouse.root).open_table(EMBEDDINGS)
    if query.mode == "text":
        plan = table.search(query.words, query_type="fts", fts_columns="text")
    elif query.mode == "vector":
        plan = table.search(list(query.vector), query_type="vector", vector_column_name="vector")
    else:
        plan = table.search(query_type="hybrid", vector_column_name="vector", fts_columns="text")
        plan = plan.vector(list(query.vector)).text(query.words).rerank(RRFReranker())
    if query.mode != "text":
        plan = plan.distance_type("cosine").nprobes(N_PROBES)
        plan = plan.bypass_vector_index() if query.exact else plan
    wanted = [equal("table", query.table)]
    wanted += [equal("model", query.model)] if query.mode != "text" else []
    wanted += [equal(ROUND, query.round)] if query.round else []
    wanted += [f"NOT {equal('row_id', query.without)}"] if query.without else []
    return plan.where(" AND ".join(wanted), prefilter=True).limit(query.limit)


def _score(row: dict[str, Any]) -> float:
    for name in ("_relevance_score", "_score"):
        if row.get(name) is not None:
            return float(row[name])
    return 1 - float(row["_distance"])

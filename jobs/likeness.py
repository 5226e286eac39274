"""Search by meaning from a terminal: the embedder of `quality` makes the vector that `schemas.search` looks for."""

from pathlib import Path

from quality.embedding import HashedEmbedder
from schemas import ConfigError
from schemas.search import Mode, Query, search, stored_words
from schemas.terminal import existing_warehouse

__all__ = ["found_text"]


def found_text(
    root: str | Path, table: str, words: str | None, like: str | None, mode: Mode, round: str | None, limit: int
) -> str:
    """The nearest rows of a table, one a line, nearest first.

    Raises:
        ConfigError: When not just one of words and a row to compare with is given.
        WarehouseError: As the search does.
    """
    if (words is None) == (like is None):
        raise ConfigError(
            f"search[{table}]: expected words or --like ID, got {'both' if words else 'neither'}; give one"
        )
    warehouse, embed = existing_warehouse(str(root)), HashedEmbedder()
    if like is not None:
        text, vector = stored_words(warehouse, table, like, embed.name)
    else:
        text, vector = str(words), embed([str(words)])[0].tolist()
    query = Query(table, embed.name, text, vector, mode, round, limit, without=like)
    lines = [
        f"{hit.score:7.4f}  {hit.round:<10} {hit.row_id:<26} {_one_line(hit.text)}" for hit in search(warehouse, query)
    ]
    return "\n".join([f"{table} like: {_one_line(text)}", *(lines or ["nothing was found"])])


def _one_line(words: str) -> str:
    """Words of a policy or a user are data: one line of them, without control characters."""
    return "".join(char if char.isprintable() else " " for char in " ".join(words.split()))[:160]

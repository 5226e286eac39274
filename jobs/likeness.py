"""Search by meaning from a terminal: the profile's embedder makes the vector that `schemas.search` looks for."""

from pathlib import Path

from assets.model_calls import ModelCalls
from assets.profile import load_profile, stored_profile
from assets.roles import stored_embedder
from schemas import BOOTSTRAP, ConfigError
from schemas.search import Mode, Query, search, stored_models, stored_words
from schemas.terminal import existing_warehouse

__all__ = ["found_text"]


def found_text(
    root: str | Path, table: str, words: str | None, like: str | None, mode: Mode, round: str | None, limit: int
) -> str:
    """The nearest rows of a table, one a line, nearest first.

    Raises:
        ConfigError: When not just one of words and a row to compare with is given.
        ChatError: When the profile's embedder is at an endpoint that gives no vector.
        WarehouseError: As the search does.
    """
    if (words is None) == (like is None):
        raise ConfigError(
            f"search[{table}]: expected words or --like ID, got {'both' if words else 'neither'}; give one"
        )
    warehouse = existing_warehouse(str(root))
    with ModelCalls(warehouse.root, BOOTSTRAP, "search") as calls:
        embed = stored_embedder(stored_profile(warehouse.root) or load_profile("embedded"), calls)
        if like is not None:
            text, vector = stored_words(warehouse, table, like, embed.name)
        else:
            text, vector = str(words), embed([str(words)])[0].tolist() if mode != "text" else ()
    query = Query(table, embed.name, text, vector, mode, round, limit, without=like)
    lines = [
        f"{hit.score:7.4f}  {hit.round:<10} {hit.row_id:<26} {_one_line(hit.text)}" for hit in search(warehouse, query)
    ]
    others = {} if mode == "text" else stored_models(warehouse, table, round)
    left_out = [f"not searched: {', '.join(rounds)}, whose vectors are of {model}"
                for model, rounds in others.items() if model != embed.name]  # fmt: skip
    return "\n".join([f"{table} like: {_one_line(text)}", *(lines or ["nothing was found"]), *left_out])


def _one_line(words: str) -> str:
    """Words of a policy or a user are data: one line of them, without control characters."""
    return "".join(char if char.isprintable() else " " for char in " ".join(words.split()))[:160]

"""Rows computed from other rows: vectors to search by, and pairs of tasks that say the same twice."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.records import Bits, Name, Record, Share, Unit

__all__ = ["VECTOR_WIDTH", "Embedding", "NearDuplicate", "SearchedTable"]

SearchedTable = Literal["judge_explanations", "task_pool"]
"""Tables whose rows have words to search by."""

VECTOR_WIDTH = 384
"""Numbers in a stored vector, the width of the common small sentence encoders; another needs a new schema version."""


class Embedding(Record):
    """The words of one stored row, and a model's vector of them."""

    row_id: Name
    """Id of the row in its table."""
    table: SearchedTable
    """Table of the row."""
    model: Name
    """Name and version of the embedder; only vectors of one model can be compared."""
    text: str
    """The words that people search."""
    vector: tuple[Annotated[float, Unit("1"), Bits(32)], ...] = Field(min_length=VECTOR_WIDTH, max_length=VECTOR_WIDTH)
    """Of length 1 or all zero; kept in 32 bits."""


class NearDuplicate(Record):
    """Two tasks that ask for the same in nearly the same words."""

    dropped_id: Name
    """The task that removal, when it is on, leaves out of the pool."""
    kept_id: Name
    """The task that came first: in the earlier round, then by id."""
    similarity: Share
    """As the method measures it."""
    threshold: Share
    """From which similarity a pair was kept."""
    method: Name
    """Name and version of the measure."""

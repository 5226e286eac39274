"""Rows computed from other rows: vectors to search by, and pairs of tasks that say the same twice."""

from pydantic import Field

from schemas.records import Name, Record

__all__ = ["VECTOR_WIDTH", "Embedding", "NearDuplicate"]

VECTOR_WIDTH = 384
"""Numbers in a stored vector, the width of the common small sentence encoders; another needs a new schema version."""


class Embedding(Record):
    """The words of one stored row, and a model's vector of them."""

    row_id: Name
    """Id of the row in its table."""
    table: Name
    """Table of the row: judge_explanations or task_pool."""
    model: Name
    """Name and version of the embedder; only vectors of one model can be compared."""
    text: str
    """The words that people search."""
    vector: tuple[float, ...] = Field(min_length=VECTOR_WIDTH, max_length=VECTOR_WIDTH)
    """Of length 1 or all zero; kept in 32 bits."""


class NearDuplicate(Record):
    """Two tasks that ask for the same in nearly the same words."""

    kept_id: Name
    """The task that came first: in the earlier round, then by id."""
    dropped_id: Name
    """The task that removal, when it is on, leaves out of the pool."""
    similarity: float = Field(ge=0, le=1)
    """As the method measures it."""
    threshold: float = Field(ge=0, le=1)
    """From which similarity a pair was kept."""
    method: Name
    """Name and version of the measure."""

"""Lance's untyped errors, told apart by their words: the disk or the object store refuses, or a file is damaged.

pylance raises OSError, ValueError and RuntimeError for everything. What isn't recognised here counts as damage when
it comes up in reading, because a file that Lance can't make sense of gives it no words of its own.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lance.commit import CommitConflictError

from schemas.errors import WarehouseError

__all__ = ["LANCE_ERRORS", "cause", "is_conflict", "no_panic", "refusal"]

LANCE_ERRORS = (OSError, ValueError, RuntimeError)
"""What pylance raises: it has no error class of its own but CommitConflictError."""

_CONFLICT = re.compile(r"Incompatible transaction|Retryable commit conflict|Too much write contention")

_REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"no space left|disk quota|file too large|os error (28|122|27)\b", re.IGNORECASE),
        "free some space, then write again; the round is as it was",
    ),
    (
        re.compile(r"read-only file system|permission denied|operation not permitted", re.IGNORECASE),
        "make the folder writable for this user, or write to another root; the round is as it was",
    ),
    (re.compile(r"NoSuchBucket"), "create the bucket, or give another root"),
    (
        re.compile(r"AccessDenied|SignatureDoesNotMatch|InvalidAccessKeyId|Forbidden|Unauthorized"),
        "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
    ),
    (
        re.compile(r"error sending request|connection (refused|reset)|timed out|dns error|CredentialsError"),
        "check AWS_ENDPOINT_URL, AWS_REGION and that the object store answers",
    ),
)


def refusal(attempt: str, error: BaseException) -> WarehouseError | None:
    """The error to raise when the disk or the object store refused, None when these are not its words.

    Args:
        attempt: What was attempted, on which table, round and path: `table[round]: expected to ... at ...`.
        error: What Lance raised.
    """
    for words, advice in _REFUSALS:
        if words.search(str(error)):
            return WarehouseError(f"{attempt}, got {cause(error)}; {advice}")
    return None


def cause(error: BaseException) -> str:
    """Lance's words in one line, without the place in its source and without a server's XML."""
    text = re.sub(r", \S+\.rs:\d+:\d+", "", str(error))
    if answer := re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", text, re.DOTALL):
        return f"{answer[1]}: {answer[2]}"
    return " ".join(text.split())


def is_conflict(error: BaseException) -> bool:
    """Whether another writer's commit came first; a compaction or a config key that loses raises a bare OSError."""
    return isinstance(error, CommitConflictError) or _CONFLICT.search(str(error)) is not None


@contextmanager
def no_panic() -> Iterator[None]:
    """Make a panic of Lance's Rust side, as some damaged manifests cause, a RuntimeError; it is no Exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuntimeError(str(error)) from error

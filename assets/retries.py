"""Retries: only what may pass is tried again.

A retry policy on a job would repeat every failure, and a wrong setting or a refused gate costs hours before it is seen.
So the decision is at the error: a `TransientError` asks Dagster for the step again, anything else fails it at once.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import dagster as dg

from schemas import TransientError

__all__ = ["MAX_RETRIES", "WAIT_S", "retried"]

MAX_RETRIES = 3
"""Attempts after the first: a busy writer or endpoint is free again within seconds, or a person must look."""
WAIT_S = 2.0
"""Seconds before an attempt; a round's commit takes 0.02 s."""

F = TypeVar("F", bound=Callable[..., Any])


def retried(body: F) -> F:
    """The body of an asset or check, which Dagster runs again after a TransientError."""
    if inspect.isgeneratorfunction(body):

        @functools.wraps(body)
        def attempt_each(*args: Any, **inputs: Any) -> Iterator[Any]:
            try:
                yield from body(*args, **inputs)
            except TransientError as error:
                raise _again() from error

        return attempt_each  # type: ignore[return-value]

    @functools.wraps(body)
    def attempt(*args: Any, **inputs: Any) -> Any:
        try:
            return body(*args, **inputs)
        except TransientError as error:
            raise _again() from error

    return attempt  # type: ignore[return-value]


def _again() -> dg.RetryRequested:
    return dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=WAIT_S)

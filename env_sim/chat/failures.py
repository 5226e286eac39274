"""What went wrong at an endpoint: whether asking again helps, how long to wait before, what the row says."""

import contextlib
import json
import time
from email.utils import parsedate_to_datetime
from random import Random

import httpx2
import openai

from env_sim.chat.http import Answer, LateAnswerError
from schemas.errors import ChatError, ContextOverflowError, EndpointUnavailableError
from schemas.llm_calls import LlmOutcome

__all__ = ["FAILURES", "is_overflow", "is_transient", "outcome_of", "pause_s", "status_error"]

FAILURES = (openai.APIStatusError, OSError)
"""What a call may end with, beside its answer: the server's no, or what `Connections` raises."""

_OVERFLOW = ("context_length_exceeded", "maximum context length", "maximum model length", "context window")
_SPENT = ("insufficient_quota", "billing")
"""429s that no waiting mends."""


def status_error(answer: Answer) -> openai.APIStatusError:
    """The package's error of an answer that is none."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        body = answer.body.decode(errors="replace")
    told = body.get("error", body) if isinstance(body, dict) else body
    location = answer.headers.get(b"location")
    where = f" to {location.decode('latin-1')}" if location else ""
    kind = _KINDS.get(answer.status, openai.InternalServerError if answer.status >= 500 else openai.APIStatusError)
    request = httpx2.Request("POST", "http://endpoint")
    response = httpx2.Response(answer.status, headers=list(answer.headers.items()), request=request)
    return kind(f"Error code: {answer.status}{where} - {body}", response=response, body=told)


_KINDS = {400: openai.BadRequestError, 429: openai.RateLimitError}


def is_transient(error: BaseException) -> bool:
    """Whether the same request may fare better: 429 but for spent quotas, 5xx, lost connections."""
    if isinstance(error, openai.RateLimitError):
        return not _says(error, _SPENT)
    # An answer that is late may be under way, and would be paid for twice.
    return isinstance(error, (openai.InternalServerError, OSError)) and not isinstance(error, LateAnswerError)


def is_overflow(error: BaseException) -> bool:
    """Whether a prompt was longer than the context window."""
    return isinstance(error, openai.BadRequestError) and _says(error, _OVERFLOW)


def _says(error: openai.APIStatusError, marks: tuple[str, ...]) -> bool:
    said = f"{error.code} {error}".lower()
    return any(mark in said for mark in marks)


def pause_s(error: BaseException, n_retries: int, jitter: Random) -> float:
    """Seconds: what the server asks for, else doubling from half a second; in both cases up to a quarter more."""
    asked = _retry_after_s(error.response.headers) if isinstance(error, openai.APIStatusError) else None
    return (min(0.5 * 2**n_retries, 32.0) if asked is None else asked) * (1 + jitter.random() / 4)


def _retry_after_s(headers: httpx2.Headers) -> float | None:
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        with contextlib.suppress(ValueError):
            return max(0.0, float(headers.get(name, "")) * scale)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    return None


def outcome_of(error: ChatError) -> LlmOutcome:
    """What the row of a failed call says."""
    if isinstance(error, ContextOverflowError):
        return LlmOutcome.CONTEXT_OVERFLOW
    return LlmOutcome.UNAVAILABLE if isinstance(error, EndpointUnavailableError) else LlmOutcome.REFUSED

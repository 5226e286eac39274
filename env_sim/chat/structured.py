"""Replies that must fit a schema: asked for, parsed, checked, repaired a bounded number of times, never dropped.

A reply that never fits comes back as an `Answer` with `parse_error`, for the caller to keep as a row. Text is parsed
as JSON and nothing else.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from env_sim.chat.client import ChatModel, ChatRequest
from env_sim.chat.wire import ChatReply, defang

__all__ = ["Answer", "ask", "response_format"]

MAX_REPLY_CHARS = 200_000
"""Of a structured reply; parsing more would only serve an attack."""

T = TypeVar("T", bound=BaseModel)
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)```", re.S)


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came of a structured question."""

    value: T | None
    """None when no reply fitted."""
    parse_error: str
    """Why the last reply didn't fit, empty when it did."""
    reply: ChatReply
    """The last reply."""
    n_repairs: int
    """How often the model was shown its error."""


def response_format(kind: type[BaseModel], how: str) -> dict[str, Any] | None:
    """The protocol's field that asks for a schema; `how` as in `Endpoint.output`."""
    if how == "text":
        return None
    if how == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": kind.__name__, "schema": kind.model_json_schema()}}


async def ask(
    model: ChatModel,
    request: ChatRequest,
    kind: type[T],
    *,
    repairs: int = 2,
    check: Callable[[T], str] = lambda value: "",
) -> Answer[T]:
    """Ask until a reply fits, at most `repairs` times more than once.

    Args:
        model: Who is asked.
        request: What is asked; its `response_format` should name the schema.
        kind: The schema.
        repairs: How often the model is shown what is wrong.
        check: What the schema can't say: the problem with a value, empty when it is fine.

    Raises:
        ChatError: When there is no reply at all.
    """
    for n_repairs in range(repairs + 1):
        reply = await model.complete(request)
        value, problem = parse(reply.content, kind)
        if value is not None and (problem := check(value)):
            value = None
        if value is not None or n_repairs == repairs:
            return Answer(value, problem, reply, n_repairs)
        told = f"That does not fit: {problem}\nReply again, with one JSON object that fits and nothing else."
        request = replace(
            request,
            messages=[
                *request.messages,
                {"role": "assistant", "content": defang(reply.content)},
                {"role": "user", "content": told},
            ],
        )
    raise AssertionError("the last repair returns")


def parse(text: str, kind: type[T]) -> tuple[T | None, str]:
    """The value in a reply, or None and what is wrong, in at most 600 characters."""
    if len(text) > MAX_REPLY_CHARS:
        return None, f"expected at most {MAX_REPLY_CHARS:,} characters, got {len(text):,}"
    problem = "expected a JSON object, got an empty reply"
    for candidate in _candidates(text):
        try:
            return kind.model_validate(json.loads(candidate, parse_constant=_no_constant)), ""
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, e['loc'])) or 'object'}: {e['msg']}" for e in error.errors()[:5]]
            return None, "; ".join(lines)[:600]
        except (ValueError, RecursionError) as error:
            problem = f"expected a JSON object, got {str(error)[:200] or type(error).__name__}"
    return None, problem


def _candidates(text: str) -> list[str]:
    """Where the object may stand: the whole, a fenced block, from the first brace to the last."""
    stripped = text.strip()
    first, last = stripped.find("{"), stripped.rfind("}")
    found = [stripped, *_FENCE.findall(stripped), stripped[first : last + 1] if 0 <= first < last else ""]
    return [each for each in found if each]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")

"""Our messages in the protocol's shape, and a reply back into ours.

Text from tools and users goes out defanged: control characters gone, chat-template markers broken, length bounded.
What comes back is taken as it is said, but checked: a reply that is no chat completion is an error of the server, and
tool arguments that are no JSON object are kept as text, for the episode to answer with a tool error.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from schemas import Message, ToolCall

__all__ = [
    "MAX_TEXT_CHARS",
    "ChatReply",
    "ReplyShapeError",
    "as_message",
    "as_wire",
    "defang",
    "read_completion",
    "read_embeddings",
    "read_reply",
]

MAX_TEXT_CHARS = 100_000
"""Bound on one message's text: 25,000 tokens, more than any tool here prints in good faith."""

UNREADABLE = "__unreadable_arguments__"
"""Key under which arguments that are no JSON object are kept; no tool has an argument of this name."""

# Markers of the templates of Qwen, Llama, Mistral, DeepSeek, Gemma. One that is broken up reads the same to a person.
_MARKER = re.compile(
    r"<(?=[|\uff5c])|<(?=/?(?:tool_call|tool_response|tools|think|thinking|start_of_turn|end_of_turn|s)>)"
    r"|\[(?=/?(?:INST|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\])"
)
_SQUARE_ENDS = ("INST]", "TOOL_CALLS]", "AVAILABLE_TOOLS]", "TOOL_RESULTS]")
"""Of the markers in square brackets: every list in a tool's answer begins as they do."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_THOUGHT = re.compile(r"^\s*(?:<think>)?(.*?)</think>\s*", re.S)
_CUT_THOUGHT = re.compile(r"^\s*<think>(.*)", re.S)
_LEFT_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.S)
_NAME = re.compile(r'"name"\s*:\s*"([^"]+)"')


class ReplyShapeError(ValueError):
    """What the server sent is no chat completion."""


@dataclass(frozen=True)
class ChatReply:
    """What the model said to one request."""

    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    prompt_token_ids: tuple[int, ...] = ()
    """As the server tokenized the prompt, when it says."""
    token_ids: tuple[int, ...] = ()
    """Of the reply, when the server says."""
    logprobs: tuple[float, ...] = ()
    """Of each reply token, natural log, when the server says."""
    vectors: tuple[tuple[float, ...], ...] = ()
    """Of the texts that were embedded, in their order."""
    cached: bool = False
    raw: Mapping[str, JsonValue] = field(default_factory=dict, repr=False, compare=False)
    """The body as it came."""


def defang(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """Text of unknown origin, safe inside a prompt: no control characters, no template markers, bounded."""
    cut = len(text) - limit
    kept = text[:limit]
    # Looking first is cheaper, and most texts hold nothing of it.
    if not kept.isprintable():
        kept = _CONTROL.sub("", kept)
    if "<" in kept or any(end in kept for end in _SQUARE_ENDS):
        kept = _MARKER.sub(lambda match: match[0] + " ", kept)
    return f"{kept}\n[{cut:,} more characters were cut]" if cut > 0 else kept


def as_wire(messages: Sequence[Message], *, reasoning: bool = False) -> list[dict[str, Any]]:
    """Messages in the protocol's shape; `reasoning` sends earlier thoughts along."""
    return [_wire_message(message, reasoning) for message in messages]


def _wire_message(message: Message, reasoning: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": defang(message.content)}
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments_text(call)}}
            for call in message.tool_calls
        ]
    if reasoning and message.reasoning:
        wire["reasoning_content"] = defang(message.reasoning)
    return wire


def _arguments_text(call: ToolCall) -> str:
    # Servers refuse a history whose arguments are no object, so unreadable ones go back wrapped.
    return json.dumps(call.arguments)


def as_message(reply: ChatReply) -> Message:
    """The reply as an assistant's message.

    A call that the server's parser left in the text, as vLLM's hermes parser does with one that is no JSON, is a call
    all the same: the tool answers that it can't be read, and the user never sees it.
    """
    content, calls = reply.content, reply.tool_calls
    if not calls and (left := _LEFT_CALL.findall(content)):
        content = content[: content.index("<tool_call>")]
        calls = tuple(_left_call(index, text.strip()) for index, text in enumerate(left))
    # The line break between words and call is the template's.
    return Message(
        role="assistant", content=content.rstrip() if calls else content, reasoning=reply.reasoning, tool_calls=calls
    )


def _left_call(index: int, text: str) -> ToolCall:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not (isinstance(value, dict) and isinstance(value.get("name"), str)):
        named = _NAME.search(text)
        value = {"name": named[1] if named else "", "arguments": text}
    return _tool_call(index, {"function": value})


def read_reply(body: object) -> ChatReply:
    """The first choice of a chat completion.

    Raises:
        ReplyShapeError: When the body has none.
    """
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list) or not body["choices"]:
        raise ReplyShapeError(f"expected a chat completion with a choice, got {_short(body)}")
    choice = body["choices"][0]
    said = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(said, dict):
        raise ReplyShapeError(f"expected a message in the choice, got {_short(choice)}")
    content, reasoning = _split_thought(_text(said, "content"), _text(said, "reasoning_content", "reasoning"))
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return ChatReply(
        content=content,
        reasoning=reasoning,
        tool_calls=_tool_calls(said.get("tool_calls")),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        prompt_token_ids=_token_ids(body.get("prompt_token_ids")),
        token_ids=_token_ids(choice.get("token_ids")),
        logprobs=_logprobs(choice.get("logprobs")),
        raw=body,
    )


def read_completion(body: object) -> ChatReply:
    """The first choice of a completion of tokens.

    Raises:
        ReplyShapeError: When the body has none, or the server doesn't tell ids and log-probabilities.
    """
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list) or not body["choices"]:
        raise ReplyShapeError(f"expected a completion with a choice, got {_short(body)}")
    choice = body["choices"][0]
    if not isinstance(choice, dict):
        raise ReplyShapeError(f"expected a choice, got {_short(choice)}")
    ids, logprobs = _token_ids(choice.get("token_ids")), choice.get("logprobs")
    found = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    if not ids or not isinstance(found, list) or len(found) != len(ids):
        raise ReplyShapeError(
            f"expected token_ids and as many token_logprobs in the choice, got {_short(choice)}; the server must "
            "understand return_token_ids (vLLM does)"
        )
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return ChatReply(
        content=_text(choice, "text"),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        token_ids=ids,
        logprobs=tuple(float(each) if isinstance(each, (int, float)) else 0.0 for each in found),
        raw=body,
    )


def read_embeddings(body: object) -> ChatReply:
    """The vectors of a list of texts, in the order of the texts, whatever order the server lists them in.

    Raises:
        ReplyShapeError: When the body has none, or they differ in length, or one isn't made of finite numbers.
    """
    listed = body.get("data") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ReplyShapeError(f"expected a list of embeddings, got {_short(body)}")
    places = [index if type(index := each.get("index")) is int else place for place, each in enumerate(listed)]
    by_index = dict(zip(places, (each.get("embedding") for each in listed), strict=True))
    found = [by_index.get(index) for index in range(len(listed))]
    first = found[0] if found else None
    width = len(first) if isinstance(first, list) else 0
    vectors = tuple(_vector(each, width) for each in found)
    usage = body.get("usage")
    tokens = _count(usage.get("prompt_tokens")) if isinstance(usage, dict) else 0
    return ChatReply(content="", input_tokens=tokens, vectors=vectors, raw=body)


def _vector(value: object, width: int) -> tuple[float, ...]:
    if not isinstance(value, list) or not len(value) == width > 0 or not all(map(_finite, value)):
        raise ReplyShapeError(f"expected an embedding of {width or 'some'} finite numbers, got {_short(value)}")
    return tuple(map(float, value))


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(said: Mapping[str, Any], *names: str) -> str:
    return _whole(next((value for name in names if isinstance(value := said.get(name), str)), ""))


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can spell and no message can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _split_thought(content: str, reasoning: str) -> tuple[str, str]:
    """Words and thought, also where a server leaves both in the text or the template's blank lines at both."""
    if reasoning:
        return content.lstrip(), reasoning.strip()
    match = _THOUGHT.match(content) or _CUT_THOUGHT.match(content) if "think>" in content else None
    return (content[match.end() :], match[1].strip()) if match else (content, "")


def _tool_calls(value: object) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ReplyShapeError(f"expected a list of tool calls, got {_short(value)}")
    return tuple(_tool_call(index, each) for index, each in enumerate(value))


def _tool_call(index: int, value: object) -> ToolCall:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ReplyShapeError(f"expected a tool call with a function's name, got {_short(value)}")
    call_id = value.get("id")
    call_id = _whole(call_id) if isinstance(call_id, str) and call_id else f"call-{index}"
    # A name is needed to answer the call; an empty one is no tool's name either way.
    name = _whole(function["name"][:200]) or "unnamed"
    arguments = function.get("arguments")
    try:
        if isinstance(parsed := _parsed(arguments), dict):
            return ToolCall(id=call_id, name=name, arguments=parsed)
    except (ValueError, RecursionError):
        pass
    return ToolCall(id=call_id, name=name, arguments={UNREADABLE: _whole(str(arguments)[:MAX_TEXT_CHARS])})


def _parsed(arguments: object) -> object:
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    return json.loads(arguments) if arguments.strip() else {}


def _token_ids(value: object) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list) and all(type(each) is int for each in value) else ()


def _logprobs(value: object) -> tuple[float, ...]:
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        return ()
    found = [each.get("logprob") for each in content]
    return tuple(map(float, found)) if all(isinstance(each, (int, float)) for each in found) else ()


def _count(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0


def _short(value: object) -> str:
    return repr(value)[:200]

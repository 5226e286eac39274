"""The one client of OpenAI-compatible endpoints: calls, retries, limits, cache, usage.

The `openai` package says how an endpoint is reached (address, key, headers) and names its errors; the bytes go over
`Connections`, because the package's own path costs more than all the rest of an episode's turn does
(docs/adr/0012). Retries are ours, so that each is counted, waits as the server asks, and happens for 429, 5xx and
dropped connections only. Each call is told to `record` as one `LlmCall`, whatever came of it. Texts of errors are
cleansed of the key.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from random import Random
from types import TracebackType
from typing import Any, Protocol, Self

import openai
from pydantic import JsonValue
from pydantic_core import from_json

from env_sim.chat.endpoint import Endpoint
from env_sim.chat.failures import FAILURES, is_overflow, is_transient, outcome_of, pause_s, status_error
from env_sim.chat.history import History, spelled
from env_sim.chat.http import Connections, LateAnswerError
from env_sim.chat.limits import TokenBudget
from env_sim.chat.wire import ChatReply, ReplyShapeError, read_completion, read_embeddings, read_reply
from schemas.errors import ChatError, ContextOverflowError, EndpointRefusedError, EndpointUnavailableError
from schemas.llm_calls import LlmCall, LlmOutcome

__all__ = ["ChatClient", "ChatModel", "ChatRequest", "ResponseCache", "TokenRequest"]

CHARS_PER_TOKEN = 4
"""Guess of a prompt's tokens before the server has counted them."""


@dataclass(frozen=True)
class ChatRequest:
    """What is asked. Equal requests have equal keys: whatever changes the answer must stand here.

    Requests that share their tools share one object of them: it is spelled once and must not be changed in place.
    """

    messages: Sequence[Mapping[str, Any]]
    """In the protocol's shape (`wire.as_wire`). A dialogue that asks again and again keeps them as a `History`."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Tool schemas in the protocol's shape."""
    response_format: Mapping[str, Any] | None = None
    """The protocol's field for structured output."""
    seed: int | None = None
    """Of the server's sampling; tells trials of one prompt apart."""
    sampling: Mapping[str, JsonValue] = field(default_factory=dict)
    """Instead of the endpoint's: temperature, top_p, max_tokens and the like."""
    prompt_version: str = ""
    """Hash of the prompt file; not sent."""


class ChatModel(Protocol):
    """Answers requests."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The reply to one request; a `ChatError` when there is none."""
        ...


class ResponseCache(Protocol):
    """Replies by key of content. Not for on-policy sampling, which must be fresh."""

    def get(self, key: str) -> dict[str, JsonValue] | None:
        """The body kept under a key."""
        ...

    def put(self, key: str, body: Mapping[str, JsonValue]) -> None:
        """Keep a body."""
        ...


@dataclass(frozen=True)
class TokenRequest:
    """Token ids to go on from."""

    prompt_ids: Sequence[int]
    """The whole context."""
    max_tokens: int
    """Bound on the reply."""
    stop_ids: Sequence[int]
    """Tokens that end the reply; the one that did is part of it."""
    seed: int
    """Of the server's sampling."""


@dataclass(frozen=True, slots=True)
class _Call:
    """What is posted where, and how its answer is read."""

    path: str
    content: bytes
    key: str
    read: Callable[[object], ChatReply]
    prompt_version: str = ""


@dataclass(frozen=True, slots=True)
class _Head:
    """What many requests begin with, spelled and hashed once: all but messages and seed."""

    request: ChatRequest
    """The first of them."""
    seed: JsonValue
    """Of those that have none of their own."""
    content: bytes
    """An object, open for more fields."""
    digest: blake2b
    """Of the content."""

    def fits(self, request: ChatRequest) -> bool:
        mine = self.request
        return (
            mine.tools is request.tools
            and mine.response_format is request.response_format
            and mine.sampling == request.sampling
        )


@dataclass(slots=True)
class _Attempt:
    """What one call has cost so far."""

    started: float
    n_retries: int = 0


class ChatClient:
    """One role at one endpoint; an async context manager that lives in one event loop."""

    def __init__(
        self,
        role: str,
        endpoint: Endpoint,
        *,
        cache: ResponseCache | None = None,
        record: Callable[[LlmCall], None] | None = None,
    ) -> None:
        """Read the key; nothing is sent yet.

        Raises:
            ConfigError: When the key's variable isn't set.
        """
        self.role, self.endpoint, self._cache = role, endpoint, cache
        self._record = record or (lambda call: None)
        self._key = endpoint.key()
        self._openai = openai.AsyncOpenAI(base_url=endpoint.base_url, api_key=self._key, max_retries=0)
        told = {**self._openai.default_headers, **self._openai.auth_headers}
        self._connections = Connections(
            endpoint.base_url,
            {name: value for name, value in told.items() if isinstance(value, str)},
            timeout_s=endpoint.timeout_s,
            connect_timeout_s=endpoint.connect_timeout_s,
        )
        self._slots = asyncio.Semaphore(endpoint.max_concurrent)
        self._budget = TokenBudget(endpoint.tokens_per_minute)
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._head: _Head | None = None

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._connections.close()
        await self._openai.close()

    def __repr__(self) -> str:
        """Role and place, no key."""
        return f"ChatClient({self.role}: {self.endpoint.model} at {self.endpoint.base_url})"

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The reply to one request.

        Raises:
            EndpointUnavailableError: When the endpoint stayed away through all retries, or was late.
            EndpointRefusedError: When it refused the request for good (key, model, shape, spent quota).
            ContextOverflowError: When the prompt doesn't fit its context window.
        """
        head = self._head
        if head is None or not head.fits(request):
            head = self._head = self._new_head(request)
        seed = head.seed if request.seed is None else request.seed
        rest = b"}" if seed is None else b',"seed":%b}' % spelled(seed)
        messages = request.messages if isinstance(request.messages, History) else History(request.messages)
        # Bodies are built in one order, so their bytes are as good as a canonical spelling.
        digest = messages.hashed_after(head.digest)
        digest.update(rest)
        content = b"%b%b%b" % (head.content, messages.field(), rest)
        return await self._answer(_Call("/chat/completions", content, _key(digest), read_reply, request.prompt_version))

    async def complete_tokens(self, request: TokenRequest) -> ChatReply:
        """Tokens that continue tokens: what was sampled is never spelled out and read again. Raises as `complete`."""
        place = self.endpoint
        body: dict[str, Any] = {
            "model": place.model,
            "prompt": list(request.prompt_ids),
            "temperature": place.temperature,
            "top_p": place.top_p,
            "max_tokens": request.max_tokens,
            "stop_token_ids": list(request.stop_ids),
            "seed": request.seed,
            "logprobs": 0,
            "return_token_ids": True,
            "add_special_tokens": False,
            **place.extra_body,
        }
        content = spelled(body)
        return await self._answer(_Call("/completions", content, _key(_digest(content)), read_completion))

    async def embed(self, texts: Sequence[str]) -> ChatReply:
        """The vectors of texts, in their order. Raises as `complete`."""
        body = {"model": self.endpoint.model, "input": list(texts), **self.endpoint.extra_body}

        def read(answer: object) -> ChatReply:
            reply = read_embeddings(answer)
            if len(reply.vectors) != len(texts):
                raise ReplyShapeError(f"expected {len(texts)} embeddings, got {len(reply.vectors)}")
            return reply

        content = spelled(body)
        return await self._answer(_Call("/embeddings", content, _key(_digest(content)), read))

    async def _answer(self, call: _Call) -> ChatReply:
        if self._cache is None:
            return await self._fresh(call)
        # Of equal requests at once one is sent, or a rerun would find the reply of the other.
        while (pending := self._under_way.get(call.key)) is not None:
            await asyncio.wait([pending])
        if (kept := self._cache.get(call.key)) is not None:
            return self._kept(kept, call)
        done = self._under_way[call.key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._fresh(call)
            self._cache.put(call.key, reply.raw)
            return reply
        finally:
            del self._under_way[call.key]
            done.set_result(None)

    def _new_head(self, request: ChatRequest) -> _Head:
        place = self.endpoint
        body: dict[str, Any] = {
            "model": place.model,
            "temperature": place.temperature,
            "top_p": place.top_p,
            "max_tokens": place.max_tokens,
            **place.extra_body,
            **request.sampling,
        }
        if request.tools:
            body["tools"] = list(request.tools)
        if request.response_format is not None:
            body["response_format"] = request.response_format
        body.pop("messages", None)
        seed = body.pop("seed", None)
        content = spelled(body)[:-1] + b","
        return _Head(request, seed, content, _digest(content))

    def _kept(self, body: dict[str, JsonValue], call: _Call) -> ChatReply:
        reply = replace(call.read(body), cached=True)
        self._tell(_Attempt(time.monotonic()), call, LlmOutcome.OK, reply)
        return reply

    async def _fresh(self, call: _Call) -> ChatReply:
        attempt = _Attempt(time.monotonic())
        guess = len(call.content) // CHARS_PER_TOKEN + self.endpoint.max_tokens
        used = 0
        async with self._slots:
            attempt.started = time.monotonic()
            await self._budget.take(guess)
            try:
                reply = await self._with_retries(call, attempt)
                used = reply.input_tokens + reply.output_tokens
            except ChatError as error:
                self._tell(attempt, call, outcome_of(error), None)
                raise
            except asyncio.CancelledError:
                self._tell(attempt, call, LlmOutcome.CANCELLED, None)
                raise
            finally:
                self._budget.give_back(guess - used)
        self._tell(attempt, call, LlmOutcome.OK, reply)
        return reply

    async def _with_retries(self, call: _Call, attempt: _Attempt) -> ChatReply:
        jitter: Random | None = None
        while True:
            try:
                return await self._post(call)
            except FAILURES as error:
                if not is_transient(error):
                    raise self._refusal(error, call) from None
                # Seeded by the request: no two calls wait alike, and a rerun waits the same.
                jitter = jitter or Random(call.key)
                pause = pause_s(error, attempt.n_retries, jitter)
                if attempt.n_retries >= self.endpoint.max_retries or pause > self.endpoint.max_wait_s:
                    raise self._unavailable(error, call, attempt.n_retries, pause) from None
            except ReplyShapeError as error:
                raise EndpointRefusedError(
                    f"{self._said(call)}: {self._clean(str(error))}; check what base_url serves"
                ) from None
            attempt.n_retries += 1
            await asyncio.sleep(pause)

    async def _post(self, call: _Call) -> ChatReply:
        answer = await self._connections.post(call.path, call.content)
        if answer.status != 200:
            raise status_error(answer)
        return call.read(_read(answer.body))

    def _tell(self, attempt: _Attempt, call: _Call, outcome: LlmOutcome, reply: ChatReply | None) -> None:
        tokens = (reply.input_tokens, reply.output_tokens) if reply else (0, 0)
        cached = reply is not None and reply.cached
        self._record(
            LlmCall(
                call_key=call.key,
                role=self.role,
                model=self.endpoint.model,
                prompt_version=call.prompt_version,
                input_tokens=tokens[0],
                output_tokens=tokens[1],
                latency_s=0.0 if cached else time.monotonic() - attempt.started,
                n_retries=attempt.n_retries,
                cost_usd=0.0 if cached else self.endpoint.cost_usd(*tokens),
                cached=cached,
                outcome=outcome,
            )
        )

    def _said(self, call: _Call) -> str:
        return f"endpoint[{self.role}: {self.endpoint.model} at {self.endpoint.base_url}, {call.key}]"

    def _clean(self, text: str) -> str:
        """Some servers repeat the key that they refuse."""
        shown = text.replace(self._key, "***") if len(self._key) > 4 and self.endpoint.key_env else text
        return shown[:500]

    def _unavailable(self, error: Exception, call: _Call, n_retries: int, pause: float) -> EndpointUnavailableError:
        return EndpointUnavailableError(
            f"{self._said(call)}: expected a reply within {self.endpoint.max_retries} retries and pauses of at most "
            f"{self.endpoint.max_wait_s:g} s, got {self._clean(str(error))} after {n_retries} retries, next "
            f"pause {pause:.0f} s; check the server, then start the run again: it goes on where it stopped"
        )

    def _refusal(self, error: Exception, call: _Call) -> ChatError:
        said, got = self._said(call), self._clean(str(error))
        if isinstance(error, LateAnswerError):
            return EndpointUnavailableError(
                f"{said}: expected a reply within {self.endpoint.timeout_s:g} s, got none; raise timeout_s or lower "
                "max_concurrent"
            )
        if is_overflow(error):
            return ContextOverflowError(f"{said}: expected a prompt within the context window, got {got}; shorten it")
        return EndpointRefusedError(
            f"{said}: expected a reply, got {got}; correct the key, the model's name or the request"
        )


def _digest(content: bytes) -> blake2b:
    return blake2b(content, digest_size=16)


def _key(digest: blake2b) -> str:
    return f"call-{digest.hexdigest()}"


def _read(content: bytes) -> object:
    try:
        return from_json(content)
    except ValueError:
        pass
    try:
        # Slower, and reads more: halves of surrogate pairs, deep nesting.
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ReplyShapeError(f"expected JSON, got {error}") from None

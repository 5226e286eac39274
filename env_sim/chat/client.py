"""The one client of OpenAI-compatible endpoints: calls, retries, limits, cache, usage.

Retries are ours and not the package's, so that each is counted, waits as the server asks, and happens for 429, 5xx and
dropped connections only. Each call is told to `record` as one `LlmCall`, whatever came of it. The key lives in the
package's client; texts of errors are cleansed of it.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from random import Random
from types import TracebackType
from typing import Any, Protocol, Self

import httpx2
import openai
from pydantic import JsonValue

from env_sim.chat.endpoint import Endpoint
from env_sim.chat.limits import TokenBudget
from env_sim.chat.wire import ChatReply, ReplyShapeError, read_completion, read_embeddings, read_reply
from schemas.errors import ChatError, ContextOverflowError, EndpointRefusedError, EndpointUnavailableError
from schemas.llm_calls import LlmCall, LlmOutcome

__all__ = ["ChatClient", "ChatModel", "ChatRequest", "ResponseCache", "TokenRequest"]

CHARS_PER_TOKEN = 4
"""Guess of a prompt's tokens before the server has counted them."""

_OVERFLOW = ("context_length_exceeded", "maximum context length", "maximum model length", "context window")
_SPENT = ("insufficient_quota", "billing")
"""429s that no waiting mends."""


@dataclass(frozen=True)
class ChatRequest:
    """What is asked. Equal requests have equal keys: whatever changes the answer must stand here."""

    messages: Sequence[Mapping[str, Any]]
    """In the protocol's shape (`wire.as_wire`)."""
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


@dataclass(frozen=True)
class _Call:
    """What is posted where, and how its answer is read."""

    path: str
    body: Mapping[str, Any]
    read: Callable[[object], ChatReply]
    prompt_version: str


@dataclass
class _Attempt:
    """What one call has cost so far."""

    key: str
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
        timeout = httpx2.Timeout(endpoint.timeout_s, connect=endpoint.connect_timeout_s, pool=None)
        n = endpoint.max_concurrent
        self._http = openai.DefaultAioHttpClient(
            timeout=timeout, limits=httpx2.Limits(max_connections=n, max_keepalive_connections=n), trust_env=False
        )
        self._openai = openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=self._key, max_retries=0, timeout=timeout, http_client=self._http
        )
        self._slots = asyncio.Semaphore(n)
        self._budget = TokenBudget(endpoint.tokens_per_minute)
        self._under_way: dict[str, asyncio.Future[None]] = {}

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
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
        return await self._answer(_Call("/chat/completions", self._body(request), read_reply, request.prompt_version))

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
        return await self._answer(_Call("/completions", body, read_completion, ""))

    async def embed(self, texts: Sequence[str]) -> ChatReply:
        """The vectors of texts, in their order. Raises as `complete`."""
        body = {"model": self.endpoint.model, "input": list(texts), **self.endpoint.extra_body}

        def read(answer: object) -> ChatReply:
            reply = read_embeddings(answer)
            if len(reply.vectors) != len(texts):
                raise ReplyShapeError(f"expected {len(texts)} embeddings, got {len(reply.vectors)}")
            return reply

        return await self._answer(_Call("/embeddings", body, read, ""))

    async def _answer(self, call: _Call) -> ChatReply:
        content = json.dumps(call.body).encode()
        # Bodies are built in one order, so their bytes are as good as a canonical spelling and a third of the price.
        key = f"call-{blake2b(content, digest_size=16).hexdigest()}"
        if self._cache is None:
            return await self._fresh(key, content, call)
        # Of equal requests at once one is sent, or a rerun would find the reply of the other.
        while (pending := self._under_way.get(key)) is not None:
            await asyncio.wait([pending])
        if (kept := self._cache.get(key)) is not None:
            return self._kept(key, kept, call)
        done = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._fresh(key, content, call)
            self._cache.put(key, reply.raw)
            return reply
        finally:
            del self._under_way[key]
            done.set_result(None)

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        place = self.endpoint
        body: dict[str, Any] = {
            "model": place.model,
            "messages": list(request.messages),
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
        if request.seed is not None:
            body["seed"] = request.seed
        return body

    def _kept(self, key: str, body: dict[str, JsonValue], call: _Call) -> ChatReply:
        reply = replace(call.read(body), cached=True)
        self._tell(_Attempt(key, time.monotonic()), call, LlmOutcome.OK, reply)
        return reply

    async def _fresh(self, key: str, content: bytes, call: _Call) -> ChatReply:
        attempt = _Attempt(key, time.monotonic())
        guess = len(content) // CHARS_PER_TOKEN + self.endpoint.max_tokens
        used = 0
        async with self._slots:
            attempt.started = time.monotonic()
            await self._budget.take(guess)
            try:
                reply = await self._with_retries(content, call, attempt)
                used = reply.input_tokens + reply.output_tokens
            except ChatError as error:
                self._tell(attempt, call, _outcome(error), None)
                raise
            except asyncio.CancelledError:
                self._tell(attempt, call, LlmOutcome.CANCELLED, None)
                raise
            finally:
                self._budget.give_back(guess - used)
        self._tell(attempt, call, LlmOutcome.OK, reply)
        return reply

    async def _with_retries(self, content: bytes, call: _Call, attempt: _Attempt) -> ChatReply:
        # Seeded by the request: no two calls wait alike, and a rerun waits the same.
        jitter = Random(attempt.key)
        while True:
            try:
                return await self._post(content, call)
            except (openai.RateLimitError, openai.InternalServerError, openai.APIConnectionError) as error:
                if not _is_transient(error):
                    raise self._refusal(error, attempt) from None
                pause = _pause(error, attempt.n_retries, jitter)
                if attempt.n_retries >= self.endpoint.max_retries or pause > self.endpoint.max_wait_s:
                    raise self._unavailable(error, attempt, pause) from None
            except openai.OpenAIError as error:
                raise self._refusal(error, attempt) from None
            except ReplyShapeError as error:
                raise EndpointRefusedError(
                    f"{self._said(attempt)}: {self._clean(str(error))}; check what base_url serves"
                ) from None
            attempt.n_retries += 1
            await asyncio.sleep(pause)

    async def _post(self, content: bytes, call: _Call) -> ChatReply:
        # The typed `chat.completions.create` spends 4 ms of CPU on a call, most of it on building models.
        response = await self._openai.post(
            call.path,
            content=content,
            cast_to=httpx2.Response,
            options={"headers": {"content-type": "application/json"}},
        )
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError) as error:
            raise ReplyShapeError(f"expected JSON, got {error}") from None
        return call.read(body)

    def _tell(self, attempt: _Attempt, call: _Call, outcome: LlmOutcome, reply: ChatReply | None) -> None:
        tokens = (reply.input_tokens, reply.output_tokens) if reply else (0, 0)
        cached = reply is not None and reply.cached
        self._record(
            LlmCall(
                call_key=attempt.key,
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

    def _said(self, attempt: _Attempt) -> str:
        return f"endpoint[{self.role}: {self.endpoint.model} at {self.endpoint.base_url}, {attempt.key}]"

    def _clean(self, text: str) -> str:
        """Some servers repeat the key that they refuse."""
        shown = text.replace(self._key, "***") if len(self._key) > 4 and self.endpoint.key_env else text
        return shown[:500]

    def _unavailable(self, error: openai.APIError, attempt: _Attempt, pause: float) -> EndpointUnavailableError:
        return EndpointUnavailableError(
            f"{self._said(attempt)}: expected a reply within {self.endpoint.max_retries} retries and pauses of at most "
            f"{self.endpoint.max_wait_s:g} s, got {self._clean(str(error))} after {attempt.n_retries} retries, next "
            f"pause {pause:.0f} s; check the server, then start the run again: it goes on where it stopped"
        )

    def _refusal(self, error: openai.OpenAIError, attempt: _Attempt) -> ChatError:
        said, got = self._said(attempt), self._clean(str(error))
        if isinstance(error, openai.APITimeoutError):
            return EndpointUnavailableError(
                f"{said}: expected a reply within {self.endpoint.timeout_s:g} s, got none; raise timeout_s or lower "
                "max_concurrent"
            )
        if isinstance(error, openai.BadRequestError) and any(
            mark in f"{error.code} {got}".lower() for mark in _OVERFLOW
        ):
            return ContextOverflowError(f"{said}: expected a prompt within the context window, got {got}; shorten it")
        return EndpointRefusedError(
            f"{said}: expected a reply, got {got}; correct the key, the model's name or the request"
        )


def _is_transient(error: openai.APIError) -> bool:
    if isinstance(error, openai.RateLimitError):
        return not any(mark in f"{error.code} {error}".lower() for mark in _SPENT)
    # A reply that is late may be under way; a connection that never stood has cost nothing.
    return not isinstance(error, openai.APITimeoutError) or isinstance(error.__cause__, httpx2.ConnectTimeout)


def _pause(error: openai.APIError, n_retries: int, jitter: Random) -> float:
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


def _outcome(error: ChatError) -> LlmOutcome:
    if isinstance(error, ContextOverflowError):
        return LlmOutcome.CONTEXT_OVERFLOW
    return LlmOutcome.UNAVAILABLE if isinstance(error, EndpointUnavailableError) else LlmOutcome.REFUSED

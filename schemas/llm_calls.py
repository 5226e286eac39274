"""One row per call of a model at an endpoint: what it cost and what came of it. No prompt, no reply, no key."""

from enum import StrEnum

from pydantic import Field

from schemas.records import Name, Record

__all__ = ["LlmCall", "LlmOutcome"]


class LlmOutcome(StrEnum):
    """What came of a call."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    """No reply through all retries, or a late one."""
    REFUSED = "refused"
    """The endpoint said no for good, or answered with no chat completion."""
    CONTEXT_OVERFLOW = "context_overflow"
    """The prompt is longer than the context window."""
    CANCELLED = "cancelled"
    """The run ended before the reply came."""


class LlmCall(Record):
    """Usage and outcome of one call."""

    call_key: Name
    """Hash of model, messages, tools, sampling and seed: the key of the response cache."""
    role: Name
    """Who asked: policy, user, explorer, writer, judge, reader, embedder."""
    model: Name
    """As the server knows it."""
    prompt_version: str = ""
    """Name and hash of the prompt file."""
    input_tokens: int = Field(ge=0)
    """As the server counted them."""
    output_tokens: int = Field(ge=0)
    """As the server counted them, reasoning included."""
    latency_s: float = Field(ge=0)
    """From the first attempt to the end, retries and pauses included; 0 from the cache."""
    n_retries: int = Field(ge=0)
    """Attempts after the first."""
    cost_usd: float = Field(ge=0)
    """By the prices in the settings; 0 from the cache."""
    cached: bool
    """Whether the cache answered."""
    outcome: LlmOutcome
    """What came of it."""

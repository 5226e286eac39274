"""Settings of one endpoint in one role. Holds the *name* of the variable with the key, never the key."""

import os
import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from schemas.errors import ConfigError

__all__ = ["OPERATIONAL", "Endpoint"]

OPERATIONAL = frozenset(
    {
        "base_url",
        "key_env",
        "timeout_s",
        "connect_timeout_s",
        "max_retries",
        "max_wait_s",
        "max_concurrent",
        "tokens_per_minute",
        "usd_per_million_input_tokens",
        "usd_per_million_output_tokens",
    }
)
"""Settings that say how a model is reached and paid, not what it is asked: no reply depends on them."""


class Endpoint(BaseModel):
    """Where a role's model is served and how it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str
    """Root of the API, such as `http://127.0.0.1:8000/v1`."""
    model: str = Field(min_length=1)
    """Name under which the server knows the model."""
    key_env: str = Field(default="", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$|^$")
    """Environment variable that holds the key; empty for a server that asks for none."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Sampling temperature; 0 for roles that shall answer the same twice."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus of the sampling."""
    max_tokens: int = Field(default=2048, ge=1, le=1_000_000)
    """Bound on one reply, reasoning included."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """What the server understands beyond the protocol, such as `{"top_k": 20}`."""
    output: Literal["json_schema", "json_object", "text"] = "json_schema"
    """How a structured reply is asked for; our own check follows in any case."""
    timeout_s: float = Field(default=300, gt=0, le=86_400)
    """For one whole reply. One that is late is not asked again: it may be under way and cost twice."""
    connect_timeout_s: float = Field(default=10, gt=0, le=600)
    """For a connection."""
    max_retries: int = Field(default=6, ge=0, le=50)
    """After 429, 5xx and dropped connections; nothing else is retried."""
    max_wait_s: float = Field(default=60, gt=0, le=3600)
    """Longest pause before a retry; a server that asks for more has failed."""
    max_concurrent: int = Field(default=64, ge=1, le=4096)
    """Requests in flight at once."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Budget of prompt and reply tokens, None for no bound."""
    usd_per_million_input_tokens: float = Field(default=0, ge=0)
    """Price; 0 for a server of one's own."""
    usd_per_million_output_tokens: float = Field(default=0, ge=0)
    """Price; 0 for a server of one's own."""

    @field_validator("base_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("Input should be an address such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or re.search(r"(?i)(key|token|secret)=", parts.query):
            raise ValueError("Input should be an address without a user, password or key; name its variable in key_env")
        return value.rstrip("/")

    def key(self) -> str:
        """The key, read now and kept by nobody but the client.

        Raises:
            ConfigError: When the variable isn't set, or holds what no header can.
        """
        if not self.key_env:
            return "none"
        found = os.environ.get(self.key_env, "").strip()
        if not found:
            raise ConfigError(
                f"endpoint[{self.base_url} {self.model}]: expected a key in the environment variable {self.key_env}, "
                "got none; set it, or leave key_env empty for a server without keys"
            )
        if not (found.isascii() and found.isprintable()):
            raise ConfigError(
                f"endpoint[{self.base_url} {self.model}]: expected a key of printable ASCII in the environment "
                f"variable {self.key_env}, got other characters; copy it again"
            )
        return found

    def cost_usd(self, input_tokens: int, output_tokens: int) -> float:
        """Price of one call."""
        return (
            input_tokens * self.usd_per_million_input_tokens + output_tokens * self.usd_per_million_output_tokens
        ) / 1e6

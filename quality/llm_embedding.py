"""Neural embedders behind the `Embedder` protocol: a model at an endpoint, or a local sentence-transformer.

Neither is needed by the embedded profile. `same_similarity` and `match_similarity` of the clusters are cosines, and
what cosine unrelated texts have is a matter of the model: set them when you choose one.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from env_sim.chat.client import ChatClient, ResponseCache
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.wire import defang
from quality.embedding import Vectors
from schemas import ConfigError
from schemas.llm_calls import LlmCall

__all__ = ["EndpointEmbedder", "SentenceEmbedder"]

MAX_CHARS = 8000
"""Of one text: what embedders read, 2,000 tokens and more."""


@dataclass(frozen=True)
class EndpointEmbedder:
    """Texts embedded at an OpenAI-compatible endpoint; retries, limits and cache are the client's."""

    endpoint: Endpoint
    """Where the model is served."""
    cache: ResponseCache | None = None
    """Vectors of earlier runs."""
    record: Callable[[LlmCall], None] | None = None
    """Hears of every call."""
    texts_per_call: int = 64
    """Equal batches have equal keys in the cache."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """One row per text.

        Raises:
            ChatError: When the endpoint gives no vectors; those it gave are in the cache.
        """
        # Servers refuse an empty text.
        cleaned = [defang(text, MAX_CHARS) or "-" for text in texts]
        rows = asyncio.run(self._all(cleaned))
        widths = {len(row) for row in rows}
        if len(widths) > 1:
            raise ConfigError(
                f"embedder[{self.endpoint.model} at {self.endpoint.base_url}]: expected vectors of one length, got "
                f"{sorted(widths)}; check what is served there"
            )
        return np.array(rows, dtype=np.float64)

    async def _all(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        batches = [texts[start : start + self.texts_per_call] for start in range(0, len(texts), self.texts_per_call)]
        async with ChatClient("embedder", self.endpoint, cache=self.cache, record=self.record) as client:
            replies = await asyncio.gather(*map(client.embed, batches))
        return [row for reply in replies for row in reply.vectors]


@dataclass(frozen=True)
class SentenceEmbedder:
    """Texts embedded by a sentence-transformers model on this machine."""

    model: str
    """Name on a hub, or a folder."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """One row per text.

        Raises:
            ConfigError: When the package isn't installed.
        """
        try:
            from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ConfigError(
                f"embedder[{self.model}]: expected the package sentence-transformers, got none; install "
                "faultline[sentence-transformers], or leave clusters.sentence_transformer empty"
            ) from error
        return np.asarray(SentenceTransformer(self.model).encode(list(texts), convert_to_numpy=True), dtype=np.float64)

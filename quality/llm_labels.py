"""Names of clusters by a model at an endpoint; what can't be read leaves the terms as the label, with the reason.

The prompt lies beside this file (`prompts/cluster_label.md`), its hash in every row that was asked for.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from env_sim.chat.client import ChatClient, ChatRequest, ResponseCache
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.prompts import load_prompt
from env_sim.chat.structured import Answer, ask, response_format
from env_sim.chat.wire import defang
from schemas import FailureCluster
from schemas.llm_calls import LlmCall

__all__ = ["EndpointLabeller"]

PROMPT = Path(__file__).parent / "prompts" / "cluster_label.md"


class ClusterName(BaseModel):
    """What the model must say."""

    model_config = ConfigDict(extra="ignore")

    label: str = Field(min_length=3, max_length=80, pattern=r"^[^\r\n]*\w[^\r\n]*$")


@dataclass(frozen=True)
class EndpointLabeller:
    """Names clusters, one question each."""

    endpoint: Endpoint
    """Where the model is served."""
    cache: ResponseCache | None = None
    """Replies of earlier runs."""
    record: Callable[[LlmCall], None] | None = None
    """Hears of every call."""

    def __call__(self, clusters: Sequence[FailureCluster]) -> list[FailureCluster]:
        """The clusters with their new labels, in their order.

        Raises:
            ChatError: When the endpoint gives no reply; what was answered is in the cache.
        """
        return asyncio.run(self._all(clusters))

    async def _all(self, clusters: Sequence[FailureCluster]) -> list[FailureCluster]:
        async with ChatClient("writer", self.endpoint, cache=self.cache, record=self.record) as client:
            requests = [self._request(cluster, clusters) for cluster in clusters]
            answers = await asyncio.gather(*(ask(client, request, ClusterName) for request in requests))
        return [_named(*each) for each in zip(clusters, requests, answers, strict=True)]

    def _request(self, cluster: FailureCluster, clusters: Sequence[FailureCluster]) -> ChatRequest:
        prompt = load_prompt(PROMPT)
        others = [f"- {', '.join(each.terms)}" for each in clusters if each.cluster_id != cluster.cluster_id]
        text = prompt.fill(
            examples="\n".join(f"- {' '.join(text.split())}" for text in cluster.example_texts),
            terms=", ".join(cluster.terms) or "none",
            others="\n".join(others) or "none",
        )
        return ChatRequest(
            messages=[{"role": "user", "content": text}],
            response_format=response_format(ClusterName, self.endpoint.output),
            prompt_version=prompt.version,
        )


def _named(cluster: FailureCluster, request: ChatRequest, answer: Answer[ClusterName]) -> FailureCluster:
    label = " ".join(defang(answer.value.label).split()) if answer.value else cluster.label
    return cluster.model_copy(
        update={"label": label, "prompt_version": request.prompt_version, "parse_error": answer.parse_error}
    )

"""Embedders that are models: over the wire with the client's promises, and a clear word when the package is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from env_sim.chat.endpoint import Endpoint
from quality.clusters import cluster_explanations
from quality.llm_embedding import EndpointEmbedder, SentenceEmbedder
from schemas import ConfigError
from schemas.errors import EndpointRefusedError
from schemas.llm_calls import LlmCall
from schemas.response_cache import LanceResponseCache
from tests.fixtures.chat_server import Served, embeddings, serving
from tests.quality.builders import make_explanation


def vector(text: str) -> list[float]:
    return [1.0, 0.0, 0.1] if "order" in text else [0.0, 1.0, 0.1]


def answer(body: dict[str, Any], number: int) -> Any:
    return embeddings([vector(text) for text in body["input"]])


def place(base_url: str, **changed: Any) -> Endpoint:
    return Endpoint(base_url=base_url, model="embed-tiny", **{"max_retries": 2, "max_wait_s": 5, **changed})


def test_texts_go_out_in_batches_and_come_back_in_order_whatever_the_server_does() -> None:
    calls: list[LlmCall] = []

    def turned(body: dict[str, Any], number: int) -> Any:
        if number == 0:
            return Served({"error": {"message": "slow down"}}, 429, {"retry-after": "0"})
        said = answer(body, number)
        return Served({**said, "data": said["data"][::-1]}, delay_s=0.02 * (number % 3))

    texts = [f"{'order' if i % 3 else 'address'} {i}" for i in range(10)]
    with serving(turned) as server:
        found = EndpointEmbedder(place(server.base_url), record=calls.append, texts_per_call=4)(texts)
        asked = [request["input"] for request in server.requests]
    assert found.tolist() == [vector(text) for text in texts]
    assert sorted(len(batch) for batch in asked[1:]) == [2, 4, 4] and len(asked) == 4
    assert [call.role for call in calls] == ["embedder"] * 3
    assert sum(call.n_retries for call in calls) == 1 and sum(call.input_tokens for call in calls) == 30


def test_a_rerun_takes_its_vectors_from_the_cache(tmp_path: Path) -> None:
    calls: list[LlmCall] = []
    with serving(answer) as server:
        for _ in range(2):
            with LanceResponseCache(str(tmp_path)) as kept:
                found = EndpointEmbedder(place(server.base_url), kept, calls.append)(["an order", "an address"])
        assert len(server.requests) == 1
    assert found.shape == (2, 3) and [call.cached for call in calls] == [False, True]


@pytest.mark.parametrize(
    "body",
    [
        {"data": "none"},
        embeddings([[1.0]]),
        embeddings([[1.0, 2.0], [1.0]]),
        embeddings([[1.0, 2.0], []]),
        embeddings([[1.0, float("nan")], [1.0, 2.0]]),
        {"data": [{"index": [1], "embedding": {}}, {"index": 1}]},
        b"no json",
    ],
)
def test_what_is_no_list_of_vectors_is_refused(body: Any) -> None:
    with serving(lambda *_: Served(body)) as server, pytest.raises(EndpointRefusedError, match="expected"):
        EndpointEmbedder(place(server.base_url))(["one", "two"])


def test_batches_of_several_lengths_are_no_embedding() -> None:
    with serving(lambda body, number: embeddings([[1.0] * (2 + number)])) as server:
        embed = EndpointEmbedder(place(server.base_url, max_concurrent=1), texts_per_call=1)
        with pytest.raises(ConfigError, match=r"one length, got \[2, 3\]"):
            embed(["one", "two"])


def test_hostile_texts_go_out_defanged_and_none_is_empty() -> None:
    with serving(lambda body, number: embeddings([[1.0, 0.0]] * len(body["input"]))) as server:
        EndpointEmbedder(place(server.base_url))(["", "\x00\ud800<|im_start|>system", "x" * 10**6])
        sent = server.requests[0]["input"]
    assert sent[0] == "-" and sent[1] == "< |im_start|>system" and len(sent[2]) < 10_000


def test_clusters_form_on_the_vectors_of_a_model() -> None:
    rows = [make_explanation(i, f"{'order' if i % 2 else 'address'} number {chr(97 + i)}") for i in range(20)]
    with serving(answer) as server:
        found = cluster_explanations(rows, embed=EndpointEmbedder(place(server.base_url)))
    assert sorted(cluster.size for cluster in found) == [10, 10]
    assert np.isfinite([cluster.silhouette for cluster in found]).all()


def test_without_the_package_a_sentence_transformer_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"some/model.*faultline\[sentence-transformers\]"):
        SentenceEmbedder("some/model")(["one"])

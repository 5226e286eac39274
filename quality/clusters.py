"""Failures grouped by cause, from the judge's words alone.

The judge's `pattern` names a finished cluster but never forms one: a pattern that the table does not know yet must be
able to appear as a cluster. How many clusters there are is found, not given (`quality.grouping`); what belongs to none
is noise, visible as shares that sum to less than 1. Measured on 10,000 distinct texts: `tests/bench/bench_clusters.py`.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from quality.cluster_config import ClusterConfig
from quality.embedding import Embedder, LocalEmbedder, Vectors, normalised, terms_of, unit_rows
from quality.failure_texts import FailureTexts, agent_blamed, embedded_texts
from quality.grouping import Labels, group, silhouettes
from quality.stability import bootstrap_ari, seed_ari
from schemas import Explanation, FailureCluster, PatternCount
from schemas.ids import content_id

__all__ = ["ClusterConfig", "cluster_explanations"]


def cluster_explanations(
    explanations: Sequence[Explanation],
    config: ClusterConfig | None = None,
    previous: Sequence[FailureCluster] = (),
    embed: Embedder | None = None,
) -> list[FailureCluster]:
    """Group the agent-blamed failures of a round by what their explanations say.

    Args:
        explanations: Explanations of one round; order does not matter.
        config: How to group.
        previous: Clusters of the round before; they name continuations and don't influence the grouping.
        embed: Texts to vectors, the local embedder when None.

    Returns:
        Clusters, largest first; empty when no failure is the agent's.
    """
    from threadpoolctl import threadpool_limits

    config = config or ClusterConfig()
    blamed = agent_blamed(explanations)
    # One thread: the matrices are small, and threads of two processes on two cores made 1 s of work last 15 s.
    with threadpool_limits(limits=1):
        return _clustered(blamed, config, previous, embed) if blamed else []


def _clustered(
    blamed: Sequence[Explanation],
    config: ClusterConfig,
    previous: Sequence[FailureCluster],
    embed: Embedder | None,
) -> list[FailureCluster]:
    texts = embedded_texts(blamed, embed or LocalEmbedder(seed=config.seed))
    labels = group(texts.points, config)
    measured = {
        "stability_ari": bootstrap_ari(texts.points, labels, config),
        "seed_ari": None if embed else _seed_ari(texts, labels, config),
    }
    scores, weights = silhouettes(texts.points, labels), texts.points.weights
    clusters = []
    for label, terms in zip(range(labels.max() + 1), _distinctive_terms(texts, labels, config.n_terms), strict=True):
        members, inside = np.flatnonzero(labels[texts.index] == label).tolist(), labels == label
        measured["silhouette"] = float(np.average(scores[inside], weights=weights[inside]))
        vectors = texts.points.vectors[texts.index[members]]
        cluster = _cluster([blamed[i] for i in members], vectors, terms, len(blamed), config)
        clusters.append(cluster.model_copy(update=measured))
    clusters.sort(key=lambda cluster: (-cluster.size, cluster.cluster_id))
    return _matched(clusters, previous, embed or LocalEmbedder(seed=config.seed), config)


def _seed_ari(texts: FailureTexts, labels: Labels, config: ClusterConfig) -> float | None:
    def embedded(rows: Labels, seed: int) -> Vectors:
        return LocalEmbedder(seed=seed)([texts.distinct[row] for row in rows])

    return seed_ari(texts.points, labels, config, embedded)


def _distinctive_terms(texts: FailureTexts, labels: Labels, n_terms: int) -> list[tuple[str, ...]]:
    """Terms of each cluster by class-based TF-IDF: frequent in the cluster, rare over all failures."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

    n_clusters = int(labels.max()) + 1
    # scikit-learn reads the analyzer's type from its default, which is a word.
    vectorizer = CountVectorizer(analyzer=terms_of, binary=True)  # pyright: ignore[reportArgumentType]
    try:
        present = csr_matrix(vectorizer.fit_transform(texts.distinct))
    except ValueError:
        # Raised for an empty vocabulary only: texts of ids and stop words have no terms.
        return [()] * n_clusters
    names, weights = vectorizer.get_feature_names_out(), texts.points.weights
    overall = present.T @ weights / weights.sum()
    ranked = []
    for label in range(n_clusters):
        inside = np.where(labels == label, weights, 0)
        share = present.T @ inside / inside.sum()
        scores = share * np.log1p(share / overall)
        ranked.append(_without_overlap([str(names[i]) for i in np.lexsort((names, -scores)) if share[i] > 0], n_terms))
    return ranked


def _without_overlap(terms: Sequence[str], n_terms: int) -> tuple[str, ...]:
    """The first terms that share no word: `asked`, `asked for` and `for` would say one thing three times."""
    chosen: list[str] = []
    used: set[str] = set()
    for term in terms:
        words = set(term.split())
        if not words & used:
            chosen.append(term)
            used |= words
        if len(chosen) == n_terms:
            break
    return tuple(chosen)


def _cluster(
    members: Sequence[Explanation], vectors: Vectors, terms: tuple[str, ...], n_failures: int, config: ClusterConfig
) -> FailureCluster:
    centroid = unit_rows(vectors.mean(axis=0, keepdims=True))[0]
    nearness = np.round(vectors @ centroid, 9)
    order = sorted(range(len(members)), key=lambda i: (-nearness[i], members[i].explanation_id))
    patterns = Counter(member.pattern for member in members)
    ordered = sorted(patterns, key=lambda name: (-patterns[name], name))
    ids = tuple(member.explanation_id for member in members)
    examples = tuple(dict.fromkeys(members[i].text for i in order))[: config.n_examples]
    return FailureCluster(
        cluster_id=content_id("cluster", list(ids)),
        label=", ".join(terms[:3]) or ordered[0],
        terms=terms,
        pattern=ordered[0],
        patterns=tuple(PatternCount(pattern=name, size=patterns[name]) for name in ordered),
        size=len(members),
        share=len(members) / n_failures,
        explanation_ids=ids,
        example_texts=examples,
        silhouette=0,
        stability_ari=0,
    )


def _matched(
    clusters: list[FailureCluster], previous: Sequence[FailureCluster], embed: Embedder, config: ClusterConfig
) -> list[FailureCluster]:
    """Name the nearest earlier cluster of each; both sides are embedded from their examples, in one space."""
    if not previous:
        return clusters
    groups = [cluster.example_texts for cluster in [*clusters, *previous]]
    vectors = unit_rows(np.asarray(embed([normalised(text) for group in groups for text in group]), dtype=np.float64))
    ends = np.cumsum([len(group) for group in groups])
    centroids = unit_rows(np.array([part.mean(axis=0) for part in np.split(vectors, ends[:-1])]))
    similarity = centroids[: len(clusters)] @ centroids[len(clusters) :].T
    nearest = similarity.argmax(axis=1)
    return [
        cluster.model_copy(update={"previous_cluster_id": previous[near].cluster_id})
        if similarity[row, near] >= config.match_similarity
        else cluster
        for row, (cluster, near) in enumerate(zip(clusters, nearest, strict=True))
    ]

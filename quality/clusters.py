"""Failures grouped by cause, from the judge's words alone.

The judge's `pattern` names a finished cluster but never forms one: a pattern that the table does not know yet must be
able to appear as a cluster. Average-linkage tree over cosine distances, cut at the coarsest place where the weighted
silhouette (noise counts as 0) is nearly the best, so the number of clusters is found, not given. Groups below the
minimum size are noise: members of no cluster, visible as shares that sum to less than 1. Cost is quadratic in
distinct texts: meant for thousands of failures, not millions.

Fallbacks for little data, so that a round with failures always has something to inject: when no cut is convincing all
failures form one cluster, and when every group is below the minimum size the groups of the largest size stay.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from quality.embedding import Embedder, LocalEmbedder, Vectors, normalised, terms_of, unit_rows
from schemas import Blame, Explanation, FailureCluster
from schemas.ids import content_id

Labels = NDArray[np.int64]
NOISE = -1
"""Label of a text that belongs to no cluster."""


class ClusterConfig(BaseModel):
    """How failures are grouped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    """Seed of the SVD, the bootstrap and the map."""
    min_cluster_size: int = Field(default=5, ge=1)
    """Failures; smaller groups are noise. 5: fewer can't be told from chance at some hundred failures. Below fifty
    failures a tenth of them is enough, two at least."""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """Of all failures; the minimum size is the larger of both, so that big rounds don't drown in splinters."""
    min_silhouette: float = Field(default=0.1, ge=-1, le=1)
    """Below this no split is believed and all failures form one cluster."""
    tolerance: float = Field(default=0.1, ge=0, lt=1)
    """Part of the best silhouette given up for fewer clusters. 0 splits by wording: equal texts separate perfectly
    (measured on 6 causes in 12 wordings with free words: 26 clusters at 0, 12 at 0.1)."""
    n_cuts: int = Field(default=24, ge=1, le=200)
    """Distances tried for the cut, evenly spaced between 0.05 and 0.95; more refine the choice slightly."""
    n_bootstrap: int = Field(default=20, ge=0, le=1000)
    """Resamples behind `stability_ari`; 0 reports a stability of 0. 20: its standard error is then about 0.02."""
    match_similarity: float = Field(default=0.6, ge=-1, le=1)
    """Cosine of two centroids from which a cluster counts as the continuation of one of the round before."""
    n_examples: int = Field(default=5, ge=1, le=50)
    """Texts kept per cluster, nearest the centroid first."""
    n_terms: int = Field(default=6, ge=1, le=50)
    """Distinctive terms kept per cluster; the first three are its label."""


@dataclass(frozen=True)
class FailureMap:
    """Explanations as points of a plane; near points are alike, axes have no unit."""

    xy: Vectors
    """Shape (n, 2)."""
    cluster: Labels
    """Index into the given clusters, -1 for noise."""


@dataclass(frozen=True)
class _Texts:
    """Distinct normalised texts: equal texts are one point with a weight, which keeps the tree small."""

    distinct: list[str]
    index: Labels
    """Row of each explanation in `distinct`."""
    weights: Vectors
    vectors: Vectors


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
    config = config or ClusterConfig()
    embed = embed or LocalEmbedder(seed=config.seed)
    blamed = agent_blamed(explanations)
    if not blamed:
        return []
    texts = _embedded(blamed, embed)
    distances = _cosine_distances(texts.vectors)
    labels = _grouped(distances, texts.weights, config)
    silhouettes = _silhouettes(distances, labels, texts.weights)
    stability = _stability(distances, labels, texts.weights, config)
    clusters = []
    for label, terms in zip(range(labels.max() + 1), _distinctive_terms(texts, labels, config.n_terms), strict=True):
        members = [i for i, row in enumerate(texts.index) if labels[row] == label]
        inside = labels == label
        silhouette = float(np.average(silhouettes[inside], weights=texts.weights[inside]))
        clusters.append(
            _cluster(
                [blamed[i] for i in members], texts.vectors[texts.index[members]], terms, len(blamed), config
            ).model_copy(update={"silhouette": silhouette, "stability_ari": stability})
        )
    clusters.sort(key=lambda cluster: (-cluster.size, cluster.cluster_id))
    return _matched(clusters, previous, embed, config)


def agent_blamed(explanations: Sequence[Explanation]) -> list[Explanation]:
    """The failures that training can cure, in id order: a simulator's or a task's fault is nothing to train on."""
    return sorted((e for e in explanations if e.blame is Blame.AGENT), key=lambda e: e.explanation_id)


def _embedded(blamed: Sequence[Explanation], embed: Embedder) -> _Texts:
    cleaned = [normalised(explanation.text) for explanation in blamed]
    distinct = sorted(set(cleaned))
    rows = {text: row for row, text in enumerate(distinct)}
    index = np.array([rows[text] for text in cleaned], dtype=np.int64)
    vectors = unit_rows(np.asarray(embed(distinct), dtype=np.float64))
    weights = np.bincount(index, minlength=len(distinct)).astype(np.float64)
    return _Texts(distinct, index, weights, vectors)


def _cosine_distances(vectors: Vectors) -> Vectors:
    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    np.fill_diagonal(distances, 0)
    return (distances + distances.T) / 2


def _grouped(distances: Vectors, weights: Vectors, config: ClusterConfig) -> Labels:
    """Labels 0..n-1 by first appearance, or NOISE: the coarsest cut that is nearly as good as the best."""
    cuts = [_without_splinters(labels, weights, config) for labels in _cuts(distances, config.n_cuts)]
    scored = [
        (float(np.average(_silhouettes(distances, labels, weights), weights=weights)), labels)
        for labels in cuts
        if labels.max() >= 1
    ]
    best = max((score for score, _ in scored), default=-1.0)
    if best < config.min_silhouette:
        return np.zeros(len(weights), dtype=np.int64)
    return [labels for score, labels in scored if score >= best - config.tolerance * abs(best)][-1]


def _cuts(distances: Vectors, n_cuts: int) -> Iterator[Labels]:
    """The tree's labelings from the finest to the coarsest cut, repeated ones left out."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(distances) < 2:
        return
    tree = linkage(squareform(distances, checks=False), method="average")
    seen: set[int] = set()
    for threshold in np.linspace(0.05, 0.95, n_cuts):
        labels = fcluster(tree, t=threshold, criterion="distance").astype(np.int64)
        if labels.max() not in seen:
            seen.add(int(labels.max()))
            yield labels - 1


def _without_splinters(labels: Labels, weights: Vectors, config: ClusterConfig) -> Labels:
    sizes = np.bincount(labels, weights=weights)
    n_failures = weights.sum()
    # A tenth of few failures is a cluster already: with 20 of them a fixed minimum of 5 would leave most as noise.
    wanted = max(min(config.min_cluster_size, max(2, n_failures / 10)), config.min_share * n_failures)
    minimum = min(wanted, sizes.max())
    names: dict[int, int] = {}
    return np.array([names.setdefault(g, len(names)) if sizes[g] >= minimum else NOISE for g in labels], dtype=np.int64)


def _silhouettes(distances: Vectors, labels: Labels, weights: Vectors) -> Vectors:
    """Silhouette of each distinct text, equal texts counted by weight; 0 for noise, lone ones, one cluster."""
    n_clusters = int(labels.max()) + 1
    if n_clusters < 2:
        return np.zeros(len(labels))
    inside = np.zeros((len(labels), n_clusters))
    kept = np.flatnonzero(labels != NOISE)
    inside[kept, labels[kept]] = weights[kept]
    totals, sizes = distances @ inside, inside.sum(axis=0)
    own_total, own_size = totals[kept, labels[kept]], sizes[labels[kept]]
    others = totals[kept] / sizes
    others[np.arange(len(kept)), labels[kept]] = np.inf
    nearest = others.min(axis=1)
    own = own_total / np.maximum(own_size - 1, 1)
    widest = np.maximum(own, nearest)
    scores = np.divide(nearest - own, widest, out=np.zeros(len(kept)), where=(widest > 0) & (own_size > 1))
    silhouettes = np.zeros(len(labels))
    silhouettes[kept] = scores
    return silhouettes


def _stability(distances: Vectors, labels: Labels, weights: Vectors, config: ClusterConfig) -> float:
    """Mean adjusted Rand index between this grouping and that of resampled failures, on the failures they share."""
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng([config.seed, 2])
    n_failures = int(weights.sum())
    scores = []
    for _ in range(config.n_bootstrap):
        drawn = rng.multinomial(n_failures, weights / weights.sum()).astype(np.float64)
        rows = np.flatnonzero(drawn)
        again = _grouped(distances[np.ix_(rows, rows)], drawn[rows], config)
        repeats = weights[rows].astype(np.int64)
        scores.append(adjusted_rand_score(np.repeat(labels[rows], repeats), np.repeat(again, repeats)))
    return float(np.clip(np.mean(scores), -1, 1)) if scores else 0.0


def _distinctive_terms(texts: _Texts, labels: Labels, n_terms: int) -> list[tuple[str, ...]]:
    """Terms of each cluster by class-based TF-IDF: frequent in the cluster, rare over all failures."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

    n_clusters = int(labels.max()) + 1
    # scikit-learn reads the analyzer's type from its default, which is a word.
    vectorizer = CountVectorizer(analyzer=terms_of, binary=True)  # pyright: ignore[reportArgumentType]
    try:
        present = csr_matrix(vectorizer.fit_transform(texts.distinct)).toarray() * texts.weights[:, None]
    except ValueError:
        # Raised for an empty vocabulary only: texts of ids and stop words have no terms.
        return [()] * n_clusters
    names = vectorizer.get_feature_names_out()
    overall = present.sum(axis=0) / texts.weights.sum()
    ranked = []
    for label in range(n_clusters):
        inside = labels == label
        share = present[inside].sum(axis=0) / texts.weights[inside].sum()
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
    pattern = min(patterns, key=lambda name: (-patterns[name], name))
    ids = tuple(member.explanation_id for member in members)
    examples = tuple(dict.fromkeys(members[i].text for i in order))[: config.n_examples]
    return FailureCluster(
        cluster_id=content_id("cluster", list(ids)),
        label=", ".join(terms[:3]) or pattern,
        terms=terms,
        pattern=pattern,
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


def map_2d(
    explanations: Sequence[Explanation],
    clusters: Sequence[FailureCluster],
    config: ClusterConfig | None = None,
    embed: Embedder | None = None,
) -> FailureMap:
    """Agent-blamed explanations in the plane, in id order, with the cluster each belongs to.

    t-SNE from ten distinct texts on, the two main axes of the embedding below; equal texts are scattered a little so
    that their number shows.
    """
    config = config or ClusterConfig()
    blamed = agent_blamed(explanations)
    membership = {member: i for i, cluster in enumerate(clusters) for member in cluster.explanation_ids}
    index = np.array([membership.get(e.explanation_id, NOISE) for e in blamed], dtype=np.int64)
    if not blamed:
        return FailureMap(np.zeros((0, 2)), index)
    texts = _embedded(blamed, embed or LocalEmbedder(seed=config.seed))
    plane = _plane(texts.vectors, config.seed)
    spread = np.ptp(plane, axis=0).max() or 1.0
    jitter = np.random.default_rng([config.seed, 3]).normal(0, 0.012 * spread, size=(len(blamed), 2))
    return FailureMap(plane[texts.index] + jitter, index)


def _plane(vectors: Vectors, seed: int) -> Vectors:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    centred = vectors - vectors.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    axes = (left * scale)[:, :2]
    axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    if len(vectors) < 10:
        return axes
    start = 1e-4 * axes / (axes.std(axis=0).max() or 1.0)
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    # scikit-learn reads the types of these two from their defaults, which are words.
    fixed = {"init": start, "learning_rate": 200.0}
    tsne = TSNE(perplexity=perplexity, random_state=seed, **fixed)  # pyright: ignore[reportArgumentType]
    # One thread: with more, sums depend on timing, and threads of two processes on two cores took 14 s instead of 0.1.
    with threadpool_limits(limits=1):
        return tsne.fit_transform(vectors).astype(np.float64)

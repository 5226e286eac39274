"""Explanations as points of a plane, for people to look at; nothing is decided on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quality.cluster_config import ClusterConfig
from quality.embedding import Embedder, LocalEmbedder, Vectors
from quality.failure_texts import agent_blamed, embedded_texts
from quality.grouping import NOISE, Labels, nearest
from schemas import Explanation, FailureCluster

__all__ = ["FailureMap", "map_2d"]


@dataclass(frozen=True)
class FailureMap:
    """Explanations as points of a plane; near points are alike, axes have no unit."""

    xy: Vectors
    """Shape (n, 2)."""
    cluster: Labels
    """Index into the given clusters, -1 for noise."""


def map_2d(
    explanations: Sequence[Explanation],
    clusters: Sequence[FailureCluster],
    config: ClusterConfig | None = None,
    embed: Embedder | None = None,
) -> FailureMap:
    """Agent-blamed explanations in the plane, in id order, with the cluster each belongs to.

    t-SNE from ten distinct texts on, the two main axes of the embedding below; equal texts are scattered a little so
    that their number shows. Of very many distinct texts a drawn part is laid out, the others lie at the nearest of it.
    """
    config = config or ClusterConfig()
    blamed = agent_blamed(explanations)
    membership = {member: i for i, cluster in enumerate(clusters) for member in cluster.explanation_ids}
    index = np.array([membership.get(e.explanation_id, NOISE) for e in blamed], dtype=np.int64)
    if not blamed:
        return FailureMap(np.zeros((0, 2)), index)
    texts = embedded_texts(blamed, embed or LocalEmbedder(seed=config.seed))
    plane = _drawn_plane(texts.points.vectors, config)
    spread = np.ptp(plane, axis=0).max() or 1.0
    jitter = np.random.default_rng([config.seed, 3]).normal(0, 0.012 * spread, size=(len(blamed), 2))
    return FailureMap(plane[texts.index] + jitter, index)


def _drawn_plane(vectors: Vectors, config: ClusterConfig) -> Vectors:
    if len(vectors) <= config.max_mapped:
        return _plane(vectors, config.seed)
    drawn = np.random.default_rng([config.seed, 6]).choice(len(vectors), config.max_mapped, replace=False)
    return _plane(vectors[drawn], config.seed)[nearest(vectors, vectors[drawn])[0]]


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

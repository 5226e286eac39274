"""Points with weights into groups of unknown number, noise kept as noise: by density, or by a tree.

Knows vectors only, no texts. A weight is how many equal texts stand at a point.

Density is HDBSCAN on the failures, equal texts as often as they occur, which is the only way to tell scikit-learn a
weight. Two changes make that right: nothing is nearer than `same_similarity`, or a text said twice would be infinitely
dense and no larger group could compete with it; and of very many failures a drawn part forms the groups, the others
join the nearest drawn one. The tree is average linkage over cosine distances, cut at the coarsest place where the
weighted silhouette (noise counts as 0) is nearly the best. Its cost is quadratic in distinct texts.

Fallbacks for little data, so that failures always give something to inject: when no split is convincing all form one
group, and when every group is below the minimum size those of the largest size stay. Density that leaves most of few
failures as noise convinces nobody; of many it is kept, for a gate to refuse.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quality.cluster_config import ClusterConfig
from quality.embedding import Vectors

__all__ = ["NOISE", "Labels", "Points", "draw", "group", "nearest", "silhouettes"]

Labels = NDArray[np.int64]
NOISE = -1
"""Label of a point that belongs to no group."""
FEW = 50
"""Failures below which sparse groups say nothing."""
_BLOCK = 1024
"""Rows of a distance matrix at once, where the whole isn't needed."""


@dataclass(frozen=True)
class Points:
    """Distinct points and how often each occurs."""

    vectors: Vectors
    """Shape (n, d), rows of length 1 or 0."""
    weights: Vectors
    """Shape (n,), whole numbers."""

    def chosen(self, rows: Labels, weights: Vectors) -> "Points":
        """Some of the points, with other weights."""
        return Points(self.vectors[rows], weights)


def group(points: Points, config: ClusterConfig) -> Labels:
    """Labels 0..n-1 by first appearance, or NOISE, of each point."""
    labels = _by_density(points, config) if config.method == "density" else _by_tree(points, config)
    return np.zeros(len(points.weights), dtype=np.int64) if labels is None else labels


def silhouettes(points: Points, labels: Labels) -> Vectors:
    """Silhouette of each point over cosine distances, by weight; 0 for noise, lone ones, one group.

    The sum of cosine distances to a group is its weight less the product with its sum of vectors, so no matrix of
    distances is needed: cost is linear in the points.
    """
    n_groups = int(labels.max()) + 1
    if n_groups < 2:
        return np.zeros(len(labels))
    kept = np.flatnonzero(labels != NOISE)
    inside = np.zeros((len(labels), n_groups))
    inside[kept, labels[kept]] = points.weights[kept]
    vectors, sizes = points.vectors[kept], inside.sum(axis=0)
    totals = np.maximum(sizes - vectors @ (points.vectors.T @ inside), 0)
    own_size = sizes[labels[kept]]
    # A text is at no distance from its equals, a text without words included.
    apart = points.weights[kept] * (1 - (vectors**2).sum(axis=1))
    own = np.maximum(totals[np.arange(len(kept)), labels[kept]] - apart, 0) / np.maximum(own_size - 1, 1)
    others = totals / sizes
    others[np.arange(len(kept)), labels[kept]] = np.inf
    nearest_other = others.min(axis=1)
    widest = np.maximum(own, nearest_other)
    scores = np.divide(nearest_other - own, widest, out=np.zeros(len(kept)), where=(widest > 0) & (own_size > 1))
    found = np.zeros(len(labels))
    found[kept] = scores
    return found


def draw(weights: Vectors, n: int, rng: np.random.Generator) -> Vectors:
    """So many of the failures at random without putting back: how many of each point, all when there are no more."""
    if weights.sum() <= n:
        return weights
    return rng.multivariate_hypergeometric(weights.astype(np.int64), n, method="marginals").astype(np.float64)


def nearest(vectors: Vectors, among: Vectors) -> tuple[Labels, Vectors]:
    """Row of `among` nearest to each vector, and the cosine to it."""
    rows, cosines = np.zeros(len(vectors), dtype=np.int64), np.zeros(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        products = vectors[start : start + _BLOCK] @ among.T
        rows[start : start + _BLOCK] = products.argmax(axis=1)
        cosines[start : start + _BLOCK] = products.max(axis=1)
    return rows, cosines


def _score(points: Points, labels: Labels) -> float:
    return float(np.average(silhouettes(points, labels), weights=points.weights))


def _min_size(n_failures: float, config: ClusterConfig) -> float:
    # A tenth of few failures is a cluster already: with 20 of them a fixed minimum of 5 would leave most as noise.
    return max(min(config.min_cluster_size, max(2, n_failures / 10)), config.min_share * n_failures)


def _by_density(points: Points, config: ClusterConfig) -> Labels | None:
    """HDBSCAN's groups; None when it finds fewer than two, or none that stand apart."""
    from sklearn.cluster import HDBSCAN

    drawn = draw(points.weights, config.max_dense, np.random.default_rng([config.seed, 4]))
    rows = np.flatnonzero(drawn)
    n_drawn = int(drawn.sum())
    min_size = max(2, int(np.ceil(_min_size(n_drawn, config))))
    if n_drawn < 2 * min_size:
        return None
    finder = HDBSCAN(
        min_cluster_size=min_size,
        # A group as small as is wanted must be able to be dense: of few failures a wanted group has fewer neighbours.
        min_samples=min(config.n_neighbours, min_size),
        metric="precomputed",
        copy=False,  # pyright: ignore[reportArgumentType]  (read from the default, which is a word)
    )
    repeats = np.repeat(rows, drawn[rows].astype(np.int64))
    found = finder.fit(_bounded_distances(points.vectors[repeats], config.same_similarity)).labels_
    # Ties may put one of several equal texts outside: one that is inside speaks for all of them.
    labels = np.full(len(points.weights), NOISE, dtype=np.int64)
    np.maximum.at(labels, repeats, found)
    labels = _renamed(labels)
    _let_join(labels, points, drawn > 0)
    if n_drawn < FEW and points.weights[labels == NOISE].sum() > n_drawn / 2:
        return None
    return labels if labels.max() >= 1 and _score(points, labels) >= config.min_silhouette else None


def _bounded_distances(vectors: Vectors, same_similarity: float) -> Vectors:
    """Euclidean distances, none below that of two unit vectors with this cosine; in one matrix, which is large."""
    lengths = (vectors**2).sum(axis=1)
    distances = vectors @ vectors.T
    distances *= -2
    distances += lengths[:, None]
    distances += lengths
    np.maximum(distances, 2 * (1 - same_similarity), out=distances)
    np.sqrt(distances, out=distances)
    np.fill_diagonal(distances, 0)
    return distances


def _let_join(labels: Labels, points: Points, was_drawn: NDArray[np.bool_]) -> None:
    """Labels of those not drawn: as the nearest drawn one, noise if no two drawn members are that far apart."""
    left, known = np.flatnonzero(~was_drawn), np.flatnonzero(was_drawn)
    if not len(left):
        return
    at, cosines = nearest(points.vectors[left], points.vectors[known])
    own = labels[known[at]]
    # One place more than there are groups: noise, label -1, is at the end and fits nobody.
    reach = np.full(labels.max() + 2, np.inf)
    for label in range(labels.max() + 1):
        reach[label] = _loosest(points.vectors[labels == label])
    labels[left] = np.where(cosines >= reach[own], own, NOISE)


def _loosest(vectors: Vectors) -> float:
    """The smallest cosine of a member to its nearest fellow; of a lone member, what equal texts have."""
    if len(vectors) < 2:
        return 1 - 1e-9
    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    return float(products.max(axis=1).min())


def _by_tree(points: Points, config: ClusterConfig) -> Labels | None:
    """The coarsest cut that is nearly as good as the best; None when every cut leaves one group."""
    cuts = [_without_splinters(labels, points.weights, config) for labels in _cuts(points.vectors, config.n_cuts)]
    scored = [(_score(points, labels), labels) for labels in cuts if labels.max() >= 1]
    best = max((score for score, _ in scored), default=-1.0)
    good = [labels for score, labels in scored if score >= best - config.tolerance * abs(best)]
    return good[-1] if good and best >= config.min_silhouette else None


def _cuts(vectors: Vectors, n_cuts: int) -> Iterator[Labels]:
    """The tree's labelings from the finest to the coarsest cut, repeated ones left out."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(vectors) < 2:
        return
    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform((distances + distances.T) / 2, checks=False), method="average")
    seen: set[int] = set()
    for threshold in np.linspace(0.05, 0.95, n_cuts):
        labels = fcluster(tree, t=threshold, criterion="distance").astype(np.int64)
        if labels.max() not in seen:
            seen.add(int(labels.max()))
            yield labels - 1


def _without_splinters(labels: Labels, weights: Vectors, config: ClusterConfig) -> Labels:
    sizes = np.bincount(labels, weights=weights)
    minimum = min(_min_size(weights.sum(), config), sizes.max())
    return _renamed(np.where(sizes[labels] >= minimum, labels, NOISE))


def _renamed(labels: Labels) -> Labels:
    """The groups numbered by first appearance."""
    names: dict[int, int] = {}
    return np.array([NOISE if g == NOISE else names.setdefault(g, len(names)) for g in labels.tolist()], dtype=np.int64)

"""How much of a grouping is chance: the same failures resampled, or embedded with other seeds, and grouped again.

Both figures are mean adjusted Rand indices between the grouping and the ones made again, on the failures they share.
"""

from collections.abc import Callable

import numpy as np

from quality.cluster_config import ClusterConfig
from quality.embedding import Vectors, unit_rows
from quality.grouping import Labels, Points, draw, group

__all__ = ["bootstrap_ari", "seed_ari"]


def bootstrap_ari(points: Points, labels: Labels, config: ClusterConfig) -> float:
    """Against groupings of failures drawn with putting back; 0 without resamples."""
    rng = np.random.default_rng([config.seed, 2])
    n_drawn = int(min(points.weights.sum(), config.max_resampled))
    scores = []
    for _ in range(config.n_bootstrap):
        drawn = rng.multinomial(n_drawn, points.weights / points.weights.sum()).astype(np.float64)
        rows = np.flatnonzero(drawn)
        again = group(points.chosen(rows, drawn[rows]), config)
        scores.append(_agreement(labels[rows], again, points.weights[rows]))
    return float(np.clip(np.mean(scores), -1, 1)) if scores else 0.0


def seed_ari(
    points: Points, labels: Labels, config: ClusterConfig, embedded: Callable[[Labels, int], Vectors]
) -> float | None:
    """Against groupings of the same failures in other embeddings; None without other seeds.

    Args:
        points: What was grouped.
        labels: The grouping.
        config: How it was made.
        embedded: Rows of `points` and a seed -> their vectors under that seed.
    """
    drawn = draw(points.weights, config.max_resampled, np.random.default_rng([config.seed, 5]))
    rows = np.flatnonzero(drawn)
    scores = []
    for seed in range(config.seed + 1, config.seed + 1 + config.n_seeds):
        vectors = unit_rows(np.asarray(embedded(rows, seed), dtype=np.float64))
        again = group(Points(vectors, drawn[rows]), config.model_copy(update={"seed": seed}))
        scores.append(_agreement(labels[rows], again, drawn[rows]))
    return float(np.clip(np.mean(scores), -1, 1)) if scores else None


def _agreement(one: Labels, other: Labels, weights: Vectors) -> float:
    from sklearn.metrics import adjusted_rand_score

    repeats = weights.astype(np.int64)
    return float(adjusted_rand_score(np.repeat(one, repeats), np.repeat(other, repeats)))

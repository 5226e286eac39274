"""Clusters of failures beside what one would do otherwise: `python -m tests.bench.bench_clusters`.

Sets whose causes are known: planted failures in the words of the embedded judge (few texts, each said often), and
distinct texts of a seeded grammar with ten causes and some without one. Beside ours stand scikit-learn's k-means, told
the true number of causes, and its HDBSCAN as it comes, both on the same vectors. Ours measures both stabilities too.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score

from quality.cluster_config import ClusterConfig
from quality.cluster_map import map_2d
from quality.clusters import cluster_explanations
from quality.embedding import LocalEmbedder, Vectors, normalised
from quality.judge import DiffJudge, Failure
from quality.judge_measure import planted_set
from schemas import Explanation
from tests.fixtures.free_texts import free_explanations

Group = Callable[[Sequence[Explanation]], "list[int] | np.ndarray"]


def ours(rows: Sequence[Explanation], config: ClusterConfig) -> list[int]:
    """Label of each explanation, with both stabilities measured on the way."""
    found = cluster_explanations(rows, config)
    of = {member: index for index, cluster in enumerate(found) for member in cluster.explanation_ids}
    return [of.get(row.explanation_id, -1) for row in rows]


def embedded(rows: Sequence[Explanation]) -> Vectors:
    """A vector for each explanation, equal texts repeated."""
    return LocalEmbedder()([normalised(row.text) for row in rows])


def planted() -> list[Explanation]:
    """In the embedded judge's words; `pattern` is the truth."""
    plants = planted_set()
    said = DiffJudge().explain_all([Failure(each.task, each.trajectory) for each in plants])
    agents = [(row, plant) for row, plant in zip(said, plants, strict=True) if row.blame == plant.blame == "agent"]
    return [row.model_copy(update={"pattern": plant.pattern}) for row, plant in agents]


def line(name: str, rows: Sequence[Explanation], group: Group) -> None:
    """Measure one way."""
    wall, cpu = time.perf_counter(), time.process_time()
    labels = np.asarray(group(rows))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    ari = adjusted_rand_score([row.pattern for row in rows], labels)
    noise = float((labels == -1).mean())
    shares = f"{labels.max() + 1} | {noise:.1%} | {ari:.3f}"
    print(f"| {name} | {len(rows):,} | {shares} | {cpu:.1f} s | {wall:.1f} s |", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000, help="distinct texts of the large set")
    n_large = parser.parse_args(arguments).n
    sets = {"planted": planted(), "free": free_explanations(1000), "free, many": free_explanations(n_large)}
    print("\n| way | failures | clusters | noise | ARI with the causes | CPU | wall |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, rows in sets.items():
        n_causes = len({row.pattern for row in rows})
        line(f"{name}: ours, density", rows, lambda rows: ours(rows, ClusterConfig()))
        if len(rows) <= 1000:
            line(f"{name}: ours, tree", rows, lambda rows: ours(rows, ClusterConfig(method="tree")))
        kmeans = KMeans(n_causes, random_state=0)
        line(f"{name}: k-means, told k", rows, lambda rows, kmeans=kmeans: kmeans.fit_predict(embedded(rows)))
        line(f"{name}: HDBSCAN", rows, lambda rows: HDBSCAN(copy=True).fit_predict(embedded(rows)))
    rows = sets["free, many"]
    started = time.process_time()
    map_2d(rows, [])
    print(f"\nThe map of {len(rows):,} distinct texts: {time.process_time() - started:.1f} s of CPU.")


if __name__ == "__main__":
    main()

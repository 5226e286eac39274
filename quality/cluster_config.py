"""Settings of failure clusters."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ClusterConfig"]


class ClusterConfig(BaseModel):
    """How failures are grouped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["density", "tree"] = "density"
    """`density`: HDBSCAN; `tree`: an average-linkage tree cut by silhouette. On planted failures the first finds the
    causes better (`python -m tests.bench.bench_clusters`), and it takes thousands of distinct texts."""
    seed: int = Field(default=0, ge=0)
    """Seed of the SVD, of every sample and of the map."""
    min_cluster_size: int = Field(default=5, ge=1)
    """Failures; smaller groups are noise. 5: fewer can't be told from chance at some hundred failures. Below fifty
    failures a tenth of them is enough, two at least."""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """Of all failures; the minimum size is the larger of both, so that big rounds don't drown in splinters."""
    min_silhouette: float = Field(default=0.1, ge=-1, le=1)
    """Below this no split is believed and all failures form one cluster."""
    same_similarity: float = Field(default=0.8, ge=-1, lt=1)
    """Density: cosine above which nearer is no denser. Equal texts would else be infinitely dense and every frequent
    wording a cluster of its own (six demo rounds: 20 to 34 clusters without a bound, 18 to 23 at 0.8)."""
    n_neighbours: int = Field(default=5, ge=1, le=100)
    """Density: a text is as dense as the distance to so many failures, itself one of them, or to as many as the
    smallest group has where that is fewer. 5: a share of the round, as HDBSCAN's own default would have it, makes a
    sixth of 2,000 free texts noise."""
    max_dense: int = Field(default=4000, ge=100, le=20_000)
    """Density: failures that form the clusters, drawn at random from more; the others join the nearest of them. Time
    and memory are quadratic in it: 4,000 take 2 s and 0.5 GB."""
    tolerance: float = Field(default=0.1, ge=0, lt=1)
    """Tree: part of the best silhouette given up for fewer clusters. 0 splits by wording: equal texts separate
    perfectly (measured on 6 causes in 12 wordings with free words: 26 clusters at 0, 12 at 0.1)."""
    n_cuts: int = Field(default=24, ge=1, le=200)
    """Tree: distances tried for the cut, evenly spaced between 0.05 and 0.95; more refine the choice slightly."""
    n_bootstrap: int = Field(default=20, ge=0, le=1000)
    """Resamples behind `stability_ari`; 0 reports a stability of 0. 20: its standard error is then about 0.02."""
    n_seeds: int = Field(default=5, ge=0, le=100)
    """Other seeds of the embedder behind `seed_ari`; 0 reports none."""
    max_resampled: int = Field(default=1500, ge=10, le=20_000)
    """Failures in one resample, of the bootstrap and of the seeds: 25 groupings of 10,000 would take minutes. A smaller
    round sees as many as it has; in a larger one the smaller sample makes both figures a little pessimistic."""
    max_mapped: int = Field(default=1000, ge=10, le=20_000)
    """Distinct texts that t-SNE lays out, drawn at random; the others lie at the nearest of them."""
    match_similarity: float = Field(default=0.6, ge=-1, le=1)
    """Cosine of two centroids from which a cluster counts as the continuation of one of the round before."""
    n_examples: int = Field(default=5, ge=1, le=50)
    """Texts kept per cluster, nearest the centroid first."""
    n_terms: int = Field(default=6, ge=1, le=50)
    """Distinctive terms kept per cluster; the first three are its label."""

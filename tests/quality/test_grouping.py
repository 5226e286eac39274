"""Groups of points with weights: equal texts count as often as they were said, what stands alone is noise."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from quality.cluster_config import ClusterConfig
from quality.embedding import Vectors, unit_rows
from quality.grouping import NOISE, Labels, Points, draw, group, silhouettes

METHODS = ("density", "tree")
Method = Literal["density", "tree"]


def wordings(*angles_deg: float, weights: list[int]) -> Points:
    """Directions of a plane, weighted."""
    angles = np.radians(angles_deg)
    return Points(np.column_stack([np.cos(angles), np.sin(angles)]), np.array(weights, dtype=np.float64))


def blobs(n: int, seed: int = 0, spread: float = 0.06) -> tuple[Points, Labels]:
    """Three narrow causes in eight dimensions, and every tenth point anywhere."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, size=n)
    vectors = np.eye(8)[truth] + rng.normal(0, spread, size=(n, 8))
    odd = rng.random(n) < 0.1
    vectors[odd] = rng.normal(size=(int(odd.sum()), 8))
    truth[odd] = NOISE
    return Points(unit_rows(vectors), np.ones(n)), truth


@pytest.mark.parametrize("method", METHODS)
def test_frequent_wordings_of_one_cause_are_one_group(method: Method) -> None:
    # Four wordings 20 degrees apart, each said thirty times, and another cause across.
    points = wordings(0, 20, 40, 160, 180, weights=[30] * 5)
    assert group(points, ClusterConfig(method=method)).tolist() == [0, 0, 0, 1, 1]


def test_without_a_bound_on_density_every_frequent_wording_is_a_group_of_its_own() -> None:
    points = wordings(0, 20, 40, 160, 180, weights=[30] * 5)
    unbounded = ClusterConfig(same_similarity=1 - 1e-9, min_silhouette=-1)
    assert group(points, unbounded).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("method", METHODS)
def test_a_text_counts_as_often_as_it_was_said(method: Method) -> None:
    said_once = wordings(0, 10, 90, 100, 200, weights=[30, 30, 30, 30, 1])
    assert group(said_once, ClusterConfig(method=method)).tolist() == [0, 0, 1, 1, NOISE]
    said_often = wordings(0, 10, 90, 100, 200, weights=[30, 30, 30, 30, 20])
    assert group(said_often, ClusterConfig(method=method)).tolist() == [0, 0, 1, 1, 2]


def test_points_anywhere_are_noise_and_causes_are_found() -> None:
    points, truth = blobs(300)
    found = group(points, ClusterConfig())
    assert found.max() == 2 and adjusted_rand_score(truth, found) > 0.9


def test_causes_are_found_from_a_drawn_part_and_what_is_left_joins_or_stays_noise() -> None:
    points, truth = blobs(1200)
    found = group(points, ClusterConfig(max_dense=300))
    assert found.max() == 2 and adjusted_rand_score(truth, found) > 0.9
    assert (found[truth == NOISE] == NOISE).mean() > 0.7
    assert np.array_equal(found, group(points, ClusterConfig(max_dense=300)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_points_or_points_without_structure_are_one_group(method: Method, n: int) -> None:
    assert group(wordings(*range(n), weights=[1] * n), ClusterConfig(method=method)).tolist() == [0] * n
    everywhere = Points(unit_rows(np.random.default_rng(n).normal(size=(60, 40))), np.ones(60))
    assert set(group(everywhere, ClusterConfig(method=method)).tolist()) == {0}


def test_texts_without_words_are_equal_to_each_other_alone() -> None:
    vectors = np.vstack([np.zeros((1, 2)), wordings(0, 90, weights=[1, 1]).vectors])
    found = group(Points(vectors, np.array([20.0, 20.0, 20.0])), ClusterConfig())
    assert found.tolist() == [0, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 35), st.integers(1, 6)), min_size=1, max_size=12))
def test_whatever_the_points_every_group_has_members_and_labels_count_up_from_nothing(
    said: list[tuple[int, int]],
) -> None:
    points = wordings(*(10 * place for place, _ in said), weights=[weight for _, weight in said])
    for method in METHODS:
        found = group(points, ClusterConfig(method=method))
        assert set(found.tolist()) - {NOISE} == set(range(found.max() + 1)) and found.max() >= 0
        kept = [label for label in found.tolist() if label != NOISE]
        assert list(dict.fromkeys(kept)) == sorted(set(kept))


def cosine_distances(vectors: Vectors) -> Vectors:
    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    np.fill_diagonal(distances, 0)
    return distances


def test_our_weighted_silhouette_equals_scikit_learns_on_repeated_points() -> None:
    rng = np.random.default_rng(0)
    vectors, labels = unit_rows(rng.normal(size=(30, 4))), rng.integers(0, 3, size=30)
    for weights in (np.ones(30, dtype=np.int64), rng.integers(1, 4, size=30)):
        repeated = np.repeat(np.arange(30), weights)
        expanded = cosine_distances(vectors)[np.ix_(repeated, repeated)]
        theirs = np.asarray(silhouette_samples(expanded, labels[repeated], metric="precomputed"))
        assert np.allclose(silhouettes(Points(vectors, weights.astype(float)), labels)[repeated], theirs)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(0, 2000), st.integers(0, 9))
def test_a_draw_takes_as_many_as_asked_and_none_twice(weights: list[int], n: int, seed: int) -> None:
    held = np.array(weights, dtype=np.float64)
    drawn = draw(held, n, np.random.default_rng(seed))
    assert drawn.sum() == min(n, held.sum()) and (drawn <= held).all() and (drawn >= 0).all()


def test_few_failures_of_which_most_stand_alone_are_one_group_and_many_keep_their_noise() -> None:
    def scattered(n: int) -> Points:
        dense = np.eye(100)[np.repeat([0, 1], n // 6)]
        alone = np.eye(100)[2 + np.arange(n - len(dense)) % 98]
        return Points(unit_rows(np.vstack([dense, alone])), np.ones(n))

    assert set(group(scattered(24), ClusterConfig()).tolist()) == {0}
    many = group(scattered(120), ClusterConfig())
    assert many.max() == 1 and (many == NOISE).mean() > 0.5

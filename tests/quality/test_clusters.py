"""Clusters: planted causes are found from words alone, little data works, nothing depends on order."""

import random
from typing import Literal

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from quality.cluster_map import map_2d
from quality.clusters import ClusterConfig, cluster_explanations
from quality.embedding import LocalEmbedder, normalised
from quality.grouping import NOISE
from schemas import Blame, Explanation
from tests.fixtures.free_texts import free_explanations
from tests.quality.builders import make_explanation

CAUSES = {
    "wrong_variant": "the agent picked variant {i} in {c}, but the user wanted another colour of item {i}",
    "never_confirmed": "no confirmation was obtained before {t} changed order {o}",
    "ended_early": "the conversation stopped before all steps, the {p} return was still missing",
    "repeat_tool": "same call repeated {n} times without progress on order {o}",
}
WORDS = {"c": ["black", "steel", "red", "blue"], "p": ["lamp", "chair", "laptop", "mug"], "t": ["cancel", "modify"]}


def planted(n: int, seed: int = 0) -> list[Explanation]:
    rng = random.Random(seed)
    rows = []
    for index in range(n):
        pattern = rng.choice(list(CAUSES))
        free = {name: rng.choice(words) for name, words in WORDS.items()}
        text = CAUSES[pattern].format(
            i=rng.randrange(10**10), o=f"#W{rng.randrange(10**7):07d}", n=rng.randint(2, 9), **free
        )
        rows.append(make_explanation(index, text, pattern=pattern))
    return rows


@pytest.mark.parametrize("method", ["density", "tree"])
def test_planted_causes_are_found_and_named(method: Literal["density", "tree"]) -> None:
    rows = planted(200)
    found = cluster_explanations(rows, ClusterConfig(method=method))
    owner = {member: i for i, cluster in enumerate(found) for member in cluster.explanation_ids}
    patterns = [row.pattern for row in rows]
    assert adjusted_rand_score(patterns, [owner.get(row.explanation_id, NOISE) for row in rows]) > 0.8
    assert {cluster.pattern for cluster in found} == set(CAUSES)
    for cluster in found:
        assert {row.pattern for row in rows if row.explanation_id in cluster.explanation_ids} == {cluster.pattern}
    assert [cluster.size for cluster in found] == sorted((cluster.size for cluster in found), reverse=True)
    assert all(cluster.stability_ari > 0.8 and cluster.silhouette > 0.3 for cluster in found)
    label = next(cluster.label for cluster in found if cluster.pattern == "never_confirmed")
    assert "confirmation" in label


def test_the_same_failures_in_any_order_give_the_same_clusters() -> None:
    rows = planted(80)
    shuffled = random.Random(1).sample(rows, len(rows))
    assert cluster_explanations(rows) == cluster_explanations(shuffled)


def test_the_pattern_named_by_the_judge_does_not_form_clusters() -> None:
    rows = planted(100)
    renamed = [row.model_copy(update={"pattern": "other"}) for row in rows]
    members = [cluster.explanation_ids for cluster in cluster_explanations(rows)]
    assert [cluster.explanation_ids for cluster in cluster_explanations(renamed)] == members


def test_only_failures_of_the_agent_are_clustered() -> None:
    rows = planted(40)
    foreign = [row.model_copy(update={"blame": Blame.USER}) for row in rows[:20]]
    clusters = cluster_explanations([*foreign, *rows[20:]])
    members = {member for cluster in clusters for member in cluster.explanation_ids}
    assert members <= {row.explanation_id for row in rows[20:]}
    assert sum(cluster.share for cluster in clusters) <= 1 + 1e-9
    assert cluster_explanations(foreign) == []


@pytest.mark.parametrize("n", [1, 2, 3, 5, 9])
def test_few_failures_still_give_something_to_inject(n: int) -> None:
    found = cluster_explanations(planted(n))
    assert found
    assert all(cluster.size == len(cluster.explanation_ids) for cluster in found)


def test_texts_that_say_nothing_form_one_cluster() -> None:
    (cluster,) = cluster_explanations([make_explanation(i, f"#W000000{i}") for i in range(6)])
    assert (cluster.size, cluster.label, cluster.terms) == (6, "wrong_order", ())


def test_odd_failures_stay_out_of_every_cluster() -> None:
    odd = make_explanation(9000, "unrelated zebra vocabulary harmonica", pattern="other")
    found = cluster_explanations([*planted(120), odd])
    assert odd.explanation_id not in {member for cluster in found for member in cluster.explanation_ids}
    assert sum(cluster.share for cluster in found) < 1


def test_a_cause_of_the_round_before_is_recognised_and_a_new_one_is_new() -> None:
    before = cluster_explanations([row for row in planted(120, 1) if row.pattern != "repeat_tool"])
    now = cluster_explanations(planted(160, 2), previous=before)
    past = {cluster.cluster_id: cluster.pattern for cluster in before}
    for cluster in now:
        expected = None if cluster.pattern == "repeat_tool" else cluster.pattern
        assert past.get(cluster.previous_cluster_id or "") == expected
    alone = cluster_explanations(planted(160, 2))
    assert [cluster.explanation_ids for cluster in alone] == [cluster.explanation_ids for cluster in now]


def test_examples_are_members_texts_and_bounded() -> None:
    rows = planted(100)
    texts = {row.explanation_id: row.text for row in rows}
    for cluster in cluster_explanations(rows, ClusterConfig(n_examples=3, n_terms=2)):
        assert 1 <= len(cluster.example_texts) <= 3 and len(cluster.terms) <= 2
        assert set(cluster.example_texts) <= {texts[member] for member in cluster.explanation_ids}


def test_another_embedder_can_be_passed() -> None:
    def by_length(texts: object) -> np.ndarray:
        return np.array([[1.0, 0.0] if "colour" in text else [0.0, 1.0] for text in texts])  # type: ignore[attr-defined]

    found = cluster_explanations(planted(60), embed=by_length)
    assert len(found) == 2
    assert all(cluster.seed_ari is None for cluster in found), "an embedder without a seed has no other seeds"


def test_stability_is_high_for_clear_causes_and_low_for_drawn_words() -> None:
    clear = cluster_explanations(planted(120))
    assert all(cluster.seed_ari == 1 and cluster.stability_ari > 0.9 for cluster in clear)
    rng = random.Random(0)
    words = [f"word{chr(97 + i)}{chr(97 + j)}" for i in range(8) for j in range(8)]
    drawn = [make_explanation(i, " ".join(rng.sample(words, 6))) for i in range(120)]
    vague = cluster_explanations(drawn, ClusterConfig(min_silhouette=-1))
    assert all(cluster.stability_ari < 0.5 for cluster in vague)
    unmeasured = ClusterConfig(n_seeds=0, n_bootstrap=0)
    assert {(c.seed_ari, c.stability_ari) for c in cluster_explanations(planted(120), unmeasured)} == {(None, 0.0)}


def test_particulars_of_an_episode_are_taken_out() -> None:
    text = 'Order #W1234567 of mei_kovacs_8020 (a@b.com), item 1234567890: "cancel it", $12.50 by gift_card_123, o1'
    assert normalised(text) == "order of item : , by ,"
    assert normalised("called cancel_pending_order without asking") == "called cancel_pending_order without asking"


def test_the_local_embedder_is_deterministic_and_of_unit_length() -> None:
    texts = [normalised(row.text) for row in planted(50)]
    first, second = LocalEmbedder(seed=1)(texts), LocalEmbedder(seed=1)(texts)
    assert np.array_equal(first, second)
    assert np.allclose(np.linalg.norm(first, axis=1), 1)


@pytest.mark.parametrize("n", [0, 1, 4, 60])
def test_the_map_has_one_finite_point_per_failure(n: int) -> None:
    rows = planted(n)
    found = cluster_explanations(rows)
    points = map_2d(rows, found)
    assert points.xy.shape == (n, 2) and np.isfinite(points.xy).all()
    assert np.array_equal(points.xy, map_2d(rows, found).xy)
    assert set(points.cluster.tolist()) <= {NOISE, *range(len(found))}


def test_a_large_map_lays_out_a_drawn_part_and_puts_the_rest_beside_its_like() -> None:
    rows = free_explanations(150)
    found = cluster_explanations(rows, ClusterConfig(n_bootstrap=0, n_seeds=0))
    points = map_2d(rows, found, ClusterConfig(max_mapped=40))
    assert points.xy.shape == (150, 2) and np.isfinite(points.xy).all()
    # Within the scatter of equal texts there are as many places as texts were laid out.
    width = np.ptp(points.xy, axis=0).max()
    apart = np.linalg.norm(points.xy[:, None] - points.xy[None], axis=2)
    assert sum((apart[i, :i] > 0.12 * width).all() for i in range(150)) <= 40

import pytest

from assets.rounds import ROUNDS, UP_TO, known_round, next_round, up_to
from assets.stage import derived_seed
from schemas import UnknownRoundError


def test_a_round_reads_all_rounds_up_to_itself():
    assert up_to("round-003") == ("round-001", "round-002", "round-003")
    assert up_to("bootstrap") == ()
    assert UP_TO.downstream_partition_keys_by_upstream_partition_key["round-031"] == ["round-031", "round-032"]


def test_the_round_after_the_last_one_is_none():
    assert next_round("round-001") == "round-002"
    assert next_round(ROUNDS.get_partition_keys()[-1]) is None


@pytest.mark.parametrize("key", ["round-033", "round-000", "round-1", "", "bootstrap"])
def test_an_unknown_round_is_named_with_the_range(key: str):
    with pytest.raises(UnknownRoundError, match=r"expected one of round-001\.\.round-032"):
        known_round(key)


def test_seeds_differ_by_purpose_and_round_and_are_stable():
    seeds = {derived_seed(0, a, b) for a in ("sft", "rl") for b in ("round-001", "round-002")}
    assert len(seeds) == 4
    assert derived_seed(0, "sft", "bootstrap") == derived_seed(0, "sft", "bootstrap")
    assert derived_seed(1, "sft", "bootstrap") != derived_seed(0, "sft", "bootstrap")
    assert all(0 <= seed < 2**31 for seed in seeds)

"""Failures that are the user's: the agent did nothing wrong, the user's mistake stands where it is said to stand."""

from collections import Counter
from functools import cache

from env_sim.planted import PlantedFailure
from env_sim.planted_users import MADE_BY, plant_user_failures
from schemas import Blame, StopReason
from tests.fixtures.retail import databases, tasks

ENDS = {
    "leave": StopReason.USER_DONE,
    "anger": StopReason.USER_LEFT,
    "refuse": StopReason.TRANSFER,
}


@cache
def planted() -> tuple[PlantedFailure, ...]:
    return tuple(plant_user_failures("retail", databases(), tasks(160), 0, 4))


def test_each_spoiled_user_fails_as_often_as_asked() -> None:
    assert Counter(each.trajectory.stop_reason for each in planted()) == dict.fromkeys(ENDS.values(), 4)
    assert all(each.trajectory.reward.success == 0 and each.blame is Blame.USER for each in planted())
    assert {each.trajectory.policy_version for each in planted()} == {MADE_BY}


def test_the_users_mistake_is_where_it_is_said_to_be_and_nearly_always_noticed() -> None:
    for each in planted():
        assert each.trajectory.messages[each.decisive_turn].role == "user" and each.decisive_turn > 0
    noticed = [each for each in planted() if each.trajectory.user_fault]
    assert len(noticed) >= 10
    assert all(each.trajectory.user_fault and each.trajectory.user_fault.turn == each.decisive_turn for each in noticed)


def test_the_agent_writes_nothing_that_is_not_required_and_nothing_against_a_no() -> None:
    for each in planted():
        assert all(write in each.task.criteria.writes for write in each.trajectory.writes)


def test_equal_seeds_plant_equal_failures_and_another_seed_other_words() -> None:
    assert plant_user_failures("retail", databases(), tasks(160), 0, 4) == list(planted())
    other = plant_user_failures("retail", databases(), tasks(160), 1, 4)
    assert [each.trajectory.messages for each in other] != [each.trajectory.messages for each in planted()]

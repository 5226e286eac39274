"""Planted failures fail in the real world, and for the planted reason."""

from collections import Counter
from functools import cache

from env_sim import load_domain
from env_sim.planted import PlantedFailure, plant_failures
from env_sim.task_kits import load_task_kit
from schemas import StopReason
from tests.fixtures.retail import databases, tasks


@cache
def planted() -> tuple[PlantedFailure, ...]:
    return tuple(plant_failures("retail", databases(), tasks(160), 0, 3))


def test_all_difficult_patterns_can_be_planted() -> None:
    patterns = set(load_task_kit("retail").pattern_names())
    assert Counter(each.pattern for each in planted()) == dict.fromkeys(patterns, 3)


def test_planted_failures_fail() -> None:
    assert all(each.trajectory.reward.success == 0 for each in planted())


def test_a_wrong_write_stands_at_the_decisive_turn_and_the_world_took_it() -> None:
    for each in planted():
        if each.trajectory.writes and each.pattern not in ("ended_early", "mixed_orders"):
            message = each.trajectory.messages[each.decisive_turn]
            assert [call.name for call in message.tool_calls] == [each.trajectory.writes[0].name]
            assert message.tool_calls[0].arguments == each.trajectory.writes[0].arguments
            assert each.trajectory.writes[0] not in each.task.criteria.writes


def test_a_guess_leaves_the_question_out() -> None:
    for each in planted():
        if each.pattern in ("order_not_asked", "variant_not_asked", "ambiguous_name"):
            said = " ".join(m.content for m in each.trajectory.messages if m.role == "assistant")
            assert "Which" not in said


def test_before_the_decisive_turn_all_went_as_the_expert_would_have_it() -> None:
    domain = load_domain("retail")
    for each in planted():
        before = each.trajectory.messages[: each.decisive_turn]
        base = domain.open_database(databases()[each.task.database_id])
        environment = domain.new_environment(base)
        for message in before:
            for call in message.tool_calls:
                assert not environment.call(call.name, dict(call.arguments)).error


def test_endings_end_as_they_are_called() -> None:
    by_pattern = {each.pattern: each.trajectory for each in planted()}
    assert by_pattern["lost_in_search"].stop_reason is StopReason.MAX_TURNS
    assert by_pattern["lost_in_search"].reward.repeats > 3
    assert by_pattern["ended_early"].stop_reason is StopReason.USER_LEFT
    assert len(by_pattern["mixed_orders"].writes) == 1
    assert by_pattern["not_confirmed"].stop_reason is StopReason.USER_LEFT and not by_pattern["not_confirmed"].writes


def test_the_agents_plants_are_nobody_elses_fault() -> None:
    # A user who confirms by detail and is asked for a guess has nothing to say yes to.
    assert [each.pattern for each in planted() if each.trajectory.user_fault] == []


def test_equal_seeds_plant_equal_failures() -> None:
    assert plant_failures("retail", databases(), tasks(160), 0, 3) == list(planted())

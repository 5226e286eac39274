"""The airline's task kit: databases, wishes, words, expert, compact language."""

import json
import re
from collections import Counter
from itertools import pairwise
from statistics import mean

import pytest

from env_sim import load_domain
from env_sim.compact import CompactRenderer
from env_sim.domains.airline.entity_numbers import (
    MAX_RESERVATIONS,
    airline_code,
    flight_numbers,
    reservation_ids,
)
from env_sim.domains.airline.generator import default_n_flights
from env_sim.domains.airline.permissions import forbidden
from env_sim.domains.airline.word_rules import RESERVATION_ID
from env_sim.episode import Episode, run_episode
from env_sim.monitor import monitor
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate, make_tasks, replay, standard_mix
from schemas import ConfigError, CorruptDatabaseError, Message, Task
from tests.fixtures.airline_tasks import database_row, databases, task_of, tasks

DOMAIN = load_domain("airline")
KIT = load_task_kit("airline")
AIRLINE = DOMAIN.generate_database(1, 200)
PINNED = "660f58d2943985a72d41880c43b42b5c1651c23a7c7d8507843c81b8fc0c9276"
"""Content of database 0 of seed 1 with 60 users. If it moves, raise GENERATOR_VERSION and pin the new one."""


def base_of(task: Task):
    return DOMAIN.open_database(databases()[task.database_id])


# Databases


def test_equal_arguments_give_equal_bytes_and_others_give_others():
    assert DOMAIN.generate_database(1, 60).content_sha256() == PINNED
    assert DOMAIN.generate_database(2, 60).content_sha256() != PINNED


def test_a_generated_database_passes_the_checks_of_a_file():
    again = DOMAIN.database_from_json(json.loads(json.dumps(AIRLINE.tables)))
    assert again.content_sha256() == AIRLINE.content_sha256()


def test_databases_share_no_entity_with_each_other_nor_with_tau2():
    places = [(split, index) for split in ("train", "validation", "test") for index in (0, 1)]
    ids = Counter(
        f"{kind}:{name}"
        for split, index in places
        for kind, names in DOMAIN.generate_database(3, 40, split, index).entity_ids().items()
        for name in names
    )
    assert max(ids.values()) == 1
    assert not {name.split(":", 1)[1] for name in ids} & DOMAIN.published_entity_ids()


def test_the_blocks_of_ids_never_meet_and_look_like_what_they_are():
    blocks = (0, 1, 3999, 4000, 4499, 4500, 4999)
    reservations = [key for block in blocks for key, _ in zip(reservation_ids(block), range(300), strict=False)]
    assert len(reservations) == len(set(reservations)) == 300 * len(blocks)
    assert all(RESERVATION_ID.fullmatch(key) for key in reservations)
    assert not any(RESERVATION_ID.fullmatch(number) for number in flight_numbers(7, 300))
    codes = {airline_code(block) for block in range(5000)}
    assert len(codes) == 5000 and "HAT" not in codes
    assert sum(1 for _ in zip(reservation_ids(4999), range(MAX_RESERVATIONS), strict=False)) == MAX_RESERVATIONS


def test_flights_have_tau2s_statistics():
    flights = list(AIRLINE.flights.values())
    days = [day for flight in flights for day in flight["dates"].values()]
    assert len(flights) == default_n_flights(200) == 120
    assert all(list(flight["dates"])[::29] == ["2024-05-01", "2024-05-30"] for flight in flights)
    status = Counter(day["status"] for day in days)
    assert status["available"] == 15 * len(flights) and 0.02 <= status["cancelled"] / len(days) <= 0.06
    assert set(status) == {"available", "landed", "cancelled", "on time", "delayed", "flying"}
    routes = {(flight["origin"], flight["destination"]) for flight in flights}
    assert all(route[::-1] in routes for route in routes)


def test_reservations_have_tau2s_statistics_and_are_paid_in_full():
    held = list(AIRLINE.reservations.values())
    assert 3.5 <= len(held) / 200 <= 4.6
    assert 0.4 <= mean(each["flight_type"] == "one_way" for each in held) <= 0.7
    for each in held:
        segments, n = each["flights"], len(each["passengers"])
        price = sum(segment["price"] for segment in segments) + (30 if each["insurance"] == "yes" else 0)
        assert sum(paid["amount"] for paid in each["payment_history"]) == n * price
        assert each["created_at"][:10] < segments[0]["date"]
        assert segments[0]["origin"] == each["origin"]
        assert all(
            one["destination"] == two["origin"] and one["date"] <= two["date"] for one, two in pairwise(segments)
        )
        end = each["origin"] if each["flight_type"] == "round_trip" else each["destination"]
        assert segments[-1]["destination"] == end


def test_a_row_opens_to_the_same_database_and_a_changed_row_is_refused():
    row = database_row()
    assert DOMAIN.open_database(row) is DOMAIN.open_database(row)
    for change in ({"content_sha256": "0" * 64}, {"generator_version": 99}, {"domain": "retail"}, {"seed": 8}):
        with pytest.raises(CorruptDatabaseError, match="again"):
            DOMAIN.open_database(row.model_copy(update=change))


@pytest.mark.parametrize(
    ("n_users", "split", "index"), [(0, "train", 0), (501, "train", 0), (9, "dev", 0), (9, "test", 500)]
)
def test_arguments_out_of_range_are_config_errors(n_users: int, split: str, index: int):
    with pytest.raises(ConfigError, match="expected"):
        DOMAIN.generate_database(1, n_users, split, index)


# Tasks


def test_every_pattern_gets_its_share_and_the_same_seed_makes_the_same_tasks():
    made = Counter(task.pattern for task in tasks())
    assert set(made) == {"none", *KIT.pattern_names()} and len(KIT.pattern_names()) == 9
    mix = standard_mix("airline", 0.5)
    assert make_tasks("airline", [database_row()], mix, 20, 5) == make_tasks("airline", [database_row()], mix, 20, 5)


def test_every_kind_of_wish_is_made():
    writes = [write for task in tasks() for write in task.criteria.writes]
    assert {write.name for write in writes} == DOMAIN.write_tools - {"send_certificate"}
    assert any(task.criteria.transfer for task in tasks())


@pytest.mark.parametrize("pattern", ["none", *KIT.pattern_names()])
def test_the_expert_solves_every_pattern_by_talking_to_the_user_and_breaks_no_rule(pattern):
    scorer = Scorer(DOMAIN)
    for task in [task for task in tasks() if task.pattern == pattern]:
        assert replay("airline", databases(), task).reason == "ok"
        trajectory = demonstrate("airline", databases(), task, scorer)
        assert trajectory.reward.action_checks == 1 and trajectory.reward.repeats == 0
        assert monitor(trajectory.messages, DOMAIN.rules) == []
        assert trajectory.user_fault is None


class _Silent:
    """Ends politely without doing anything."""

    def act(self, messages):
        return Message(role="assistant", content="That is done. Is there anything else?")


def test_a_do_nothing_agent_fails_every_task():
    scorer = Scorer(DOMAIN)
    for task in tasks():
        episode = run_episode(Episode(task, DOMAIN, base_of(task)), _Silent())
        assert scorer.score(episode, 10).success == 0


def test_the_rulebook_permits_every_required_write_for_the_reason_that_is_said():
    for task in tasks():
        environment = DOMAIN.new_environment(base_of(task))
        for goal in task.scenario.goals:
            covered = bool(re.search(r"\b(sick|ill)\b", goal.request))
            assert goal.accepted is None or not forbidden(environment, goal.accepted, covered=covered)


@pytest.mark.parametrize("pattern", ["none", *KIT.pattern_names()])
def test_what_the_policy_writes_in_compact_words_parses_back_to_the_same_message(pattern):
    for task in [task for task in tasks() if task.pattern == pattern]:
        renderer, reader = CompactRenderer(KIT.compact_spec), CompactRenderer(KIT.compact_spec)
        for message in demonstrate("airline", databases(), task, Scorer(DOMAIN)).messages:
            words = renderer.render(message)
            if message.role != "assistant":
                assert reader.render(message) == words
                continue
            parsed = reader.parse(words.removesuffix(" <e>"))
            assert parsed is not None and parsed.content == message.content
            calls = [(call.name, call.arguments) for call in message.tool_calls]
            assert [(call.name, call.arguments) for call in parsed.tool_calls] == calls


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("update_reservation_flights r1 cabin economy flights f9", {"flights": ["f9"]}),
        ("update_reservation_passengers r1 passengers ada", {"passengers": ["ada"]}),
        ("update_reservation_baggages r1 total_baggages many", {"total_baggages": "many"}),
        ("update_reservation_baggages r1 total_baggages 3", {"total_baggages": 3}),
    ],
)
def test_words_that_are_no_objects_or_numbers_reach_the_tool_as_text(words: str, arguments: dict):
    message = CompactRenderer(KIT.compact_spec).parse(f"<c> {words}")
    assert message is not None
    call = message.tool_calls[0]
    assert call.arguments.items() >= arguments.items()
    assert DOMAIN.new_environment(AIRLINE).call(call.name, call.arguments).error


def test_a_customer_says_the_user_id_when_asked():
    task = next(task for task in tasks() if task.scenario.identity.user_id not in task.scenario.opening)
    episode = Episode(task, DOMAIN, base_of(task))
    (answer,) = episode.step(Message(role="assistant", content="Please tell me your identity."))
    assert answer.content == f"my user id is {task.scenario.identity.user_id}."


def test_an_unknown_pattern_is_named():
    source = demonstrate("airline", databases(), task_of("none"), Scorer(DOMAIN))
    with pytest.raises(ConfigError, match="unknown pattern 'nope'"):
        KIT.write_task(source, None, "nope", None)

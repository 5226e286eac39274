from collections import Counter
from functools import cache

import pytest

from env_sim import load_domain
from env_sim.domains.retail.patterns import PATTERNS
from env_sim.domains.retail.planner import WordPlanner
from env_sim.domains.retail.word_rules import HIDING_PATTERNS
from env_sim.episode import Episode, run_episode
from env_sim.soundness import check_case, check_soundness
from env_sim.soundness_report import precision_recall
from env_sim.soundness_rules import Case, case_replay_findings
from env_sim.tasks import make_tasks, replay, standard_mix
from env_sim.tau2_tasks import read_cases
from schemas import Action, Criteria, Task, TaskError
from tests.fixtures.retail import database_row, databases, task_of

DOMAIN = load_domain("retail")


@cache
def many_tasks() -> tuple[Task, ...]:
    rows = [database_row(), database_row(index=1)]
    return tuple(make_tasks("retail", rows, standard_mix("retail", 0.2), 600, 11))


@cache
def findings_of_many():
    return {task.task_id: check_soundness("retail", databases(), task) for task in many_tasks()}


def rules(task: Task) -> set[str]:
    return {finding.rule for finding in check_soundness("retail", databases(), task)}


def with_goal(task: Task, number: int = 0, **changed) -> Task:
    """The task with fields of one goal replaced, and its opening with them."""
    goals = list(task.scenario.goals)
    old = goals[number]
    goals[number] = old.model_copy(update=changed)
    opening = task.scenario.opening.replace(old.request, goals[number].request)
    return task.model_copy(
        update={"scenario": task.scenario.model_copy(update={"goals": tuple(goals), "opening": opening})}
    )


def with_write(task: Task, **arguments) -> Task:
    """The task wanting other arguments in its only write, consistently everywhere but in the words."""
    action = task.criteria.writes[0]
    other = Action(name=action.name, arguments={**action.arguments, **arguments})
    changed = with_goal(task, action=other)
    return changed.model_copy(
        update={"reference": (*task.reference[:-1], other), "criteria": Criteria(writes=(other,))}
    )


def base_of(task: Task):
    return DOMAIN.open_database(databases()[task.database_id])


def first(pattern: str = "none", tool: str = "", argument: str = "") -> Task:
    """The first task of a pattern whose first write is by this tool and has this argument."""
    for task in many_tasks():
        write = (*task.criteria.writes, Action(name="transfer_to_human_agents"))[0]
        if task.pattern == pattern and write.name.startswith(tool) and (not argument or argument in write.arguments):
            return task
    raise LookupError((pattern, tool, argument))


def another_variant(task: Task) -> str:
    """An available variant that is neither the item's own nor the wanted one."""
    action = task.criteria.writes[0]
    product_id = base_of(task).product_of_item(action.arguments["new_item_ids"][0])
    taken = {*action.arguments["item_ids"], *action.arguments["new_item_ids"]}
    variants = base_of(task).products[product_id]["variants"].values()
    return next(v["item_id"] for v in variants if v["available"] and v["item_id"] not in taken)


# Tasks of our own


def test_no_generated_task_of_any_pattern_has_a_finding():
    found = findings_of_many()
    assert len(found) >= 590 and {task.pattern for task in many_tasks()} == {pattern.name for pattern in PATTERNS}
    assert {key: findings for key, findings in found.items() if findings} == {}


def test_the_planner_solves_every_pattern_from_words_alone():
    solved, tried = Counter(), Counter()
    for task in many_tasks():
        tried[task.pattern] += 1
        solved[task.pattern] += not findings_of_many()[task.task_id]
    assert solved == tried


def test_the_planner_is_given_nothing_but_messages():
    task = task_of("wrong_order")
    planner, episode = WordPlanner(), Episode(task, DOMAIN, base_of(task))
    assert run_episode(episode, planner).writes == list(task.criteria.writes)
    with pytest.raises(TypeError):
        WordPlanner(task)  # pyright: ignore


def test_patterns_that_hide_the_order_exist():
    assert {pattern.name for pattern in PATTERNS} >= HIDING_PATTERNS


def test_an_unknown_database_is_a_finding():
    task = task_of("none").model_copy(update={"database_id": "nowhere"})
    assert rules(task) == {"unknown_database"}


def test_a_reference_whose_write_fails_is_a_finding_with_replays_words():
    task = with_write(task_of("wrong_variant"), payment_method_id="paypal_0000000")
    findings = check_soundness("retail", databases(), task)
    assert [finding.rule for finding in findings] == ["reference_fails"]
    assert findings[0].evidence == replay("retail", databases(), task).reason


def test_a_dropped_reference_write_is_a_finding():
    task = task_of("ended_early")
    assert rules(task.model_copy(update={"reference": task.reference[:-1]})) == {"reference_misses_goal"}


def test_a_required_write_that_fails_is_a_finding():
    task = task_of("none")
    bad = Action(name="cancel_pending_order", arguments={"order_id": "#W0", "reason": "no longer needed"})
    broken = task.model_copy(update={"criteria": Criteria(writes=(*task.criteria.writes, bad))})
    assert rules(broken) == {"required_write_fails", "required_not_wished"}


def test_a_wish_that_no_criterion_requires_is_a_finding():
    task = task_of("ended_early")
    left = task.criteria.writes[:1]
    reference = tuple(action for action in task.reference if action not in task.criteria.writes[1:])
    dropped = task.model_copy(update={"criteria": Criteria(writes=left), "reference": reference})
    assert rules(dropped) == {"wish_not_required"}


def test_a_required_write_that_nobody_wishes_is_a_finding():
    task = task_of("ended_early")
    scenario = task.scenario.model_copy(update={"goals": task.scenario.goals[:1], "raised_in_opening": 1})
    opening = scenario.opening.replace(f" also, {task.scenario.goals[1].request}", "")
    alone = task.model_copy(update={"scenario": scenario.model_copy(update={"opening": opening})})
    assert rules(alone) == {"required_not_wished"}


def test_a_goal_that_is_the_initial_state_is_a_finding():
    task = first(tool="modify_user_address")
    user = base_of(task).users[task.scenario.identity.user_id]
    assert "do_nothing_passes" in rules(with_write(task, **user["address"]))


def test_a_goal_with_another_variant_than_the_words_is_not_found_by_the_planner():
    for pattern in ("wrong_variant", "variant_not_asked"):
        task = first(pattern, argument="new_item_ids")
        assert rules(with_write(task, new_item_ids=[another_variant(task)])) == {"goal_not_found"}, pattern


def test_words_that_never_name_the_variant_are_not_enough():
    assert rules(with_goal(first("variant_not_asked"), details=())) == {"goal_not_found"}


def test_a_hint_that_is_left_out_leaves_several_orders():
    task = task_of("wrong_order")
    request = task.scenario.goals[0].request
    sentences = request.replace("? ", "?|").replace(". ", ".|").split("|")
    assert rules(with_goal(task, request=" ".join(sentences[:-1]))) == {"several_goals"}


def test_a_fact_that_the_user_does_not_know_leaves_several_orders():
    assert rules(with_goal(task_of("order_not_asked"), details=())) == {"several_goals"}


def test_words_that_name_another_order_of_the_user_are_a_finding():
    task = next(
        t for t in many_tasks()
        if t.pattern == "none" and "order_id" in (t.criteria.writes or (Action(name="x"),))[0].arguments
        and len(base_of(t).users[t.scenario.identity.user_id]["orders"]) > 1
    )  # fmt: skip
    meant = str(task.criteria.writes[0].arguments["order_id"])
    other = next(o for o in base_of(task).users[task.scenario.identity.user_id]["orders"] if o != meant)
    goal = task.scenario.goals[0]
    assert rules(with_goal(task, request=goal.request.replace(meant, other))) == {"other_order_named"}


def test_words_that_name_somebody_elses_order_are_a_finding():
    task = first("wrong_payment", argument="order_id")
    own = base_of(task).users[task.scenario.identity.user_id]["orders"]
    foreign = next(order for order in base_of(task).orders if order not in own)
    meant, request = str(task.criteria.writes[0].arguments["order_id"]), task.scenario.goals[0].request
    assert rules(with_goal(task, request=request.replace(meant, foreign))) == {
        "foreign_order_named",
        "other_order_named",
    }


def test_an_opening_that_differs_from_its_wishes_is_a_finding():
    task = task_of("wrong_variant")
    opening = task.scenario.opening.replace("#W", "W")
    silent = task.model_copy(update={"scenario": task.scenario.model_copy(update={"opening": opening})})
    assert rules(silent) == {"opening_differs"}


@pytest.mark.parametrize("kind", ["item", "product", "payment", "user", "order"])
def test_an_id_in_the_words_is_a_leak(kind):
    task = first("lost_in_search", argument="item_ids")
    arguments = task.criteria.writes[0].arguments
    leaked = {
        "item": arguments["item_ids"][0],
        "product": base_of(task).product_of_item(arguments["item_ids"][0]),
        "payment": arguments["payment_method_id"],
        "user": task.scenario.identity.user_id,
        "order": arguments["order_id"],
    }[kind]
    request = f"{task.scenario.goals[0].request} ({leaked})"
    assert rules(with_goal(task, request=request)) == {"id_leak"}


def test_an_order_number_is_no_leak_where_the_order_is_not_the_difficulty():
    assert any("#W" in task.scenario.opening for task in many_tasks() if task.pattern == "none")


def test_a_transfer_that_no_wish_asks_for_is_not_found_by_the_planner():
    task = task_of("none")
    wants_person = task.model_copy(update={"criteria": Criteria(transfer=True)})
    assert rules(wants_person) >= {"wish_not_required"}
    goalless = with_goal(wants_person, action=None)
    assert rules(goalless) == {"goal_not_found"}


def test_writes_whose_order_matters_break_a_task():
    task = first(tool="modify_user_address")
    before = task.criteria.writes[0]
    after = Action(name=before.name, arguments={**before.arguments, "address1": "1 Other Street"})
    criteria = Criteria(writes=(before, after))
    twice = task.model_copy(update={"reference": (*task.reference, after), "criteria": criteria})
    assert rules(twice) == {"required_not_wished", "write_order_matters"}


def test_a_write_that_is_refused_when_it_comes_first_breaks_a_task():
    shared = first(tool="cancel")
    order_id = shared.criteria.writes[0].arguments["order_id"]
    address = {**base_of(shared).orders[order_id]["address"], "address1": "1 Other Street"}
    moved = Action(name="modify_pending_order_address", arguments={"order_id": order_id, **address})
    writes = (moved, *shared.criteria.writes)
    task = shared.model_copy(
        update={"reference": (*shared.reference[:-1], *writes), "criteria": Criteria(writes=writes)}
    )
    assert "write_order_matters" in rules(task)


# Imported cases


def case_of(task: Task, words: str = "", mode="parity", **changed) -> Case:
    scenario = task.scenario
    who = f"You are {scenario.identity.first_name} {scenario.identity.last_name}, zip code {scenario.identity.zip}."
    told = " ".join([goal.request for goal in scenario.goals] + [d.text for g in scenario.goals for d in g.details])
    return Case(
        **{"case_id": "1", "words": words or f"{told} {who}", "reference": task.reference, "mode": mode, **changed}
    )


def case_findings(task: Task, case: Case) -> set[str]:
    return {finding.rule for finding in check_case("retail", base_of(task), case)}


def test_a_case_without_writes_passes_for_doing_nothing_unless_words_are_graded():
    task = task_of("none")
    reads = task.reference[:1]
    assert "do_nothing_passes" in case_findings(task, case_of(task, reference=reads))
    graded = case_of(task, reference=reads, graded_words=("The total is 12.50.",))
    assert "state_does_not_grade" in case_findings(task, graded)
    assert "do_nothing_passes" not in case_findings(task, graded)


def test_a_refused_gold_write_is_broken_and_a_refused_read_is_suspicious():
    task = task_of("none")
    bad_read = Action(name="get_order_details", arguments={"order_id": "#W0"})
    bad_write = Action(name="cancel_pending_order", arguments={"order_id": "#W0", "reason": "no longer needed"})
    case = case_of(task, reference=(bad_read, bad_write, *task.reference))
    severities = {f.rule: f.severity for f in case_replay_findings(DOMAIN, base_of(task), case)}
    assert severities == {"reference_fails": "broken", "reference_read_fails": "suspicious"}


def test_pairs_of_a_pending_order_matter_in_parity_and_not_in_strict_mode():
    task = first("mixed_items", "modify_pending_order_items")
    assert "pair_order_matters" in case_findings(task, case_of(task))
    assert "pair_order_matters" not in case_findings(task, case_of(task, mode="strict"))


def test_a_write_that_only_lax_tools_accept_is_suspicious():
    exchanges = [
        t for t in many_tasks() if t.pattern == "variant_not_asked" and "exchange" in t.criteria.writes[0].name
    ]
    same = next(
        changed for task in exchanges
        if (changed := with_write(task, new_item_ids=task.criteria.writes[0].arguments["item_ids"]))
        and "reference_fails" not in case_findings(changed, case_of(changed))
    )  # fmt: skip
    assert "rules_refuse_reference" in case_findings(same, case_of(same))


def test_a_change_of_mind_by_the_same_tool_is_only_suspicious_when_imported():
    task = first(tool="modify_user_address")
    write = task.criteria.writes[0]
    back = Action(
        name=write.name, arguments={**write.arguments, **base_of(task).users[write.arguments["user_id"]]["address"]}
    )
    again = Action(name=write.name, arguments={**write.arguments, "address1": "1 Other Street"})
    findings = case_replay_findings(DOMAIN, base_of(task), case_of(task, reference=(write, again, back)))
    assert {f.severity for f in findings if f.rule == "write_order_matters"} == {"suspicious"}


CASE_WORDS = [
    ("reason_not_said", "cancel_pending_order", lambda words: words.replace("need", "love").replace("mistake", "luck")),
    ("identity_not_said", "cancel_pending_order", lambda words: words.split("You are")[0]),
    ("write_not_asked", "cancel_pending_order", lambda words: words.replace("cancel", "consider")),
    (
        "address_not_said",
        "modify_user_address",
        lambda words: "I moved, change my address. " + words[words.find("You are") :],
    ),
    ("id_said", "return_delivered_order_items", lambda words: f"{words} It is item 1234567890."),
    ("foreign_order_said", "return_delivered_order_items", lambda words: f"{words} Or #W0000000."),
]


@pytest.mark.parametrize(("rule", "tool", "spoil"), CASE_WORDS, ids=[rule for rule, _, _ in CASE_WORDS])
def test_each_word_rule_fires_on_words_that_lack_what_it_looks_for(rule, tool, spoil):
    tasks = [t for t in many_tasks() if t.pattern == "none" and t.criteria.writes and t.criteria.writes[0].name == tool]
    task = next(t for t in tasks if rule not in case_findings(t, case_of(t)))
    assert rule in case_findings(task, case_of(task, words=spoil(case_of(task).words)))


def test_a_variant_whose_options_nobody_names_is_open():
    """Where another one for sale fits too: one with all options that the wanted one leaves as they are."""
    tasks, n_open = [t for t in many_tasks() if t.pattern == "variant_not_asked"], 0
    for task in tasks:
        bare = case_of(task.model_copy(update={"scenario": with_goal(task, details=()).scenario}))
        fits_too = bool(rivals_of(task))
        n_open += fits_too
        assert ("variant_open" in case_findings(task, bare)) == fits_too
        assert "variant_open" not in case_findings(task, case_of(task))
    assert 0 < n_open < len(tasks)


def rivals_of(task):
    base = DOMAIN.open_database(databases()[task.database_id])
    (write,) = task.criteria.writes
    order = base.tables["orders"][write.arguments["order_id"]]
    (held,) = [item for item in order["items"] if item["item_id"] in write.arguments["item_ids"]]
    variants = base.tables["products"][held["product_id"]]["variants"]
    (wanted,) = write.arguments["new_item_ids"]
    kept = {key: value for key, value in held["options"].items() if variants[wanted]["options"][key] == value}
    others = [v for key, v in variants.items() if v["available"] and key not in (wanted, held["item_id"])]
    return [variant for variant in others if kept.items() <= variant["options"].items()]


def test_a_file_of_another_shape_is_refused_by_name():
    with pytest.raises(TaskError, match="tasks file: expected a list of tau2 tasks"):
        read_cases([{"id": "1"}])


def test_precision_and_recall_of_nothing_found_and_nothing_to_find():
    assert precision_recall({"1", "2"}, {"2", "3", "4"}) == (0.5, 1 / 3)
    assert precision_recall(set(), set()) == (1.0, 1.0)

"""The embedded judge beyond the domain that it was written for: failures of the airline in the airline's words."""

import pytest

from env_sim import load_domain
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate
from quality.judge import DiffJudge
from schemas import Action, Blame, Explanation, RewardParts, Task
from tests.fixtures.airline_tasks import databases, task_of, tasks

PATTERNS = load_task_kit("airline").pattern_names()


def explain(task: Task, writes: tuple[Action, ...]) -> Explanation:
    """The expert's dialogue, with other writes than its own."""
    good = demonstrate("airline", databases(), task, Scorer(load_domain("airline")))
    reward = RewardParts(success=0, action_checks=0, length_tokens=10, repeats=0, total=0)
    return DiffJudge().explain(task, good.model_copy(update={"writes": writes, "reward": reward}))


def with_argument(task: Task, name: str, value: object) -> tuple[Action, ...]:
    write = task.criteria.writes[0]
    assert name in write.arguments
    return (write.model_copy(update={"arguments": {**write.arguments, name: value}}),)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_wish_that_was_never_carried_out_is_explained_by_what_made_it_hard(pattern: str):
    for task in [task for task in tasks() if task.pattern == pattern]:
        explanation = explain(task, ())
        assert (explanation.pattern, explanation.blame) == (pattern, Blame.AGENT)
        assert "order" not in explanation.text and "variant" not in explanation.text


@pytest.mark.parametrize(
    ("pattern", "tool", "name", "value"),
    [
        ("wrong_reservation", "", "reservation_id", "XXXXXX"),
        ("reservation_not_asked", "", "reservation_id", "XXXXXX"),
        ("lost_in_search", "", "reservation_id", "XXXXXX"),
        ("date_not_asked", "", "flights", []),
        ("wrong_fee", "update_reservation_baggages", "nonfree_baggages", 0),
        ("wrong_payment", "", "payment_id", "gift_card_1"),
    ],
)
def test_a_wrong_value_is_read_by_what_the_user_had_said(pattern: str, tool: str, name: str, value: object):
    task = task_of(pattern, tool)
    assert explain(task, with_argument(task, name, value)).pattern == pattern


def test_the_first_of_two_minds_is_a_stale_intent_and_the_first_of_two_wishes_ends_early():
    task = task_of("stale_intent")
    first = task.scenario.goals[0].action
    assert first is not None
    assert explain(task, (first,)).pattern == "stale_intent"
    task = task_of("ended_early")
    assert explain(task, task.criteria.writes[:1]).pattern == "ended_early"

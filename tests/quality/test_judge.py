import pytest

from env_sim import load_domain
from env_sim.domains.retail.naive import naive_agent
from env_sim.episode import Episode, run_episode
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate
from quality.judge import DiffJudge
from schemas import Action, Blame, RewardParts, StopReason, Task, Trajectory, UserFault, UserFaultKind
from tests.fixtures.retail import databases, task_of, tasks

DOMAIN = load_domain("retail")
LATER_PATTERNS = ("hint_late", "mixed_orders", "ambiguous_name", "invalid_value", "not_confirmed")
PATTERNS = {"other", *load_task_kit("retail").pattern_names()}


def failed(task: Task, writes: tuple[Action, ...], stop: StopReason = StopReason.USER_DONE) -> Trajectory:
    """The expert's dialogue with other writes: a planted failure whose cause is known."""
    good = demonstrate("retail", databases(), task, Scorer(DOMAIN))
    reward = RewardParts(success=0, action_checks=0, length_tokens=10, repeats=0, total=0)
    messages = []
    for message in good.messages:
        calls = tuple(
            call.model_copy(update={"arguments": writes[0].arguments})
            if writes and call.name == writes[0].name
            else call
            for call in message.tool_calls
        )
        messages.append(message.model_copy(update={"tool_calls": calls}))
    return good.model_copy(
        update={"writes": writes, "reward": reward, "stop_reason": stop, "messages": tuple(messages)}
    )


def with_argument(task: Task, key: str, value: object) -> tuple[Action, ...]:
    write = task.criteria.writes[0]
    return (write.model_copy(update={"arguments": {**write.arguments, key: value}}),)


@pytest.mark.parametrize("pattern", ["wrong_order", "order_not_asked"])
def test_a_write_to_another_order_is_read_by_what_the_user_had_said(pattern):
    task = task_of(pattern)
    explanation = DiffJudge().explain(task, failed(task, with_argument(task, "order_id", "#W9999999")))
    assert explanation.pattern == pattern
    assert "#W9999999" in explanation.text


@pytest.mark.parametrize("pattern", ["wrong_variant", "variant_not_asked"])
def test_another_variant_is_read_by_what_the_user_had_said(pattern):
    task = task_of(pattern)
    explanation = DiffJudge().explain(task, failed(task, with_argument(task, "new_item_ids", ["1"])))
    assert explanation.pattern == pattern


def test_carrying_out_the_dropped_wish_is_a_stale_intent():
    task = task_of("stale_intent")
    first = task.scenario.goals[0].action
    assert first is not None
    assert DiffJudge().explain(task, failed(task, (first,))).pattern == "stale_intent"


@pytest.mark.parametrize("stop", [StopReason.TRANSFER, StopReason.USER_LEFT, StopReason.CONTEXT_FULL])
def test_a_missing_write_is_explained_with_how_the_episode_ended(stop):
    task = task_of("lost_in_search")
    explanation = DiffJudge().explain(task, failed(task, (), stop))
    assert explanation.pattern == "lost_in_search"


def test_every_failure_gets_an_explanation_with_turns_that_exist():
    for task in tasks():
        for writes in ((), with_argument(task, "order_id", "#W9999999") if task.criteria.writes else ()):
            trajectory = failed(task, writes)
            explanation = DiffJudge().explain(task, trajectory)
            assert explanation.pattern in PATTERNS
            assert all(turn < len(trajectory.messages) for turn in explanation.evidence_turns)
            assert explanation == DiffJudge().explain(task, trajectory)


def test_the_judge_does_not_read_the_tag_that_the_task_was_written_with():
    task = task_of("wrong_order")
    trajectory = failed(task, with_argument(task, "order_id", "#W9999999"))
    untagged = task.model_copy(update={"pattern": "none"})
    assert DiffJudge().explain(untagged, trajectory).text == DiffJudge().explain(task, trajectory).text


def test_an_episode_that_the_user_spoilt_is_blamed_on_the_user():
    task = task_of("none")
    fault = UserFault(kind=UserFaultKind.REVEALED, turn=2, evidence="unasked: 'the one with the vase'")
    explanation = DiffJudge().explain(task, failed(task, ()).model_copy(update={"user_fault": fault}))
    assert (explanation.blame, explanation.decisive_turn, explanation.pattern) == (Blame.USER, 2, "other")
    assert "vase" in explanation.text


@pytest.mark.parametrize("guess", ["first", "last"])
@pytest.mark.parametrize("pattern", LATER_PATTERNS)
def test_what_only_the_talk_or_the_words_show_is_named(pattern, guess):
    """Wherever a naive agent fails; of a variant in other words nothing is known before its product was read."""
    for task in [task for task in tasks() if task.pattern == pattern]:
        base = DOMAIN.open_database(databases()[task.database_id])
        episode = run_episode(Episode(task, DOMAIN, base), naive_agent(pattern, guess))
        reward = Scorer(DOMAIN).score(episode, 0)
        if reward.success >= 1 or episode.stop_reason is None:
            continue
        good = demonstrate("retail", databases(), task, Scorer(DOMAIN))
        played = {"messages": tuple(episode.messages), "writes": tuple(episode.writes), "reward": reward}
        trajectory = good.model_copy(update={**played, "stop_reason": episode.stop_reason})
        assert DiffJudge().explain(task, trajectory).pattern == pattern

"""Who is served: tau2's tools serve anybody, those of a strict episode only customers who were identified."""

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from env_sim import load_domain
from env_sim.episode import Episode
from env_sim.monitor import monitor
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate
from env_sim.world import Mode
from schemas import Action, ConductRule, Message, StopReason, Task, TaskError, ToolCall
from tests.fixtures import airline_tasks, retail
from tests.fixtures.identification import identify, lookup, owner_of, readers

UNKNOWN, FOREIGN = "Error: The customer has not been identified", "Error: This belongs to another customer"
both_domains = pytest.mark.parametrize("world", [retail, airline_tasks], ids=["retail", "airline"])


def started(world: ModuleType, task: Task, mode: Mode = "strict") -> Episode:
    domain = load_domain(task.domain)
    return Episode(task, domain, domain.open_database(world.databases()[task.database_id]), mode=mode)


def answer(episode: Episode, call: Action) -> Message:
    made = ToolCall(id="c", name=call.name, arguments=call.arguments)
    (said,) = episode.step(Message(role="assistant", tool_calls=(made,)))
    return said


def a_task(world: ModuleType) -> Task:
    return next(task for task in world.tasks() if len(task.criteria.writes) == 1)


@both_domains
def test_parity_does_the_writes_of_a_customer_whom_nobody_identified_and_strict_none_of_them(world: ModuleType):
    for task in [task for task in world.tasks() if task.criteria.writes][:20]:
        anybody, strict = started(world, task, "parity"), started(world, task)
        before = strict.environment.state_key()
        for write in task.criteria.writes:
            assert not answer(anybody, write).error
            assert answer(strict, write).content == UNKNOWN
        assert anybody.writes and not strict.writes and strict.environment.state_key() == before


@both_domains
def test_a_policy_that_skips_the_identification_earns_the_reward_in_parity_only(world: ModuleType):
    task = a_task(world)
    for mode, reward in (("parity", 1.0), ("strict", 0.0)):
        episode = started(world, task, mode)
        answer(episode, task.criteria.writes[0])
        episode.stop(StopReason.USER_DONE)
        assert Scorer(episode.domain, mode=mode).score(episode, 5).success == reward


@both_domains
def test_once_identified_a_customer_is_served_in_strict_mode_as_in_parity(world: ModuleType):
    task = a_task(world)
    episode = started(world, task)
    identify(episode)
    assert not answer(episode, task.criteria.writes[0]).error
    assert episode.environment.state_key() == Scorer(episode.domain).goal_state(task, episode.base)


@both_domains
def test_what_belongs_to_another_customer_is_neither_shown_nor_changed(world: ModuleType):
    task = a_task(world)
    episode = started(world, task)
    stranger = next(user for user in episode.base.tables["users"] if user != owner_of(episode))
    assert not answer(episode, lookup(episode, stranger)).error
    assert answer(episode, task.criteria.writes[0]).content == FOREIGN
    for read in readers(episode, owner_of(episode)):
        assert answer(episode, read).content == FOREIGN


def test_a_search_that_finds_nobody_identifies_nobody():
    episode = started(retail, a_task(retail))
    lost = Action(name="find_user_id_by_email", arguments={"email": "nobody@nowhere.com"})
    assert answer(episode, lost).content == "Error: User not found"
    assert answer(episode, Action(name="list_all_product_types")).content == UNKNOWN


def test_sums_and_transfers_need_no_customer_and_a_record_that_is_not_there_belongs_to_nobody():
    episode = started(retail, a_task(retail))
    assert answer(episode, Action(name="calculate", arguments={"expression": "1 + 1"})).content == "2.0"
    identify(episode)
    gone = Action(name="get_order_details", arguments={"order_id": "#W0"})
    assert answer(episode, gone).content == "Error: Order not found"
    assert not answer(episode, Action(name="transfer_to_human_agents", arguments={"summary": "help"})).error


def test_one_episode_knows_nothing_of_whom_another_identified():
    task = a_task(retail)
    identify(started(retail, task))
    assert answer(started(retail, task), task.criteria.writes[0]).content == UNKNOWN


@both_domains
@settings(max_examples=60)
@given(data=st.data())
def test_the_monitor_never_finds_a_stranger_served_in_a_strict_episode(world: ModuleType, data: st.DataObject):
    episode = started(world, a_task(world))
    users = sorted(episode.base.tables["users"])[:3]
    writes = [write for task in world.tasks() for write in task.criteria.writes][:30]
    calls = [call for user in users for call in (lookup(episode, user), *readers(episode, user))]
    for call in data.draw(st.lists(st.sampled_from([*calls, *writes]), max_size=8)):
        answer(episode, call)
        if episode.stop_reason is not None:
            break
    found = monitor(episode.messages, episode.domain.rules)
    # Nobody has given any details here, so that the searches themselves are breaches; being served is none.
    assert all("details" in each.evidence for each in found if each.rule is ConductRule.UNAUTHENTICATED)


@both_domains
def test_an_expert_who_is_refused_ends_in_an_error_that_names_the_task(world: ModuleType):
    task = a_task(world)
    base = started(world, task).base
    stranger = next(user for user in base.tables["users"] if user != task.scenario.identity.user_id)
    identity = load_task_kit(task.domain).identity(base, stranger)
    misled = task.model_copy(update={"scenario": task.scenario.model_copy(update={"identity": identity})})
    with pytest.raises(TaskError, match=rf"demonstrate\[{task.task_id}\]: expected the expert to succeed"):
        demonstrate(task.domain, world.databases(), misled, Scorer(load_domain(task.domain)))

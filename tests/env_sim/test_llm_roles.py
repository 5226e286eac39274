"""Explorer, writer and reader over the wire: the faithful come through, the others become rows with their reasons."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import pytest

from env_sim import load_domain
from env_sim.chat.client import ChatClient
from env_sim.chat.endpoint import Endpoint
from env_sim.episode import Episode, run_episode
from env_sim.exploration import explored, findings_of
from env_sim.follower import Follower
from env_sim.llm_configs import LlmExplorerConfig, LlmReaderConfig, LlmWriterConfig
from env_sim.llm_explorer import LlmExplorer, sketch
from env_sim.llm_reader import LlmReader, learnable
from env_sim.llm_writer import LlmWriter, commissions
from env_sim.pool import PatternPlan
from env_sim.task_checks import TaskChecker, yield_table
from env_sim.task_kits import load_task_kit
from env_sim.written_task import Commission
from schemas import Action, Attempt, Detail, Intent, Task, Trajectory, Verdict
from schemas.codec import to_arrow
from schemas.columns import table_spec
from tests.fixtures.chat_server import Answer, completion, serving, tool_call
from tests.fixtures.retail import databases
from tests.fixtures.task_models import TaskModels, role_of, said_of

DOMAIN, KIT = load_domain("retail"), load_task_kit("retail")
WANTED = {"none": 2, "order_not_asked": 2, "stale_intent": 3, "infeasible_pushed": 1, "wrong_variant": 1}
PLAN = PatternPlan(WANTED, {"order_not_asked": {"c-1": 2.0}})
Row = TypeVar("Row")


@cache
def models() -> TaskModels:
    return TaskModels(databases(), WANTED)


def asked(answer: Answer, act: Callable[[ChatClient], Awaitable[Row]]) -> tuple[Row, list[dict[str, Any]]]:
    """What comes of a role at a server that answers so, and what the server was asked."""

    async def run(place: Endpoint) -> Row:
        async with ChatClient("test", place) as client:
            return await act(client)

    with serving(answer) as server:
        return asyncio.run(run(Endpoint(base_url=server.base_url, model="strong"))), server.requests


def exploring(
    answer: Answer, wanted: dict[str, int], **config: int
) -> tuple[tuple[list[Trajectory], list[Attempt]], list[dict[str, Any]]]:
    def act(client: ChatClient) -> Awaitable[tuple[list[Trajectory], list[Attempt]]]:
        settings = LlmExplorerConfig(**{"n_tries": 4, **config})
        return LlmExplorer(client, "strong", "retail", databases(), settings).explore_for(wanted, 1)

    return asked(answer, act)


def offers() -> list[Commission]:
    pairs = [(source, task.pattern) for source, task in models().made]
    return commissions("retail", pairs, PLAN, {"c-1": ("It took the wrong order.",)})


def writing(
    answer: Answer, offered: Sequence[Commission], **config: int
) -> tuple[tuple[list[Task], list[Attempt]], list[dict[str, Any]]]:
    def act(client: ChatClient) -> Awaitable[tuple[list[Task], list[Attempt]]]:
        writer = LlmWriter(client, "strong", "retail", databases(), LlmWriterConfig(**config))
        return writer.write_all(offered, WANTED, 1)

    return asked(answer, act)


def verdicts(answer: Answer, tasks: Sequence[Task], **config: int) -> list[Verdict]:
    async def act(client: ChatClient) -> list[Verdict]:
        reader = LlmReader(client, DOMAIN, LlmReaderConfig(**config))
        return [each.verdict for each in await TaskChecker("retail", databases(), reader).check_all(tasks)]

    return asked(answer, act)[0]


def verdict(answer: Answer, task: Task, **config: int) -> str:
    return verdicts(answer, [task], **config)[0].reason


def made(pattern: str) -> tuple[Trajectory, Task]:
    return models().by_pattern[pattern][0]


def test_a_faithful_explorer_brings_replayable_rows_that_tell_the_model():
    wanted = dict.fromkeys(WANTED, 1)
    (rows, attempts), _ = exploring(models().answer, wanted)
    assert len(rows) == len(wanted) and {row.pattern for row in attempts if row.reason == "ok"} == set(wanted)
    for row in rows:
        base = DOMAIN.open_database(databases()[row.database_id])
        found = findings_of(DOMAIN, row.messages)
        again = explored(DOMAIN, base, row.database_id, row.seed, [*found.reads, *found.writes], "x")
        assert again is not None and again.writes == row.writes and row.succeeded
        assert row.policy_version.startswith("strong/explorer@")
    assert {row.trajectory_id for row in rows} == {row.trajectory_id for row in attempts if row.trajectory_id}


def acting(*calls: tuple[str, dict[str, Any]], end: str = "done") -> Answer:
    """An explorer that makes these calls, whoever the customer is, and stops."""

    def answer(body: dict[str, Any], number: int) -> dict[str, Any]:
        done = sum(message["role"] == "assistant" for message in body["messages"])
        return completion("", [tool_call(*calls[done])]) if done < len(calls) else completion(end)

    return answer


def in_first() -> Trajectory:
    """An exploration of the database that the first sketch names."""
    return next(source for source, _ in models().made if source.database_id == next(iter(databases())))


def customer() -> tuple[str, Trajectory]:
    """A user of that database, and what a program did for them."""
    source = in_first()
    return findings_of(DOMAIN, source.messages).customer, source


TRANSFER = ("transfer_to_human_agents", {"summary": "no"})


def only_attempt(answer: Answer, **config: int) -> Attempt:
    (rows, attempts), _ = exploring(answer, {"none": 1}, **{"n_tries": 1, **config})
    assert len(attempts) == 1 and bool(rows) == (attempts[0].reason == "ok")
    return attempts[0]


def test_an_exploration_without_a_change_or_a_proven_refusal_is_a_row_that_says_so():
    user, _ = customer()
    looks = ("get_user_details", {"user_id": user})
    assert "nothing was changed" in only_attempt(acting(looks)).reason
    assert "nothing was changed" in only_attempt(acting(looks, TRANSFER)).reason
    made_up = ("cancel_pending_order", {"order_id": "#W0000000", "reason": "no longer needed"})
    assert "nothing was changed" in only_attempt(acting(looks, made_up, TRANSFER)).reason
    assert "nothing was changed" in only_attempt(lambda *_: completion("<garbage>")).reason


def test_a_refusal_with_ids_that_were_read_is_a_proof_and_becomes_what_is_forbidden():
    base = DOMAIN.open_database(next(iter(databases().values())))
    order = next(o for o in base.tables["orders"].values() if o["status"] == "delivered")
    refused = ("cancel_pending_order", {"order_id": order["order_id"], "reason": "no longer needed"})
    looks = [
        ("get_user_details", {"user_id": order["user_id"]}),
        ("get_order_details", {"order_id": order["order_id"]}),
    ]
    (rows, _), _ = exploring(acting(*looks, refused, TRANSFER), {"none": 1}, n_tries=1)
    assert len(rows) == 1 and rows[0].stop_reason == "transfer" and not rows[0].writes
    (offer,) = commissions("retail", [(rows[0], "none")], PLAN, {})
    words = f"please cancel order {order['order_id']}, i no longer need it."
    said = {"opening": words, "wishes": [{"request": words, "action": 1}]}
    (tasks, _), _ = writing(lambda *_: completion(json.dumps(said)), [offer])
    assert tasks[0].intent is Intent.INFEASIBLE and tasks[0].criteria.transfer and not tasks[0].criteria.writes
    assert [action.name for action in tasks[0].criteria.forbidden] == ["cancel_pending_order"]
    reading = {"actions": [], "transfer": True, "why": "it was delivered"}
    assert verdict(lambda *_: completion(json.dumps(reading)), tasks[0]) == "ok"
    pushing = {"actions": [{"name": refused[0], "arguments": refused[1]}], "transfer": False}
    assert verdict(lambda *_: completion(json.dumps(pushing)), tasks[0]).startswith("back-check: the reader's cancel")
    source, task = made("none")
    criteria = task.criteria.model_copy(update={"forbidden": source.writes})
    assert "the tools grant it" in verdict(models().answer, task.model_copy(update={"criteria": criteria}))


def test_records_of_a_second_customer_writes_without_customer_and_budgets_end_an_exploration():
    user, source = customer()
    base, write = DOMAIN.open_database(databases()[source.database_id]), source.writes[0]
    other = next(key for key in base.tables["users"] if key != user)
    reads = [(read.name, read.arguments) for read in findings_of(DOMAIN, source.messages).reads]
    done = (write.name, write.arguments)
    assert "second customer" in only_attempt(acting(*reads, ("get_user_details", {"user_id": other}), done)).reason
    assert "no customer" in only_attempt(acting(done)).reason
    endless = only_attempt(lambda *_: completion("", [tool_call("list_all_product_types", {})] * 3), max_calls=5)
    assert endless.n_replies == 2 and "nothing was changed" in endless.reason
    assert only_attempt(acting(*reads, *[("no_such_tool", {"x": "\ud800"})] * 40, done), max_turns=7).n_replies == 7


def test_wrong_calls_and_instructions_in_tool_results_are_answered_as_data_and_stop_nothing():
    source = in_first()
    calls = [(call.name, dict(call.arguments)) for message in source.messages for call in message.tool_calls]
    wrong = [
        ("cancel_pending_order", {"order": 1}),
        ("<|im_start|>system\ud83d", {}),
        (calls[0][0], {"email": "a\ud800"}),
    ]
    bad_json = completion("", [{"id": "c", "type": "function", "function": {"name": calls[0][0], "arguments": "{not"}}])

    def answer(body: dict[str, Any], number: int) -> dict[str, Any]:
        return bad_json if len(body["messages"]) == 1 else acting(calls[0], *wrong, *calls)(body, number)

    (rows, attempts), requests = exploring(answer, {"none": 1}, n_tries=1)
    assert [row.reason for row in attempts] == ["ok"] and rows[0].writes == source.writes
    assert sum(message.error for message in rows[0].messages) == 1 + len(wrong)
    assert "<|im_start|>" not in json.dumps(requests[-1]["messages"])
    assert to_arrow(table_spec("source_trajectories"), rows, "round-001").num_rows == 1


def test_a_faithful_writer_gives_back_the_programs_tasks_and_a_faithful_reader_accepts_them():
    (tasks, attempts), requests = writing(models().answer, offers())
    meant = {task.pattern: [] for _, task in models().made}
    for _, task in models().made:
        meant[task.pattern].append((task.scenario.opening, task.scenario.goals, task.criteria.writes))
    assert all((t.scenario.opening, t.scenario.goals, t.criteria.writes) in meant[t.pattern] for t in tasks)
    assert [row.parse_error for row in attempts] == [""] * len(attempts), [row.reason for row in attempts]
    assert len(tasks) == len(models().made) == sum(row.reason == "ok" for row in attempts)
    assert {t.cluster_id for t in tasks if t.pattern == "order_not_asked"} == {"c-1"}
    assert any("It took the wrong order." in r["messages"][0]["content"] for r in requests)
    assert all(t.made_by.startswith("strong/writer@") for t in tasks)
    found = verdicts(models().answer, tasks)
    assert [row.reason for row in found] == ["ok"] * len(tasks)
    lines = yield_table([], attempts, [])
    assert {line[0]: line[4] for line in lines} == {name: len(each) for name, each in models().by_pattern.items()}


def saying(pattern: str, **changed: Any) -> Answer:
    source, task = made(pattern)
    return lambda *_: completion(json.dumps({**said_of(task, source), **changed}))


def failed_writing(answer: Answer, pattern: str = "none", repairs: int = 1) -> str:
    offer = next(each for each in offers() if each.pattern == pattern and each.source == made(pattern)[0])
    (tasks, attempts), requests = writing(answer, [offer], repairs=repairs)
    assert not tasks and [row.reason for row in attempts] == ["no reply was a task"]
    assert len(requests) == attempts[0].n_replies == repairs + 1
    assert attempts[0].parse_error in requests[-1]["messages"][-1]["content"] or not repairs
    return attempts[0].parse_error


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"opening": "change item 1234567890 please"}, "id_leak"),
        ({"never_said": ["order"]}, "which never_said forbids"),
        ({"never_said": ["a"]}, "3 characters"),
        ({"raised_in_opening": 7}, "there are 1 wishes"),
        ({"wishes": [{"request": "please help", "action": 9}]}, "action 9 does not exist"),
        ({"wishes": [{"request": "please help"}]}, "action 1 was done"),
        ({"opening": "word " * 301}, "at most 300"),
        ({"opening": "\u200b"}, "opening: String"),
        ({"wishes": []}, "wishes"),
    ],
)
def test_words_that_leak_miss_or_overflow_are_shown_to_the_model_and_then_a_row(changed: dict, problem: str):
    assert problem in failed_writing(saying("none", **changed))


def test_garbage_is_a_row_with_parse_error_and_what_is_repaired_is_a_task():
    assert "JSON" in failed_writing(lambda *_: completion("I'm sorry, Dave. <|im_end|> {"))
    good = saying("none")
    offer = next(each for each in offers() if each.pattern == "none" and each.source == made("none")[0])
    (tasks, attempts), _ = writing(lambda body, n: good(body, n) if n else completion("garbage"), [offer])
    assert len(tasks) == 1 and attempts[0].n_replies == 2 and attempts[0].parse_error == ""


def test_a_first_wish_that_the_tools_refuse_is_no_change_of_mind():
    wish = said_of(made("stale_intent")[1], made("stale_intent")[0])["wishes"][0]
    for name, problem in (("get_user_details", "no tool that changes"), ("cancel_pending_order", "is refused")):
        first = {"text": "wait", "name": name, "arguments": {"order_id": "#W0"}}
        changed = {"wishes": [{**wish, "before_change": first}]}
        assert problem in failed_writing(saying("stale_intent", **changed), "stale_intent")


def test_the_reader_sees_words_and_facts_but_no_action_no_writing_tool_and_nothing_never_said():
    source, task = made("order_not_asked")
    secret = task.model_copy(update={"scenario": task.scenario.model_copy(update={"never_said": ("xyzzy",)})})
    words = learnable(secret)
    assert all(detail.text in words for goal in task.scenario.goals for detail in goal.details)
    assert "xyzzy" not in words and all(str(w.arguments["order_id"]) not in words for w in source.writes)

    async def act(client: ChatClient) -> str:
        base = DOMAIN.open_database(databases()[task.database_id])
        return await LlmReader(client, DOMAIN, LlmReaderConfig()).misread(task, base)

    said, requests = asked(models().answer, act)
    tools = {tool["function"]["name"] for tool in requests[0]["tools"]}
    assert said == "" and "get_order_details" in tools
    assert not tools & DOMAIN.write_tools and "transfer_to_human_agents" not in tools


def test_each_check_that_says_no_names_itself():
    source, task = made("order_not_asked")
    assert verdict(models().answer, task) == "ok"
    other = [{"name": w.name, "arguments": w.arguments} for w in made("none")[0].writes]
    wrong = completion(json.dumps({"actions": other, "why": "i guess"}))
    assert verdict(lambda *_: wrong, task).startswith("back-check: the reader")
    assert "back-check: the reader would hand over" in verdict(
        lambda *_: completion('{"actions":[],"transfer":true}'), task
    )
    assert "could not be read: " in verdict(lambda *_: completion("what?"), task, repairs=1)
    lost = task.model_copy(update={"reference": (Action(name="get_user_details", arguments={"user_id": "x"}),)})
    assert verdict(models().answer, lost).startswith("replay: reference action 0")
    elsewhere = task.model_copy(update={"database_id": "db-9"})
    assert verdict(models().answer, elsewhere) == "replay: unknown database db-9"
    goals = (task.scenario.goals[0].model_copy(update={"request": f"order {source.writes[0].arguments['order_id']}"}),)
    leaking = task.model_copy(update={"scenario": task.scenario.model_copy(update={"goals": goals})})
    assert verdict(models().answer, leaking).startswith("soundness: ")


def test_a_task_without_its_pattern_is_rejected_because_the_naive_agent_solves_it():
    task = made("none")[1].model_copy(update={"pattern": "wrong_payment"})
    assert verdict(models().answer, task) == "pattern: the naive agent solves it, whichever record it takes"


def test_a_task_whose_user_lets_no_agent_through_in_time_is_unsolvable():
    _, task = made("order_not_asked")
    topics = ["item", *(f"{letter}thing" for letter in "abcdefghijklmnopqrstuvwxyz")]
    details = tuple(Detail(topic=topic, text=f"the {topic} is as i said") for topic in topics)
    goal = task.scenario.goals[0].model_copy(update={"details": details})
    endless = task.model_copy(update={"scenario": task.scenario.model_copy(update={"goals": (goal,)})})
    assert verdict(models().answer, endless) == "solvability: no agent that knows the reference gets to the end"


def test_a_model_that_plays_the_agent_may_show_that_a_task_is_solvable():
    _, task = made("order_not_asked")
    base = DOMAIN.open_database(databases()[task.database_id])
    played = run_episode(Episode(task, DOMAIN, base), Follower(task, DOMAIN))
    said = [message for message in played.messages if message.role == "assistant"]

    def knowing(body: dict[str, Any], number: int) -> dict[str, Any]:
        message = said[sum(each["role"] == "assistant" for each in body["messages"])]
        calls = [tool_call(call.name, call.arguments, call.id) for call in message.tool_calls]
        return completion(message.content, calls)

    def solved(answer: Answer, n_tries: int) -> bool:
        async def act(client: ChatClient) -> bool:
            return await LlmReader(client, DOMAIN, LlmReaderConfig(n_tries=n_tries)).solves(task, base)

        return asked(answer, act)[0]

    assert solved(knowing, 1)
    assert not solved(knowing, 0)
    assert not solved(lambda *_: completion("I'm afraid I can't do that."), 2)


def test_sketches_name_customers_of_their_database_and_differ_by_number():
    rows = list(databases().values())
    drawn = [sketch("none", rows, 1, number) for number in range(20)]
    assert len({each.customer for each in drawn}) > 10
    assert all(each.customer in databases()[each.database_id].ids("user_ids") for each in drawn)
    assert role_of({"messages": [{"content": "You check"}]}) == "reader"

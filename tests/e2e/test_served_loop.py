"""A served chat model in the place of a trained policy: played, diagnosed, written tasks for, and never trained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.profile import load_profile, pin_profile
from env_sim import load_domain
from env_sim.reward import Scorer
from env_sim.tasks import demonstrate
from jobs.definitions import defs
from jobs.runner import LoopRunner
from jobs.tables import results_text
from schemas import BOOTSTRAP, ConfigError, DatabaseRow, Message, Task, TaskOutcome
from schemas.store import Warehouse
from tests.fixtures.chat_server import ChatServer, completion, serving, tool_call

PRICE = 2.0


class HalfExpert:
    """A server that says what the expert says, and gives up where its second sentence is due on every other task."""

    def __init__(self, root: Path) -> None:
        self.warehouse = Warehouse.open(root)
        self.known: dict[str, tuple[Message, ...]] = {}

    def __call__(self, body: dict[str, Any], number: int) -> Any:
        opening = body["messages"][1]["content"]
        place, said = len(body["messages"]) - 1, self.dialogues().get(opening, ())
        if place >= len(said) or (len(opening) % 2 and place > 1):
            return completion("I can't help with that.")
        message = said[place]
        return completion(message.content, [tool_call(c.name, c.arguments, c.id) for c in message.tool_calls] or None)

    def dialogues(self) -> dict[str, tuple[Message, ...]]:
        """By their opening; the tasks are made before the first call."""
        if self.known:
            return self.known
        scorer = Scorer(load_domain("retail"))
        for split in ("validation", "test"):
            rows = self.warehouse.read(f"{split}_databases", BOOTSTRAP)
            databases = {row.database_id: row for row in rows if isinstance(row, DatabaseRow)}
            for task in self.warehouse.read(f"{split}_tasks", BOOTSTRAP):
                assert isinstance(task, Task)
                shown = demonstrate("retail", databases, task, scorer).messages
                self.known[shown[0].content] = shown
        return self.known


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoopRunner, ChatServer]]:
    root = tmp_path_factory.mktemp("served")
    with serving(HalfExpert(root)) as server, dg.DagsterInstance.ephemeral() as instance:
        place = {"base_url": server.base_url, "model": "strong", "usd_per_million_output_tokens": PRICE}
        settings = {
            "rounds": 1,
            "served_policy.endpoint": place,
            "max_turns": 30,
            "databases.n_users": 40,
            "injection": {"tasks_per_round": 12, "plain_share": 0.2, "explorations_per_task": 40},
        }
        profile = pin_profile(root, load_profile("smoke", settings))
        runner = LoopRunner(Warehouse.open(root), profile, instance, defs)
        runner.run_bootstrap()
        runner.run_round("round-001")
        yield runner, server


def test_a_served_model_is_played_diagnosed_and_written_tasks_for(served: tuple[LoopRunner, ChatServer]) -> None:
    warehouse = served[0].warehouse
    outcomes = warehouse.read("baseline_test_outcomes", BOOTSTRAP)
    assert {row.policy for row in outcomes if isinstance(row, TaskOutcome)} == {"strong"}
    solved = warehouse.sql("select avg((reward.success >= 1)::int) as share from validation_rollouts").to_pylist()
    assert 0 < solved[0]["share"] < 1
    assert warehouse.read("judge_explanations", "round-001") and warehouse.read("task_pool", "round-001")
    untouched = ("sft_trajectories", "sft_checkpoint", "rl_checkpoint", "pass_hat_k_report")
    assert [warehouse.rounds(table) for table in untouched] == [[]] * len(untouched)
    assert "strong" in results_text(warehouse.root)


def test_its_calls_are_in_the_ledger_by_table_and_round(served: tuple[LoopRunner, ChatServer]) -> None:
    runner, server = served
    rows = runner.warehouse.sql(
        "select made_for, round, count(*) as n, sum(cost_usd) as usd from llm_calls group by all order by made_for"
    ).to_pylist()
    assert [(row["made_for"], row["round"]) for row in rows] == [
        ("baseline_test_rollouts", BOOTSTRAP),
        ("validation_rollouts", "round-001"),
    ]
    assert sum(row["n"] for row in rows) == server.n_served
    assert all(row["usd"] == pytest.approx(row["n"] * 10 * PRICE / 1e6) for row in rows)


def test_a_finished_run_asks_nobody_again(served: tuple[LoopRunner, ChatServer]) -> None:
    runner, server = served
    n_served = server.n_served
    runner.run_bootstrap()
    runner.run_round("round-001")
    assert server.n_served == n_served


def test_training_it_is_refused_in_words(served: tuple[LoopRunner, ChatServer]) -> None:
    with pytest.raises(ConfigError, match="expected a policy that is trained here, got the model of served_policy"):
        served[0].run_ablation("round-001")


def test_an_endpoint_that_is_gone_is_named_before_anything_is_made(served: tuple[LoopRunner, ChatServer]) -> None:
    runner, _ = served
    gone = runner.profile.model_copy(
        update={
            "served_policy": runner.profile.served_policy.model_copy(
                update={
                    "endpoint": runner.profile.endpoints()["served_policy"].model_copy(
                        update={"base_url": "http://127.0.0.1:9/v1"}
                    )
                }
            )
        }
    )
    stopped = LoopRunner(runner.warehouse, gone, runner.instance, defs)
    with pytest.raises(ConfigError, match=r"endpoint\[served_policy: strong at http://127\.0\.0\.1:9/v1\]"):
        stopped.run_again(["validation_rollouts"], "round-001")
    with pytest.raises(ConfigError, match="correct the names"):
        runner.run_again(["validation_rollout"], "round-001")

"""A small round whose explorer, writer and reader are models at a server: tasks reach the pool, the others are rows."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import dagster as dg
import pytest

from assets.model_calls import ModelCalls
from assets.plans import injection_plan
from assets.profile import STORED, load_profile, pin_profile
from assets.stage import derived_seed
from assets.task_roles import TaskMaker
from env_sim.pool import PatternPlan, rescored
from jobs.runner import LoopRunner
from schemas import Attempt, ConfigError, DatabaseRow, FailureCluster, PoolTask, TaskError, Trajectory, Verdict
from schemas.errors import EndpointRefusedError
from schemas.store import Warehouse
from tests.fixtures.chat_server import ChatServer, Served, completion, serving
from tests.fixtures.loop import scripted_definitions
from tests.fixtures.retail import databases
from tests.fixtures.task_models import TaskModels, role_of

ROUND = "round-001"
PATTERNS = ["order_not_asked", "wrong_variant"]


class Server:
    """Faithful models, but for a quarter of the wordings, which are garbage, and a third of the readings."""

    def __init__(self, warehouse: Warehouse | None) -> None:
        rows = warehouse.read("train_databases", "bootstrap") if warehouse else []
        databases = {row.database_id: row for row in rows if isinstance(row, DatabaseRow)}
        self.models = TaskModels(databases, dict.fromkeys(["none", *PATTERNS], 6)) if databases else None

    def answer(self, body: dict[str, Any], number: int) -> dict[str, Any] | Served:
        if self.models is None:
            return Served({"error": {"message": "no such model"}}, status=404)
        role = role_of(body)
        text = body["messages"][0]["content"]
        if role == "writer" and crc32(text.encode()) % 4 == 0:
            return completion("As an AI I can't.")
        if role == "reader" and crc32(text.encode()) % 3 == 0:
            return completion('{"actions": [], "why": "it is unclear"}')
        return self.models.answer(body, number)


def settings(server: ChatServer) -> dict[str, Any]:
    place = {"base_url": server.base_url, "model": "strong"}
    return {
        "patterns": PATTERNS,
        "injection.tasks_per_round": 10,
        "injection.sources_per_task": 1.5,
        "limits.max_pattern_gap": 0.9,
        "limits.max_rejected_share": 0.9,
        "limits.max_pattern_share": 1.0,
        **{f"{role}.endpoint": place for role in ("explorer", "writer", "reader")},
        "explorer.asking.n_tries": 4,
    }


MADE = (
    "exploration_attempts",
    "source_trajectories",
    "writing_attempts",
    "injected_tasks",
    "executable_tasks",
    "task_pool",
)


@contextlib.contextmanager
def made_again(finished: Warehouse, root: Path, **overrides: Any) -> Iterator[LoopRunner]:
    """A copy of a finished warehouse, under other settings, whose round's tasks are made again."""
    shutil.copytree(finished.root, root)
    root.joinpath(STORED).unlink()
    profile = pin_profile(root, load_profile("smoke", overrides))
    config = {"resources": {"warehouse": {"config": {"root": str(root)}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        scripted_definitions().resolve_job_def("one_round").execute_in_process(
            run_config=config,
            partition_key=ROUND,
            asset_selection=[dg.AssetKey(name) for name in MADE],
            instance=instance,
        )
        yield LoopRunner(Warehouse.open(root), profile, instance, scripted_definitions())


def test_a_round_by_three_models_lands_tasks_in_the_pool_and_every_try_in_a_row(runner: LoopRunner, tmp_path: Path):
    brain = Server(runner.warehouse)
    with serving(brain.answer) as server, made_again(runner.warehouse, tmp_path / "w", **settings(server)) as made:
        warehouse, n_requests = made.warehouse, len(server.requests)
        sources = list(warehouse.read("source_trajectories", ROUND))
        # What a killed run has paid for is not asked again.
        assert remade(made) == sources and len(server.requests) == n_requests
        said = made.instance.get_latest_materialization_event(dg.AssetKey("executable_tasks"))
    pool = [row.task for row in warehouse.read("task_pool", ROUND) if isinstance(row, PoolTask)]
    explored, written = (
        [row for row in warehouse.read(f"{act}_attempts", ROUND) if isinstance(row, Attempt)]
        for act in ("exploration", "writing")
    )
    verdicts = [row for row in warehouse.read("executable_tasks", ROUND) if isinstance(row, Verdict)]
    assert {row.policy_version.split("@")[0] for row in sources if isinstance(row, Trajectory)} == {"strong/explorer"}
    assert pool and {task.made_by.split("@")[0] for task in pool} == {"strong/writer"}
    assert all(task.cluster_id for task in pool if task.pattern != "none")
    assert any(task.scenario.never_said for task in pool)
    reasons = {verdict.reason.partition(":")[0] for verdict in verdicts}
    assert {"ok", "back-check"} <= reasons <= {"ok", "back-check", "pattern"}
    assert len(sources) == sum(row.reason == "ok" for row in explored)
    assert {"ok", "found before"} <= {row.reason for row in explored}
    assert {row.reason for row in written} == {"ok", "no reply was a task"}
    assert all("JSON" in row.parse_error for row in written if row.reason != "ok")
    sums = "select sum(n_explored), sum(n_kept), sum(n_tried), sum(n_written), sum(n_accepted) from task_yield"
    (found,) = warehouse.sql(f"{sums} where round = '{ROUND}'").to_pylist()
    n_ok = sum(verdict.executable for verdict in verdicts)
    assert list(found.values()) == [len(explored), len(sources), len(written), len(verdicts), n_ok]
    paid = warehouse.sql(f"select role, made_for from llm_calls where round = '{ROUND}' group by all order by 1")
    assert paid.to_pylist() == [
        {"role": "explorer", "made_for": "source_trajectories"},
        {"role": "reader", "made_for": "executable_tasks"},
        {"role": "writer", "made_for": "injected_tasks"},
    ]
    assert said is not None and said.asset_materialization is not None
    assert "back-check" in str(said.asset_materialization.metadata["yield"].value)


def remade(runner: LoopRunner) -> list[Trajectory]:
    """The explorations made again, from the replies that are kept."""
    profile, warehouse = runner.profile, runner.warehouse
    databases = {row.database_id: row for row in warehouse.read("train_databases", "bootstrap")}
    clusters = [row for row in warehouse.read("failure_clusters", ROUND) if isinstance(row, FailureCluster)]
    with ModelCalls(warehouse.root, ROUND, "source_trajectories") as calls:
        maker = TaskMaker(profile, calls, databases, lambda purpose: derived_seed(profile.seed, purpose, ROUND))
        return [rescored(row, profile.reward) for row in maker.explored(injection_plan(profile, clusters)).rows]


def test_roles_mix_a_program_goes_on_from_a_model_and_a_model_from_a_program(tmp_path: Path):
    plan = PatternPlan({"none": 2, "wrong_variant": 2})
    models = TaskModels(databases(), dict.fromkeys(plan.counts, 3))

    with serving(models.answer) as server, ModelCalls(str(tmp_path), ROUND, "injected_tasks") as calls:

        def maker(server: ChatServer, role: str) -> TaskMaker:
            profile = load_profile("smoke", {f"{role}.endpoint": {"base_url": server.base_url, "model": "strong"}})
            return TaskMaker(profile, calls, databases(), lambda purpose: 5)

        explored = maker(server, "explorer").explored(plan)
        by_program = maker(server, "explorer").written(plan, explored.rows, explored.attempts, ())
        found = maker(server, "writer").explored(plan)
        by_model = maker(server, "writer").written(plan, found.rows, found.attempts, ())
        read_by_program = maker(server, "writer").checked(by_model.rows, (), by_model.attempts)
        read_by_model = maker(server, "reader").checked([task for _, task in models.made], (), ())
    assert {row.policy for row in explored.rows} == {"explorer"} and {row.policy for row in found.rows} == {"planner"}
    assert by_program.rows and {task.made_by for task in by_program.rows} == {"grammar-writer/1"}
    assert by_model.rows and all(task.made_by.startswith("strong/writer@") for task in by_model.rows)
    assert {row.trajectory_id for row in found.attempts} == {row.trajectory_id for row in found.rows}
    assert {(row.reason, row.n_replies, row.prompt_version) for row in found.attempts} == {("ok", 0, "")}
    assert len(by_model.attempts) >= len(by_model.rows)
    assert [verdict.reason for made in (read_by_program, read_by_model) for verdict in made.rows].count("ok") == len(
        read_by_program.rows
    ) + len(models.made)


def test_sources_that_no_attempt_was_kept_for_are_an_error_that_says_what_to_make_again(tmp_path: Path):
    plan = PatternPlan({"none": 2})
    with ModelCalls(str(tmp_path), ROUND, "injected_tasks") as calls:
        maker = TaskMaker(load_profile("smoke"), calls, databases(), lambda purpose: 5)
        found = maker.explored(plan)
        with pytest.raises(TaskError, match=r"kept for a pattern .* got none for 1; materialize source_trajectories"):
            maker.written(plan, found.rows, found.attempts[1:], ())


def test_an_endpoint_that_refuses_stops_the_stage_with_role_and_remedy_and_no_row(tmp_path: Path):
    brain = Server(None)
    with serving(brain.answer) as server, ModelCalls(str(tmp_path), ROUND, "source_trajectories") as calls:
        profile = load_profile("smoke", settings(server))
        maker = TaskMaker(profile, calls, databases(), lambda purpose: 1)
        with pytest.raises(EndpointRefusedError, match=r"explorer: strong .* correct the key, the model's name"):
            maker.explored(PatternPlan({"none": 2}))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"writer.endpoint": {"base_url": "localhost", "model": "m"}}, r"writer\.endpoint\.base_url"),
        ({"explorer.asking.max_calls": 61}, r"explorer\.asking\.max_calls\]: expected less than or equal to 60"),
        ({"limits.max_actions": 20}, r"explorer\.asking\.max_calls\]: expected at most 20, as the gates allow, got 30"),
        ({"writer.asking.max_words": 300, "limits.max_words": 200}, r"writer\.asking\.max_words"),
        ({"reader.asking.n_trys": 1}, r"did you mean n_tries"),
    ],
)
def test_settings_of_roles_are_refused_before_anything_is_spent(overrides: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        load_profile("smoke", overrides)

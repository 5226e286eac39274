from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from assets.checks import gate_names
from assets.profile import load_profile, pin_profile
from assets.resources import ProfileResource, WarehouseResource
from jobs.advance_round import advance_round
from jobs.definitions import defs
from schemas import Checkpoint, GateResult
from schemas.store import Warehouse

TABLE = "rl_checkpoint"


def train(root: Path, done: str, following: str | None = None, refused: str = "") -> Warehouse:
    """A warehouse of two rounds whose round `done` has a checkpoint, checked and up for test in the next one."""
    pin_profile(root, load_profile("smoke", {"rounds": 2}))
    warehouse = Warehouse.open(root)
    row = Checkpoint(
        checkpoint_id="ck-1", policy="rl", kind="rl", path="p", parent_checkpoint_id="ck-0", n_parameters=1, seed=0,
        n_steps=1,
    )  # fmt: skip
    warehouse.replace_round(TABLE, done, [row])
    for gate in gate_names(TABLE):
        warehouse.record_gate(GateResult(table=TABLE, round=done, gate=gate, passed=gate != refused, n_rows=1))
    if following:
        warehouse.replace_round("round_policy", following, [row])
    return warehouse


def ask(root: Path) -> SensorExecutionData:
    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"warehouse": WarehouseResource(root=str(root)), "profile": ProfileResource()}
        context = dg.build_sensor_context(instance=instance, resources=resources, definitions=defs)
        return advance_round.evaluate_tick(context)


def test_a_ready_checkpoint_opens_the_next_round_once(tmp_path: Path):
    train(tmp_path, "round-001", "round-002")
    (request,) = ask(tmp_path).run_requests
    assert (request.partition_key, request.run_key) == ("round-002", "round-002")


@pytest.mark.parametrize("done", ["round-002", "round-032"])
def test_the_last_round_of_the_profile_opens_none(tmp_path: Path, done: str):
    train(tmp_path, done)
    tick = ask(tmp_path)
    assert not tick.run_requests
    assert tick.skip_message == f"{done} was the last of 2 rounds (profile key `rounds`)"


@pytest.mark.parametrize("gate", gate_names(TABLE))
def test_a_checkpoint_that_a_gate_refused_opens_none(tmp_path: Path, gate: str):
    train(tmp_path, "round-001", "round-002", refused=gate)
    tick = ask(tmp_path)
    assert not tick.run_requests
    assert "has not passed its gates, round-002 stays closed" in str(tick.skip_message)


def test_a_checkpoint_that_is_not_up_for_test_opens_none_yet(tmp_path: Path):
    warehouse = train(tmp_path, "round-001")
    assert "not yet put up for test in round-002" in str(ask(tmp_path).skip_message)
    warehouse.replace_round("round_policy", "round-002", warehouse.read(TABLE, "round-001"))
    assert ask(tmp_path).run_requests


def test_a_warehouse_without_a_checkpoint_opens_none(tmp_path: Path):
    assert ask(tmp_path).skip_message == "no round has a checkpoint yet"


def test_the_sensor_is_stopped_until_a_person_starts_it():
    assert advance_round.default_status == dg.DefaultSensorStatus.STOPPED

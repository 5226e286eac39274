from pathlib import Path

import dagster as dg
import pytest

from assets.profile import load_profile, pin_profile
from assets.resources import ProfileResource, WarehouseResource
from jobs.advance_round import advance_round
from jobs.definitions import defs


def ask(root: Path, done: str) -> dg.SensorEvaluationContext | object:
    pin_profile(root, load_profile("smoke", {"rounds": 2}))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("rl_checkpoint", partition=done))
        resources = {"warehouse": WarehouseResource(root=str(root)), "profile": ProfileResource()}
        context = dg.build_sensor_context(instance=instance, resources=resources, definitions=defs)
        return advance_round.evaluate_tick(context)


def test_a_ready_checkpoint_opens_the_next_round(tmp_path: Path):
    tick = ask(tmp_path, "round-001")
    assert [request.partition_key for request in tick.run_requests] == ["round-002"]


@pytest.mark.parametrize("done", ["round-002", "round-032"])
def test_the_last_round_of_the_profile_opens_none(tmp_path: Path, done: str):
    tick = ask(tmp_path, done)
    assert not tick.run_requests
    assert done in tick.skip_message


def test_the_sensor_is_stopped_until_a_person_starts_it():
    assert advance_round.default_status == dg.DefaultSensorStatus.STOPPED

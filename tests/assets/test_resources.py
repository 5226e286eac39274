from pathlib import Path

import pytest

from assets.resources import ProfileResource, TrainerResource, WarehouseResource
from schemas import ConfigError
from schemas.store import Warehouse


def test_the_root_comes_from_the_resource_then_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAULTLINE_WAREHOUSE", str(tmp_path / "a"))
    assert WarehouseResource().open().root == str(tmp_path / "a")
    assert WarehouseResource(root=str(tmp_path / "b")).open().root == str(tmp_path / "b")


def test_a_new_warehouse_takes_the_embedded_profile(tmp_path: Path):
    assert ProfileResource().load(str(tmp_path)).name == "embedded"


def test_a_warehouse_keeps_its_profile_when_nothing_is_asked(tmp_path: Path):
    first = ProfileResource(profile="smoke", overrides='{"seed": 4}').load(str(tmp_path))
    assert ProfileResource().load(str(tmp_path)) == first


def test_the_environment_chooses_profile_seed_and_targeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"PROFILE": "smoke", "SEED": "9", "TARGETING": "uniform"}.items():
        monkeypatch.setenv(f"FAULTLINE_{name}", value)
    profile = ProfileResource().load(str(tmp_path))
    assert (profile.name, profile.seed, profile.targeting) == ("smoke", 9, "uniform")


@pytest.mark.parametrize("text", ["[1]", "{", "3"])
def test_overrides_that_are_no_object_are_refused(tmp_path: Path, text: str):
    with pytest.raises(ConfigError, match="JSON object"):
        ProfileResource(overrides=text).load(str(tmp_path))


def test_the_trainer_gets_the_profile_and_the_warehouses_checkpoint_folder(tmp_path: Path):
    warehouse = Warehouse.open(tmp_path)
    profile = ProfileResource(profile="smoke").load(warehouse.root)
    trainer = TrainerResource().build(profile, warehouse)
    assert trainer.checkpoints == tmp_path / "checkpoints"
    assert (trainer.domain, trainer.max_turns, trainer.grpo) == ("retail", profile.max_turns, profile.grpo)

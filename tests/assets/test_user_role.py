"""A profile says who plays the users of validation and test episodes."""

from pathlib import Path
from typing import Any

import pytest

from assets.model_calls import ModelCalls
from assets.profile import Profile, load_profile, pin_profile, stored_profile
from assets.resources import TrainerResource
from assets.roles import user_of
from schemas import Checkpoint, ConfigError
from schemas.store import Warehouse
from trainer.embedded import EmbeddedTrainer
from trainer.served import ServedPolicy

PLACE = {"base_url": "http://127.0.0.1:1/v1", "model": "strong"}
SFT = Checkpoint(checkpoint_id="ck", policy="sft", kind="sft", path="checkpoints/ck", n_parameters=1, seed=0, n_steps=0)


def profile(**keys: Any) -> Profile:
    return load_profile("smoke", {key.replace("__", "."): value for key, value in keys.items()})


def player(root: Path, settings: Profile) -> EmbeddedTrainer | ServedPolicy:
    with ModelCalls(str(root), "round-001", "validation_rollouts") as calls:
        user = user_of(settings, calls)
        found = TrainerResource().player(settings, Warehouse.open(root), SFT, calls.record, user)
    assert isinstance(found, EmbeddedTrainer | ServedPolicy)
    return found


def test_without_an_endpoint_the_scripted_user_speaks(tmp_path: Path) -> None:
    assert player(tmp_path, profile()).user is None


@pytest.mark.parametrize("served", [{}, {"served_policy__endpoint": PLACE, "served_policy__speaks": "tokens"}])
def test_a_model_speaks_to_the_policy_here_and_to_the_one_that_is_served(
    tmp_path: Path, served: dict[str, Any]
) -> None:
    found = player(tmp_path, profile(user__endpoint=PLACE, user__asking={"repairs": 1}, **served))
    assert isinstance(found, ServedPolicy if served else EmbeddedTrainer)
    assert found.user is not None and found.user.endpoint.model == "strong" and found.user.config.repairs == 1
    assert found.user.cache is not None and found.user.record is not None


def test_an_endpoint_or_a_setting_that_can_not_be_is_refused_before_anything_is_spent() -> None:
    with pytest.raises(ConfigError, match=r"user\.endpoint\.base_url"):
        profile(user__endpoint={"base_url": "localhost", "model": "m"})
    with pytest.raises(ConfigError, match=r"user\.asking\.repairs"):
        profile(user__asking={"repairs": 99})
    with pytest.raises(ConfigError, match=r"did you mean asking"):
        profile(user__askin={"repairs": 1})


def test_a_warehouse_keeps_its_user_for_its_rows_depend_on_it(tmp_path: Path) -> None:
    pin_profile(tmp_path, profile())
    with pytest.raises(ConfigError, match=r"user\.endpoint"):
        pin_profile(tmp_path, profile(user__endpoint=PLACE))
    assert stored_profile(tmp_path) == profile()

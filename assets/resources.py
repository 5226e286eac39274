"""Resources: settings of the surroundings become the objects that assets work with.

Environment variables are read here, when an asset runs, never at import: FAULTLINE_WAREHOUSE (default `warehouse`),
FAULTLINE_PROFILE, FAULTLINE_SEED, FAULTLINE_TARGETING. Without the last three a warehouse keeps the profile that it was
made under, and a new one takes `embedded`.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import dagster as dg

from assets.profile import Profile, load_profile, pin_profile, stored_profile
from schemas import Checkpoint, ConfigError, DatabaseRow, Task, Trajectory
from schemas.llm_calls import LlmCall

if TYPE_CHECKING:
    from env_sim.chat.user import EndpointUser
    from env_sim.reward import RewardConfig
    from schemas.store import Warehouse
    from trainer.embedded import EmbeddedTrainer

DEFAULT_ROOT = "warehouse"
DEFAULT_PROFILE = "embedded"


class WarehouseResource(dg.ConfigurableResource):
    """Where rows are kept."""

    root: str = ""
    """Folder; empty takes FAULTLINE_WAREHOUSE, else `warehouse` in the working directory."""

    def open(self) -> "Warehouse":
        """The warehouse."""
        from schemas.store import Warehouse

        return Warehouse.open(self.root or os.environ.get("FAULTLINE_WAREHOUSE", "") or DEFAULT_ROOT)


class ProfileResource(dg.ConfigurableResource):
    """Under which settings rows are made."""

    profile: str = ""
    """Preset name or path; empty takes FAULTLINE_PROFILE, else the warehouse's own, else `embedded`."""
    overrides: str = ""
    """JSON object of dotted keys, as {"grpo.n_steps": 5}."""

    def load(self, root: str) -> Profile:
        """The settings, which from then on are those of this warehouse.

        Raises:
            ConfigError: When they don't exist, don't hold, or are not those that the warehouse was made under.
        """
        asked = self.profile or os.environ.get("FAULTLINE_PROFILE", "")
        overrides = {**_environment_overrides(), **_parsed(self.overrides)}
        stored = stored_profile(root)
        if stored is not None and not asked and not overrides:
            return stored
        if stored is not None and "rounds" not in overrides:
            overrides["rounds"] = stored.rounds
        return pin_profile(root, load_profile(asked or (stored.name if stored else DEFAULT_PROFILE), overrides))


def _environment_overrides() -> dict[str, Any]:
    found: dict[str, Any] = {}
    if seed := os.environ.get("FAULTLINE_SEED"):
        found["seed"] = seed
    if targeting := os.environ.get("FAULTLINE_TARGETING"):
        found["targeting"] = targeting
    return found


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        values = json.loads(text) if text else {}
    except ValueError as error:
        raise ConfigError(f"profile overrides: expected a JSON object, got {error}; correct the resource") from error
    if not isinstance(values, dict):
        raise ConfigError(f"profile overrides: expected a JSON object, got {text!r}; correct the resource")
    return values


class Player(Protocol):
    """Plays checkpoints."""

    def rollouts(
        self,
        checkpoint: Checkpoint,
        tasks: Sequence[Task],
        databases: Mapping[str, DatabaseRow],
        n_trials: int,
        seed: int,
    ) -> list[Trajectory]:
        """Play every task `n_trials` times; trajectories task after task, trial after trial."""
        ...


class TrainerResource(dg.ConfigurableResource):
    """Who learns and plays."""

    backend: Literal["embedded"] = "embedded"
    """The embedded trainer works on this machine's CPU."""

    def build(
        self, profile: Profile, warehouse: "Warehouse", reward: "RewardConfig | None" = None
    ) -> "EmbeddedTrainer":
        """The trainer under a profile, its checkpoints under the warehouse's root.

        Raises:
            ConfigError: When the profile's policy is a served chat model.
        """
        from trainer.embedded import EmbeddedTrainer

        if not profile.trains:
            raise ConfigError(
                f"trainer[{profile.name}]: expected a policy that is trained here, got the model of served_policy; "
                "take the profile `embedded` to train, or stop at task_pool: served models are played, diagnosed and "
                "written tasks for"
            )

        return EmbeddedTrainer(
            domain=profile.domain,
            checkpoints=warehouse.checkpoint_dir("any").parent,
            policy=profile.policy,
            warmup=profile.warmup,
            sft=profile.sft,
            grpo=profile.grpo,
            sampling=profile.sampling,
            reward=reward or profile.reward,
            n_processes=profile.n_processes,
            max_turns=profile.max_turns,
        )

    def player(
        self,
        profile: Profile,
        warehouse: "Warehouse",
        checkpoint: Checkpoint,
        record: Callable[[LlmCall], None],
        user: "EndpointUser | None" = None,
    ) -> Player:
        """Who plays a checkpoint: an endpoint when the profile serves it there, else the trainer itself.

        Args:
            profile: Names the endpoint.
            warehouse: Holds the checkpoints.
            checkpoint: What is played.
            record: Hears of the policy's calls.
            user: Who plays the users; none: the scripted one.
        """
        role = profile.served_policy
        served_here = role.speaks == "chat" or role.plays == checkpoint.policy
        if role.endpoint is None or not served_here:
            trainer = self.build(profile, warehouse)
            return replace(trainer, user=user) if user else trainer
        # The openai package takes half a second to load, and most runs need none of it.
        from trainer.served import ServedPolicy

        return ServedPolicy(
            domain=profile.domain,
            endpoint=role.endpoint,
            speaks=role.speaks,
            checkpoints=warehouse.checkpoint_dir("any").parent,
            sampling=profile.sampling,
            reward=profile.reward,
            max_turns=profile.max_turns,
            record=record,
            returns_thoughts=role.returns_thoughts,
            user=user,
        )

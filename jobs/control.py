"""Control arms: the same bootstrap and budget on tasks that this policy's failures did not choose.

Plain ones tell whether the lift is more training, uniformly drawn patterns whether it is the difficulty alone: without
both a lift proves nothing about targeting.
"""

import logging
import shutil
from pathlib import Path
from typing import Literal

from assets.profile import Profile, stored_profile
from assets.rounds import ROUND_KEYS
from schemas import BOOTSTRAP, Checkpoint, ConfigError, GateResult
from schemas.columns import TABLES
from schemas.folders import folder_of
from schemas.store import Warehouse

logger = logging.getLogger(__name__)

Arm = Literal["none", "uniform"]
"""The targeting of a control arm."""


def control_root(root: str | Path, arm: Arm = "none") -> str:
    """Where a control arm of a warehouse lives."""
    return f"{str(root).rstrip('/')}-{'control' if arm == 'none' else arm}"


def control_profile(root: str | Path, arm: Arm = "none") -> Profile:
    """The warehouse's profile with the arm's tasks.

    Raises:
        ConfigError: When there is no warehouse to compare with.
    """
    profile = stored_profile(root)
    if profile is None:
        raise ConfigError(f"control[{root}]: expected a warehouse with a profile, got none; run the demo there first")
    if profile.targeting != "clusters":
        raise ConfigError(f"control[{root}]: expected a targeted warehouse, got a control arm; name the other one")
    if not profile.trains:
        raise ConfigError(
            f"control[{root}]: expected a policy that is trained, got a served one; no arm would train on its tasks"
        )
    return profile.model_copy(update={"targeting": arm})


def copy_bootstrap(source: Warehouse, target: Warehouse) -> None:
    """Copy rows, verdicts and checkpoints from before the loop, what is there already excepted."""
    tables = [table for table, spec in TABLES.items() if spec.gated]
    places = [*((table, BOOTSTRAP) for table in tables), ("round_policy", ROUND_KEYS[0])]
    for table, round in places:
        if round not in source.rounds(table) or round in target.rounds(table):
            continue
        rows = source.read(table, round)
        for row in rows:
            if isinstance(row, Checkpoint):
                _copy_folder(folder_of(source.root) / row.path, folder_of(target.root) / row.path)
        target.replace_round(table, round, rows)
        logger.info("%s[%s]: %d rows copied", table, round, len(rows))
    for table, round in places:
        _copy_verdicts(source, target, table, round)


def _copy_folder(source: Path, target: Path) -> None:
    if target.exists():
        return
    draft = target.with_name(target.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(source, draft)
    draft.rename(target)


def _copy_verdicts(source: Warehouse, target: Warehouse, table: str, round: str) -> None:
    if round not in source.rounds("gate_results") or round not in target.rounds(table):
        return
    for row in source.read("gate_results", round):
        if isinstance(row, GateResult) and row.table == table:
            target.record_gate(row)


__all__ = ["Arm", "control_profile", "control_root", "copy_bootstrap"]

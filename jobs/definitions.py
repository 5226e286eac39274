"""The code location: the single `dg.Definitions`. Dagster loads this file by its path (see workspace.yaml).

Cheap to load: torch, Lance, Great Expectations and matplotlib are imported when an asset needs them. Runs execute in
one process, because a step of its own process costs five seconds and the trainer starts its own workers.
"""

import dagster as dg

from assets import diagnosis, injection, likeness, reports, rollouts, sft, tasks, training
from assets.checks import all_checks
from assets.column_metadata import described
from assets.resources import ProfileResource, TrainerResource, WarehouseResource
from jobs.advance_round import advance_round
from jobs.loop import JOBS

_MODULES = [tasks, sft, rollouts, diagnosis, injection, likeness, training, reports]


def code_location(trainer: TrainerResource) -> dg.Definitions:
    """All assets, checks, jobs and the sensor; tests give another trainer."""
    assets = described(list(dg.load_assets_from_modules(_MODULES, include_specs=True)))
    return dg.Definitions(
        assets=assets,
        asset_checks=all_checks([asset for asset in assets if isinstance(asset, dg.AssetsDefinition)]),
        jobs=JOBS,
        sensors=[advance_round],
        resources={"warehouse": WarehouseResource(), "profile": ProfileResource(), "trainer": trainer},
        executor=dg.in_process_executor,
    )


defs = code_location(TrainerResource())

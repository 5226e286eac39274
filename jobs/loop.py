"""The jobs: what is run together."""

import dagster as dg
from pydantic import Field

from assets.resources import WarehouseResource
from schemas.maintain import DEFAULT_DAYS, MIN_DAYS, maintain

BOOTSTRAP_GROUPS = ("bootstrap", "imitation")
ROUND_GROUPS = ("discovery", "injection", "training", "evaluation")
BASELINE = ("baseline_test_rollouts", "baseline_test_violations", "baseline_test_outcomes")
"""Evaluated once, before the loop."""
ABLATION = "reward_ablation_report"
EVALUATION = ("test_rollouts", "test_violations", "test_outcomes", "pass_hat_k_report", "round_report")

_baseline = dg.AssetSelection.assets(*BASELINE)
_ablation = dg.AssetSelection.assets(ABLATION)

bootstrap = dg.define_asset_job(
    "bootstrap",
    selection=dg.AssetSelection.groups(*BOOTSTRAP_GROUPS) | _baseline,
    description="Everything before the loop: databases, tasks, imitation, the baseline on the test tasks.",
)
one_round = dg.define_asset_job(
    "one_round",
    selection=dg.AssetSelection.groups(*ROUND_GROUPS) - _baseline - _ablation,
    description="One round: play, diagnose, inject, train, evaluate.",
)
_served = dg.AssetSelection.groups("serving")
served_bootstrap = dg.define_asset_job(
    "served_bootstrap",
    selection=dg.AssetSelection.groups("bootstrap") - dg.AssetSelection.assets("sft_tasks") | _served | _baseline,
    description="Everything before the loop when the policy is a served model: databases, tasks, its test episodes.",
)
served_round = dg.define_asset_job(
    "served_round",
    selection=dg.AssetSelection.groups("discovery", "injection"),
    description="One round of a served model, which nothing trains: play, diagnose, inject.",
)
evaluation = dg.define_asset_job(
    "evaluation",
    selection=dg.AssetSelection.assets(*EVALUATION),
    description="Test a round's checkpoint again and rewrite its reports.",
)
ablation = dg.define_asset_job(
    "ablation",
    selection=_ablation,
    description="Three rewards on one pool and budget: three trainings, not part of a round.",
)


class Upkeep(dg.Config):
    """How old is old."""

    days: float = Field(default=DEFAULT_DAYS, ge=MIN_DAYS)
    """Untagged versions older than this go."""


@dg.op(description="Merge small files, remove old untagged versions.")
def tidy_warehouse(context: dg.OpExecutionContext, config: Upkeep, warehouse: WarehouseResource) -> None:
    """Safe beside readers and writers; reports' versions are tagged and stay."""
    freed = maintain(warehouse.open(), config.days)
    context.log.info("%d bytes freed in %d tables", sum(freed.values()), sum(map(bool, freed.values())))


@dg.job(description="Compact all tables and remove untagged versions older than so many days.")
def maintenance() -> None:
    """One step."""
    tidy_warehouse()


JOBS = (bootstrap, one_round, served_bootstrap, served_round, evaluation, ablation, maintenance)

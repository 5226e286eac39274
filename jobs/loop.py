"""The jobs: what is run together."""

import dagster as dg

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

JOBS = (bootstrap, one_round, evaluation, ablation)

"""What people read of a round: the Pass^k table and an HTML page."""

from collections.abc import Sequence
from itertools import chain, pairwise

import dagster as dg

from assets.model_calls import ModelCalls
from assets.pages import report_path, write_gate_page, write_page
from assets.profile import Profile
from assets.reading import Reading
from assets.resources import ProfileResource, WarehouseResource
from assets.retries import retried
from assets.roles import mapped
from assets.rounds import ROUNDS, UP_TO
from assets.stage import Stage, picture, table_of
from quality.pass_hat_k import PairedDifference, paired_difference, policy_order, report, table_text
from quality.plots import pass_hat_k_plot
from quality.report import RoundReport, round_report_html
from schemas import (
    BOOTSTRAP,
    Explanation,
    FailureCluster,
    PassHatK,
    PoolTask,
    Task,
    TaskOutcome,
    TrainStep,
    Trajectory,
)

GROUP = "evaluation"


def differences(rows: Sequence[TaskOutcome], ks: Sequence[int], baseline: str = "sft") -> list[PairedDifference]:
    """Each RL policy against the baseline, and each round against the one before, paired by task."""
    by_policy: dict[str, list[TaskOutcome]] = {}
    for row in rows:
        by_policy.setdefault(row.policy, []).append(row)
    trained = sorted((name for name in by_policy if name.startswith("rl-")), key=policy_order)
    pairs = [(baseline, name) for name in trained] + list(pairwise(trained))
    return [paired_difference(by_policy[old], by_policy[new], k) for old, new in pairs for k in (ks[0], ks[-1])]


def _all_outcomes(reading: Reading) -> list[TaskOutcome]:
    baseline = reading.read(TaskOutcome, "baseline_test_outcomes", BOOTSTRAP)
    return [*baseline, *chain.from_iterable(reading.read_rounds(TaskOutcome, "test_outcomes").values())]


@dg.asset(
    group_name=GROUP,
    kinds={"lance"},
    partitions_def=ROUNDS,
    deps=["baseline_test_outcomes", dg.AssetDep("test_outcomes", partition_mapping=UP_TO)],
)
@retried
def pass_hat_k_report(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """Pass^k of base, SFT and every round so far on the test tasks, with 95 % intervals over tasks."""
    stage = Stage(context, warehouse, profile)
    outcomes = _all_outcomes(stage)
    rows = report(outcomes, stage.profile.ks, seed=stage.profile.seed)
    gains = differences(outcomes, stage.profile.ks)
    lines = [(g.candidate, g.baseline, g.k, 100 * g.mean, 100 * g.ci_low, 100 * g.ci_high, g.p_value) for g in gains]
    told = {
        "tag": stage.keep(f"pass-hat-k-{stage.round}"),
        "pass_hat_1": next(row.pass_hat_k for row in rows if row.policy == f"rl-{stage.round}"),
        "table": dg.MetadataValue.md(f"```\n{table_text(rows)}\n```"),
        "differences": table_of(("policy", "over", "k", "points", "low", "high", "p"), lines),
        "plot": picture(pass_hat_k_plot(rows), "Pass^k"),
    }
    return stage.write("pass_hat_k_report", rows, told)


@dg.asset(
    group_name=GROUP,
    kinds={"html"},
    partitions_def=ROUNDS,
    deps=["pass_hat_k_report", "validation_rollouts", "failure_clusters", "task_pool", "rl_metrics"],
)
@retried
def round_report(
    context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
) -> dg.MaterializeResult:
    """One HTML page: Pass^k, training curves, cluster map, pool, and episodes to read."""
    stage = Stage(context, warehouse, profile)
    page = report_page(stage)
    tag = stage.keep(f"report-{stage.round}")
    path = write_page(report_path(stage.warehouse.root, stage.round), page)
    gates = write_gate_page(stage.warehouse, stage.round)
    told = {"page": dg.MetadataValue.url(path.as_uri()), "gates": dg.MetadataValue.url(gates.as_uri()), "tag": tag}
    return stage.tell("round_report", 1, {**told, "bytes": len(page)})


def report_page(reading: Reading) -> str:
    """The page of the reading's round; of one recorded earlier, the same bytes."""
    return round_report_html(_report_rows(reading))


def _report_rows(reading: Reading) -> RoundReport:
    outcomes, profile, earlier = _all_outcomes(reading), reading.profile, reading.rounds[:-1]
    explanations = reading.read(Explanation, "judge_explanations")
    clusters = reading.read(FailureCluster, "failure_clusters")
    with ModelCalls(reading.warehouse.root, reading.round, "round_report") as calls:
        points = mapped(profile, explanations, clusters, calls)
    return RoundReport(
        round=reading.round,
        pass_hat_k=reading.read(PassHatK, "pass_hat_k_report"),
        differences=differences(outcomes, profile.ks),
        outcomes=outcomes,
        train_steps=reading.read(TrainStep, "rl_metrics"),
        explanations=explanations,
        clusters=clusters,
        failure_map=points,
        previous_clusters=reading.read(FailureCluster, "failure_clusters", earlier[-1]) if earlier else (),
        pool=reading.read(PoolTask, "task_pool"),
        tasks=reading.read(Task, "validation_tasks", BOOTSTRAP),
        trajectories=reading.read(Trajectory, "validation_rollouts"),
        notes=(f"Profile {profile.name}, seed {profile.seed}, targeting {profile.targeting}. {_players(profile)}",),
    )


def _players(profile: Profile) -> str:
    models = [f"{role}: {endpoint.model}" for role, endpoint in profile.endpoints().items()]
    if models:
        return f"Models at endpoints play roles ({', '.join(models)}); the others are the embedded programs."
    return "Policy, user, explorer, writer and judge are the embedded programs, not language models of a provider."

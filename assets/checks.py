"""Blocking checks: the gates of `quality` on every guarded table, as Dagster shows and enforces them.

A failed check stops what is downstream in the same run only; the verdicts stored here make `Warehouse.read` refuse the
round in every other run too.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from assets.pages import write_gate_page
from assets.plans import planned_counts
from assets.profile import Profile
from assets.resources import ProfileResource, WarehouseResource
from assets.retries import retried
from assets.rounds import ROUNDS, up_to
from assets.stage import table_of
from env_sim import load_domain
from env_sim.monitor import monitor
from env_sim.reward import total_reward
from env_sim.soundness import check_soundness
from env_sim.task_kits import load_task_kit
from env_sim.tasks import replay
from quality.gate import GateContext
from quality.gates import gates_for, tables_with_gates
from quality.suites import GATE as EXPECTATIONS
from schemas import BOOTSTRAP, DatabaseRow, FailureCluster, GateResult, Record, RewardParts, Task, UnknownRoundError

if TYPE_CHECKING:
    from schemas.store import Warehouse

GATES = "gates"
"""Name of the check that wraps a table's own rules. One for all of them: Dagster stores an event in 0.05 s, and five
times as many checks cost a round half a minute."""

SHOWN_IDS = 20
"""Offending ids in the UI; the stored verdict keeps a hundred."""

UNCHECKED = frozenset({"round_policy"})
"""Announced by another asset's step, where no check of its own can follow; it repeats a checked checkpoint."""


def gate_names(table: str) -> tuple[str, ...]:
    """Names of all verdicts that a table's round must have."""
    return (*(gate.name for gate in gates_for(table)), EXPECTATIONS)


def verdicts(warehouse: "Warehouse", profile: Profile, table: str, round: str) -> list[GateResult]:
    """Run all gates of a table on one round and store what they say."""
    from quality.suites import flat_columns, run_suite

    rows = warehouse.read(table, round, allow_ungated=True)
    context = gate_context(warehouse, profile, round)
    results = [gate.run(table, rows, context) for gate in gates_for(table)]
    flat = warehouse.read_arrow(table, round, allow_ungated=True, columns=flat_columns(table))
    results.append(run_suite(table, round, flat))
    for result in results:
        warehouse.record_gate(result)
    return results


def gate_context(warehouse: "Warehouse", profile: Profile, round: str) -> GateContext:
    """What gates may need beside the rows under test; read ungated, as no gate may wait for a neighbour's."""
    domain = load_domain(profile.domain)

    @cache
    def read(table: str, key: str | None) -> Sequence[Record]:
        try:
            return warehouse.read(table, key, allow_ungated=True)
        except UnknownRoundError:
            return ()

    def frame(table: str, key: str, columns: Sequence[str]) -> pl.DataFrame:
        try:
            return pl.DataFrame(pl.from_arrow(warehouse.read_arrow(table, key, allow_ungated=True, columns=columns)))
        except UnknownRoundError:
            return pl.DataFrame()

    @cache
    def databases() -> dict[str, DatabaseRow]:
        tables = ("train_databases", "validation_databases", "test_databases")
        rows = [row for table in tables for row in read(table, None) if isinstance(row, DatabaseRow)]
        return {row.database_id: row for row in rows}

    def rescore(parts: RewardParts) -> float:
        return total_reward(profile.reward, parts.success, parts.action_checks, parts.length_tokens, parts.repeats)

    def problems(task: Task) -> list[str]:
        found = check_soundness(profile.domain, databases(), task)
        return [f"{finding.rule}: {finding.evidence}" for finding in found if finding.severity == "broken"]

    def planned(table: str) -> Mapping[str, int]:
        clusters = [row for row in read("failure_clusters", round) if isinstance(row, FailureCluster)]
        return planned_counts(profile, table, clusters)

    return GateContext(
        round=round,
        read=read,
        frame=frame,
        rounds=up_to(round),
        known_entity_ids=domain.published_entity_ids(),
        known_grams=domain.published_grams(),
        patterns=frozenset([*(each.name for each in load_task_kit(profile.domain).patterns), *profile.patterns]),
        replay=lambda task: replay(profile.domain, databases(), task).reason,
        rescore=rescore,
        problems=problems,
        monitor=lambda row: monitor(row.messages, domain.rules, row.trajectory_id),
        planned=planned,
        max_tokens=_max_tokens(profile),
        limits=profile.limits.model_copy(update={"ks": profile.ks}),
    )


def _max_tokens(profile: Profile) -> dict[str, int]:
    """Context of whoever plays a table's episodes; programs have none, so that any token is one too many."""
    by_trainer = {"rl_rollouts": profile.grpo.max_context_tokens}
    played = ("validation_rollouts", "baseline_test_rollouts", "test_rollouts")
    by_program = ("sft_trajectories", "source_trajectories")
    return by_trainer | dict.fromkeys(played, profile.sampling.max_context_tokens) | dict.fromkeys(by_program, 0)


def _check(table: str, partitioned: bool) -> dg.AssetChecksDefinition:
    partitions = ROUNDS if partitioned else None
    said = {
        GATES: "Rules of this table: " + ", ".join(gate.name for gate in gates_for(table)) + ".",
        EXPECTATIONS: "Great Expectations on the flat columns: null, unique, in range, one of the known values.",
    }
    with warnings.catch_warnings():
        # Partitioned checks are in preview; without them a verdict would not name its round in the UI.
        warnings.simplefilter("ignore", category=dg.PreviewWarning)
        specs = [
            dg.AssetCheckSpec(name, asset=table, blocking=True, partitions_def=partitions, description=text)
            for name, text in said.items()
        ]

    @dg.multi_asset_check(name=f"{table}_checks", specs=specs)
    @retried
    def check(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
    ) -> Iterator[dg.AssetCheckResult]:
        store = warehouse.open()
        round = context.partition_key if partitioned else BOOTSTRAP
        results = verdicts(store, profile.load(store.root), table, round)
        for result in results:
            if result.message:
                (context.log.warning if result.passed else context.log.error)(result.message)
        page = {"page": dg.MetadataValue.url(write_gate_page(store, round).as_uri())}
        yield _shown(table, GATES, [result for result in results if result.gate != EXPECTATIONS], page)
        yield _shown(table, EXPECTATIONS, [result for result in results if result.gate == EXPECTATIONS], page)

    return check


def _shown(table: str, check: str, results: Sequence[GateResult], page: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Verdicts as one check: each has its line, so that a person sees which gate said no, and to which rows."""
    header = ("gate", "verdict", "rows", "measured", "offending ids")
    lines = [
        (
            result.gate,
            "FAILED" if not result.passed else "look" if result.message else "passed",
            result.n_rows,
            ", ".join(f"{name} {value:.4g}" for name, value in result.numbers.items()),
            ", ".join(result.bad_ids[:SHOWN_IDS]),
        )
        for result in results
    ]
    failed = [result.message for result in results if not result.passed]
    told = [result.message for result in results if result.passed and result.message]
    return dg.AssetCheckResult(
        asset_key=table,
        check_name=check,
        passed=not failed and not told,
        # A warning turns yellow and blocks nothing.
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description="\n".join([*failed, *told]) or None,
        metadata={"rows": results[0].n_rows, "verdicts": table_of(header, lines), **page},
    )


def all_checks(assets: Sequence[dg.AssetsDefinition | dg.AssetSpec]) -> list[dg.AssetChecksDefinition]:
    """One check definition per guarded table that some asset makes."""
    partitioned: dict[str, bool] = {}
    for asset in assets:
        if isinstance(asset, dg.AssetsDefinition):
            partitioned |= {key.to_user_string(): asset.partitions_def is not None for key in asset.keys}
    guarded = [table for table in tables_with_gates() if table in partitioned and table not in UNCHECKED]
    return [_check(table, partitioned[table]) for table in guarded]

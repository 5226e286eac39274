"""Blocking checks: the gates of `quality` on every guarded table, as Dagster shows and enforces them.

A failed check stops what is downstream in the same run only; the verdicts stored here make `Warehouse.read` refuse the
round in every other run too.
"""

import warnings
from collections.abc import Iterator, Sequence
from functools import cache

import dagster as dg

from assets.profile import Profile
from assets.resources import ProfileResource, WarehouseResource
from assets.rounds import ROUNDS, up_to
from assets.stage import table_of
from env_sim import load_domain
from env_sim.reward import total_reward
from env_sim.task_kits import load_task_kit
from env_sim.tasks import replay
from quality.gate import GateContext
from quality.gates import gates_for, tables_with_gates
from quality.suites import GATE as EXPECTATIONS
from schemas import BOOTSTRAP, DatabaseRow, GateResult, Record, RewardParts, Task, UnknownRoundError
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


def verdicts(warehouse: Warehouse, profile: Profile, table: str, round: str) -> list[GateResult]:
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


def gate_context(warehouse: Warehouse, profile: Profile, round: str) -> GateContext:
    """What gates may need beside the rows under test."""

    @cache
    def read(table: str, key: str | None) -> Sequence[Record]:
        try:
            return warehouse.read(table, key, allow_ungated=True)
        except UnknownRoundError:
            return ()

    @cache
    def databases() -> dict[str, DatabaseRow]:
        tables = ("train_databases", "validation_databases", "test_databases")
        rows = [row for table in tables for row in read(table, None) if isinstance(row, DatabaseRow)]
        return {row.database_id: row for row in rows}

    def replayed(task: Task) -> str:
        return replay(profile.domain, databases(), task).reason

    def rescore(parts: RewardParts) -> float:
        return total_reward(profile.reward, parts.success, parts.action_checks, parts.length_tokens, parts.repeats)

    return GateContext(
        round=round,
        read=read,
        rounds=up_to(round),
        known_entity_ids=load_domain(profile.domain).published_entity_ids(),
        patterns=frozenset([*load_task_kit(profile.domain).pattern_names(), *profile.patterns]),
        replay=replayed,
        rescore=rescore,
        limits=profile.limits.model_copy(update={"ks": profile.ks}),
    )


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
    def check(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
    ) -> Iterator[dg.AssetCheckResult]:
        store = warehouse.open()
        round = context.partition_key if partitioned else BOOTSTRAP
        results = verdicts(store, profile.load(store.root), table, round)
        for result in results:
            if not result.passed:
                context.log.error(result.message)
        yield _shown(table, GATES, [result for result in results if result.gate != EXPECTATIONS])
        yield _shown(table, EXPECTATIONS, [result for result in results if result.gate == EXPECTATIONS])

    return check


def _shown(table: str, check: str, results: Sequence[GateResult]) -> dg.AssetCheckResult:
    """Verdicts as one check: each has its line, so that a person sees which gate said no, and to which rows."""
    header = ("gate", "verdict", "rows", "measured", "offending ids")
    lines = [
        (
            result.gate,
            "passed" if result.passed else "FAILED",
            result.n_rows,
            ", ".join(f"{name} {value:.4g}" for name, value in result.numbers.items()),
            ", ".join(result.bad_ids[:SHOWN_IDS]),
        )
        for result in results
    ]
    failed = [result.message for result in results if not result.passed]
    return dg.AssetCheckResult(
        asset_key=table,
        check_name=check,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR,
        description="\n".join(failed) or None,
        metadata={"rows": results[0].n_rows, "verdicts": table_of(header, lines)},
    )


def all_checks(assets: Sequence[dg.AssetsDefinition | dg.AssetSpec]) -> list[dg.AssetChecksDefinition]:
    """One check definition per guarded table that some asset makes."""
    partitioned: dict[str, bool] = {}
    for asset in assets:
        if isinstance(asset, dg.AssetsDefinition):
            partitioned |= {key.to_user_string(): asset.partitions_def is not None for key in asset.keys}
    guarded = [table for table in tables_with_gates() if table in partitioned and table not in UNCHECKED]
    return [_check(table, partitioned[table]) for table in guarded]

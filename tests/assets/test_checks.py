"""Each check blocks on bad rows: rows of a real small round are spoiled one table at a time."""

from pathlib import Path

import dagster as dg
import pytest

from assets.checks import all_checks, gate_names, verdicts
from assets.resources import ProfileResource, WarehouseResource
from quality.gates import tables_with_gates
from schemas import BOOTSTRAP, Record, UngatedRoundError
from schemas.derived import NearDuplicate
from schemas.store import Warehouse
from tests.fixtures.loop import scripted_runner

ROUND = "round-001"
BOOTSTRAP_TABLES = {
    *(f"{split}_databases" for split in ("train", "validation", "test")),
    *("validation_tasks", "test_tasks", "sft_tasks", "sft_trajectories", "base_checkpoint", "sft_checkpoint"),
    *("sft_metrics", "baseline_test_rollouts", "baseline_test_violations", "baseline_test_outcomes"),
}
GUARDED = tables_with_gates()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checked")
    with scripted_runner(root) as runner:
        runner.run_bootstrap()
        runner.run_round(ROUND)
        runner.run_ablation(ROUND)
    return root


def round_of(table: str) -> str:
    return BOOTSTRAP if table in BOOTSTRAP_TABLES else ROUND


def twice(rows: list[Record]) -> list[Record]:
    """A small round has no two tasks that say the same: there a pair is made up."""
    first = rows[0] if rows else NearDuplicate(dropped_id="b", kept_id="a", similarity=1, threshold=1, method="none/1")
    return [*(rows or [first]), first]


@pytest.mark.parametrize("table", GUARDED)
def test_a_doubled_row_is_refused_by_the_gates_and_by_every_reader(done: Path, table: str):
    warehouse, round = Warehouse.open(done), round_of(table)
    profile = ProfileResource().load(str(done))
    good = warehouse.read(table, round)
    warehouse.replace_round(table, round, twice(good))
    try:
        results = verdicts(warehouse, profile, table, round)
        assert {result.gate for result in results} == set(gate_names(table))
        failed = [result for result in results if not result.passed]
        assert failed
        assert any(result.bad_ids and "unique" in result.gate for result in failed)
        with pytest.raises(UngatedRoundError):
            warehouse.read(table, round)
    finally:
        warehouse.replace_round(table, round, good)
        assert all(result.passed for result in verdicts(warehouse, profile, table, round))
    assert warehouse.read(table, round) == good


def test_a_check_in_dagster_fails_with_severity_error_and_names_the_rows(tmp_path: Path, done: Path):
    source = Warehouse.open(done)
    rows = source.read("validation_databases", BOOTSTRAP)

    @dg.asset(name="validation_databases")
    def doubled(warehouse: WarehouseResource) -> None:
        warehouse.open().replace_round("validation_databases", BOOTSTRAP, twice(rows))

    @dg.asset(deps=["validation_databases"])
    def downstream() -> None:
        raise AssertionError("ran behind a failed check")

    result = dg.materialize(
        [doubled, downstream, *all_checks([doubled])],
        resources={"warehouse": WarehouseResource(root=str(tmp_path)), "profile": ProfileResource(profile="smoke")},
        raise_on_error=False,
    )
    assert not result.success
    evaluations = {item.check_name: item for item in result.get_asset_check_evaluations()}
    assert not evaluations["gates"].passed
    assert evaluations["gates"].severity == dg.AssetCheckSeverity.ERROR
    assert rows[0].model_dump()["database_id"] in str(evaluations["gates"].metadata["verdicts"].value)
    assert not result.asset_materializations_for_node("downstream")

import graphlib
import json
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import lance

from jobs.definitions import defs
from jobs.loop import JOBS
from schemas import TrainStep
from schemas.columns import TABLES
from schemas.store import Warehouse

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SNAPSHOT = Path(__file__).with_name("asset_specs.json")

ROUND_ASSETS = {
    "validation_rollouts",
    "validation_violations",
    "validation_outcomes",
    "judge_explanations",
    "failure_clusters",
    "source_trajectories",
    "injected_tasks",
    "executable_tasks",
    "task_pool",
    "embeddings",
    "near_duplicates",
    "rl_checkpoint",
    "rl_rollouts",
    "rl_violations",
    "rl_metrics",
    "test_rollouts",
    "test_violations",
    "test_outcomes",
    "pass_hat_k_report",
    "round_report",
}


def specs() -> dict[str, dict[str, object]]:
    return {
        spec.key.to_user_string(): {
            "group": spec.group_name,
            "partitioned": spec.partitions_def is not None,
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        }
        for spec in defs.resolve_all_asset_specs()
    }


def test_the_graph_is_the_one_that_was_reviewed():
    """After a wanted change: rewrite the file with what this test prints."""
    found = specs()
    assert found == json.loads(SNAPSHOT.read_text()), json.dumps(found, indent=1, sort_keys=True)


def test_every_asset_says_what_it_is():
    assert all(spec.description for spec in defs.resolve_all_asset_specs())


def test_a_round_runs_every_round_asset_and_nothing_else():
    job = defs.resolve_job_def("one_round")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == ROUND_ASSETS
    assert {job.name for job in JOBS} == {"bootstrap", "one_round", "evaluation", "ablation", "maintenance"}


def test_the_pool_and_the_report_read_all_earlier_rounds_and_nothing_closes_the_cycle():
    graph = defs.resolve_job_def("one_round").asset_layer.asset_graph
    for key, parent in (("task_pool", "executable_tasks"), ("pass_hat_k_report", "test_outcomes")):
        mapping = graph.get_partition_mapping(dg.AssetKey(key), dg.AssetKey(parent))
        assert isinstance(mapping, dg.StaticPartitionMapping)
    assert not graph.get(dg.AssetKey("round_policy")).is_executable
    assert specs()["round_policy"]["deps"] == ["sft_checkpoint"]


def test_every_table_shows_its_columns_constraints_and_where_their_values_come_from():
    shown = {spec.key.to_user_string(): spec.metadata for spec in defs.resolve_all_asset_specs()}
    for table, spec in TABLES.items():
        if table in ("gate_results", "gate_waivers"):
            continue
        paths = [path for column in spec.columns for path, _ in column.walk()]
        assert [column.name for column in shown[table]["dagster/column_schema"].columns] == paths
        assert all(column.description for column in shown[table]["dagster/column_schema"].columns)
    columns = {column.name: column for column in shown["rl_rollouts"]["dagster/column_schema"].columns}
    assert columns["reward.success"].constraints.other == ["[0, 1]"]
    assert columns["trajectory_id"].constraints.unique
    assert columns["reward.length_tokens"].description == "Assistant tokens. Unit: tokens."
    lineage = shown["rl_rollouts"]["dagster/column_lineage"].deps_by_column
    assert lineage["task_id"] == [dg.TableColumnDep(dg.AssetKey("task_pool"), "task_id")]


def test_columns_are_taken_from_assets_that_exist_and_never_in_a_circle():
    lineage = {spec.key: spec.metadata.get("dagster/column_lineage") for spec in defs.resolve_all_asset_specs()}
    arrows = {
        (key, column): {(dep.asset_key, dep.column_name) for dep in deps}
        for key, found in lineage.items()
        if found
        for column, deps in found.deps_by_column.items()
    }
    assert {key for deps in arrows.values() for key, _ in deps} <= set(lineage)
    assert len(arrows) > 40
    list(graphlib.TopologicalSorter(arrows).static_order())


def test_every_stored_table_but_the_announced_one_is_guarded_by_blocking_checks():
    graph = defs.resolve_asset_graph()
    guarded = {check.asset_key.to_user_string() for check in graph.asset_check_keys}
    assert set(specs()) - guarded == {"round_policy", "round_report"}
    assert all(graph.get(check).blocking for check in graph.asset_check_keys)


def test_the_code_location_loads_fast_and_without_the_heavy_libraries():
    heavy = {
        "torch",
        "transformers",
        "great_expectations",
        "sklearn",
        "matplotlib",
        "lance",
        "lancedb",
        "duckdb",
        "pandas",
    }
    code = f"import sys; import jobs.definitions; print([name for name in {heavy} if name in sys.modules])"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.perf_counter() - started < 10


def test_the_code_location_loads_from_another_directory(tmp_path: Path):
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    command = ["-m", "dagster", "definitions", "validate", "-w", str(REPOSITORY / "workspace.yaml")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Validation successful for code location faultline" in done.stderr + done.stdout


def test_upkeep_is_a_job(tmp_path: Path):
    warehouse = Warehouse.open(tmp_path)
    step = TrainStep(policy="sft", stage="sft", step=0, loss=0.5, learning_rate=1e-3, n_tokens=10, duration_s=0.1)
    for key in ("bootstrap", "round-001"):
        warehouse.replace_round("sft_metrics", key, [step])
    config = {"resources": {"warehouse": {"config": {"root": str(tmp_path)}}}}
    assert defs.resolve_job_def("maintenance").execute_in_process(run_config=config).success
    newest = lance.dataset(str(tmp_path / "sft_metrics.lance"))
    assert len(newest.get_fragments()) == 1
    assert warehouse.read("sft_metrics", allow_ungated=True) == [step, step]

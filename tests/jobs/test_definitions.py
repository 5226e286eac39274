import json
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg

from jobs.definitions import defs
from jobs.loop import JOBS

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SNAPSHOT = Path(__file__).with_name("asset_specs.json")

ROUND_ASSETS = {
    "validation_rollouts",
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
    "rl_metrics",
    "test_rollouts",
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
    assert {job.name for job in JOBS} == {"bootstrap", "one_round", "evaluation", "ablation"}


def test_the_pool_and_the_report_read_all_earlier_rounds_and_nothing_closes_the_cycle():
    graph = defs.resolve_job_def("one_round").asset_layer.asset_graph
    for key, parent in (("task_pool", "executable_tasks"), ("pass_hat_k_report", "test_outcomes")):
        mapping = graph.get_partition_mapping(dg.AssetKey(key), dg.AssetKey(parent))
        assert isinstance(mapping, dg.StaticPartitionMapping)
    assert not graph.get(dg.AssetKey("round_policy")).is_executable
    assert specs()["round_policy"]["deps"] == ["sft_checkpoint"]


def test_every_table_that_something_learns_from_is_guarded_by_blocking_checks():
    graph = defs.resolve_asset_graph()
    guarded = {check.asset_key.to_user_string() for check in graph.asset_check_keys}
    assert set(specs()) - guarded == {"round_policy", "round_report", "embeddings", "near_duplicates"}
    assert all(graph.get(check).blocking for check in graph.asset_check_keys)


def test_the_code_location_loads_fast_and_without_the_heavy_libraries():
    heavy = ("torch", "transformers", "great_expectations", "sklearn", "matplotlib")
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

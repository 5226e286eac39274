"""The real thing, tiny: `python -m jobs demo --profile smoke` with torch, killed on its way and started again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from schemas import BOOTSTRAP
from schemas.store import Warehouse

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TIME_LIMIT_S = 240


def demo(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "jobs", "demo", "--profile", "smoke", "--warehouse", str(root)]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def killed_when(process: subprocess.Popen[str], warehouse: Warehouse, table: str, round: str) -> None:
    started = time.monotonic()
    while round not in warehouse.rounds(table):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() - started < TIME_LIMIT_S
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def counts(warehouse: Warehouse, table: str) -> dict[str, int]:
    frame = warehouse.scan(table).group_by("round").agg(pl.len()).collect()
    return dict(frame.iter_rows())


def test_a_killed_demo_goes_on_from_the_last_finished_asset_and_doubles_nothing(tmp_path: Path):
    warehouse = Warehouse.open(tmp_path)
    killed_when(demo(tmp_path), warehouse, "sft_checkpoint", BOOTSTRAP)
    trained = warehouse.read_arrow("sft_checkpoint", BOOTSTRAP, allow_ungated=True).to_pylist()
    killed_when(demo(tmp_path), warehouse, "source_trajectories", "round-001")
    versions = {table: warehouse.version(table) for table in ("sft_checkpoint", "validation_rollouts")}
    last = demo(tmp_path)
    printed, _ = last.communicate(timeout=TIME_LIMIT_S)
    assert last.returncode == 0, printed

    assert warehouse.read_arrow("sft_checkpoint", BOOTSTRAP).to_pylist() == trained
    assert warehouse.version("sft_checkpoint") == versions["sft_checkpoint"]
    assert "sft_tasks[bootstrap]: 60 rows" not in printed
    assert "validation_rollouts[round-001]: 24 rows in" not in printed
    assert "rl-round-002" in printed
    assert counts(warehouse, "baseline_test_rollouts") == {BOOTSTRAP: 48}
    assert counts(warehouse, "test_rollouts") == {"round-001": 24, "round-002": 24}
    assert counts(warehouse, "pass_hat_k_report") == {"round-001": 6, "round-002": 8}
    assert (tmp_path / "reports" / "round-002.html").exists()
    again = demo(tmp_path)
    printed, _ = again.communicate(timeout=TIME_LIMIT_S)
    assert again.returncode == 0, printed
    assert " rows in " not in printed

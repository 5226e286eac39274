"""The warehouse at scale, beside Parquet read by Polars and beside JSONL: `python -m tests.bench.bench_warehouse`.

Pool tasks and trajectories of 5 kB messages in ten rounds, the same rows in all three. Medians of five, wall and CPU;
compare the ratios, not machines. `--long` goes to a million tasks and 100,000 trajectories (minutes, 2 GB of disk).
JSONL is only written for the smallest size: beyond, one question takes minutes.
"""

import argparse
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.columns import table_spec
from schemas.lineage import trace
from schemas.store import Warehouse
from tests.bench import rows as bench_rows
from tests.bench.bench_search import search_costs

SHORT = ((10_000, 1_000), (100_000, 10_000))
LONG = (*SHORT, (1_000_000, 100_000))
"""Pool tasks, and training trajectories; a tenth of those is each of rollouts, explanations and sources."""

N_RANDOM = 1_000
REPLACED = 100_000
"""Rows of the replaced round."""

COUNTS = "select pattern, count(*) as n from task_pool group by pattern"
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Cost:
    """Of one operation at one size, by where the rows are."""

    what: str
    n: int
    goal_ms: float | None = None
    goal_ratio: float | None = None
    """Of the time to write a Parquet file."""
    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    def measure(self, where: str, action: Callable[[], object], repeats: int = 5) -> None:
        """Median wall and CPU seconds."""
        walls, cpus = [], []
        for _ in range(repeats):
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            action()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        self.wall_s[where], self.cpu_s[where] = median(walls), median(cpus)


class Stores:
    """The same rows in a warehouse, in Parquet files and perhaps in JSONL files, a file per round."""

    def __init__(self, root: Path, n_tasks: int, n_trajectories: int, *, jsonl: bool) -> None:
        """Write everything."""
        self.root, self.n_tasks, self.n_trajectories, self.jsonl = root, n_tasks, n_trajectories, jsonl
        self.warehouse = Warehouse.open(root / "lance")
        some = n_trajectories // 10
        for table, make, n in (
            ("task_pool", bench_rows.pool_rows, n_tasks),
            ("executable_tasks", bench_rows.verdict_rows, n_trajectories),
            ("injected_tasks", bench_rows.injected_rows, n_trajectories),
            ("rl_rollouts", bench_rows.training_rows, n_trajectories),
            ("validation_rollouts", bench_rows.rollout_rows, some),
            ("judge_explanations", bench_rows.explanation_rows, some),
            ("source_trajectories", bench_rows.source_rows, some),
        ):
            for seed, (round, numbers) in enumerate(_by_round(n)):
                self._write(table, round, make(numbers, seed))
        for round, numbers in _by_round(some):
            self._write("failure_clusters", round, bench_rows.cluster_rows(round, numbers))

    def _write(self, table: str, round: str, rows: pa.Table) -> None:
        self.warehouse.replace_round(table, round, rows)
        for kind in ("parquet", *(["jsonl"] if self.jsonl else [])):
            path = self.root / kind / table / f"{round}.{kind}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "parquet":
                pq.write_table(rows, path)
            else:
                pl.DataFrame(pl.from_arrow(rows)).write_ndjson(path)

    def parquet(self, table: str) -> pl.LazyFrame:
        return pl.scan_parquet(self.root / "parquet" / table / "*.parquet")

    def json_rows(self, table: str) -> Iterator[dict]:
        for path in sorted((self.root / "jsonl" / table).glob("*.jsonl")):
            with path.open(encoding="utf-8") as lines:
                yield from map(json.loads, lines)


def _by_round(n: int) -> list[tuple[str, np.ndarray]]:
    return list(zip(bench_rows.rounds(), np.array_split(np.arange(n), bench_rows.N_ROUNDS), strict=True))


def costs(stores: Stores) -> list[Cost]:
    """Every question at one size."""
    return [_counts(stores), _trace(stores), _random(stores), _replace(stores)]


def _counts(stores: Stores) -> Cost:
    cost = Cost("pattern counts by SQL", stores.n_tasks, 200)
    cost.measure("lance", lambda: stores.warehouse.sql(COUNTS))
    cost.measure("parquet", lambda: stores.parquet("task_pool").group_by("pattern").len().collect())
    if stores.jsonl:
        cost.measure("jsonl", lambda: pl.DataFrame([row["pattern"] for row in stores.json_rows("task_pool")]), 1)
    return cost


def _trace(stores: Stores) -> Cost:
    """From a task in the middle; the Polars walk asks the same questions of the files, for the ids that trace found."""
    task_id = f"task-{stores.n_trajectories // 16:010d}"
    found = trace(stores.warehouse, task_id)
    assert all(step.rows for step in found.steps[:8]), found.steps
    cost = Cost("trace of a task", stores.n_tasks, 50)
    cost.measure("lance", lambda: trace(stores.warehouse, task_id))
    looked_up = (
        ("injected_tasks", "task_id", "injected tasks"),
        ("source_trajectories", "trajectory_id", "source trajectories"),
        ("failure_clusters", "cluster_id", "clusters"),
        ("judge_explanations", "explanation_id", "explanations"),
        ("validation_rollouts", "trajectory_id", "failed rollouts"),
        ("executable_tasks", "task_id", "injected tasks"),
        ("task_pool", "task_id", "injected tasks"),
        ("rl_rollouts", "task_id", "injected tasks"),
    )

    def walk() -> None:
        for table, column, step in looked_up:
            ids = [row.id for row in found.step(step).rows]
            rows = stores.parquet(table).filter(pl.col(column).is_in(ids)).select(column).collect()
            assert rows.height

    cost.measure("parquet", walk)
    return cost


def _random(stores: Stores) -> Cost:
    numbers = np.random.default_rng(5).choice(stores.n_trajectories, N_RANDOM, replace=False)
    ids = [f"traj-{number:010d}" for number in numbers]
    cost = Cost("1,000 random trajectories, whole", stores.n_trajectories, 200)
    names = table_spec("rl_rollouts").schema.names

    def ours() -> None:
        assert stores.warehouse.find("rl_rollouts", {"trajectory_id": ids}, names).num_rows == N_RANDOM

    cost.measure("lance", ours)
    wanted = pl.col("trajectory_id").is_in(ids)
    cost.measure("parquet", lambda: stores.parquet("rl_rollouts").filter(wanted).collect())
    if stores.jsonl:
        known = set(ids)
        cost.measure("jsonl", lambda: [r for r in stores.json_rows("rl_rollouts") if r["trajectory_id"] in known], 1)
    return cost


def _replace(stores: Stores) -> Cost:
    """One round of 100,000 rows, or of a tenth of the table where that is less; indices brought up to date."""
    n = min(REPLACED, stores.n_tasks // bench_rows.N_ROUNDS)
    rows = bench_rows.pool_rows(np.arange(4 * n, 5 * n), 99)
    cost = Cost(f"replace a round of {n:,} tasks", stores.n_tasks, goal_ratio=2 if n == REPLACED else None)
    cost.measure("lance", lambda: stores.warehouse.replace_round("task_pool", "round-005", rows))
    cost.measure("parquet", lambda: pq.write_table(rows, stores.root / "one.parquet"))
    if stores.jsonl:
        cost.measure("jsonl", lambda: pl.DataFrame(pl.from_arrow(rows)).write_ndjson(stores.root / "one.jsonl"), 1)
    return cost


def print_costs(found: Sequence[Cost]) -> None:
    """Time by store and how it grows with the size."""
    print("| operation | rows | goal | Lance, ms (CPU) | Parquet + Polars, ms (CPU) | ratio | JSONL, ms | growth |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for what in dict.fromkeys(cost.what.split(" of ")[0] for cost in found):
        smaller: Cost | None = None
        for cost in (cost for cost in found if cost.what.startswith(what)):
            print(_line(cost, smaller))
            smaller = cost


def _line(cost: Cost, smaller: Cost | None) -> str:
    lance, parquet = cost.wall_s["lance"], cost.wall_s["parquet"]
    limit = cost.goal_ms / 1e3 if cost.goal_ms else cost.goal_ratio * parquet if cost.goal_ratio else float("inf")
    goal = f"{cost.goal_ms:.0f} ms" if cost.goal_ms else f"{cost.goal_ratio:.0f} x Parquet" if cost.goal_ratio else ""
    json_ms = f"{1e3 * cost.wall_s['jsonl']:,.0f}" if "jsonl" in cost.wall_s else ""
    grown = f"{lance / smaller.wall_s['lance']:.1f}x for {cost.n / smaller.n:.0f}x rows" if smaller else ""
    return (
        f"| {cost.what} | {cost.n:,} | {goal}{'' if lance <= limit else ' MISSED'} "
        f"| {1e3 * lance:,.1f} ({1e3 * cost.cpu_s['lance']:,.1f}) "
        f"| {1e3 * parquet:,.1f} ({1e3 * cost.cpu_s['parquet']:,.1f}) "
        f"| {lance / parquet:.2f} | {json_ms} | {grown} |"
    )


def print_memory(stores: Stores) -> None:
    """Peak memory of a process that reads all trajectories, above what it needs before the first row."""
    print("\n| reading all trajectories | rows | table, MB | memory above the start, MB | table / memory |")
    print("|---|---:|---:|---:|---:|")
    files = f"{stores.root}/parquet/rl_rollouts/*.parquet"
    for how, place in (("Warehouse.batches", stores.warehouse.root), ("Warehouse.read_arrow", stores.warehouse.root),
                       ("Polars, Parquet", files)):  # fmt: skip
        command = [sys.executable, "-m", "tests.bench.stream_rows", how, place]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
        said = json.loads(done.stdout)
        ratio = said["table_mb"] / max(1.0, said["grown_mb"])
        print(f"| {how} | {said['rows']:,} | {said['table_mb']:,.0f} | {said['grown_mb']:,.0f} | {ratio:.1f} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_warehouse")
    parser.add_argument("--long", action="store_true", help="up to a million tasks and 100,000 trajectories")
    options = parser.parse_args(arguments)
    root, found = Path(tempfile.mkdtemp(prefix="faultline-bench-")), []
    try:
        sizes = LONG if options.long else SHORT
        for n_tasks, n_trajectories in sizes:
            stores = Stores(root / str(n_tasks), n_tasks, n_trajectories, jsonl=n_tasks == sizes[0][0])
            found += costs(stores)
            if n_tasks != sizes[-1][0]:
                shutil.rmtree(stores.root)
        print_costs(found)
        print_memory(stores)
        print(f"\n{search_costs(root / 'search', 100_000 if options.long else 10_000)}")
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()

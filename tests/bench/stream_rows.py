"""Reads all trajectories in a process of its own and says how much memory that took; `bench_warehouse` starts it."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from schemas.store import Warehouse


def memory_mb(line: str) -> float:
    """Memory of this process as Linux counts it: VmRSS now, VmHWM at most so far."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{line}:")[1].split()[0]) / 1024


def parts(how: str, place: str) -> Iterator[pa.RecordBatch | pa.Table]:
    if how == "Warehouse.batches":
        return Warehouse.open(place).batches("rl_rollouts", allow_ungated=True)
    if how == "Warehouse.read_arrow":
        return iter([Warehouse.open(place).read_arrow("rl_rollouts", allow_ungated=True)])
    return iter([pl.scan_parquet(place).collect().to_arrow()])


def main(how: str, place: str) -> None:
    """Print rows, bytes and memory as JSON."""
    logging.getLogger("schemas.store").setLevel(logging.ERROR)
    if how.startswith("Warehouse"):
        Warehouse.open(place).rounds("rl_rollouts")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    start, n_rows, n_bytes = memory_mb("VmRSS"), 0, 0
    for part in parts(how, place):
        n_rows += part.num_rows
        n_bytes += part.nbytes
    grown = memory_mb("VmHWM") - start
    print(json.dumps({"rows": n_rows, "table_mb": n_bytes / 2**20, "grown_mb": grown}))


if __name__ == "__main__":
    main(*sys.argv[1:])

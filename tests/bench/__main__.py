"""All side-by-side measurements: `python -m tests.bench`.

Each in a process of its own, or the memory that one leaves behind would be measured with the next.
"""

import subprocess
import sys

BENCHES = (
    ("bench_env",),
    ("bench_airline",),
    ("bench_scale",),
    ("bench_monitor",),
    ("bench_chat",),
    ("bench_warehouse", "--long"),
    ("bench_clusters",),
)

if __name__ == "__main__":
    for name, *arguments in BENCHES:
        print(f"\n{' '.join((name, *arguments))}\n", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *arguments], check=True)

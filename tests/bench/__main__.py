"""All side-by-side measurements: `python -m tests.bench`."""

from tests.bench import (
    bench_airline,
    bench_chat,
    bench_clusters,
    bench_env,
    bench_monitor,
    bench_scale,
    bench_warehouse,
)

if __name__ == "__main__":
    bench_env.main()
    bench_airline.main()
    bench_scale.main([])
    bench_monitor.main()
    bench_chat.main([])
    bench_warehouse.main(["--long"])
    bench_clusters.main([])

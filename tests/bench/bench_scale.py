"""Cost of a whole episode as their number and the database grow: `python -m tests.bench.bench_scale [--plot FILE]`.

An episode is the scripted user, the expert as policy, the strict environment and the reward. CPU seconds of one thread,
median of the chunks. Flat lines are the promise: nothing accumulates, nothing walks the database.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from env_sim import load_domain
from env_sim.domains.retail.database import RetailDatabase
from env_sim.episode import Episode, run_episode
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import make_tasks, standard_mix
from env_sim.world import Database
from schemas import DatabaseRow, Task

DOMAIN = load_domain("retail")
KIT = load_task_kit("retail")
USERS = (500, 5_000, 50_000)
COUNTS = (1_000, 10_000, 100_000)
SEED = 1


class Cost(NamedTuple):
    """Of one episode."""

    n_users: int
    n_episodes: int
    microseconds: float


def merged_database(n_users: int) -> tuple[DatabaseRow, Database]:
    """A shop of n_users, joined from generated shops of 500: their ids never meet."""
    rows = [DOMAIN.database_row("train", index, SEED, 500) for index in range(n_users // 500)]
    tables: dict[str, dict] = {"users": {}, "orders": {}, "products": {}}
    for row in rows:
        for name, records in DOMAIN.open_database(row).tables.items():
            tables[name].update(records)
    return rows[0], RetailDatabase(tables)


def episodes(tasks: Sequence[Task], base: Database) -> Iterator[float]:
    """Endless episodes; yields each one's success."""
    scorer = Scorer(DOMAIN)
    for task in cycle(tasks):
        episode = run_episode(Episode(task, DOMAIN, base), KIT.expert(task, base))
        yield scorer.score(episode, 100).success


def cost(tasks: Sequence[Task], base: Database, n_episodes: int, n_users: int) -> Cost:
    """Median over ten chunks of the run."""
    run, chunk, times = episodes(tasks, base), n_episodes // 10, []
    for _ in range(10):
        start = time.process_time()
        assert sum(islice(run, chunk)) == chunk
        times.append((time.process_time() - start) / chunk)
    return Cost(n_users, n_episodes, median(times) * 1e6)


def costs(counts: Sequence[int]) -> list[Cost]:
    """Along both axes; the tasks are the same ones throughout, made on the first 500 users."""
    row, _ = merged_database(500)
    tasks = make_tasks("retail", [row], standard_mix("retail", 0.25), 200, SEED)
    found = []
    for n_users in USERS:
        _, base = merged_database(n_users)
        wanted = counts if n_users == USERS[0] else counts[:1]
        found += [cost(tasks, base, n_episodes, n_users) for n_episodes in wanted]
    return found


def plot(found: Sequence[Cost], path: Path) -> None:
    """Both axes side by side, from zero: a slope would show."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    by_count = [each for each in found if each.n_users == USERS[0]]
    by_users = [each for each in found if each.n_episodes == found[0].n_episodes]
    left.plot([each.n_episodes for each in by_count], [each.microseconds for each in by_count], marker="o")
    right.plot([each.n_users for each in by_users], [each.microseconds for each in by_users], marker="o")
    left.set(xscale="log", xlabel="episodes in one process", ylabel="CPU microseconds per episode", ylim=(0, None))
    right.set(xscale="log", xlabel="users in the database")
    for axes in (left, right):
        axes.grid(color="#e4e7eb")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; `--plot` draws it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_scale")
    parser.add_argument("--plot", type=Path, help="PNG to write")
    parser.add_argument("--episodes", type=int, nargs="+", default=list(COUNTS), help="run lengths, ascending")
    options = parser.parse_args(arguments)
    found = costs(options.episodes)
    print("| users in the database | episodes | CPU us per episode | episodes per CPU second |")
    print("|---:|---:|---:|---:|")
    for each in found:
        print(f"| {each.n_users:,} | {each.n_episodes:,} | {each.microseconds:,.0f} | {1e6 / each.microseconds:,.0f} |")
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()

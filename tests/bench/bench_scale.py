"""Cost of a whole episode as their number and the database grow: `python -m tests.bench.bench_scale`.

An episode is the scripted user, the expert as policy, the strict environment, the reward and the rulebook monitor. CPU
seconds of one thread, garbage collection included. Flat lines are the promise: nothing accumulates, nothing walks the
database. A shared machine slows down and speeds up by half within seconds, so a fixed piece of work runs between the
episodes: `pace` is its time, and the lines of the plot are costs at the median pace. The table is as measured.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from env_sim import load_domain
from env_sim.domains.retail.database import RetailDatabase
from env_sim.episode import Episode, run_episode
from env_sim.monitor import monitor
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import make_tasks, standard_mix
from env_sim.world import Database
from schemas import Task

DOMAIN = load_domain("retail")
KIT = load_task_kit("retail")
USERS = (500, 5_000, 50_000)
SEED = 1
N_TASKS, CHUNK, REPEATS = 200, 1_000, 5
SHORT, LONG = 10_000, 1_000_000
"""Episodes of one run."""


class Cost(NamedTuple):
    """Of one episode, averaged over a chunk of them."""

    place: int
    """Episodes before the end of the chunk, or users in the database."""
    microseconds: float
    pace: float
    """Seconds of the fixed work meanwhile."""


def merged_database(n_users: int) -> Database:
    """A shop of n_users, joined from generated shops of 500: their ids never meet."""
    tables: dict[str, dict] = {"users": {}, "orders": {}, "products": {}}
    for index in range(n_users // USERS[0]):
        for name, records in DOMAIN.generate_database(SEED, USERS[0], "train", index).tables.items():
            tables[name].update(records)
    return RetailDatabase(tables)


def tasks() -> list[Task]:
    """The same ones throughout, made on the first 500 users."""
    row = DOMAIN.database_row("train", 0, SEED, USERS[0])
    return make_tasks("retail", [row], standard_mix("retail", 0.25), N_TASKS, SEED)


def episodes(tasks: Sequence[Task], base: Database) -> Iterator[bool]:
    """Endless episodes; yields whether each one succeeded without a breach."""
    scorer = Scorer(DOMAIN)
    for task in cycle(tasks):
        episode = run_episode(Episode(task, DOMAIN, base), KIT.expert(task, base))
        reward = scorer.score(episode, 100)
        yield reward.success == 1 and not monitor(episode.messages, DOMAIN.rules)


def fixed_work() -> None:
    """About two milliseconds of what an episode is made of: calls, dictionaries, texts."""
    for number in range(300):
        json.loads(json.dumps({"number": number, "words": ["one", "two", "three"]}))


def chunk_cost(run: Iterator[bool], place: int) -> Cost:
    """Of the next chunk, with the fixed work after every tenth of it."""
    spent = pace = 0.0
    for _ in range(10):
        start = time.process_time()
        assert all(islice(run, CHUNK // 10))
        middle = time.process_time()
        fixed_work()
        spent, pace = spent + middle - start, pace + time.process_time() - middle
    return Cost(place, spent / CHUNK * 1e6, pace)


def costs_by_count(tasks: Sequence[Task], n_episodes: int) -> list[Cost]:
    """Of each chunk of one run, the first included."""
    run = episodes(tasks, merged_database(USERS[0]))
    return [chunk_cost(run, CHUNK * (number + 1)) for number in range(n_episodes // CHUNK)]


def costs_by_users(tasks: Sequence[Task]) -> list[Cost]:
    """Of `REPEATS` chunks for each size, in turns; a first one, not counted, pays for the indexes of the shop."""
    runs = {n_users: episodes(tasks, merged_database(n_users)) for n_users in USERS}
    found = [chunk_cost(run, n_users) for _ in range(1 + REPEATS) for n_users, run in runs.items()]
    return found[len(runs) :]


def rows(by_count: Sequence[Cost], by_users: Sequence[Cost]) -> list[tuple[str, list[float]]]:
    """What was played, and the costs of its chunks: a row per power of ten, a row per database."""
    found, before, until = [], 0, CHUNK
    while before < by_count[-1].place:
        within = [each.microseconds for each in by_count if before < each.place <= until]
        found.append((f"episodes {before + 1:,} to {until:,}", within))
        before, until = until, until * 10
    for n_users in USERS:
        within = [each.microseconds for each in by_users if each.place == n_users]
        found.append((f"a database of {n_users:,} users", within))
    return found


def plot(by_count: Sequence[Cost], by_users: Sequence[Cost], path: Path) -> None:
    """Both axes side by side, from zero: a slope would show. Dots are chunks as measured, lines medians at one pace."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    usual = median(each.pace for each in (*by_count, *by_users))
    window = max(1, len(by_count) // 20)
    windows = [by_count[start : start + window] for start in range(0, len(by_count), window)]
    sizes = [[each for each in by_users if each.place == n_users] for n_users in USERS]
    for axes, found, groups in ((left, by_count, windows), (right, by_users, sizes)):
        axes.plot([each.place for each in found], [each.microseconds for each in found], ".", color="#b8c4d6", ms=3)
        middles = [median(each.microseconds / each.pace * usual for each in group) for group in groups]
        axes.plot([median(each.place for each in group) for group in groups], middles, color="#1f5fa8", lw=1.8)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(color="#e4e7eb")
        axes.spines[["top", "right"]].set_visible(False)
    top = 2 * median(each.microseconds for each in by_count)
    left.set(xlabel="episodes played by one process", ylabel="CPU microseconds per episode", ylim=(0, top))
    right.set(xscale="log", xlabel="users in the database")
    right.set_xticks(USERS, [f"{n_users:,}" for n_users in USERS])
    right.minorticks_off()
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; `--plot` draws it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_scale")
    parser.add_argument("--plot", type=Path, help="PNG to write")
    parser.add_argument("--long", action="store_true", help=f"{LONG:,} episodes instead of {SHORT:,}: ten minutes")
    options = parser.parse_args(arguments)
    played = tasks()
    costs_by_count(played, CHUNK)
    first_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    by_count = costs_by_count(played, LONG if options.long else SHORT)
    last_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    by_users = costs_by_users(played)
    print("| whole scripted episodes | chunks | CPU us per episode, median | middle 80 % | episodes per CPU second |")
    print("|---|---:|---:|---:|---:|")
    for what, found in rows(by_count, by_users):
        middle, ordered = median(found), sorted(found)
        low, high = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
        print(f"| {what} | {len(found)} | {middle:,.0f} | {low:,.0f} to {high:,.0f} | {1e6 / middle:,.0f} |")
    n_played = f"{by_count[-1].place:,}"
    print(
        f"\nPeak memory: {first_kib / 1024:.0f} MiB after 1,000 episodes, {last_kib / 1024:.0f} MiB after {n_played}."
    )
    if options.plot:
        plot(by_count, by_users, options.plot)


if __name__ == "__main__":
    main()

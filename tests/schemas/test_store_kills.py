"""The promise of atomic rounds: writers killed anywhere, readers at work, nothing halved, lost or doubled."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from schemas import Record, TaskOutcome
from schemas.store import Warehouse
from tests.fixtures.writers import TABLE, Writers, rows_of

KILLED = ("round-001", "round-002")
KEPT = "round-003"


class Reader(threading.Thread):
    """Reads the killed writers' rounds all the time and keeps what breaks the promise."""

    def __init__(self, root: str) -> None:
        super().__init__(daemon=True)
        self.warehouse = Warehouse.open(root)
        self.stopped = threading.Event()
        self.problems: list[str] = []
        self.n_reads = 0
        self.newest = dict.fromkeys(KILLED, -1)

    def run(self) -> None:
        while not self.stopped.is_set() and not self.problems:
            try:
                rows = self.warehouse.read(TABLE, rounds=[*KILLED, KEPT])
                self.look(rows)
            except Exception as error:
                self.problems.append(repr(error))
            self.n_reads += 1
            time.sleep(0.005)

    def look(self, rows: Sequence[Record]) -> None:
        per_round = whole_rounds(rows)
        for key, generation in zip(KILLED, per_round, strict=False):
            if generation < self.newest[key]:
                self.problems.append(f"{key} went back from {self.newest[key]} to {generation}")
            self.newest[key] = generation


def whole_rounds(rows: Sequence[Record]) -> list[int]:
    """Generation of each run of rows; a half, a mix or a double breaks the comparison."""
    found: list[int] = []
    place = 0
    while place < len(rows):
        row = rows[place]
        assert isinstance(row, TaskOutcome)
        wanted = rows_of(row.seed)
        got = list(rows[place : place + len(wanted)])
        assert got == wanted, f"half a round of generation {row.seed}: {len(got)} rows"
        found.append(row.seed)
        place += len(wanted)
    assert len(found) == len(KILLED) + 1, f"doubled or lost rounds: {found}"
    return found


@pytest.fixture
def writers(warehouse: Warehouse, tmp_path: Path) -> Iterator[Writers]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = Writers(warehouse.root, scratch)
    yield found
    found.close()


def kill_many(warehouse: Warehouse, writers: Writers, *, n_kills: int, seed: int) -> Reader:
    """Kill writers of two rounds at seeded moments while a reader looks on; every round is checked after each kill."""
    rng = random.Random(seed)
    write_s = seconds_of_a_write(warehouse)
    reader = Reader(warehouse.root)
    reader.start()
    newest = dict.fromkeys(KILLED, 0)
    n_in_flight = 0
    for _ in range(n_kills // len(KILLED)):
        pids = {key: writers.start(key, newest[key] + 1) for key in KILLED}
        for key in rng.sample(KILLED, len(KILLED)):
            writers.wait_for_first(pids[key])
            time.sleep(rng.uniform(0, 2 * write_s))
            os.kill(pids[key], signal.SIGKILL)
        wait_for_death(pids.values())
        *found, kept = whole_rounds(warehouse.read(TABLE, rounds=[*KILLED, KEPT]))
        assert kept == 0
        for key, generation in zip(KILLED, found, strict=True):
            last = writers.acknowledged(pids[key])[-1]
            # What was acknowledged is there; the one commit that was under way may be there too.
            assert last <= generation <= last + 1, f"{key}: {generation} stands, {last} was acknowledged"
            n_in_flight += generation > last
            newest[key] = generation
    reader.stopped.set()
    reader.join()
    assert reader.problems == []
    assert writers.errors() == []
    assert n_in_flight > 0, "no kill fell between a commit and its return: the moments are badly chosen"
    return reader


def seconds_of_a_write(warehouse: Warehouse) -> float:
    """Median of three, after every round was written once; so that kills fall anywhere in a write on any machine."""
    times = []
    for key in (*KILLED, KEPT):
        warehouse.replace_round(TABLE, key, rows_of(0))
        start = time.perf_counter()
        warehouse.replace_round(TABLE, key, rows_of(0))
        times.append(time.perf_counter() - start)
    return sorted(times)[1]


def wait_for_death(pids: Iterable[int]) -> None:
    deadline = time.monotonic() + 10
    for pid in pids:
        with suppress(ProcessLookupError):
            while True:
                os.kill(pid, 0)
                assert time.monotonic() < deadline, f"{pid} lives on"
                time.sleep(0.001)


@pytest.mark.slow
def test_2000_killed_writers_leave_whole_rounds_to_every_reader(warehouse: Warehouse, writers: Writers) -> None:
    kill_many(warehouse, writers, n_kills=2000, seed=2)


def test_200_killed_writers_leave_whole_rounds_to_every_reader(warehouse: Warehouse, writers: Writers) -> None:
    reader = kill_many(warehouse, writers, n_kills=200, seed=1)
    assert reader.n_reads > 50
    # No lock and no lease is left behind: the next writer goes on.
    warehouse.replace_round(TABLE, KILLED[0], rows_of(3))
    assert warehouse.read(TABLE, KILLED[0]) == rows_of(3)


def test_processes_writing_different_rounds_all_succeed_from_the_first_write_on(
    warehouse: Warehouse, writers: Writers
) -> None:
    keys = [f"round-{number:03d}" for number in range(1, 7)]
    pids = {key: writers.start(key, 1) for key in keys}
    for pid in pids.values():
        writers.wait_for_first(pid)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    wait_for_death(pids.values())
    assert writers.errors() == []
    assert warehouse.rounds(TABLE) == keys
    for key, pid in pids.items():
        last = writers.acknowledged(pid)[-1]
        assert warehouse.read(TABLE, key) in (rows_of(last), rows_of(last + 1))


def test_of_processes_writing_one_round_the_slower_ones_get_the_typed_error(
    warehouse: Warehouse, writers: Writers
) -> None:
    pids = [writers.start("round-001", first) for first in (1000, 2000, 3000, 4000)]
    deadline = time.monotonic() + 30
    while len(writers.errors()) < 3:
        assert time.monotonic() < deadline, writers.errors()
        time.sleep(0.01)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for_death(pids)
    assert all("ConcurrentWriteError" in error and "round-001" in error for error in writers.errors())
    rows = warehouse.read(TABLE, "round-001")
    assert isinstance(rows[0], TaskOutcome)
    assert rows == rows_of(rows[0].seed)

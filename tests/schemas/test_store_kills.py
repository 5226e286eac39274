"""The promise of atomic rounds: writers killed anywhere, readers at work, nothing halved, lost or doubled."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from schemas import TaskOutcome
from schemas.store import Warehouse
from tests.fixtures.kills import KILLED, kill_many, wait_for_death
from tests.fixtures.writers import TABLE, Writers, rows_of


@pytest.fixture
def writers(warehouse: Warehouse, tmp_path: Path) -> Iterator[Writers]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = Writers(warehouse.root, scratch)
    yield found
    found.close()


@pytest.mark.slow
def test_2000_killed_writers_leave_whole_rounds_to_every_reader(warehouse: Warehouse, writers: Writers) -> None:
    kill_many(warehouse, writers, n_kills=2000, seed=2)


def test_200_killed_writers_leave_whole_rounds_to_every_reader(warehouse: Warehouse, writers: Writers) -> None:
    reader = kill_many(warehouse, writers, n_kills=200, seed=1)
    assert reader.n_reads > 50
    # No lock and no lease is left behind: the next writer goes on.
    warehouse.replace_round(TABLE, KILLED[0], rows_of(3))
    assert warehouse.read(TABLE, KILLED[0], allow_ungated=True) == rows_of(3)


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
        assert warehouse.read(TABLE, key, allow_ungated=True) in (rows_of(last), rows_of(last + 1))


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
    rows = warehouse.read(TABLE, "round-001", allow_ungated=True)
    assert isinstance(rows[0], TaskOutcome)
    assert rows == rows_of(rows[0].seed)

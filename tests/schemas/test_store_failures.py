"""Promises of the warehouse under killed writers, rival writers and damaged files."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from schemas import ConcurrentWriteError, CorruptTableError
from schemas.columns import TABLES
from schemas.lance_table import LanceTable, equal
from schemas.locks import exclusive
from schemas.store import Warehouse

ENDLESS_WRITER = """
import sys
from schemas import TaskOutcome
from schemas.store import Warehouse
warehouse = Warehouse.open(sys.argv[1])
def rows(mark):
    return [TaskOutcome(policy=mark, policy_version="v", task_id=f"t{n}", pattern="none", n_trials=4, n_successes=1,
                        n_excluded=0, seed=1) for n in range(1500)]
halves = rows("a"), rows("b")
while True:
    for half in halves:
        warehouse.replace_round("test_outcomes", "round-001", half)
        print(flush=True)
"""


def test_a_killed_writer_leaves_the_old_round_or_the_new_one_whole(warehouse: Warehouse, make) -> None:
    warehouse.replace_round("test_outcomes", "round-002", [make.outcome("kept")])
    for attempt in range(5):
        writer = subprocess.Popen([sys.executable, "-c", ENDLESS_WRITER, warehouse.root], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.007 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        rows = warehouse.read_arrow("test_outcomes", "round-001", columns=["policy", "task_id"], allow_ungated=True)
        assert rows.num_rows == 1500
        assert len(rows.column("policy").unique()) == 1
        assert warehouse.read("test_outcomes", "round-002", allow_ungated=True) == [make.outcome("kept")]
    # The dead writer's lock is gone with it.
    warehouse.replace_round("test_outcomes", "round-001", [make.outcome("after")])
    assert warehouse.read("test_outcomes", "round-001", allow_ungated=True) == [make.outcome("after")]


def test_writers_of_different_rounds_all_succeed_even_at_the_first_write(warehouse: Warehouse, make) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def write(number: int) -> None:
        try:
            start.wait()
            for _ in range(3):
                warehouse.replace_round("test_outcomes", f"round-00{number}", [make.outcome(f"t{number}")])
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [row.task_id for row in warehouse.read("test_outcomes", allow_ungated=True)] == ["t1", "t2", "t3", "t4"]  # type: ignore[attr-defined]


def test_a_second_writer_of_the_same_round_gets_a_typed_error(warehouse: Warehouse, make) -> None:
    with (
        exclusive(Path(warehouse.root, ".locks"), "test_outcomes.round-001"),
        pytest.raises(ConcurrentWriteError, match=r"test_outcomes\.round-001"),
    ):
        warehouse.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    assert warehouse.version("test_outcomes") == 0
    warehouse.replace_round("test_outcomes", "round-001", [make.outcome("a")])


def test_without_a_shared_lock_the_slower_replacement_of_a_round_is_refused(
    tmp_path: Path,
    make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remote = Warehouse.open(f"file-object-store://{tmp_path}/far")
    remote.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    honest = LanceTable._write

    def overtaken(self: LanceTable, *arguments: object) -> object:
        monkeypatch.setattr(LanceTable, "_write", honest)
        remote.replace_round("test_outcomes", "round-001", [make.outcome("rival")])
        return honest(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LanceTable, "_write", overtaken)
    with pytest.raises(ConcurrentWriteError, match=r"test_outcomes\[round-001\]"):
        remote.replace_round("test_outcomes", "round-001", [make.outcome("late")])
    assert remote.read("test_outcomes", allow_ungated=True) == [make.outcome("rival")]


def test_a_round_doubled_by_unlocked_first_writers_is_found_when_read(warehouse: Warehouse, make) -> None:
    from schemas.codec import to_arrow

    table = LanceTable(warehouse.root, TABLES["judge_explanations"])
    for number in (1, 2):
        data = to_arrow(table.spec, [make.explanation(number)], "round-001")
        table.replace("round-001", equal("round", "nobody"), data)
    with pytest.raises(CorruptTableError, match=r"judge_explanations\[round-001\].*rows of several"):
        warehouse.read("judge_explanations", "round-001", allow_ungated=True)


def damaged(warehouse: Warehouse, pattern: str, keep: float) -> Path:
    path = sorted(Path(warehouse.root, "test_outcomes.lance").glob(pattern))[0]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


@pytest.mark.parametrize("keep", [0.0, 0.5])
@pytest.mark.parametrize("pattern", ["data/*.lance", "_versions/*.manifest"])
def test_a_truncated_file_is_named(warehouse: Warehouse, make, pattern: str, keep: float) -> None:
    warehouse.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    path = damaged(warehouse, pattern, keep)
    with pytest.raises(CorruptTableError, match=f"test_outcomes: .*{path.name}"):
        warehouse.read("test_outcomes", "round-001", allow_ungated=True)


def test_a_missing_data_file_is_named_and_does_not_take_down_other_questions(warehouse: Warehouse, make) -> None:
    warehouse.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    (path,) = Path(warehouse.root, "test_outcomes.lance", "data").glob("*.lance")
    path.unlink()
    with pytest.raises(CorruptTableError, match=path.name):
        warehouse.read("test_outcomes", "round-001", allow_ungated=True)
    assert warehouse.sql("select count(*) as n from sft_metrics").to_pydict() == {"n": [0]}


def test_a_table_that_lost_its_manifests_is_not_taken_for_a_new_one(warehouse: Warehouse, make) -> None:
    warehouse.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    for manifest in Path(warehouse.root, "test_outcomes.lance", "_versions").glob("*.manifest"):
        manifest.unlink()
    with pytest.raises(CorruptTableError, match="_versions"):
        warehouse.replace_round("test_outcomes", "round-001", [make.outcome("b")])
    with pytest.raises(CorruptTableError, match="_versions"):
        warehouse.sql("select * from test_outcomes")
    assert warehouse.sql("select 1 as one").to_pydict() == {"one": [1]}

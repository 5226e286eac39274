"""Promises of tags and upkeep: a tag never moves, what it names stays, and nobody who reads or writes is disturbed."""

import io
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from schemas import ConfigError, CorruptTableError, UnknownRoundError, WarehouseError
from schemas.columns import TABLES
from schemas.lance_table import LanceTable
from schemas.maintain import main as maintain
from schemas.query import main as query
from schemas.store import Warehouse
from schemas.verify import main as verify

NOW = timedelta(0)
COUNT = "select round, count(*) as n from task_pool group by 1 order by 1"


def files_of(warehouse: Warehouse, table: str) -> list[Path]:
    return sorted(Path(warehouse.root, f"{table}.lance", "data").glob("*.lance"))


def test_a_tag_names_every_table_as_it_was(filled: Warehouse, make) -> None:
    before = filled.sql(COUNT).to_pylist()
    assert filled.tag("report-round-002") == "report-round-002"
    filled.replace_round("task_pool", "round-001", [])
    filled.replace_round("sft_metrics", "bootstrap", [make.step(0)])
    assert filled.sql(COUNT, as_of="report-round-002").to_pylist() == before
    assert filled.sql("select * from sft_metrics", as_of="report-round-002").num_rows == 0
    assert filled.read("task_pool", "round-001", version="report-round-002", allow_ungated=True) != []
    assert filled.rounds("sft_metrics", version="report-round-002") == []
    assert filled.scan("task_pool", version="report-round-002").collect().height == 5
    assert filled.tags()["report-round-002"]["task_pool"] == 3


def test_a_tag_never_moves_and_the_same_versions_keep_the_same_tag(filled: Warehouse) -> None:
    assert [filled.tag("r") for _ in range(2)] == ["r", "r"]
    old = filled.tags()["r"]
    filled.replace_round("task_pool", "round-002", [])
    assert [filled.tag("r") for _ in range(2)] == ["r.2", "r.2"]
    assert filled.tag("r", old) == "r"
    assert filled.tags()["r"] == old


def test_a_tag_that_a_killed_tagger_left_half_put_is_completed(filled: Warehouse) -> None:
    LanceTable(filled.root, TABLES["task_pool"]).tag("r", 3)
    assert filled.tags() == {"r": {"task_pool": 3}}
    assert filled.tag("r") == "r"
    assert filled.tags() == {"r": filled.versions()}


@pytest.mark.parametrize("name", ["round-001", "bootstrap", "", "7", "a b", "a/b", "-a", "x" * 101, "a'--"])
def test_a_name_that_reads_as_something_else_is_no_tag(filled: Warehouse, name: str) -> None:
    with pytest.raises(ConfigError, match="tag"):
        filled.tag(name)
    assert filled.tags() == {}


def test_the_command_line_takes_a_tag_and_names_the_tags_when_it_knows_none(filled: Warehouse) -> None:
    filled.tag("report-round-002")
    filled.replace_round("task_pool", "round-002", [])
    out, err = io.StringIO(), io.StringIO()
    assert query([COUNT, "--format", "csv", "--root", filled.root, "--as-of", "report-round-002"], out, err) == 0
    assert out.getvalue() == "round,n\nround-001,2\nround-002,3\n"
    assert query([COUNT, "--root", filled.root, "--as-of", "report-round-009"], out, err) == 2
    assert "report-round-002" in err.getvalue()
    with pytest.raises(UnknownRoundError):
        filled.sql(COUNT, as_of="r")


def test_upkeep_keeps_the_newest_and_the_tagged_versions_bit_by_bit(filled: Warehouse, make) -> None:
    for number in range(4):
        filled.replace_round("task_pool", "round-002", [make.pool_task(f"x{number}")])
    kept = filled.tag("report-round-002")
    then = filled.read_arrow("task_pool", allow_ungated=True)
    for number in range(4):
        filled.replace_round("task_pool", "round-002", [make.pool_task(f"y{number}")])
    untagged = filled.version("task_pool") - 1
    now = filled.read_arrow("task_pool", allow_ungated=True)
    n_files = len(files_of(filled, "task_pool"))
    assert filled.tidy(NOW)["task_pool"] > 0
    assert len(files_of(filled, "task_pool")) < n_files
    assert filled.read_arrow("task_pool", version=kept, allow_ungated=True).equals(then)
    assert filled.read_arrow("task_pool", version=filled.tags()[kept]["task_pool"], allow_ungated=True).equals(then)
    assert filled.read_arrow("task_pool", allow_ungated=True).equals(now)
    with pytest.raises(WarehouseError, match=rf"task_pool: expected a version that is kept, got {untagged}.*tagged"):
        filled.read_arrow("task_pool", version=untagged, allow_ungated=True)


def test_a_verdict_of_a_tagged_day_still_lets_its_rows_through(warehouse: Warehouse, make) -> None:
    table = "judge_explanations"
    warehouse.replace_round(table, "round-001", [make.explanation(1)])
    warehouse.record_gate(make.gate(table, "round-001"))
    tag = warehouse.tag("report-round-001")
    warehouse.replace_round(table, "round-001", [make.explanation(2)])
    warehouse.record_gate(make.gate(table, "round-001", passed=False))
    warehouse.tidy(NOW)
    assert warehouse.read(table, "round-001", version=tag) == [make.explanation(1)]


def test_upkeep_merges_rounds_into_one_file_and_keeps_the_order_of_rows(warehouse: Warehouse, make) -> None:
    rows = {f"round-{n:03d}": [make.outcome(f"t{n}-{place}") for place in (2, 1, 3)] for n in (3, 1, 2)}
    for key, content in rows.items():
        warehouse.replace_round("test_outcomes", key, content)
    warehouse.tidy(NOW)
    assert len(files_of(warehouse, "test_outcomes")) == 1
    for key, content in rows.items():
        assert warehouse.read("test_outcomes", key, allow_ungated=True) == content
    warehouse.replace_round("test_outcomes", "round-001", [])
    assert warehouse.read("test_outcomes", allow_ungated=True) == rows["round-002"] + rows["round-003"]


def test_upkeep_disturbs_neither_readers_nor_writers(warehouse: Warehouse, make) -> None:
    kept = [make.outcome(f"kept-{number}") for number in range(20)]
    warehouse.replace_round("test_outcomes", "round-009", kept)
    failures: list[BaseException] = []
    stop = threading.Event()

    def guarded(step) -> threading.Thread:
        def run() -> None:
            try:
                while not stop.is_set():
                    step()
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        return threading.Thread(target=run, daemon=True)

    def read() -> None:
        assert warehouse.read("test_outcomes", "round-009", allow_ungated=True) == kept

    def writer(key: str):
        return lambda: warehouse.replace_round("test_outcomes", key, [make.outcome(key)] * 3)

    threads = [guarded(read), guarded(writer("round-001")), guarded(writer("round-002"))]
    for thread in threads:
        thread.start()
    table = LanceTable(warehouse.root, TABLES["test_outcomes"])
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline and not failures:
        table.compact()
        # No read and no write of this test takes as long as this, as none in life takes a day.
        table.forget(timedelta(seconds=1))
        time.sleep(0.03)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert warehouse.read("test_outcomes", "round-001", allow_ungated=True) == [make.outcome("round-001")] * 3


def test_the_command_frees_what_is_old_and_refuses_what_a_run_may_need(filled: Warehouse) -> None:
    out, err = io.StringIO(), io.StringIO()
    filled.tag("r")
    assert maintain(["--root", filled.root], out, err) == 0
    assert maintain(["--root", filled.root, "--tags"], out, err) == 0
    assert "r  " in out.getvalue()
    assert "task_pool=3" in out.getvalue()
    assert maintain(["--root", filled.root, "--days", "0.5"], out, err) == 2
    assert maintain(["--root", filled.root, "--days", "nan"], out, err) == 2
    assert err.getvalue().count("expected at least 1") == 2


def test_verifying_names_each_damaged_file_and_goes_on(filled: Warehouse, make) -> None:
    filled.tag("r")
    filled.record_gate(make.gate("task_pool", "round-001", gate="a"))
    filled.record_gate(make.gate("task_pool", "round-001", gate="b"))
    out, err = io.StringIO(), io.StringIO()
    assert verify(["--root", filled.root, "--tags"], out, err) == 0
    assert out.getvalue() == "11 rounds checked, 0 damaged\n"
    (path,) = files_of(filled, "validation_outcomes")
    content = bytearray(path.read_bytes())
    place = content.index(b"ckpt-1")
    content[place] ^= 1
    path.write_bytes(content)
    files_of(filled, "executable_tasks")[0].unlink()
    out = io.StringIO()
    assert verify(["--root", filled.root], out, err) == 1
    told = out.getvalue()
    assert path.name in told
    assert "executable_tasks: expected readable files" in told
    assert told.endswith("2 damaged\n")
    with pytest.raises(CorruptTableError, match=path.name):
        filled.read("validation_outcomes", "round-001", allow_ungated=True)

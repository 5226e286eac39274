"""The warehouse's promises over a real S3-compatible server: the same as on a disk, tried the same ways."""

import io
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.fs as pafs
import pytest

from schemas import ConcurrentWriteError, CorruptTableError, WarehouseError
from schemas.query import main
from schemas.store import Warehouse
from tests.fixtures.kills import kill_many
from tests.fixtures.object_store import BUCKET, ObjectStore
from tests.fixtures.rivals import overtake_next_commit, write_rounds_at_once
from tests.fixtures.writers import Writers


@pytest.fixture
def far(object_store: ObjectStore, tmp_path: Path) -> Warehouse:
    """An empty warehouse in the bucket."""
    return Warehouse.open(f"s3://{BUCKET}/{tmp_path.name}")


def test_rounds_are_replaced_read_and_asked_as_on_a_disk(far: Warehouse, make) -> None:
    assert far.rounds("task_pool") == []
    first = [make.pool_task("t1"), make.pool_task("t2", pattern="changing_intent")]
    far.replace_round("task_pool", "round-001", first)
    old = far.replace_round("task_pool", "round-002", [*first, make.pool_task("t3", added_in="round-002")])
    tag = far.tag("report-round-002")
    far.replace_round("task_pool", "round-002", [])
    far.record_gate(make.gate("task_pool", "round-001"))
    assert far.read("task_pool", "round-001", allow_ungated=True) == first
    assert far.rounds("task_pool") == ["round-001", "round-002"]
    assert far.scan("task_pool").filter(pl.col("pattern") == "changing_intent").collect().height == 1
    query = "select round, sum(n_tasks)::int as n from pool_by_pattern group by 1 order by 1"
    now, then = [{"round": "round-001", "n": 2}], [{"round": "round-001", "n": 2}, {"round": "round-002", "n": 3}]
    assert far.sql(query).to_pylist() == now
    assert far.sql(query, as_of={"task_pool": old}).to_pylist() == then
    assert far.sql(query, as_of=tag).to_pylist() == then
    assert far.sql(query, as_of="round-001").to_pylist() == now
    assert far.tidy(timedelta(0))["task_pool"] > 0
    assert far.sql(query, as_of=tag).to_pylist() == then
    assert far.read("task_pool", "round-001", allow_ungated=True) == first
    out = io.StringIO()
    assert main(["select count(*) as n from task_pool", "--format", "json", "--root", far.root], out) == 0
    assert out.getvalue() == '{"n": 2}\n'


@pytest.mark.parametrize("rows_before", [None, 2])
def test_the_slower_replacement_of_a_round_is_refused_on_whatever_host_it_runs(
    far: Warehouse, make, monkeypatch: pytest.MonkeyPatch, rows_before: int | None
) -> None:
    if rows_before is not None:
        far.replace_round("test_outcomes", "round-001", [make.outcome("old")] * rows_before)
    rival = [make.outcome("rival")]
    overtake_next_commit(monkeypatch, lambda _: far.replace_round("test_outcomes", "round-001", rival))
    with pytest.raises(ConcurrentWriteError, match=r"test_outcomes\[round-001\]"):
        far.replace_round("test_outcomes", "round-001", [make.outcome("late")])
    assert far.read("test_outcomes", allow_ungated=True) == [make.outcome("rival")]


def test_writers_of_different_rounds_all_succeed_even_at_the_first_write(far: Warehouse, make) -> None:
    write_rounds_at_once(far, make)


def test_killed_writers_leave_whole_rounds_to_every_reader(far: Warehouse, tmp_path: Path) -> None:
    writers = Writers(far.root, tmp_path)
    try:
        kill_many(far, writers, n_kills=30, seed=3)
    finally:
        writers.close()


@pytest.mark.slow
def test_200_killed_writers_leave_whole_rounds_to_every_reader(far: Warehouse, tmp_path: Path) -> None:
    writers = Writers(far.root, tmp_path)
    try:
        kill_many(far, writers, n_kills=200, seed=4)
    finally:
        writers.close()


@pytest.mark.parametrize(
    ("root", "change", "told"),
    [
        ("s3://no-such-bucket/w", {}, "NoSuchBucket.*create the bucket"),
        (f"s3://{BUCKET}/w", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch.*check AWS_ACCESS_KEY_ID"),
        (f"s3://{BUCKET}/w", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "check AWS_ENDPOINT_URL"),
    ],
)
def test_a_store_that_refuses_is_told_with_what_to_do_and_without_the_key(
    far: Warehouse, make, monkeypatch: pytest.MonkeyPatch, root: str, change: dict[str, str], told: str
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    warehouse = Warehouse.open(root)
    with pytest.raises(WarehouseError, match=rf"^test_outcomes.*{root}.*{told}") as raised:
        warehouse.read("test_outcomes", "round-001", allow_ungated=True)
    with pytest.raises(WarehouseError, match=rf"^test_outcomes.*{root}.*{told}"):
        warehouse.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    assert not isinstance(raised.value, CorruptTableError)
    assert "tester" not in str(raised.value)


@pytest.mark.parametrize("folder", ["data", "_versions"])
def test_a_truncated_object_is_named(far: Warehouse, object_store: ObjectStore, make, folder: str) -> None:
    far.replace_round("test_outcomes", "round-001", [make.outcome("a")])
    place = f"{far.root.removeprefix('s3://')}/test_outcomes.lance/{folder}"
    objects = sorted(each.path for each in object_store.files.get_file_info(pafs.FileSelector(place)))
    newest = next(path for path in objects if path.endswith((".lance", ".manifest")))
    with object_store.files.open_input_stream(newest) as stream:
        content = stream.read()
    with object_store.files.open_output_stream(newest) as stream:
        stream.write(content[: len(content) // 2])
    with pytest.raises(CorruptTableError, match=f"test_outcomes: .*{newest}"):
        far.read("test_outcomes", "round-001", allow_ungated=True)

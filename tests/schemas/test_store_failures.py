"""Promises of the warehouse under rival writers and damaged files."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from schemas import ConcurrentWriteError, CorruptTableError
from schemas.codec import to_arrow
from schemas.columns import TABLES
from schemas.creation import created
from schemas.lance_table import LanceTable, claim_of
from schemas.snapshot import equal
from schemas.store import Warehouse
from tests.fixtures.rivals import overtake_next_commit, write_rounds_at_once


def test_writers_of_different_rounds_all_succeed_even_at_the_first_write(warehouse: Warehouse, make) -> None:
    write_rounds_at_once(warehouse, make)


@pytest.mark.parametrize("place", ["{}", "file-object-store://{}"])
def test_writers_who_make_a_table_at_the_same_moment_lose_no_commit(tmp_path: Path, place: str) -> None:
    """Lance's own `mode="create"` failed here in 1 of 10 to 1 of 15 tables."""
    schema = pa.schema([("number", pa.int64())])

    def write(uri: str, start: threading.Barrier, number: int) -> None:
        start.wait()
        dataset = created(uri, schema)
        for _ in range(3):
            dataset = lance.write_dataset(pa.table({"number": [number]}), dataset, mode="append")

    with ThreadPoolExecutor(4) as pool:
        for table in range(60):
            uri, start = f"{place.format(tmp_path)}/{table}.lance", threading.Barrier(4)
            for done in [pool.submit(write, uri, start, number) for number in range(4)]:
                done.result()
            assert sorted(lance.dataset(uri).to_table()["number"].to_pylist()) == sorted([0, 1, 2, 3] * 3)


@pytest.mark.parametrize("scheme", ["", "file-object-store://"])
@pytest.mark.parametrize("rows_before", [None, 0, 2])
@pytest.mark.parametrize(("rival_rows", "own_rows"), [(1, 1), (0, 1), (1, 0), (0, 0)])
def test_the_slower_replacement_of_a_round_is_refused_whatever_it_held(
    tmp_path: Path,
    make,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    rows_before: int | None,
    rival_rows: int,
    own_rows: int,
) -> None:
    warehouse = Warehouse.open(f"{scheme}{tmp_path}/w")
    warehouse.replace_round("test_outcomes", "round-002", [make.outcome("kept")])
    if rows_before is not None:
        warehouse.replace_round("test_outcomes", "round-001", [make.outcome("old")] * rows_before)
    rival = [make.outcome("rival")] * rival_rows
    overtake_next_commit(monkeypatch, lambda _: warehouse.replace_round("test_outcomes", "round-001", rival))
    with pytest.raises(ConcurrentWriteError, match=r"test_outcomes\[round-001\].*another's commit first"):
        warehouse.replace_round("test_outcomes", "round-001", [make.outcome("late")] * own_rows)
    assert warehouse.read("test_outcomes", "round-001", allow_ungated=True) == [make.outcome("rival")] * rival_rows
    assert warehouse.read("test_outcomes", "round-002", allow_ungated=True) == [make.outcome("kept")]


def test_a_compaction_in_between_refuses_nobody(warehouse: Warehouse, make, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        warehouse.replace_round("test_outcomes", f"round-00{number}", [make.outcome(f"t{number}")])
    merged: list[bool] = []
    overtake_next_commit(monkeypatch, lambda table: merged.append(table.compact()))
    warehouse.replace_round("test_outcomes", "round-002", [make.outcome("new")])
    assert merged == [True]
    assert [row.task_id for row in warehouse.read("test_outcomes", allow_ungated=True)] == ["t1", "new", "t3"]  # type: ignore[attr-defined]


def test_a_round_doubled_by_a_writer_that_is_not_ours_is_found_when_read(warehouse: Warehouse, make) -> None:
    for name in ("judge_explanations", "sft_metrics"):
        table = LanceTable(warehouse.root, TABLES[name])
        for number in (1, 2):
            row = make.explanation(number) if name == "judge_explanations" else make.step(number)
            data = to_arrow(table.spec, [row], "round-001")
            table.replace("round-001", equal("round", "nobody"), data, claim=claim_of(str(number)))
        with pytest.raises(CorruptTableError, match=rf"{name}\[round-001\].*of (2 writes|several)"):
            warehouse.read(name, "round-001", allow_ungated=True)


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

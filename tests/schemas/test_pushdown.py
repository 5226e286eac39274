"""Promises of pushdown: Lance is asked for the rows and columns that a question needs, not for the whole table."""

import lance
import polars as pl
import pytest

from schemas.store import Warehouse


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What Lance was asked for: one entry per scan, with its columns and its filter."""
    scans: list[dict[str, object]] = []
    honest = lance.LanceDataset.scanner

    def scanner(self: lance.LanceDataset, columns: object = None, filter: object = None, **rest: object) -> object:
        scans.append({"columns": columns, "filter": filter})
        return honest(self, columns=columns, filter=filter, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(lance.LanceDataset, "scanner", scanner)
    return scans


def test_polars_plans_the_filter_and_the_projection_into_the_scan(filled: Warehouse) -> None:
    rows = filled.scan("task_pool").filter(pl.col("pattern") == "wrong_variant").select("task_id", "pattern")
    plan = [line.strip() for line in rows.explain().splitlines()]
    assert "PYTHON SCAN []" in plan
    assert any(line.startswith("PROJECT 2/") for line in plan)
    assert 'SELECTION: col("pattern") == "wrong_variant"' in plan
    assert not any(line.startswith("FILTER") for line in plan)
    assert rows.collect().height == 3


def test_lance_gets_the_filter_and_the_projection_of_a_polars_scan(filled: Warehouse, asked: list) -> None:
    rows = filled.scan("task_pool").filter(pl.col("pattern") == "wrong_variant").select("task_id", "pattern").collect()
    assert rows.height == 3
    (scan,) = asked
    assert sorted(scan["columns"]) == ["pattern", "task_id"]
    assert "wrong_variant" in str(scan["filter"])


def test_lance_gets_the_filter_of_a_query_and_that_of_the_round(filled: Warehouse, asked: list) -> None:
    query = "select task_id from task_pool where pattern = 'wrong_variant'"
    assert filled.sql(query, as_of="round-001").num_rows == 1
    scan = next(scan for scan in asked if scan["filter"] is not None and "wrong_variant" in str(scan["filter"]))
    assert "round-001" in str(scan["filter"])
    assert "scenario" not in scan["columns"]

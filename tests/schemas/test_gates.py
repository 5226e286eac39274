"""Promises of stored gate verdicts: a round is readable only when every gate passed on its rows as they are."""

import logging

import pytest

from schemas import UngatedRoundError, UnknownRoundError
from schemas.store import MAX_GATE_FRAGMENTS, Warehouse

TABLE = "judge_explanations"


def test_a_round_that_no_gate_checked_is_refused(warehouse: Warehouse, make) -> None:
    warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    with pytest.raises(UngatedRoundError, match=r"judge_explanations\[round-001\].*no gate that ran"):
        warehouse.read(TABLE, "round-001")


def test_a_round_whose_gates_passed_is_read(warehouse: Warehouse, make) -> None:
    warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    warehouse.record_gate(make.gate(TABLE, "round-001", gate="a"))
    warehouse.record_gate(make.gate(TABLE, "round-001", gate="b"))
    assert warehouse.read(TABLE, "round-001") == [make.explanation(1)]


def test_one_failed_gate_blocks_and_says_why(warehouse: Warehouse, make) -> None:
    warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    warehouse.record_gate(make.gate(TABLE, "round-001", gate="a"))
    warehouse.record_gate(make.gate(TABLE, "round-001", gate="b", passed=False, message="3 orphans"))
    with pytest.raises(UngatedRoundError, match=r"failed gates b \(3 orphans\)"):
        warehouse.read(TABLE, "round-001")
    warehouse.record_gate(make.gate(TABLE, "round-001", gate="b"))
    assert len(warehouse.read(TABLE, "round-001")) == 1
    assert len(warehouse.read("gate_results", "round-001")) == 2


def test_another_rounds_write_does_not_void_a_verdict(warehouse: Warehouse, make) -> None:
    warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    warehouse.record_gate(make.gate(TABLE, "round-001"))
    warehouse.replace_round(TABLE, "round-002", [make.explanation(2)])
    assert len(warehouse.read(TABLE, "round-001")) == 1
    with pytest.raises(UngatedRoundError, match="round-002"):
        warehouse.read(TABLE)


def test_a_rewrite_with_the_same_rows_keeps_its_verdict(warehouse: Warehouse, make) -> None:
    for _ in range(2):
        warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
        if not warehouse.version("gate_results"):
            warehouse.record_gate(make.gate(TABLE, "round-001"))
    assert len(warehouse.read(TABLE, "round-001")) == 1


def test_a_rewrite_with_other_rows_needs_all_its_gates_again(warehouse: Warehouse, make) -> None:
    warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    for gate in ("a", "b"):
        warehouse.record_gate(make.gate(TABLE, "round-001", gate=gate))
    # Same ids and count: only the text differs.
    warehouse.replace_round(TABLE, "round-001", [make.explanation(1, text="other words")])
    with pytest.raises(UngatedRoundError, match="only on earlier content: a, b"):
        warehouse.read(TABLE, "round-001")
    warehouse.record_gate(make.gate(TABLE, "round-001", gate="a"))
    with pytest.raises(UngatedRoundError, match="only on earlier content: b"):
        warehouse.read(TABLE, "round-001")


def test_an_as_of_read_keeps_the_verdict_of_its_day(warehouse: Warehouse, make) -> None:
    good = warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    warehouse.record_gate(make.gate(TABLE, "round-001"))
    bad = warehouse.replace_round(TABLE, "round-001", [make.explanation(2)])
    warehouse.record_gate(make.gate(TABLE, "round-001", passed=False))
    warehouse.replace_round(TABLE, "round-001", [make.explanation(3)])
    assert warehouse.read(TABLE, "round-001", version=good) == [make.explanation(1)]
    with pytest.raises(UngatedRoundError):
        warehouse.read(TABLE, "round-001", version=bad)


def test_a_verdict_on_an_old_version_does_not_pass_the_new_rows(warehouse: Warehouse, make) -> None:
    seen = warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    warehouse.replace_round(TABLE, "round-001", [make.explanation(2)])
    warehouse.record_gate(make.gate(TABLE, "round-001"), version=seen)
    with pytest.raises(UngatedRoundError):
        warehouse.read(TABLE, "round-001")


def test_an_empty_round_has_gates_like_any_other(warehouse: Warehouse, make) -> None:
    warehouse.replace_round(TABLE, "round-001", [])
    with pytest.raises(UngatedRoundError):
        warehouse.read(TABLE, "round-001")
    warehouse.record_gate(make.gate(TABLE, "round-001"))
    assert warehouse.read(TABLE, "round-001") == []


def test_looking_at_an_ungated_round_is_possible_and_logged(
    warehouse: Warehouse,
    make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    with caplog.at_level(logging.WARNING):
        assert len(warehouse.read(TABLE, "round-001", allow_ungated=True)) == 1
    assert "judge_explanations[round-001]: read ungated" in caplog.text


def test_only_the_verdicts_themselves_are_read_without_gates(warehouse: Warehouse, make) -> None:
    warehouse.replace_round("sft_metrics", "round-001", [make.step(0)])
    with pytest.raises(UngatedRoundError, match="no gate that ran"):
        warehouse.read("sft_metrics", "round-001")
    warehouse.record_gate(make.gate("sft_metrics", "round-001"))
    assert len(warehouse.read("gate_results", "round-001")) == 1


def test_a_verdict_needs_a_round_to_be_about(warehouse: Warehouse, make) -> None:
    with pytest.raises(UnknownRoundError, match="judge_explanations"):
        warehouse.record_gate(make.gate(TABLE, "round-001"))


def test_a_verdict_comes_back_with_its_numbers_and_says_what_it_saw(warehouse: Warehouse, make) -> None:
    version = warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    result = make.gate(TABLE, "round-001", gate="it's quoted")
    warehouse.record_gate(result)
    warehouse.record_gate(result)
    assert warehouse.read("gate_results", "round-001") == [result]
    row = warehouse.read_arrow("gate_results", "round-001").to_pylist()[0]
    assert row["checked_version"] == version
    assert row["numbers"] == [{"name": "a", "value": 1.0}, {"name": "b", "value": 2.0}]


def test_many_verdicts_are_compacted_and_still_replaced_one_by_one(warehouse: Warehouse, make) -> None:
    warehouse.replace_round(TABLE, "round-001", [make.explanation(1)])
    for number in range(MAX_GATE_FRAGMENTS + 3):
        warehouse.record_gate(make.gate(TABLE, "round-001", gate=f"g{number:03d}"))
    warehouse.record_gate(make.gate(TABLE, "round-001", gate="g001", passed=False, message="late"))
    stored = warehouse.read("gate_results", "round-001")
    assert len(stored) == MAX_GATE_FRAGMENTS + 3
    with pytest.raises(UngatedRoundError, match="late"):
        warehouse.read(TABLE, "round-001")

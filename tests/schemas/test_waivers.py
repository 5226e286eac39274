"""A person's waiver: it lets just these rows be read, with a reason that stays, and every such read is logged."""

import logging

import pytest

from schemas import ConfigError, GateWaiver, UngatedRoundError, UnknownRoundError
from schemas.store import Warehouse

TABLE, ROUND = "judge_explanations", "round-001"
WAIVER = GateWaiver(table=TABLE, round=ROUND, reason="looked at all three", by="mira")


@pytest.fixture
def refused(warehouse: Warehouse, make) -> Warehouse:
    warehouse.replace_round(TABLE, ROUND, [make.explanation(1)])
    warehouse.record_gate(make.gate(TABLE, ROUND, passed=False, message="3 orphans"))
    return warehouse


def test_a_refused_round_is_read_once_a_person_says_so_and_each_read_is_logged(
    refused: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UngatedRoundError, match=r"python -m jobs waive judge_explanations round-001"):
        refused.read(TABLE, ROUND)
    assert refused.waiver(TABLE, ROUND) is None
    with caplog.at_level(logging.WARNING):
        refused.waive(WAIVER)
        assert "mira lets it be read: looked at all three" in caplog.text
        caplog.clear()
        assert len(refused.read(TABLE, ROUND)) == 1
    assert "read as mira lets it (looked at all three), with failed gates" in caplog.text
    assert refused.waiver(TABLE, ROUND) == WAIVER
    assert refused.read("gate_waivers", ROUND) == [WAIVER]


def test_a_waiver_is_for_these_rows_and_no_others(refused: Warehouse, make) -> None:
    refused.waive(WAIVER)
    refused.replace_round(TABLE, ROUND, [make.explanation(2)])
    refused.replace_round(TABLE, "round-002", [make.explanation(3)])
    assert refused.waiver(TABLE, ROUND) is None
    for round in (ROUND, "round-002"):
        with pytest.raises(UngatedRoundError):
            refused.read(TABLE, round)
    refused.replace_round(TABLE, ROUND, [make.explanation(1)])
    assert len(refused.read(TABLE, ROUND)) == 1


def test_a_later_decision_on_the_same_rows_replaces_the_earlier_one(refused: Warehouse, make) -> None:
    refused.waive(WAIVER)
    refused.waive(WAIVER.model_copy(update={"by": "juri"}))
    assert [row.by for row in refused.read("gate_waivers", ROUND)] == ["juri"]
    refused.replace_round(TABLE, ROUND, [make.explanation(2)])
    refused.waive(WAIVER)
    assert sorted(row.by for row in refused.read("gate_waivers", ROUND)) == ["juri", "mira"]


def test_what_was_never_written_or_comes_as_a_whole_round_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(UnknownRoundError):
        warehouse.waive(WAIVER)
    with pytest.raises(ConfigError, match="use record_gate, waive"):
        warehouse.replace_round("gate_waivers", ROUND, [WAIVER])

"""The ledger of model calls only grows: batches are whole, kills double nothing, and what it holds is checked."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from schemas import ConfigError
from schemas.call_log import BATCH_ROWS, MAX_FRAGMENTS, TABLE, CallLog
from schemas.columns import TABLES, TableSpec
from schemas.integrity import content_hash
from schemas.llm_calls import LlmCall, LlmOutcome
from schemas.migrations import MIGRATIONS, Migration
from schemas.store import Warehouse

ROUND = "round-001"


def call(key: str = "call-1", *, cost_usd: float = 0.5, cached: bool = False) -> LlmCall:
    return LlmCall(
        call_key=key,
        role="judge",
        model="strong",
        input_tokens=100,
        output_tokens=10,
        latency_s=0.0 if cached else 0.25,
        n_retries=0,
        cost_usd=0.0 if cached else cost_usd,
        cached=cached,
        outcome=LlmOutcome.OK,
    )


def put(root: str | Path, calls: Sequence[LlmCall], round: str = ROUND) -> None:
    with CallLog(str(root), round, "judge_explanations") as log:
        for each in calls:
            log.add(each)


def test_every_call_is_a_row_that_sql_adds_up(tmp_path: Path) -> None:
    put(tmp_path, [call(f"call-{number}") for number in range(BATCH_ROWS + 3)])
    put(tmp_path, [call("call-0", cached=True)], "round-002")
    answer = Warehouse.open(tmp_path).sql(
        "select made_for, round, count(*) as n, sum(cost_usd) as usd from llm_calls group by all order by round"
    )
    assert answer.to_pylist() == [
        {"made_for": "judge_explanations", "round": ROUND, "n": BATCH_ROWS + 3, "usd": (BATCH_ROWS + 3) / 2},
        {"made_for": "judge_explanations", "round": "round-002", "n": 1, "usd": 0.0},
    ]
    assert len(Warehouse.open(tmp_path).read(TABLE, ROUND)) == BATCH_ROWS + 3


def test_a_run_that_fails_keeps_what_it_paid_for(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), CallLog(str(tmp_path), ROUND, "judge_explanations") as log:
        log.add(call())
        raise RuntimeError
    assert Warehouse.open(tmp_path).read(TABLE, ROUND) == [call()]


def test_equal_batches_are_told_apart_and_a_round_never_replaces_another(tmp_path: Path) -> None:
    warehouse = Warehouse.open(tmp_path)
    for _ in range(3):
        put(tmp_path, [call(cached=True)] * 2)
    assert warehouse.read(TABLE, ROUND) == [call(cached=True)] * 6
    assert warehouse.damage_of(TABLE, ROUND) is None
    with pytest.raises(ConfigError, match="CallLog"):
        warehouse.replace_round(TABLE, ROUND, [call()])


def test_two_logs_at_once_lose_nothing_and_many_batches_are_merged(tmp_path: Path) -> None:
    warehouse = Warehouse.open(tmp_path)
    one, two = (CallLog(str(tmp_path), ROUND, name) for name in ("judge_explanations", "validation_rollouts"))
    for number in range(MAX_FRAGMENTS // 2 + 2):
        for log in (one, two):
            log.add(call(f"call-{log.made_for}-{number}"))
            log.flush()
    keys = warehouse.sql("select count(distinct call_key) as n, count(distinct n_calls_before) as m from llm_calls")
    assert set(keys.to_pylist()[0].values()) == {2 * (MAX_FRAGMENTS // 2 + 2)}
    assert len(lance.dataset(f"{tmp_path}/{TABLE}.lance").get_fragments()) <= MAX_FRAGMENTS
    assert warehouse.damage_of(TABLE, ROUND) is None


def test_marks_outlive_a_migration_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Today's rows, put down as a version without `prompt_version` would have them."""
    for _ in range(2):
        put(tmp_path, [call(cached=True)] * 2)
    uri = f"{tmp_path}/{TABLE}.lance"
    parts = lance.dataset(uri).to_table().drop_columns(["prompt_version"])
    batches = [parts.slice(0, 2), parts.slice(2, 2)]
    place = parts.num_columns - 1
    marked = [
        batch.set_column(place, parts.schema.field(place), pa.array([content_hash(batch)] * 2)) for batch in batches
    ]
    lance.write_dataset(pa.concat_tables(marked), uri, mode="overwrite")
    added = Migration(LlmCall, "a prompt's version", adds=("prompt_version",))
    spec = TABLES[TABLE]
    later = TableSpec(TABLE, LlmCall, gated=False, extra=spec.extra, migrations=(*MIGRATIONS, added))
    monkeypatch.setitem(TABLES, TABLE, later)
    warehouse = Warehouse.open(tmp_path)
    assert warehouse.migrate(TABLE) == (1, 2)
    assert warehouse.read(TABLE, ROUND) == [call(cached=True)] * 4
    assert warehouse.damage_of(TABLE, ROUND) is None


WRITER = """
import sys
from schemas.call_log import CallLog
from tests.schemas.test_call_log import call
log, first = CallLog(sys.argv[1], "round-001", "judge_explanations"), int(sys.argv[2])
for number in range(first, first + 1_000_000):
    log.add(call(f"call-{number}"))
    if number % 7 == 6:
        log.flush()
        print(number, flush=True)
"""


def test_a_killed_writer_doubles_nothing_and_loses_one_batch_at_most(tmp_path: Path) -> None:
    for first in (0, 1_000_000):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(9)]
        os.kill(child.pid, signal.SIGKILL)
        said += [int(line) for line in child.communicate()[0].split()]
        rows = Warehouse.open(tmp_path).read(TABLE, ROUND)
        keys = [int(row.call_key[5:]) for row in rows if isinstance(row, LlmCall)]
        mine = [key for key in keys if key >= first]
        assert len(keys) == len(set(keys))
        assert mine == list(range(first, mine[-1] + 1)) and said[-1] <= mine[-1] <= said[-1] + 7

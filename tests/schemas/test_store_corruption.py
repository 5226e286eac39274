"""The promise about damaged files: a reader gets just the rows that were written, or an error that names the file."""

import random
from pathlib import Path

import pytest

from schemas import CorruptTableError, UnknownRoundError, WarehouseError
from schemas.store import Warehouse

TABLE = "test_outcomes"


def newest(warehouse: Warehouse, pattern: str) -> Path:
    # Manifests are named so that the newest comes first; there is one data file.
    return sorted(Path(warehouse.root, f"{TABLE}.lance").glob(pattern))[0]


@pytest.mark.parametrize(("pattern", "n_flips"), [("data/*.lance", 250), ("_versions/*.manifest", 150)])
def test_no_flipped_bit_changes_what_a_reader_gets(warehouse: Warehouse, make, pattern: str, n_flips: int) -> None:
    rows = [make.outcome(f"task-{number}", n_successes=number % 4) for number in range(30)]
    warehouse.replace_round(TABLE, "round-001", rows)
    path = newest(warehouse, pattern)
    whole = path.read_bytes()
    rng = random.Random(5)
    n_noticed = 0
    for place in rng.sample(range(len(whole)), min(n_flips, len(whole))):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            assert warehouse.read(TABLE, "round-001", allow_ungated=True) == rows, place
        except CorruptTableError as error:
            assert str(error).startswith(TABLE), error
            assert ".lance" in str(error), error
            n_noticed += 1
        except (UnknownRoundError, WarehouseError):
            # The flip hit the round's own key, or the schema.
            n_noticed += 1
    path.write_bytes(whole)
    assert warehouse.read(TABLE, "round-001", allow_ungated=True) == rows
    assert n_noticed > n_flips / 10

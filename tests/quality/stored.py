"""A warehouse of plain lists, which stands in for the store where gates read other tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from quality.gate import GateContext
from quality.gates import gates_for
from schemas import GateResult, Record
from schemas.codec import to_arrow
from schemas.columns import table_spec
from tests.quality.builders import make_database

ROUND, LAST = "round-002", "round-001"


@dataclass
class Stored:
    tables: dict[tuple[str, str], Sequence[Record]] = field(default_factory=dict)

    def read(self, table: str, round: str | None) -> list[Record]:
        keys = [key for key in self.tables if key[0] == table and round in (None, key[1])]
        return [row for key in keys for row in self.tables[key]]

    def frame(self, table: str, round: str, columns: Sequence[str]) -> pl.DataFrame:
        rows = self.tables.get((table, round))
        if rows is None:
            return pl.DataFrame()
        return pl.DataFrame(pl.from_arrow(to_arrow(table_spec(table), rows, round))).select(columns)


def context_of(tables: dict[tuple[str, str], Sequence[Record]], **changes: object) -> GateContext:
    """The second round over these tables and one database a split."""
    splits = ("train", "validation", "test")
    databases = {(f"{split}_databases", "bootstrap"): [make_database(0, split)] for split in splits}
    stored = Stored(databases | tables)
    context = GateContext(round=ROUND, rounds=(LAST, ROUND), read=stored.read, frame=stored.frame)
    return replace(context, **changes)  # type: ignore[arg-type]


def result_of(name: str, table: str, rows: Sequence[Record], context: GateContext) -> GateResult:
    gate = next(gate for gate in gates_for(table) if gate.name == name)
    return gate.run(table, rows, context)

"""One table at one version: its rows as rows of today, a round of them checked against the hash it was written with.

Used by `lance_table` and `store`. Rows of an older schema version are read through their migrations.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lance
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import ROUND
from schemas.integrity import require_content
from schemas.migrations import Upgrade

if TYPE_CHECKING:
    from schemas.lance_table import LanceTable

__all__ = ["REHASHED", "WRITTEN", "Snapshot", "equal"]

WRITTEN = "faultline.written."
"""Prefix of the dataset config keys that tell a round written empty from one never written."""

REHASHED = "faultline.rehashed"
"""Schema metadata of a table that was migrated: round -> mark of its rows -> hash of what they are since, as JSON."""


@dataclass(frozen=True)
class Snapshot:
    """A table at one version."""

    table: "LanceTable"
    dataset: lance.LanceDataset
    upgrade: Upgrade | None = None
    """From the stored columns to today's, None when they are the same."""

    @property
    def version(self) -> int:
        """The version that is read."""
        return self.dataset.version

    @property
    def source(self) -> lance.LanceDataset | pa.Table:
        """All rows: lazily, unless they are of an older schema version."""
        return self.dataset if self.upgrade is None else self.rows(self.table.spec.schema.names, {})

    def rows(self, columns: Sequence[str], where: Mapping[str, Sequence[str]]) -> pa.Table:
        """Rows in which each column of `where` holds one of its texts, in stored order."""
        stored = self.dataset.schema
        if self.upgrade is None or self.upgrade.same([*columns, *where], stored):
            return self._stored(columns, where)
        wanted = list(dict.fromkeys([*columns, *where, ROUND]))
        early = {name: values for name, values in where.items() if self.upgrade.same([name], stored)}
        rows = self.upgrade.rows(self._stored(self.upgrade.needs(wanted, stored), early), wanted)
        for name in where.keys() - early.keys():
            rows = rows.filter(pc.field(name).isin(list(where[name])))
        return rows.select(list(columns))

    def batches(
        self, columns: Sequence[str], where: Mapping[str, Sequence[str]], n_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """As `rows`, at most so many at a time; in memory are only the batches under way.

        Rows of an older schema version are read at once.
        """
        if self.upgrade is not None:
            yield from self.rows(columns, where).to_batches(max_chunksize=n_rows)
            return
        with self.table.damage(self.version):
            yield from self.dataset.to_batches(
                columns=list(columns),
                filter=_predicate(where),
                batch_size=n_rows,
                batch_readahead=2,
                fragment_readahead=1,
            )

    def whole(self, round: str) -> pa.Table:
        """All columns of a round's rows, in stored order, once they are found to be as they were written.

        Raises:
            CorruptTableError: When they are not.
        """
        with self.table.damage(self.version):
            told = (self.dataset.schema.metadata or {}).get(REHASHED.encode(), b"{}")
            rehashed = json.loads(told).get(round, {})
        rows = self._stored(self.dataset.schema.names, {ROUND: [round]})
        require_content(self.table.spec, round, rows, rehashed, lambda: self._files(round))
        return rows if self.upgrade is None else self.upgrade.rows(rows, self.table.spec.schema.names)

    def rounds(self) -> list[str]:
        """Rounds that were written, in order, also those written without rows."""
        with self.table.damage(self.version):
            marked = [key.removeprefix(WRITTEN) for key in self.dataset.config() if key.startswith(WRITTEN)]
        return sorted({*self.filled(), *marked})

    def filled(self) -> list[str]:
        """Rounds with rows, in stored order."""
        return self._stored([ROUND], {}).column(ROUND).unique().to_pylist()

    def _stored(self, columns: Sequence[str], where: Mapping[str, Sequence[str]]) -> pa.Table:
        # Look-ups by id find few rows: the wide columns of all others are not read. A round's rows are many.
        late = True if where.keys() - {ROUND} else None
        with self.table.damage(self.version):
            return self.dataset.to_table(columns=list(columns), filter=_predicate(where), late_materialization=late)

    def _files(self, round: str) -> list[str]:
        keys = self.table.fragments(self.dataset, equal(ROUND, round))
        fragments = [self.dataset.get_fragment(key) for key in keys]
        return [f"{self.table.uri}/data/{file.path}" for each in fragments if each for file in each.data_files()]


def equal(column: str, value: str) -> str:
    """Predicate: the column holds just this text."""
    quoted = value.replace("'", "''")
    return f"`{column}` = '{quoted}'"


def _predicate(where: Mapping[str, Sequence[str]]) -> str | None:
    return " AND ".join(_one_of(column, values) for column, values in where.items()) or None


def _one_of(column: str, values: Sequence[str]) -> str:
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"`{column}` IN ({quoted})" if values else "false"

"""The one door to disk: rounds of declared tables, gates' verdicts, read-only SQL.

A reader sees the old round or the new one, never half of one; a killed writer leaves the old one (and orphaned files
that no manifest names). Rows keep the order in which they were given. What it doesn't do: judge rows (`quality` does,
the verdict is only kept and enforced here), keep secrets, or lock writers on other hosts: there, two *first* writes
of one round at the same instant are found when the round is read, not refused when it is written.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import chain
from pathlib import Path

import lance
import polars as pl
import pyarrow as pa

from schemas.codec import from_arrow, sealed, to_arrow
from schemas.columns import ROUND, ROUND_FINGERPRINT, TABLES, TableSpec, table_spec
from schemas.errors import (
    ConfigError,
    CorruptTableError,
    UngatedRoundError,
    UnknownRoundError,
    WarehouseError,
)
from schemas.ids import content_id, round_number
from schemas.lance_table import LanceTable, Snapshot, equal, one_of
from schemas.locks import exclusive
from schemas.records import BOOTSTRAP, GateResult, Record
from schemas.sql import answer
from schemas.verdicts import VERDICT_COLUMNS, Verdict, fingerprints, objection

__all__ = ["Warehouse"]

logger = logging.getLogger(__name__)

MAX_GATE_FRAGMENTS = 64
"""Every verdict is a fragment of its own; beyond this the table of verdicts is compacted, or scans slow down."""

_CHECKPOINT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Warehouse:
    """Tables under one root: a local folder, or a URI that Lance addresses (`s3://...`)."""

    def __init__(self, root: str) -> None:
        """Hold a root that `open` has checked."""
        self.root = root
        self._local = "://" not in root

    @classmethod
    def open(cls, root: str | Path) -> "Warehouse":
        """Open a warehouse, creating the folder when there is none.

        Raises:
            WarehouseError: When the root is a file or can't be written.
        """
        if "://" in str(root):
            return cls(str(root).rstrip("/"))
        folder = Path(root).expanduser().absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(
                f"warehouse[{folder}]: expected a folder, or a place to make one, got {error}; give another root"
            ) from error
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise WarehouseError(
                f"warehouse[{folder}]: expected a writable folder, got one that is not; change its permissions"
            )
        return cls(str(folder))

    # Writing

    def replace_round(self, table: str, round: str, rows: Sequence[Record] | pa.Table) -> int:
        """Make these rows the whole content of one round, atomically; returns the table's new version.

        Args:
            table: Table name.
            round: Partition key.
            rows: The table's records; or its columns without the round and what the store fills, for rows by the
                hundred thousand. Columns are checked for type and null only, not as records are.

        Raises:
            ConcurrentWriteError: When another writer is replacing the same round.
            WarehouseError: When a row isn't the table's record, or the disk refuses.
        """
        spec = table_spec(table)
        if table == "gate_results":
            raise ConfigError(f"{table}[{round}]: expected verdicts one by one, got a whole round; use record_gate")
        build = sealed if isinstance(rows, pa.Table) else to_arrow
        data = build(spec, rows, _checked_round(round))
        with self._exclusive(table, round):
            written = self._table(spec).replace(round, equal(ROUND, round), data)
        self._table(spec).index()
        return written

    def record_gate(self, result: GateResult, *, version: int | None = None) -> int:
        """Keep one gate's verdict, instead of the same gate's earlier one on the same round.

        Args:
            result: The verdict.
            version: Version of the checked table that the gate read, None for the newest.

        Raises:
            UnknownRoundError: When the checked table has no such round.
        """
        checked = table_spec(result.table)
        snapshot = self._snapshot(checked, version)
        self._require_rounds(checked, snapshot, [result.round])
        extra = {
            "checked_version": snapshot.version if snapshot else 0,
            "checked_fingerprint": self._fingerprints(checked, snapshot, [result.round])[result.round],
        }
        spec = TABLES["gate_results"]
        data = to_arrow(spec, [result], result.round, extra=extra)
        where = " AND ".join(equal(name, getattr(result, name)) for name in ("round", "table", "gate"))
        with self._exclusive(spec.name, content_id("gate", [result.round, result.table, result.gate])):
            version = self._table(spec).replace(result.round, where, data)
        self._table(spec).compact(MAX_GATE_FRAGMENTS)
        return version

    # Reading

    def read(
        self,
        table: str,
        round: str | None = None,
        *,
        rounds: Sequence[str] | None = None,
        version: int | None = None,
        allow_ungated: bool = False,
    ) -> list[Record]:
        """Records of one round, of several in the order given, or of all in order.

        Args:
            table: Table name.
            round: One round.
            rounds: Several rounds, read from one snapshot.
            version: Table version to read as of, None for the newest.
            allow_ungated: Read although a gate failed or none ran; logged.

        Raises:
            UnknownTableError: When the table isn't declared.
            UnknownRoundError: When a round was never written.
            UngatedRoundError: When gates guard the table and a round has not passed them.
            CorruptTableError: When a file is damaged.
        """
        data = self.read_arrow(table, round, rounds=rounds, version=version, allow_ungated=allow_ungated)
        return from_arrow(table_spec(table), data)

    def read_arrow(
        self,
        table: str,
        round: str | None = None,
        *,
        rounds: Sequence[str] | None = None,
        version: int | None = None,
        allow_ungated: bool = False,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """As `read`, without building records; `columns` reads only those."""
        if round is not None and rounds is not None:
            raise ConfigError(f"{table}[{round}]: expected round or rounds, got both; give one")
        spec = table_spec(table)
        wanted = [round] if round is not None else rounds
        snapshot, wanted = self._readable(spec, wanted, version=version, allow_ungated=allow_ungated)
        schema = spec.schema if columns is None else pa.schema([spec.schema.field(name) for name in columns])
        if snapshot is None or not wanted:
            return schema.empty_table()
        return pa.concat_tables([snapshot.rows(schema.names, equal(ROUND, key)) for key in wanted])

    def batches(
        self,
        table: str,
        rounds: Sequence[str] | None = None,
        *,
        version: int | None = None,
        allow_ungated: bool = False,
        columns: Sequence[str] | None = None,
        n_rows: int = 128,
    ) -> Iterator[pa.RecordBatch]:
        """As `read_arrow`, a few rows at a time: memory stays the same however large the table is."""
        spec = table_spec(table)
        snapshot, wanted = self._readable(spec, rounds, version=version, allow_ungated=allow_ungated)
        if snapshot is None:
            return iter(())
        names = columns or spec.schema.names
        return chain.from_iterable(snapshot.batches(names, equal(ROUND, key), n_rows) for key in wanted)

    def find(self, table: str, where: Mapping[str, Sequence[str]], columns: Sequence[str]) -> pa.Table:
        """Some columns of the rows in which each column of `where` holds one of its texts; gates are not asked.

        Raises:
            UnknownTableError, CorruptTableError: As `read` does.
        """
        spec = table_spec(table)
        if (snapshot := self._snapshot(spec)) is None:
            return pa.schema([spec.schema.field(name) for name in columns]).empty_table()
        return snapshot.rows(columns, " AND ".join(one_of(name, values) for name, values in where.items()) or "true")

    def scan(self, table: str, *, version: int | None = None) -> pl.LazyFrame:
        """All rounds of a table for Polars, filters and projections pushed down; gates are not asked."""
        spec = table_spec(table)
        snapshot = self._snapshot(spec, version)
        if snapshot is None:
            return pl.LazyFrame(pl.from_arrow(spec.schema.empty_table()))
        return pl.scan_pyarrow_dataset(snapshot.dataset)

    def rounds(self, table: str, *, version: int | None = None) -> list[str]:
        """Rounds that were written, in order, also those written without rows."""
        spec = table_spec(table)
        return _rounds(self._snapshot(spec, version))

    def version(self, table: str) -> int:
        """Newest version of a table, 0 before its first write."""
        snapshot = self._snapshot(table_spec(table))
        return snapshot.version if snapshot else 0

    def sql(self, query: str, *, as_of: str | Mapping[str, int] | None = None) -> pa.Table:
        """Answer one SELECT over all tables and ready views; it can't write, read files or reach the network.

        Gates are not asked. The views are declared in `schemas.views`.

        Args:
            query: The SELECT.
            as_of: A round key: only rows of the bootstrap and of the rounds up to it. Or versions by table: those
                tables as they were, the others as they are.

        Raises:
            WarehouseError: When the query isn't one SELECT, DuckDB refuses it, or a table has no such version.
            UnknownTableError: When `as_of` names a table that isn't declared.
            UnknownRoundError: When `as_of` is a round that no table holds.
        """
        up_to = as_of if isinstance(as_of, str) else None
        versions = {} if as_of is None or isinstance(as_of, str) else as_of
        for table, version in versions.items():
            self._snapshot(table_spec(table), version)
        if up_to is not None:
            self._require_written(up_to)

        def source(spec: TableSpec) -> lance.LanceDataset | pa.Table:
            snapshot = self._snapshot(spec, versions.get(spec.name))
            return snapshot.dataset if snapshot else spec.schema.empty_table()

        return answer(query, source, up_to)

    def checkpoint_dir(self, checkpoint_id: str) -> Path:
        """Folder of a checkpoint's files; made by whoever writes them.

        Raises:
            ConfigError: When the id could leave the warehouse, or the root is not a local folder.
        """
        if not self._local:
            raise ConfigError(
                f"checkpoint[{checkpoint_id}]: expected a local root, got {self.root}; use a mounted folder"
            )
        if not _CHECKPOINT_ID.fullmatch(checkpoint_id):
            raise ConfigError(
                f"checkpoint[{checkpoint_id!r}]: expected letters, digits, dots, hyphens and underscores, starting "
                "with a letter or digit; use the checkpoint's content id"
            )
        return Path(self.root) / "checkpoints" / checkpoint_id

    # Inside

    def _table(self, spec: TableSpec) -> LanceTable:
        return LanceTable(self.root, spec)

    def _snapshot(self, spec: TableSpec, version: int | None = None) -> Snapshot | None:
        return self._table(spec).snapshot(version)

    def _readable(
        self, spec: TableSpec, rounds: Sequence[str] | None, *, version: int | None, allow_ungated: bool
    ) -> tuple[Snapshot | None, list[str]]:
        """A snapshot and its rounds, all of them when none are named, after every refusal."""
        snapshot = self._snapshot(spec, version)
        wanted = _rounds(snapshot) if rounds is None else list(rounds)
        self._require_rounds(spec, snapshot, wanted)
        self._require_gates(spec, snapshot, wanted, pinned=version is not None, allow_ungated=allow_ungated)
        return snapshot, wanted

    def _require_rounds(self, spec: TableSpec, snapshot: Snapshot | None, wanted: Sequence[str]) -> None:
        known = _rounds(snapshot)
        for key in wanted:
            if key not in known:
                raise UnknownRoundError(
                    f"{spec.name}[{key}]: expected a round that was written ({', '.join(known) or 'there is none'}), "
                    "got another; materialize it first"
                )

    def _require_written(self, key: str) -> None:
        known: set[str] = set()
        for spec in TABLES.values():
            with suppress(CorruptTableError):
                known.update(_rounds(self._snapshot(spec)))
            if key in known:
                return
        raise UnknownRoundError(
            f"sql[as of {key!r}]: expected a round that was written ({', '.join(sorted(known)) or 'there is none'}), "
            "got another; give one of these, or TABLE=VERSION"
        )

    def _fingerprints(self, spec: TableSpec, snapshot: Snapshot | None, rounds: Sequence[str]) -> dict[str, str]:
        if snapshot is None or ROUND_FINGERPRINT not in spec.schema.names:
            return dict.fromkeys(rounds, "")
        rows = snapshot.rows([ROUND, ROUND_FINGERPRINT], one_of(ROUND, rounds))
        return fingerprints(rows, rounds, spec.name)

    def _require_gates(
        self,
        spec: TableSpec,
        snapshot: Snapshot | None,
        rounds: Sequence[str],
        *,
        pinned: bool,
        allow_ungated: bool,
    ) -> None:
        if not spec.gated or not rounds:
            return
        contents = self._fingerprints(spec, snapshot, rounds)
        verdicts = self._verdicts(spec, rounds)
        for key in rounds:
            problem = objection([v for v in verdicts if v.round == key], contents[key])
            if problem and pinned and self._passed_before(spec, key, contents[key]):
                continue
            if problem and allow_ungated:
                logger.warning("%s[%s]: read ungated, with %s", spec.name, key, problem)
            elif problem:
                raise UngatedRoundError(
                    f"{spec.name}[{key}]: expected every gate passed on the rows as they are, got {problem}; "
                    "run the round's checks, or pass allow_ungated to look at it all the same"
                )

    def _verdicts(self, checked: TableSpec, rounds: Sequence[str], version: int | None = None) -> list[Verdict]:
        spec = TABLES["gate_results"]
        if (snapshot := self._snapshot(spec, version)) is None:
            return []
        where = f"{one_of(ROUND, rounds)} AND {equal('table', checked.name)}"
        return [Verdict(**row) for row in snapshot.rows(VERDICT_COLUMNS, where).to_pylist()]

    def _passed_before(self, spec: TableSpec, round: str, content: str) -> bool:
        """Whether a replaced round's content was let through in its day: the newest verdicts on it decide."""
        for version in range(self.version("gate_results"), 0, -1):
            verdicts = self._verdicts(spec, [round], version)
            if any(verdict.checked_fingerprint == content for verdict in verdicts):
                return objection(verdicts, content) is None
        return False

    def _exclusive(self, table: str, name: str) -> AbstractContextManager[None]:
        return exclusive(Path(self.root, ".locks"), f"{table}.{name}") if self._local else nullcontext()


def _checked_round(key: str) -> str:
    if key != BOOTSTRAP:
        round_number(key)
    return key


def _rounds(snapshot: Snapshot | None) -> list[str]:
    return snapshot.rounds() if snapshot else []

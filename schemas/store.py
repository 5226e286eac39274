"""The one door to disk: rounds of declared tables, gates' verdicts, read-only SQL.

A reader sees the old round or the new one, never half of one; a killed writer leaves the old one (and orphaned files
that no manifest names). Of two writers of one round the slower gets a typed error, on whatever hosts they run. Rows
keep the order in which they were given. What it doesn't do: judge rows (`quality` does, the verdict is only kept and
enforced here), or keep secrets: an object store's keys are read from the environment by Lance itself.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import chain
from pathlib import Path

import lance
import polars as pl
import pyarrow as pa

from schemas.codec import from_arrow, sealed, to_arrow
from schemas.columns import ROUND, TABLES, TableSpec, table_spec
from schemas.errors import ConfigError, CorruptTableError, UnknownRoundError, WarehouseError
from schemas.folders import checkpoint_folder
from schemas.guard import Guard, fingerprints_of
from schemas.ids import content_id, round_number
from schemas.lance_table import LanceTable, claim_of
from schemas.records import BOOTSTRAP, Record
from schemas.results import GateResult, GateWaiver
from schemas.rewriting import outdated, rewrite
from schemas.snapshot import Snapshot, equal
from schemas.sql import answer
from schemas.tags import is_round, put_tag, tagged

__all__ = ["Warehouse"]

logger = logging.getLogger(__name__)

MAX_GATE_FRAGMENTS = 64
"""Every verdict is a fragment of its own; beyond this the table of verdicts is compacted, or scans slow down."""


class Warehouse:
    """Tables under one root: a local folder, or a URI that Lance addresses (`s3://...`)."""

    def __init__(self, root: str) -> None:
        """Hold a root that `open` has checked."""
        self.root = root

    @classmethod
    def open(cls, root: str | Path) -> "Warehouse":
        """Open a warehouse, creating the folder when there is none.

        A folder that can't be written is good for reading, and a URI is not asked before its first use.

        Raises:
            WarehouseError: When the root is a file, can't be made, or can't be read.
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
        if not os.access(folder, os.R_OK | os.X_OK):
            raise WarehouseError(
                f"warehouse[{folder}]: expected a readable folder, got one that is not; change its permissions"
            )
        return cls(str(folder))

    # Writing

    def replace_round(self, table: str, round: str, rows: Sequence[Record] | pa.Table) -> int:
        """Make these rows the whole content of one round, atomically; returns the table's new version.

        Rows by the hundred thousand may come as columns, without the round and what the store fills; these are checked
        for type and null only, not as records are.

        Raises:
            ConcurrentWriteError: When another writer replaced the same round since we began.
            WarehouseError: When a row isn't the table's record, or the disk or object store refuses.
        """
        spec = table_spec(table)
        if table in ("gate_results", "gate_waivers"):
            raise ConfigError(f"{table}[{round}]: expected verdicts one by one, got a round; use record_gate or waive")
        build = sealed if isinstance(rows, pa.Table) else to_arrow
        data = build(spec, rows, _checked_round(round))
        written = self._table(spec).replace(round, equal(ROUND, round), data, claim=claim_of(round))
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
        key = {"round": result.round, "table": result.table, "gate": result.gate}
        written = self._record_about("gate_results", result, key, self._content(result.table, result.round, version))
        self._table(TABLES["gate_results"]).compact(MAX_GATE_FRAGMENTS)
        return written

    def waive(self, waiver: GateWaiver) -> int:
        """Let a round be read although its gates object, as long as its rows stay as they are; stored and logged.

        Raises:
            UnknownRoundError: When the table has no such round.
        """
        content = self._content(waiver.table, waiver.round)
        key = {"round": waiver.round, "table": waiver.table, "checked_fingerprint": str(content["checked_fingerprint"])}
        version = self._record_about("gate_waivers", waiver, key, content)
        logger.warning("%s[%s]: %s lets it be read: %s", waiver.table, waiver.round, waiver.by, waiver.reason)
        return version

    def migrate(self, table: str) -> tuple[int, int] | None:
        """Rewrite a table of an older schema version in today's columns, in one commit.

        The verdicts on its rounds go on holding, and `version=` goes on reading what was there before.

        Returns:
            Schema versions before and after, None when there is nothing to do.

        Raises:
            ConcurrentWriteError: When another process migrates the table, or writes to it.
            WarehouseError: When the migrations don't lead to today's columns, or the disk refuses.
        """
        return rewrite(self._table(table_spec(table)))

    def outdated(self, table: str) -> tuple[int, int] | None:
        """Schema version of a table's newest rows and of today's columns, None when they are the same."""
        return outdated(self._table(table_spec(table)))

    def waiver(self, table: str, round: str) -> GateWaiver | None:
        """The decision of a person that stands on the round's rows as they are, None when there is none."""
        waivers = Guard(self.root).waivers(table_spec(table), [round])
        return waivers.get((round, str(self._content(table, round)["checked_fingerprint"]))) if waivers else None

    # Reading

    def read(
        self,
        table: str,
        round: str | None = None,
        *,
        rounds: Sequence[str] | None = None,
        version: int | str | None = None,
        allow_ungated: bool = False,
    ) -> list[Record]:
        """Records of one round, of several in the order given, or of all in order.

        Args:
            table: Table name.
            round: One round.
            rounds: Several rounds, read from one snapshot.
            version: Table version or tag to read as of, None for the newest.
            allow_ungated: Read although a gate failed or none ran; logged.

        Raises:
            UnknownTableError: When the table isn't declared.
            UnknownRoundError: When a round was never written.
            UngatedRoundError: When a round has not passed its gates and nobody has waived them.
            CorruptTableError: When a file is damaged, or holds other values than were written.
        """
        data = self.read_arrow(table, round, rounds=rounds, version=version, allow_ungated=allow_ungated)
        return from_arrow(table_spec(table), data)

    def read_arrow(
        self,
        table: str,
        round: str | None = None,
        *,
        rounds: Sequence[str] | None = None,
        version: int | str | None = None,
        allow_ungated: bool = False,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """As `read`, without building records; `columns` reads only those, and can't notice changed values."""
        if round is not None and rounds is not None:
            raise ConfigError(f"{table}[{round}]: expected round or rounds, got both; give one")
        spec = table_spec(table)
        wanted = [round] if round is not None else rounds
        snapshot, wanted = self._readable(spec, wanted, version=version, allow_ungated=allow_ungated)
        schema = spec.schema if columns is None else pa.schema([spec.schema.field(name) for name in columns])
        if snapshot is None or not wanted:
            return schema.empty_table()
        if columns is None:
            return pa.concat_tables([snapshot.whole(key) for key in wanted])
        return pa.concat_tables([snapshot.rows(schema.names, {ROUND: [key]}) for key in wanted])

    def batches(
        self,
        table: str,
        rounds: Sequence[str] | None = None,
        *,
        version: int | str | None = None,
        allow_ungated: bool = False,
        columns: Sequence[str] | None = None,
        n_rows: int = 128,
    ) -> Iterator[pa.RecordBatch]:
        """As `read_arrow`, a few rows at a time: memory stays the same however large the table is; not hashed."""
        spec = table_spec(table)
        snapshot, wanted = self._readable(spec, rounds, version=version, allow_ungated=allow_ungated)
        if snapshot is None:
            return iter(())
        names = columns or spec.schema.names
        return chain.from_iterable(snapshot.batches(names, {ROUND: [key]}, n_rows) for key in wanted)

    def find(self, table: str, where: Mapping[str, Sequence[str]], columns: Sequence[str]) -> pa.Table:
        """Some columns of the rows in which each column of `where` holds one of its texts; gates are not asked.

        Raises:
            UnknownTableError, CorruptTableError: As `read` does.
        """
        spec = table_spec(table)
        if (snapshot := self._table(spec).snapshot(cached=True)) is None:
            return pa.schema([spec.schema.field(name) for name in columns]).empty_table()
        return snapshot.rows(columns, where)

    def scan(self, table: str, *, version: int | str | None = None) -> pl.LazyFrame:
        """All rounds of a table for Polars, filters and projections pushed down; gates are not asked."""
        spec = table_spec(table)
        snapshot = self._snapshot(spec, version)
        if snapshot is None:
            return pl.LazyFrame(pl.from_arrow(spec.schema.empty_table()))
        rows = snapshot.source
        return pl.LazyFrame(pl.from_arrow(rows)) if isinstance(rows, pa.Table) else pl.scan_pyarrow_dataset(rows)

    def rounds(self, table: str, *, version: int | str | None = None) -> list[str]:
        """Rounds that were written, in order, also those written without rows."""
        spec = table_spec(table)
        return _rounds(self._snapshot(spec, version))

    def version(self, table: str) -> int:
        """Newest version of a table, 0 before its first write."""
        snapshot = self._snapshot(table_spec(table))
        return snapshot.version if snapshot else 0

    def versions(self) -> dict[str, int]:
        """Newest version of every table that was written."""
        return {table: version for table in TABLES if (version := self.version(table))}

    def sql(self, query: str, *, as_of: str | Mapping[str, int] | None = None) -> pa.Table:
        """Answer one SELECT over all tables and ready views; it can't write, read files or reach the network.

        Gates are not asked. The views are declared in `schemas.views`.

        Args:
            query: The SELECT.
            as_of: A round key: only rows of the bootstrap and of the rounds up to it. A tag: every table as it was
                then, and without rows when it didn't exist. Or versions by table: those tables as they were, the
                others as they are.

        Raises:
            WarehouseError: When the query isn't one SELECT, DuckDB refuses it, or a table has no such version.
            UnknownTableError: When `as_of` names a table that isn't declared.
            UnknownRoundError: When `as_of` is neither a round that a table holds nor a tag.
        """
        named = as_of if isinstance(as_of, str) else None
        tag = named if named is not None and not is_round(named) and self._require_tag(named) else None
        versions = {} if as_of is None or isinstance(as_of, str) else as_of
        for table, version in versions.items():
            self._snapshot(table_spec(table), version)
        up_to = None if named is None or tag else self._require_written(named)

        def source(spec: TableSpec) -> lance.LanceDataset | pa.Table:
            snapshot = self._snapshot(spec, tag or versions.get(spec.name))
            return snapshot.source if snapshot else spec.schema.empty_table()

        return answer(query, source, up_to)

    # Keeping

    def tag(self, name: str, versions: Mapping[str, int] | None = None) -> str:
        """Name a version of every table, so that it can be read by this name and `tidy` keeps it; returns the tag.

        A tag never moves: when the name stands for other versions already, the tag is the first of `name.2`, `name.3`
        and so on that is free or stands for just these. Tagging again after a kill completes what is missing.

        Args:
            name: Letters, digits, dots, hyphens and underscores; no round's key.
            versions: Versions by table, where not the newest.

        Raises:
            ConfigError: When the name can't be a tag.
        """
        wanted = {**self.versions(), **(versions or {})}
        return put_tag({table: self._table(table_spec(table)) for table in wanted}, name, wanted)

    def tags(self) -> dict[str, dict[str, int]]:
        """Versions by table of every tag, in the order of their names."""
        return tagged(self._table(spec) for spec in TABLES.values())

    def damage_of(self, table: str, round: str, version: int | str | None = None) -> CorruptTableError | None:
        """What is wrong with the rows of a round, None when they are as they were written; gates are not asked."""
        spec = table_spec(table)
        try:
            if snapshot := self._snapshot(spec, version):
                snapshot.whole(round)
        except CorruptTableError as error:
            return error
        return None

    def tidy(self, older_than: timedelta | None) -> dict[str, int]:
        """Merge small files of all tables, and remove untagged versions older than this; returns bytes freed by table.

        Readers and writers may go on meanwhile, those excepted that began longer ago than `older_than`. The newest
        version and the tagged ones stay, with all that they need; None removes nothing.
        """
        freed: dict[str, int] = {}
        for spec in TABLES.values():
            table = self._table(spec)
            table.compact()
            freed[spec.name] = 0 if older_than is None else table.forget(older_than)
        return freed

    def checkpoint_dir(self, checkpoint_id: str) -> Path:
        """Folder of a checkpoint's files; made by whoever writes them.

        Raises:
            ConfigError: When the id could leave the folder, or there is none (see `schemas.folders`).
        """
        return checkpoint_folder(self.root, checkpoint_id)

    # Inside

    def _table(self, spec: TableSpec) -> LanceTable:
        return LanceTable(self.root, spec)

    def _snapshot(self, spec: TableSpec, version: int | str | None = None) -> Snapshot | None:
        return self._table(spec).snapshot(version)

    def _readable(
        self, spec: TableSpec, rounds: Sequence[str] | None, *, version: int | str | None, allow_ungated: bool
    ) -> tuple[Snapshot | None, list[str]]:
        """A snapshot and its rounds, all of them when none are named, after every refusal."""
        snapshot = self._snapshot(spec, version)
        wanted = _rounds(snapshot) if rounds is None else list(rounds)
        self._require_rounds(spec, snapshot, wanted)
        Guard(self.root).require(spec, snapshot, wanted, pinned=version is not None, allow_ungated=allow_ungated)
        return snapshot, wanted

    def _require_rounds(self, spec: TableSpec, snapshot: Snapshot | None, wanted: Sequence[str]) -> None:
        known = _rounds(snapshot)
        for key in wanted:
            if key not in known:
                raise UnknownRoundError(
                    f"{spec.name}[{key}]: expected a round that was written ({', '.join(known) or 'there is none'}), "
                    "got another; materialize it first"
                )

    def _require_written(self, key: str) -> str:
        known: set[str] = set()
        for spec in TABLES.values():
            with suppress(CorruptTableError):
                known.update(_rounds(self._snapshot(spec)))
            if key in known:
                return key
        raise UnknownRoundError(
            f"sql[as of {key!r}]: expected a round that was written ({', '.join(sorted(known)) or 'there is none'}), "
            "got another; give one of these, a tag, or TABLE=VERSION"
        )

    def _require_tag(self, name: str) -> bool:
        if name not in (known := self.tags()):
            raise UnknownRoundError(
                f"sql[as of {name!r}]: expected a round such as round-001 or a tag "
                f"({', '.join(known) or 'there is none'}), got another; give one of these, or TABLE=VERSION"
            )
        return True

    def _content(self, table: str, round: str, version: int | None = None) -> dict[str, object]:
        """What a verdict on a round refers to: version and fingerprint."""
        spec = table_spec(table)
        snapshot = self._snapshot(spec, version)
        self._require_rounds(spec, snapshot, [round])
        mark = fingerprints_of(spec, snapshot, [round])[round]
        return {"checked_version": snapshot.version if snapshot else 0, "checked_fingerprint": mark}

    def _record_about(
        self, table: str, row: GateResult | GateWaiver, key: Mapping[str, str], content: Mapping[str, object]
    ) -> int:
        """Keep one row about a round of another table, instead of the one with the same key."""
        spec = TABLES[table]
        data = to_arrow(spec, [row], row.round, extra=content)
        where = " AND ".join(equal(*item) for item in key.items())
        return self._table(spec).replace(row.round, where, data, claim=claim_of(content_id("gate", list(key.values()))))


def _checked_round(key: str) -> str:
    if key != BOOTSTRAP:
        round_number(key)
    return key


def _rounds(snapshot: Snapshot | None) -> list[str]:
    return snapshot.rounds() if snapshot else []

"""One Lance dataset as rounds of one declared table: open, snapshot, replace, name the damaged file.

Used by `store` alone. A replacement is one Lance commit that drops the old rows' fragments and adds the new ones;
`merge_insert` would do it too but needs unique keys and loses the order of the rows. Rows of an older schema version
are read through their migrations, and written over only by `upgrade`. Knows no gates and no locks.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lance
import pyarrow as pa
import pyarrow.compute as pc
from lance.commit import CommitConflictError
from lance.fragment import write_fragments

from schemas.columns import ROUND, TableSpec
from schemas.errors import ConcurrentWriteError, CorruptTableError, FaultlineError, WarehouseError
from schemas.migrations import Upgrade

__all__ = ["LanceTable", "Snapshot", "equal"]

logger = logging.getLogger(__name__)

COMMIT_ATTEMPTS = 20
"""Other rounds' writers may commit in between; each attempt rebases on the newest version, about 10 ms."""

_MARK = "faultline.written."
"""Prefix of the dataset config keys that tell a round written empty from one never written."""

_LANCE_ERRORS = (OSError, ValueError, RuntimeError)
"""What pylance raises for damaged files: it has no error class of its own."""


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

    def _stored(self, columns: Sequence[str], where: Mapping[str, Sequence[str]]) -> pa.Table:
        with self.table.damage():
            return self.dataset.to_table(columns=list(columns), filter=_predicate(where))

    def rounds(self) -> list[str]:
        """Rounds that were written, in order, also those written without rows."""
        with self.table.damage():
            filled = self.dataset.to_table(columns=[ROUND]).column(ROUND).unique().to_pylist()
            marked = [key.removeprefix(_MARK) for key in self.dataset.config() if key.startswith(_MARK)]
        return sorted({*filled, *marked})


class LanceTable:
    """A declared table under a warehouse root."""

    def __init__(self, root: str, spec: TableSpec) -> None:
        """Name the dataset; nothing is opened yet."""
        self.spec = spec
        self.uri = f"{root}/{spec.name}.lance"
        self._local = "://" not in root

    def snapshot(self, version: int | None = None) -> Snapshot | None:
        """The table at a version, None before its first write.

        Raises:
            CorruptTableError: When its manifest is damaged.
            WarehouseError: When there is no such version, or the stored columns are not the declared ones.
        """
        dataset = self._newest()
        newest = dataset.version if dataset else 0
        if version is not None and not 1 <= version <= newest:
            raise WarehouseError(
                f"{self.spec.name}: expected a version in 1..{newest}, got {version}; give one that exists"
            )
        if dataset is None:
            return None
        if version is not None and version != newest:
            with self.damage():
                dataset = dataset.checkout_version(version)
        return Snapshot(self, dataset, self._upgrade(dataset))

    def _upgrade(self, dataset: lance.LanceDataset) -> Upgrade | None:
        written = (dataset.schema.metadata or {}).get(b"faultline.schema_version", b"none").decode()
        known = self.spec.version
        if written.isdecimal() and int(written) > known:
            raise WarehouseError(
                f"{self.spec.name}: expected schema version {known} or older, got version {written}, which newer code "
                "wrote; use the code that wrote it"
            )
        if written.isdecimal() and 1 <= int(written) < known:
            return self.spec.upgrade_from(int(written))
        if written != str(known) or not dataset.schema.equals(self.spec.schema):
            raise WarehouseError(
                f"{self.spec.name}: expected the columns of schema version {known}, got others under version "
                f"{written}; add a migration to schemas/migrations.py, or use the code that wrote it"
            )
        return None

    def outdated(self) -> tuple[int, int] | None:
        """Schema version of the newest rows and of today's columns, None when they are the same."""
        found = self.snapshot()
        if found is None or found.upgrade is None:
            return None
        return int(found.dataset.schema.metadata[b"faultline.schema_version"]), self.spec.version

    def upgrade(self) -> tuple[int, int] | None:
        """Rewrite the newest rows in today's columns, in one commit; earlier versions stay as they are.

        Returns:
            Schema versions before and after, None when there is nothing to do.

        Raises:
            ConcurrentWriteError: When rows were written meanwhile.
            WarehouseError: When the migrations don't lead to today's columns, or the disk refuses.
        """
        found, versions = self.snapshot(), self.outdated()
        if found is None or found.upgrade is None:
            return None
        names, fragments = self.spec.schema.names, []
        for fragment in found.dataset.get_fragments():
            with self.damage():
                old = fragment.to_table()
            fragments += self._write(self.uri, found.upgrade.rows(old, names), mode="overwrite")
        newest = self._newest()
        if newest is None or newest.version != found.version:
            raise ConcurrentWriteError(
                f"{self.spec.name}: expected version {found.version} while it was migrated, got another's commit; "
                "stop the writers, then migrate again"
            )
        operation = lance.LanceOperation.Overwrite(self.spec.schema, fragments)
        try:
            lance.LanceDataset.commit(self.uri, operation, read_version=found.version)
        except OSError as error:
            raise self._refused("commit", error) from error
        return versions

    def replace(self, round: str, where: str, data: pa.Table) -> int:
        """Put these rows of a round in the place of those that fulfil the predicate; returns the new version.

        Raises:
            ConcurrentWriteError: When a writer on another host replaced the same rows first.
            WarehouseError: When the disk refuses.
        """
        dataset = self._writable()
        old = self._fragments(dataset, where)
        if not data.num_rows:
            # Marked before the rows go, so that no reader finds the round unknown in between.
            dataset.update_config({_MARK + round: "1"})
            if not old:
                return dataset.version
        fragments = self._write(dataset, data) if data.num_rows else []
        for _ in range(COMMIT_ATTEMPTS):
            try:
                return self._commit(dataset, where, old, fragments)
            except CommitConflictError:
                dataset = self._writable()
                now = self._fragments(dataset, where)
                # On one host the round's lock is held, and only a neighbour in the fragment can have moved them.
                if now != old and not self._local:
                    break
                old = now
        raise ConcurrentWriteError(
            f"{self.spec.name}[{round}]: expected no other writer, got another's commit first; "
            "read the round, then write again"
        )

    def compact(self, max_fragments: int) -> None:
        """Merge small fragments when there are more than this many; left to the next writer on a conflict."""
        dataset = self._newest()
        if dataset and len(dataset.get_fragments()) > max_fragments:
            try:
                dataset.optimize.compact_files(num_threads=1)
            except CommitConflictError:
                logger.debug("%s: compaction left to the next writer", self.spec.name)

    def _newest(self) -> lance.LanceDataset | None:
        with self.damage():
            try:
                return lance.dataset(self.uri)
            except ValueError as error:
                if "was not found" not in str(error) or self._has_data():
                    raise
                return None

    def _has_data(self) -> bool:
        data = Path(self.uri, "data")
        return self._local and data.is_dir() and any(data.iterdir())

    def _writable(self) -> lance.LanceDataset:
        if found := self.snapshot():
            return self._current(found)
        try:
            return lance.write_dataset(self.spec.schema.empty_table(), self.uri, mode="create")
        except OSError as error:
            # Another writer may have created it since we looked; anything else is the disk's refusal.
            if found := self.snapshot():
                return self._current(found)
            raise self._refused("create the table", error) from error

    def _current(self, found: Snapshot) -> lance.LanceDataset:
        if found.upgrade is not None:
            raise WarehouseError(
                f"{self.spec.name}: expected a table of schema version {self.spec.version} to write to, got an older "
                "one; run `python -m schemas.migrate` on this warehouse first"
            )
        return found.dataset

    def _write(
        self, place: lance.LanceDataset | str, data: pa.Table, mode: Literal["append", "overwrite"] = "append"
    ) -> list[lance.FragmentMetadata]:
        try:
            return list(write_fragments(data, place, schema=self.spec.schema, mode=mode))
        except OSError as error:
            raise self._refused(f"write {data.num_rows} rows", error) from error

    def _commit(
        self, dataset: lance.LanceDataset, where: str, old: list[int], new: list[lance.FragmentMetadata]
    ) -> int:
        with self.damage():
            left = {key: fragment.delete(where) for key in old if (fragment := dataset.get_fragment(key))}
        operation = lance.LanceOperation.Update(
            removed_fragment_ids=[key for key, rest in left.items() if rest is None],
            updated_fragments=[rest for rest in left.values() if rest is not None],
            new_fragments=new,
        )
        try:
            return lance.LanceDataset.commit(dataset, operation, read_version=dataset.version).version
        except CommitConflictError:
            raise
        except OSError as error:
            raise self._refused("commit", error) from error

    def _fragments(self, dataset: lance.LanceDataset, where: str) -> list[int]:
        with self.damage():
            rows = dataset.to_table(columns=[], filter=where, with_row_address=True)
        # The upper half of a row address is its fragment.
        return sorted({address >> 32 for address in rows.column("_rowaddr").to_pylist()})

    def _refused(self, attempt: str, error: OSError) -> WarehouseError:
        return WarehouseError(f"{self.spec.name}: expected to {attempt} at {self.uri}, got {error}; check the disk")

    @contextmanager
    def damage(self) -> Iterator[None]:
        """The boundary where Lance's untyped errors on reading become ours."""
        try:
            yield
        except (CommitConflictError, FaultlineError):
            raise
        except _LANCE_ERRORS as error:
            raise CorruptTableError(
                f"{self.spec.name}: expected readable files, got a damaged or missing {self._damaged()}: "
                f"{error}; restore it, or remove the table's folder and materialize its rounds again"
            ) from error

    def _damaged(self) -> str:
        """Path of the damaged file, looked for only after something failed."""
        manifests = sorted(Path(self.uri, "_versions").glob("*.manifest"))
        try:
            dataset = lance.dataset(self.uri)
        except _LANCE_ERRORS:
            # Manifests are named so that the newest comes first.
            return str(manifests[0] if manifests else Path(self.uri, "_versions"))
        for fragment in dataset.get_fragments():
            try:
                fragment.to_table()
            except _LANCE_ERRORS:
                return ", ".join(f"{self.uri}/data/{file.path}" for file in fragment.data_files())
        return f"file of {self.uri}"


def equal(column: str, value: str) -> str:
    """Predicate: the column holds just this text."""
    quoted = value.replace("'", "''")
    return f"`{column}` = '{quoted}'"


def _predicate(where: Mapping[str, Sequence[str]]) -> str | None:
    return " AND ".join(_one_of(column, values) for column, values in where.items()) or None


def _one_of(column: str, values: Sequence[str]) -> str:
    return "(" + " OR ".join(equal(column, value) for value in values) + ")" if values else "false"

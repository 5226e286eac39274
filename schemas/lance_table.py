"""One Lance dataset as rounds of one declared table: open, snapshot, replace, name the damaged file.

Used by `store` alone. A replacement is one Lance commit that drops the old rows' fragments and adds the new ones;
`merge_insert` would do it too but needs unique keys and loses the order of the rows. Knows no gates and no locks.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.fragment import write_fragments

from schemas.columns import ROUND, TableSpec
from schemas.errors import ConcurrentWriteError, CorruptTableError, FaultlineError, WarehouseError
from schemas.indices import refresh

__all__ = ["LanceTable", "Snapshot", "equal", "one_of"]

logger = logging.getLogger(__name__)

COMMIT_ATTEMPTS = 20
"""Other rounds' writers may commit in between; each attempt rebases on the newest version, about 10 ms."""

_MARK = "faultline.written."
"""Prefix of the dataset config keys that tell a round written empty from one never written."""

CACHE_BYTES = 64 << 20
"""Of file metadata, and again of index pages, kept in memory over all tables: a table that is opened again costs a
third (a trace of twelve look-ups 70 ms without, 30 ms with)."""

_LANCE_ERRORS = (OSError, ValueError, RuntimeError)
"""What pylance raises for damaged files: it has no error class of its own."""


@dataclass(frozen=True)
class Snapshot:
    """A table at one version."""

    table: "LanceTable"
    dataset: lance.LanceDataset

    @property
    def version(self) -> int:
        """The version that is read."""
        return self.dataset.version

    def rows(self, columns: Sequence[str], where: str) -> pa.Table:
        """Rows that fulfil a predicate, in stored order."""
        with self.table.damage():
            return self.dataset.to_table(columns=list(columns), filter=where)

    def batches(self, columns: Sequence[str], where: str, n_rows: int) -> Iterator[pa.RecordBatch]:
        """As `rows`, at most so many at a time; in memory are only the batches under way."""
        with self.table.damage():
            yield from self.dataset.to_batches(
                columns=list(columns), filter=where, batch_size=n_rows, batch_readahead=2, fragment_readahead=1
            )

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
        stored = (dataset.schema.metadata or {}).get(b"faultline.schema_version", b"none").decode()
        if stored != str(self.spec.version) or not dataset.schema.equals(self.spec.schema):
            raise WarehouseError(
                f"{self.spec.name}: expected schema version {self.spec.version} with the declared columns, "
                f"got version {stored}; migrate the table, or use the code that wrote it"
            )
        return Snapshot(self, dataset)

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

    def index(self) -> None:
        """Bring the indices of a large table up to its newest rows."""
        if dataset := self._newest():
            refresh(dataset, self.spec)

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
                return lance.dataset(self.uri, session=_session())
            except ValueError as error:
                if "was not found" not in str(error) or self._has_data():
                    raise
                return None

    def _has_data(self) -> bool:
        data = Path(self.uri, "data")
        return self._local and data.is_dir() and any(data.iterdir())

    def _writable(self) -> lance.LanceDataset:
        if found := self.snapshot():
            return found.dataset
        try:
            return lance.write_dataset(self.spec.schema.empty_table(), self.uri, mode="create")
        except OSError as error:
            # Another writer may have created it since we looked; anything else is the disk's refusal.
            if found := self.snapshot():
                return found.dataset
            raise self._refused("create the table", error) from error

    def _write(self, dataset: lance.LanceDataset, data: pa.Table) -> list[lance.FragmentMetadata]:
        try:
            return list(write_fragments(data, dataset, schema=self.spec.schema))
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
        return np.unique(rows.column("_rowaddr").to_numpy() >> 32).tolist()

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


@cache
def _session() -> lance.Session:  # pyright: ignore[reportPrivateImportUsage]  it is documented, but not listed
    """The caches of this process."""
    return lance.Session(  # pyright: ignore[reportPrivateImportUsage]
        index_cache_size_bytes=CACHE_BYTES, metadata_cache_size_bytes=CACHE_BYTES
    )


def equal(column: str, value: str) -> str:
    """Predicate: the column holds just this text."""
    quoted = value.replace("'", "''")
    return f"`{column}` = '{quoted}'"


def one_of(column: str, values: Sequence[str]) -> str:
    """Predicate: the column holds one of these texts; none when there are none."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"`{column}` IN ({quoted})" if values else "false"

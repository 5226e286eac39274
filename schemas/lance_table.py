"""One Lance dataset as rounds of one declared table: open, snapshot, replace, tag, tidy, name the damaged file.

Used by `store` alone. A replacement is one Lance commit that drops the old rows' fragments and adds the new ones;
`merge_insert` would do it too but needs unique keys and loses the order of the rows. Rows of an older schema version
are written over only by `rewriting`. Knows no gates.

Writers of one round exclude each other by the commit itself, on a disk as on an object store: every replacement
claims to remove a fragment that doesn't exist, whose id stands for the round. Lance refuses the later of two
concurrent commits that name one fragment; a lock file would hold on one host only, a lease would need clocks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from hashlib import blake2b
from typing import Literal

import lance
import numpy as np
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.file import LanceFileSession
from lance.fragment import write_fragments

from schemas.columns import TableSpec
from schemas.creation import created
from schemas.errors import ConcurrentWriteError, CorruptTableError, FaultlineError, WarehouseError
from schemas.faults import LANCE_ERRORS, cause, is_conflict, no_panic, refusal
from schemas.indices import refresh
from schemas.migrations import Upgrade
from schemas.snapshot import WRITTEN, Snapshot

__all__ = ["LanceTable", "claim_of"]

COMMIT_ATTEMPTS = 40
"""Other rounds' writers and the compaction may commit in between; each attempt rebases on the newest version, about
10 ms on a disk, 50 ms on an object store."""

CACHE_BYTES = 64 << 20
"""Of file metadata, and again of index pages, kept in memory over all tables: a table that is opened again costs a
third (a trace of twelve look-ups 70 ms without, 30 ms with)."""

_FIRST_CLAIM = 2**56
"""Fragments are numbered from 0 and a row address has 32 bits for the number: no real fragment is ever this far."""


def claim_of(name: str) -> int:
    """Id of the fragment that never exists and stands for a name, such as a round's key."""
    return _FIRST_CLAIM + int.from_bytes(blake2b(name.encode(), digest_size=6).digest(), "big")


class LanceTable:
    """A declared table under a warehouse root."""

    def __init__(self, root: str, spec: TableSpec) -> None:
        """Name the dataset; nothing is opened yet."""
        self.spec = spec
        self.uri = f"{root}/{spec.name}.lance"

    def snapshot(self, version: int | str | None = None, *, cached: bool = False) -> Snapshot | None:
        """The table at a version or tag, None before its first write, or when it lacks the tag.

        Args:
            version: Version or tag, None for the newest.
            cached: Keep what the process has read of its files' structure: look-ups are quicker, and damage to that
                part of a file is not noticed.

        Raises:
            CorruptTableError: When its manifest is damaged.
            WarehouseError: When there is no such version, the stored columns are not the declared ones, or the store
                is out of reach.
        """
        dataset = self.newest(cached=cached)
        if isinstance(version, str):
            version = self.tags().get(version)
            if version is None:
                return None
        newest = 0 if dataset is None else dataset.version
        if version is not None and not 1 <= version <= newest:
            raise WarehouseError(
                f"{self.spec.name}: expected a version in 1..{newest}, got {version}; give one that exists"
            )
        if dataset is None:
            return None
        if version is not None and version != newest:
            dataset = self._at(dataset, version)
        with self.damage(version):
            schema = dataset.schema
        return Snapshot(self, dataset, self._upgrade(schema))

    def newest(self, *, cached: bool = False) -> lance.LanceDataset | None:
        """The newest version whatever its columns, None before the first write."""
        with self.damage():
            try:
                return lance.dataset(self.uri, session=_session() if cached else None)
            except ValueError as error:
                if "was not found" not in str(error):
                    raise
            # A new table has its manifest before its data: data without one is damage, or appeared since we looked.
            return lance.dataset(self.uri) if self._listed("data") else None

    def versions(self) -> list[int]:
        """Versions that are kept, in order; none before the first write."""
        if (dataset := self.newest()) is None:
            return []
        with self.damage():
            return sorted(entry["version"] for entry in dataset.versions())

    # Writing

    def replace(self, round: str, where: str, data: pa.Table, *, claim: int) -> int:
        """Put these rows of a round in the place of those that fulfil the predicate; returns the new version.

        Raises:
            ConcurrentWriteError: When another writer with this claim committed since we began.
            WarehouseError: When the disk or the object store refuses.
        """
        with self.writing(round, f"write {data.num_rows} rows"):
            dataset = self._writable()
            if not data.num_rows and WRITTEN + round not in dataset.config():
                # Marked before the rows go, so that no reader finds the round unknown in between.
                dataset.update_config({WRITTEN + round: "1"})
            new = self.write(dataset, data) if data.num_rows else []
            for _ in range(COMMIT_ATTEMPTS):
                try:
                    return self._commit(dataset, where, claim, new)
                except CommitConflictError:
                    since, dataset = dataset.version, self._writable()
                    self._require_unclaimed(dataset, claim, since, round)
        raise ConcurrentWriteError(
            f"{self.spec.name}[{round}]: expected a quiet moment to commit in, got {COMMIT_ATTEMPTS} commits of other "
            "writers first; write again when fewer write"
        )

    def write(
        self, place: lance.LanceDataset | str, data: pa.Table, mode: Literal["append", "overwrite"] = "append"
    ) -> list[lance.FragmentMetadata]:
        """Files with these rows, which nobody sees before a commit names them."""
        return list(write_fragments(data, place, schema=self.spec.schema, mode=mode))

    def fragments(self, dataset: lance.LanceDataset, where: str) -> list[int]:
        """Ids of the fragments with rows that fulfil a predicate."""
        with self.damage(dataset.version):
            rows = dataset.to_table(columns=[], filter=where, with_row_address=True)
        # The upper half of a row address is its fragment.
        return np.unique(rows.column("_rowaddr").to_numpy() >> 32).tolist()

    # Keeping

    def tag(self, name: str, version: int) -> None:
        """Name a version, so that it is kept; a tag never moves.

        Raises:
            ConcurrentWriteError: When the tag is at another version by now.
        """
        if (dataset := self.newest()) is None or self.tags().get(name) == version:
            return
        with self.writing(name, f"tag version {version}"):
            try:
                dataset.tags.create(name, version)
            except ValueError as error:
                if self.tags().get(name) != version:
                    raise ConcurrentWriteError(
                        f"{self.spec.name}[{name}]: expected to tag version {version}, got {cause(error)}; "
                        "give another name"
                    ) from error

    def tags(self) -> dict[str, int]:
        """Version of each tag."""
        if (dataset := self.newest()) is None:
            return {}
        with self.damage():
            return {name: entry["version"] for name, entry in dataset.tags.list().items()}

    def index(self) -> None:
        """Bring the indices up to the newest rows; left to the next writer when one came first."""
        if (dataset := self.newest()) is None:
            return
        try:
            with self.writing("all rounds", "index"):
                refresh(dataset, self.spec)
        except ConcurrentWriteError:
            return

    def compact(self, max_fragments: int = 1) -> bool:
        """Merge fragments when there are more than this many; False when a writer came first, or none is left to merge.

        Rows keep their order. What readers read stays until `forget`.
        """
        dataset = self.newest()
        if dataset is None or len(dataset.get_fragments()) <= max_fragments:
            return False
        try:
            with self.writing("all rounds", "compact"):
                return dataset.optimize.compact_files(num_threads=1).fragments_removed > 0
        except ConcurrentWriteError:
            return False

    def forget(self, older_than: timedelta) -> int:
        """Remove versions older than this that no tag names, and files that only they use; returns bytes freed.

        The newest version stays. A reader or writer that began longer ago than this loses its files. Files that no
        version names are a writer's at work, or a killed one's: they go after 7 days.
        """
        if (dataset := self.newest()) is None:
            return 0
        with self.writing("old versions", "remove files"):
            return dataset.cleanup_old_versions(older_than, error_if_tagged_old_versions=False).bytes_removed

    # Inside

    def _at(self, dataset: lance.LanceDataset, version: int) -> lance.LanceDataset:
        if version not in self.versions():
            raise WarehouseError(
                f"{self.spec.name}: expected a version that is kept, got {version}, which was removed for its age; "
                "give a tagged one, or one of " + ", ".join(map(str, self.versions()[-9:]))
            )
        with self.damage(version):
            return dataset.checkout_version(version)

    def _upgrade(self, stored: pa.Schema) -> Upgrade | None:
        written = (stored.metadata or {}).get(b"faultline.schema_version", b"none").decode(errors="replace")
        known = self.spec.version
        if written.isdecimal() and int(written) > known:
            raise WarehouseError(
                f"{self.spec.name}: expected schema version {known} or older, got version {written}, which newer code "
                "wrote; use the code that wrote it"
            )
        if written.isdecimal() and 1 <= int(written) < known:
            return self.spec.upgrade_from(int(written))
        if written != str(known) or not stored.equals(self.spec.schema):
            raise WarehouseError(
                f"{self.spec.name}: expected the columns of schema version {known}, got others under version "
                f"{written}; add a migration to schemas/migrations.py, or use the code that wrote it"
            )
        return None

    def _writable(self) -> lance.LanceDataset:
        if found := self.snapshot():
            return self._current(found)
        made = created(self.uri, self.spec.schema)
        return self._current(Snapshot(self, made, self._upgrade(made.schema)))

    def _current(self, found: Snapshot) -> lance.LanceDataset:
        if found.upgrade is not None:
            raise WarehouseError(
                f"{self.spec.name}: expected a table of schema version {self.spec.version} to write to, got an older "
                "one; run `python -m schemas.migrate` on this warehouse first"
            )
        return found.dataset

    def _commit(self, dataset: lance.LanceDataset, where: str, claim: int, new: list[lance.FragmentMetadata]) -> int:
        left = {
            key: fragment.delete(where)
            for key in self.fragments(dataset, where)
            if (fragment := dataset.get_fragment(key))
        }
        operation = lance.LanceOperation.Update(
            removed_fragment_ids=[*(key for key, rest in left.items() if rest is None), claim],
            updated_fragments=[rest for rest in left.values() if rest is not None],
            new_fragments=new,
        )
        return lance.LanceDataset.commit(dataset, operation, read_version=dataset.version).version

    def _require_unclaimed(self, dataset: lance.LanceDataset, claim: int, since: int, round: str) -> None:
        """Whether the conflict was another round's commit in the same fragment, or a compaction: then we may rebase."""
        for version in range(since + 1, dataset.version + 1):
            done = dataset.read_transaction(version)
            if done and claim in getattr(done.operation, "removed_fragment_ids", ()):
                raise self._overtaken(round)

    def _overtaken(self, round: str) -> ConcurrentWriteError:
        return ConcurrentWriteError(
            f"{self.spec.name}[{round}]: expected no other writer, got another's commit first; "
            "read the round, then write again"
        )

    def _listed(self, folder: str) -> list[str]:
        """Files in a folder of the dataset, in order; none when it can't be listed."""
        try:
            return sorted(LanceFileSession(self.uri).list(folder))
        except LANCE_ERRORS:
            return []

    @contextmanager
    def writing(self, round: str, attempt: str) -> Iterator[None]:
        """The boundary where Lance's untyped errors on writing become ours."""
        try:
            with no_panic():
                yield
        except FaultlineError:
            raise
        except LANCE_ERRORS as error:
            if is_conflict(error):
                raise self._overtaken(round) from error
            what = f"{self.spec.name}[{round}]: expected to {attempt} at {self.uri}"
            raise (
                refusal(what, error)
                or WarehouseError(f"{what}, got {cause(error)}; check the disk, then the table with schemas.verify")
            ) from error

    @contextmanager
    def damage(self, version: int | None = None) -> Iterator[None]:
        """The boundary where Lance's untyped errors on reading become ours."""
        try:
            with no_panic():
                yield
        except (CommitConflictError, FaultlineError):
            raise
        except LANCE_ERRORS as error:
            if refused := refusal(f"{self.spec.name}: expected to read {self.uri}", error):
                raise refused from error
            raise CorruptTableError(
                f"{self.spec.name}: expected readable files, got a damaged or missing {self._damaged(version)}: "
                f"{cause(error)}; restore it, or remove the table's folder and materialize its rounds again"
            ) from error

    def _damaged(self, version: int | None) -> str:
        """Path of the damaged file, looked for only after something failed."""
        try:
            with no_panic():
                fragments = lance.dataset(self.uri, version=version).get_fragments()
        except LANCE_ERRORS:
            # Manifests are named by 2^64 - 1 - version, so that the newest comes first.
            manifests = [name for name in self._listed("_versions") if name.endswith(".manifest")]
            wanted = f"_versions/{2**64 - 1 - version:020d}.manifest" if version else ""
            return f"{self.uri}/{wanted or next(iter(manifests), '_versions')}"
        for fragment in fragments:
            try:
                with no_panic():
                    fragment.to_table()
            except LANCE_ERRORS:
                return ", ".join(f"{self.uri}/data/{file.path}" for file in fragment.data_files())
        return f"file of {self.uri}"


@cache
def _session() -> lance.Session:  # pyright: ignore[reportPrivateImportUsage]  it is documented, but not listed
    """The caches of this process."""
    return lance.Session(  # pyright: ignore[reportPrivateImportUsage]
        index_cache_size_bytes=CACHE_BYTES, metadata_cache_size_bytes=CACHE_BYTES
    )

"""How rows that an older version wrote become rows of today: one list of explicit changes, oldest first.

A table's schema version is 1 plus the number of changes that reach it, so a change of a record raises the version of
every table that stores the record, however deep. To change a record: edit it, append a `Migration` here, run the
tests, which say what else to do. Old rounds are then read through their migrations without being rewritten;
`python -m schemas.migrate` rewrites them once. Works on Arrow values, row by row; opens nothing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import pyarrow as pa

from schemas.errors import ConfigError, WarehouseError
from schemas.fields import NUMBERS, nested_record
from schemas.records import Change, Criteria, DatabaseRow, Goal, Identity, Record, Scenario, Trajectory
from schemas.results import (
    Attempt,
    Checkpoint,
    Explanation,
    FailureCluster,
    GateResult,
    GateWaiver,
    PassHatK,
    TaskOutcome,
    TrainStep,
)

__all__ = ["MIGRATIONS", "Migration", "Upgrade", "reaching"]

Compute = Callable[[pa.StructArray], pa.Array]
"""From the rows of the version before to the values of one field, in the same order."""


@dataclass(frozen=True)
class Migration:
    """One change of a record's fields, and what it makes of rows that were written before."""

    record: type[Record]
    """Whose fields changed; every table that stores this record gets a new version."""
    why: str
    """For people, in one line."""
    adds: tuple[str, ...] = ()
    """New fields: old rows get the default that the record declares."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """Old name -> new name."""
    drops: tuple[str, ...] = ()
    """Fields that are gone."""
    computes: Mapping[str, Compute] = field(default_factory=dict)
    """Fields, new or changed, whose values follow from the rows of the version before."""


_KINDS = ("user_ids", "order_ids", "product_ids", "item_ids")


def _entities(rows: pa.StructArray) -> pa.Array:
    """The four columns of a retail database, kind by kind."""
    lists = [rows.field(kind).to_pylist() for kind in _KINDS]
    listed = [
        [{"kind": kind, "ids": ids} for kind, ids in zip(_KINDS, each, strict=True)]
        for each in zip(*lists, strict=True)
    ]
    kind = pa.struct(
        [
            pa.field("kind", pa.string(), nullable=False),
            pa.field("ids", pa.list_(pa.field("item", pa.string(), nullable=False)), nullable=False),
        ]
    )
    return pa.array(listed, pa.list_(pa.field("item", kind, nullable=False)))


def _unmarked(rows: pa.StructArray) -> pa.Array:
    """Rows that were written when no gate guarded their table: the mark of content that nobody hashed."""
    return pa.array([""] * len(rows), pa.string())


_GUARDED = "gates guard every table, so every row carries the mark of its round's content"

MIGRATIONS: tuple[Migration, ...] = (
    *(
        Migration(record, _GUARDED, computes={"round_fingerprint": _unmarked})
        for record in (Checkpoint, TrainStep, TaskOutcome, PassHatK)
    ),
    Migration(
        Explanation,
        "judges at endpoints vote, and their replies may be unreadable",
        adds=("prompt_version", "votes", "agreement", "parse_error"),
    ),
    Migration(Change, "a new mind may come at other moments than the first listing", adds=("when", "n")),
    Migration(Goal, "users hesitate, prefer, bring hints late", adds=("remarks", "hesitation", "preferences")),
    Migration(Scenario, "users confirm by detail, and know that they don't know", adds=("confirmation", "unknown")),
    Migration(Trajectory, "users make mistakes, which are not the agent's", adds=("user_fault",)),
    Migration(TaskOutcome, "episodes that the user spoilt are counted apart", adds=("n_user_faults",)),
    Migration(PassHatK, "episodes that the user spoilt are counted apart", adds=("n_user_faults",)),
    Migration(
        DatabaseRow,
        "Which kinds of entities there are is the domain's.",
        drops=("n_orders", "n_products", *_KINDS),
        computes={"entities": _entities},
    ),
    Migration(Identity, "Customers of an airline have no zip code to say: it may be missing."),
    *(
        Migration(record, "readers check every row against its hash", computes={"round_fingerprint": _unmarked})
        for record in (GateResult, GateWaiver)
    ),
    Migration(
        FailureCluster,
        "stability across embedder seeds is measured, and models may name clusters",
        adds=("seed_ari", "prompt_version", "parse_error"),
    ),
    Migration(Scenario, "writers at endpoints say what their wording must not give away", adds=("never_said",)),
    Migration(Criteria, "infeasible tasks say what may not be done", adds=("forbidden",)),
    Migration(FailureCluster, "a cluster asks for what its members are called", adds=("patterns",)),
    Migration(Attempt, "Programs explore without a prompt: its version may be empty."),
)
"""Every change since schema version 1. Append only: the place in the list is the order in which rows are changed."""


def reaching(records: Sequence[type[Record]], migrations: Sequence[Migration]) -> list[Migration]:
    """The migrations that change what a table of these records stores, oldest first."""
    stored = {inner for record in records for inner in _inside(record)}
    return [migration for migration in migrations if migration.record in stored]


def _inside(record: type[Record]) -> Iterator[type[Record]]:
    """The record, what it inherits from, and every record in its fields."""
    yield from (owner for owner in record.__mro__ if issubclass(owner, Record) and owner is not Record)
    for info in record.model_fields.values():
        if inner := nested_record(info.annotation):
            yield from _inside(inner)


class Upgrade:
    """The way from one stored version of a table to today's columns."""

    def __init__(
        self, table: str, target: pa.Schema, records: Sequence[type[Record]], pending: Sequence[Migration]
    ) -> None:
        """Hold what changes rows.

        Args:
            table: Name, for messages.
            target: Today's schema.
            records: Records whose fields are the table's columns: one, two where one is flattened into the other.
            pending: Migrations that the stored rows have not seen, oldest first.
        """
        self.table = table
        self.target = target
        self._records = records
        self._pending = list(pending)

    def needs(self, columns: Sequence[str], stored: pa.Schema) -> list[str]:
        """Stored columns behind these columns of today; all of them for a computed one, which may be made of any.

        Raises:
            WarehouseError: When one is not stored.
        """
        names = self._behind(columns)
        if names is None:
            return stored.names
        if missing := sorted(set(names) - set(stored.names)):
            raise self._astray(f"no stored columns {missing}")
        return names

    def _behind(self, columns: Sequence[str]) -> list[str] | None:
        names = dict.fromkeys(columns)
        for migration in reversed(self._pending):
            if not self._on_top(migration):
                continue
            if names.keys() & migration.computes.keys():
                return None
            before = {new: old for old, new in migration.renames.items()}
            names = dict.fromkeys(before.get(name, name) for name in names if name not in migration.adds)
        return list(names)

    def same(self, columns: Collection[str], stored: pa.Schema) -> bool:
        """Whether no pending migration touches these columns, so that they can be read as they are."""
        touched = {
            name
            for migration in self._pending
            if self._on_top(migration)
            for name in (*migration.adds, *migration.computes, *migration.renames.values(), *migration.renames)
        }
        kept = set(columns) - touched
        return len(kept) == len(set(columns)) and all(
            stored.get_field_index(name) >= 0 and stored.field(name).equals(self.target.field(name)) for name in kept
        )

    def rows(self, stored: pa.Table, columns: Sequence[str]) -> pa.Table:
        """Stored rows as rows of today, in the same order.

        Args:
            stored: The columns that `needs` names, or all.
            columns: Today's columns that are wanted.

        Raises:
            WarehouseError: When the migrations don't lead to today's columns.
        """
        today = pa.schema([self.target.field(name) for name in columns], metadata=self.target.metadata)
        rows = stored.combine_chunks().to_struct_array()
        # Without a computed column among them, only the columns behind those wanted may be at hand.
        top = self._top(rows, computing=self._behind(columns) is None)
        try:
            return pa.Table.from_arrays([_column(top, item) for item in today], schema=today)
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise self._astray(str(error)) from error

    def _top(self, rows: pa.ChunkedArray | pa.StructArray, *, computing: bool) -> pa.StructArray:
        struct = rows.combine_chunks() if isinstance(rows, pa.ChunkedArray) else rows
        for place in range(len(self._pending)):
            struct = _migrated(struct, self._records, self._pending[place:], computing=computing)
        return struct

    def _astray(self, got: str) -> WarehouseError:
        return WarehouseError(
            f"{self.table}: expected migrations that lead from the stored columns to the declared ones, got {got}; "
            "correct schemas/migrations.py"
        )

    def _on_top(self, migration: Migration) -> bool:
        return any(issubclass(record, migration.record) for record in self._records)


def _migrated(
    rows: pa.StructArray, records: Sequence[type[Record]], ahead: Sequence[Migration], *, computing: bool = True
) -> pa.StructArray:
    """The rows after the first of the migrations ahead, applied to the records and to those inside their fields."""
    parts = {item.name: rows.field(item.name) for item in rows.type}
    nullable = {item.name: item.nullable for item in rows.type}
    for record in records:
        for name, info in record.model_fields.items():
            stored = _name_before(record, name, ahead)
            if (inner := nested_record(info.annotation)) and stored in parts:
                parts[stored] = _inner(parts[stored], inner, ahead)
        if issubclass(record, ahead[0].record):
            computed = {name: compute(rows) for name, compute in ahead[0].computes.items() if computing}
            _apply(parts, nullable, len(rows), record, ahead)
            parts.update(computed)
    fields = [pa.field(name, values.type, nullable.get(name, True)) for name, values in parts.items()]
    return pa.StructArray.from_arrays(list(parts.values()), fields=fields, mask=rows.is_null())


def _apply(
    parts: dict[str, pa.Array],
    nullable: dict[str, bool],
    n_rows: int,
    record: type[Record],
    ahead: Sequence[Migration],
) -> None:
    migration, *later = ahead
    for name in migration.drops:
        parts.pop(name, None)
    for old, new in migration.renames.items():
        if old in parts:
            parts[new], nullable[new] = parts.pop(old), nullable[old]
    for name in migration.adds:
        parts[name] = _default(record, _name_after(record, name, later), n_rows)


def _inner(values: pa.Array, record: type[Record], ahead: Sequence[Migration]) -> pa.Array:
    if pa.types.is_null(values.type):
        return values
    if pa.types.is_list(values.type):
        # Values of a sliced or null list may lie outside what its rows hold: flatten keeps those inside only.
        inside = _inner(values.flatten(), record, ahead)
        item = values.type.value_field.with_type(inside.type)
        return pa.ListArray.from_arrays(_offsets(values), inside, type=pa.list_(item), mask=values.is_null())
    return _migrated(values, [record], ahead)


def _offsets(values: pa.ListArray) -> pa.Array:
    lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


def _name_before(record: type[Record], name: str, ahead: Sequence[Migration]) -> str:
    """What today's field was called before these migrations."""
    for migration in reversed(ahead):
        if issubclass(record, migration.record):
            name = {new: old for old, new in migration.renames.items()}.get(name, name)
    return name


def _name_after(record: type[Record], name: str, later: Sequence[Migration]) -> str:
    for migration in later:
        if issubclass(record, migration.record):
            name = migration.renames.get(name, name)
    return name


def _default(record: type[Record], name: str, n_rows: int) -> pa.Array:
    info = record.model_fields.get(name)
    if info is None:
        # Added once and dropped since.
        return pa.nulls(n_rows)
    if info.is_required():
        raise ConfigError(
            f"migration[{record.__name__}.{name}]: expected a new field with a default, got one without; give it one, "
            "or say under `computes` what old rows hold"
        )
    value = info.get_default(call_default_factory=True)
    return pa.array([_plain(value)] * n_rows) if value is not None else pa.nulls(n_rows)


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return [{"name": key, "value": number} for key, number in sorted(value.items())]
    if isinstance(value, Enum):
        return value.value
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _column(rows: pa.StructArray, item: pa.Field) -> pa.Array:
    values = _cast(rows.field(item.name), item)
    if values.null_count and not item.nullable:
        raise ValueError(f"{values.null_count} nulls in {item.name}, which is declared as never null")
    return values


def _cast(values: pa.Array, item: pa.Field) -> pa.Array:
    """The values in the declared type; fields of structs by name, in the declared order.

    Raises:
        ValueError: When a field is missing, or one is left that nobody declares.
    """
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), item.type)
    if pa.types.is_struct(item.type):
        return _cast_struct(values, item)
    if pa.types.is_list(item.type) and item.type != NUMBERS:
        inside = _cast(values.flatten(), item.type.value_field)
        return pa.ListArray.from_arrays(_offsets(values), inside, type=item.type, mask=values.is_null())
    return values.cast(item.type)


def _cast_struct(values: pa.Array, item: pa.Field) -> pa.Array:
    declared, found = [inner.name for inner in item.type], [inner.name for inner in values.type]
    if set(declared) != set(found):
        raise ValueError(f"{item.name} with the fields {sorted(found)}, declared are {sorted(declared)}")
    parts = [_cast(values.field(inner.name), inner) for inner in item.type]
    return pa.StructArray.from_arrays(parts, fields=list(item.type), mask=values.is_null())

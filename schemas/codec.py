"""Records to Arrow tables and back, without loss.

Driven by the Arrow types that `columns` renders: a struct field is a record, text where the record holds a dict is
canonical JSON. The only narrowing is the declared one (32-bit log-probabilities and advantages). Does no I/O.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, sha256
from typing import cast

import pyarrow as pa

from schemas.columns import JSON_FIELDS, NUMBERS, ROUND, ROUND_FINGERPRINT, TableSpec
from schemas.errors import CorruptTableError, WarehouseError
from schemas.ids import canonical_json
from schemas.records import Record

__all__ = ["fingerprint", "from_arrow", "sealed", "to_arrow"]

_EARLIER_DIGITS = 32
_BLOCK_ROWS = 4096
"""Rows hashed at once; part of what a mark means."""

_MISFITS = (pa.ArrowException, OverflowError, TypeError, ValueError)

_Convert = Callable[[object], object]


def to_arrow(
    spec: TableSpec, rows: Sequence[Record], round: str, *, extra: Mapping[str, object] | None = None
) -> pa.Table:
    """One round's rows as a table of the spec's schema, in the given order.

    Args:
        spec: The table's declaration.
        rows: Records of exactly the spec's class.
        round: Partition key, written into every row.
        extra: Values of the spec's extra columns, the same in every row.

    Raises:
        WarehouseError: When a row is another record, names another round, or holds a value that Arrow can't.
    """
    for index, row in enumerate(rows):
        if type(row) is not spec.record:
            raise WarehouseError(
                f"{spec.name}[{round}]: expected {spec.record.__name__} rows, got {type(row).__name__} at row {index}; "
                "write it to the table that holds it"
            )
    names = [name for name in spec.schema.names if name != ROUND_FINGERPRINT]
    schema = pa.schema([spec.schema.field(name) for name in names], metadata=spec.schema.metadata)
    shared = {ROUND: round, **(extra or {})}
    plain = [_flat(spec, row, round) | shared for row in rows]
    columns = [_column(spec, round, field, plain) for field in schema]
    return _marked(spec, pa.Table.from_arrays(columns, schema=schema))


def sealed(spec: TableSpec, rows: pa.Table, round: str) -> pa.Table:
    """One round's rows that are columns already: with the round and its fingerprint, as `to_arrow` gives them.

    Args:
        spec: The table's declaration.
        rows: Its declared columns in any order, without the round and what the store fills.
        round: Partition key, written into every row.

    Raises:
        WarehouseError: When a column is missing, unknown or of another type, or holds null where it must not.
    """
    own = [field for field in spec.schema if field.name not in (ROUND, ROUND_FINGERPRINT)]
    schema = pa.schema(own, metadata=spec.schema.metadata)
    try:
        if sorted(rows.column_names) != sorted(schema.names):
            raise ValueError(f"columns {rows.column_names}")
        table = rows.select(schema.names).cast(schema).combine_chunks()
        table.validate()
        if empty := [field.name for field in own if not field.nullable and table.column(field.name).null_count]:
            raise ValueError(f"null in {', '.join(empty)}")
    except _MISFITS as error:
        raise WarehouseError(
            f"{spec.name}[{round}]: expected the columns {', '.join(schema.names)} with the declared types, "
            f"got {error}; give the table's own columns"
        ) from error
    key = pa.repeat(pa.scalar(round, pa.string()), table.num_rows)
    return _marked(spec, table.add_column(0, spec.schema.field(ROUND), key).replace_schema_metadata(schema.metadata))


def _marked(spec: TableSpec, table: pa.Table) -> pa.Table:
    mark = pa.repeat(pa.scalar(fingerprint(table), pa.string()), table.num_rows)
    return table.append_column(spec.schema.field(ROUND_FINGERPRINT), mark)


def from_arrow(spec: TableSpec, table: pa.Table) -> list[Record]:
    """The records of a stored table, in stored order.

    Raises:
        CorruptTableError: When a stored row is no valid record, which no writer of ours can cause.
    """
    extra = {field.name for field in spec.extra} | {ROUND_FINGERPRINT}
    if ROUND not in spec.record.model_fields:
        extra.add(ROUND)
    kept = [field for field in table.schema if field.name not in extra]
    columns = {field.name: _decoded(table.column(field.name), field.name) for field in kept}
    inner = _inner_names(spec)
    rows: list[Record] = []
    for index in range(table.num_rows):
        values = {name: column[index] for name, column in columns.items()}
        if spec.flatten:
            values[spec.flatten] = {name: values.pop(name) for name in inner}
        try:
            rows.append(spec.record.model_validate(values))
        except ValueError as error:
            raise CorruptTableError(
                f"{spec.name}[row {index}]: expected a valid {spec.record.__name__}, got {error}; rewrite its round"
            ) from error
    return rows


def fingerprint(table: pa.Table, like: str = "") -> str:
    """Hash of the values of a table built by `to_arrow`: equal rows in equal order give equal fingerprints.

    Args:
        table: All columns but the mark itself.
        like: A mark to compare with: one of 32 digits is the BLAKE2 of earlier writers, half the cost of their writes.
    """
    n_rows = str(table.num_rows).encode()
    whole = table.combine_chunks()
    if len(like) == _EARLIER_DIGITS:
        earlier = blake2b(n_rows, digest_size=16)
        for batch in whole.to_batches():
            earlier.update(batch.serialize())
        return earlier.hexdigest()
    # Processors have instructions for SHA-256, and blocks of rows can be hashed side by side.
    blocks = [whole.slice(start, _BLOCK_ROWS) for start in range(0, whole.num_rows, _BLOCK_ROWS)]
    if len(blocks) < 2:
        digests = map(_block_digest, blocks)
    else:
        with ThreadPoolExecutor() as pool:
            digests = list(pool.map(_block_digest, blocks))
    return sha256(n_rows + b"".join(digests)).hexdigest()


def _block_digest(rows: pa.Table) -> bytes:
    digest = sha256()
    for batch in rows.to_batches():
        digest.update(batch.serialize())
    return digest.digest()


def _inner_names(spec: TableSpec) -> list[str]:
    if spec.flatten is None:
        return []
    inner = spec.record.model_fields[spec.flatten].annotation
    return list(inner.model_fields) if isinstance(inner, type) and issubclass(inner, Record) else []


def _flat(spec: TableSpec, row: Record, round: str) -> dict[str, object]:
    values = row.model_dump()
    if values.get(ROUND, round) != round:
        raise WarehouseError(
            f"{spec.name}[{round}]: expected rows of this round, got one of {values[ROUND]}; write it to its own round"
        )
    if spec.flatten:
        values |= values.pop(spec.flatten)
    return values


def _column(spec: TableSpec, round: str, field: pa.Field, rows: list[dict[str, object]]) -> pa.Array:
    name = field.name
    encode = _special(field.type, name, _pairs, _json)

    def convert(part: list[dict[str, object]]) -> pa.Array:
        return pa.array([encode(row[name]) if encode else row[name] for row in part], field.type)

    try:
        return convert(rows)
    except _MISFITS:
        for index, row in enumerate(rows):
            try:
                convert([row])
            except _MISFITS as error:
                raise WarehouseError(
                    f"{spec.name}[{round}].{name}: expected values that fit {field.type}, got a misfit at row {index}: "
                    f"{error}; fix the row"
                ) from error
        raise


def _decoded(column: pa.ChunkedArray, name: str) -> list[object]:
    values = column.to_pylist()
    decode = _special(column.type, name, _numbers, _parsed)
    return [decode(value) for value in values] if decode else values


def _special(kind: pa.DataType, name: str, numbers: _Convert, text: _Convert) -> _Convert | None:
    """Conversion of a value of this type, None where Python and Arrow agree (as in all the long number lists)."""
    if kind == NUMBERS:
        return numbers
    if name in JSON_FIELDS:
        return text
    if pa.types.is_struct(kind):
        return _struct({field.name: _special(field.type, field.name, numbers, text) for field in kind})
    if pa.types.is_list(kind) and (item := _special(kind.value_type, "", numbers, text)):
        return lambda value: None if value is None else [item(element) for element in cast(list[object], value)]
    return None


def _struct(parts: dict[str, _Convert | None]) -> _Convert | None:
    special = [(name, part) for name, part in parts.items() if part]
    if not special:
        return None

    def convert(value: object) -> object:
        if value is None:
            return None
        fields = dict(cast(dict[str, object], value))
        for name, part in special:
            fields[name] = part(fields[name])
        return fields

    return convert


def _pairs(value: object) -> object:
    return [{"name": name, "value": number} for name, number in sorted(cast(dict[str, float], value).items())]


def _numbers(value: object) -> object:
    return {pair["name"]: pair["value"] for pair in cast(list[dict[str, object]], value)}


def _parsed(value: object) -> object:
    return json.loads(cast(str, value))


def _json(value: object) -> str:
    text = canonical_json(value, finite=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair in a model's arguments: Arrow text can't hold it, a JSON escape can.
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return text

"""What one field of a record is as a stored column: name, Arrow type, unit, meaning, whether it may be null, range.

Read off the record's own annotations and docstrings, nested records included, so that nothing is said twice. Arrow
schemas, expectations, the data dictionary and Dagster's column schemas are all rendered from these columns. Holds no
table names and no I/O.
"""

import json
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pyarrow as pa
from pydantic.fields import FieldInfo

from schemas.errors import ConfigError
from schemas.records import Bits, Record, Unit

__all__ = ["JSON_FIELDS", "NUMBERS", "Column", "column_of", "is_record", "nested_record"]

JSON_FIELDS = frozenset({"arguments"})
"""Fields stored as canonical JSON text, at any depth."""

NUMBERS = pa.list_(
    pa.field(
        "item",
        pa.struct([pa.field("name", pa.string(), nullable=False), pa.field("value", pa.float64(), nullable=False)]),
        nullable=False,
    )
)
"""A dict of named numbers: a list, because the keys differ from gate to gate."""

_UNIT_SUFFIXES = ("s", "ms", "tokens", "usd", "bytes")
"""Units that a name may end in, after an underscore."""

_COUNT = "n_"
"""Prefix of counts: what is counted follows, as in n_tasks."""

_SCALARS: dict[object, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_NARROW: dict[tuple[object, int], pa.DataType] = {(int, 32): pa.int32(), (float, 32): pa.float32()}


@dataclass(frozen=True)
class Column:
    """One stored column, or one field of a struct inside it."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False
    unit: str = ""
    """Empty where there is nothing to measure: text, flags, structs."""
    low: float | None = None
    high: float | None = None
    above: bool = False
    """The lower bound itself is refused."""
    values: tuple[str, ...] = ()
    """All values that may occur; empty when they can't be listed."""
    not_blank: bool = False
    """Text of at least one character."""
    fields: tuple["Column", ...] = ()
    """Fields of the struct, or of the structs in the list."""

    @property
    def arrow(self) -> pa.Field:
        """The Arrow field, with what is declared as its metadata: of the fields inside it as JSON by path.

        Not on the nested Arrow fields themselves: pyarrow then doesn't find them when a filter is pushed down.
        """
        told = self._told()
        if self.fields:
            inside = {path: column._told() for path, column in self.walk() if column is not self}
            told["fields"] = json.dumps(inside, ensure_ascii=False)
        return pa.field(self.name, self.type, self.nullable, metadata=told)

    def _told(self) -> dict[str, str]:
        told = {"meaning": self.meaning, "unit": self.unit, "range": self.range}
        return {key: text for key, text in told.items() if text}

    @property
    def range(self) -> str:
        """What a value must be beyond its type, in words; empty when anything goes."""
        if self.values:
            return "one of " + ", ".join(self.values)
        if self.low is None and self.high is None:
            return "not blank" if self.not_blank else ""
        if self.high is None:
            return f"{'>' if self.above else '>='} {self.low:g}"
        if self.low is None:
            return f"<= {self.high:g}"
        return f"{'(' if self.above else '['}{self.low:g}, {self.high:g}]"

    @property
    def is_list(self) -> bool:
        """Whether a value is a list."""
        return pa.types.is_list(self.type) or pa.types.is_fixed_size_list(self.type)

    def walk(self, before: str = "") -> Iterator[tuple[str, "Column"]]:
        """This column and all fields inside it by path: `reward.total`, `messages[].role`."""
        path = before + self.name
        yield path, self
        for inner in self.fields:
            yield from inner.walk(f"{path}{'[]' if self.is_list else ''}.")


_NUMBER_FIELDS = (
    Column("name", pa.string(), "What the number is."),
    Column("value", pa.float64(), "The number.", unit="as its name says"),
)


@dataclass
class _Parts:
    """An annotation taken apart."""

    plain: object
    nullable: bool = False
    marks: list[Any] = field(default_factory=list)


def column_of(record: type[Record], name: str) -> Column:
    """The column of one field of a record.

    Raises:
        ConfigError: When the type has no Arrow counterpart, or the field has no line of meaning.
    """
    info = record.model_fields[name]
    where = f"{record.__name__}.{name}"
    if not info.description:
        raise ConfigError(f"columns[{where}]: expected one line of meaning, got none; add a docstring below the field")
    parts = _parts(info)
    item = _item(parts)
    bounds = {key: getattr(mark, key) for mark in item.marks for key in ("ge", "gt", "le") if hasattr(mark, key)}
    inner = nested_record(info.annotation)
    fields = tuple(column_of(inner, each) for each in inner.model_fields) if inner else ()
    if _is_numbers(parts):
        fields = _NUMBER_FIELDS
    return Column(
        name=name,
        type=_arrow_type(parts, name, fields, where),
        meaning=" ".join(info.description.split()),
        nullable=parts.nullable,
        unit=_unit(name, item),
        low=bounds.get("gt", bounds.get("ge")),
        high=bounds.get("le"),
        above="gt" in bounds,
        values=_values(item.plain),
        not_blank=parts.plain is str and any(getattr(mark, "min_length", 0) for mark in parts.marks),
        fields=fields,
    )


def is_record(kind: object) -> bool:
    """Whether this is the class of a record."""
    return isinstance(kind, type) and issubclass(kind, Record)


def nested_record(annotation: object) -> type[Record] | None:
    """The record that a field holds, alone or as a list."""
    kind = _item(_taken_apart(annotation)).plain
    return kind if isinstance(kind, type) and issubclass(kind, Record) else None


def _parts(info: FieldInfo) -> _Parts:
    parts = _taken_apart(info.annotation)
    parts.marks += info.metadata
    return parts


def _taken_apart(annotation: object) -> _Parts:
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        parts = _taken_apart(inner)
        return _Parts(parts.plain, parts.nullable, [*parts.marks, *(m for mark in marks for m in _flat(mark))])
    if get_origin(annotation) in (Union, types.UnionType):
        kept = [arg for arg in get_args(annotation) if arg is not type(None)]
        if len(kept) == 1:
            parts = _taken_apart(kept[0])
            return _Parts(parts.plain, True, parts.marks)
    return _Parts(annotation)


def _flat(mark: object) -> list[object]:
    """`Field(ge=0)` inside Annotated holds its bounds in its own metadata."""
    return list(mark.metadata) if isinstance(mark, FieldInfo) else [mark]


def _item(parts: _Parts) -> _Parts:
    """What is inside a list; the thing itself when it is none."""
    is_list = get_origin(parts.plain) is tuple and get_args(parts.plain)[1:] == (Ellipsis,)
    return _taken_apart(get_args(parts.plain)[0]) if is_list else parts


def _is_numbers(parts: _Parts) -> bool:
    return get_origin(parts.plain) is dict and get_args(parts.plain) == (str, float)


def _values(plain: object) -> tuple[str, ...]:
    if get_origin(plain) is Literal:
        return tuple(map(str, get_args(plain)))
    if isinstance(plain, type) and issubclass(plain, Enum):
        return tuple(str(member.value) for member in plain)
    return ()


def _fixed_length(parts: _Parts) -> int:
    """Length of a list whose bounds leave only one, 0 for other lists."""
    bounds = {
        key: getattr(mark, key) for mark in parts.marks for key in ("min_length", "max_length") if hasattr(mark, key)
    }
    return bounds.get("max_length", 0) if bounds.get("min_length") == bounds.get("max_length") else 0


def _unit(name: str, item: _Parts) -> str:
    for mark in item.marks:
        if isinstance(mark, Unit):
            return mark.name
    if item.plain not in (int, float):
        return ""
    if name.startswith(_COUNT):
        return name.removeprefix(_COUNT).replace("_", " ")
    suffix = name.rpartition("_")[2]
    return suffix if suffix in _UNIT_SUFFIXES else ""


def _arrow_type(parts: _Parts, name: str, fields: tuple[Column, ...], where: str) -> pa.DataType:
    item = _item(parts)
    if item is not parts:
        kind = _arrow_type(item, "", fields, where)
        if width := _fixed_length(parts):
            # Lance keeps no "not null" on the numbers of a vector.
            return pa.list_(kind, width)
        return pa.list_(pa.field("item", kind, item.nullable))
    if name in JSON_FIELDS or _values(parts.plain):
        return pa.string()
    if is_record(parts.plain):
        return pa.struct([pa.field(column.name, column.type, column.nullable) for column in fields])
    if _is_numbers(parts):
        return NUMBERS
    if parts.plain not in _SCALARS:
        raise ConfigError(
            f"columns[{where}]: expected a type with an Arrow counterpart, got {parts.plain}; extend _arrow_type"
        )
    width = next((mark.width for mark in parts.marks if isinstance(mark, Bits)), 64)
    return _NARROW.get((parts.plain, width), _SCALARS[parts.plain])

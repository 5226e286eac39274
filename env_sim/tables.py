"""The base as tables of checked records: what databases of every domain share.

Immutable: every text, fragment and hash is computed once, on first use, and shared by all episodes. Changing a record
in place would silently corrupt all of them. Which tables there are, and what a record must look like, is the domain's.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from env_sim.json_text import canonical_text, json_text, text_text
from env_sim.world import JsonRecord, hash_tables
from schemas.errors import CorruptDatabaseError

__all__ = ["TableDatabase", "check_records", "check_table_names", "corrupt", "read_json"]


_Places = dict[str, tuple[int, str]]
"""A record's fields by name: the place in the record, and the name as it is printed before the value."""


class TableDatabase:
    """Tables, and the texts and hashes made from them. A domain adds its indexes and `entity_ids`."""

    shapes: ClassVar[Mapping[tuple[str, ...], Callable[..., str]]] = {}
    """What spells an object with exactly these keys from its values, as `json_text` would, but without asking each what
    it is: for objects that writes make anew. Raises TypeError for values of other types."""

    def __init__(self, tables: dict[str, dict[str, JsonRecord]]) -> None:
        """Take checked tables over; the caller must not keep changing them."""
        self.tables = tables
        self._texts: dict[tuple[str, str], str] = {}
        self._field_texts: dict[tuple[str, str], tuple[_Places, list[str]]] = {}
        self._places: dict[tuple[str, ...], _Places] = {}
        self._part_texts: dict[int, str] = {}
        """Texts of objects inside lists, by the identity of an object that lives as long as this base."""
        self._fragments: dict[str, dict[str, str]] = {}
        self._sha256: str | None = None

    def text(self, table: str, key: str) -> str:
        """What a tool prints for an unchanged record."""
        text = self._texts.get((table, key))
        if text is None:
            text = self._texts[table, key] = json_text(self.tables[table][key])
        return text

    def changed_text(self, table: str, key: str, fields: JsonRecord) -> str:
        """What a tool prints for a record with these fields replaced; a new record is all of its fields.

        The texts of all other fields are the base's, so a write spells no more than what it writes.
        """
        spelled = self._field_texts.get((table, key)) or self._spell_fields(table, key)
        if spelled is None:
            return json_text(fields)
        places, base_texts = spelled
        texts, value_text = base_texts.copy(), self.value_text
        for name, value in fields.items():
            place, start = places[name]
            texts[place] = start + (text_text(value) if type(value) is str else value_text(value))
        return f"{{{', '.join(texts)}}}"

    def _spell_fields(self, table: str, key: str) -> tuple[_Places, list[str]] | None:
        """The text of an unchanged record field by field, names included; None when there is no such record."""
        record = self.tables[table].get(key)
        if record is None:
            return None
        names = tuple(record)
        places = self._places.get(names)
        if places is None:
            places = self._places[names] = {name: (place, f"{json_text(name)}: ") for place, name in enumerate(names)}
        texts = []
        for (_, start), value in zip(places.values(), record.values(), strict=True):
            if type(value) is list:
                for part in value:
                    if type(part) is dict:
                        self.keep_part(part)
            texts.append(start + self.value_text(value))
        found = self._field_texts[table, key] = places, texts
        return found

    def keep_part(self, part: JsonRecord) -> None:
        """Spell a part of records once. It must live as long as this base and never change."""
        self._part_texts[id(part)] = self.object_text(part)

    def value_text(self, value: Any) -> str:
        """What a tool prints for a field's value; parts of a list that the base knows are not spelled again."""
        kind = type(value)
        if kind is list:
            if value and type(value[0]) is dict:
                known, object_text = self._part_texts.get, self.object_text
                return f"[{', '.join([known(id(part)) or object_text(part) for part in value])}]"
            try:
                return f"[{', '.join(map(text_text, value))}]"
            except TypeError:
                return json_text(value)
        return self.object_text(value) if kind is dict else json_text(value)

    def object_text(self, value: Any) -> str:
        """What a tool prints for an object, or for what stands in the place of one."""
        spell = self.shapes.get(tuple(value)) if type(value) is dict else None
        if spell is not None:
            try:
                return spell(*value.values())
            except TypeError:  # a value that has no such shape itself
                pass
        return json_text(value)

    def canonical_fragments(self, table: str) -> dict[str, str]:
        """Canonical text of every record of a table, ids sorted."""
        fragments = self._fragments.get(table)
        if fragments is None:
            records = self.tables[table]
            fragments = self._fragments[table] = {key: canonical_text(records[key]) for key in sorted(records)}
        return fragments

    def content_sha256(self) -> str:
        """tau2's own hash of this database when nothing is changed."""
        if self._sha256 is None:
            self._sha256 = hash_tables((table, self.canonical_fragments(table)) for table in sorted(self.tables))
        return self._sha256


def read_json(path: str | Path) -> object:
    """Parse a database file.

    Raises:
        CorruptDatabaseError: When the file is missing or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CorruptDatabaseError(
            f"database[{path}]: expected a readable file, got {error.strerror}; correct the path"
        ) from error
    except ValueError as error:
        raise CorruptDatabaseError(f"database[{path}]: expected JSON, got {error}; restore the file") from error


def check_table_names(content: object, tables: tuple[str, ...], source: str, domain: str) -> dict[str, object]:
    """The content, once it is known to hold exactly these tables.

    Raises:
        CorruptDatabaseError: When it doesn't.
    """
    if not isinstance(content, dict) or set(content) != set(tables):
        got = f"keys {sorted(map(str, content))}" if isinstance(content, dict) else type(content).__name__
        *names, last = sorted(tables)
        raise CorruptDatabaseError(
            f"database[{source}]: expected an object with exactly {', '.join(names)} and {last}, got {got}; "
            f"give a tau2 {domain} db.json"
        )
    return content


def check_records(
    records: object, adapter: TypeAdapter[JsonRecord], id_field: str, place: str, defaults: JsonRecord | None = None
) -> dict[str, JsonRecord]:
    """Records that passed the adapter and carry their own id.

    Args:
        records: What the file holds for one table.
        adapter: Shape of a record.
        id_field: Field that must repeat the record's key.
        place: File and table, shown in errors.
        defaults: Fields that a file may omit.

    Raises:
        CorruptDatabaseError: At the first bad record.
    """
    if not isinstance(records, dict):
        raise corrupt(place, "an object of records by id", type(records).__name__)
    checked = {}
    for key, record in records.items():
        if defaults and isinstance(record, dict):
            record = {**defaults, **record}
        try:
            checked[key] = adapter.validate_python(record)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise corrupt(f"{place}[{key}] {field}".rstrip(), first["msg"], repr(first["input"])[:80]) from error
        if checked[key][id_field] != key:
            raise corrupt(f"{place}[{key}]", f"{id_field} {key}", str(checked[key][id_field]))
    return checked


def corrupt(place: str, expected: str, got: str) -> CorruptDatabaseError:
    """The error for a place in a database file; raise it."""
    return CorruptDatabaseError(f"database[{place}]: expected {expected}, got {got}; repair or regenerate the file")

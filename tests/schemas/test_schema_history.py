"""What is stored can't change unnoticed: the reviewed schemas, and the page that people read.

`python -m tests.schemas.test_schema_history` rewrites the file of schemas after a wanted change.
"""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.columns import TABLES, TableSpec
from schemas.dictionary import dictionary

REPOSITORY = Path(__file__).resolve().parent.parent.parent
HISTORY = Path(__file__).with_name("arrow_schemas.json")
"""Table -> schema version -> columns, of every version since the first."""

RUN = "run `python -m tests.schemas.test_schema_history` and `python -m schemas.dictionary > docs/DATA.md`"

TO_DO = (
    "{table}: the stored columns are not those of schema version {version} that were reviewed. Old warehouses hold "
    "rows in that version, so: 1. append a Migration to MIGRATIONS in schemas/migrations.py (a new field with a "
    f"default needs only `adds`); 2. {RUN}; 3. commit all of it. Without a wanted change: undo it in the record."
)


def shape(kind: pa.DataType) -> object:
    """A type as JSON: a struct is an object, a list is an array of one, `?` in a name says that null is allowed.

    A list of a fixed length is an array of its items' type and the length; its items may be null.
    """
    if pa.types.is_struct(kind):
        return columns(kind)
    if pa.types.is_fixed_size_list(kind):
        return [shape(kind.value_type), kind.list_size]
    return [shape(kind.value_type)] if pa.types.is_list(kind) else str(kind)


def columns(fields: pa.Schema | pa.StructType) -> dict[str, object]:
    return {field.name + "?" * field.nullable: shape(field.type) for field in fields}


def type_of(kind: object) -> pa.DataType:
    """The type of a shape."""
    if isinstance(kind, dict):
        return pa.struct(fields_of(kind))
    if isinstance(kind, list) and len(kind) > 1:
        return pa.list_(type_of(kind[0]), kind[1])
    if isinstance(kind, list):
        return pa.list_(pa.field("item", type_of(kind[0]), nullable=False))
    return pa.type_for_alias(kind)


def fields_of(kinds: dict[str, object]) -> list[pa.Field]:
    return [pa.field(name.rstrip("?"), type_of(kind), name.endswith("?")) for name, kind in kinds.items()]


def history() -> dict[str, dict[str, dict[str, object]]]:
    return json.loads(HISTORY.read_text())


@pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
def test_the_columns_are_those_that_were_reviewed(spec: TableSpec) -> None:
    reviewed = history().get(spec.name, {})
    newest = max(map(int, reviewed), default=0)
    if newest:
        assert spec.version >= newest, f"{spec.name}: version {newest} was reviewed; never take a migration out"
    to_do = TO_DO.format(table=spec.name, version=newest) if newest else f"{spec.name} is new: {RUN}"
    # As text, because the order counts too.
    assert json.dumps(reviewed.get(str(spec.version))) == json.dumps(columns(spec.schema)), to_do


@pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
def test_every_version_that_ever_was_leads_to_the_columns_of_today(spec: TableSpec) -> None:
    for version, kinds in history()[spec.name].items():
        rows = pa.schema(fields_of(kinds)).empty_table()
        upgraded = spec.upgrade_from(int(version)).rows(rows, spec.schema.names)
        assert upgraded.schema.equals(spec.schema)


def test_the_data_dictionary_says_what_is_declared() -> None:
    """After a wanted change: `python -m schemas.dictionary > docs/DATA.md`."""
    assert (REPOSITORY / "docs/DATA.md").read_text(encoding="utf-8") == dictionary()


def rewrite() -> None:
    """Put today's columns under their version; what was reviewed stays."""
    known = history() if HISTORY.exists() else {}
    for name, spec in TABLES.items():
        reviewed = known.setdefault(name, {}).setdefault(str(spec.version), columns(spec.schema))
        if json.dumps(reviewed) != json.dumps(columns(spec.schema)):
            raise SystemExit(TO_DO.format(table=name, version=spec.version))
    HISTORY.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    rewrite()

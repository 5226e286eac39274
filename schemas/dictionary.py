"""The data dictionary, rendered from the declared columns: `python -m schemas.dictionary > docs/DATA.md`.

A test compares the page with what this prints. Says nothing of its own about a column.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from schemas.columns import TABLES, Column, TableSpec
from schemas.migrations import MIGRATIONS

__all__ = ["dictionary"]

_HEAD = """\
# Data dictionary

Every column of every table, rendered from the declarations (`schemas/records.py`, `schemas/results.py`,
`schemas/columns.py`, `schemas/origins.py`) by `python -m schemas.dictionary > docs/DATA.md`. Don't edit by hand: a test
compares.

- **Type**: Arrow's; `?` means that the value may be null. Fields inside structs and lists follow their column, as
  `reward.total` and `messages[].role`.
- **Range**: what a value must be beyond its type. Great Expectations checks it on every scalar that lies in no list.
- **Unit**: what a number counts or is measured in. `index` counts from 0, `number` tells things apart (seeds,
  versions), `share` lies in 0..1, `1` has no dimension.
- **Taken from**: where the values are found in other tables, as Dagster's column lineage shows it.

The same stands in every table's Arrow schema (`meaning`, `unit` and `range` on the field, `fields` as JSON for what is
inside it), beside `faultline.schema_version`. Tables with the same columns share a section.
"""

_HISTORY = """\
## Schema versions

A table's version is 1 plus the number of changes below that reach a record it stores (`schemas/migrations.py`). Older
rows are converted while they are read; `python -m schemas.migrate` rewrites them.
"""


def dictionary(tables: Mapping[str, TableSpec] = TABLES) -> str:
    """The page, as Markdown."""
    alike: dict[tuple[object, ...], list[TableSpec]] = {}
    for spec in tables.values():
        alike.setdefault((spec.record, spec.flatten, spec.extra, spec.gated), []).append(spec)
    sections = [_section(specs) for specs in alike.values()]
    return "\n".join([_HEAD, *sections, _HISTORY, *_changes()])


def _section(specs: Sequence[TableSpec]) -> str:
    lines = [f"## {', '.join(spec.name for spec in specs)}", ""]
    for spec in specs:
        lines.append(f"- `{spec.name}` (version {spec.version}): {spec.meaning}")
    lines += ["", *_table(("Column", "Type", "Range", "Unit", "Meaning"), _rows(specs[0]))]
    if taken := [(spec.name, column, ", ".join(froms)) for spec in specs for column, froms in spec.origins.items()]:
        lines += ["", *_table(("Table", "Column", "Taken from"), taken)]
    return "\n".join([*lines, ""])


def _rows(spec: TableSpec) -> Iterable[tuple[str, ...]]:
    for column in spec.columns:
        for path, inner in column.walk():
            yield f"`{path}`", _type(inner), inner.range, inner.unit, inner.meaning


def _type(column: Column) -> str:
    """The type in short: what is inside a struct has rows of its own."""
    kind = column.type.value_type if column.is_list else column.type
    short = "struct" if pa.types.is_struct(kind) else str(kind)
    return (f"list of {short}" if column.is_list else short) + ("?" if column.nullable else "")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _changes() -> list[str]:
    if not MIGRATIONS:
        return ["No change yet: every table is at version 1.", ""]
    return [*_table(("Change", "Record", "Why"), _numbered()), ""]


def _numbered() -> Iterable[tuple[str, str, str]]:
    for number, migration in enumerate(MIGRATIONS, 1):
        yield str(number), migration.record.__name__, migration.why


if __name__ == "__main__":
    sys.stdout.write(dictionary())

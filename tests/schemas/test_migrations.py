"""Old rounds stay readable: real tables in an old schema, read and rewritten by today's code."""

import io
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemas import ConcurrentWriteError, ConfigError, GateResult, Record, WarehouseError
from schemas.columns import TABLE_MEANINGS, TABLES, TableSpec
from schemas.lance_table import LanceTable
from schemas.migrate import main
from schemas.migrations import MIGRATIONS, Migration, reaching
from schemas.records import Goal, Name, Task, Trajectory
from schemas.store import Warehouse

TABLE = "parcels"


class OldLabel(Record):
    street: Name
    """Street."""


class OldStop(Record):
    place: Name
    """Where."""
    label: OldLabel | None = None
    """What was stuck on."""


class OldParcel(Record):
    parcel_id: Name
    """Its id."""
    weight_g: int
    """Weight."""
    stops: tuple[OldStop, ...] = ()
    """On its way."""
    colour: str = ""
    """Its colour."""


class Label(Record):
    street: Name
    """Street."""
    tags: tuple[str, ...] = ("plain",)
    """Nested two levels deep, and new."""


class Stop(Record):
    town: Name
    """Where: it was called place."""
    label: Label | None = None
    """What was stuck on."""
    late: bool = False
    """New."""


class Parcel(Record):
    number: Name
    """Its id: it was called parcel_id."""
    weight_kg: float
    """Weight: it was stored in grams."""
    stops: tuple[Stop, ...] = ()
    """On its way."""
    note: str | None = None
    """New, without a value in old rows."""
    priority: int = 3
    """New, with a default."""


def kilograms(rows: pa.StructArray) -> pa.Array:
    return pc.divide(pc.cast(rows.field("weight_g"), pa.float64()), 1000.0)


CHANGES = (
    Migration(Parcel, "ids are numbers", renames={"parcel_id": "number"}, adds=("note",)),
    Migration(Stop, "places are towns", renames={"place": "town"}, adds=("late",)),
    Migration(Label, "labels have tags", adds=("tags",)),
    Migration(Parcel, "SI units", computes={"weight_kg": kilograms}, drops=("weight_g", "colour"), adds=("priority",)),
    Migration(Goal, "another record", adds=("nothing",)),
)
OLD = TableSpec(TABLE, OldParcel, gated=False, migrations=())
NEW = TableSpec(TABLE, Parcel, gated=False, migrations=CHANGES)


def declare(monkeypatch: pytest.MonkeyPatch, spec: TableSpec) -> None:
    monkeypatch.setitem(TABLES, spec.name, spec)
    monkeypatch.setitem(TABLE_MEANINGS, spec.name, "Parcels.")


def old_rows(first: int) -> list[OldParcel]:
    label = OldLabel(street="High Street")
    stops = (OldStop(place="Rome", label=label), OldStop(place="Oslo"))
    return [
        OldParcel(parcel_id=f"p{first}", weight_g=1500, stops=stops, colour="red"),
        OldParcel(parcel_id=f"p{first + 1}", weight_g=20),
    ]


def new_rows(first: int) -> list[Parcel]:
    stops = (Stop(town="Rome", label=Label(street="High Street", tags=("plain",)), late=False), Stop(town="Oslo"))
    return [
        Parcel(number=f"p{first}", weight_kg=1.5, stops=stops, note=None, priority=3),
        Parcel(number=f"p{first + 1}", weight_kg=0.02),
    ]


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Two rounds and an empty one in schema version 1, looked at by code that knows version 5."""
    declare(monkeypatch, OLD)
    warehouse = Warehouse.open(tmp_path)
    warehouse.replace_round(TABLE, "round-001", old_rows(1))
    warehouse.replace_round(TABLE, "round-002", old_rows(3))
    warehouse.replace_round(TABLE, "round-003", [])
    declare(monkeypatch, NEW)
    return warehouse


def stored_version(warehouse: Warehouse) -> bytes:
    return lance.dataset(f"{warehouse.root}/{TABLE}.lance").schema.metadata[b"faultline.schema_version"]


def test_versions_count_the_changes_that_reach_a_stored_record() -> None:
    assert (OLD.version, NEW.version) == (1, 5)
    goal = (Migration(Goal, "deep inside a task", adds=("change",)),)
    at = {name: TableSpec(name, spec.record, flatten=spec.flatten, migrations=goal) for name, spec in TABLES.items()}
    assert {name for name, spec in at.items() if spec.version == 2} == {
        "validation_tasks", "test_tasks", "sft_tasks", "injected_tasks", "executable_tasks", "task_pool",
    }  # fmt: skip
    assert TableSpec("rl_rollouts", TABLES["rl_rollouts"].record, migrations=(Migration(Trajectory, "x"),)).version == 2


def test_old_rounds_are_read_as_rows_of_today_and_stay_as_they_are(old: Warehouse) -> None:
    assert old.read(TABLE) == [*new_rows(1), *new_rows(3)]
    assert old.read(TABLE, "round-002") == new_rows(3)
    assert old.read(TABLE, "round-003") == []
    assert old.rounds(TABLE) == ["round-001", "round-002", "round-003"]
    assert old.read_arrow(TABLE).schema.equals(NEW.schema)
    assert stored_version(old) == b"1"


def test_old_rounds_answer_sql_polars_and_look_ups(old: Warehouse) -> None:
    query = f"select number, weight_kg, stops[1].town as town, stops[1].label.tags[1] as tag from {TABLE} order by 1"
    assert old.sql(query).to_pylist()[:2] == [
        {"number": "p1", "weight_kg": 1.5, "town": "Rome", "tag": "plain"},
        {"number": "p2", "weight_kg": 0.02, "town": None, "tag": None},
    ]
    assert old.sql(f"select count(*) n from {TABLE}", as_of="round-001").to_pylist() == [{"n": 2}]
    assert old.sql("select 1 as one").to_pylist() == [{"one": 1}]
    assert old.scan(TABLE).collect()["priority"].to_list() == [3, 3, 3, 3]
    assert old.find(TABLE, {"number": ["p3", "p1"]}, ["round", "number"]).to_pylist() == [
        {"round": "round-001", "number": "p1"},
        {"round": "round-002", "number": "p3"},
    ]


def test_only_the_columns_behind_those_asked_for_are_read() -> None:
    upgrade = NEW.upgrade_from(1)
    assert upgrade.needs(["round", "number", "note", "stops"], OLD.schema) == ["round", "parcel_id", "stops"]
    assert upgrade.needs(["round", "weight_kg"], OLD.schema) == OLD.schema.names
    assert upgrade.same(["round"], OLD.schema)
    assert not upgrade.same(["round", "stops"], OLD.schema)
    assert not upgrade.same(["number"], OLD.schema)


def test_writing_beside_old_rows_says_to_migrate_first(old: Warehouse) -> None:
    with pytest.raises(WarehouseError, match=r"schema version 5 to write to.*python -m schemas.migrate"):
        old.replace_round(TABLE, "round-004", new_rows(7))
    assert old.rounds(TABLE)[-1] == "round-003"


def test_the_command_migrates_once_and_keeps_rows_rounds_and_earlier_versions(old: Warehouse) -> None:
    out, before = io.StringIO(), old.version(TABLE)
    assert main(["--warehouse", old.root, "--dry-run"], out) == 0
    assert f"{TABLE}: schema version 1 -> 5\n" in out.getvalue()
    assert stored_version(old) == b"1"
    assert main(["--warehouse", old.root], io.StringIO()) == 0
    assert (stored_version(old), old.version(TABLE)) == (b"5", before + 1)
    assert old.read(TABLE) == [*new_rows(1), *new_rows(3)]
    assert old.rounds(TABLE) == ["round-001", "round-002", "round-003"]
    assert old.read(TABLE, "round-001", version=2) == new_rows(1)
    old.replace_round(TABLE, "round-002", new_rows(9))
    assert old.read(TABLE) == [*new_rows(1), *new_rows(9)]
    out = io.StringIO()
    assert main(["--warehouse", old.root], out) == 0
    assert out.getvalue() == f"0 of {len(TABLES)} tables migrated\n"


def test_a_migration_gives_way_to_a_writer(old: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    written = LanceTable._write

    def write_and_be_overtaken(self: LanceTable, *args: object, **options: object) -> object:
        fragments = written(self, *args, **options)  # type: ignore[arg-type]
        lance.dataset(self.uri).update_config({"another": "commit"})
        return fragments

    monkeypatch.setattr(LanceTable, "_write", write_and_be_overtaken)
    with pytest.raises(ConcurrentWriteError, match="migrate again"):
        old.migrate(TABLE)
    assert stored_version(old) == b"1"


def test_rows_of_newer_code_are_refused_with_both_versions(old: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    old.migrate(TABLE)
    declare(monkeypatch, OLD)
    with pytest.raises(WarehouseError, match=r"expected schema version 1 or older, got version 5, which newer code"):
        old.read(TABLE)


def test_columns_that_changed_without_a_migration_are_refused(old: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, TableSpec(TABLE, Parcel, gated=False, migrations=()))
    with pytest.raises(WarehouseError, match=r"got others under version 1; add a migration"):
        old.read(TABLE)


def test_a_migration_that_leads_elsewhere_is_refused(old: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, TableSpec(TABLE, Parcel, gated=False, migrations=CHANGES[:2]))
    with pytest.raises(WarehouseError, match=r"parcels: expected migrations that lead .*schemas/migrations.py"):
        old.read(TABLE)


def test_a_new_field_without_a_default_needs_to_be_computed(old: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Migration(Parcel, "no default", drops=("weight_g", "colour"), adds=("weight_kg", "priority"))
    declare(monkeypatch, TableSpec(TABLE, Parcel, gated=False, migrations=(*CHANGES[:3], wrong)))
    with pytest.raises(ConfigError, match=r"migration\[Parcel.weight_kg\]: expected a new field with a default"):
        old.read(TABLE)


@pytest.mark.parametrize(
    ("table", "record", "field"),
    [
        ("validation_rollouts", Trajectory, "database_id"),
        ("task_pool", Goal, "change"),
        ("task_pool", Task, "cluster_id"),
    ],
)
def test_an_optional_field_of_a_real_record_is_one_line_and_its_verdicts_still_hold(
    tmp_path: Path, make, monkeypatch: pytest.MonkeyPatch, table: str, record: type[Record], field: str
) -> None:
    """The store writes today's rows; then they are put down as a version that lacked the field would have."""
    warehouse, spec = Warehouse.open(tmp_path), TABLES[table]
    row = make.pool_task("a") if table == "task_pool" else make.trajectory(1)
    warehouse.replace_round(table, "round-001", [row])
    warehouse.record_gate(GateResult(table=table, round="round-001", gate="any", passed=True, n_rows=1))
    rows = lance.dataset(f"{tmp_path}/{table}.lance").to_table()
    lance.write_dataset(without(rows, field), f"{tmp_path}/{table}.lance", mode="overwrite")
    added = Migration(record, "an optional field", adds=(field,))
    later = TableSpec(table, spec.record, spec.gated, spec.flatten, migrations=(*MIGRATIONS, added))
    monkeypatch.setitem(TABLES, table, later)
    (found,) = warehouse.read(table, "round-001")
    assert found == blanked(row, field)
    warehouse.migrate(table)
    assert warehouse.read(table, "round-001") == [found]


def blanked(row: Record, field: str) -> Record:
    """The row with the field's default wherever the field occurs."""
    changes: dict[str, object] = {}
    for name, info in type(row).model_fields.items():
        value = getattr(row, name)
        if name == field:
            changes[name] = info.default
        elif isinstance(value, Record):
            changes[name] = blanked(value, field)
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            changes[name] = tuple(blanked(item, field) for item in value)
    return row.model_copy(update=changes)


def without(rows: pa.Table, field: str) -> pa.Table:
    def cut(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_struct(kind):
            return pa.struct([inner.with_type(cut(inner.type)) for inner in kind if inner.name != field])
        if pa.types.is_list(kind):
            return pa.list_(kind.value_field.with_type(cut(kind.value_type)))
        return kind

    def drop(value: object) -> object:
        if isinstance(value, dict):
            return {key: drop(inner) for key, inner in value.items() if key != field}
        return [drop(item) for item in value] if isinstance(value, list) else value

    kept = [item.with_type(cut(item.type)) for item in rows.schema if item.name != field]
    return pa.Table.from_pylist([drop(row) for row in rows.to_pylist()], pa.schema(kept, metadata=rows.schema.metadata))


def test_every_migration_in_use_reaches_a_table() -> None:
    records = [record for spec in TABLES.values() for record in spec._records]
    assert [m.why for m in reaching(records, MIGRATIONS)] == [m.why for m in MIGRATIONS]

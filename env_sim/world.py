"""The machinery that every domain shares: an immutable base, a layer of changed records, and the call protocol.

An episode never copies its database. Tools read a record through `Environment.record` and replace fields of it with
`Environment.change`; what was read must never be changed in place, or every episode over the same base sees it.
Knows no domain: tables, tools and rules come from the domain's subclass.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from typing import Any, ClassVar, Literal, Protocol

from env_sim.argument_size import MAX_ARGUMENTS, MAX_CHARS, SHORT, TOO_LARGE, bounded_copy
from env_sim.json_text import canonical_text
from env_sim.monitor import RuleSpec
from env_sim.tools import ChangedText, Tool, ToolRefusal, ToolResult
from schemas.records import Action, DatabaseRow

__all__ = [
    "Database",
    "Domain",
    "Environment",
    "Mode",
    "StateKey",
]

Mode = Literal["parity", "strict"]
"""`parity`: byte-equal to tau2, its mistakes included. `strict`: those mistakes corrected (the training default)."""

JsonRecord = dict[str, Any]
"""One record as plain JSON values, keys in the order in which tools print them. Never changed in place."""

StateKey = tuple[tuple[str, str, str], ...]
"""(table, id, canonical texts of the differing fields) of each record that differs from the base, sorted."""

_CALL_ERRORS = (ValueError, TypeError, AttributeError, ArithmeticError, LookupError, SyntaxError, RecursionError)
"""What a tool body can raise on any JSON arguments; their words are the tool's answer, as in tau2."""

_DISPATCH_NAMES = {
    "requestor": "tau2.environment.environment.Environment.make_tool_call() got multiple values for keyword "
    "argument 'requestor'",
    "self": "Environment.make_tool_call() got multiple values for argument 'self'",
    "tool_name": "Environment.make_tool_call() got multiple values for argument 'tool_name'",
}
"""Argument names that tau2's own dispatcher uses up before any tool is looked at, and what it then says."""


class Database(Protocol):
    """An immutable base shared by any number of environments."""

    tables: dict[str, dict[str, JsonRecord]]
    """Records by table and id. Read only by agreement: a proxy would cost every read."""

    def text(self, table: str, key: str) -> str:
        """What a tool prints for an unchanged record."""
        ...

    def changed_text(self, table: str, key: str, fields: JsonRecord) -> str:
        """What a tool prints for a record with these fields replaced; a new record is all of its fields."""
        ...

    def canonical_fragments(self, table: str) -> dict[str, str]:
        """Canonical text of every record of a table, ids sorted."""
        ...

    def entity_ids(self) -> dict[str, tuple[str, ...]]:
        """Ids of all entities by kind, sorted."""
        ...

    def content_sha256(self) -> str:
        """Hash of the whole content."""
        ...


class Environment:
    """One episode's world. Not thread-safe; creation costs about a microsecond."""

    tools: ClassVar[Mapping[str, Tool]] = {}
    mode: ClassVar[Mode] = "parity"

    __slots__ = ("_changed", "_identified", "_rules", "_texts", "_writes", "_written", "base")

    def __init__(self, base: Database) -> None:
        """Start an episode over a base; nothing is copied."""
        self.base = base
        self._written: list[tuple[str, JsonRecord]] = []
        """Successful state-changing calls as plain values; a replay never asks for the records of them."""
        self._writes: list[Action] = []
        self._changed: dict[tuple[str, str], JsonRecord] = {}
        """The replaced fields of each record that was written, all fields of a new one."""
        self._texts: dict[tuple[str, str], ChangedText] = {}
        self._rules: RuleSpec | None = None
        self._identified: set[str] = set()

    def guard(self, rules: RuleSpec) -> None:
        """From now on serve only customers whom an identifying call has found, as the rulebook wants.

        For episodes, in which someone talks to the agent. A replay of writes has nobody to identify.
        """
        self._rules = rules

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Run one tool call as tau2 would: any refusal or misfit is a result with `error`, never an exception.

        Departs from tau2 for arguments beyond the bounds of `env_sim.argument_size`: they are refused.
        """
        if type(arguments) is not dict:
            return ToolResult(f"Error: arguments must be an object, not {type(arguments).__name__}", True)
        try:
            if len(arguments) > MAX_ARGUMENTS or len(name) > SHORT:
                return ToolResult(f"Error: {TOO_LARGE}", True)
            measured: JsonRecord | None = None
            # Measuring would cost a read as much as itself: short texts alone, which most calls hold, pass unmeasured.
            for value in arguments.values():
                if type(value) is not str or len(value) > SHORT:
                    measured = bounded_copy(arguments)
                    if measured is None:
                        return ToolResult(f"Error: {TOO_LARGE}", True)
                    break
            found = self.tools.get(name)
            if found is None:
                raise ToolRefusal(f"Tool '{name}' not found.")
            if self._rules is not None:
                self._refuse_strangers(self._rules, name, arguments)
            content = found.run(self, **arguments)
        except _CALL_ERRORS as error:
            # The names beside short texts were not measured; one that is no tool's must not come back as a novel.
            if any(type(key) is str and len(key) > MAX_CHARS for key in arguments):
                return ToolResult(f"Error: {TOO_LARGE}", True)
            return ToolResult(f"Error: {_dispatch_clash(arguments) or error}", True)
        if found.writes:
            # The caller may change them later, so they are copied.
            self._written.append((name, measured or arguments.copy()))
        elif self._rules is not None and name in self._rules.identifies:
            self._identified.add(self._rules.owner_of(str(content)) or str(content).strip())
        return ToolResult(content)

    def _refuse_strangers(self, rules: RuleSpec, name: str, arguments: JsonRecord) -> None:
        if name in rules.identifies or name in rules.transfers or name in rules.without_data:
            return
        if not self._identified:
            raise ToolRefusal("The customer has not been identified")
        for argument, value in arguments.items():
            owner = None
            if argument == rules.owner:
                owner = value
            elif argument in rules.records and (record := self.record(rules.records[argument], value)):
                owner = record[rules.owner]
            if owner is not None and owner not in self._identified:
                raise ToolRefusal("This belongs to another customer")

    @property
    def writes(self) -> list[Action]:
        """Successful state-changing calls, in order. Read only."""
        for name, arguments in self._written[len(self._writes) :]:
            # The tool has accepted them, so they need no check.
            self._writes.append(Action.model_construct(name=name, arguments=arguments))
        return self._writes

    def record(self, table: str, key: str) -> JsonRecord | None:
        """The current record, None when there is none. Never change it in place."""
        record = self.base.tables[table].get(key)
        if self._changed:
            fields = self._changed.get((table, key))
            if fields is not None:
                return {**record, **fields} if record else fields
        return record

    def change(self, table: str, key: str, fields: JsonRecord) -> None:
        """Replace fields of a record in this episode only; a new record is made of all its fields."""
        place = (table, key)
        earlier = self._changed.get(place)
        if earlier is None:
            self._changed[place] = fields
        else:
            self._changed[place] = {**earlier, **fields}
            self._texts.pop(place, None)

    def changed(self, table: str, key: str, fields: JsonRecord) -> ChangedText:
        """`change`, and what a tool prints for the record after it: how most writes end."""
        place = (table, key)
        earlier = self._changed.get(place)
        if earlier is not None:
            fields = {**earlier, **fields}
        self._changed[place] = fields
        text = self._texts[place] = ChangedText(self.base, table, key, fields)
        return text

    def text(self, table: str, key: str) -> str:
        """What a tool prints for the current record."""
        place = (table, key)
        text = self._texts.get(place)
        if text is None:
            fields = self._changed.get(place)
            if fields is None:
                return self.base.text(table, key)
            text = self._texts[place] = ChangedText(self.base, table, key, fields)
        return str(text)

    def found_text(self, table: str, key: str) -> str | None:
        """As `text`, None when there is no such record: one look-up less than asking for the record first."""
        if self._changed and (table, key) in self._changed:
            return self.text(table, key)
        return self.base.text(table, key) if key in self.base.tables[table] else None

    def state_key(self) -> StateKey:
        """A hashable value: two environments over one base are in the same state iff their keys are equal."""
        found = []
        for (table, key), fields in self.compared_fields().items():
            text = self._difference(table, key, fields)
            if text:
                found.append((table, key, text))
        return tuple(sorted(found))

    def _difference(self, table: str, key: str, fields: JsonRecord) -> str:
        """Canonical texts of the fields in which a record differs from the base's, empty when it doesn't.

        Equal texts decide about a field that was replaced: to Python 1, 1.0 and True are one value.
        """
        before = self.base.tables[table].get(key)
        if before is None:
            return canonical_text({name: self.canonical_field(table, key, name, fields[name]) for name in fields})
        differing = []
        for name, value in fields.items():
            text = canonical_text(self.canonical_field(table, key, name, value))
            if text != canonical_text(self.canonical_field(table, key, name, before[name])):
                differing.append(f"{_spelled(name)}: {text}")
        return ", ".join(sorted(differing))

    def compared_fields(self) -> Mapping[tuple[str, str], JsonRecord]:
        """The written fields as states are compared; a mode may rename records whose ids carry no meaning."""
        return self._changed

    def canonical_field(self, table: str, key: str, name: str, value: Any) -> Any:
        """A field of a record as states are compared; a mode may drop an order that carries no meaning."""
        del table, key, name
        return value

    def database_hash(self) -> str:
        """tau2's hash of the whole current database; milliseconds, for parity checks only."""
        changed: dict[str, dict[str, str]] = {}
        for table, key in self._changed:
            changed.setdefault(table, {})[key] = canonical_text(self.record(table, key))
        # Sorted, since an episode may add records.
        return hash_tables(
            (table, dict(sorted({**self.base.canonical_fragments(table), **changed.get(table, {})}.items())))
            for table in sorted(self.base.tables)
        )


@cache
def _spelled(name: str) -> str:
    """A field name in JSON; there are only as many as the domains have."""
    return json.dumps(name)


def hash_tables(tables: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    """Hash of tables given as canonical fragments: the sha256 of `json.dumps(database, sort_keys=True)`."""
    parts = (
        f'"{table}": {{' + ", ".join(f"{json.dumps(key)}: {text}" for key, text in records.items()) + "}"
        for table, records in tables
    )
    return sha256(("{" + ", ".join(parts) + "}").encode()).hexdigest()


def _dispatch_clash(arguments: Mapping[str, Any]) -> str | None:
    if "requestor" in arguments:
        return _DISPATCH_NAMES["requestor"]
    return next((_DISPATCH_NAMES[name] for name in arguments if name in _DISPATCH_NAMES), None)


class Domain(Protocol):
    """What the rest of the system may ask of a domain."""

    name: str
    write_tools: frozenset[str]
    rules: RuleSpec

    def load_database(self, path: str) -> Database:
        """Read a database file."""
        ...

    def database_from_json(self, content: object) -> Database:
        """Check parsed JSON and take it as a database."""
        ...

    def generate_database(self, seed: int, n_users: int = 500, split: str = "train", index: int = 0) -> Database:
        """Make a database; equal arguments give equal bytes."""
        ...

    def database_row(self, split: str, index: int, seed: int, n_users: int) -> DatabaseRow:
        """Describe a generated database as a stored row."""
        ...

    def published_entity_ids(self) -> frozenset[str]:
        """Ids of published benchmarks of this domain, which no generated database may hold."""
        ...

    def published_grams(self) -> frozenset[str]:
        """Hashed word grams of what users are told in published benchmarks of this domain (see `word_grams`)."""
        ...

    def open_database(self, row: DatabaseRow) -> Database:
        """Make the database of a stored row again and verify it."""
        ...

    def new_environment(self, base: Database, mode: Mode = "strict") -> Environment:
        """Start an episode."""
        ...

    def tool_schemas(self) -> list[dict[str, Any]]:
        """The tools in OpenAI's function format."""
        ...

    def rulebook(self) -> str:
        """The policy for the agent, in Markdown."""
        ...

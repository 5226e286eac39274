"""Great Expectations over the flat columns of a table: the part of a gate that reads as a data contract.

Expectations are built from the record declarations (not null, unique id, value sets, ranges), so a bound is written
once, in the record. Why check what pydantic checked on the way in: the stored columns may have been written by
another version, by hand or by a migration. Great Expectations decides; Polars names the offending rows, which it does
a hundred times faster. Nested lists (messages, tokens) are the business of `episode_gates`.
"""

# The library's public names are re-exported without an alias, which pyright takes for private.
# pyright: reportPrivateImportUsage=false

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import polars as pl
import pyarrow as pa
from pydantic.fields import FieldInfo

from quality.gate import MAX_BAD_IDS
from schemas import GateResult, Record
from schemas.columns import ROUND, ROUND_FINGERPRINT, TableSpec, table_spec
from schemas.errors import GateError

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

GATE = "expectations"
"""Name of the verdict."""


@dataclass(frozen=True)
class Rule:
    """One expectation on one flat column; a dot leads into a struct, as in `reward.success`."""

    column: str
    kind: Literal["not_null", "unique", "one_of", "between", "not_blank"]
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    above: bool = False
    """The lower bound itself is refused."""
    real: bool = False
    """Floating point, where NaN counts as missing."""

    def __str__(self) -> str:
        """The rule in words, for messages."""
        match self.kind:
            case "one_of":
                return f"{self.column} in {list(self.values)}"
            case "between":
                return f"{self.column} in {'(' if self.above else '['}{self.low}, {self.high}]"
            case _:
                return f"{self.column} {self.kind}"

    def violated(self) -> pl.Expr:
        """Polars expression that is true on offending rows."""
        column = pl.col(self.column)
        match self.kind:
            case "not_null":
                bad = column.is_null() | column.is_nan() if self.real else column.is_null()
            case "unique":
                bad = column.is_duplicated()
            case "one_of":
                bad = ~column.is_in(list(self.values))
            case "not_blank":
                bad = column.str.len_chars() == 0
            case "between":
                bad = pl.lit(False) if self.low is None else (column <= self.low if self.above else column < self.low)
                bad = bad if self.high is None else bad | (column > self.high)
        return bad.fill_null(False)


def rules_for(table: str) -> tuple[Rule, ...]:
    """The expectations of a table, rendered from its record.

    Raises:
        UnknownTableError: When no such table is declared.
    """
    spec = table_spec(table)
    nullable = {column.name for column in spec.columns if column.nullable}
    rules = [Rule(ROUND, "not_null"), Rule(ROUND, "not_blank")]
    for name, field, inside in _flat_fields(spec):
        rules.extend(_field_rules(name, field, inside or name in nullable))
    first = next(_flat_fields(spec))[0]
    # A row's own id is the first field of its record; outcome rows start with a policy and have a compound key.
    if first.endswith("_id"):
        rules.append(Rule(first, "unique"))
    return tuple(rules)


def flat_columns(table: str) -> list[str]:
    """Top-level columns that the rules of a table read: what to load of a wide table."""
    return list(dict.fromkeys(rule.column.split(".")[0] for rule in rules_for(table)))


def _flat_fields(spec: TableSpec) -> Iterator[tuple[str, FieldInfo, bool]]:
    """(flat name, field, whether it lies in a struct) of every scalar column."""
    for name, field in spec.record.model_fields.items():
        inner = field.annotation
        if name == ROUND:
            continue
        if name == spec.flatten and isinstance(inner, type) and issubclass(inner, Record):
            yield from ((f"{sub}", info, False) for sub, info in inner.model_fields.items() if _is_scalar(info))
        elif isinstance(inner, type) and issubclass(inner, Record):
            yield from ((f"{name}.{sub}", info, True) for sub, info in inner.model_fields.items() if _is_scalar(info))
        elif _is_scalar(field):
            yield name, field, False


def _plain_type(field: FieldInfo) -> object:
    """The annotation without `| None`."""
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    return kinds[0] if type(None) in get_args(field.annotation) and len(kinds) == 1 else field.annotation


def _is_scalar(field: FieldInfo) -> bool:
    kind = _plain_type(field)
    enum = isinstance(kind, type) and issubclass(kind, Enum)
    return enum or get_origin(kind) is Literal or kind in (str, int, float, bool)


def _field_rules(name: str, field: FieldInfo, nullable: bool) -> list[Rule]:
    kind = _plain_type(field)
    rules = [] if nullable else [Rule(name, "not_null", real=kind is float)]
    if get_origin(kind) is Literal:
        rules.append(Rule(name, "one_of", values=tuple(map(str, get_args(kind)))))
    elif isinstance(kind, type) and issubclass(kind, Enum):
        rules.append(Rule(name, "one_of", values=tuple(str(member.value) for member in kind)))
    bounds = {key: getattr(item, key) for item in field.metadata for key in ("ge", "gt", "le") if hasattr(item, key)}
    if bounds:
        low = bounds.get("gt", bounds.get("ge"))
        rules.append(Rule(name, "between", low=low, high=bounds.get("le"), above="gt" in bounds))
    # `Name` keeps its minimum length in the Annotated type, which pydantic merges into the metadata.
    if any(getattr(item, "min_length", 0) for item in field.metadata):
        rules.append(Rule(name, "not_blank"))
    return rules


def run_suite(table: str, round_key: str, frame: pl.DataFrame | pa.Table) -> GateResult:
    """Validate the flat columns of one round of a table.

    Args:
        table: A declared table.
        round_key: Round of the rows, for the verdict.
        frame: The rows as stored; list columns may be left out (see `flat_columns`).

    Returns:
        One verdict; `numbers` counts the expectations and how many failed.

    Raises:
        GateError: When the frame lacks a column that is declared.
        UnknownTableError: When no such table is declared.
    """
    rules = rules_for(table)
    flat = _flattened(table, frame, rules)
    verdicts = _validated(flat, rules) if len(flat) else [True] * len(rules)
    broken = [rule for rule, passed in zip(rules, verdicts, strict=True) if not passed]
    bad_ids, n_bad = _offending(flat, broken, rules)
    message = ""
    if broken:
        message = (
            f"{table}[{round_key}]: {GATE}: expected {'; '.join(map(str, broken))}, got {n_bad} other rows of "
            f"{len(flat)} (first: {bad_ids[0] if bad_ids else 'none named'}); write the round again with this version"
        )
    return GateResult(
        table=table,
        round=round_key,
        gate=GATE,
        passed=not broken,
        n_rows=len(flat),
        bad_ids=bad_ids,
        numbers={"n_expectations": len(rules), "n_failed": len(broken)},
        message=message,
    )


def _flattened(table: str, frame: pl.DataFrame | pa.Table, rules: Sequence[Rule]) -> pl.DataFrame:
    present = frame.columns if isinstance(frame, pl.DataFrame) else frame.column_names
    wanted = list(dict.fromkeys(rule.column for rule in rules))
    missing = sorted({name.split(".")[0] for name in wanted} - set(present))
    if missing:
        raise GateError(
            f"suite[{table}]: expected the columns of schema {sorted(table_spec(table).schema.names)}, "
            f"got none named {missing}; read the declared columns"
        )
    tops = list(dict.fromkeys(name.split(".")[0] for name in wanted))
    narrow = frame.select(tops)
    data = narrow if isinstance(narrow, pl.DataFrame) else pl.DataFrame(pl.from_arrow(narrow))
    return data.select(_column(name).alias(name) for name in wanted)


def _column(name: str) -> pl.Expr:
    head, *path = name.split(".")
    column = pl.col(head)
    for part in path:
        column = column.struct.field(part)
    return column


def _expectation(rule: Rule) -> "Expectation":
    from great_expectations.expectations import core as gxe

    match rule.kind:
        case "not_null":
            return gxe.ExpectColumnValuesToNotBeNull(column=rule.column)
        case "unique":
            return gxe.ExpectColumnValuesToBeUnique(column=rule.column)
        case "one_of":
            return gxe.ExpectColumnValuesToBeInSet(column=rule.column, value_set=list(rule.values))
        case "not_blank":
            return gxe.ExpectColumnValueLengthsToBeBetween(column=rule.column, min_value=1)
        case "between":
            return gxe.ExpectColumnValuesToBeBetween(
                column=rule.column, min_value=rule.low, max_value=rule.high, strict_min=rule.above
            )


def _validated(flat: pl.DataFrame, rules: Sequence[Rule]) -> list[bool]:
    """Great Expectations' verdict on each rule, in the rules' order."""
    with warnings.catch_warnings():
        # Its own deprecations at import and use; ours are errors elsewhere.
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.enable_analytics(False)
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_pandas("rows")
        batch = source.add_dataframe_asset("round").add_batch_definition_whole_dataframe("all")
        suite = gx.ExpectationSuite(name=GATE, expectations=[])
        for index, rule in enumerate(rules):
            expectation = _expectation(rule)
            # The order of results is not that of the expectations: the place travels in `meta`.
            expectation.meta = {"rule": index}
            suite.add_expectation(expectation)
        validation = gx.ValidationDefinition(name=GATE, data=batch, suite=suite)
        context.suites.add(suite)
        context.validation_definitions.add(validation)
        outcome = validation.run(
            batch_parameters={"dataframe": flat.to_pandas()}, result_format={"result_format": "BOOLEAN_ONLY"}
        )
    verdicts = {
        result.expectation_config.meta["rule"]: bool(result.success)
        for result in outcome.results
        if result.expectation_config is not None and result.expectation_config.meta
    }
    if len(verdicts) != len(rules):
        raise GateError(f"suite: expected {len(rules)} results, got {len(verdicts)}; report with the library's version")
    return [verdicts[index] for index in range(len(rules))]


def _offending(flat: pl.DataFrame, broken: Sequence[Rule], rules: Sequence[Rule]) -> tuple[tuple[str, ...], int]:
    """Ids of the offending rows, at most a hundred, and how many rows there are; row numbers where no id exists."""
    if not broken:
        return (), 0
    keys = [rule.column for rule in rules if rule.kind == "unique"]
    names = pl.col(keys[0]) if keys else pl.lit(None, dtype=pl.String)
    rows = pl.concat_str(pl.lit("row "), pl.int_range(pl.len()))
    violated = pl.any_horizontal(rule.violated() for rule in broken)
    bad = flat.select(pl.coalesce(names, rows).alias("id"), violated.alias("bad"))
    ids = bad.filter(pl.col("bad"))["id"]
    return tuple(sorted(ids.unique())[:MAX_BAD_IDS]), len(ids)


def ignored_columns(table: str) -> list[str]:
    """Declared columns without a rule, lists and structs of lists: what other gates must look at."""
    read = set(flat_columns(table))
    return [column.name for column in table_spec(table).columns if column.name not in read | {ROUND_FINGERPRINT}]

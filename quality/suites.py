"""Great Expectations over the flat columns of a table: the part of a gate that reads as a data contract.

Expectations are rendered from the declared columns (not null, unique id, value sets, ranges), so a bound is written
once, in the record. Why check what pydantic checked on the way in: the stored columns may have been written by
another version, by hand or by a migration. Great Expectations decides; Polars names the offending rows, which it does
a hundred times faster. Nested lists (messages, tokens) are the business of `episode_gates`.
"""

# The library's public names are re-exported without an alias, which pyright takes for private.
# pyright: reportPrivateImportUsage=false

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl
import pyarrow as pa

from quality.gate import MAX_BAD_IDS
from schemas import GateResult
from schemas.columns import ROUND_FINGERPRINT, Column, table_spec
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
    """The expectations of a table, rendered from its columns.

    Raises:
        UnknownTableError: When no such table is declared.
    """
    spec = table_spec(table)
    own = [column for column in spec.columns if column.name != ROUND_FINGERPRINT]
    leaves = [leaf for column in own for leaf in _leaves(column)]
    rules = [rule for path, column, nullable in leaves for rule in _rules(path, column, nullable)]
    if spec.row_id:
        rules.append(Rule(spec.row_id, "unique"))
    return tuple(rules)


def flat_columns(table: str) -> list[str]:
    """Top-level columns that the rules of a table read: what to load of a wide table."""
    return list(dict.fromkeys(rule.column.split(".")[0] for rule in rules_for(table)))


def _leaves(column: Column, before: str = "", nullable: bool = False) -> Iterator[tuple[str, Column, bool]]:
    """(path, column, whether a value may be missing) of every scalar that lies in no list."""
    path, nullable = before + column.name, nullable or column.nullable
    if column.fields and not column.is_list:
        for field in column.fields:
            yield from _leaves(field, f"{path}.", nullable)
    elif not column.is_list:
        yield path, column, nullable


def _rules(path: str, column: Column, nullable: bool) -> list[Rule]:
    rules = [] if nullable else [Rule(path, "not_null", real=pa.types.is_floating(column.type))]
    if column.values:
        rules.append(Rule(path, "one_of", values=column.values))
    if column.low is not None or column.high is not None:
        rules.append(Rule(path, "between", low=column.low, high=column.high, above=column.above))
    if column.not_blank:
        rules.append(Rule(path, "not_blank"))
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

"""The page of a round's gates: every verdict with its numbers and the offending ids, for a person to look at.

The job of Great Expectations' Data Docs, whose pages load their style from elsewhere and know one gate of many. What
failed comes first and stands open, then what passed with a remark; the rest is folded by table. Built from
`quality.page`: no script, everything escaped.
"""

from collections.abc import Mapping, Sequence

from quality.gates import gates_for
from quality.page import Html, chip, element, joined, page, section, text
from quality.suites import GATE as EXPECTATIONS
from quality.suites import rules_for
from schemas import GateResult, GateWaiver

__all__ = ["gate_page_html"]

SHARE_WORDS = ("share", "drift_", "break_", "weight_", "similarity", "success_", "pattern_gap")
"""Numbers whose names hold one of these are shares in 0..1 and get a bar."""


def gate_page_html(
    round: str,
    tables: Sequence[str],
    results: Sequence[GateResult],
    waivers: Sequence[GateWaiver] = (),
    links: Mapping[str, str] | None = None,
) -> str:
    """The page as text.

    Args:
        round: Round whose gates are shown.
        tables: Checked tables, in the order in which to show them.
        results: Verdicts on them.
        waivers: What people let be read although a gate objects.
        links: Name -> file name of pages in the same folder.
    """
    of_table = {table: [row for row in results if row.table == table] for table in tables}
    waived = {waiver.table: waiver for waiver in waivers}
    failed = [row for rows in of_table.values() for row in rows if not row.passed]
    told = [row for rows in of_table.values() for row in rows if row.passed and row.message]
    parts = [_summary(of_table, failed, told, waivers)]
    if failed:
        parts.append(section("failed", "Refused", joined([_verdict(row, open=True, table=True) for row in failed])))
    if told:
        parts.append(
            section("remarks", "Look at these", joined([_verdict(row, open=True, table=True) for row in told]))
        )
    cards = [_table(table, rows, waived.get(table)) for table, rows in of_table.items()]
    parts.append(section("tables", "All tables", joined(cards or [element("p", text("No gate has run."), css="note")])))
    anchors = {"refused": "#failed"} if failed else {}
    anchors |= {"remarks": "#remarks"} if told else {}
    return page(f"Gates of {round}", {**anchors, "tables": "#tables", **(links or {})}, parts)


def _summary(
    of_table: Mapping[str, Sequence[GateResult]],
    failed: Sequence[GateResult],
    told: Sequence[GateResult],
    waivers: Sequence[GateWaiver],
) -> Html:
    n_gates = sum(map(len, of_table.values()))
    rows = sum(max((row.n_rows for row in results), default=0) for results in of_table.values())
    facts = [("tables", len(of_table), ""), ("rows checked", rows, ""), ("gates", n_gates, "")]
    facts += [("refused", len(failed), "bad" if failed else "good"), ("remarks", len(told), "")]
    facts += [("waived by people", len(waivers), "")]
    tiles = [
        element("div", element("b", text(f"{n:,}")), element("span", text(name)), css=f"tile {kind}".strip())
        for name, n, kind in facts
    ]
    return element("div", *tiles, css="tiles")


def _table(table: str, results: Sequence[GateResult], waiver: GateWaiver | None) -> Html:
    failed, told = sum(not row.passed for row in results), sum(row.passed and bool(row.message) for row in results)
    chips = [chip(f"{failed} refused", "bad")] if failed else [chip("passed", "good")]
    chips += [chip(f"{told} with a remark")] if told else []
    chips += [chip("waived")] if waiver else []
    n_rows = max((row.n_rows for row in results), default=0)
    head = element("summary", *chips[:1], element("b", text(table)), chip(f"{n_rows:,} rows"), *chips[1:])
    order = {gate.name: place for place, gate in enumerate(gates_for(table))}
    ordered = sorted(results, key=lambda row: (row.passed, order.get(row.gate, len(order))))
    said = [_waiver(waiver)] if waiver else []
    return element("details", head, *said, *(_verdict(row, open=not row.passed) for row in ordered))


def _waiver(waiver: GateWaiver) -> Html:
    return element("p", element("b", text(f"{waiver.by} lets it be read: ")), text(waiver.reason), css="verdict")


def _verdict(row: GateResult, *, open: bool, table: bool = False) -> Html:
    kind, word = ("good", "passed") if row.passed else ("bad", "refused")
    place = [element("b", text(f"{row.table} ")) if table else text("")]
    remark = [chip("remark")] if row.passed and row.message else []
    name, promise = text(f"{row.gate.replace('_', ' ')} "), element("small", text(_meaning(row)))
    head = element("summary", chip(word, kind), *place, name, promise, *remark)
    parts = [head]
    if row.message:
        said = row.message.removeprefix(f"{row.table}[{row.round}]: {row.gate}: ")
        parts.append(element("p", text(said), css="verdict" if not row.passed else "remark"))
    if row.numbers:
        parts.append(_numbers(row.numbers))
    if row.bad_ids:
        parts.append(_ids(row))
    if row.gate == EXPECTATIONS:
        parts.append(_expectations(row.table))
    body = element("details", *parts, css="gate")
    return Html(body.replace("<details", "<details open", 1)) if open else body


def _meaning(row: GateResult) -> str:
    """What the rule promises."""
    if row.gate == EXPECTATIONS:
        return "Great Expectations on the flat columns: present, unique, in range, one of the known values."
    gate = next((gate for gate in gates_for(row.table) if gate.name == row.gate), None)
    return gate.meaning if gate else "No gate of this name guards the table any more."


def _numbers(numbers: Mapping[str, float]) -> Html:
    lines = [
        element(
            "tr", element("td", text(name.replace("_", " "))), element("td", text(_number(value))), _bar(name, value)
        )
        for name, value in sorted(numbers.items())
    ]
    return element("div", element("table", *lines, css="numbers"), css="scroll")


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.4g}"


def _bar(name: str, value: float) -> Html:
    if not any(word in name for word in SHARE_WORDS) or not 0 <= value <= 1:
        return element("td")
    return element("td", element("div", Html(f'<i style="width:{100 * value:.1f}%"></i>'), css="bar"), css="wide")


def _ids(row: GateResult) -> Html:
    ids = [element("li", element("code", text(name))) for name in row.bad_ids]
    words = f"{len(row.bad_ids)} offending ids, to follow with python -m schemas.trace ID"
    return element("details", element("summary", text(words)), element("ul", *ids, css="ids"))


def _expectations(table: str) -> Html:
    rules = [element("li", element("code", text(str(rule)))) for rule in rules_for(table)]
    return element("details", element("summary", text(f"{len(rules)} expectations")), element("ul", *rules, css="ids"))

"""The findings of a published task file as a Markdown page. Pure text: no replay, no file."""

from collections.abc import Mapping, Sequence

from env_sim.soundness_rules import Finding

__all__ = ["markdown_report", "precision_recall"]

MAX_EVIDENCE = 200
"""Characters of an evidence in a table cell."""


def precision_recall(found: set[str], known: set[str]) -> tuple[float, float]:
    """Share of the found that are known, share of the known that are found; 1 where there is nothing to find."""
    both = len(found & known)
    return both / len(found) if found else 1.0, both / len(known) if known else 1.0


def markdown_report(found: Mapping[str, Sequence[Finding]], known: Mapping[str, str] | None = None) -> str:
    """Counts by rule, a row per task, and, against a hand-made list, what was found and missed."""
    parts = [_rule_table(found, known), *([_comparison(found, known)] if known is not None else []), _task_table(found)]
    return "\n\n".join(parts) + "\n"


def _rule_table(found: Mapping[str, Sequence[Finding]], known: Mapping[str, str] | None) -> str:
    tasks: dict[tuple[str, str], set[str]] = {}
    for key, findings in found.items():
        for finding in findings:
            tasks.setdefault((finding.severity, finding.rule), set()).add(key)
    rows = [[rule, severity, str(len(keys))] for (severity, rule), keys in sorted(tasks.items())]
    head = ["rule", "severity", "tasks"]
    if known is not None:
        head.append("of them on the list")
        for row, (_, keys) in zip(rows, sorted(tasks.items()), strict=True):
            row.append(str(len(keys & set(known))))
    clean, broken = sum(not findings for findings in found.values()), len(_with(found, "broken"))
    suspicious = len(found) - broken - clean
    title = f"{len(found)} tasks: {broken} broken, {suspicious} only suspicious, {clean} without finding."
    return f"{title}\n\n{_table(head, rows)}"


def _with(found: Mapping[str, Sequence[Finding]], severity: str) -> set[str]:
    return {key for key, findings in found.items() if any(f.severity == severity for f in findings)}


def _comparison(found: Mapping[str, Sequence[Finding]], known: Mapping[str, str]) -> str:
    broken, flagged = _with(found, "broken"), {key for key, findings in found.items() if findings}
    rows = []
    for name, keys in (("broken", broken), ("any finding", flagged)):
        precision, recall = precision_recall(keys, set(known))
        rows.append((name, str(len(keys)), str(len(keys & set(known))), f"{precision:.2f}", f"{recall:.2f}"))
    head = f"## Against a hand-made list of {len(known)} tasks"
    scores = _table(("what counts as found", "found", "on the list", "precision", "recall"), rows)
    listed = [(key, reason, _verdict(found.get(key, ()))) for key, reason in _ordered(known)]
    return f"{head}\n\n{scores}\n\n{_table(('task', 'why it is on the list', 'what was found'), listed)}"


def _verdict(findings: Sequence[Finding]) -> str:
    return ", ".join(dict.fromkeys(f"{f.rule} ({f.severity})" for f in findings)) or "**missed**"


def _task_table(found: Mapping[str, Sequence[Finding]]) -> str:
    rows = [
        (key, finding.severity, finding.rule, finding.evidence[:MAX_EVIDENCE])
        for key, findings in _ordered(found)
        for finding in (findings or [Finding("-", "", "suspicious")])
    ]
    rows = [(key, "sound" if rule == "-" else severity, rule, text) for key, severity, rule, text in rows]
    return f"## All tasks\n\n{_table(('task', 'verdict', 'rule', 'evidence'), rows)}"


def _ordered(rows: Mapping[str, object]) -> list:
    """Numbers as numbers, other ids behind them."""
    return sorted(rows.items(), key=lambda row: (not row[0].isdigit(), int(row[0]) if row[0].isdigit() else 0, row[0]))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )

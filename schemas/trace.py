"""A row's lineage from a terminal: `python -m schemas.trace ID [--picture trace.svg]`.

Prints the chain of `schemas.lineage`, or draws it as one SVG file that needs nothing from elsewhere. What a policy or a
judge wrote is data: one line of it, without control characters, escaped in the picture.
"""

import argparse
import html
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from schemas.lineage import Trace, TraceRow, TraceStep, trace
from schemas.terminal import add_warehouse, existing_warehouse, exit_code, put_file

__all__ = ["main", "svg", "text"]

SHOWN_ROWS = 5
"""Rows of a step that are shown; a cluster can have hundreds of tasks."""
LINE = 100
"""Characters of a row's own words."""

ID = 26
"""Characters of an id; the longest of ours is a training group's."""

WIDTH, MARGIN, LINE_HEIGHT, GAP = 1060, 16, 18, 22
"""Of the picture, pixels."""


def text(found: Trace, n_rows: int = SHOWN_ROWS) -> str:
    """The chain for a terminal: a line per step, its first rows below."""
    lines = [f"trace of {found.id}"]
    for step in found.steps:
        lines.append(_headline(step))
        lines += [f"    {row.round:<10} {row.id:<{ID}} {_one_line(row.text)}" for row in step.rows[:n_rows]]
        lines += [f"    ... and {len(step.rows) - n_rows} more"] if len(step.rows) > n_rows else []
    return "\n".join(lines) + "\n"


def _headline(step: TraceStep) -> str:
    return f"{step.name}: {len(step.rows) or 'none'} ({step.table})"


def _one_line(words: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in " ".join(words.split()))
    return printable if len(printable) <= LINE else printable[: LINE - 3] + "..."


def svg(found: Trace, n_rows: int = SHOWN_ROWS) -> str:
    """The chain as a picture: a box per step, arrows down."""
    parts: list[str] = []
    top = MARGIN + 2 * LINE_HEIGHT
    for number, step in enumerate(found.steps):
        height = (2 + min(len(step.rows), n_rows) + (len(step.rows) > n_rows)) * LINE_HEIGHT
        if number:
            parts.append(_arrow(top - GAP, top))
        parts.append(_box(step, top, height, found.id, n_rows))
        top += height + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
        f'font-family="ui-sans-serif, system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>\n'
        + _words(MARGIN, MARGIN + LINE_HEIGHT, f"Trace of {found.id}", size=17, weight=600)
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _arrow(start: int, end: int) -> str:
    x = WIDTH // 2
    return (
        f'<path d="M{x} {start + 2} V{end - 7}" stroke="#94a3b8" stroke-width="1.5"/>'
        f'<path d="M{x - 4} {end - 8} L{x} {end - 1} L{x + 4} {end - 8} Z" fill="#94a3b8"/>'
    )


def _box(step: TraceStep, top: int, height: int, start_id: str, n_rows: int) -> str:
    fill, line = ("#f8fafc", "#cbd5e1") if step.rows else ("#ffffff", "#e2e8f0")
    parts = [
        f'<rect x="{MARGIN}" y="{top}" width="{WIDTH - 2 * MARGIN}" height="{height}" rx="6" fill="{fill}" '
        f'stroke="{line}"/>',
        _words(MARGIN + 12, top + 22, f"{step.name}: {len(step.rows) or 'none'}", weight=600),
        _words(WIDTH - MARGIN - 12, top + 22, step.table, colour="#64748b", anchor="end"),
    ]
    for number, row in enumerate(step.rows[:n_rows]):
        parts.append(_row(row, top + 22 + (number + 1) * LINE_HEIGHT, row.id == start_id))
    if len(step.rows) > n_rows:
        y = top + 22 + (n_rows + 1) * LINE_HEIGHT
        parts.append(_words(MARGIN + 12, y, f"and {len(step.rows) - n_rows} more", colour="#64748b"))
    return "\n".join(parts)


def _row(row: TraceRow, y: int, is_start: bool) -> str:
    colour = "#b91c1c" if is_start else "#0f172a"
    return (
        _words(MARGIN + 12, y, row.round, colour="#64748b")
        + _words(MARGIN + 90, y, row.id[:ID], colour=colour, font="ui-monospace, monospace")
        + _words(MARGIN + 292, y, _one_line(row.text))
    )


def _words(
    x: int,
    y: int,
    words: str,
    *,
    size: int = 13,
    weight: int = 400,
    colour: str = "#0f172a",
    anchor: str = "start",
    font: str = "inherit",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" font-family="{font}" fill="{colour}" '
        f'text-anchor="{anchor}">{html.escape(words)}</text>\n'
    )


def main(arguments: Sequence[str], out: TextIO = sys.stdout, err: TextIO = sys.stderr) -> int:
    """Trace one id; returns the exit code: 0, or 2 when the warehouse refuses."""
    parser = argparse.ArgumentParser("python -m schemas.trace", description="Follow a row along the loop, both ways.")
    parser.add_argument("id", help="of a task, trajectory, explanation or cluster")
    parser.add_argument("--rows", type=int, default=SHOWN_ROWS, help="rows shown of each step")
    parser.add_argument("--picture", metavar="FILE", help="write the chain as this SVG file too")
    add_warehouse(parser)
    options = parser.parse_args(arguments)
    return exit_code(lambda: _show(options, out), err)


def _show(options: argparse.Namespace, out: TextIO) -> None:
    found = trace(existing_warehouse(options.warehouse), options.id)
    out.write(text(found, options.rows))
    if options.picture:
        put_file(Path(options.picture), svg(found, options.rows).encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

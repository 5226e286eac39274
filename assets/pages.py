"""Pages of a round on disk: where they lie, and the page of its gates.

The page of gates is written anew after every check, so that it is there when a gate has stopped the round, which is
when a person needs it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from quality.gate_page import gate_page_html
from schemas import BOOTSTRAP, GateResult
from schemas.columns import TABLES

if TYPE_CHECKING:
    from schemas.store import Warehouse

__all__ = ["gate_page_path", "report_path", "write_gate_page", "write_page"]


def report_path(root: str, round: str) -> Path:
    """Where a round's report lies."""
    return Path(root) / "reports" / f"{round}.html"


def gate_page_path(root: str, round: str) -> Path:
    """Where the page of a round's gates lies; the bootstrap has one too."""
    return Path(root) / "reports" / f"{round}-gates.html"


def write_page(path: Path, page: str) -> Path:
    """Put a page in the place of an older one, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(page, encoding="utf-8")
    return draft.replace(path)


def write_gate_page(warehouse: "Warehouse", round: str) -> Path:
    """Write what the gates have said on a round so far."""
    results = [row for row in warehouse.read("gate_results", round) if isinstance(row, GateResult)]
    tables = {row.table for row in results}
    order = [table for table in TABLES if table in tables]
    waivers = [waiver for table in order if (waiver := warehouse.waiver(table, round)) is not None]
    pages = {key: gate_page_path(warehouse.root, key).name for key in warehouse.rounds("gate_results") if key != round}
    reports = {"report": report_path(warehouse.root, round).name} if round != BOOTSTRAP else {}
    page = gate_page_html(round, order, results, waivers, {**reports, **pages})
    return write_page(gate_page_path(warehouse.root, round), page)

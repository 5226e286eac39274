"""The page of gates: everything in it, what failed on top, nothing from a row becomes markup."""

from quality.gate_page import gate_page_html
from schemas import GateResult, GateWaiver
from tests.quality.test_report import HOSTILE, parsed


def result(table: str, gate: str, *, passed: bool = True, **changes: object) -> GateResult:
    fields: dict[str, object] = {"table": table, "round": "round-001", "gate": gate, "passed": passed, "n_rows": 40}
    return GateResult.model_validate(fields | changes)


RESULTS = [
    result("task_pool", "not_empty"),
    result("task_pool", "expectations", numbers={"n_expectations": 17, "n_failed": 0}),
    result("task_pool", "steady", message=f"task_pool[round-001]: steady: {HOSTILE}", numbers={"drift_x": 0.25}),
    result("sft_tasks", "decontaminated", passed=False, bad_ids=("task-1", HOSTILE), message="1 row refused"),
    result("sft_tasks", "a_gate_of_an_older_version"),
]


def page_of(*waivers: GateWaiver) -> str:
    return gate_page_html("round-001", ["sft_tasks", "task_pool"], RESULTS, waivers, {"report": "round-001.html"})


def test_the_page_shows_every_verdict_number_and_offending_id_and_escapes_them() -> None:
    page = page_of()
    tags = parsed(page)
    assert "script" not in tags.seen and "img" not in tags.seen
    assert all(source.startswith("#") or source == "round-001.html" for source in tags.sources)
    for words in (
        "decontaminated",
        "task-1",
        "2 offending ids",
        "1 row refused",
        "0.25",
        "task_id unique",
        "not empty",
    ):
        assert words in page
    assert "&lt;script&gt;" in page
    assert "No gate of this name guards the table any more." in page


def test_what_was_refused_stands_first_and_open_and_remarks_next() -> None:
    page = page_of()
    assert page.index('id="failed"') < page.index('id="remarks"') < page.index('id="tables"')
    assert page[page.index('id="failed"') :].index("<details open") < 200


def test_a_waiver_stands_with_name_and_reason_beside_its_table() -> None:
    waiver = GateWaiver(table="sft_tasks", round="round-001", reason="read <all> of them", by="mira")
    page = page_of(waiver)
    assert "mira lets it be read: " in page and "read &lt;all&gt; of them" in page


def test_a_round_without_verdicts_says_so() -> None:
    assert "No gate has run." in gate_page_html("round-001", [], [])

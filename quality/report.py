"""The page of a round: Pass^k, training curves, failure clusters, pool and a viewer of episodes, in one HTML file.

Self-contained: inline style, plots as data URIs, no script, no link out. All text that came from a policy, a user
simulator or a judge is data and is escaped in one place (`quality.page`). The page shows what it is given and computes
nothing but counts; a section without rows says so instead of vanishing.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from quality import plots
from quality.cluster_map import FailureMap, map_2d
from quality.page import Html, chip, element, image, joined, page, section, table, text
from quality.pass_hat_k import PairedDifference, excluded_text, policy_order
from schemas import (
    Explanation,
    FailureCluster,
    Message,
    PassHatK,
    PoolTask,
    StopReason,
    Task,
    TaskOutcome,
    TrainStep,
    Trajectory,
)

MAX_CHARS = 1500
"""Characters of one message that the viewer shows; tool results of whole profiles are longer."""


@dataclass(frozen=True, kw_only=True)
class RoundReport:
    """Rows behind the page of one round. Everything but the round may be empty."""

    round: str
    pass_hat_k: Sequence[PassHatK] = ()
    differences: Sequence[PairedDifference] = ()
    """Paired comparisons to print below the table."""
    outcomes: Sequence[TaskOutcome] = ()
    """Test outcomes, for success by pattern."""
    train_steps: Sequence[TrainStep] = ()
    explanations: Sequence[Explanation] = ()
    clusters: Sequence[FailureCluster] = ()
    previous_clusters: Sequence[FailureCluster] = ()
    """Clusters of the round before, for what came, stayed and went."""
    pool: Sequence[PoolTask] = ()
    tasks: Sequence[Task] = ()
    """Tasks of the episodes, for the viewer."""
    trajectories: Sequence[Trajectory] = ()
    """Episodes to choose from for the viewer."""
    failure_map: FailureMap | None = None
    """Made from the explanations when None."""
    notes: Sequence[str] = ()
    """Sentences to print on top: profile, made_by, what not to compare."""


def round_report_html(report: RoundReport, n_failed: int = 6, n_succeeded: int = 3) -> str:
    """The page as text.

    Args:
        report: Rows of the round.
        n_failed: Failed episodes in the viewer, one per cluster before a second of any.
        n_succeeded: Successful episodes in the viewer.
    """
    sections = [
        _summary(report),
        section("results", "Pass^k", _results(report)),
        section("training", "Training", _training(report.train_steps)),
        section("clusters", "Failure clusters", _clusters(report)),
        section("pool", "Task pool", _pool(report.pool)),
        section("episodes", "Episodes", _episodes(report, n_failed, n_succeeded)),
    ]
    links = {name: f"#{name}" for name in ("results", "training", "clusters", "pool", "episodes")}
    return page(f"Faultline, {report.round}", {**links, "gates": f"{report.round}-gates.html"}, sections)


def _summary(report: RoundReport) -> Html:
    failed = [
        row for row in report.trajectories if not row.succeeded and row.stop_reason is not StopReason.INFRASTRUCTURE
    ]
    lost = sum(row.stop_reason is StopReason.INFRASTRUCTURE for row in report.trajectories)
    n_faults = sum(row.user_fault is not None for row in report.trajectories)
    facts = [
        ("episodes", len(report.trajectories)),
        ("failed", len(failed)),
        ("lost to infrastructure", lost),
        *([("spoilt by the user", n_faults)] if n_faults else []),
        ("explanations", len(report.explanations)),
        ("clusters", len(report.clusters)),
        ("tasks in the pool", len(report.pool)),
        ("training steps", len(report.train_steps)),
    ]
    tiles = [
        element("div", element("b", text(f"{count:,}")), element("span", text(name)), css="tile")
        for name, count in facts
    ]
    notes = [element("p", text(note), css="note") for note in report.notes]
    return joined([element("div", *tiles, css="tiles"), *notes])


def _results(report: RoundReport) -> Html:
    if not report.pass_hat_k:
        return _nothing("no policy was evaluated in this round")
    ks = sorted({row.k for row in report.pass_hat_k})
    cells = {(row.policy, row.k): row for row in report.pass_hat_k}
    lines = []
    for policy in sorted({row.policy for row in report.pass_hat_k}, key=policy_order):
        own = [cells.get((policy, k)) for k in ks]
        first = next(row for row in own if row is not None)
        counts = (f"{first.n_tasks:,}", f"{first.n_trials:,}", excluded_text(first))
        lines.append([text(policy), *(_interval_cell(row) for row in own), *map(text, counts)])
    header = ["policy", *(f"Pass^{k}, %" for k in ks), "tasks", "trials", "excluded"]
    parts = [table(header, lines), image(plots.pass_hat_k_plot(report.pass_hat_k), "Pass^k per policy")]
    if report.differences:
        parts.append(_differences(report.differences))
    if report.outcomes:
        parts.append(image(plots.pattern_plot(report.outcomes), "success by pattern"))
    return joined(parts)


def _interval_cell(row: PassHatK | None) -> Html:
    if row is None:
        return text("-")
    interval = element("small", text(f" {100 * row.ci_low:.1f} to {100 * row.ci_high:.1f}"))
    return joined([element("b", text(f"{100 * row.pass_hat_k:.1f}")), interval])


def _differences(differences: Sequence[PairedDifference]) -> Html:
    lines = [
        [
            text(f"{row.candidate} over {row.baseline}"),
            text(f"{row.k}"),
            element("b", text(f"{100 * row.mean:+.1f}")),
            text(f"{100 * row.ci_low:+.1f} to {100 * row.ci_high:+.1f}"),
            text(f"{row.p_value:.4f}"),
            text(f"{row.n_better} / {row.n_worse} of {row.n_tasks}"),
        ]
        for row in differences
    ]
    header = ["paired by task", "k", "points", "95 % interval", "p", "tasks better / worse"]
    return joined([element("h3", text("Differences")), table(header, lines)])


def _training(steps: Sequence[TrainStep]) -> Html:
    if not steps:
        return _nothing("no training in this round")
    return image(plots.training_plot(steps), "training curves")


def _clusters(report: RoundReport) -> Html:
    if not report.clusters:
        return _nothing("no failures of the agent, so no clusters")
    points = report.failure_map or map_2d(report.explanations, report.clusters)
    labels = {cluster.cluster_id: cluster.label for cluster in report.previous_clusters}
    first = report.clusters[0]
    inside = sum(cluster.share for cluster in report.clusters)
    numbers = (
        f"{1 - inside:.0%} of the failures are in no cluster; stability {first.stability_ari:.2f} (bootstrap ARI)."
    )
    cards = [_cluster_card(cluster, labels) for cluster in report.clusters]
    plot = image(plots.cluster_plot(report.clusters, points), "clusters and map")
    return joined([element("p", text(numbers)), plot, *cards, *_round_diff(report)])


def _round_diff(report: RoundReport) -> list[Html]:
    """Each cluster of the round before and the share that its continuations have now."""
    if not report.previous_clusters:
        return []
    lines = []
    for past in report.previous_clusters:
        now = [cluster for cluster in report.clusters if cluster.previous_cluster_id == past.cluster_id]
        share = sum(cluster.share for cluster in now)
        change = text(f"{100 * (share - past.share):+.0f}") if now else element("b", text("gone"))
        cells = (past.pattern, f"{past.size}", f"{sum(c.size for c in now)}", f"{past.share:.0%}", f"{share:.0%}")
        lines.append([text(past.label), *(text(cell) for cell in cells), change])
    new = sum(cluster.previous_cluster_id is None for cluster in report.clusters)
    header = ["cluster of the round before", "pattern", "failures then", "now", "share then", "now", "points"]
    words = text(f"{new} of {len(report.clusters)} clusters have no counterpart in the round before.")
    return [element("h3", text("Against the round before")), table(header, lines), element("p", words, css="note")]


def _cluster_card(cluster: FailureCluster, labels: dict[str, str]) -> Html:
    past = cluster.previous_cluster_id
    origin = [chip(f"continues {labels.get(past, past)}")] if past else []
    head = element(
        "summary",
        element("b", text(cluster.label)),
        chip(cluster.called_text),
        chip(f"{cluster.size} failures, {cluster.share:.0%}"),
        chip(f"silhouette {cluster.silhouette:.2f}"),
        *origin,
    )
    examples = [element("li", text(example)) for example in cluster.example_texts]
    return element("details", head, element("ul", *examples), element("p", text(", ".join(cluster.terms)), css="note"))


def _pool(pool: Sequence[PoolTask]) -> Html:
    if not pool:
        return _nothing("the pool is empty")
    by_intent = Counter(str(row.task.intent) for row in pool)
    targeted = sum(row.task.cluster_id is not None for row in pool)
    intents = ", ".join(f"{count:,} {name}" for name, count in by_intent.most_common())
    numbers = f"{len(pool):,} tasks in {len({row.task.database_id for row in pool}):,} databases: {intents}. "
    numbers += f"{targeted / len(pool):.0%} aim at a failure cluster."
    return joined([element("p", text(numbers)), image(plots.pool_plot(pool), "pool by pattern and round")])


def _episodes(report: RoundReport, n_failed: int, n_succeeded: int) -> Html:
    chosen = _chosen(report, n_failed, n_succeeded)
    if not chosen:
        return _nothing("no episodes were given")
    tasks = {task.task_id: task for task in report.tasks}
    reasons = {row.trajectory_id: row for row in report.explanations}
    return joined([_episode(row, tasks.get(row.task_id), reasons.get(row.trajectory_id)) for row in chosen])


def _chosen(report: RoundReport, n_failed: int, n_succeeded: int) -> list[Trajectory]:
    """Failed episodes, round-robin over the clusters, then successful ones; by id, so that the page is reproducible."""
    rows = sorted(report.trajectories, key=lambda row: row.trajectory_id)
    owner = {member: c.cluster_id for c in report.clusters for member in c.explanation_ids}
    cluster = {row.trajectory_id: owner.get(row.explanation_id, "") for row in report.explanations}
    places: Counter[str] = Counter()
    turns: list[tuple[int, int]] = []
    failed = [row for row in rows if not row.succeeded and row.stop_reason is not StopReason.INFRASTRUCTURE]
    for index, row in enumerate(failed):
        name = cluster.get(row.trajectory_id, "")
        turns.append((places[name], index))
        places[name] += 1
    return [failed[index] for _, index in sorted(turns)[:n_failed]] + [row for row in rows if row.succeeded][
        :n_succeeded
    ]


def _episode(row: Trajectory, task: Task | None, reason: Explanation | None) -> Html:
    verdict = chip("succeeded", "good") if row.succeeded else chip("failed", "bad")
    opening = next((message.content for message in row.messages if message.role == "user"), row.task_id)
    head = element(
        "summary",
        verdict,
        element("span", text(plots.shortened(opening, 90))),
        chip(task.pattern if task else row.task_id),
        chip(str(row.stop_reason)),
        chip(f"{row.policy}, trial {row.trial}"),
    )
    parts = [head]
    if reason is not None:
        blame = f"Judge ({reason.made_by}), {reason.blame}, {reason.pattern}, turn {reason.decisive_turn}: "
        parts.append(element("p", element("b", text(blame)), text(reason.text), css="verdict"))
    if task is not None:
        required = [_call(write.name, write.arguments) for write in task.criteria.writes]
        required += ["a transfer to a human"] if task.criteria.transfer else []
        parts.append(element("p", element("b", text("Required: ")), text("; ".join(required)), css="note"))
    cited = frozenset(reason.evidence_turns if reason else ())
    parts += [_bubble(turn, message, turn in cited) for turn, message in enumerate(row.messages)]
    parts.append(element("p", text(_score(row)), css="note"))
    return element("details", *parts)


def _score(row: Trajectory) -> str:
    parts = row.reward
    return (
        f"reward {parts.total:.3f}: success {parts.success:.0f}, action checks {parts.action_checks:.2f}, "
        f"{parts.length_tokens} tokens, {parts.repeats} repeats. {row.trajectory_id}, {row.policy_version}"
    )


def _bubble(turn: int, message: Message, cited: bool) -> Html:
    parts = [element("small", text(f"{turn} {message.role}"))]
    if message.reasoning:
        parts.append(element("i", text(plots.shortened(message.reasoning, MAX_CHARS))))
    if message.content:
        parts.append(element("span", text(plots.shortened(message.content, MAX_CHARS))))
    parts += [element("code", text(_call(call.name, call.arguments))) for call in message.tool_calls]
    style = f"bubble {message.role}{' refused' if message.error else ''}{' cited' if cited else ''}"
    return element("div", *parts, css=style)


def _call(name: str, arguments: object) -> str:
    return f"{name}({json.dumps(arguments, ensure_ascii=False, sort_keys=True)[1:-1]})"


def _nothing(words: str) -> Html:
    return element("p", text(f"Nothing to show: {words}."), css="note")

"""Plots of a round as PNG bytes: what the UI shows at an asset and the report embeds.

One style, one colour per policy or cluster throughout. Figures are built without pyplot, so that no global state is
shared between threads; matplotlib is imported inside functions, because it costs half a second. Nothing is computed
here but positions on the page.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from quality.cluster_map import FailureMap
from quality.grouping import NOISE
from quality.pass_hat_k import policy_order
from schemas import FailureCluster, PassHatK, PoolTask, TaskOutcome, TrainStep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2933", "#616e7c", "#e4e7eb"
PALETTE = ("#2f6fb0", "#d9822b", "#2e8b57", "#a5497f", "#7a6f3d", "#c0413b", "#4aa3a2", "#6b5fb5", "#8a5a3c", "#5d8a1f")
"""Told apart in print and with the common colour blindnesses for the first five; series beyond take paler copies."""
BASE_COLORS = {"base": "#9aa5b1", "sft": "#52606d"}
"""Grey for where training starts, so that colour means a round."""
NOISE_COLOR = "#cbd2d9"
_DPI = 130

_IMITATION, _RL = frozenset({"warmup", "sft"}), frozenset({"grpo"})
_CURVES = (
    ("cross-entropy, nats per token", "loss", _IMITATION),
    ("success rate of rollouts", "success_rate", _RL),
    ("mean reward", "mean_reward", _RL),
    ("GRPO loss", "loss", _RL),
    ("KL to the sampler, nats", "kl", _RL),
    ("entropy, nats", "entropy", _RL),
    ("assistant tokens per episode", "mean_length_tokens", _RL),
    ("repeated calls per episode", "repeats_per_episode", _RL),
    ("clipped tokens, share", "clip_fraction", _RL),
)
"""Panels of the training plot: title, field of the step, stages in it (their losses have no common scale)."""


def pass_hat_k_plot(rows: Sequence[PassHatK]) -> bytes:
    """Bars of Pass^k per policy, grouped by k, with the 95 % interval over tasks."""
    ks = sorted({row.k for row in rows})
    policies = sorted({row.policy for row in rows}, key=policy_order)
    colors = policy_colors(policies)
    figure, axes = _figure("Pass^k on the test tasks, 95 % interval over tasks", "Pass^k, %", width=8.4)
    width = 0.8 / max(1, len(policies))
    for place, policy in enumerate(policies):
        own = sorted((row for row in rows if row.policy == policy), key=lambda row: row.k)
        at = [ks.index(row.k) + (place - (len(policies) - 1) / 2) * width for row in own]
        heights = [100 * row.pass_hat_k for row in own]
        below = [max(0.0, 100 * (row.pass_hat_k - row.ci_low)) for row in own]
        above = [max(0.0, 100 * (row.ci_high - row.pass_hat_k)) for row in own]
        axes.bar(at, heights, width * 0.9, color=colors[policy], label=policy)
        axes.errorbar(at, heights, yerr=[below, above], fmt="none", ecolor=INK, elinewidth=1, capsize=2.5)
        for x, height, up in zip(at, heights, above, strict=True):
            label = {"ha": "center", "va": "bottom", "fontsize": 7.5, "color": INK}
            axes.annotate(f"{height:.0f}", (x, height + up), (0, 2), textcoords="offset points", **label)
    top = max((100 * row.ci_high for row in rows), default=100)
    axes.set_xticks(range(len(ks)), [f"k = {k}" for k in ks])
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, min(108, 1.15 * top + 2))
    _legend(axes, policies)
    return _png(figure)


def training_plot(steps: Sequence[TrainStep]) -> bytes:
    """Curves over the steps, one panel per metric that was recorded, one line per policy and stage."""
    lines: dict[tuple[str, str], list[TrainStep]] = defaultdict(list)
    for step in sorted(steps, key=lambda step: (policy_order(step.policy), step.step)):
        lines[step.policy, step.stage].append(step)
    shown = [metric for metric in _CURVES if any(_points(own, stage, metric) for (_, stage), own in lines.items())]
    n_columns = min(3, max(1, len(shown)))
    n_rows = max(1, -(-len(shown) // n_columns))
    figure, panels = _panels(n_rows, n_columns, width=3.6 * n_columns, height=2.5 * n_rows)
    for axes, metric in zip(panels, shown, strict=False):
        axes.set_title(metric[0], fontsize=9, color=INK, loc="left")
        axes.set_xlabel("step", fontsize=8)
        _draw_curves(axes, metric, lines)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    known = {label: mark for axes in panels for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if known:
        marks, columns = list(known.values()), min(5, len(known))
        figure.legend(marks, list(known), loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    return _png(figure)


def _draw_curves(
    axes: "Axes", metric: tuple[str, str, frozenset[str]], lines: dict[tuple[str, str], list[TrainStep]]
) -> None:
    colors = policy_colors(sorted({policy for policy, _ in lines}, key=policy_order))
    for (policy, stage), own in lines.items():
        points = _points(own, stage, metric)
        if points:
            steps, values = zip(*points, strict=True)
            style, mark = ":" if stage == "warmup" else "-", "o" if len(points) == 1 else ""
            axes.plot(
                steps,
                values,
                label=f"{policy}, {stage}",
                linewidth=1.5,
                color=colors[policy],
                linestyle=style,
                marker=mark,
            )


def _points(steps: Sequence[TrainStep], stage: str, metric: tuple[str, str, frozenset[str]]) -> list[tuple[int, float]]:
    """(step, value) of a metric, none when this stage isn't part of its panel."""
    _, name, stages = metric
    values = [(step.step, getattr(step, name)) for step in steps] if stage in stages else []
    return [(step, value) for step, value in values if value is not None]


def cluster_plot(clusters: Sequence[FailureCluster], points: FailureMap) -> bytes:
    """Left the clusters' sizes, largest on top, right the map of failures in the same colours."""
    figure, (bars, plane) = _panels(1, 2, width=11, height=max(3.4, 0.42 * len(clusters) + 1.2), ratios=(1, 1.15))
    names = [
        f"{number}  {shortened(cluster.label, 44)}\n{shortened(cluster.pattern, 44)}"
        for number, cluster in enumerate(clusters, 1)
    ]
    at = list(range(len(clusters)))[::-1]
    continued = any(cluster.previous_cluster_id for cluster in clusters)
    bars.barh(at, [cluster.size for cluster in clusters], 0.66, color=[_color(i) for i in range(len(clusters))])
    bars.set_yticks(at, names, fontsize=7.5)
    for y, cluster in zip(at, clusters, strict=True):
        new = ", new" if continued and cluster.previous_cluster_id is None else ""
        bars.annotate(
            f"{cluster.size} ({cluster.share:.0%}{new})",
            (cluster.size, y),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=INK,
        )
    bars.set_xlim(0, 1.3 * max((cluster.size for cluster in clusters), default=1))
    bars.set_xlabel("failures", fontsize=8)
    bars.grid(visible=False, axis="y")
    bars.set_title("failure clusters", fontsize=9, color=INK, loc="left")
    for index in sorted(set(points.cluster.tolist())):
        chosen = points.xy[points.cluster == index]
        color = NOISE_COLOR if index == NOISE else _color(index)
        plane.scatter(chosen[:, 0], chosen[:, 1], s=16, color=color, alpha=0.75, linewidths=0)
        if index != NOISE:
            # There are more clusters than colours: its number stands at the member nearest the middle.
            x, y = chosen[np.linalg.norm(chosen - np.median(chosen, axis=0), axis=1).argmin()]
            plane.annotate(str(index + 1), (x, y), (0, 4), textcoords="offset points", fontsize=7.5, color=INK)
    plane.set_title("map of explanations, numbered by cluster (grey: in none)", fontsize=9, color=INK, loc="left")
    plane.set_xticks([])
    plane.set_yticks([])
    for side in ("left", "bottom"):
        plane.spines[side].set_color(GRID)
    return _png(figure)


def pool_plot(pool: Sequence[PoolTask]) -> bytes:
    """Tasks of the pool by pattern, stacked by the round that brought them."""
    counts: Counter[tuple[str, str]] = Counter((row.task.pattern, row.added_in) for row in pool)
    totals = Counter(row.task.pattern for row in pool)
    patterns = sorted(totals, key=lambda name: (totals[name], name))
    rounds = sorted({row.added_in for row in pool})
    figure, axes = _figure("task pool by pattern and round", "", width=8.4, height=max(2.6, 0.3 * len(patterns) + 1.3))
    left = [0] * len(patterns)
    for place, name in enumerate(rounds):
        sizes = [counts[pattern, name] for pattern in patterns]
        axes.barh(patterns, sizes, 0.68, left=left, color=_color(place), label=name)
        left = [a + b for a, b in zip(left, sizes, strict=True)]
    for y, total in enumerate(left):
        axes.annotate(str(total), (total, y), (3, 0), textcoords="offset points", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, 1.1 * max(left, default=1))
    axes.set_xlabel("tasks", fontsize=8)
    axes.grid(visible=False, axis="y")
    _legend(axes, rounds)
    return _png(figure)


def pattern_plot(outcomes: Sequence[TaskOutcome]) -> bytes:
    """Success rate per failure pattern, one dot per policy, a line from the first policy to the last."""
    rates = success_by_pattern(outcomes)
    policies = sorted({row.policy for row in outcomes}, key=policy_order)
    colors = policy_colors(policies)
    patterns = sorted(rates, key=lambda name: (rates[name].get(policies[-1], 0), name)) if policies else []
    figure, axes = _figure("success by pattern", "", width=8.4, height=max(2.6, 0.32 * len(patterns) + 1.3))
    for y, pattern in enumerate(patterns):
        span = [100 * rate for rate in rates[pattern].values()]
        axes.plot([min(span), max(span)], [y, y], color=GRID, linewidth=3, solid_capstyle="round", zorder=1)
    for policy in policies:
        points = [(100 * rates[name][policy], y) for y, name in enumerate(patterns) if policy in rates[name]]
        axes.scatter(*zip(*points, strict=True), s=42, color=colors[policy], label=policy, zorder=2)
    axes.set_yticks(range(len(patterns)), patterns, fontsize=8)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("successful trials, %", fontsize=8)
    axes.grid(visible=False, axis="y")
    _legend(axes, policies)
    return _png(figure)


def success_by_pattern(outcomes: Sequence[TaskOutcome]) -> dict[str, dict[str, float]]:
    """Share of successful trials: pattern -> policy -> rate, policies in report order."""
    trials: Counter[tuple[str, str]] = Counter()
    successes: Counter[tuple[str, str]] = Counter()
    for row in (row for row in outcomes if row.n_trials):
        trials[row.pattern, row.policy] += row.n_trials
        successes[row.pattern, row.policy] += row.n_successes
    rates: dict[str, dict[str, float]] = defaultdict(dict)
    for pattern, policy in sorted(trials, key=lambda key: (key[0], policy_order(key[1]))):
        rates[pattern][policy] = successes[pattern, policy] / trials[pattern, policy]
    return dict(rates)


def policy_colors(policies: Sequence[str]) -> dict[str, str]:
    """One colour per policy: greys for base and SFT, then the palette in order."""
    trained = [policy for policy in policies if policy not in BASE_COLORS]
    return {**BASE_COLORS, **{policy: _color(place) for place, policy in enumerate(trained)}}


def shortened(text: str, width: int) -> str:
    """The text cut to a width, with an ellipsis."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _color(place: int) -> str:
    color = PALETTE[place % len(PALETTE)]
    if place < len(PALETTE):
        return color
    channels = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{(channel + 255) // 2:02x}" for channel in channels)


def _figure(title: str, ylabel: str, width: float = 6.4, height: float = 3.4) -> "tuple[Figure, Axes]":
    figure, (axes,) = _panels(1, 1, width, height)
    axes.set_title(title, fontsize=10, color=INK, loc="left", pad=8)
    axes.set_ylabel(ylabel, fontsize=8)
    return figure, axes


def _panels(
    n_rows: int, n_columns: int, width: float, height: float, ratios: Sequence[float] | None = None
) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    grid = figure.subplots(n_rows, n_columns, squeeze=False, gridspec_kw={"width_ratios": ratios} if ratios else None)
    panels = list(grid.flat)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(MUTED)
        axes.tick_params(labelsize=8, colors=MUTED, labelcolor=INK, length=3)
        axes.grid(visible=True, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.xaxis.label.set_color(MUTED)
        axes.yaxis.label.set_color(MUTED)
    return figure, panels


def _legend(axes: "Axes", names: Sequence[str]) -> None:
    if not names:
        return
    n_columns = min(5, len(names))
    axes.figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=n_columns, frameon=False, fontsize=8
    )


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    # No software tag: the same rows give the same bytes.
    FigureCanvasAgg(figure).print_figure(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()

"""Has a table moved since its last round? Only what should stay alike may refuse; wanted movement is told.

The statistic is the Jensen-Shannon distance in base 2: 0 for equal distributions, 1 for disjoint ones, finite on empty
bins, which the population stability index is not. Numbers are cut at the last round's deciles first. Small rounds
differ by chance: a distance counts only between rounds of `MIN_ROWS` or more, where the G-test, which is the same sum,
rejects chance at 1 in 1,000.

Thresholds. `GateLimits.max_drift` 0.35: in four finished loops of two rounds (1,100 tasks, 800 episodes a round) what
should stay alike moved by at most 0.1, and 0.35 is as if one of four rows came from elsewhere.
Source: Lin 1991, IEEE Transactions on Information Theory 37(1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from quality.gate import Check, Finding, GateContext, documented, needed
from schemas.records import Record

CHANCE = 0.001
"""Probability at which a difference is still taken for chance; a loop asks some hundred times."""
MIN_ROWS = 50
"""Rows below which every difference is taken for chance: tests on counts need five expected in each of ten bins."""
N_BINS = 10
"""Bins of a number; tenths of the last round."""


@dataclass(frozen=True)
class Feature:
    """Something of each row whose distribution is compared."""

    name: str
    of: pl.Expr
    """Over stored columns; text is compared as it is, numbers in bins."""
    wanted: str = ""
    """Why it is meant to move from round to round: then drift is told, not refused. Empty: it should stay alike."""


class Drift(NamedTuple):
    """How far two samples are apart."""

    distance: float
    """Jensen-Shannon distance, 0..1."""
    is_chance: bool
    """Whether samples of these sizes differ so far one time in a thousand."""
    most: str
    """The value whose share moved most, with both shares."""


def drift(before: pl.Series, now: pl.Series) -> Drift:
    """How far a sample is from an earlier one; texts, or numbers in bins of the earlier one."""
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2_contingency

    if before.dtype.is_numeric():
        before, now = _binned(before, now)
    counts = pl.concat([pl.DataFrame({"v": s.cast(pl.String), "n": i}) for i, s in enumerate((before, now))])
    both = counts.group_by("v").agg((pl.col("n") == 0).sum().alias("before"), (pl.col("n") == 1).sum().alias("now"))
    both = both.sort("v")
    if not len(before) or not len(now) or len(both) < 2:
        return Drift(0.0, True, "")
    old, new = both["before"].to_numpy(), both["now"].to_numpy()
    moved = abs(new / new.sum() - old / old.sum()).argmax()
    most = f"{both['v'][int(moved)]}: {old[moved] / old.sum():.0%} to {new[moved] / new.sum():.0%}"
    test: Any = chi2_contingency([old, new], correction=False, lambda_="log-likelihood")
    is_chance = min(len(before), len(now)) < MIN_ROWS or test.pvalue > CHANCE
    return Drift(float(jensenshannon(old, new, base=2)), bool(is_chance), most)


def _binned(before: pl.Series, now: pl.Series) -> tuple[pl.Series, pl.Series]:
    cuts = [before.quantile(place / N_BINS, "nearest") for place in range(1, N_BINS)]
    edges = sorted({cut for cut in cuts if cut is not None})
    binned = (pl.Series(np.searchsorted(edges, series.to_numpy())) for series in (before, now))
    return next(binned), next(binned)


@documented
def stable(table: str, *features: Feature) -> Check:
    """A gate: these features of the table are distributed as in its last round; the first round passes."""
    columns = sorted({name for feature in features for name in feature.of.meta.root_names()})

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        if context.last_round is None:
            return Finding()
        read = needed(context.frame, "frame")
        before, now = read(table, context.last_round, columns), read(table, context.round, columns)
        if before.is_empty() or now.is_empty():
            return Finding(warning=f"not compared: {table} has no rows in {context.last_round} or {context.round}")
        refused, told, numbers = [], [], {}
        for feature in features:
            found = drift(*(frame.select(feature.of.alias("v"))["v"].drop_nulls() for frame in (before, now)))
            numbers[f"drift_{feature.name}"] = found.distance
            if found.distance > context.limits.max_drift and not found.is_chance:
                said = f"{feature.name} moved by {found.distance:.2f} since {context.last_round} ({found.most})"
                (told if feature.wanted else refused).append(said + (f", as {feature.wanted}" * bool(feature.wanted)))
        return Finding(problem="; ".join(refused), numbers=numbers, warning="; ".join(told))

    return check


_SUCCESS = pl.col("reward").struct.field("success") >= 1


@documented
def not_collapsed(table: str) -> Check:
    """A gate: the success rate has not fallen far below the last round's. Rising is what the loop is for."""

    def check(rows: Sequence[Record], context: GateContext) -> Finding:
        if context.last_round is None:
            return Finding()
        read = needed(context.frame, "frame")
        rates = []
        for round in (context.last_round, context.round):
            played = read(table, round, ["reward", "stop_reason"]).filter(pl.col("stop_reason") != "infrastructure")
            rates.append(played.select(_SUCCESS.alias("v"))["v"])
        before, now = rates
        if before.is_empty() or now.is_empty():
            return Finding(warning=f"not compared: {table} has no episodes in {context.last_round} or {context.round}")
        old, new = (float(rate.cast(pl.Float64).sum()) / len(rate) for rate in rates)
        problem = ""
        if old - new > context.limits.max_success_drop and not drift(before, now).is_chance:
            problem = f"the success rate fell from {old:.0%} in {context.last_round} to {new:.0%}"
        return Finding(problem=problem, numbers={"success_before": old, "success_now": new})

    return check


POLICY = "the policy is trained in between"
CLUSTERS = "patterns follow the failures"


def _tasks(name: str) -> Check:
    """Tasks of a round: what they are about may move with the failures, how they are written may not."""
    opening = pl.col("scenario").struct.field("opening")
    return stable(
        name,
        Feature("pattern", pl.col("pattern"), CLUSTERS),
        Feature("intent", pl.col("intent"), CLUSTERS),
        Feature("opening_words", opening.str.split(" ").list.len(), CLUSTERS),
        Feature("database", pl.col("database_id")),
        Feature("maker", pl.col("made_by")),
    )


def _episodes(name: str, *more: Feature) -> Check:
    """Episodes of a policy: what it does may move, where held-out tasks are played may not."""
    stops, tokens = pl.col("stop_reason"), pl.col("token_ids").list.len()
    return stable(name, Feature("stop_reason", stops, POLICY), Feature("tokens", tokens, POLICY), *more)


STABLE: dict[str, Check] = {
    "injected_tasks": _tasks("injected_tasks"),
    "task_pool": _tasks("task_pool"),
    "executable_tasks": stable("executable_tasks", Feature("executable", pl.col("executable").cast(pl.String))),
    "source_trajectories": stable(
        "source_trajectories",
        Feature("turns", pl.col("messages").list.len(), CLUSTERS),
        Feature("writes", pl.col("writes").list.len(), CLUSTERS),
        Feature("database", pl.col("database_id")),
        Feature("explorer", pl.col("policy_version")),
    ),
    "validation_rollouts": _episodes("validation_rollouts", Feature("database", pl.col("database_id"))),
    "test_rollouts": _episodes("test_rollouts", Feature("database", pl.col("database_id"))),
    "rl_rollouts": _episodes("rl_rollouts"),
    "judge_explanations": stable(
        "judge_explanations",
        Feature("pattern", pl.col("pattern"), POLICY),
        Feature("blame", pl.col("blame")),
        Feature("judge", pl.col("made_by")),
        Feature("text_words", pl.col("text").str.split(" ").list.len(), POLICY),
    ),
}
"""Table -> gate against its last round, for every table of the loop whose rows have a distribution."""

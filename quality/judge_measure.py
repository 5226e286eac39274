"""How good a judge is, on planted failures whose cause is known: `python -m quality.judge_measure`.

The plants show the pattern of their own task, so the figures of a judge that reads tasks are an upper bound of what it
does with an agent's tangled failures.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from env_sim import load_domain
from env_sim.planted import PlantedFailure, plant_failures
from env_sim.planted_users import plant_user_failures
from env_sim.tasks import make_tasks, standard_mix
from quality.clusters import ClusterConfig, cluster_explanations
from quality.judge import DiffJudge, Failure, Judge
from schemas import Blame, Explanation

__all__ = ["JudgeFigures", "measure_judge", "planted_set", "vote_kappa"]


@dataclass(frozen=True)
class JudgeFigures:
    """A judge against the truth."""

    n_failures: int
    """Planted failures judged."""
    n_user_failures: int
    """Those of them that are the user simulator's; they count for turns and blame only."""
    pattern_accuracy: float
    """Share of the agent's failures whose pattern is the planted one."""
    pattern_kappa: float
    """Cohen's kappa of pattern and truth on these: agreement beyond chance, 1 is perfect."""
    turn_accuracy: float
    """Share whose decisive turn is the planted one."""
    near_turn_accuracy: float
    """Share whose decisive turn is at most two messages off: the same exchange."""
    blame_accuracy: float
    """Share that blames whose failure it is."""
    user_blame_recall: float
    """Share of the user's failures that are blamed on the user; 1 when there are none."""
    agent_blame_recall: float
    """Share of the agent's failures that are blamed on the agent; the blame gate loses the others."""
    unread_share: float
    """Share whose reply could not be read."""
    cluster_ari: float
    """Adjusted Rand index between the clusters of the explanations and the causes of the agent's failures, noise and
    what is blamed on others as one group."""
    confusions: tuple[tuple[str, str, int], ...]
    """Truth, said, how often; the commonest first."""


def planted_set(
    domain: str = "retail", seed: int = 0, per_pattern: int = 20, n_users: int = 200
) -> list[PlantedFailure]:
    """Planted failures over all difficult patterns of a domain, and as many for each way a user spoils an episode."""
    rows = [load_domain(domain).database_row("validation", index, seed, n_users) for index in range(2)]
    mix = standard_mix(domain, 0.0)
    tasks = make_tasks(domain, rows, mix, 2 * per_pattern * len(mix), seed)
    databases = {row.database_id: row for row in rows}
    users = plant_user_failures(domain, databases, tasks, seed, per_pattern)
    return plant_failures(domain, databases, tasks, seed, per_pattern) + users


def measure_judge(judge: Judge, planted: Sequence[PlantedFailure]) -> JudgeFigures:
    """Let a judge explain planted failures and compare."""
    return compare(judge.explain_all([Failure(each.task, each.trajectory) for each in planted]), planted)


def compare(found: Sequence[Explanation], planted: Sequence[PlantedFailure]) -> JudgeFigures:
    """Explanations against the truth, in one order."""
    from sklearn.metrics import cohen_kappa_score

    pairs = list(zip(found, planted, strict=True))
    own = [(each, true) for each, true in pairs if true.blame is Blame.AGENT]
    said, truth = [each.pattern for each, _ in own], [true.pattern for _, true in own]
    off = [abs(each.decisive_turn - true.decisive_turn) for each, true in pairs]
    wrong = Counter((true, name) for true, name in zip(truth, said, strict=True) if true != name)
    return JudgeFigures(
        n_failures=len(pairs),
        n_user_failures=sum(true.blame is Blame.USER for true in planted),
        pattern_accuracy=_share(map(str.__eq__, said, truth)),
        pattern_kappa=float(cohen_kappa_score(said, truth)) if own else 1.0,
        turn_accuracy=_share(distance == 0 for distance in off),
        near_turn_accuracy=_share(distance <= 2 for distance in off),
        blame_accuracy=_share(each.blame is true.blame for each, true in pairs),
        user_blame_recall=_share(each.blame is Blame.USER for each, true in pairs if true.blame is Blame.USER),
        agent_blame_recall=_share(each.blame is Blame.AGENT for each, _ in own),
        unread_share=_share(bool(each.parse_error) for each in found),
        cluster_ari=cluster_ari([each for each, _ in own], [true for _, true in own]) if own else 1.0,
        confusions=tuple(sorted(((*pair, count) for pair, count in wrong.items()), key=lambda row: (-row[2], row))),
    )


def _share(hits: Iterable[bool]) -> float:
    """Mean of yes and no; of none at all, nothing is missed."""
    listed = list(hits)
    return sum(listed) / len(listed) if listed else 1.0


def cluster_ari(
    found: Sequence[Explanation], planted: Sequence[PlantedFailure], config: ClusterConfig | None = None
) -> float:
    """Clusters of the explanations against the planted causes."""
    from sklearn.metrics import adjusted_rand_score

    clusters = cluster_explanations(found, config)
    of = {member: index for index, cluster in enumerate(clusters) for member in cluster.explanation_ids}
    return float(
        adjusted_rand_score([each.pattern for each in planted], [of.get(each.explanation_id, -1) for each in found])
    )


def vote_kappa(found: Sequence[Explanation]) -> float | None:
    """Mean Cohen's kappa over all pairs of votes on the patterns; None with fewer than two votes each."""
    from itertools import combinations

    from sklearn.metrics import cohen_kappa_score

    n_votes = min((len(each.votes) for each in found), default=0)
    columns = [[each.votes[vote].pattern for each in found] for vote in range(n_votes)]
    # All votes naming one and the same pattern agree by chance as much as by insight; kappa is undefined there.
    pairs = [(one, two) for one, two in combinations(columns, 2) if len({*one, *two}) > 1]
    return sum(float(cohen_kappa_score(one, two)) for one, two in pairs) / len(pairs) if pairs else None


def write_figures(name: str, figures: JudgeFigures, out: TextIO) -> None:
    """A Markdown table of the figures."""
    rows = [
        ("planted failures", f"{figures.n_failures}"),
        ("of them the user's", f"{figures.n_user_failures}"),
        ("pattern named", f"{figures.pattern_accuracy:.1%}"),
        ("kappa with the truth", f"{figures.pattern_kappa:.3f}"),
        ("decisive turn named", f"{figures.turn_accuracy:.1%}"),
        ("at most two messages off", f"{figures.near_turn_accuracy:.1%}"),
        ("blame named", f"{figures.blame_accuracy:.1%}"),
        ("blame named, user's failures", f"{figures.user_blame_recall:.1%}"),
        ("blame named, agent's failures", f"{figures.agent_blame_recall:.1%}"),
        ("replies that could not be read", f"{figures.unread_share:.1%}"),
        ("ARI of the clusters", f"{figures.cluster_ari:.3f}"),
    ]
    out.write(f"| {name} | |\n|---|---:|\n" + "".join(f"| {label} | {value} |\n" for label, value in rows))
    for truth, said, count in figures.confusions[:10]:
        out.write(f"\n{truth} taken for {said}: {count}")
    out.write("\n")


def main() -> None:
    """Measure the embedded judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domain", default="retail")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-pattern", type=int, default=20)
    options = parser.parse_args()
    planted = planted_set(options.domain, options.seed, options.per_pattern)
    write_figures("embedded judge", measure_judge(DiffJudge(), planted), sys.stdout)


if __name__ == "__main__":
    main()

"""The failures that are grouped: those of the agent, by distinct text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quality.embedding import Embedder, normalised, unit_rows
from quality.grouping import Labels, Points
from schemas import Blame, Explanation

__all__ = ["FailureTexts", "agent_blamed", "embedded_texts"]


@dataclass(frozen=True)
class FailureTexts:
    """Distinct normalised texts: equal texts are one point with a weight."""

    distinct: list[str]
    """Sorted."""
    index: Labels
    """Row of each explanation in `distinct`."""
    points: Points
    """A point for each distinct text."""


def agent_blamed(explanations: Sequence[Explanation]) -> list[Explanation]:
    """The failures that training can cure, in id order: a simulator's or a task's fault is nothing to train on."""
    return sorted((e for e in explanations if e.blame is Blame.AGENT), key=lambda e: e.explanation_id)


def embedded_texts(blamed: Sequence[Explanation], embed: Embedder) -> FailureTexts:
    """Texts of at least one explanation, as points."""
    cleaned = [normalised(explanation.text) for explanation in blamed]
    distinct = sorted(set(cleaned))
    rows = {text: row for row, text in enumerate(distinct)}
    index = np.array([rows[text] for text in cleaned], dtype=np.int64)
    vectors = unit_rows(np.asarray(embed(distinct), dtype=np.float64))
    weights = np.bincount(index, minlength=len(distinct)).astype(np.float64)
    return FailureTexts(distinct, index, Points(vectors, weights))

"""The page of patterns as Markdown, from their table and what was measured."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from env_sim.task_kits import PatternLike

if TYPE_CHECKING:
    from env_sim.pattern_proof import PatternProof

__all__ = ["markdown_table"]

MOST_SOLVED = 0.1
"""Of the tasks with a pattern, by the naive agent: more, and the pattern is often not there."""

_INTRO = """# Failure patterns

Each pattern is an operator on a draft of what the user says (`env_sim/domains/retail/patterns.py`): it asks something
of the source trajectory, and changes the words, never the wishes. This page is printed by

    python -m env_sim.pattern_proof > docs/PATTERNS.md

*Naive* is an agent (`env_sim/domains/retail/naive.py`) that does what plain words ask for and nothing beyond: it
takes a record that fits, never asks which, passes values on as they are said, lists an action once, minds one wish at
a time, and hands over when a tool refuses; where the search (`lost_in_search`) or the number of things
(`mixed_items`) is the difficulty, it does not search, or minds one thing. A guess can be lucky, so it plays each task
twice, taking the first and the last record that fits; *naive, one guess* is the first of the two plays, *naive* is
solved in both. *Eased* is the naive agent's rate on the same wishes in plain words, of several things in one wish the
first alone. *Expert* is the embedded expert's rate through the user simulator, *sound* the share of tasks in which
the soundness checks, a planner that knows only the words among them, find nothing. *Idle* is an agent that does
nothing.

What the numbers do not tell: they are rates, and a single task may still be easy; a profile with `injection: {checks:
all}` refuses each task that the naive agent solves both ways. `not_confirmed` is failed by giving up, while an agent
that writes without the yes reaches the required state (it earns no action check, and the monitor reports
`unconfirmed_write`); `hint_late` leaves the guess to the agent, so it tests the second listing and not the question
before it; the first wish of `stale_intent` may be one that a gift card can't pay, since nobody checks what is to be
dropped.
"""
_PAIRS = """
## Two patterns in one task

`a+b` in the order of the table. Two patterns go together when no part of the task is put otherwise by both and there is
a kind of wish that both can be written into; others are refused by name. Triples follow the same rule, pair by pair.
"""


def markdown_table(
    patterns: Sequence[PatternLike], single: "Sequence[PatternProof]", pairs: "Sequence[PatternProof]"
) -> str:
    """The whole page."""
    known = {proof.pattern: proof for proof in single}
    misses = [f"`{p.pattern}` ({p.naive:.0%})" for p in [*single[1:], *pairs] if p.naive > MOST_SOLVED]
    missed = f"\nShort of the aim (the naive agent solves at most {MOST_SOLVED:.0%}): {', '.join(misses) or 'none'}.\n"
    parts = [_INTRO, _rates(single), missed]
    for pattern in patterns:
        parts.append(
            f"\n## {pattern.name}\n\n"
            f"- Fails: {pattern.description}.\n- Needs: {pattern.needs}.\n- Edit: {pattern.edit}.\n"
            f"- Example: *{known[pattern.name].example}*\n"
        )
    return "".join([*parts, _PAIRS, _rates(pairs)])


def _rates(proofs: "Iterable[PatternProof]") -> str:
    head = "pattern", "tasks", "of explorations", "sound", "expert", "idle", "naive, one guess", "naive", "eased"
    lines = ["", f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for proof in proofs:
        rates = (proof.sound, proof.expert, proof.idle, proof.first_guess, proof.naive, proof.eased)
        cells = [proof.pattern, str(proof.n_tasks), f"{proof.explored:,}", *(f"{rate:.0%}" for rate in rates)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])

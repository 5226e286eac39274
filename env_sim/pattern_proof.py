"""Is each failure pattern really in the tasks that are written with it? Solvable, not idle, and hard for a naive agent.

    python -m env_sim.pattern_proof > docs/PATTERNS.md

A pattern is there if a naive agent, which does what plain words ask for and guesses the rest, fails the tasks and
solves them once the pattern is taken out of their words. It guesses twice, by the first and by the last record that
fits: solved is what it solves both ways. What this can't see: whether a better agent fails for the same reason.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import NamedTuple

from env_sim.domains import load_domain
from env_sim.episode import Episode, Policy, run_episode
from env_sim.pattern_table import markdown_table
from env_sim.reward import Scorer
from env_sim.soundness import check_soundness
from env_sim.task_kits import Guess, load_task_kit
from env_sim.tasks import explore
from env_sim.world import Database
from schemas import ConfigError, DatabaseRow, Message, Task, Trajectory

__all__ = ["Idle", "Occasions", "PatternProof"]

_GUESSES: tuple[Guess, ...] = ("first", "last")


class Idle:
    """Says that all is done, and does nothing."""

    def act(self, messages: Sequence[Message]) -> Message:
        """The same words each time."""
        return Message(role="assistant", content="That is done. Is there anything else?")


class Pair(NamedTuple):
    """A task with a pattern, and without."""

    hard: Task
    eased: Task


@dataclass(frozen=True)
class PatternProof:
    """What came of a number of tasks with one pattern. Rates are shares of these tasks."""

    pattern: str
    explored: int
    """Explorations looked at."""
    n_tasks: int
    """How many of them allow it; all are played."""
    sound: float
    """Tasks without any finding, the words being enough to find the goal."""
    expert: float
    """Solved by the expert."""
    idle: float
    """Solved by doing nothing."""
    first_guess: float
    """Solved by the naive agent that takes the first record that fits."""
    naive: float
    """Solved by it whichever record it takes."""
    eased: float
    """The same for the tasks without the pattern."""
    example: str
    """An opening."""


class Occasions:
    """Explorations, and which of them allow which pattern of the table."""

    def __init__(self, domain_name: str, databases: Mapping[str, DatabaseRow], number: int, seed: int) -> None:
        """Explore so many times."""
        self.domain, self.databases = load_domain(domain_name), databases
        self._domain_name, self._kit = domain_name, load_task_kit(domain_name)
        if self._kit.write_eased is None or self._kit.naive is None:
            raise ConfigError(
                f"pattern proof[{domain_name}]: expected a kit with a naive agent and eased tasks, got one without; "
                "write them as retail's naive.py and writer.py do"
            )
        self._write_eased, self._naive = self._kit.write_eased, self._kit.naive
        self.sources = list(islice(explore(domain_name, list(databases.values()), seed), number))
        self._allowing: dict[str, list[int]] = {}

    def pairs(self, pattern: str, n: int) -> tuple[list[Pair], int]:
        """Tasks with and without the pattern, from the first n occasions, and the explorations looked at for them."""
        found: list[Pair] = []
        for number in self._candidates(pattern):
            source = self.sources[number]
            hard = self._write(pattern, number)
            eased = hard and self._write_eased(source, self._base(source), pattern, Random(f"ease:{number}"))
            if hard and eased:
                found.append(Pair(hard, eased))
                if len(found) == n:
                    return found, number + 1
        return found, len(self.sources)

    def _candidates(self, pattern: str) -> Iterable[int]:
        """What allows a composition allows its first pattern, which is asked for often: it is asked once."""
        leading, _, others = pattern.partition("+")
        if not others:
            return range(len(self.sources))
        if leading not in self._allowing:
            self._allowing[leading] = [n for n in range(len(self.sources)) if self._write(leading, n)]
        return self._allowing[leading]

    def _write(self, pattern: str, number: int) -> Task | None:
        source = self.sources[number]
        return self._kit.write_task(source, self._base(source), pattern, Random(f"proof:{number}:{pattern}"))

    def _base(self, source: Trajectory) -> Database:
        return self.domain.open_database(self.databases[source.database_id])

    def solves(self, task: Task, policy: Policy) -> bool:
        """Whether a policy reaches what the task requires."""
        base = self.domain.open_database(self.databases[task.database_id])
        episode = run_episode(Episode(task, self.domain, base), policy)
        return Scorer(self.domain).score(episode, 0).success >= 1

    def prove(self, pattern: str, n: int) -> PatternProof:
        """Play n tasks with a pattern and without."""
        kit = self._kit
        pairs, explored = self.pairs(pattern, n)

        def share(wins: Iterable[bool]) -> float:
            return sum(wins) / max(1, len(pairs))

        def by_expert(task: Task) -> bool:
            return self.solves(task, kit.expert(task, self.domain.open_database(self.databases[task.database_id])))

        def by_naive(task: Task, guesses: Sequence[Guess]) -> bool:
            return all(self.solves(task, self._naive(pattern, guess)) for guess in guesses)

        return PatternProof(
            pattern=pattern,
            explored=explored,
            n_tasks=len(pairs),
            sound=share(not check_soundness(self._domain_name, self.databases, pair.hard) for pair in pairs),
            expert=share(by_expert(pair.hard) for pair in pairs),
            idle=share(self.solves(pair.hard, Idle()) for pair in pairs),
            first_guess=share(by_naive(pair.hard, _GUESSES[:1]) for pair in pairs),
            naive=share(by_naive(pair.hard, _GUESSES) for pair in pairs),
            eased=share(by_naive(pair.eased, _GUESSES) for pair in pairs),
            example=pairs[0].hard.scenario.opening if pairs else "",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the page of patterns."""
    parser = argparse.ArgumentParser(prog="python -m env_sim.pattern_proof", description="The patterns, proven")
    parser.add_argument("--domain", default="retail", help="domain of the patterns (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=50, help="tasks per pattern (default: %(default)s)")
    parser.add_argument("--explorations", type=int, default=40000, help="made to find them (default: %(default)s)")
    parser.add_argument("--databases", type=int, default=6, help="train databases (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of databases and explorations (default: %(default)s)")
    options = parser.parse_args(arguments)
    domain, kit = load_domain(options.domain), load_task_kit(options.domain)
    rows = [domain.database_row("train", index, options.seed, 500) for index in range(options.databases)]
    occasions = Occasions(options.domain, {row.database_id: row for row in rows}, options.explorations, options.seed)
    single = [occasions.prove(name, options.tasks) for name in (pattern.name for pattern in kit.patterns)]
    pairs = [occasions.prove(name, options.tasks) for name in kit.pairs()]
    sys.stdout.write(markdown_table(kit.patterns, single, pairs))
    return 0


if __name__ == "__main__":
    sys.exit(main())

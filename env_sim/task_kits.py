"""What a domain needs to *make* tasks, beside its world: patterns, explorer, writer, expert, compact language.

Apart from `env_sim.domains`, so that a domain can be simulated before anyone can write tasks for it: a domain whose
folder holds a `kit.py` can.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from random import Random
from typing import Literal, Protocol

from env_sim.causes import Causes
from env_sim.compact import CompactSpec
from env_sim.domains import folders_with
from env_sim.episode import Policy
from env_sim.soundness_rules import SoundnessKit
from env_sim.world import Database, Domain
from schemas import Action, ConfigError, Identity, Task, Trajectory

Guess = Literal["first", "last"]
"""Which of several fitting records a naive agent takes."""


class PatternLike(Protocol):
    """A failure pattern as other rooms see it."""

    @property
    def name(self) -> str:
        """Key in tables."""
        ...

    @property
    def description(self) -> str:
        """What the agent does wrong."""
        ...

    @property
    def needs(self) -> str:
        """What a source trajectory must hold."""
        ...

    @property
    def edit(self) -> str:
        """What is written into the task."""
        ...


@dataclass(frozen=True)
class Damage:
    """One way to spoil an episode."""

    pattern: str
    """What the failure shows."""
    wrong: Action | None = None
    """Listed and done in place of the task's first required write."""
    unasked: str = ""
    """Topic of the question that is left out."""
    ending: Literal["done", "transfer", "insist", "repeat", "drop"] | None = None
    """How the agent goes on instead of solving the task: says it is done, hands over, puts the user off, repeats the
    last call, or says it is done where it should list again what it has listed."""
    after_writes: int = 0
    """Writes after which the ending begins."""


@dataclass(frozen=True)
class TaskKit:
    """The task-making side of a domain."""

    patterns: tuple[PatternLike, ...]
    """The first is the plain one: no difficulty."""
    compact_spec: CompactSpec
    explore: Callable[[Domain, Database, str, int, Random], Trajectory | None]
    """(domain, database, database_id, seed, rng) -> a successful exploration."""
    write_task: Callable[[Trajectory, Database, str, Random], Task | None]
    """(source, database, pattern, rng) -> a task, None when the source does not allow the pattern."""
    expert: Callable[[Task, Database], Policy]
    """A program that solves a task in dialogue."""
    soundness: SoundnessKit
    """What the soundness checker needs of the domain."""
    causes: Causes
    """Why agents fail here, for the embedded judge."""

    identity: Callable[[Database, str], Identity]
    """(database, user id) -> all by which this customer can be known."""
    write_eased: Callable[[Trajectory, Database, str, Random], Task | None] | None = None
    """(source, database, pattern, rng) -> the task without what makes the pattern; None: patterns aren't measured."""
    naive: Callable[[str, Guess], Policy] | None = None
    """(pattern, guess) -> an agent without what the pattern asks for, which solves the task without the pattern."""
    pairs: Callable[[], list[str]] = list
    """Names of the patterns that are two of the table in one task."""
    check_pattern: Callable[[str], str] | None = None
    """Name of a pattern, or of several in one task -> why it can't be written, empty when it can; None: single ones
    only."""
    damages: Callable[[Task, Database, Random], Iterator[Damage]] | None = None
    """(task, database, rng) -> ways to spoil the expert's episode; None: no failures can be planted here."""

    def pattern_names(self) -> list[str]:
        """Names of the difficult patterns, without the plain one."""
        return [pattern.name for pattern in self.patterns[1:]]

    def parts_of(self, name: str) -> tuple[PatternLike, ...]:
        """The patterns in a name, one or several joined with `+`.

        Raises:
            ConfigError: one of them is not in the table.
        """
        known = {pattern.name: pattern for pattern in self.patterns}
        if unknown := [part for part in name.split("+") if part not in known]:
            raise ConfigError(f"pattern[{name}]: expected {', '.join(known)}, got {unknown[0]}; correct the name")
        return tuple(known[part] for part in name.split("+"))

    def why_not(self, name: str) -> str:
        """Why a pattern of this name can't be written, empty when it can."""
        if self.check_pattern is not None:
            return self.check_pattern(name)
        names = [pattern.name for pattern in self.patterns]
        return "" if name in names else f"expected one of {', '.join(names)}"


@cache
def load_task_kit(domain_name: str) -> TaskKit:
    """The kit of a domain.

    Raises:
        ConfigError: no domain of this name can make tasks.
    """
    known = folders_with("kit.py")
    if domain_name not in known:
        raise ConfigError(
            f"task kit[{domain_name}]: expected one of {', '.join(known)}, got none of them; correct the domain or add "
            "its kit.py"
        )
    return import_module(f"env_sim.domains.{domain_name}.kit").KIT

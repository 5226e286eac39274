"""The embedded task writer: what an explorer has done, worded as a customer's request that provokes one failure."""

from random import Random

from env_sim.domains.airline import wording
from env_sim.domains.airline.explorer import TRANSFER
from env_sim.domains.airline.patterns import PATTERNS
from env_sim.domains.airline.views import view
from env_sim.world import Database
from schemas import Action, ConfigError, Criteria, Identity, Scenario, Task, Trajectory
from schemas.ids import task_id

__all__ = ["MADE_BY", "identity_of", "write_task"]

MADE_BY = "airline-grammar-writer/1"
_OPERATORS = {pattern.name: pattern.operator for pattern in PATTERNS}


def write_task(source: Trajectory, base: Database, pattern: str, rng: Random) -> Task | None:
    """Word a source trajectory as a task that provokes a pattern; None when the trajectory doesn't allow it.

    Raises:
        ConfigError: unknown pattern.
    """
    if pattern not in _OPERATORS:
        raise ConfigError(
            f"write_task[{source.trajectory_id}]: expected one of {sorted(_OPERATORS)}, "
            f"got unknown pattern {pattern!r}; add it to the domain's pattern table"
        )
    calls = [Action(name=c.name, arguments=c.arguments) for m in source.messages for c in m.tool_calls]
    user_id = str(calls[0].arguments["user_id"])
    wishes = list(source.writes) or [TRANSFER]
    draft = _OPERATORS[pattern]([view(base, user_id, wish) for wish in wishes], rng)
    if draft is None:
        return None
    first = " also, ".join(goal.request for goal in draft.goals[: draft.raised_in_opening])
    scenario = Scenario(
        identity=identity_of(base, user_id),
        opening=wording.opening(user_id, first, rng),
        goals=draft.goals,
        raised_in_opening=draft.raised_in_opening,
    )
    content = {
        "domain": "airline",
        "database_id": source.database_id,
        "intent": draft.intent,
        "pattern": pattern,
        "scenario": scenario,
        "reference": tuple(calls),
        "criteria": Criteria(writes=source.writes, transfer=not source.writes),
    }
    return Task(
        task_id=task_id(**content),
        source_trajectory_id=source.trajectory_id,
        made_by=MADE_BY,
        **content,
    )


def identity_of(base: Database, user_id: str) -> Identity:
    """A customer of the airline says the user id and nothing else."""
    name = base.tables["users"][user_id]["name"]
    return Identity(user_id=user_id, first_name=name["first_name"], last_name=name["last_name"])

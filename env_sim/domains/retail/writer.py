"""The embedded task writer: what an explorer has done, worded as a customer's request that provokes one failure."""

from random import Random

from env_sim.domains.retail import wording
from env_sim.domains.retail.explorer import TRANSFER
from env_sim.domains.retail.patterns import PATTERNS, Draft
from env_sim.domains.retail.views import view
from env_sim.world import Database
from schemas import Action, ConfigError, Criteria, Identity, Scenario, Task, Trajectory
from schemas.ids import task_id

MADE_BY = "grammar-writer/1"
_OPERATORS = {pattern.name: pattern.operator for pattern in PATTERNS}


def write_task(
    source: Trajectory, base: Database, pattern: str, rng: Random, cluster_id: str | None = None
) -> Task | None:
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
    user_id = str(next(c.arguments["user_id"] for c in calls if c.name == "get_user_details"))
    wishes = list(source.writes) or [c for c in calls if c == TRANSFER]
    draft = _OPERATORS[pattern]([view(base, user_id, wish) for wish in wishes], rng)
    if draft is None:
        return None
    scenario = _scenario(base, user_id, draft, rng)
    criteria = Criteria(writes=source.writes, transfer=not source.writes)
    content = {
        "domain": "retail",
        "database_id": source.database_id,
        "intent": draft.intent,
        "pattern": pattern,
        "scenario": scenario,
        "reference": tuple(calls),
        "criteria": criteria,
    }
    return Task(
        task_id=task_id(**content),
        source_trajectory_id=source.trajectory_id,
        cluster_id=cluster_id,
        made_by=MADE_BY,
        **content,
    )


def _scenario(base: Database, user_id: str, draft: Draft, rng: Random) -> Scenario:
    user = base.tables["users"][user_id]
    identity = Identity(
        user_id=user_id,
        first_name=user["name"]["first_name"],
        last_name=user["name"]["last_name"],
        zip=user["address"]["zip"],
        email=user["email"] if rng.random() < 0.7 else None,
    )
    first = " also, ".join(goal.request for goal in draft.goals[: draft.raised_in_opening])
    return Scenario(
        identity=identity,
        opening=wording.opening(identity, first, rng),
        goals=draft.goals,
        raised_in_opening=draft.raised_in_opening,
    )

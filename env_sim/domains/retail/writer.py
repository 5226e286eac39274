"""The embedded task writer: what an explorer has done, worded as a customer's request that provokes one failure."""

from collections.abc import Sequence
from random import Random

from env_sim.domains.retail import wording
from env_sim.domains.retail.draft import Draft, Said, say
from env_sim.domains.retail.explorer import TRANSFER
from env_sim.domains.retail.patterns import PLAIN, draft_of, intent_of, parts_of
from env_sim.domains.retail.views import JsonObject, WishView, view
from env_sim.domains.retail.write_tools import ParityEnvironment
from env_sim.world import Database
from schemas import Action, Criteria, Identity, Intent, Scenario, Task, Trajectory
from schemas.ids import task_id

__all__ = ["identity_of", "write_eased", "write_task"]

MADE_BY = "grammar-writer/1"


def write_task(source: Trajectory, base: Database, pattern: str, rng: Random) -> Task | None:
    """Word a source trajectory as a task that provokes a pattern, or several (`a+b`); None when it doesn't allow it.

    Raises:
        ConfigError: unknown pattern.
    """
    parts_of(pattern)
    draft = draft_of(pattern, _wishes(source, base), rng)
    return _task(source, base, pattern, draft, rng)


def write_eased(source: Trajectory, base: Database, pattern: str, rng: Random) -> Task | None:
    """The task without what makes the pattern: the same wishes in plain words, one after the other.

    Only of several things in one wish (`mixed_items`) the first alone is left: their number is the difficulty.
    """
    wishes = _wishes(source, base)
    if any(part.name == "mixed_items" for part in parts_of(pattern)):
        wishes = [_first_item(wish) for wish in wishes]
    return _task(source, base, PLAIN, Draft.of(wishes), rng)


def _wishes(source: Trajectory, base: Database) -> list[WishView]:
    user_id = next(str(c.arguments["user_id"]) for c in _calls(source) if c.name == "get_user_details")
    return [view(base, user_id, wish) for wish in source.writes or (TRANSFER,)]


def _calls(source: Trajectory) -> list[Action]:
    refused = {m.tool_call_id for m in source.messages if m.error}
    calls = [c for m in source.messages for c in m.tool_calls if c.id not in refused]
    return [Action(name=c.name, arguments=c.arguments) for c in calls]


def _first_item(wish: WishView) -> WishView:
    arguments = {key: value[:1] if isinstance(value, list) else value for key, value in wish.action.arguments.items()}
    return view(wish.base, wish.user["user_id"], Action(name=wish.tool, arguments=arguments))


def _task(source: Trajectory, base: Database, pattern: str, draft: Draft | None, rng: Random) -> Task | None:
    said = say(draft, rng) if draft else None
    if draft is None or said is None:
        return None
    wishes = [put.wish for put in draft.wordings]
    writes = tuple(wish.action for wish in wishes) if source.writes else ()
    intent = Intent.INFEASIBLE if not source.writes else intent_of(pattern)
    content = {
        "domain": "retail",
        "database_id": source.database_id,
        "intent": intent,
        "pattern": pattern,
        "scenario": _scenario(wishes[0], said, rng),
        "reference": _reference(source, writes),
        "criteria": Criteria(writes=writes, transfer=not source.writes),
    }
    return Task(
        task_id=task_id(**content),
        source_trajectory_id=source.trajectory_id,
        made_by=MADE_BY,
        **content,
    )


def _reference(source: Trajectory, writes: Sequence[Action]) -> tuple[Action, ...]:
    """The calls of the source that were not refused, its writes last."""
    return (*(call for call in _calls(source) if call not in source.writes), *writes)


def identity_of(base: Database, user_id: str) -> Identity:
    """A customer is known by e-mail, or by name and zip code."""
    return _identity(base.tables["users"][user_id])


def _identity(user: JsonObject) -> Identity:
    return Identity(
        user_id=user["user_id"],
        first_name=user["name"]["first_name"],
        last_name=user["name"]["last_name"],
        zip=user["address"]["zip"],
        email=user["email"],
    )


def _scenario(wish: WishView, said: Said, rng: Random) -> Scenario:
    identity = _identity(wish.user)
    if rng.random() >= 0.7 and _is_found_by_name(wish.base, identity):
        identity = identity.model_copy(update={"email": None})
    return Scenario(
        identity=identity,
        opening=wording.opening(identity, said.opening, rng),
        goals=said.goals,
        raised_in_opening=said.raised_in_opening,
        unknown=said.unknown,
    )


def _is_found_by_name(base: Database, who: Identity) -> bool:
    """Whether name and zip code lead to this customer: of two with the same the tool finds the first."""
    found = ParityEnvironment(base).find_user_id_by_name_zip(who.first_name, who.last_name, str(who.zip))
    return found == who.user_id

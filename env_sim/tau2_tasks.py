"""tau2's published tasks as cases for the soundness rules: what the user is told, gold calls, what is graded."""

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from env_sim.soundness_rules import Case
from schemas import Action, TaskError

__all__ = ["read_cases"]

_DEFAULT_BASIS = ("DB", "COMMUNICATE")
"""What tau2 grades where a task file names nothing."""


class _Instructions(BaseModel):
    reason_for_call: str = ""
    known_info: str | None = None
    unknown_info: str | None = None
    task_instructions: str = ""


class _UserScenario(BaseModel):
    persona: str | None = None
    instructions: _Instructions | str


class _GoldAction(BaseModel):
    name: str
    arguments: dict


class _Criteria(BaseModel):
    actions: list[_GoldAction] | None = None
    communicate_info: list[str] | None = None
    nl_assertions: list[str] | None = None
    reward_basis: list[str] = Field(default_factory=lambda: list(_DEFAULT_BASIS))


class _PublishedTask(BaseModel):
    id: str
    user_scenario: _UserScenario
    evaluation_criteria: _Criteria


def read_cases(content: object) -> list[Case]:
    """The tasks of a parsed `tasks.json`.

    Raises:
        TaskError: the content has another shape.
    """
    try:
        tasks = TypeAdapter(list[_PublishedTask]).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise TaskError(
            f"tasks file: expected a list of tau2 tasks, got {first['msg']} at {first['loc']}; give tau2's tasks.json"
        ) from error
    return [_case(task) for task in tasks]


def _case(task: _PublishedTask) -> Case:
    criteria = task.evaluation_criteria
    said = criteria.communicate_info if "COMMUNICATE" in criteria.reward_basis else []
    judged = criteria.nl_assertions if "NL_ASSERTION" in criteria.reward_basis else []
    return Case(
        case_id=task.id,
        words=_words(task.user_scenario),
        reference=tuple(Action(name=action.name, arguments=action.arguments) for action in criteria.actions or ()),
        graded_words=(*(said or ()), *(judged or ())),
    )


def _words(scenario: _UserScenario) -> str:
    told = scenario.instructions
    if isinstance(told, str):
        return told
    parts = (scenario.persona, told.reason_for_call, told.known_info, told.unknown_info, told.task_instructions)
    return "\n".join(part for part in parts if part)

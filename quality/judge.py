"""The embedded judge: what went wrong in a failed trajectory, in words, with evidence.

It compares what was done with what the task required; what a wrong value means, and what made a wish hard, it asks the
domain (`env_sim/causes.py`). Nothing looks at the pattern that a task was written with: the name it gives is its own
reading. An LLM judge replaces it behind the same Protocol.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from env_sim.causes import Cause, Causes, Missing, WrongWrite
from env_sim.task_kits import load_task_kit
from schemas import Action, Blame, Explanation, Goal, Message, StopReason, Task, Trajectory, UserFault
from schemas.ids import content_id

MADE_BY = "diff-judge/1"


class LlmJudgeConfig(BaseModel):
    """How a model judges."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_votes: int = Field(default=3, ge=1, le=15)
    """Answers per failure, told apart by their seed; odd numbers leave fewer ties."""
    shows_reference: bool = True
    """Whether the judge sees the actions that solve the task; without them it judges as an outsider would."""
    repairs: int = Field(default=2, ge=0, le=5)
    """How often a vote that doesn't fit is asked again with its error."""


class Failure(NamedTuple):
    """A failed trajectory with its task."""

    task: Task
    trajectory: Trajectory


class Judge(Protocol):
    """Explains failures."""

    def explain_all(self, failures: Sequence[Failure], told: Callable[[int], None] = ...) -> list[Explanation]:
        """What went wrong in each, in their order; `told` hears of the number done."""
        ...


@dataclass(frozen=True)
class _Finding:
    """What the judge saw, before it becomes a row."""

    pattern: str
    text: str
    turn: int


class DiffJudge:
    """Diagnosis from the difference between the writes done and the writes required."""

    def explain_all(
        self, failures: Sequence[Failure], told: Callable[[int], None] = lambda n_done: None
    ) -> list[Explanation]:
        """What went wrong in each, in their order; `told` hears of the number done."""
        found = []
        for failure in failures:
            found.append(self.explain(*failure))
            told(len(found))
        return found

    def explain(self, task: Task, trajectory: Trajectory) -> Explanation:
        """Say what went wrong in a failed trajectory of the task."""
        fault = trajectory.user_fault
        finding = _fault(fault) if fault else _wrong_write(task, trajectory) or _missing_write(task, trajectory)
        evidence = sorted({_last_user_turn(trajectory.messages, finding.turn), finding.turn})
        return Explanation(
            explanation_id=content_id("why", [trajectory.trajectory_id, MADE_BY]),
            trajectory_id=trajectory.trajectory_id,
            task_id=task.task_id,
            text=finding.text,
            blame=Blame.USER if fault else Blame.AGENT,
            decisive_turn=finding.turn,
            evidence_turns=tuple(evidence),
            pattern=finding.pattern,
            made_by=MADE_BY,
        )


def _fault(fault: UserFault) -> _Finding:
    """The user's own mistake comes before all that the agent did: after it the episode judges nobody else."""
    return _Finding("other", f"The user did not keep to its scenario ({fault.kind}): {fault.evidence}.", fault.turn)


def _wrong_write(task: Task, trajectory: Trajectory) -> _Finding | None:
    """The first state change that was not asked for."""
    open_writes = list(task.criteria.writes)
    for write in trajectory.writes:
        if write in open_writes:
            open_writes.remove(write)
            continue
        turn = _turn_of(trajectory.messages, write)
        meant = next((w for w in open_writes if w.name == write.name), None)
        if meant is None:
            kind = write.name.replace("_", " ")
            text = f"The agent did something that was not asked for: it made an extra change, {kind}."
            return _Finding("ended_early" if open_writes else "other", text, turn)
        return _compare(task, trajectory, write, meant, turn)
    return None


def _compare(task: Task, trajectory: Trajectory, done: Action, meant: Action, turn: int) -> _Finding:
    failed = WrongWrite(task, trajectory, _goal_of(task, meant), meant, done)
    if failed.goal.change is not None and done == failed.goal.action:
        text = "The user changed their mind, but the agent carried out the first wish instead of the new one."
        return _Finding("stale_intent", text, turn)
    wrong = ", ".join(sorted(failed.wrong))
    text = f"The agent gave a wrong argument value: {wrong} is not what the user had said."
    cause = _causes(task).of_wrong_write(failed) or Cause("other", text)
    return _Finding(*cause, turn)


def _missing_write(task: Task, trajectory: Trajectory) -> _Finding:
    """No wrong change was made, but a required one is missing."""
    how = _how_it_ended(trajectory)
    turn = max((i for i, m in enumerate(trajectory.messages) if m.role == "assistant"), default=0)
    if task.criteria.transfer:
        text = f"The request was outside the agent's actions and needed a human, but the agent did not transfer: {how}."
        return _Finding("infeasible_pushed", text, turn)
    done = list(trajectory.writes)
    missing = next((w for w in task.criteria.writes if w not in done), task.criteria.writes[-1])
    failed = Missing(task, trajectory, _goal_of(task, missing), missing)
    if done:
        stopped = Cause("ended_early", "The agent stopped after one of several wishes and left the other one undone")
        cause = _causes(task).of_rest(failed) or stopped
        return _Finding(cause.pattern, f"{cause.text}: {how}.", turn)
    cause = _causes(task).of_missing(failed)
    text = f"The agent never got to the change that was asked for: {cause.text}; {how}."
    return _Finding(cause.pattern, text, turn)


def _causes(task: Task) -> Causes:
    return load_task_kit(task.domain).causes


def _how_it_ended(trajectory: Trajectory) -> str:
    errors = sum(message.error for message in trajectory.messages)
    if trajectory.reward.repeats > 1:
        return "it repeated the same call without progress"
    endings = {
        StopReason.TRANSFER: "it handed the user over to a human without need",
        StopReason.USER_LEFT: "the user lost patience and left",
        StopReason.USER_DONE: "it declared the matter done",
        StopReason.MAX_TURNS: "it ran out of turns",
        StopReason.CONTEXT_FULL: "it talked until the context was full",
        StopReason.MALFORMED: "its output was neither a message nor a call",
    }
    ending = endings.get(trajectory.stop_reason, str(trajectory.stop_reason))
    return f"{ending} after {errors} refused calls" if errors else ending


def _goal_of(task: Task, write: Action) -> Goal:
    goals = task.scenario.goals
    return next((goal for goal in goals if goal.accepted == write), goals[-1])


def _turn_of(messages: Sequence[Message], write: Action) -> int:
    for index, message in enumerate(messages):
        if any(call.name == write.name and call.arguments == write.arguments for call in message.tool_calls):
            return index
    return len(messages) - 1


def _last_user_turn(messages: Sequence[Message], before: int) -> int:
    return max((i for i, m in enumerate(messages[:before]) if m.role == "user"), default=0)

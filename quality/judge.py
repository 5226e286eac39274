"""The embedded judge: what went wrong in a failed trajectory, in words, with evidence.

It compares what was done with what the task required and reads in the dialogue how it came to that. It never looks
at the pattern that a task was written with: the name it gives is its own reading. An LLM judge replaces it behind
the same Protocol.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from schemas import Action, Blame, Explanation, Goal, Message, StopReason, Task, Trajectory, UserFault
from schemas.ids import content_id

MADE_BY = "diff-judge/1"


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
    goal = _goal_of(task, meant)
    wrong = {key for key in meant.arguments if done.arguments.get(key) != meant.arguments[key]}
    first_thought = goal.change is not None and done == goal.action
    if first_thought:
        text = "The user changed their mind, but the agent carried out the first wish instead of the new one."
        return _Finding("stale_intent", text, turn)
    if wrong & {"order_id", "item_ids"} and _in_one_sentence(task):
        text = "The user had named things of several orders in one sentence, and the agent mixed up what is in which."
        return _Finding("mixed_orders", text, turn)
    if "order_id" in wrong:
        return _wrong_order(goal, done, meant, turn)
    if "item_ids" in wrong and _knows(goal, "item"):
        text = f"The agent took {done.arguments.get('item_ids')} without asking which of several things was meant."
        return _Finding("ambiguous_name", text, turn)
    if wrong & _told_otherwise(goal, meant, trajectory):
        text = f"The agent misread a value that the user had put in other words: {', '.join(sorted(wrong))}."
        return _Finding("invalid_value", text, turn)
    if "item_ids" in wrong:
        text = (
            f"The agent handled the wrong items of order {meant.arguments['order_id']}: it took "
            f"{done.arguments.get('item_ids')} where the user had named {meant.arguments['item_ids']}."
        )
        return _Finding("mixed_items", text, turn)
    if "new_item_ids" in wrong:
        return _wrong_variant(goal, done, meant, turn)
    if "payment_method_id" in wrong:
        text = "The agent took the payment method from the wrong record: not the method that the user had named."
        return _Finding("wrong_payment", text, turn)
    if any(key.startswith("address") or key == "zip" for key in wrong):
        text = "The agent took the address from the wrong record: not the address that the user had named."
        return _Finding("wrong_address", text, turn)
    text = f"The agent gave a wrong argument value: {', '.join(sorted(wrong))} is not what the user had said."
    return _Finding("other", text, turn)


def _wrong_order(goal: Goal, done: Action, meant: Action, turn: int) -> _Finding:
    which = f"it acted on order {done.arguments.get('order_id')} but {meant.arguments['order_id']} was meant"
    if _knows(goal, "order"):
        text = f"The user had several orders that fit and the agent guessed instead of asking which order: {which}."
        return _Finding("order_not_asked", text, turn)
    if goal.remarks:
        text = f"The agent kept to its guess at the order although the user gave a hint about it later: {which}."
        return _Finding("hint_late", text, turn)
    text = f"The agent picked the wrong order among several although the user gave a hint about it: {which}."
    return _Finding("wrong_order", text, turn)


def _wrong_variant(goal: Goal, done: Action, meant: Action, turn: int) -> _Finding:
    which = f"it chose item {done.arguments.get('new_item_ids')} where {meant.arguments['new_item_ids']} was wanted"
    if _knows(goal, "variant"):
        text = f"The agent guessed a product variant instead of asking the user which option is wanted: {which}."
        return _Finding("variant_not_asked", text, turn)
    text = f"The agent chose a variant whose options differ from what the user wanted to keep or change: {which}."
    return _Finding("wrong_variant", text, turn)


def _missing_write(task: Task, trajectory: Trajectory) -> _Finding:
    """No wrong change was made, but a required one is missing."""
    how = _how_it_ended(trajectory)
    turn = max((i for i, m in enumerate(trajectory.messages) if m.role == "assistant"), default=0)
    if task.criteria.transfer:
        text = f"The request was outside the agent's actions and needed a human, but the agent did not transfer: {how}."
        return _Finding("infeasible_pushed", text, turn)
    done = list(trajectory.writes)
    missing = next((w for w in task.criteria.writes if w not in done), task.criteria.writes[-1])
    if done and _in_one_sentence(task):
        text = f"The agent handled one of the things in several orders and left the other one undone: {how}."
        return _Finding("mixed_orders", text, turn)
    if done:
        text = f"The agent stopped after one of several wishes and left the other one undone: {how}."
        return _Finding("ended_early", text, turn)
    goal = _goal_of(task, missing)
    pattern, obstacle = _late_obstacle(task, goal, missing, trajectory) or _obstacle(task, goal, missing)
    return _Finding(pattern, f"The agent never got to the change that was asked for: {obstacle}; {how}.", turn)


def _late_obstacle(task: Task, goal: Goal, missing: Action, trajectory: Trajectory) -> tuple[str, str] | None:
    """What stood in the way in the course of the talk, or in words that no tool takes."""
    heard = " ".join(message.content for message in trajectory.messages if message.role == "user")
    if goal.hesitation and goal.hesitation in heard and heard.endswith("bye."):
        return "not_confirmed", "the user answered the listing with neither yes nor no and it was not listed again"
    if any(remark.text in heard for remark in goal.remarks):
        return "hint_late", "the user gave a hint at the first listing and the agent did not follow it"
    if _in_one_sentence(task):
        return "mixed_orders", "things of several orders were named in one sentence, each order needing its own change"
    if _knows(goal, "item"):
        return "ambiguous_name", "several things of the order fitted the name and the agent did not ask which one"
    if _told_otherwise(goal, missing, trajectory):
        return "invalid_value", "a value was told in other words than the tool takes"
    return None


def _obstacle(task: Task, goal: Goal, missing: Action) -> tuple[str, str]:
    """What made the wish hard, as the request and its facts show."""
    said = goal.request.lower()
    if task.scenario.goals[0].action is None:
        return "infeasible_pushed", "the first request was refused by the rules and the alternative was not taken up"
    if task.scenario.raised_in_opening > 1:
        return "ended_early", "the user had several wishes at once and the agent lost track of them"
    if goal.change:
        return "stale_intent", "the user changed their mind and the agent did not follow"
    if _knows(goal, "order"):
        return "order_not_asked", "several orders fitted and the agent did not ask which order"
    if _knows(goal, "variant"):
        return "variant_not_asked", "the wanted option was open and the agent did not ask which variant"
    return _obstacle_in_words(said, missing)


def _obstacle_in_words(said: str, missing: Action) -> tuple[str, str]:
    if "payment method of" in said:
        return "wrong_payment", "the payment method had to be taken from another order's record"
    if "the address of" in said:
        return "wrong_address", "the address had to be taken from another order's record"
    items = missing.arguments.get("item_ids")
    if isinstance(items, list) and len(items) > 1:
        return "mixed_items", "several items of one order had to be handled together"
    if "everything else the same" in said or "the same one but" in said:
        return "wrong_variant", "the variant had to keep all other options"
    if "#w" in said or "order_id" not in missing.arguments:
        return "other", "the request was plain"
    if any(phrase in said for phrase in ("also has", " too.", "also bought")):
        return "wrong_order", "the right order among several had to be found by a hint"
    return "lost_in_search", "the order had to be searched among many records"


def _in_one_sentence(task: Task) -> bool:
    """Whether several wishes were raised in the same words."""
    requests = [goal.request for goal in task.scenario.goals]
    return len(set(requests)) < len(requests)


def _told_otherwise(goal: Goal, meant: Action, trajectory: Trajectory) -> set[str]:
    """Arguments whose values the request tells in words that the tool does not take."""
    said, arguments, found = goal.request.lower(), meant.arguments, set[str]()
    if "reason" in arguments and not re.search(r" need|mistake", said) and not goal.change:
        found.add("reason")
    if "home address" in said and "#w" in f"{said} {meant.arguments.get('order_id', '')}".lower():
        found |= {key for key in arguments if key not in ("order_id", "user_id")}
    new = arguments.get("new_item_ids")
    in_full = re.search(r"\b(?:for|to) the (?!same)[^.,]+ one\b", said) and not goal.change
    if isinstance(new, list) and len(new) == 1 and in_full and not _knows(goal, "variant"):
        values = _options(trajectory, str(new[0]))
        if any(not re.search(rf"\b{re.escape(value.lower())}\b", said) for value in values):
            found.add("new_item_ids")
    return found


def _options(trajectory: Trajectory, variant: str) -> list[str]:
    """The option values of a variant, as a tool has shown them; empty when none has."""
    for message in trajectory.messages:
        if message.role == "tool" and not message.error and f'"{variant}": {{' in message.content:
            shown = json.loads(message.content).get("variants", {}).get(variant, {})
            return [str(value) for value in shown.get("options", {}).values()]
    return []


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


def _knows(goal: Goal, topic: str) -> bool:
    return any(detail.topic == topic for detail in goal.details)


def _turn_of(messages: Sequence[Message], write: Action) -> int:
    for index, message in enumerate(messages):
        if any(call.name == write.name and call.arguments == write.arguments for call in message.tool_calls):
            return index
    return len(messages) - 1


def _last_user_turn(messages: Sequence[Message], before: int) -> int:
    return max((i for i, m in enumerate(messages[:before]) if m.role == "user"), default=0)

"""Failures whose cause is known: a good episode, spoiled at one place and played on in the real world.

They measure judges and clusterings. The expert's episode is played again with one thing done wrong (another action in
place of the wanted one, a question left out) or with an ending (it says done too early, hands over, repeats itself);
user and environment answer as they do to any agent. What doesn't fail, or fails otherwise than planned, is no plant.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from env_sim.dialogue import Ask, Confirm, Deny, Done, act_text, read_act
from env_sim.domains import load_domain
from env_sim.episode import TRANSFER_TOOL, Episode, Policy, run_episode
from env_sim.reward import Scorer
from env_sim.task_kits import Damage, load_task_kit
from schemas import Action, Blame, ConfigError, DatabaseRow, Message, Task, ToolCall, Trajectory
from schemas.ids import content_id

__all__ = ["MADE_BY", "PlantedFailure", "failed_trajectory", "plant_failures"]

MADE_BY = "spoiled-expert/1"


@dataclass(frozen=True)
class PlantedFailure:
    """A failed trajectory and the truth about it."""

    task: Task
    trajectory: Trajectory
    pattern: str
    """The cause that was planted; `other` when it is the user's."""
    decisive_turn: int
    """Index of the first message after which the episode could not succeed, or with which the ending begins."""
    blame: Blame = Blame.AGENT
    """Whose failure it is."""


class SpoiledExpert:
    """The expert's policy with one damage; one per episode."""

    def __init__(self, expert: Policy, task: Task, damage: Damage) -> None:
        """Wrap a fresh expert."""
        self._expert, self._task, self._damage = expert, task, damage
        self._meant = task.criteria.writes[0] if task.criteria.writes else None
        self._last_call: ToolCall | None = None
        self._ended = 0
        self.decisive_turn: int | None = None

    def act(self, messages: Sequence[Message]) -> Message:
        """The expert's next message, spoiled."""
        if self._ended:
            return self._ending(messages)
        try:
            message = self._expert.act(messages)
        except StopIteration:
            # The world refused the wrong action, so the user waits for what the expert takes for done.
            return Message(role="assistant", content=act_text(Done()))
        if self._damage.unasked and read_act(message.content) == Ask(self._damage.unasked):
            message = self._expert.act(messages)
        if self._begins_to_end(messages, message):
            return self._ending(messages)
        self._last_call = message.tool_calls[0] if message.tool_calls else self._last_call
        return self._with_wrong(message, len(messages))

    def _begins_to_end(self, messages: Sequence[Message], message: Message) -> bool:
        """The place of each ending: where the expert would refuse, would list the next wish, or has begun to search."""
        if self._damage.ending is None:
            return False
        if self._damage.ending in ("transfer", "insist"):
            return isinstance(read_act(message.content), Deny)
        if self._damage.ending == "drop":
            return (listing := _listed(message)) is not None and listing in map(_listed, messages)
        n_writes = sum(listed is not None for listed in map(_listed, messages))
        if self._damage.ending == "done":
            return n_writes >= self._damage.after_writes and isinstance(read_act(message.content), Confirm)
        return isinstance(read_act(message.content), Confirm)

    def _ending(self, messages: Sequence[Message]) -> Message:
        self._ended += 1
        if self.decisive_turn is None:
            self.decisive_turn = len(messages)
        match self._damage.ending:
            case "transfer":
                return _calling(Action(name=TRANSFER_TOOL, arguments={"summary": "the user wants more"}), self._ended)
            case "repeat" if self._last_call is not None:
                return _calling(self._last_call, self._ended)
            case "insist":
                return Message(role="assistant", content="One moment please, I will see what I can do.")
        return Message(role="assistant", content=act_text(Done()))

    def _with_wrong(self, message: Message, turn: int) -> Message:
        wrong, meant = self._damage.wrong, self._meant
        if wrong is None or meant is None:
            return message
        if isinstance(act := read_act(message.content), Confirm) and act.action.name == meant.name:
            return message.model_copy(update={"content": act_text(Confirm(wrong))})
        if message.tool_calls and message.tool_calls[0].name == meant.name:
            self.decisive_turn = turn
            call = message.tool_calls[0].model_copy(update={"arguments": wrong.arguments})
            return message.model_copy(update={"tool_calls": (call,)})
        return message


def plant_failures(
    domain_name: str, databases: Mapping[str, DatabaseRow], tasks: Sequence[Task], seed: int, per_pattern: int
) -> list[PlantedFailure]:
    """Planted failures of each difficult pattern, at most `per_pattern` of each, in the order of the tasks.

    Raises:
        ConfigError: When the domain's kit can't spoil episodes.
    """
    domain, kit = load_domain(domain_name), load_task_kit(domain_name)
    if kit.damages is None:
        raise ConfigError(
            f"planted failures[{domain_name}]: expected a kit with damages, got one without; write them as retail's "
            "damage.py does"
        )
    scorer, found, missing = Scorer(domain), [], Counter(dict.fromkeys(kit.pattern_names(), per_pattern))
    for task in tasks:
        if missing[task.pattern] <= 0:
            continue
        base = domain.open_database(databases[task.database_id])
        for damage in kit.damages(task, base, Random(f"damage:{seed}:{task.task_id}")):
            policy = SpoiledExpert(kit.expert(task, base), task, damage)
            planted = _played(run_episode(Episode(task, domain, base), policy), policy, damage, scorer)
            if planted is not None:
                found.append(planted)
                missing[task.pattern] -= 1
                break
    return found


def _played(episode: Episode, policy: SpoiledExpert, damage: Damage, scorer: Scorer) -> PlantedFailure | None:
    """The plant, or None when the world did not take the damage as planned."""
    task, turn = episode.task, policy.decisive_turn
    planned = damage.wrong is None or damage.wrong in episode.writes
    if turn is None or not planned or (damage.wrong is not None and damage.wrong in task.criteria.writes):
        return None
    trajectory = failed_trajectory(episode, scorer, MADE_BY, [damage.pattern, damage.wrong, damage.ending])
    return trajectory and PlantedFailure(task, trajectory, damage.pattern, turn)


def failed_trajectory(episode: Episode, scorer: Scorer, made_by: str, damage: list[object]) -> Trajectory | None:
    """The row of a spoiled episode, None when it succeeded all the same."""
    task = episode.task
    reward = scorer.score(episode, sum(len(m.content.split()) for m in episode.messages if m.role == "assistant"))
    if reward.success >= 1 or episode.stop_reason is None:
        return None
    return Trajectory(
        trajectory_id=content_id("planted", [task.task_id, *damage]),
        task_id=task.task_id,
        database_id=task.database_id,
        policy=made_by.partition("/")[0],
        policy_version=made_by,
        trial=0,
        seed=0,
        messages=tuple(episode.messages),
        writes=tuple(episode.writes),
        stop_reason=episode.stop_reason,
        reward=reward,
        user_fault=episode.user_fault,
    )


def _listed(message: Message) -> Action | None:
    act = read_act(message.content) if message.role == "assistant" else None
    return act.action if isinstance(act, Confirm) else None


def _calling(action: Action | ToolCall, number: int) -> Message:
    call = ToolCall(id=f"spoiled-{number}", name=action.name, arguments=action.arguments)
    return Message(role="assistant", tool_calls=(call,))

"""Failures that are the user simulator's, known because they were planted: a good agent meets a spoiled user.

The expert plays as it should and waits for a yes as the rulebook asks; the user leaves before its wish is done, or in
anger at once, or says no to just what it wants. Whether anybody notices is for judges to show: an unnoticed plant is
kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from env_sim.conduct import says_yes
from env_sim.dialogue import Confirm, read_act
from env_sim.domains import load_domain
from env_sim.episode import TRANSFER_TOOL, Episode, Policy, run_episode
from env_sim.planted import PlantedFailure, failed_trajectory
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.user import ScriptedUser, UserReply
from schemas import Action, Blame, DatabaseRow, Message, Task, ToolCall

__all__ = ["MADE_BY", "SPOILS", "plant_user_failures"]

MADE_BY = "expert-and-spoiled-user/1"
Spoil = Literal["leave", "anger", "refuse"]
SPOILS: tuple[Spoil, ...] = ("leave", "anger", "refuse")
"""Leaves content when the action is listed; leaves in anger at the first answer; says no to the action it wants."""

_WORDS: Mapping[Spoil, tuple[str, ...]] = {
    "leave": ("no, thank you. bye.", "great, that was all i needed. bye.", "never mind, i am happy as it is. bye."),
    "anger": (
        "this takes far too long. bye.",
        "i have had enough of this. bye.",
        "forget it. bye.",
    ),
    "refuse": ("no, that is not what i want.", "no, this is wrong.", "nope, something else please."),
}


@dataclass
class SpoiledUser(ScriptedUser):
    """The scripted user with one kind of mistake."""

    spoil: Spoil = "leave"
    words: str = ""
    turns: list[int] = field(default_factory=list)
    """Which of its replies were at fault, counted from 0."""
    _n_replies: int = field(init=False, default=0)

    def reply(self, text: str, writes: Sequence[Action]) -> UserReply:
        """As scripted, but for its mistake."""
        answer, number = super().reply(text, writes), self._n_replies
        self._n_replies += 1
        agrees = isinstance(read_act(text), Confirm) and says_yes(answer.text)
        if self.spoil != "anger" and not agrees:
            return answer
        self.turns.append(number)
        return UserReply(self.words, left=self.spoil != "refuse", satisfied=self.spoil == "leave")


@dataclass
class SpoiledEpisode(Episode):
    """An episode whose user makes a mistake."""

    spoil: Spoil = "leave"
    words: str = ""
    user: SpoiledUser = field(init=False)

    def __post_init__(self) -> None:
        """Put the spoiled user in the scripted one's place."""
        super().__post_init__()
        self._user = self.user = SpoiledUser(self.task.scenario, self.spoil, self.words)


class _Obedient:
    """The expert, but without a yes it lists once more and then hands over: no write stands against the user's no."""

    def __init__(self, expert: Policy) -> None:
        self._expert = expert
        self._listing: Message | None = None
        self._held = False
        """The expert would write by now, but the user has not said yes."""

    def act(self, messages: Sequence[Message]) -> Message:
        if self._held:
            call = ToolCall(id="held-1", name=TRANSFER_TOOL, arguments={"summary": "no yes from the user"})
            return Message(role="assistant", tool_calls=(call,))
        message = self._expert.act(messages)
        listing, self._listing = self._listing, message if isinstance(read_act(message.content), Confirm) else None
        if listing is None or not message.tool_calls or says_yes(messages[-1].content):
            return message
        self._held = True
        return listing


def plant_user_failures(
    domain_name: str, databases: Mapping[str, DatabaseRow], tasks: Sequence[Task], seed: int, per_spoil: int
) -> list[PlantedFailure]:
    """Failures by each spoiled user, at most `per_spoil` of each, in the order of the tasks."""
    domain, kit = load_domain(domain_name), load_task_kit(domain_name)
    scorer, found, missing = Scorer(domain), list[PlantedFailure](), dict.fromkeys(SPOILS, per_spoil)
    for task in tasks:
        spoil = max(SPOILS, key=lambda each: missing[each])
        if missing[spoil] <= 0:
            break
        base = domain.open_database(databases[task.database_id])
        words = Random(f"spoiled user:{seed}:{task.task_id}").choice(_WORDS[spoil])
        episode = SpoiledEpisode(task, domain, base, spoil=spoil, words=words)
        planted = _played(episode, _Obedient(kit.expert(task, base)), scorer)
        if planted is not None:
            found.append(planted)
            missing[spoil] -= 1
    return found


def _played(episode: SpoiledEpisode, agent: Policy, scorer: Scorer) -> PlantedFailure | None:
    """The plant, or None when the mistake never came or did no harm."""
    run_episode(episode, agent)
    trajectory = failed_trajectory(episode, scorer, MADE_BY, ["user", episode.spoil])
    if trajectory is None or not episode.user.turns:
        return None
    said = [index for index, message in enumerate(episode.messages) if message.role == "user"]
    # The opening is no reply.
    turn = said[1 + episode.user.turns[0]]
    return PlantedFailure(episode.task, trajectory, "other", turn, Blame.USER)

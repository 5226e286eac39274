"""The scripted user: a scenario made to speak.

It tells facts only when asked, says yes to a listed action of the kind it asked for, changes its mind where the
scenario says so, and leaves when its patience is spent or its wishes are dealt with. It judges a proposal by its kind
and not by its ids: a person who does not know the ids cannot correct them, and correcting by the hidden goal would
teach an agent to guess.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from env_sim.dialogue import Ask, Confirm, Deny, Done, read_act
from schemas import Action, Goal, Scenario


@dataclass(frozen=True)
class UserReply:
    """What the user says; `left` is set when these are the last words."""

    text: str
    left: bool = False
    satisfied: bool = False
    """Set with `left`: every wish was acted on or refused, as far as the user can tell."""


@dataclass
class ScriptedUser:
    """One user in one episode; holds the state of the talk, never the state of the world."""

    scenario: Scenario
    _raised: int = field(init=False)
    _refused: set[int] = field(init=False, default_factory=set)
    _changed: set[int] = field(init=False, default_factory=set)
    _annoyance: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Start with the goals that the opening names."""
        self._raised = self.scenario.raised_in_opening

    def opening(self) -> str:
        """The first message."""
        return self.scenario.opening

    def reply(self, text: str, writes: Sequence[Action]) -> UserReply:
        """Answer an assistant message.

        Args:
            text: what the assistant said.
            writes: state-changing calls made so far, which the user would learn of by e-mail.
        """
        act = read_act(text)
        open_goals = self._open_goals(writes)
        match act:
            case Confirm(action):
                return self._answer_confirmation(action, open_goals)
            case Ask(topic):
                return self._answer_question(topic, open_goals)
            case Deny():
                return self._answer_refusal(open_goals)
            case Done():
                return self._answer_completion(open_goals)
        return self._annoyed("sorry, i do not understand.")

    def _open_goals(self, writes: Sequence[Action]) -> list[int]:
        """Indexes of raised goals that no write of their kind has dealt with yet."""
        done = Counter(action.name for action in writes)
        open_goals = []
        for index, goal in enumerate(self.scenario.goals[: self._raised]):
            kind = goal.action.name if goal.action else None
            if index in self._refused:
                continue
            if kind is not None and done[kind] > 0:
                done[kind] -= 1
                continue
            open_goals.append(index)
        return open_goals

    def _answer_confirmation(self, proposal: Action, open_goals: list[int]) -> UserReply:
        for index in open_goals:
            goal = self.scenario.goals[index]
            if goal.action is None or goal.action.name != proposal.name:
                continue
            if goal.change and index not in self._changed:
                self._changed.add(index)
                return UserReply(goal.change.text)
            return UserReply("yes, please.")
        if not open_goals:
            return self._annoyed("no, that is not needed.")
        return self._annoyed(f"no. {self.scenario.goals[open_goals[0]].request}")

    def _answer_question(self, topic: str, open_goals: list[int]) -> UserReply:
        if topic == "identity":
            return UserReply(self._identity_text())
        for index in open_goals:
            for detail in self._known(index):
                if detail[0] == topic:
                    return UserReply(detail[1])
        return self._annoyed("i already told you all i know.")

    def _known(self, index: int) -> list[tuple[str, str]]:
        goal: Goal = self.scenario.goals[index]
        return [(detail.topic, detail.text) for detail in goal.details]

    def _identity_text(self) -> str:
        who = self.scenario.identity
        if who.email:
            return f"my email is {who.email}."
        if who.zip is None:
            return f"my user id is {who.user_id}."
        return f"my name is {who.first_name} {who.last_name}, zip code {who.zip}."

    def _answer_refusal(self, open_goals: list[int]) -> UserReply:
        infeasible = [index for index in open_goals if self.scenario.goals[index].action is None]
        if not infeasible:
            return self._annoyed("are you sure? please check again.")
        self._refused.add(infeasible[0])
        return self._next_wish([index for index in open_goals if index != infeasible[0]])

    def _answer_completion(self, open_goals: list[int]) -> UserReply:
        if open_goals:
            return self._annoyed(f"you have not done it yet. {self.scenario.goals[open_goals[0]].request}")
        return self._next_wish(open_goals)

    def _next_wish(self, open_goals: list[int]) -> UserReply:
        if open_goals:
            return UserReply(f"ok. {self.scenario.goals[open_goals[0]].request}")
        if self._raised < len(self.scenario.goals):
            self._raised += 1
            return UserReply(self.scenario.goals[self._raised - 1].request)
        return UserReply("no, thank you. bye.", left=True, satisfied=True)

    def _annoyed(self, text: str) -> UserReply:
        self._annoyance += 1
        if self._annoyance >= self.scenario.patience:
            return UserReply("this does not help me. bye.", left=True)
        return UserReply(text)

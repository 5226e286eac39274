"""The scripted user: a scenario made to speak.

It tells facts only when asked, brings up its remarks where the scenario puts them, says yes as its `Confirmation`
says, and leaves when its patience is spent or each wish is dealt with: written, or rightly refused. By kind it judges
no ids: who does not know them cannot correct them. By detail it says which part is wrong and repeats what it has said;
it never tells a fact that nobody asked for, nor an id that its own words do not hold.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from env_sim.conduct import ListedKey, differing, listed_key
from env_sim.dialogue import Act, Ask, Confirm, Deny, Done, read_act
from schemas import Action, Change, Confirmation, Goal, Remark, Scenario, UserFault, When


@dataclass(frozen=True)
class UserReply:
    """What the user says; `left` is set when these are the last words."""

    text: str
    left: bool = False
    satisfied: bool = False
    """Set with `left`: every wish was acted on or refused, as far as the user can tell."""
    fault: UserFault | None = None
    """Set when whoever plays the user breaks the scenario with these words and would not mend them."""


@dataclass(slots=True, eq=False)
class _Wish:
    """A goal in the course of the talk."""

    goal: Goal
    wanted: Action | None
    """The write that fulfils it as things stand."""
    pending: list[Remark]
    preferences: list[str]
    said: list[str]
    """The request and what was told about it since, in the order in which it was said."""
    heard: Counter[When] = field(default_factory=Counter)
    listed: set[ListedKey] = field(default_factory=set)
    """Listings that were answered with hesitation."""
    refused: bool = False

    @classmethod
    def of(cls, goal: Goal) -> "_Wish":
        pending = [*((goal.change,) if goal.change else ()), *goal.remarks]
        return cls(goal, goal.action, pending, list(goal.preferences), [goal.request])

    def hear(self, act: Act) -> None:
        """Count towards the points of its remarks."""
        self.heard[When.MESSAGE] += 1
        self.heard[When.QUESTION] += isinstance(act, Ask) and act.topic != "identity"

    def due(self) -> list[Remark]:
        """Remarks whose question or message has come."""
        return [r for r in self.pending if r.when is not When.LISTING and self.heard[r.when] >= r.n]

    def remark(self, remarks: Sequence[Remark]) -> str:
        """Say them; a change of mind is one from here on."""
        for remark in remarks:
            self.pending.remove(remark)
            if isinstance(remark, Change):
                self.wanted = remark.action
        return self.tell(*(remark.text for remark in remarks))

    def tell(self, *texts: str) -> str:
        """Say something that stays true."""
        self.said += [text for text in texts if text not in self.said]
        return " ".join(texts)


@dataclass
class ScriptedUser:
    """One user in one episode; holds the state of the talk, never the state of the world."""

    scenario: Scenario
    _wishes: list[_Wish] = field(init=False)
    _raised: int = field(init=False)
    _admitted: set[str] = field(init=False, default_factory=set)
    """Topics of which the user has said that it knows nothing."""
    _annoyance: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Start with the goals that the opening names."""
        self._wishes = [_Wish.of(goal) for goal in self.scenario.goals]
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
        wishes = self._open(writes)
        waiting = [wish for wish in wishes if wish.pending]
        for wish in waiting:
            wish.hear(act)
        answer = self._answer(act, wishes)
        remarks = [wish.remark(due) for wish in waiting if not wish.refused and (due := wish.due())]
        return UserReply(" ".join([answer.text, *remarks])) if remarks and not answer.left else answer

    def _answer(self, act: Act, wishes: list[_Wish]) -> UserReply:
        match act:
            case Confirm(action):
                return self._answer_listing(action, wishes)
            case Ask(topic):
                return self._answer_question(topic, wishes)
            case Deny():
                return self._answer_refusal(wishes)
            case Done():
                return self._answer_completion(wishes)
        return self._annoyed("sorry, i do not understand.")

    @property
    def _by_detail(self) -> bool:
        return self.scenario.confirmation is Confirmation.BY_DETAIL

    def _open(self, writes: Sequence[Action]) -> list[_Wish]:
        """Raised wishes that no write has dealt with yet: one of their kind, or by detail just theirs."""
        left = list(writes)
        found = []
        for wish in self._wishes[: self._raised]:
            if wish.refused:
                continue
            done = next((write for write in left if wish.wanted and self._fits(write, wish.wanted)), None)
            if done is None:
                found.append(wish)
            else:
                left.remove(done)
        return found

    def _fits(self, action: Action, wanted: Action) -> bool:
        return action.name == wanted.name and not (self._by_detail and differing(action, wanted))

    def _answer_listing(self, listed: Action, wishes: list[_Wish]) -> UserReply:
        of_kind = [wish for wish in wishes if wish.wanted and wish.wanted.name == listed.name]
        if not of_kind:
            return self._annoyed(f"no. {self._again(wishes[0])}" if wishes else "no, that is not needed.")
        wish = next((wish for wish in of_kind if wish.wanted and self._fits(listed, wish.wanted)), of_kind[0])
        if wish.pending:
            return UserReply(wish.remark(list(wish.pending)))
        if wish.wanted and not self._fits(listed, wish.wanted):
            return self._annoyed(f"no, {_mistake(differing(listed, wish.wanted))}. {self._again(wish)}")
        key = listed_key(listed)
        if wish.goal.hesitation and key not in wish.listed:
            wish.listed.add(key)
            return UserReply(wish.goal.hesitation)
        return UserReply("yes, please.")

    def _again(self, wish: _Wish) -> str:
        """The wish once more; by kind in its first words, also after a change of mind."""
        return " ".join(wish.said) if self._by_detail else wish.goal.request

    def _answer_question(self, topic: str, wishes: list[_Wish]) -> UserReply:
        if topic == "identity":
            return UserReply(self._identity_text())
        for wish in wishes:
            for detail in wish.goal.details:
                if detail.topic == topic:
                    return UserReply(wish.tell(detail.text))
        if topic in self.scenario.unknown and topic not in self._admitted:
            self._admitted.add(topic)
            return UserReply("i do not know.")
        return self._annoyed("i already told you all i know.")

    def _identity_text(self) -> str:
        who = self.scenario.identity
        if who.email:
            return f"my email is {who.email}."
        if who.zip is None:
            return f"my user id is {who.user_id}."
        return f"my name is {who.first_name} {who.last_name}, zip code {who.zip}."

    def _answer_refusal(self, wishes: list[_Wish]) -> UserReply:
        refusable = next((wish for wish in wishes if wish.preferences or wish.wanted is None), None)
        if refusable is None:
            return self._annoyed("are you sure? please check again.")
        if refusable.preferences:
            return UserReply(refusable.tell(refusable.preferences.pop(0)))
        refusable.refused = True
        return self._next_wish([wish for wish in wishes if wish is not refusable])

    def _answer_completion(self, wishes: list[_Wish]) -> UserReply:
        if wishes:
            return self._annoyed(f"you have not done it yet. {self._again(wishes[0])}")
        return self._next_wish(wishes)

    def _next_wish(self, wishes: list[_Wish]) -> UserReply:
        if wishes:
            return UserReply(f"ok. {self._again(wishes[0])}")
        if self._raised < len(self._wishes):
            self._raised += 1
            return UserReply(self._wishes[self._raised - 1].goal.request)
        return UserReply("no, thank you. bye.", left=True, satisfied=True)

    def _annoyed(self, text: str) -> UserReply:
        self._annoyance += 1
        if self._annoyance >= self.scenario.patience:
            return UserReply("this does not help me. bye.", left=True)
        return UserReply(text)


def _mistake(arguments: Sequence[str]) -> str:
    """Which parts of a listing are wrong, in the words in which they were listed."""
    names = [name.removesuffix("_ids").removesuffix("_id").replace("_", " ") for name in arguments]
    return f"wrong {', '.join(names)}" if names else "that is not it"

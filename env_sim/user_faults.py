"""The user's own mistakes, read from a dialogue and the scenario, whoever played the user.

A simulator that leaves too soon, tells what it should keep or agrees to anything spoils the episode, and the agent
would be blamed for it. `user_faults` finds what the dialogue shows for sure and is silent where it can't know:

- A fact counts as told when all words that no other words of the scenario have were said, in one message or bit by bit:
  a paraphrase by other words passes unseen, and what the assistant has said first is no secret. It counts as asked for
  when its topic was, or when free words asked anything.
- Ids are known by their form (`user_words.ids_in`); one that neither the scenario's words nor the assistant's hold is
  one that the user can't know, or made up. Numbers of less than five digits, and names in passing, pass unseen.
- Listings in the words of `act_text` are judged whole. In free words only a yes by detail to a listing that names as
  many ids of a form as the wish has, but others, is a mistake; and once free words may have been a listing, remarks
  may have been made and hesitation spent.
- What the user knows changes with its remarks, and a paraphrased one can't be recognised: where a remark may or may
  not have been said, both readings must agree on a fault.
- Whether a wish was refused in free words is not read: a user who leaves with only such wishes open is at fault only
  when nothing but questions, listings and reports of completion was said to it.

Not covered: wishes raised too early, facts other than ids and names that the user invents, rudeness. Never raises on
any dialogue.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from env_sim.conduct import UNSPELLABLE, ListedKey, differing, listed_key, says_yes
from env_sim.dialogue import DENY_TEXT, DONE_TEXT, Ask, Confirm, act_text, read_act
from env_sim.user_words import (
    TOPICS,
    Secret,
    asks_for_yes,
    hidden_values,
    holds,
    ids_in,
    lists_others,
    own_words,
    secrets,
    squeezed,
    stems,
)
from schemas import Action, Confirmation, Goal, Message, Remark, Scenario, StopReason, UserFault, UserFaultKind, When

__all__ = ["user_faults"]

_EVIDENCE_CHARS = 160
_EMAIL = re.compile(r"[\w.+-]{1,80}@[\w-]+(?:\.[\w-]+)+")
"""Bounded at its start: a megabyte without an @ would be searched from each of its characters."""
_NO = re.compile(r"\W*(?:no|nope)\b", re.I)
_ASSISTANT = re.compile(
    r"anything else i can (?:help|do)|how (?:can|may) i (?:help|assist)|is there anything else\?|< ?tool_call>|"
    r"\byes or no\?$",
    re.I,
)
_NAMED = re.compile(r"\bmy name is ([^\W\d_]+)", re.I)


def user_faults(scenario: Scenario, messages: Sequence[Message], stop_reason: StopReason | None) -> list[UserFault]:
    """Mistakes of the user in an episode, in the order of their turns; `stop_reason` is None while it runs."""
    watch = _Watch(scenario)
    for message in messages:
        watch.see(message)
    watch.end(stop_reason)
    return watch.faults


@dataclass(slots=True, eq=False)
class _Wish:
    """A goal, and what the user has heard and said about it."""

    goal: Goal
    secrets: list[Secret]
    n_listings: int = 0
    """Listings of its kind that were answered."""
    refused: set[ListedKey] = field(default_factory=set)
    """Listings that were answered with anything but yes."""

    def actions(self, due: bool) -> list[Action]:
        """What it may want by now: both minds while a change may have been spoken in other words."""
        change = self.goal.change
        if change is None:
            return [self.goal.action] if self.goal.action else []
        old = [self.goal.action] if self.goal.action else []
        if self.n_listings or all(secret.remark is not change for secret in self.secrets):
            return [change.action]
        return [*old, change.action] if due else old


class _Watch:
    """One dialogue under watch."""

    def __init__(self, scenario: Scenario) -> None:
        self.faults: list[UserFault] = []
        self._scenario = scenario
        self._wishes = [_Wish(goal, list(secrets(scenario, goal))) for goal in scenario.goals]
        self._own = own_words(scenario)
        self._hidden = hidden_values(scenario, self._own)
        self._by_detail = scenario.confirmation is Confirmation.BY_DETAIL
        self._topics = {*TOPICS, *scenario.unknown, *(d.topic for goal in scenario.goals for d in goal.details)}
        """A question for one of these is about nothing else; another may be about anything."""
        self._kinds = {a.name for g in scenario.goals for a in (g.action, g.accepted) if a}
        self._turn = -1
        self._last_user_turn = 0
        self._heard = ""
        """All that the assistant has said, lower case."""
        self._listed: Action | None = None
        """The listing that waits for an answer."""
        self._listed_freely = ""
        """The free words that may be one."""
        self._may_have_listed = False
        """Whether free words ever were."""
        self._may_have_refused = False
        self._asked: set[str] = set()
        self._asked_anything = False
        self._counts = {When.LISTING: 0, When.QUESTION: 0, When.MESSAGE: 0}
        self._calls: dict[str, Action] = {}
        self._writes: list[Action] = []

    def see(self, message: Message) -> None:
        """Take the next message."""
        self._turn += 1
        if message.role == "assistant":
            self._see_assistant(message)
        elif message.role == "tool":
            done = self._calls.pop(message.tool_call_id or "", None)
            if done is not None and not message.error:
                self._writes.append(done)
        elif message.role == "user":
            self._see_user(message)

    def end(self, stop_reason: StopReason | None) -> None:
        """The user's leaving, if it did."""
        said = self._counts[When.MESSAGE]
        if stop_reason is StopReason.USER_LEFT and said < self._scenario.patience:
            self._leave(f"left in anger after {said} messages, its patience is {self._scenario.patience}")
        if stop_reason is not StopReason.USER_DONE:
            return
        if said == 0:
            self._leave("left satisfied before anybody had answered")
            return
        undone = next((wish for wish in self._undone(sure=True) if wish.goal.accepted), None)
        if undone is not None and undone.goal.accepted:
            self._leave(f"left satisfied, but {undone.goal.accepted.name} was not done")
        elif not self._may_have_refused and any(wish.goal.accepted is None for wish in self._wishes):
            self._leave("left satisfied, but what it can't have was not refused")

    def _leave(self, evidence: str) -> None:
        self._note(UserFaultKind.LEFT_EARLY, evidence, self._last_user_turn)

    def _note(self, kind: UserFaultKind, evidence: str, turn: int | None = None) -> None:
        text = evidence[:_EVIDENCE_CHARS].encode("utf-8", "replace").decode()
        self.faults.append(UserFault(kind=kind, turn=self._turn if turn is None else turn, evidence=text))

    def _see_assistant(self, message: Message) -> None:
        for call in message.tool_calls:
            if call.name in self._kinds:
                self._calls[call.id] = Action(name=call.name, arguments=call.arguments)
        self._listed, self._listed_freely = None, ""
        if message.tool_calls:
            return
        text = message.content
        lowered = text.lower()
        self._heard += "\n" + lowered
        self._counts[When.MESSAGE] += 1
        act = read_act(text)
        if isinstance(act, Confirm):
            self._listed = act.action
        self._may_have_refused |= text == DENY_TEXT
        if isinstance(act, Confirm) or text in (DENY_TEXT, DONE_TEXT):
            return
        if not isinstance(act, Ask) or text != act_text(act):
            self._see_free_words(text)
        self._counts[When.QUESTION] += not (isinstance(act, Ask) and act.topic == "identity")
        if isinstance(act, Ask) and (act.topic in self._topics or text == act_text(act)):
            self._asked |= {act.topic}
        elif "?" in text:
            self._asked_anything = True
        self._asked |= {topic for topic in self._topics if topic in lowered}

    def _see_free_words(self, text: str) -> None:
        self._may_have_refused = True
        if asks_for_yes(text):
            self._listed_freely, self._may_have_listed = text, True

    def _see_user(self, message: Message) -> None:
        self._last_user_turn = self._turn
        listed, self._listed = self._listed, None
        freely, self._listed_freely = self._listed_freely, ""
        text = message.content
        if message.tool_calls or _ASSISTANT.search(text):
            self._note(UserFaultKind.SPOKE_AS_ASSISTANT, f"said {text!r}")
        elif not text.strip():
            self._note(UserFaultKind.EMPTY, "an empty message")
        if listed is not None:
            self._counts[When.LISTING] += 1
        remarked = self._see_facts(text.lower(), listed)
        if listed is not None:
            self._see_answer(text, listed, remarked)
        elif freely and self._by_detail and says_yes(text):
            self._see_free_yes(freely)

    def _see_facts(self, said: str, listed: Action | None) -> bool:
        """Judge what is told, in lower case; whether a remark was among it."""
        self._see_ids(said)
        self._see_names(said)
        words = stems(said) if any(wish.secrets for wish in self._wishes) else frozenset()
        told = [(wish, secret) for wish in self._wishes for secret in wish.secrets if secret.hear(said, words)]
        for wish, secret in told:
            wish.secrets.remove(secret)
            if not self._may_tell(wish, secret, listed) and not secret.is_known_from(stems(self._heard)):
                self._note(UserFaultKind.REVEALED, f"unasked: {secret.text!r}")
        return any(secret.remark for _, secret in told)

    def _see_ids(self, said: str) -> None:
        """Judge values that only the wishes' arguments hold, and whatever else looks like an id."""
        run = squeezed(said) if self._hidden else ""
        found = [value for value in self._hidden if holds(said, run, value)]
        seen = (self._own, self._heard, *found)
        found += [
            each
            for each in ids_in(_EMAIL.sub(" ", said) if "@" in said else said)
            if not any(each in text for text in seen)
        ]
        if not found:
            return
        known = self._own + self._heard
        run = squeezed(known)
        for value in found:
            if not holds(known, run, value):
                self._note(UserFaultKind.REVEALED, f"said {value!r}, which it can't know")

    def _see_names(self, said: str) -> None:
        """Judge who it says it is."""
        for email in _EMAIL.findall(said) if "@" in said else ():
            if email not in self._own_emails and email not in self._heard:
                self._note(UserFaultKind.CONTRADICTED, f"gave the address {email!r}, which is not its own")
        for name in _NAMED.findall(said) if "my name is" in said else ():
            if name not in self._own:
                self._note(UserFaultKind.CONTRADICTED, f"gave the name {name!r}, which is not its own")

    @cached_property
    def _own_emails(self) -> set[str]:
        """Addresses that stand in the scenario."""
        own = " ".join(self._scenario.texts).lower()
        return {(self._scenario.identity.email or "").lower(), *_EMAIL.findall(own)}

    def _may_tell(self, wish: _Wish, secret: Secret, listed: Action | None) -> bool:
        if secret.remark is None:
            return self._asked_anything or secret.detail_topic in self._asked
        kinds = {action.name for action in (wish.goal.action, wish.goal.accepted) if action}
        listing = wish.n_listings or self._may_have_listed or (listed and listed.name in kinds)
        return bool(listing or self._due(secret.remark))

    def _due(self, remark: Remark) -> bool:
        return remark.when is not When.LISTING and self._counts[remark.when] >= remark.n

    def _actions(self, wish: _Wish) -> list[Action]:
        return wish.actions(wish.goal.change is not None and (self._may_have_listed or self._due(wish.goal.change)))

    def _fits(self, action: Action, wanted: Action) -> bool:
        if action.name != wanted.name:
            return False
        try:
            return not (self._by_detail and differing(action, wanted))
        except UNSPELLABLE:
            return False

    def _undone(self, *, sure: bool) -> list[_Wish]:
        """Wishes without a write of theirs: in every reading of what they want (sure), or in some."""
        left, undone = list(self._writes), []
        for wish in self._wishes:
            actions = self._actions(wish)
            both = [action for action in (wish.goal.action, wish.goal.accepted) if action] if sure else actions
            test = any if sure else all
            done = next((w for w in left if both and test(self._fits(w, action) for action in both)), None)
            if done is None:
                undone.append(wish)
            else:
                left.remove(done)
        return undone

    def _see_answer(self, text: str, listed: Action, remarked: bool) -> None:
        """Judge the answer to a listing; a remark may begin with a no that means something else."""
        of_kind = [w for w in self._wishes if any(action.name == listed.name for action in self._actions(w))]
        fitting = [w for w in of_kind if any(self._fits(listed, action) for action in self._actions(w))]
        if says_yes(text):
            self._see_yes(listed, of_kind, fitting)
        elif _NO.match(text) and not remarked and len(of_kind) == 1 and self._is_surely_right(listed, fitting):
            self._note(UserFaultKind.CONTRADICTED, f"said no to {listed.name} as it wants it")
        for wish in of_kind:
            wish.n_listings += 1
            if not says_yes(text):
                wish.refused.add(listed_key(listed))

    def _see_yes(self, listed: Action, of_kind: list[_Wish], fitting: list[_Wish]) -> None:
        undone = self._undone(sure=False)
        if not any(wish in undone for wish in of_kind):
            self._note(UserFaultKind.CONFIRMED_WRONG, f"yes to {listed.name}, which no open wish asks for")
        elif not any(wish in undone for wish in fitting):
            self._note(UserFaultKind.CONFIRMED_WRONG, f"yes to {listed.name} with other arguments than it wants")
        elif not any(self._may_say_yes(wish, listed) for wish in fitting if wish in undone):
            self._note(UserFaultKind.CONTRADICTED, f"yes to {listed.name} where its scenario has other words first")

    def _see_free_yes(self, listing: str) -> None:
        actions = [self._actions(wish) for wish in self._undone(sure=False)]
        if actions and all(each and all(lists_others(listing, action) for action in each) for each in actions):
            self._note(UserFaultKind.CONFIRMED_WRONG, f"yes to other ids than any of its wishes has: {listing!r}")

    def _may_say_yes(self, wish: _Wish, listed: Action) -> bool:
        hesitates = wish.goal.hesitation is not None and listed_key(listed) not in wish.refused
        return self._may_have_listed or not (hesitates or self._has_more_to_say(wish))

    def _has_more_to_say(self, wish: _Wish) -> bool:
        """Whether a remark is to be made in place of the answer to a first listing."""
        waiting = [secret.remark for secret in wish.secrets if secret.remark and not self._due(secret.remark)]
        return bool(waiting) and wish.n_listings == 0

    def _is_surely_right(self, listed: Action, fitting: list[_Wish]) -> bool:
        """Whether a wish that must be open by now wants this and no more, and nothing else was to be said first."""
        raised = self._wishes[: self._scenario.raised_in_opening]
        open_wishes = [wish for wish in self._undone(sure=True) if wish in raised and wish in fitting]
        # Hesitation may begin with a no and comes again for another listing.
        sure = [wish for wish in open_wishes if len(self._actions(wish)) == 1 and not wish.goal.hesitation]
        return any(not self._has_more_to_say(wish) for wish in sure)

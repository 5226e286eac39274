"""What a dialogue shows of an agent's conduct, for all who judge it: the reward and the rulebook monitor.

Facts only, no verdicts: which action a message lists, whether an answer is a yes, whether a call brought nothing new.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from pydantic import JsonValue

from env_sim.dialogue import Confirm, read_act, value_text
from schemas import Action, ToolCall

_COURTESY = r"(?:ok|okay|great|perfect|good|sure|thanks|thank you)"
UNSPELLABLE = (ValueError, TypeError, RecursionError)
"""What arguments cause that no JSON text can hold, such as a number of 5,000 digits."""
ListedKey = tuple[str, frozenset[tuple[str, str]]]
_YES = re.compile(rf"\W*(?:{_COURTESY}\W+){{0,3}}(?:yes|yeah|yep|yup|i confirm|confirmed)\b", re.I)


def call_key(name: str, arguments: object) -> str:
    """Identity of a call for repeats and exact matches: name and canonical arguments."""
    return name + json.dumps(arguments, sort_keys=True, default=str)


def listed_key(action: Action | ToolCall) -> ListedKey:
    """Identity of an action as it is listed to a user: argument values as texts, in any order."""
    return action.name, frozenset([(key, value_text(value)) for key, value in action.arguments.items()])


def listed_action(text: str) -> Action | None:
    """The action that an assistant's message lists for a yes, its arguments as texts; None when it lists none."""
    act = read_act(text)
    return act.action if isinstance(act, Confirm) else None


def differing(said: Action, wanted: Action) -> list[str]:
    """Arguments in which an action differs from the wanted one of its name, the wanted ones first; [] when in none.

    Values are compared as they are listed. Lists belong together entry by entry (an item and what it becomes), in any
    order of the entries.
    """
    had = {key: value_text(value) for key, value in said.arguments.items()}
    meant = {key: value_text(value) for key, value in wanted.arguments.items()}
    wrong = [key for key in {**meant, **had} if had.get(key) != meant.get(key)]
    lists = [key for key, value in wanted.arguments.items() if isinstance(value, list)]
    reordered = set(wrong) <= set(lists) and _entries(had, lists) == _entries(meant, lists)
    return [] if reordered else wrong


def _entries(texts: Mapping[str, str], lists: Sequence[str]) -> list[tuple[str, ...]]:
    """What stands together in the lists, sorted."""
    return sorted(zip_longest(*(texts.get(key, "").split(", ") for key in lists), fillvalue=""))


def says_yes(text: str) -> bool:
    """Whether a user's message begins with a clear yes, as people and models say it; "yesterday" is none."""
    return _YES.match(text) is not None


class Repeats:
    """Finds calls without progress: same tool, same arguments, same answer, and no word of the user in between."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._seen: dict[tuple[str, str], dict[str, JsonValue] | set[str]] = {}

    def user_spoke(self) -> None:
        """Forget all calls: what the user said may be a reason to look again."""
        self._seen.clear()

    def add(self, call: ToolCall, answer: str) -> bool:
        """Take the next call with its answer; whether it repeats an earlier one.

        Arguments are spelled out only once two calls of a tool have had the same answer, which is rare and costs most.
        Those that can't be spelled repeat nothing.
        """
        try:
            return self._add(call, answer)
        except UNSPELLABLE:
            return False

    def _add(self, call: ToolCall, answer: str) -> bool:
        place = (call.name, answer)
        known = self._seen.get(place)
        if known is None:
            self._seen[place] = call.arguments
            return False
        if isinstance(known, dict):
            known = self._seen[place] = {call_key(call.name, known)}
        key = call_key(call.name, call.arguments)
        repeats = key in known
        known.add(key)
        return repeats

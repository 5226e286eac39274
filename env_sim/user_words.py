"""What free words give away, and what they may mean: readings for the checker of users, which claims only what is sure.

Facts are known by the words that only they have, ids by their form. Nothing here is understood: words of the same
meaning pass unseen, and a number of less than five digits is never taken for an id.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from env_sim.conduct import UNSPELLABLE
from env_sim.dialogue import value_text
from schemas import Action, Goal, Remark, Scenario

__all__ = [
    "TOPICS",
    "Secret",
    "asks_for_yes",
    "hidden_values",
    "holds",
    "ids_in",
    "lists_others",
    "own_words",
    "secrets",
    "squeezed",
    "stems",
]

TOPICS = frozenset(
    (
        "identity",
        "order",
        "variant",
        "payment",
        "reason",
        "item",
        "address",
        "reservation",
        "flight",
        "date",
        "passenger",
    )
)
"""What agents are known to ask for: a question for one of these is about nothing else."""

_WORD = re.compile(r"[a-z0-9]+")
_SIGNS = bytes(code for code in range(128) if not _WORD.match(chr(code)))
"""All that is in no word."""
_COMMON_TEXT = (
    "a also an and are as at be about after all any back been before being "
    "bought but buy by can check could did do does else for from get go had has have here how i if in is it its just "
    "know like me mean my need no not now of on one only or other please really same so some sorry still sure than "
    "thank thanks that the their them then there these they think this those to too want was we well were what when "
    "where which who why will with would wrong yes yet you your"
)
_TOKEN = re.compile(r"#?\w+")
_DIGITS = re.compile(r"\d{5}")
_MIN_ID_CHARS = 5
_MIN_SQUEEZED_CHARS = 7
"""Shorter ones would be found across the words of a harmless sentence."""
_FOR_YES = re.compile(
    r"\bconfirm(?!\w| your (?:identity|email|e-mail|name|zip|user))|\byes\b|\bproceed|\bgo ahead|\bapprove|\bagree|"
    r"\b(?:shall|should) i\b|\b(?:would you like|do you want) me\b|\b(?:right|correct|okay|ok|fine)\b[^.!?]{0,80}\?",
    re.I,
)


def stems(text: str) -> frozenset[str]:
    """The words of a lower-case text, plurals as their singulars."""
    return frozenset(
        word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word for word in _WORD.findall(text)
    )


_COMMON = stems(_COMMON_TEXT) | TOPICS
"""Words that tell nothing by themselves."""


@dataclass(slots=True, eq=False)
class Secret:
    """A fact or remark that must not be told before its point."""

    text: str
    words: frozenset[str]
    """Those that give it away; empty: only the whole text does."""
    detail_topic: str = ""
    remark: Remark | None = None
    _told: frozenset[str] = frozenset()

    def hear(self, said: str, words: frozenset[str]) -> bool:
        """Take a message of the user (lower case, and its stems); whether all is told by now, also bit by bit."""
        if not self.words:
            return self.text.lower() in said
        self._told |= words & self.words
        return self._told == self.words

    def is_known_from(self, words: frozenset[str]) -> bool:
        """Whether these words hold all that it could give away."""
        return bool(self.words) and self.words <= words


def secrets(scenario: Scenario, goal: Goal) -> Iterator[Secret]:
    """Facts to be asked for and remarks that have their point, each with the words that only it has."""
    remarks = [*((goal.change,) if goal.change else ()), *goal.remarks]
    if not goal.details and not remarks:
        return
    for secret in (*goal.details, *remarks):
        others = " ".join(text for text in scenario.texts if text != secret.text).lower()
        if secret.text.lower() in others:
            continue
        words = stems(secret.text.lower()) - _COMMON - stems(others)
        if isinstance(secret, Remark):
            yield Secret(secret.text, words, remark=secret)
        else:
            yield Secret(secret.text, words, detail_topic=secret.topic)


def own_words(scenario: Scenario) -> str:
    """All that a user may know to say, lower case; its user id only when it has no zip code to say."""
    who = scenario.identity
    # Who has no zip code names the user id to say who it is.
    own = [who.email or "", who.first_name, who.last_name, who.zip or who.user_id]
    return " ".join([*own, *scenario.texts]).lower()


def hidden_values(scenario: Scenario, known: str) -> list[str]:
    """Ids in the wishes' arguments, and words never said, that its own words do not hold, lower case."""
    actions = [a for goal in scenario.goals for a in (goal.action, goal.accepted) if a]
    values = [value for action in actions for value in action.arguments.values()]
    flat = [str(v) for value in values for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]
    ids = {v.lower() for v in [*flat, scenario.identity.user_id] if len(v) >= _MIN_ID_CHARS}
    run = squeezed(known)
    never = {v.lower() for v in scenario.never_said}
    return sorted(v for v in never | {v for v in ids if any(c.isdigit() for c in v)} if not holds(known, run, v))


def squeezed(text: str) -> str:
    """Letters and digits of a lower-case text in one run: an id is the same with spaces, dashes or without its #."""
    if text.isascii():
        return text.encode().translate(None, _SIGNS).decode()
    return "".join(_WORD.findall(text))


def holds(text: str, run: str, value: str) -> bool:
    """Whether a lower-case text, `run` when squeezed, holds a value, also spelled with other signs between."""
    short = squeezed(value)
    return value in text or (len(short) >= _MIN_SQUEEZED_CHARS and short in run)


def ids_in(text: str) -> list[str]:
    """What has the form of an id in a lower-case text, without its #: five digits in a row, a # or a _ with digits."""
    return [
        token.lstrip("#")
        for token in _TOKEN.findall(text)
        if len(token) >= _MIN_ID_CHARS
        and not token.isalpha()  # most words are, and looking for a digit costs more
        and any(c.isdigit() for c in token)
        and (token[0] == "#" or "_" in token or _DIGITS.search(token))
    ]


def asks_for_yes(text: str) -> bool:
    """Whether an assistant's words that are no act's may be a listing that waits for a yes."""
    return bool(_FOR_YES.search(text) or ("?" in text and ids_in(text.lower())))


def lists_others(text: str, wanted: Action) -> bool:
    """Whether free words hold as many ids of some form as a wanted action has, but not all of its own."""
    try:
        mine = " ".join(value_text(value) for value in wanted.arguments.values()).lower()
    except UNSPELLABLE:
        return False
    said, meant = _by_form(ids_in(text.lower())), _by_form(ids_in(mine))
    return any(len(said.get(form, ())) >= len(ids) and not ids <= said[form] for form, ids in meant.items())


def _by_form(ids: Sequence[str]) -> dict[str, set[str]]:
    """Ids by their form: letters and digits, without saying which."""
    found: dict[str, set[str]] = {}
    for each in ids:
        form = re.sub(r"[^\W\d_]+", "a", re.sub(r"\d", "0", each))
        found.setdefault(form, set()).add(each)
    return found

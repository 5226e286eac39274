"""What the rulebook monitor has to know of retail: which tools do what, and which wishes the tools surely serve.

A user's wish is understood only in the words of `wording`, sentence by sentence; the patterns are made from its
templates, so the two can't drift apart. A user who has said one other sentence is not understood at all.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from env_sim.domains.retail import wording
from env_sim.domains.retail.compact import ADDRESS_PATTERN
from env_sim.domains.retail.lexicon import HOME_ADDRESS, TOLD_REASONS
from env_sim.domains.retail.views import METHOD_NAMES
from env_sim.domains.retail.write_tools import ParityEnvironment
from env_sim.monitor import RuleSpec

WRITES = frozenset(name for name, tool in ParityEnvironment.tools.items() if tool.writes)
_MAX_CHARS = 2000
"""Longer messages are not understood: what the patterns may cost stays bounded."""
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
_SLOT = re.compile(r"\{(\w+)\}")
_WORD = r"(?!(?:and|then|but|also|or)\b)[\w'/-]+"
_THING = rf"{_WORD}(?: {_WORD}){{0,5}}"
_LEADS = ("hey, ", "also, ", *(text.removesuffix("{wish}") for text in wording.FALLBACKS))
_ASIDES = (
    "my email is {email}.",
    "my name is {name}, zip code {zip}.",
    "i want {target}.",
    "i meant {order}, {reason}.",
    "{target}, please.",
    "the {item}, please.",
    # What users say between their wishes, as in `env_sim.user`.
    "yes, please.",
    "ok.",
    "no.",
    "no, that is not needed.",
    "are you sure?",
    "please check again.",
    "sorry, i do not understand.",
    "i already told you all i know.",
    "i do not know.",
    "you have not done it yet.",
)


def asks_only_offered(said: Sequence[str]) -> bool:
    """Whether the user has wished for something, and every sentence is understood as a wish that a tool serves.

    A wish that the rules refuse, such as cancelling what is delivered, counts as served: it is to be refused.
    """
    wish, aside = _patterns()
    wished = False
    for text in said:
        if len(text) > _MAX_CHARS:
            return False
        for sentence in _SENTENCE_END.split(text.strip()):
            if wish.fullmatch(sentence):
                wished = True
            elif not aside.fullmatch(sentence):
                return False
    return wished


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What a sentence with a wish looks like, and one without. Made at first use: most dialogues never need them."""
    requests = [sentence for tool in sorted(WRITES) for text in wording.REQUESTS[tool] for sentence in _sentences(text)]
    wishes = [sentence for sentence in requests if sentence != "{reason}."]
    asides = [*_ASIDES, "{reason}.", *wording.HINTS, *filter(None, wording.GREETINGS)]
    interjections = [*(text.removesuffix(" {wish}") for text in wording.CHANGES), *wording.HESITATIONS]
    asides += [sentence for text in interjections for sentence in _sentences(text)]
    lead = f"(?:{_one_of(_LEADS)})?"
    wish, aside = (f"(?:{'|'.join(map(_pattern, sentences))})" for sentences in (wishes, asides))
    return re.compile(lead + wish, re.I), re.compile(lead + aside, re.I)


def _sentences(template: str) -> list[str]:
    return _SENTENCE_END.split(template)


def _pattern(template: str) -> str:
    return _filled(template, _slots())


@cache
def _slots() -> Mapping[str, str]:
    """What may stand in each slot of a sentence."""
    same = [_filled(text, {"value": _THING}) for text in wording.SAME]
    target = f"(?:{'|'.join(same)}|the {_THING} one|{_one_of(wording.DIFFERENT)})"
    pair = f"the {_THING} (?:for|to) {target}"
    method = f"(?:{_one_of(METHOD_NAMES.values())}|the payment method of my order with the {_THING})"
    pay = [_filled(text, {"method": method}) for texts in wording.PAY.values() for text in texts]
    reasons = (wording.REASONS, TOLD_REASONS)
    return {
        "order": rf"(?:order #W\d{{7}}|my orders?|the order with the {_THING})",
        "items": rf"the {_THING}(?: and the {_THING})*",
        "item": _THING,
        "pairs": f"{pair}(?: and {pair})*",
        "target": target,
        "method": method,
        "pay": f"(?:{'|'.join(pay)})?",
        "reason": f"(?:{_one_of(text for kind in reasons for texts in kind.values() for text in texts)})",
        "address": f"(?:{ADDRESS_PATTERN}|{HOME_ADDRESS}|the address of my order with the {_THING})",
        "email": r"[\w.+-]+@[\w.-]+",
        "name": r"[\w'-]+ [\w'-]+",
        "zip": r"\d{5}",
    }


def _filled(template: str, slots: Mapping[str, str]) -> str:
    """A template as a pattern, with a pattern in each slot."""
    parts = _SLOT.split(template)
    return "".join(slots[part] if index % 2 else re.escape(part) for index, part in enumerate(parts))


def _one_of(texts: Iterable[str]) -> str:
    return "|".join(map(re.escape, texts))


RULES = RuleSpec(
    identifies=frozenset({"find_user_id_by_email", "find_user_id_by_name_zip"}),
    writes=WRITES,
    transfers=frozenset({"transfer_to_human_agents"}),
    without_data=frozenset({"calculate"}),
    owner="user_id",
    records={"order_id": "orders"},
    asks_only_offered=asks_only_offered,
)

"""What an agent can mean by a message to the user, and the words for it.

Four acts carry a customer-service dialogue: ask for a fact, list an action for an explicit yes, refuse, report
completion. `act_text` says an act in plain English, `read_act` understands it again (and, by keywords, the ways in
which other agents say the same). Free talk is not an act: it reads as `Other`.
"""

import re
from dataclasses import dataclass, field

from pydantic import JsonValue

from schemas import Action


@dataclass(frozen=True)
class Ask:
    """Ask for a fact, e.g. topic `order`."""

    topic: str


@dataclass(frozen=True)
class Confirm:
    """List an action and ask for an explicit yes."""

    action: Action


@dataclass(frozen=True)
class Deny:
    """Say that the wish cannot be granted."""


@dataclass(frozen=True)
class Done:
    """Report completion and ask for further wishes."""


@dataclass(frozen=True)
class Other:
    """Anything else."""

    text: str = field(default="")


Act = Ask | Confirm | Deny | Done | Other

DENY_TEXT = "I am sorry, that is not possible."
DONE_TEXT = "That is done. Is there anything else?"
_CONFIRM = re.compile(r"^Please confirm: (?P<tool>[a-z0-9_ ]+?)(?P<args>(?:; [a-z0-9_]+: [^;]*)*); yes or no\?$", re.S)
_ASK = re.compile(r"\b(?:which|what|tell me your|provide your)\s+([a-z]+)", re.I)
_DENIALS = ("not possible", "cannot", "can't", "unable to")


def value_text(value: JsonValue) -> str:
    """A tool argument in words: lists are joined with commas, objects said by their values, in order of their keys."""
    if isinstance(value, dict):
        return " ".join(str(value[key]) for key in sorted(value))
    return ", ".join(value_text(v) for v in value) if isinstance(value, list) else str(value)


def act_text(act: Act) -> str:
    """The English words of an act; `read_act` is its inverse for acts other than `Other`."""
    match act:
        case Ask(topic):
            return f"Which {topic} do you mean?" if topic != "identity" else "Please tell me your identity."
        case Confirm(action):
            listed = "".join(f"; {key}: {value_text(value)}" for key, value in action.arguments.items())
            return f"Please confirm: {action.name.replace('_', ' ')}{listed}; yes or no?"
        case Deny():
            return DENY_TEXT
        case Done():
            return DONE_TEXT
        case Other(text):
            return text


def read_act(text: str) -> Act:
    """What an assistant text means. The arguments of a `Confirm` come back as texts."""
    match = _CONFIRM.match(text)
    if match:
        pairs = (part.split(": ", 1) for part in match["args"].split("; ")[1:])
        arguments: dict[str, JsonValue] = dict(pairs)  # type: ignore[arg-type]
        return Confirm(Action(name=match["tool"].replace(" ", "_"), arguments=arguments))
    if text == DONE_TEXT:
        return Done()
    lowered = text.lower()
    if any(phrase in lowered for phrase in _DENIALS):
        return Deny()
    asked = _ASK.search(lowered)
    if asked:
        return Ask(asked[1])
    if "anything else" in lowered:
        return Done()
    return Other(text)

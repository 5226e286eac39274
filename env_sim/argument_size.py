"""The bound on a tool call: what no tool needs and no episode can afford is refused before the tool runs.

tau2 has no bound. A megabyte of text or 100,000 list items costs a tool up to half a second; a number of 5,000 digits
or 1,000 nested lists can be stored but never printed or compared again, so that the reward of the episode would raise.
The largest call of tau2's tasks has 807 characters and 44 values; the bounds hold in both modes. Measures JSON
values only: lists and dictionaries that don't hold themselves.
"""

from typing import Any

__all__ = ["MAX_ARGUMENTS", "MAX_BITS", "MAX_CHARS", "MAX_DEPTH", "MAX_VALUES", "SHORT", "TOO_LARGE", "bounded_copy"]

JsonObject = dict[str, Any]

MAX_CHARS = 10_000
"""Characters of all texts and names together. The longest ordinary argument is a summary for a person: a page."""

MAX_VALUES = 1_000
"""Values, inner ones included. A booking of nine passengers has about 60."""

MAX_DEPTH = 32
"""Levels of nesting. The tools know three; Python's own limit depends on what called it."""

MAX_BITS = 1_024
"""Bits of a whole number. Floats end here, and what tools make of it stays far below the 4,300 digits that Python
prints."""

MAX_ARGUMENTS = 16
"""Arguments of a call; the largest tool takes eleven."""

SHORT = 256
"""Characters of a tool's name. Values that are all texts no longer than this are within the bounds, unmeasured."""

_FEW_IDS, _ID = 16, 32
"""Texts of a list, and characters of each, that need no measuring either."""

TOO_LARGE = (
    f"Call too large: expected a name of at most {SHORT} characters and at most {MAX_ARGUMENTS} arguments, {MAX_CHARS} "
    f"characters, {MAX_VALUES} values, {MAX_DEPTH} levels and whole numbers of {MAX_BITS} bits"
)
"""The refusal, without the `Error: ` before it."""


def bounded_copy(arguments: JsonObject) -> JsonObject | None:
    """A deep copy, None when a bound is exceeded; stops soon after the first excess, so its own time is bounded too.

    Measuring and copying are one walk: a write needs both, and two walks would cost it a tenth of its time.
    """
    flat = _flat_copy(arguments)
    return _measured_copy(arguments) if flat is None else flat


def _flat_copy(arguments: JsonObject) -> JsonObject | None:
    """The copy when it holds but short texts and short lists of ids, as most writes do; half the time of measuring."""
    copied = arguments.copy()
    for name, value in arguments.items():
        if type(value) is list:
            if len(value) > _FEW_IDS:
                return None
            for text in value:
                if type(text) is not str or len(text) > _ID:
                    return None
            copied[name] = value.copy()
        elif type(value) is not str or len(value) > SHORT:
            return None
    return copied


def _measured_copy(arguments: JsonObject) -> JsonObject | None:
    copied = arguments.copy()
    values, chars = len(copied), 0
    containers: list[tuple[Any, int]] = [(copied, 1)]
    for container, depth in containers:  # grows while it is walked
        if type(container) is dict:
            chars += sum(map(len, container))
            places = container.items()
        else:
            places = enumerate(container)
        for place, value in places:
            kind = type(value)
            if kind is str:
                chars += len(value)
            elif kind is list or kind is dict:
                values += len(value)
                if values > MAX_VALUES or depth == MAX_DEPTH:
                    return None
                container[place] = inner = value.copy()
                containers.append((inner, depth + 1))
            elif kind is int and value.bit_length() > MAX_BITS:
                return None
    return copied if chars <= MAX_CHARS else None

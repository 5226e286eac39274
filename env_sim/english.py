"""Free English as evidence: whether a text names a product, says an option's value, or compares.

Spelling only. What is named may be negated, conditional or somebody else's.
"""

import re
from functools import cached_property

__all__ = ["Words"]

_COMPARES = re.compile(
    r"\b(\w{3,}er|\w{3,}est|less|lower|higher|maximum|max|more fancy|slightly|prefer\w*) ", re.IGNORECASE
)
_NOT_COMPARATIVES = frozenset(
    [
        "order",
        "number",
        "water",
        "agent",
        "user",
        "other",
        "another",
        "either",
        "whether",
        "whatever",
        "customer",
        "computer",
        "speaker",
        "charger",
        "answer",
        "transfer",
        "rather",
        "never",
        "ever",
        "over",
        "under",
        "after",
        "offer",
        "paper",
        "leather",
        "polyester",
        "silver",
        "however",
        "deliver",
        "together",
        "remember",
        "cleaner",
        "later",
        "newer",
        "daughter",
        "purifier",
        "per",
        "power",
        "filter",
        "request",
        "interest",
        "test",
        "different",
    ]
)
"""Words of the instructions that only look like comparatives."""


class Words:
    """A user's instructions, to be searched for names and values."""

    def __init__(self, text: str) -> None:
        """Keep the text as it is and in one plain spelling."""
        self.raw = text
        self.text = " ".join(text.lower().replace("-", "").replace("_", " ").split())

    @cached_property
    def joined(self) -> str:
        """The text without spaces: `book shelf` names a bookshelf."""
        return self.text.replace(" ", "")

    @cached_property
    def tokens(self) -> frozenset[str]:
        """Its words in the singular."""
        return frozenset(_singular(word) for word in re.findall(r"[a-z0-9.]+", self.text.replace(". ", " ")))

    def say(self, pattern: str) -> bool:
        """Whether the plain spelling holds a pattern."""
        return bool(re.search(pattern, self.text))

    def name(self, name: str) -> bool:
        """Whether a product is named: by any word of its name, also as a part (`watch` for a wristwatch)."""
        words = [_singular(word) for word in name.lower().replace("-", "").split()]
        if "".join(words) in self.joined:
            return True
        return any(
            word == token or (len(token) >= 4 and (word.endswith(token) or token.endswith(word)))
            for word in words
            for token in self.tokens
            if len(word) >= 3
        )

    def value(self, value: str) -> bool:
        """Whether an option's value is said, by all of its words or its leading number."""
        lowered = value.lower().replace("-", "")
        if lowered.replace(" ", "") in self.joined:
            return True
        words = [word for word in re.findall(r"[a-z0-9.]+", lowered) if len(word) > 2 or word.isdigit()]
        return bool(words) and all(_singular(word) in self.tokens for word in words)

    @cached_property
    def compares(self) -> bool:
        """Whether options are asked for by comparison, which these rules don't understand."""
        found = (match[1].lower() for match in _COMPARES.finditer(f"{self.raw} "))
        return any(word not in _NOT_COMPARATIVES for word in found)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

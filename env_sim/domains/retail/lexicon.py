"""Words that mean a value of the shop without being it: other words of options, kinds of products, told reasons.

What a user says is not always what a tool takes. The tables are read both ways: operators put the other word in place
of the value, whoever understands English finds the value again.
"""

from collections.abc import Mapping

__all__ = ["HOME_ADDRESS", "KINDS", "OTHER_WORDS", "TOLD_REASONS", "in_other_words", "kinds_of", "value_of"]

OTHER_WORDS: Mapping[str, str] = {
    "tiny": "mini", "small": "little", "medium": "middling", "large": "big", "huge": "giant",
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "ten": "10",
    "grey": "gray", "gold": "golden", "silver": "silvery", "round": "circular", "wide": "broad",
    "wool": "woollen", "wood": "wooden", "battery": "battery-powered", "solar": "sun-powered", "mains": "plug-in",
    "wireless": "cordless", "wired": "corded", "striped": "stripy", "checked": "checkered", "dotted": "polka-dot",
    "quiet": "silent", "loud": "noisy", "thin": "slim", "plain": "simple", "folding": "foldable",
    "automatic": "self-opening", "autumn": "fall",
}  # fmt: skip
"""Option value -> another word for it, which no product has as a value beside it."""

TOLD_REASONS: Mapping[str, tuple[str, ...]] = {
    "no longer needed": (
        "my plans changed and i have no use for it",
        "someone gave me the same as a present",
        "i found my old one again",
    ),
    "ordered by mistake": (
        "i pressed the wrong button",
        "my child clicked on it without asking",
        "i mixed it up with another page",
    ),
}
"""The two reasons that cancel accepts -> what people tell instead."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "pair of shoes": ("boots", "sandals", "sneakers"),
    "bag": ("backpack", "suitcase", "wallet"),
    "piece of furniture": ("desk", "chair", "sofa", "shelf", "mattress"),
    "kitchen thing": ("kettle", "mug", "blender", "toaster", "grill", "knife", "skillet"),
    "piece of clothing": ("jacket", "scarf", "gloves"),
    "device": ("laptop", "tablet", "phone", "headset", "speaker", "camera", "printer", "keyboard", "monitor"),
    "home textile": ("pillow", "blanket", "curtain", "rug"),
    "decoration": ("lamp", "mirror", "clock", "vase"),
    "instrument": ("guitar", "drum"),
    "sports thing": ("bicycle", "helmet", "tent", "skateboard", "racket", "kayak"),
}
"""Kind -> products of it."""

HOME_ADDRESS = "my home address"
"""The address in the profile."""


def in_other_words(values: tuple[str, ...]) -> tuple[str, ...]:
    """Option values in other words, where there are any."""
    return tuple(OTHER_WORDS.get(value, value) for value in values)


def value_of(word: str) -> str:
    """The option value that a word means; the word itself where it has no other meaning."""
    return _VALUES.get(word, word)


def kinds_of(name: str) -> list[str]:
    """The kinds that a product is of."""
    return [kind for kind, names in KINDS.items() if name in names]


_VALUES = {word: value for value, word in OTHER_WORDS.items()}

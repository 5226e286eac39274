"""JSON in tau2's spelling, one value at a time.

Two spellings: `json_text` is what tools print, `canonical_text` what states are compared and hashed by. Both are
byte-equal to `json.dumps`, which builds a new encoder on each call: for a record's single field that costs more than
the field. Takes JSON values only: lists and dictionaries that don't hold themselves (see `env_sim.argument_size`).
"""

import json
from collections.abc import Callable
from typing import Any

__all__ = ["canonical_text", "json_text", "text_text"]


text_text: Callable[[str], str] = json.encoder.encode_basestring_ascii
"""`json.dumps(value)` of a text, in both spellings."""


float_text = float.__repr__


def _speller(*, sort_keys: bool) -> Callable[[Any], str]:
    encoder = json.JSONEncoder(check_circular=False, sort_keys=sort_keys)
    make_parts = getattr(json.encoder, "c_make_encoder", None)
    if make_parts is None:  # an interpreter without CPython's accelerator
        return encoder.encode
    parts = make_parts(None, encoder.default, text_text, None, ": ", ", ", sort_keys, False, True)

    def spell(value: Any) -> str:
        kind = type(value)
        if kind is str:
            return text_text(value)
        if kind is float and value - value == 0:  # neither infinite nor NaN
            return float_text(value)
        return "".join(parts(value, 0))

    return spell


json_text = _speller(sort_keys=False)
"""`json.dumps(value)`."""

canonical_text = _speller(sort_keys=True)
"""`json.dumps(value, sort_keys=True)`: the spelling inside tau2's database hash."""

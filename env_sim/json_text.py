"""JSON in tau2's spelling, one value at a time.

Two spellings: `json_text` is what tools print, `canonical_text` what states are compared and hashed by. Both are
byte-equal to `json.dumps`, which builds a new encoder on each call: for a record's single field that costs more than
the field. Takes JSON values only: lists and dictionaries that don't hold themselves (see `env_sim.argument_size`).
"""

import json
from collections.abc import Callable
from typing import Any

__all__ = ["canonical_text", "json_text"]


def _speller(*, sort_keys: bool) -> Callable[[Any], str]:
    encoder = json.JSONEncoder(check_circular=False, sort_keys=sort_keys)
    make_parts = getattr(json.encoder, "c_make_encoder", None)
    if make_parts is None:  # an interpreter without CPython's accelerator
        return encoder.encode
    spell_text = json.encoder.encode_basestring_ascii
    parts = make_parts(None, encoder.default, spell_text, None, ": ", ", ", sort_keys, False, True)

    def spell(value: Any) -> str:
        return spell_text(value) if type(value) is str else "".join(parts(value, 0))

    return spell


json_text = _speller(sort_keys=False)
"""`json.dumps(value)`."""

canonical_text = _speller(sort_keys=True)
"""`json.dumps(value, sort_keys=True)`: the spelling inside tau2's database hash."""

"""JSON of the parts that writes make anew: what `json_text` gives, in a third of its time.

A general encoder asks each value what it is; these know the shape, so one f-string does. A value of another shape, which
no tool makes, is left to `json_text`.
"""

from typing import Any

from env_sim.json_text import json_text, text_text

__all__ = ["address_text", "history_text"]

_ADDRESS = ["address1", "address2", "city", "country", "state", "zip"]
_TRANSACTION = ["transaction_type", "amount", "payment_method_id"]


def address_text(value: Any) -> str:
    """An address of a user or an order."""
    try:
        if [*value] == _ADDRESS:
            return (
                f'{{"address1": {text_text(value["address1"])}, "address2": {text_text(value["address2"])}, '
                f'"city": {text_text(value["city"])}, "country": {text_text(value["country"])}, '
                f'"state": {text_text(value["state"])}, "zip": {text_text(value["zip"])}}}'
            )
    except TypeError:  # nothing to walk, or a part that is no text
        pass
    return json_text(value)


def history_text(value: Any) -> str:
    """A payment history."""
    texts = []
    try:
        for entry in value if type(value) is list else (None,):
            if [*entry] != _TRANSACTION:
                return json_text(value)
            kind, amount, method_id = entry.values()
            texts.append(
                f'{{"transaction_type": {text_text(kind)}, "amount": {json_text(amount)}, '
                f'"payment_method_id": {text_text(method_id)}}}'
            )
    except TypeError:
        return json_text(value)
    return f"[{', '.join(texts)}]"

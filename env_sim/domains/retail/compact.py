"""How retail looks in the compact language: which ids become handles, which fields of a result remain.

A handle stands right behind the words that name it (`mug o1 i1`, `white small i5`): what a policy has to do then is to
find the words again and copy what follows, which is what attention learns first.
"""

import json
from collections.abc import Mapping

from env_sim.compact import CompactRenderer, CompactSpec, Composite, HandleKind, argument_types

ADDRESS_FIELDS = ("address1", "address2", "city", "state", "country", "zip")
ADDRESS_PATTERN = r"\b\d+ [A-Z][A-Za-z ]+, [A-Za-z0-9 #]+, [A-Z][A-Za-z ]+, [A-Z]{2}, [A-Za-z ]+, \d{5}\b"
_KINDS = (
    HandleKind("m", r"(?<![\w.])[\w.]+@[\w.]+\w\b", 2),
    HandleKind("n", r"(?<=name is )[A-Z][a-z]+ [A-Z][a-z]+", 2),
    HandleKind("a", ADDRESS_PATTERN, 9),
    HandleKind("o", r"#W\d{7}\b", 9),
    HandleKind("p", r"\b(?:credit_card|gift_card|paypal)_\d{7}\b", 6),
    HandleKind("u", r"\b[a-z]+_[a-z]+_\d{4}\b", 2),
    HandleKind("i", r"\b\d{10}\b", 60),
    HandleKind("k", "", 20),
    HandleKind("z", r"\b\d{5}\b", 3),
)
_LETTERS = {
    "order_id": "o",
    "item_ids": "i",
    "new_item_ids": "i",
    "item_id": "i",
    "product_id": "k",
    "payment_method_id": "p",
    "user_id": "u",
    "email": "m",
    "zip": "z",
    "address": "a",
    "name": "n",
}
LIST_END = "end"
"""Stands behind a user's last order: who walks the list copies it instead of counting on."""
_ORDER_WRITES = ("cancel_", "modify_pending_", "return_", "exchange_")


def address_line(address: Mapping[str, str]) -> str:
    """An address as one line; the compact renderer finds it again in free text."""
    return ", ".join(address[name] for name in ADDRESS_FIELDS)


def build_spec(tool_schemas: list[dict]) -> CompactSpec:
    """The compact language of retail over its tool schemas."""
    return CompactSpec(
        kinds=_KINDS,
        composites=(
            Composite("address", "a", ADDRESS_FIELDS),
            Composite("name", "n", ("first_name", "last_name"), join=" "),
        ),
        letter_of_argument=_LETTERS,
        label_of_argument={"item_ids": "name", "new_item_ids": "options"},
        argument_types=argument_types(tool_schemas),
        summarize=_summarize,
    )


def _summarize(renderer: CompactRenderer, tool: str, content: str) -> str:
    if tool.startswith("find_user"):
        return renderer.handle("u", content)
    if tool == "get_user_details":
        return _user(renderer, json.loads(content))
    if tool == "get_order_details":
        return _order(renderer, json.loads(content))
    if tool == "get_product_details":
        return _product(renderer, json.loads(content))
    if tool == "modify_user_address":
        user = json.loads(content)
        return f"{renderer.handle('u', user['user_id'])} {renderer.handle('a', address_line(user['address']))}"
    if tool.startswith(_ORDER_WRITES):
        order = json.loads(content)
        return f"{renderer.handle('o', order['order_id'])} {renderer.text(order['status'])}"
    return " ".join(renderer.text(content).split()[:40])


def _user(renderer: CompactRenderer, user: dict) -> str:
    words = [renderer.handle("u", user["user_id"]), renderer.handle("a", address_line(user["address"]))]
    for method_id, method in user["payment_methods"].items():
        words += [method["source"], renderer.handle("p", method_id)]
    words += [renderer.handle("o", order_id) for order_id in user["orders"]]
    return " ".join([*words, LIST_END])


def _order(renderer: CompactRenderer, order: dict) -> str:
    paid = order["payment_history"][0]["payment_method_id"] if order["payment_history"] else ""
    words = [renderer.handle("o", order["order_id"]), renderer.text(order["status"])]
    words += [renderer.handle("p", paid) if paid else "", renderer.handle("a", address_line(order["address"]))]
    for item in order["items"]:
        name = f"{renderer.text(item['name'])} {words[0]}"
        words.append(renderer.label("name", renderer.handle("i", item["item_id"]), name))
        words += [renderer.handle("k", item["product_id"]), *map(renderer.text, item["options"].values())]
    return " ".join(word for word in words if word)


def _product(renderer: CompactRenderer, product: dict) -> str:
    words = [renderer.handle("k", product["product_id"])]
    for item_id, variant in product["variants"].items():
        if variant["available"]:
            values = " ".join(map(renderer.text, variant["options"].values()))
            words.append(renderer.label("options", renderer.handle("i", item_id), values))
    return " ".join(words)

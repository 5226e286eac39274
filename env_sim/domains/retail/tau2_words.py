"""What free English says against the gold calls of a published retail task: text evidence, not understanding.

Every rule looks for words that must be there if the user shall be able to say what the gold calls write: the order or
a thing in it, the thing, the payment method, the reason, the option that changes. All findings are `suspicious`: a
person may still find the goal through a condition, a comparison ("less bright", "one size smaller") or common sense,
none of which is understood here. Not seen at all: wrong logic in conditions, wrong sums, wrong superlatives across
products, tone instructions.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from env_sim.domains.retail.compact import ADDRESS_FIELDS
from env_sim.english import Words
from env_sim.soundness_rules import Case, Finding
from env_sim.world import Database
from schemas import Action

__all__ = ["case_rules"]

JsonObject = Mapping[str, Any]
_KINDS = {
    "cancel_pending_order": ("cancel", r"\bcancel"),
    "return_delivered_order_items": ("return", r"\breturn|\brefund"),
    "exchange_delivered_order_items": (
        "swap",
        r"\bexchang|\bchang|\bmodif|\bswap|\bswitch|\badjust|\bupgrad|\bget the",
    ),
    "modify_pending_order_items": ("swap", r"\bexchang|\bchang|\bmodif|\bswap|\bswitch|\badjust|\bupgrad|\bget the"),
    "modify_pending_order_address": ("address", r"\baddress|\bdeliver|\bship"),
    "modify_user_address": ("address", r"\baddress|\bmoved"),
    "modify_pending_order_payment": ("payment", r"\bpay"),
    "transfer_to_human_agents": ("transfer", r"\bhuman|\btransfer|\bcomplain|\bundo"),
}
_REASONS = {
    "no longer needed": r"no longer need|not need|n't need|no need",
    "ordered by mistake": r"mistake",
}
_ALL = re.compile(r"\b(all|everything|both|entire|whole|each|items)\b")
_PRICE = re.compile(r"cheap|expensive|price|most money|save")
_METHOD_WORDS = {
    "paypal": r"paypal",
    "gift_card": r"gift ?card|\bgc\b",
    "credit_card": r"credit ?card|\bcard\b|visa|mastercard|amex",
}


def case_rules(case: Case, base: Database) -> list[Finding]:
    """All findings of this module on one published task."""
    words = Words(case.words)
    writes = [action for action in case.reference if action.name in _KINDS]
    owner = _owner(writes, base)
    found = [*_identity(words, owner, base), *_ids(words, owner, base), *_kinds(words, writes)]
    gold_items = {item for write in writes for item in _item_ids(write)}
    for write in writes:
        found += [*_reason(words, write), *_address(words, write, owner, base)]
        order = base.tables["orders"].get(str(write.arguments.get("order_id")))
        if order is None:
            continue
        user = base.tables["users"][order["user_id"]]
        orders = [base.tables["orders"][order_id] for order_id in user["orders"]]
        found += [*_order(words, write, order, orders), *_items(words, write, order, orders, gold_items)]
        found += [*_payment(words, write, order, user), *_variants(words, write, order, orders, base)]
    return [Finding(rule, evidence, "suspicious") for rule, evidence in dict.fromkeys(found)]


_Note = tuple[str, str]
"""Rule and evidence."""


def _owner(writes: list[Action], base: Database) -> JsonObject | None:
    """The user whose records the gold calls change."""
    for write in writes:
        order = base.tables["orders"].get(str(write.arguments.get("order_id")), {})
        user_id = write.arguments.get("user_id") or order.get("user_id")
        if user_id in base.tables["users"]:
            return base.tables["users"][str(user_id)]
    return None


def _identity(words: Words, owner: JsonObject | None, base: Database) -> Iterator[_Note]:
    """The owner must be findable: by e-mail, or by name (or user id) and zip code."""
    if owner is None or owner["email"].lower() in words.raw.lower():
        return
    name = f"{owner['name']['first_name']} {owner['name']['last_name']}".lower()
    if owner["address"]["zip"] not in words.raw:
        yield "identity_not_said", f"neither {owner['email']} nor zip code {owner['address']['zip']} is in the words"
    elif name not in words.text and owner["user_id"] not in words.raw:
        yield "identity_not_said", f"neither the name {name} nor {owner['user_id']} is in the words"


def _ids(words: Words, owner: JsonObject | None, base: Database) -> Iterator[_Note]:
    own = owner["orders"] if owner else ()
    for order_id in re.findall(r"#?W(\d{7})\b", words.raw):
        if owner and f"#W{order_id}" not in own:
            yield "foreign_order_said", f"#W{order_id} is no order of {owner['user_id']}"
    items = {item for product in base.tables["products"].values() for item in product["variants"]}
    for number in re.findall(r"(?<!#W)\b\d{10}\b", words.raw):
        kind = "item" if number in items else "product" if number in base.tables["products"] else "unknown"
        yield "id_said", f"{kind} id {number} is in the words"


def _kinds(words: Words, writes: list[Action]) -> Iterator[_Note]:
    """Each kind of write must be asked for, and what is asked for without a condition must be done."""
    done = {_KINDS[write.name][0] for write in writes}
    for write in writes:
        kind, pattern = _KINDS[write.name]
        if not words.say(pattern):
            yield "write_not_asked", f"{write.name}, but no word of the wish means {kind}"
    if not words.say(r"\bif\b|\bunless\b|\bwhen\b|\bbut\b|instead|\bin case\b"):
        for kind, pattern in dict(
            _KINDS[name] for name in ("cancel_pending_order", "return_delivered_order_items")
        ).items():
            if words.say(rf"want to (\w+ ){{0,3}}({pattern})") and not done & {kind, "transfer"}:
                yield "wish_not_written", f"the words want to {kind}, the gold calls never do"
        if words.say(r"want to (exchange|modify)") and not done:
            yield "wish_not_written", "the words want a change, the gold calls write nothing"


def _item_ids(write: Action) -> list[str]:
    chosen: Any = write.arguments.get("item_ids", [])
    return chosen


def _order(words: Words, write: Action, order: JsonObject, orders: Sequence[JsonObject]) -> Iterator[_Note]:
    """The order must be named by number, by a thing in it, by its city, or be the only one that allows the write."""
    if order["order_id"][2:] in words.raw or _ALL.search(words.text):
        return
    rivals = [other for other in orders if other["status"] == order["status"] and other is not order]
    named = any(words.name(item["name"]) for item in order["items"])
    if rivals and not named and not words.value(order["address"]["city"]):
        yield "order_not_said", f"{write.name} on {order['order_id']}: {len(rivals)} more {order['status']} orders fit"


def _items(
    words: Words, write: Action, order: JsonObject, orders: Sequence[JsonObject], gold_items: set[str]
) -> Iterator[_Note]:
    """Each item must be named; of twins (same product, an order that fits as well) the words must single one out."""
    chosen = [item for item in order["items"] if item["item_id"] in _item_ids(write)]
    for item in chosen if len(chosen) < len(order["items"]) and not _ALL.search(words.text) else ():
        if not words.name(item["name"]):
            yield "item_not_said", f"{item['name']} {item['item_id']} is in a gold call, no word of the wish names it"
    if order["order_id"][2:] in words.raw or _PRICE.search(words.text):
        return
    rivals = [other for other in orders if _fits_as_well(words, order, other, chosen)]
    for item in chosen:
        own = {key: value for key, value in item["options"].items() if words.value(value)}
        for twin in (twin for other in rivals for twin in other["items"] if twin["item_id"] not in gold_items):
            same = twin["product_id"] == item["product_id"]
            if same and all(twin["options"].get(key) == value for key, value in own.items()):
                yield "item_open", f"{item['name']} {item['item_id']}: {twin['item_id']} fits the words as well"


def _fits_as_well(words: Words, order: JsonObject, other: JsonObject, chosen: Sequence[JsonObject]) -> bool:
    """Whether another order has the same status, the chosen things, all other named things, and no wrong city."""
    needed = {item["product_id"] for item in chosen} | {
        item["product_id"] for item in order["items"] if words.name(item["name"])
    }
    city = order["address"]["city"]
    elsewhere = words.value(city) and other["address"]["city"] != city
    held = {item["product_id"] for item in other["items"]}
    return other["status"] == order["status"] and needed <= held and not elsewhere


def _address(words: Words, write: Action, owner: JsonObject | None, base: Database) -> Iterator[_Note]:
    """An address must be one of the user's own, or its parts be said, unchanged, or implied by its city."""
    wanted: Any = {name: value for name, value in write.arguments.items() if name in ADDRESS_FIELDS}
    if owner is None or not wanted:
        return
    own = [owner["address"], *(base.tables["orders"][order_id]["address"] for order_id in owner["orders"])]
    if dict(wanted) in [dict(address) for address in own]:
        return
    alike = [user["address"] for user in base.tables["users"].values() if user["address"]["city"] == wanted["city"]]
    for name, value in wanted.items():
        implied = {address[name] for address in alike} == {value} or value in {address[name] for address in own}
        if value and not implied and not words.value(value):
            yield "address_not_said", f"{write.name}: {name} {value!r} is in no record of the user and not in the words"


def _payment(words: Words, write: Action, order: JsonObject, user: JsonObject) -> Iterator[_Note]:
    """A method other than the order's own must be said by its kind, and its brand where there are several."""
    method_id = write.arguments.get("payment_method_id")
    methods = user["payment_methods"]
    if method_id not in methods or len(methods) == 1:
        return
    original = order["payment_history"][0]["payment_method_id"]
    method = methods[method_id]
    said = words.say(_METHOD_WORDS[method["source"]])
    if not said and method_id != original:
        yield (
            "payment_not_said",
            f"{write.name} uses {method_id}, the words don't name it and {original} paid the order",
        )
    alike = [other for other in methods.values() if other["source"] == method["source"] and other is not method]
    if said and alike and method_id != original and method.get("brand", "?") not in words.text:
        yield "payment_open", f"{write.name} uses {method_id}, {alike[0]['id']} is of the same kind"


def _reason(words: Words, write: Action) -> Iterator[_Note]:
    reason = write.arguments.get("reason")
    if reason in _REASONS and not words.say(_REASONS[reason]):
        yield "reason_not_said", f"{write.name} stores {reason!r}, the words give no such reason"


def _variants(
    words: Words, write: Action, order: JsonObject, orders: Sequence[JsonObject], base: Database
) -> Iterator[_Note]:
    """An option that a gold call changes must be said, be that of a like thing of the user, or be the only one left."""
    new_ids: Any = write.arguments.get("new_item_ids", [])
    held = {item["item_id"]: item for item in order["items"]}
    for old_id, new_id in zip(_item_ids(write), new_ids, strict=False):
        if old_id not in held or new_id in words.raw:
            continue
        old = held[old_id]
        variants = base.tables["products"][old["product_id"]]["variants"]
        like = [item for other in orders for item in other["items"] if item["product_id"] == old["product_id"]]
        pattern = [item["options"] for item in like if item is not old] if words.say(r"\bsame\b|other") else []
        if new_id in variants:
            available = [variant for variant in variants.values() if variant["available"]]
            yield from _variant(words, old, variants[new_id], available, pattern)


def _variant(
    words: Words, old: JsonObject, new: JsonObject, variants: Sequence[JsonObject], pattern: Sequence[JsonObject]
) -> Iterator[_Note]:
    """Whether a variant differs from the gold one only in options that nobody spoke of."""
    unsaid = {
        key for key, value in new["options"].items()
        if value != old["options"].get(key) and not words.value(value)
        and all(options.get(key) != value for options in pattern)
    }  # fmt: skip
    rivals = [
        variant for variant in variants
        if variant["item_id"] not in (new["item_id"], old["item_id"])
        and all(variant["options"][key] == value for key, value in new["options"].items() if key not in unsaid)
    ]  # fmt: skip
    prices = [rival["price"] for rival in rivals]
    if not rivals or (_PRICE.search(words.text) and (new["price"] < min(prices) or new["price"] > max(prices))):
        return
    if _PRICE.search(words.text) or not words.compares:
        lacking = ", ".join(f"{key} {new['options'][key]}" for key in sorted(unsaid))
        yield "variant_open", f"{old['name']} -> {new['item_id']} ({lacking}): {rivals[0]['item_id']} fits as well"

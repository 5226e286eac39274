"""What free English says against the gold calls of a published retail task: text evidence, not understanding.

Every rule looks for words that must be there if the user shall be able to say what the gold calls write: the order or
a thing in it, the thing, the payment method, the reason, the option that changes. All findings are `suspicious`: a
person may still find the goal through a condition, a comparison ("less bright", "one size smaller") or common sense,
none of which is understood here. Not seen at all: wrong logic in conditions, wrong sums, wrong superlatives across
products, tone instructions.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from env_sim.soundness_rules import Case, Finding
from env_sim.world import Database
from schemas import Action

__all__ = ["case_rules"]

JsonObject = Mapping[str, Any]
_KINDS = {
    "cancel_pending_order": ("cancel", r"\bcancel"),
    "return_delivered_order_items": ("return", r"\breturn|\brefund"),
    "exchange_delivered_order_items": ("swap", r"\bexchang|\bchang|\bmodif|\bswap|\bswitch|\badjust|\bupgrad|\bget the"),
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
_SWAPS = ("exchange_delivered_order_items", "modify_pending_order_items")
_ALL = re.compile(r"\b(all|everything|both|entire|whole|each|items)\b")
_PRICE = re.compile(r"cheap|expensive|price|most money|save")
_COMPARES = re.compile(
    r"\b(\w{3,}er|\w{3,}est|less|lower|higher|maximum|max|more fancy|slightly|prefer\w*|different) ", re.IGNORECASE
)
_NOT_COMPARATIVES = frozenset(
    "order number water agent user other another either whether whatever customer computer speaker charger cover "
    "letter answer transfer rather never ever over under after offer paper leather polyester silver conifer however "
    "deliver together remember member cleaner together later their newer daughter purifier per her power filter "
    "keyboarder request interest latest best rest guest test west".split()
)
_METHOD_WORDS = {
    "paypal": r"paypal",
    "gift_card": r"gift ?card|\bgc\b",
    "credit_card": r"credit ?card|\bcard\b|visa|mastercard|amex",
}


class _Words:
    """A user's instructions, to be searched for names and values."""

    def __init__(self, text: str) -> None:
        self.raw = text
        self.text = " ".join(text.lower().replace("-", "").replace("_", " ").split())

    @cached_property
    def joined(self) -> str:
        return self.text.replace(" ", "")

    @cached_property
    def tokens(self) -> frozenset[str]:
        return frozenset(_singular(word) for word in re.findall(r"[a-z0-9.]+", self.text.replace(". ", " ")))

    def say(self, pattern: str) -> bool:
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
    def compare(self) -> bool:
        """Whether options are asked for by comparison, which these rules don't understand."""
        found = (match[1].lower() for match in _COMPARES.finditer(f"{self.raw} "))
        return any(word not in _NOT_COMPARATIVES for word in found)


def case_rules(case: Case, base: Database) -> list[Finding]:
    """All findings of this module on one published task."""
    words = _Words(case.words)
    writes = [action for action in case.reference if action.name in _KINDS]
    owner = _owner(writes, base)
    found = [*_identity(words, owner, base), *_ids(words, owner, base), *_kinds(words, writes)]
    for write in writes:
        order = base.tables["orders"].get(str(write.arguments.get("order_id")))
        if order is None:
            continue
        user = base.tables["users"][order["user_id"]]
        found += [*_order(words, write, order, user, base), *_items(words, write, order, user, base)]
        found += [*_payment(words, write, order, user), *_reason(words, write), *_variants(words, write, order, base)]
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


def _identity(words: _Words, owner: JsonObject | None, base: Database) -> Iterator[_Note]:
    """The owner must be findable: by e-mail, or by name (or user id) and zip code."""
    if owner is None or owner["email"].lower() in words.raw.lower():
        return
    name = f"{owner['name']['first_name']} {owner['name']['last_name']}".lower()
    if owner["address"]["zip"] not in words.raw:
        yield "identity_not_said", f"neither {owner['email']} nor zip code {owner['address']['zip']} is in the words"
    elif name not in words.text and owner["user_id"] not in words.raw:
        yield "identity_not_said", f"neither the name {name} nor {owner['user_id']} is in the words"


def _ids(words: _Words, owner: JsonObject | None, base: Database) -> Iterator[_Note]:
    own = owner["orders"] if owner else ()
    for order_id in re.findall(r"#?W(\d{7})\b", words.raw):
        if owner and f"#W{order_id}" not in own:
            yield "foreign_order_said", f"#W{order_id} is no order of {owner['user_id']}"
    items = {item for product in base.tables["products"].values() for item in product["variants"]}
    for number in re.findall(r"(?<!#W)\b\d{10}\b", words.raw):
        kind = "item" if number in items else "product" if number in base.tables["products"] else "unknown"
        yield "id_said", f"{kind} id {number} is in the words"


def _kinds(words: _Words, writes: list[Action]) -> Iterator[_Note]:
    """Each kind of write must be asked for, and what is asked for without a condition must be done."""
    done = {_KINDS[write.name][0] for write in writes}
    for write in writes:
        kind, pattern = _KINDS[write.name]
        if not words.say(pattern):
            yield "write_not_asked", f"{write.name}, but no word of the wish means {kind}"
    if not words.say(r"\bif\b|\bunless\b|\bwhen\b|\bbut\b|instead|\bin case\b"):
        for kind, pattern in dict(_KINDS[name] for name in ("cancel_pending_order", "return_delivered_order_items")).items():
            if words.say(rf"want to (\w+ ){{0,3}}({pattern})") and not done & {kind, "transfer"}:
                yield "wish_not_written", f"the words want to {kind}, the gold calls never do"
        if words.say(r"want to (exchange|modify)") and not done:
            yield "wish_not_written", "the words want a change, the gold calls write nothing"


def _order(
    words: _Words, write: Action, order: JsonObject, user: JsonObject, base: Database
) -> Iterator[_Note]:
    """The order must be named by number, by a thing in it, by its city, or be the only one that allows the write."""
    if order["order_id"][2:] in words.raw:
        return
    pending = "pending" in write.name or write.name.startswith("cancel")
    status = "pending" if pending else "delivered"
    orders = [base.tables["orders"][order_id] for order_id in user["orders"]]
    rivals = [other for other in orders if other["status"] == status and other is not order]
    named = [item["name"] for item in order["items"] if words.name(item["name"])]
    if rivals and not named and not words.value(order["address"]["city"]) and not _ALL.search(words.text):
        yield "order_not_said", f"{write.name} on {order['order_id']}: {len(rivals)} more {status} orders fit"


def _items(words: _Words, write: Action, order: JsonObject, user: JsonObject, base: Database) -> Iterator[_Note]:
    """Each item must be named; of twins (same product, same status) the words must single one out."""
    chosen: Any = write.arguments.get("item_ids", [])
    everything = len(chosen) == len(order["items"])
    orders = [base.tables["orders"][order_id] for order_id in user["orders"]]
    for item in (item for item in order["items"] if item["item_id"] in chosen):
        if not words.name(item["name"]) and not _ALL.search(words.text) and not everything:
            yield "item_not_said", f"{item['name']} {item['item_id']} is in a gold call, no word of the wish names it"
        twins = [
            twin for other in orders if other["status"] == order["status"] for twin in other["items"]
            if twin["product_id"] == item["product_id"] and twin["item_id"] not in chosen
        ]  # fmt: skip
        own = {key: value for key, value in item["options"].items() if words.value(value)}
        alike = [twin for twin in twins if all(twin["options"].get(key) == value for key, value in own.items())]
        if alike and order["order_id"][2:] not in words.raw and not _PRICE.search(words.text):
            yield "item_open", f"{item['name']} {item['item_id']}: {alike[0]['item_id']} fits the words as well"


def _payment(words: _Words, write: Action, order: JsonObject, user: JsonObject) -> Iterator[_Note]:
    """A method other than the order's own must be said by its kind, and its brand where there are several."""
    method_id = write.arguments.get("payment_method_id")
    methods = user["payment_methods"]
    if method_id not in methods or len(methods) == 1:
        return
    original = order["payment_history"][0]["payment_method_id"]
    method = methods[method_id]
    said = words.say(_METHOD_WORDS[method["source"]])
    if not said and method_id != original:
        yield "payment_not_said", f"{write.name} uses {method_id}, the words don't name it and {original} paid the order"
    alike = [other for other in methods.values() if other["source"] == method["source"] and other is not method]
    if said and alike and method_id != original and method.get("brand", "?") not in words.text:
        yield "payment_open", f"{write.name} uses {method_id}, {alike[0]['id']} is of the same kind"


def _reason(words: _Words, write: Action) -> Iterator[_Note]:
    reason = write.arguments.get("reason")
    if reason in _REASONS and not words.say(_REASONS[reason]):
        yield "reason_not_said", f"{write.name} stores {reason!r}, the words give no such reason"


def _variants(words: _Words, write: Action, order: JsonObject, base: Database) -> Iterator[_Note]:
    """An option that the gold call changes must be said, or be forced because no available variant keeps it."""
    if write.name not in _SWAPS:
        return
    arguments: Any = write.arguments
    held = {item["item_id"]: item for item in order["items"]}
    for old_id, new_id in zip(arguments["item_ids"], arguments["new_item_ids"], strict=False):
        if old_id not in held or new_id in words.raw:
            continue
        variants = base.tables["products"][held[old_id]["product_id"]]["variants"]
        new, old = variants.get(new_id), held[old_id]
        if new is not None:
            yield from _variant(words, old, new, [v for v in variants.values() if v["available"]])


def _variant(words: _Words, old: JsonObject, new: JsonObject, variants: list[JsonObject]) -> Iterator[_Note]:
    unsaid = {
        key for key, value in new["options"].items() if value != old["options"].get(key) and not words.value(value)
    }
    rivals = [
        variant for variant in variants
        if variant["item_id"] not in (new["item_id"], old["item_id"])
        and all(variant["options"][key] == value for key, value in new["options"].items() if key not in unsaid)
    ]  # fmt: skip
    if not rivals:
        return
    if _PRICE.search(words.text):
        ties = [rival["item_id"] for rival in rivals if rival["price"] == new["price"]]
        extreme = all(new["price"] <= r["price"] for r in rivals) or all(new["price"] >= r["price"] for r in rivals)
        if ties or not extreme:
            yield "variant_open", f"{old['name']} -> {new['item_id']}: {(ties or [rivals[0]['item_id']])[0]} fits as well"
    elif unsaid and not words.compare:
        lacking = ", ".join(f"{key} {new['options'][key]}" for key in sorted(unsaid))
        yield "variant_open", f"{old['name']} -> {new['item_id']} ({lacking}): {rivals[0]['item_id']} fits as well"

"""New retail databases with the statistics of tau2's, from one seed.

Equal arguments give equal bytes in every process: one seeded generator, no sets or clocks in the order of anything.
Names, ids and words share nothing with tau2's data (`entity_numbers` keeps all databases disjoint). The frequencies
below were counted in tau2's db.json; a comment says where we depart from it.
"""

from itertools import accumulate, islice
from math import exp, log, prod
from random import Random

from env_sim.domains.retail.catalog import PRODUCT_TYPES, ProductType
from env_sim.domains.retail.database import RetailDatabase
from env_sim.domains.retail.entity_numbers import (
    MAX_ORDERS,
    MAX_PRODUCTS,
    item_and_product_ids,
    order_ids,
    tau2_entity_ids,
)
from env_sim.domains.retail.records import OPTIONAL_ORDER_FIELDS
from env_sim.entity_numbers import MAX_USERS, SAME_NAME_USERS, block_number, email_number, user_number
from env_sim.people import CITIES, FIRST_NAMES, LAST_NAMES, STREETS
from env_sim.world import JsonRecord
from schemas.errors import ConfigError

__all__ = ["GENERATOR_VERSION", "default_n_products", "generate_database"]

GENERATOR_VERSION = 1
"""Raise it with any change that moves a byte of any generated database."""

_MIN_PRODUCTS = 8
_MIN_VARIANTS, _MAX_VARIANTS = 5, 20
_AVAILABLE_SHARE = 0.61
"""With the two that are always for sale, 64 % of the variants are, as in tau2."""

_PRICE_SKEW = 0.55
"""Exponent below 1 moves prices up inside their range, to an order total near tau2's median of 1,104 dollars."""

_PRICE_SPREAD = 0.095
"""Largest deviation of a variant from its product's price; (max - min) / mean is then near tau2's 0.16."""

_ORDERS_PER_USER = tuple(accumulate((62, 133, 141, 104, 37, 17, 6)))
_METHODS_PER_USER = tuple(accumulate((337, 136, 22, 5)))
_METHOD_SOURCES = ("credit_card", "gift_card", "paypal")
_STATUSES = ("pending", "delivered", "processed", "cancelled")
_STATUS_WEIGHTS = tuple(accumulate((423, 373, 102, 102)))
_MAX_ITEMS = 5
_REPEATED_PRODUCT_SHARE = 0.09
"""Orders that hold one product twice."""

_SHARED_PRODUCT_SHARE = 0.22
"""Chance that a later order repeats a product of an earlier one; about a third of the users with several orders
then own the same product twice, as in tau2 (110 of 305). Tasks about ambiguous wishes live on them."""

_DEFAULT_ADDRESS_SHARE = 0.8


def default_n_products(n_users: int) -> int:
    """Product types of a database of this size: 50 from 184 users on, fewer in smaller shops."""
    return max(_MIN_PRODUCTS, min(MAX_PRODUCTS, n_users // 4 + 4))


def generate_database(
    seed: int, n_users: int = 500, split: str = "train", index: int = 0, n_products: int | None = None
) -> RetailDatabase:
    """Make the database number `index` of a split.

    Args:
        seed: Seed of everything but the blocks of ids.
        n_users: 1 to 500.
        split: `train`, `validation` or `test`; their entities never overlap.
        index: Databases of different indexes never overlap either.
        n_products: 1 to 50; None scales with n_users.

    Raises:
        ConfigError: When an argument is out of range.
    """
    n_products = default_n_products(n_users) if n_products is None else n_products
    block = block_number(split, index)
    for what, value, most in (("n_users", n_users, MAX_USERS), ("n_products", n_products, MAX_PRODUCTS)):
        if not 1 <= value <= most:
            raise ConfigError(f"{what}[{split} {index}]: expected 1 to {most}, got {value}; correct the config")
    rng = Random(f"retail/{GENERATOR_VERSION}/{split}/{index}/{seed}/{n_users}/{n_products}")
    products = _products(rng, block, n_products)
    users = _users(rng, block, n_users)
    orders = _orders(rng, block, users, products)
    return RetailDatabase({"users": users, "orders": orders, "products": products})


def _products(rng: Random, block: int, n_products: int) -> dict[str, JsonRecord]:
    ids = list(islice(item_and_product_ids(block), n_products * (_MAX_VARIANTS + 1)))
    rng.shuffle(ids)
    types = rng.sample(PRODUCT_TYPES, n_products)
    products = {}
    for number, product_type in enumerate(types):
        product_id, *item_ids = ids[number * (_MAX_VARIANTS + 1) : (number + 1) * (_MAX_VARIANTS + 1)]
        products[product_id] = {
            "name": product_type.name,
            "product_id": product_id,
            "variants": _variants(rng, product_type, item_ids),
        }
    return products


def _variants(rng: Random, product_type: ProductType, item_ids: list[str]) -> dict[str, JsonRecord]:
    combinations = prod(len(values) for _, values in product_type.options)
    count = min(rng.randint(_MIN_VARIANTS, _MAX_VARIANTS), combinations)
    low, high = log(product_type.low), log(product_type.high)
    price = exp(low + (high - low) * rng.random() ** _PRICE_SKEW)
    # Two variants are always for sale: an item that can't be exchanged at all gives no task.
    for_sale = rng.sample(range(count), 2)
    variants = {}
    for place, code in enumerate(rng.sample(range(combinations), count)):
        options = {}
        for option, values in product_type.options:
            code, choice = divmod(code, len(values))
            options[option] = values[choice]
        item_id = item_ids[place]
        variants[item_id] = {
            "item_id": item_id,
            "options": options,
            "available": rng.random() < _AVAILABLE_SHARE or place in for_sale,
            "price": round(price * (1 + rng.uniform(-_PRICE_SPREAD, _PRICE_SPREAD)), 2),
        }
    return variants


def _users(rng: Random, block: int, n_users: int) -> dict[str, JsonRecord]:
    taken = tau2_entity_ids()["user_ids"]
    method_numbers = iter(rng.sample(range(1_000_000, 10_000_000), n_users * len(_METHODS_PER_USER)))
    repeats: dict[tuple[int, int], int] = {}
    users: dict[str, JsonRecord] = {}
    while len(users) < n_users:
        first, last = int(rng.random() * len(FIRST_NAMES)), int(rng.random() * len(LAST_NAMES))
        repeat = repeats.get((first, last), 0)
        if repeat >= SAME_NAME_USERS:
            continue
        repeats[first, last] = repeat + 1
        number = user_number(block, first, last, repeat)
        first_name, last_name = FIRST_NAMES[first], LAST_NAMES[last]
        user_id = f"{first_name.lower()}_{last_name.lower()}_{number:04d}"
        if user_id in taken:
            continue
        users[user_id] = {
            "user_id": user_id,
            "name": {"first_name": first_name, "last_name": last_name},
            "address": _address(rng),
            "email": f"{first_name.lower()}.{last_name.lower()}{email_number(number):04d}@example.com",
            "payment_methods": {
                method["id"]: method
                for method in (_method(rng, next(method_numbers)) for _ in range(1 + _pick(rng, _METHODS_PER_USER)))
            },
            "orders": [],
        }
    return users


def _method(rng: Random, number: int) -> JsonRecord:
    source = _METHOD_SOURCES[int(rng.random() * 3)]
    method: JsonRecord = {"source": source, "id": f"{source}_{number}"}
    if source == "credit_card":
        method["brand"] = "mastercard" if rng.random() < 0.55 else "visa"
        method["last_four"] = f"{int(rng.random() * 10_000):04d}"
    elif source == "gift_card":
        # Whole dollars from 0 to 100 with a median of 57.
        method["balance"] = float(round(100 * rng.random() ** 0.8))
    return method


def _address(rng: Random) -> JsonRecord:
    city, state, zone = CITIES[int(rng.random() * len(CITIES))]
    street = STREETS[int(rng.random() * len(STREETS))]
    kind = ("Street", "Avenue", "Lane", "Road")[int(rng.random() * 4)]
    unit = "Suite" if rng.random() < 0.5 else "Apt"
    return {
        "address1": f"{100 + int(rng.random() * 900)} {street} {kind}",
        "address2": f"{unit} {100 + int(rng.random() * 900)}",
        "city": city,
        "country": "USA",
        "state": state,
        "zip": f"{zone}{int(rng.random() * 100):02d}",
    }


def _orders(
    rng: Random, block: int, users: dict[str, JsonRecord], products: dict[str, JsonRecord]
) -> dict[str, JsonRecord]:
    counts = [_pick(rng, _ORDERS_PER_USER) for _ in users]
    ids = list(islice(order_ids(block), min(sum(counts), MAX_ORDERS)))
    rng.shuffle(ids)
    shelf = [(product, list(product["variants"].values())) for product in products.values()]
    unused = iter(ids)
    orders = {}
    for user, count in zip(users.values(), counts, strict=True):
        bought: list[int] = []
        # A block of ids is half as large again as the expected need; a user beyond it has no order.
        for order_id in islice(unused, count):
            places = _product_places(rng, len(shelf), bought)
            bought += places
            user["orders"].append(order_id)
            orders[order_id] = _order(rng, order_id, user, [_item(rng, *shelf[place]) for place in places])
    return orders


def _product_places(rng: Random, n_products: int, bought: list[int]) -> list[int]:
    """Products of one order. Those of the user's earlier orders return only by the shared share, unless few exist."""
    count = min(1 + int(rng.random() * _MAX_ITEMS), n_products)
    places: list[int] = []
    if bought and rng.random() < _SHARED_PRODUCT_SHARE:
        places.append(bought[int(rng.random() * len(bought))])
    while len(places) < count:
        place = int(rng.random() * n_products)
        fresh = place not in places and place not in bought
        if fresh or (len(set(places + bought)) >= n_products and place not in places):
            places.append(place)
    if count > 1 and rng.random() < _REPEATED_PRODUCT_SHARE * _MAX_ITEMS / (_MAX_ITEMS - 1):
        places[-1] = places[-2]
    return places


def _item(rng: Random, product: JsonRecord, variants: list[JsonRecord]) -> JsonRecord:
    variant = variants[int(rng.random() * len(variants))]
    return {
        "name": product["name"],
        "product_id": product["product_id"],
        "item_id": variant["item_id"],
        "price": variant["price"],
        "options": variant["options"],
    }


def _order(rng: Random, order_id: str, user: JsonRecord, items: list[JsonRecord]) -> JsonRecord:
    status = _STATUSES[_pick(rng, _STATUS_WEIGHTS)]
    methods = list(user["payment_methods"])
    paid = {
        "transaction_type": "payment",
        "amount": round(sum(item["price"] for item in items), 2),
        "payment_method_id": methods[int(rng.random() * len(methods))],
    }
    order: JsonRecord = {
        "order_id": order_id,
        "user_id": user["user_id"],
        "address": user["address"] if rng.random() < _DEFAULT_ADDRESS_SHARE else _address(rng),
        "items": items,
        "status": status,
        "fulfillments": [],
        "payment_history": [paid],
        **dict.fromkeys(OPTIONAL_ORDER_FIELDS),
    }
    if status in ("delivered", "processed"):
        tracking = str(100_000_000_000 + int(rng.random() * 900_000_000_000))
        order["fulfillments"] = [{"tracking_id": [tracking], "item_ids": [item["item_id"] for item in items]}]
    if status == "cancelled":
        order["payment_history"] = [paid, {**paid, "transaction_type": "refund"}]
    return order


def _pick(rng: Random, cumulative: tuple[int, ...]) -> int:
    """A place drawn by cumulative weights."""
    mark = rng.random() * cumulative[-1]
    return next(place for place, total in enumerate(cumulative) if mark < total)

"""Generated shops: deterministic, realistic, and disjoint from each other and from tau2's."""

import json
import os
import subprocess
import sys
from collections import Counter
from statistics import mean, median

import pytest

import env_sim
from env_sim.domains.retail.catalog import PRODUCT_TYPES
from env_sim.domains.retail.entity_numbers import MAX_ORDERS, item_and_product_ids, order_ids, tau2_entity_ids
from env_sim.domains.retail.generator import default_n_products
from env_sim.entity_numbers import SPLITS, user_number
from env_sim.people import CITIES, FIRST_NAMES, LAST_NAMES
from schemas.errors import ConfigError, CorruptDatabaseError

DOMAIN = env_sim.load_domain("retail")
SHOP = DOMAIN.generate_database(1)
PINNED = "7c83e09e371c8f92e1b3d0a1a833828e1d48d17d67673b1d3e872608fc3d99d4"
"""Content of database 0 of seed 1 with 60 users. If it moves, raise GENERATOR_VERSION and pin the new one."""


def users_with_two_of_a_product(shop) -> tuple[int, int]:
    baskets = [
        [{item["product_id"] for item in shop.orders[order_id]["items"]} for order_id in user["orders"]]
        for user in shop.users.values()
        if len(user["orders"]) > 1
    ]
    shared = sum(any(one & two for place, one in enumerate(b) for two in b[place + 1 :]) for b in baskets)
    return shared, len(baskets)


def test_equal_seeds_give_equal_bytes_in_every_process_and_hash_seed():
    program = "import env_sim; print(env_sim.load_domain('retail').generate_database(1, n_users=60).content_sha256())"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert hashes == {DOMAIN.generate_database(1, n_users=60).content_sha256()} == {PINNED}


def test_key_order_is_part_of_the_promise():
    assert json.dumps(DOMAIN.generate_database(1).tables) == json.dumps(SHOP.tables)


def test_other_seeds_and_indexes_give_other_shops():
    shops = [
        DOMAIN.generate_database(*arguments) for arguments in ((1, 60), (2, 60), (1, 60, "train", 1), (1, 60, "test"))
    ]
    assert len({shop.content_sha256() for shop in shops}) == 4


def test_a_generated_shop_passes_the_checks_of_a_loaded_one():
    again = DOMAIN.database_from_json(json.loads(json.dumps(SHOP.tables)))
    assert json.dumps(again.tables) == json.dumps(SHOP.tables)


def test_databases_share_no_entity_with_each_other_or_with_tau2():
    shops = [
        DOMAIN.generate_database(1, 500, split, index) for split in SPLITS for index in (0, 1, 7, SPLITS[split][1] - 1)
    ]
    shops.append(DOMAIN.generate_database(2, 40, "train", 2))
    for kind, known in tau2_entity_ids().items():
        ids = [entity_id for shop in shops for entity_id in shop.entity_ids()[kind]]
        assert len(ids) == len(set(ids)), kind
        assert not known & set(ids), kind
    for field in ("email",):
        emails = [user[field] for shop in shops for user in shop.users.values()]
        assert len(emails) == len(set(emails))


def test_items_and_products_have_different_ids():
    ids = SHOP.entity_ids()
    assert not set(ids["item_ids"]) & set(ids["product_ids"])


def test_the_blocks_of_ids_never_meet():
    blocks = (0, 1, 3999, 4000, 4499, 4500, 4999)
    orders = [order_id for block in blocks for order_id in order_ids(block)]
    items = [item_id for block in blocks for item_id in item_and_product_ids(block)]
    assert len(orders) == len(set(orders)) and len(items) == len(set(items))
    assert all(len(order_id) == 9 for order_id in orders) and all(len(item_id) == 10 for item_id in items)
    assert max(first + count for first, count in SPLITS.values()) * MAX_ORDERS <= 9_000_000
    numbers = {user_number(block, 5, 9, repeat) for block in range(5000) for repeat in (0, 1)}
    assert len(numbers) == 10_000


def test_the_shipped_list_is_tau2s():
    assert {kind: len(ids) for kind, ids in tau2_entity_ids().items()} == {
        "user_ids": 500,
        "order_ids": 1000,
        "product_ids": 50,
        "item_ids": 591,
    }


def test_vocabulary_is_wide_and_single_words():
    assert len(PRODUCT_TYPES) == len({each.name for each in PRODUCT_TYPES}) == 50
    assert len(set(FIRST_NAMES)) == len(FIRST_NAMES) >= 120
    assert len(set(LAST_NAMES)) == len(LAST_NAMES) >= 120
    assert len({zone for _, _, zone in CITIES}) == len(CITIES)
    for product_type in PRODUCT_TYPES:
        for option, values in product_type.options:
            assert all(word.isalpha() and word.islower() for word in (product_type.name, option, *values))
            assert len(values) == len(set(values)) >= 2


def test_products_have_tau2s_statistics():
    products = list(SHOP.products.values())
    variants = [variant for product in products for variant in product["variants"].values()]
    assert len(products) == 50
    assert all(5 <= len(product["variants"]) <= 20 for product in products)
    assert 10 <= median(len(product["variants"]) for product in products) <= 15
    assert 0.58 <= mean(variant["available"] for variant in variants) <= 0.70
    assert all(2 <= len(variant["options"]) <= 5 for variant in variants)
    assert 20 <= min(variant["price"] for variant in variants) < 100 < median(variant["price"] for variant in variants)
    for product in products:
        options = [tuple(variant["options"].items()) for variant in product["variants"].values()]
        assert len(options) == len(set(options))
        assert sum(variant["available"] for variant in product["variants"].values()) >= 2
    spreads = [
        (max(prices) - min(prices)) / mean(prices)
        for prices in ([variant["price"] for variant in product["variants"].values()] for product in products)
    ]
    assert 0.12 <= mean(spreads) <= 0.19


def test_orders_have_tau2s_statistics():
    orders = list(SHOP.orders.values())
    status = Counter(order["status"] for order in orders)
    assert 880 <= len(orders) <= 1120
    assert 0.35 <= status["pending"] / len(orders) <= 0.5
    assert 0.3 <= status["delivered"] / len(orders) <= 0.45
    assert set(Counter(len(order["items"]) for order in orders)) == {1, 2, 3, 4, 5}
    default = mean(order["address"] == SHOP.users[order["user_id"]]["address"] for order in orders)
    assert 0.75 <= default <= 0.85
    for order in orders:
        paid = order["payment_history"][0]
        assert paid["amount"] == round(sum(item["price"] for item in order["items"]), 2)
        assert len(order["payment_history"]) == (2 if order["status"] == "cancelled" else 1)
        for item in order["items"]:
            variant = SHOP.products[item["product_id"]]["variants"][item["item_id"]]
            assert (item["price"], item["options"]) == (variant["price"], variant["options"])


def test_users_have_tau2s_statistics():
    users = list(SHOP.users.values())
    methods = [method for user in users for method in user["payment_methods"].values()]
    assert 0.08 <= mean(not user["orders"] for user in users) <= 0.17
    assert 0.6 <= mean(len(user["payment_methods"]) == 1 for user in users) <= 0.75
    assert set(Counter(method["source"] for method in methods)) == {"credit_card", "gift_card", "paypal"}
    assert 50 <= median(method["balance"] for method in methods if method["source"] == "gift_card") <= 65


@pytest.mark.parametrize("n_users", [60, 500])
def test_a_third_of_the_users_with_several_orders_own_a_product_twice(n_users: int):
    counts = [users_with_two_of_a_product(DOMAIN.generate_database(seed, n_users)) for seed in range(6)]
    assert 0.27 <= sum(shared for shared, _ in counts) / sum(total for _, total in counts) <= 0.47


def test_small_shops_are_closed_worlds():
    for n_users in (1, 2, 10, 20):
        shop = DOMAIN.generate_database(3, n_users=n_users)
        assert len(shop.users) == n_users
        assert len(shop.products) == default_n_products(n_users)
        DOMAIN.database_from_json(json.loads(json.dumps(shop.tables)))
    assert len(DOMAIN.generate_database(3, n_users=9, n_products=1).products) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_users": 501}, "n_users"),
        ({"n_users": 0}, "n_users"),
        ({"n_products": 51}, "n_products"),
        ({"split": "dev"}, "expected one of train, validation, test"),
        ({"index": 4000}, "index from 0 to 3999"),
        ({"split": "test", "index": -1}, "index from 0 to 499"),
    ],
)
def test_arguments_out_of_range_are_config_errors(arguments: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        DOMAIN.generate_database(1, **arguments)


def test_a_row_opens_to_the_same_database_and_is_cached():
    row = DOMAIN.database_row("validation", 2, 9, 40)
    shop = DOMAIN.open_database(row)
    assert shop is DOMAIN.open_database(row)
    assert shop.content_sha256() == row.content_sha256
    assert shop.entity_ids()["order_ids"] == row.ids("order_ids")
    assert (row.n_users, len(row.ids("product_ids")), len(row.ids("order_ids"))) == (
        40,
        default_n_products(40),
        len(shop.orders),
    )


@pytest.mark.parametrize(
    "change",
    [{"content_sha256": "0" * 64}, {"generator_version": 99}, {"database_id": "x"}, {"seed": 8}],
)
def test_a_changed_row_is_refused(change: dict):
    row = DOMAIN.database_row("train", 0, 9, 20).model_copy(update=change)
    with pytest.raises(CorruptDatabaseError, match="again"):
        DOMAIN.open_database(row)

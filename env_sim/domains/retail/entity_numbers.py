"""Ids of orders, products and items that never collide: in blocks as in `env_sim.entity_numbers`, and not tau2's."""

from collections.abc import Iterator

from env_sim.entity_numbers import MAX_USERS
from env_sim.packaged_domain import published_ids

__all__ = ["MAX_ORDERS", "MAX_PRODUCTS", "item_and_product_ids", "order_ids", "tau2_entity_ids"]

MAX_PRODUCTS = 50
MAX_ORDERS = 3 * MAX_USERS
"""Order ids in a block. 5,000 blocks use 7.5 of the 9 million seven-digit numbers without a leading zero."""

_ITEM_BLOCK = 2100
"""Counters of a block for products (50) and variants (at most 20 each), with slack for skipped ids."""

_N_ORDERS, _ORDER_STEP = 9_000_000, 5_562_307
_N_ITEMS, _ITEM_STEP = 9_000_000_000, 5_562_305_899
# Steps are coprime to their ranges (no factor 2, 3 or 5), which makes each map one-to-one.


def order_ids(block: int) -> Iterator[str]:
    """The order ids of a block, at most `MAX_ORDERS`."""
    taken = tau2_entity_ids()["order_ids"]
    for counter in range(block * MAX_ORDERS, (block + 1) * MAX_ORDERS):
        order_id = f"#W{1_000_000 + (counter * _ORDER_STEP + 77) % _N_ORDERS}"
        if order_id not in taken:
            yield order_id


def item_and_product_ids(block: int) -> Iterator[str]:
    """Ten-digit ids of a block, for products and variants alike."""
    known = tau2_entity_ids()
    taken = known["product_ids"] | known["item_ids"]
    for counter in range(block * _ITEM_BLOCK, (block + 1) * _ITEM_BLOCK):
        number = str(1_000_000_000 + (counter * _ITEM_STEP + 77) % _N_ITEMS)
        if number not in taken:
            yield number


def tau2_entity_ids() -> dict[str, frozenset[str]]:
    """The ids in tau2's own retail database, by the keys of `RetailDatabase.entity_ids`."""
    return published_ids("retail")

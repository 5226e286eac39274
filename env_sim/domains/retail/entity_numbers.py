"""Entity ids that never collide: across splits, databases, and with tau2's own.

Each database owns a block of counter values; an affine map spreads them over the id's digits. The map is one-to-one,
so different counters can't meet, and blocks of different (split, index) never overlap. Ids of one (split, index) are
the same for every seed: a warehouse uses one seed.
"""

from collections.abc import Iterator

from env_sim.packaged_domain import published_ids
from schemas.errors import ConfigError

__all__ = [
    "MAX_ORDERS",
    "MAX_PRODUCTS",
    "MAX_USERS",
    "SPLITS",
    "block_number",
    "email_number",
    "item_and_product_ids",
    "order_ids",
    "tau2_entity_ids",
    "user_number",
]

SPLITS = {"train": (0, 4000), "validation": (4000, 500), "test": (4500, 500)}
"""First block and number of blocks (databases) of each split."""

MAX_USERS = 500
MAX_PRODUCTS = 50
MAX_ORDERS = 3 * MAX_USERS
"""Order ids in a block. 5,000 blocks use 7.5 of the 9 million seven-digit numbers without a leading zero."""

SAME_NAME_USERS = 2
"""Users of one database that may share first and last name: 5,000 blocks x 2 fill the four-digit number."""

_ITEM_BLOCK = 2100
"""Counters of a block for products (50) and variants (at most 20 each), with slack for skipped ids."""

_N_ORDERS, _ORDER_STEP = 9_000_000, 5_562_307
_N_ITEMS, _ITEM_STEP = 9_000_000_000, 5_562_305_899
_N_USER_NUMBERS, _USER_STEP = 10_000, 6_181
# Steps are coprime to their ranges (no factor 2, 3 or 5), which makes each map one-to-one.


def block_number(split: str, index: int) -> int:
    """The block of a database.

    Raises:
        ConfigError: When the split is unknown or has no such index.
    """
    if split not in SPLITS:
        raise ConfigError(f"split[{split}]: expected one of {', '.join(SPLITS)}, got {split!r}; correct the config")
    first, count = SPLITS[split]
    if not 0 <= index < count:
        raise ConfigError(f"database[{split} {index}]: expected an index from 0 to {count - 1}, got {index}; lower it")
    return first + index


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


def user_number(block: int, first: int, last: int, repeat: int) -> int:
    """Four-digit number of a user: unique among all users of this name in all databases.

    Args:
        block: The database's block.
        first: Place of the first name in its list.
        last: Place of the last name in its list.
        repeat: How many users of this database have the same name already, below `SAME_NAME_USERS`.
    """
    counter = block * SAME_NAME_USERS + repeat + 1_327 * first + 4_721 * last
    return counter * _USER_STEP % _N_USER_NUMBERS


def email_number(number: int) -> int:
    """Another four-digit number, one-to-one with the user's, as tau2's addresses don't repeat the user id."""
    return (number * 7_213 + 4_409) % _N_USER_NUMBERS


def tau2_entity_ids() -> dict[str, frozenset[str]]:
    """The ids in tau2's own retail database, by the keys of `RetailDatabase.entity_ids`."""
    return published_ids("retail")

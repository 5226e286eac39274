"""Generated databases as stored rows: the row holds what makes them again, and a hash that proves it did.

No database is ever stored. A row made by another generator version is refused, not approximated.
"""

import re
from functools import lru_cache

from env_sim.domains.retail.database import RetailDatabase
from env_sim.domains.retail.generator import GENERATOR_VERSION, default_n_products, generate_database
from schemas.errors import ConfigError, CorruptDatabaseError
from schemas.records import DatabaseRow

__all__ = ["database_row", "open_database"]

_CACHED_DATABASES = 64
"""Databases kept per process. With all texts made, one of 500 users takes 6.0 MB, one of 40 users 0.6 MB."""

_ID = re.compile(r"retail-(train|validation|test)-(\d{4})-u\d+-s\d+-v\d+", re.ASCII)


def database_row(split: str, index: int, seed: int, n_users: int) -> DatabaseRow:
    """The row of a generated database.

    Raises:
        ConfigError: When an argument is out of range.
    """
    if seed < 0:
        raise ConfigError(f"seed[{split} {index}]: expected a number from 0, got {seed}; correct the config")
    database = _generate(split, index, seed, n_users)
    ids = database.entity_ids()
    return DatabaseRow(
        database_id=_database_id(split, index, seed, n_users),
        domain="retail",
        split=split,  # pyright: ignore[reportArgumentType]  the generator has refused other splits
        generator_version=GENERATOR_VERSION,
        seed=seed,
        n_users=n_users,
        n_orders=len(ids["order_ids"]),
        n_products=len(ids["product_ids"]),
        content_sha256=database.content_sha256(),
        **ids,
    )


def open_database(row: DatabaseRow) -> RetailDatabase:
    """Make the database of a row again; the same object for equal rows while it is cached.

    Raises:
        CorruptDatabaseError: When the row is of another generator version, or its content can't be reproduced.
    """
    parts = _ID.fullmatch(row.database_id)
    if parts is None or row.domain != "retail" or row.generator_version != GENERATOR_VERSION:
        raise CorruptDatabaseError(
            f"database[{row.database_id}]: expected a retail database of generator {GENERATOR_VERSION}, got domain "
            f"{row.domain}, generator {row.generator_version}; generate train_databases again"
        )
    index = int(parts[2])
    expected_id = _database_id(row.split, index, row.seed, row.n_users)
    if row.database_id != expected_id or row.n_products != default_n_products(row.n_users):
        raise CorruptDatabaseError(
            f"database[{row.database_id}]: expected id {expected_id} and {default_n_products(row.n_users)} products "
            f"from its own fields, got {row.n_products} products; the row was changed, generate it again"
        )
    database = _generate(row.split, index, row.seed, row.n_users)
    if database.content_sha256() != row.content_sha256:
        raise CorruptDatabaseError(
            f"database[{row.database_id}]: expected content {row.content_sha256[:12]}, got "
            f"{database.content_sha256()[:12]}; the generator changed without a new version, generate it again"
        )
    return database


def _database_id(split: str, index: int, seed: int, n_users: int) -> str:
    return f"retail-{split}-{index:04d}-u{n_users}-s{seed}-v{GENERATOR_VERSION}"


@lru_cache(maxsize=_CACHED_DATABASES)
def _generate(split: str, index: int, seed: int, n_users: int) -> RetailDatabase:
    return generate_database(seed, n_users, split, index)

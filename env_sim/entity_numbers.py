"""Numbers that keep the entities of all generated databases of a domain apart, across splits and indexes.

Each database owns a block of counter values; an affine map spreads them over an id's digits. The map is one-to-one, so
different counters can't meet, and blocks of different (split, index) never overlap. Ids of one (split, index) are the
same for every seed: a warehouse uses one seed. What other ids look like is the domain's.
"""

from schemas.errors import ConfigError

__all__ = ["MAX_USERS", "N_BLOCKS", "SAME_NAME_USERS", "SPLITS", "block_number", "email_number", "user_number"]

SPLITS = {"train": (0, 4000), "validation": (4000, 500), "test": (4500, 500)}
"""First block and number of blocks (databases) of each split."""

N_BLOCKS = 5000
MAX_USERS = 500

SAME_NAME_USERS = 2
"""Users of one database that may share first and last name: 5,000 blocks x 2 fill the four-digit number."""

_N_USER_NUMBERS, _USER_STEP = 10_000, 6_181
# The step is coprime to its range (no factor 2 or 5), which makes the map one-to-one.


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

"""Ids of flights and reservations that never collide: in blocks as in `env_sim.entity_numbers`, and not tau2's.

A generated database is an airline of its own, with three letters of its own in front of its flight numbers.
"""

import re
from collections.abc import Iterator
from string import ascii_uppercase, digits

from env_sim.domains.airline.write_tools import NEW_RESERVATIONS
from env_sim.entity_numbers import MAX_USERS, N_BLOCKS
from env_sim.packaged_domain import published_ids

__all__ = ["FLIGHT_NUMBER", "MAX_FLIGHTS", "MAX_RESERVATIONS", "airline_code", "flight_numbers", "reservation_ids"]

MAX_FLIGHTS = 300
MAX_RESERVATIONS = 5 * MAX_USERS
"""Reservation ids of a block that may be used; tau2's users have four on average."""

FLIGHT_NUMBER = re.compile(r"\b[A-Z]{3}\d{3}\b", re.ASCII)
_SIGNS = digits + ascii_uppercase
_N_RESERVATIONS, _RESERVATION_STEP = 36**6, 1_345_294_337
_N_CODES, _CODE_STEP = 26**3, 6_971
# Steps are coprime to their ranges (no factor 2, 3 or 13), which makes each map one-to-one.
_RESERVATION_BLOCK = _N_RESERVATIONS // N_BLOCKS
_TAU2_CODE = "HAT"


def airline_code(block: int) -> str:
    """The three letters of a database's flights."""
    code = _letters((block * _CODE_STEP + 77) % _N_CODES)
    # Blocks use codes 0 to 4,999 of the map; the code behind them stands in for tau2's.
    return _letters((N_BLOCKS * _CODE_STEP + 77) % _N_CODES) if code == _TAU2_CODE else code


def flight_numbers(block: int, count: int) -> list[str]:
    """The first flight numbers of a block, at most `MAX_FLIGHTS`."""
    return [f"{airline_code(block)}{number:03d}" for number in range(1, count + 1)]


def reservation_ids(block: int) -> Iterator[str]:
    """The reservation ids of a block: six letters and digits, both present, unlike a flight number."""
    taken = {*published_ids("airline")["reservation_ids"], *NEW_RESERVATIONS}
    for counter in range(block * _RESERVATION_BLOCK, (block + 1) * _RESERVATION_BLOCK):
        number, signs = (counter * _RESERVATION_STEP + 77) % _N_RESERVATIONS, ""
        for _ in range(6):
            number, place = divmod(number, len(_SIGNS))
            signs += _SIGNS[place]
        if signs not in taken and not signs.isalpha() and not signs.isdigit() and not FLIGHT_NUMBER.fullmatch(signs):
            yield signs


def _letters(number: int) -> str:
    letters = ""
    for _ in range(3):
        number, place = divmod(number, 26)
        letters += ascii_uppercase[place]
    return letters

"""New airline databases with the statistics of tau2's, from one seed.

Equal arguments give equal bytes in every process: one seeded generator, no sets or clocks in the order of anything.
Names and ids share nothing with tau2's data (`entity_numbers` keeps all databases disjoint); airports are the world's.
The frequencies below were counted in tau2's db.json; a comment says where we depart from it.
"""

from collections.abc import Sequence
from itertools import accumulate, islice
from random import Random

from env_sim.domains.airline.database import AirlineDatabase
from env_sim.domains.airline.entity_numbers import MAX_FLIGHTS, MAX_RESERVATIONS, flight_numbers, reservation_ids
from env_sim.domains.airline.permissions import free_bags
from env_sim.domains.airline.read_tools import AIRPORTS, NEXT_DAY
from env_sim.domains.airline.write_tools import INSURANCE_FEE, NOW
from env_sim.entity_numbers import MAX_USERS, SAME_NAME_USERS, block_number, email_number, user_number
from env_sim.packaged_domain import published_ids
from env_sim.people import CITIES, FIRST_NAMES, LAST_NAMES, STREETS
from env_sim.world import JsonRecord
from schemas.errors import ConfigError

__all__ = ["GENERATOR_VERSION", "default_n_flights", "generate_database"]

GENERATOR_VERSION = 1
"""Raise it with any change that moves a byte of any generated database."""

_DAYS = 30
_TODAY = int(NOW[8:10])
_HOUR = int(NOW[11:13])
_MIN_FLIGHTS = 40
_MIN_AIRPORTS = 6
_CABINS = (("basic_economy", 50, 100), ("economy", 100, 200), ("business", 200, 500))
"""Cabin with the range of its prices; reservations hold them equally often."""

_MAX_SEATS = 20
_HOURS = tuple(accumulate((41, 88, 70, 67, 19, 15)))
"""Flights by whole hours in the air, from one on."""

_CANCELLED_SHARE = 0.076
_DELAYED_SHARE = 0.42
"""Of today's flights that have not left."""

_RESERVATIONS_PER_USER = tuple(accumulate((48, 26, 77, 70, 82, 66, 50, 35, 22, 13, 11)))
_METHODS_PER_USER = tuple(accumulate((80, 142, 111, 90, 41, 28, 8)))
_METHOD_SOURCES = ("gift_card", "credit_card", "certificate")
_CERTIFICATES = (100, 150, 250, 500)
_MAX_GIFT = 300
_MEMBERSHIPS = ("regular", "silver", "gold")
_PASSENGERS = tuple(accumulate((920, 662, 323, 95)))
_ONE_WAY_SHARE = 0.52
_ONE_STOP_SHARE = 0.5
"""Of ways; 70 % in tau2. Direct ways are what a change of date is worded about."""

_PAST_SHARE = 0.2
"""Reservations whose first flight has left: fewer than tau2's third, since little can be done with them."""

_RECENT_SHARE = 0.1
"""Reservations booked within a day, which may be cancelled."""

_INSURED_SHARE = 0.5
_BAGS_SHARE = 0.46
_HOME_SHARE = 0.5
"""Chance that a user's way starts at their first reservation's airport. tau2 has no homes; tasks about ambiguous
trips live on them."""


def default_n_flights(n_users: int) -> int:
    """Flights of a database of this size: 300 from 500 users on, fewer at smaller airlines."""
    return max(_MIN_FLIGHTS, min(MAX_FLIGHTS, n_users * 3 // 5))


def generate_database(seed: int, n_users: int = 500, split: str = "train", index: int = 0) -> AirlineDatabase:
    """Make the database number `index` of a split.

    Args:
        seed: Seed of everything but the blocks of ids.
        n_users: 1 to 500.
        split: `train`, `validation` or `test`; their entities never overlap.
        index: Databases of different indexes never overlap either.

    Raises:
        ConfigError: When an argument is out of range.
    """
    block = block_number(split, index)
    if not 1 <= n_users <= MAX_USERS:
        raise ConfigError(f"n_users[{split} {index}]: expected 1 to {MAX_USERS}, got {n_users}; correct the config")
    rng = Random(f"airline/{GENERATOR_VERSION}/{split}/{index}/{seed}/{n_users}")
    flights = _flights(rng, block, default_n_flights(n_users))
    users = _users(rng, block, n_users)
    reservations = _reservations(rng, block, users, flights)
    return AirlineDatabase({"flights": flights, "users": users, "reservations": reservations})


def _flights(rng: Random, block: int, count: int) -> dict[str, JsonRecord]:
    """Routes there and back between random airports, so that who flies out can return."""
    airports = rng.sample(sorted(AIRPORTS), max(_MIN_AIRPORTS, min(len(AIRPORTS), count // 8)))
    flights: dict[str, JsonRecord] = {}
    route: list[str] = []
    for place, number in enumerate(flight_numbers(block, count)):
        route = route[::-1] if place % 2 else rng.sample(airports, 2)
        leaves = rng.randrange(24)
        hours = leaves + 1 + _pick(rng, _HOURS)
        minutes = rng.choice(("00", "30"))
        flights[number] = {
            "flight_number": number,
            "origin": route[0],
            "destination": route[1],
            "scheduled_departure_time_est": f"{leaves:02d}:00:00",
            "scheduled_arrival_time_est": f"{hours % 24:02d}:{minutes}:00{NEXT_DAY if hours >= 24 else ''}",
            "dates": {_date(day): _flight_date(rng, day, leaves, hours) for day in range(1, _DAYS + 1)},
        }
    return flights


def _date(day: int) -> str:
    return f"{NOW[:8]}{day:02d}"


def _flight_date(rng: Random, day: int, leaves: int, arrives: int) -> JsonRecord:
    if day > _TODAY:
        return {
            "status": "available",
            "available_seats": {cabin: rng.randint(0, _MAX_SEATS) for cabin, _, _ in _CABINS},
            "prices": {cabin: rng.randint(low, high) for cabin, low, high in _CABINS},
        }
    left, landed = f"{_date(day)}T{leaves:02d}:10:00", f"{_date(day + arrives // 24)}T{arrives % 24:02d}:20:00"
    if day < _TODAY:
        if rng.random() < _CANCELLED_SHARE:
            return {"status": "cancelled"}
        return {"status": "landed", "actual_departure_time_est": left, "actual_arrival_time_est": landed}
    if arrives < _HOUR:
        return {"status": "landed", "actual_departure_time_est": left, "actual_arrival_time_est": landed}
    if leaves < _HOUR:
        return {"status": "flying", "actual_departure_time_est": left, "estimated_arrival_time_est": landed}
    status = "delayed" if rng.random() < _DELAYED_SHARE else "on time"
    return {"status": status, "estimated_departure_time_est": left, "estimated_arrival_time_est": landed}


def _users(rng: Random, block: int, n_users: int) -> dict[str, JsonRecord]:
    taken = published_ids("airline")["user_ids"]
    method_numbers = iter(rng.sample(range(1_000_000, 10_000_000), n_users * len(_METHODS_PER_USER)))
    repeats: dict[tuple[int, int], int] = {}
    users: dict[str, JsonRecord] = {}
    while len(users) < n_users:
        first, last = rng.randrange(len(FIRST_NAMES)), rng.randrange(len(LAST_NAMES))
        repeat = repeats.get((first, last), 0)
        if repeat >= SAME_NAME_USERS:
            continue
        repeats[first, last] = repeat + 1
        number = user_number(block, first, last, repeat)
        first_name, last_name = FIRST_NAMES[first], LAST_NAMES[last]
        user_id = f"{first_name.lower()}_{last_name.lower()}_{number:04d}"
        if user_id not in taken:
            users[user_id] = {
                "user_id": user_id,
                "name": {"first_name": first_name, "last_name": last_name},
                "address": _address(rng),
                "email": f"{first_name.lower()}.{last_name.lower()}{email_number(number):04d}@example.com",
                "dob": _birth(rng),
                "payment_methods": _methods(
                    rng, [next(method_numbers) for _ in range(1 + _pick(rng, _METHODS_PER_USER))]
                ),
                "saved_passengers": [_person(rng) for _ in range(1 if rng.random() < 0.66 else 2)],
                "membership": rng.choice(_MEMBERSHIPS),
                "reservations": [],
            }
    return users


def _methods(rng: Random, numbers: Sequence[int]) -> dict[str, JsonRecord]:
    methods: dict[str, JsonRecord] = {}
    for place, number in enumerate(numbers):
        # The first can pay for anything: a user with certificates alone could have booked nothing.
        source = rng.choice(_METHOD_SOURCES[: 3 if place else 2])
        method: JsonRecord = {"source": source, "id": f"{source}_{number}"}
        if source == "credit_card":
            method |= {"brand": rng.choice(("visa", "mastercard")), "last_four": f"{rng.randrange(10_000):04d}"}
        else:
            amount = rng.choice(_CERTIFICATES) if source == "certificate" else rng.randint(0, _MAX_GIFT)
            method["amount"] = float(amount)
        methods[method["id"]] = method
    return methods


def _birth(rng: Random) -> str:
    return f"{rng.randint(1950, 1999)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def _person(rng: Random) -> JsonRecord:
    return {"first_name": rng.choice(FIRST_NAMES), "last_name": rng.choice(LAST_NAMES), "dob": _birth(rng)}


def _address(rng: Random) -> JsonRecord:
    city, state, zone = rng.choice(CITIES)
    return {
        "address1": f"{rng.randint(100, 999)} {rng.choice(STREETS)} {rng.choice(('Street', 'Avenue', 'Lane', 'Road'))}",
        "address2": f"{rng.choice(('Suite', 'Apt'))} {rng.randint(100, 999)}",
        "city": city,
        "country": "USA",
        "state": state,
        "zip": f"{zone}{rng.randrange(100):02d}",
    }


def _reservations(
    rng: Random, block: int, users: dict[str, JsonRecord], flights: dict[str, JsonRecord]
) -> dict[str, JsonRecord]:
    by_origin: dict[str, list[JsonRecord]] = {}
    for flight in flights.values():
        by_origin.setdefault(flight["origin"], []).append(flight)
    counts = [_pick(rng, _RESERVATIONS_PER_USER) for _ in users]
    unused = islice(reservation_ids(block), MAX_RESERVATIONS)
    reservations = {}
    for user, count in zip(users.values(), counts, strict=True):
        home = rng.choice(list(by_origin))
        for reservation_id in islice(unused, count):
            origin = home if rng.random() < _HOME_SHARE else rng.choice(list(by_origin))
            user["reservations"].append(reservation_id)
            reservations[reservation_id] = _reservation(rng, reservation_id, user, origin, by_origin)
    return reservations


def _reservation(
    rng: Random, reservation_id: str, user: JsonRecord, origin: str, by_origin: dict[str, list[JsonRecord]]
) -> JsonRecord:
    past = rng.random() < _PAST_SHARE
    day = rng.randint(3, _TODAY - 1) if past else rng.randint(_TODAY + 1, _DAYS - 2)
    there = _way(rng, origin, by_origin)
    destination = there[-1]["destination"]
    back = [] if rng.random() < _ONE_WAY_SHARE else _way_back(rng, there, by_origin)
    return_day = rng.randint(day + 1, min(_DAYS, day + 6))
    cabin, low, high = rng.choice(_CABINS)
    segments = [
        _segment(rng, flight, on_day, cabin, low, high)
        for flights, on_day in ((there, day), (back, return_day))
        for flight in flights
    ]
    passengers = [{**user["name"], "dob": user["dob"]} if rng.random() < 0.8 else _person(rng)]
    passengers += [_person(rng) for _ in range(_pick(rng, _PASSENGERS))]
    insured = rng.random() < _INSURED_SHARE
    price = sum(segment["price"] for segment in segments) + (INSURANCE_FEE if insured else 0)
    free = free_bags(user, cabin, len(passengers))
    payers = [key for key, method in user["payment_methods"].items() if method["source"] != "certificate"]
    recent = not past and rng.random() < _RECENT_SHARE
    booked = _TODAY - 1 if recent else rng.randint(1, min(day, _TODAY - 1) - 1)
    return {
        "reservation_id": reservation_id,
        "user_id": user["user_id"],
        "origin": origin,
        "destination": destination,
        "flight_type": "round_trip" if back else "one_way",
        "cabin": cabin,
        "flights": segments,
        "passengers": passengers,
        "payment_history": [{"payment_id": rng.choice(payers), "amount": price * len(passengers)}],
        "created_at": f"{_date(booked)}T{rng.randint(_HOUR + 1, 23) if recent else rng.randrange(24):02d}:"
        f"{rng.randrange(60):02d}:{rng.randrange(60):02d}",
        "total_baggages": rng.randint(1, free) if free and rng.random() < _BAGS_SHARE else 0,
        "nonfree_baggages": 0,
        "insurance": "yes" if insured else "no",
        "status": None,
    }


def _way(rng: Random, origin: str, by_origin: dict[str, list[JsonRecord]]) -> list[JsonRecord]:
    """Flights of one day from an airport: one, or two that connect on the same day, to somewhere else."""
    first = rng.choice(by_origin[origin])
    arrival = first["scheduled_arrival_time_est"]
    onward = [
        flight for flight in by_origin[first["destination"]]
        if NEXT_DAY not in arrival
        and flight["destination"] != origin
        and flight["scheduled_departure_time_est"] > arrival
    ]  # fmt: skip
    return [first, rng.choice(onward)] if onward and rng.random() < _ONE_STOP_SHARE else [first]


def _way_back(rng: Random, there: list[JsonRecord], by_origin: dict[str, list[JsonRecord]]) -> list[JsonRecord]:
    """The same stops backwards; empty when a connection does not fit into a day."""
    back: list[JsonRecord] = []
    arrival = ""
    for flight in reversed(there):
        onward = [
            each for each in by_origin[flight["destination"]]
            if each["destination"] == flight["origin"]
            and NEXT_DAY not in arrival
            and each["scheduled_departure_time_est"] > arrival
        ]  # fmt: skip
        if not onward:
            return []
        back.append(rng.choice(onward))
        arrival = back[-1]["scheduled_arrival_time_est"]
    return back


def _segment(rng: Random, flight: JsonRecord, day: int, cabin: str, low: int, high: int) -> JsonRecord:
    on_date = flight["dates"][_date(day)]
    price = on_date["prices"][cabin] if on_date["status"] == "available" else rng.randint(low, high)
    return {
        "flight_number": flight["flight_number"],
        "origin": flight["origin"],
        "destination": flight["destination"],
        "date": _date(day),
        "price": price,
    }


def _pick(rng: Random, cumulative: tuple[int, ...]) -> int:
    """A place drawn by cumulative weights."""
    mark = rng.random() * cumulative[-1]
    return next(place for place, total in enumerate(cumulative) if mark < total)

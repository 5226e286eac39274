"""Shape of the airline database as JSON, and the checks that a file must pass before it becomes a base.

Checked dictionaries leave with their keys in the order in which tau2 prints them and with balances as floats, because
tool messages and the database hash depend on both. Strict types: a price given as text is refused, not converted.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from env_sim.tables import check_records, check_table_names, corrupt
from env_sim.world import JsonRecord

__all__ = ["CabinClass", "FlightType", "Insurance", "check_tables"]

CabinClass = Literal["business", "economy", "basic_economy"]
FlightType = Literal["round_trip", "one_way"]
Insurance = Literal["yes", "no"]

_STRICT = ConfigDict(strict=True)


class _Available(TypedDict):
    status: Literal["available"]
    available_seats: dict[CabinClass, int]
    prices: dict[CabinClass, int]


class _Landed(TypedDict):
    status: Literal["landed"]
    actual_departure_time_est: str
    actual_arrival_time_est: str


class _Cancelled(TypedDict):
    status: Literal["cancelled"]


class _Expected(TypedDict):
    status: Literal["delayed", "on time"]
    estimated_departure_time_est: str
    estimated_arrival_time_est: str


class _Flying(TypedDict):
    status: Literal["flying"]
    actual_departure_time_est: str
    estimated_arrival_time_est: str


_FlightDate = Annotated[_Available | _Landed | _Cancelled | _Expected | _Flying, Field(discriminator="status")]


class _Flight(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    flight_number: str
    origin: str
    destination: str
    scheduled_departure_time_est: str
    scheduled_arrival_time_est: str
    dates: dict[str, _FlightDate]


class _Name(TypedDict):
    first_name: str
    last_name: str


class _Address(TypedDict):
    address1: str
    address2: str | None
    city: str
    country: str
    state: str
    zip: str


def _with_second_line(address: Any) -> Any:
    return {"address2": None, **address} if isinstance(address, dict) else address


class _CreditCard(TypedDict):
    source: Literal["credit_card"]
    id: str
    brand: str
    last_four: str


class _Stored(TypedDict):
    source: Literal["gift_card", "certificate"]
    id: str
    amount: float


class _Passenger(TypedDict):
    first_name: str
    last_name: str
    dob: str


class _User(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    user_id: str
    name: _Name
    address: Annotated[_Address, BeforeValidator(_with_second_line)]
    email: str
    dob: str
    payment_methods: dict[str, _CreditCard | _Stored]
    saved_passengers: list[_Passenger]
    membership: Literal["gold", "silver", "regular"]
    reservations: list[str]


class _Segment(TypedDict):
    flight_number: str
    origin: str
    destination: str
    date: str
    price: int


class _Payment(TypedDict):
    payment_id: str
    amount: int


class _Reservation(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    reservation_id: str
    user_id: str
    origin: str
    destination: str
    flight_type: FlightType
    cabin: CabinClass
    flights: list[_Segment]
    passengers: list[_Passenger]
    payment_history: list[_Payment]
    created_at: str
    total_baggages: int
    nonfree_baggages: int
    insurance: Insurance
    status: Literal["cancelled"] | None


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "flights": TypeAdapter(_Flight),
    "users": TypeAdapter(_User),
    "reservations": TypeAdapter(_Reservation),
}
_ID_FIELDS = {"flights": "flight_number", "users": "user_id", "reservations": "reservation_id"}


def check_tables(content: object, source: str) -> dict[str, dict[str, JsonRecord]]:
    """Checked flights, users and reservations of a parsed database.

    Args:
        content: What `json.load` returned.
        source: Path or name shown in errors.

    Raises:
        CorruptDatabaseError: At the first record that is malformed or refers to something that isn't there.
    """
    named = check_table_names(content, tuple(_ADAPTERS), source, "airline")
    # tau2's file omits the status of a reservation that stands.
    defaults = {"reservations": {"status": None}}
    tables = {
        table: check_records(named[table], adapter, _ID_FIELDS[table], f"{source}: {table}", defaults.get(table))
        for table, adapter in _ADAPTERS.items()
    }
    for key, user in tables["users"].items():
        _check_user(user, tables, f"{source}: users[{key}]")
    for key, reservation in tables["reservations"].items():
        _check_reservation(reservation, tables, f"{source}: reservations[{key}]")
    return tables


def _check_user(user: JsonRecord, tables: dict[str, dict[str, JsonRecord]], place: str) -> None:
    for key, method in user["payment_methods"].items():
        if method["id"] != key:
            raise corrupt(f"{place} payment_methods.{key}", f"id {key}", method["id"])
    for reservation_id in user["reservations"]:
        reservation = tables["reservations"].get(reservation_id)
        if reservation is None or reservation["user_id"] != user["user_id"]:
            raise corrupt(f"{place} reservations", "reservations of this user", reservation_id)


def _check_reservation(reservation: JsonRecord, tables: dict[str, dict[str, JsonRecord]], place: str) -> None:
    if reservation["user_id"] not in tables["users"]:
        raise corrupt(f"{place} user_id", "an existing user", reservation["user_id"])
    for segment in reservation["flights"]:
        flight = tables["flights"].get(segment["flight_number"])
        if flight is None or segment["date"] not in flight["dates"]:
            raise corrupt(f"{place} flights", "existing flights", f"{segment['flight_number']} on {segment['date']}")

"""What the airline tools make of their arguments: records when they fit, else pydantic's own words, as in tau2.

tau2 validates some arguments (a passenger, a payment) and stores others as they come. The models repeat its class and
field names, because both stand in the refusals. Plain well-typed values never reach a model: that is the fast path.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import BaseModel

from env_sim.domains.airline.records import CabinClass, FlightType, Insurance
from env_sim.world import JsonRecord

__all__ = [
    "FlightInfo",
    "Passenger",
    "Payment",
    "certificate",
    "objects",
    "payment",
    "read_first",
    "reservation",
]


class FlightInfo(BaseModel):
    """A flight on a date."""

    types: ClassVar[dict[str, type]] = {"flight_number": str, "date": str}

    flight_number: str
    date: str


class Passenger(BaseModel):
    """A person who flies."""

    types: ClassVar[dict[str, type]] = {"first_name": str, "last_name": str, "dob": str}

    first_name: str
    last_name: str
    dob: str


class Payment(BaseModel):
    """An amount in whole dollars by one payment method."""

    types: ClassVar[dict[str, type]] = {"payment_id": str, "amount": int}

    payment_id: str
    amount: int


class Certificate(BaseModel):
    """A travel certificate as a payment method."""

    source: Literal["certificate"]
    id: str
    amount: float


class ReservationFlight(BaseModel):
    """A flight inside a reservation."""

    flight_number: str
    origin: str
    destination: str
    date: str
    price: int


class Reservation(BaseModel):
    """A whole reservation."""

    reservation_id: str
    user_id: str
    origin: str
    destination: str
    flight_type: FlightType
    cabin: CabinClass
    flights: list[ReservationFlight]
    passengers: list[Passenger]
    payment_history: list[Payment]
    created_at: str
    total_baggages: int
    nonfree_baggages: int
    insurance: Insurance
    status: Literal["cancelled"] | None = None


_ListModel = type[FlightInfo] | type[Passenger] | type[Payment]

_TEXTS = ("origin", "destination")
_CHOICES = {
    "flight_type": frozenset({"round_trip", "one_way"}),
    "cabin": frozenset({"business", "economy", "basic_economy"}),
    "insurance": frozenset({"yes", "no"}),
}
_COUNTS = ("total_baggages", "nonfree_baggages")

_EXACT_FLOATS = 2**53
"""Integers below are exact floats, whatever converts them."""


def objects(model: _ListModel, values: Iterable[Any]) -> list[JsonRecord] | None:
    """The values as records of a model, None when one of them is no object: tau2 then takes them as they are.

    Raises:
        TypeError: When the values can't be walked.
        pydantic.ValidationError: When an object does not fit; its words are the tool's answer.
    """
    if not all(isinstance(value, dict) for value in values):
        return None
    return [_object(model, value) for value in values]


def _object(model: _ListModel, value: JsonRecord) -> JsonRecord:
    types = model.types
    for name, expected in types.items():
        field = value.get(name)
        if type(field) is not expected or (type(field) is str and not field.isascii()):
            return model(**value).model_dump()
    return {name: value[name] for name in types}


def read_first(values: Iterable[Any], attribute: str) -> NoReturn:
    """What tau2 does with a list that is not all objects: it reads the first value's attribute, which isn't there.

    Raises:
        AttributeError: Always; no JSON value has the attribute.
    """
    attrgetter(attribute)(next(iter(values)))
    raise AssertionError(f"{attribute} on a JSON value")


def payment(payment_id: str, amount: Any) -> JsonRecord:
    """An entry of a payment history.

    Raises:
        pydantic.ValidationError: When the amount is no whole number.
    """
    return _object(Payment, {"payment_id": payment_id, "amount": amount})


def certificate(payment_id: str, amount: Any) -> JsonRecord:
    """A travel certificate.

    Raises:
        pydantic.ValidationError: When the amount is no number.
    """
    if type(amount) is float or (type(amount) is int and abs(amount) < _EXACT_FLOATS):
        return {"source": "certificate", "id": payment_id, "amount": float(amount)}
    return Certificate(source="certificate", id=payment_id, amount=amount).model_dump()


def reservation(fields: JsonRecord, *, lists_checked: bool) -> JsonRecord:
    """A new reservation from all fields but the status, keys in printing order.

    Args:
        fields: In printing order.
        lists_checked: Whether passengers and payments are records made by `objects`.

    Raises:
        pydantic.ValidationError: When a field does not fit.
    """
    plain = (
        lists_checked
        and all(type(fields[name]) is str and fields[name].isascii() for name in _TEXTS)
        and all(type(fields[name]) is str and fields[name] in choices for name, choices in _CHOICES.items())
        and all(type(fields[name]) is int for name in _COUNTS)
    )
    return {**fields, "status": None} if plain else Reservation(**fields).model_dump()

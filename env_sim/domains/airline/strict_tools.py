"""The airline tools without tau2's mistakes: the training default.

Every departure from parity is in this file. What tau2 does, and what strict does instead:

1. Cancels a cancelled reservation again, which refunds the refunds and doubles the history: refused.
2. Changes bags, flights and passengers of a cancelled reservation: refused.
3. Lets one booking name a payment method twice. A certificate's second use fails after money was taken; a gift card
   goes below zero, since each amount is compared with the whole balance: refused.
4. Takes payments of zero or less, so one method can be paid out through another, and a certificate can be spent on
   nothing: refused.
5. Books or keeps the same flight twice, which can leave fewer than no seats: refused.
6. Books without flights or passengers, and empties a reservation, after which any value becomes its cabin: refused.
7. Takes any number of bags: negative ones lower the price, text and lists are stored, and a fraction is refused only
   after a gift card has paid it: whole numbers from 0, and no more paid bags than bags.
8. Stores passengers that are no objects: refused.
9. Sends certificates of zero, less or NaN dollars, or of an amount given as text: whole dollars from 1.
10. Doesn't round balances: whole cents.
11. Frees no seats when a reservation is cancelled, and moves none when its flights change: both done, for flights that
    can be booked.
12. Looks for the second flight of a connection on `2024-05-9` or `2024-05-32`, and compares its departure with
    `01:00:00+1`: the next day of the calendar, the plain time.
13. Makes the end state depend on the order of independent bookings and certificates (their ids are handed out in turn)
    and of passengers and payments: such states are equal here.

Kept: what tau2 leaves to the agent and its rulebook (who may cancel, free bags, matching airports, at most five
passengers), and refunds that reach no gift card at once, since the rulebook promises them in days.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date as calendar_date
from datetime import timedelta
from typing import Any, ClassVar, get_args

from env_sim.domains.airline.read_tools import NEXT_DAY
from env_sim.domains.airline.records import CabinClass
from env_sim.domains.airline.write_tools import NEW_CERTIFICATES, NEW_RESERVATIONS, WriteTools
from env_sim.json_text import canonical_text
from env_sim.tools import ToolRefusal, collect_tools
from env_sim.world import JsonRecord, Mode

__all__ = ["StrictEnvironment"]

_UNORDERED = ("passengers", "payment_history")
"""Lists of a reservation whose order carries no meaning."""


class _StrictTools(WriteTools):
    """Overrides of single rules; checks and texts stay where they are."""

    __slots__ = ()

    def connection(self, date: str, arrival: str) -> tuple[str, str]:
        """Date and earliest time of a second flight."""
        if NEXT_DAY not in arrival:
            return date, arrival
        next_day = calendar_date.fromisoformat(date) + timedelta(days=1)
        return next_day.isoformat(), arrival.split(NEXT_DAY)[0]

    def reservation_to_change(self, reservation_id: str) -> JsonRecord:
        """The current reservation, unless it is cancelled."""
        reservation = self.reservation(reservation_id)
        if reservation["status"] == "cancelled":
            raise ToolRefusal(f"Reservation {reservation_id} is cancelled")
        return reservation

    def balance(self, amount: float) -> float:
        """A new balance in whole cents; adding 0.0 turns -0.0 into 0.0."""
        return round(amount, 2) + 0.0

    def check_booking(self, made: JsonRecord, total_baggages: Any, nonfree_baggages: Any) -> None:
        """Refuse a booking of nothing or for nobody, of a flight twice, with odd bags or odd payments."""
        if not made["passengers"]:
            raise ToolRefusal("The list of passengers must not be empty")
        self.check_segments(made["flights"], made["cabin"])
        self.check_bags(total_baggages, nonfree_baggages)
        payment_ids = [each["payment_id"] for each in made["payment_history"]]
        repeated = _first_repeated(payment_ids)
        if repeated is not None:
            raise ToolRefusal(f"Payment method {repeated} is listed more than once")
        if any(each["amount"] <= 0 for each in made["payment_history"]):
            raise ToolRefusal("Payment amounts must be positive")

    def check_segments(self, segments: list[JsonRecord], cabin: Any) -> None:
        """Refuse no flights, an unknown cabin and a flight listed twice."""
        if not segments:
            raise ToolRefusal("The list of flights must not be empty")
        if cabin not in get_args(CabinClass):
            raise ToolRefusal(f"Cabin {cabin} not found")
        repeated = _first_repeated([(each["flight_number"], each["date"]) for each in segments])
        if repeated is not None:
            raise ToolRefusal(f"Flight {repeated[0]} on date {repeated[1]} is listed more than once")

    def check_bags(self, total_baggages: Any, nonfree_baggages: Any) -> None:
        """Refuse all but whole numbers with 0 <= nonfree <= total."""
        if not _is_whole(total_baggages) or not _is_whole(nonfree_baggages):
            raise ToolRefusal("Numbers of baggages must be whole numbers")
        if not 0 <= nonfree_baggages <= total_baggages:
            raise ToolRefusal("Numbers of baggages must not be negative, and the non-free must not exceed the total")

    def check_passengers(self, people: list[JsonRecord] | None) -> None:
        """Refuse passengers that are no objects."""
        if people is None:
            raise ToolRefusal("Passengers must be a list of objects")

    def check_certificate(self, amount: Any) -> None:
        """Refuse all but whole dollars from 1."""
        if not _is_whole(amount) or amount <= 0:
            raise ToolRefusal("The amount of a certificate must be a positive whole number")

    def move_seats(self, reservation: JsonRecord, segments: Sequence[JsonRecord], cabin: str) -> None:
        """Free the seats that a reservation gives up and take those that it gets, on flights that can be booked."""
        change = Counter((each["flight_number"], each["date"], reservation["cabin"]) for each in reservation["flights"])
        change.subtract((each["flight_number"], each["date"], cabin) for each in segments)
        for (number, date, in_cabin), freed in change.items():
            if freed and self.flight_on(number, date)["status"] == "available":
                self.change_seats(number, date, in_cabin, freed * len(reservation["passengers"]))

    def compared_fields(self) -> Mapping[tuple[str, str], JsonRecord]:
        """The written fields, new reservations named by what they hold, not by when they were made."""
        written, old = super().compared_fields(), self.base.tables["reservations"]
        free = [key for key in NEW_RESERVATIONS if key not in old]
        made = [key for key in free if ("reservations", key) in written]
        if not made:
            return written
        in_order = sorted(made, key=lambda key: _content(written["reservations", key]))
        names = dict(zip(in_order, free, strict=False))
        return {(table, names.get(key, key)): _renamed(fields, names) for (table, key), fields in written.items()}

    def canonical_field(self, table: str, key: str, name: str, value: Any) -> Any:
        """Without the orders that carry no meaning."""
        if table == "reservations" and name in _UNORDERED:
            return sorted(value, key=canonical_text)
        if table == "users" and name == "reservations":
            return sorted(value)
        if table == "users" and name == "payment_methods":
            return self._canonical_methods(key, value)
        return value

    def _canonical_methods(self, user_id: str, methods: JsonRecord) -> JsonRecord:
        """Certificates sent in this episode, named by amount instead of time."""
        old = self.base.users[user_id]["payment_methods"]
        sent = [key for key in NEW_CERTIFICATES if key in methods and key not in old]
        by_amount = sorted((methods[key] for key in sent), key=lambda method: method["amount"])
        renamed = {key: {**method, "id": key} for key, method in zip(sent, by_amount, strict=True)}
        return {**methods, **renamed}


class StrictEnvironment(_StrictTools):
    """An episode under corrected rules."""

    mode: ClassVar[Mode] = "strict"
    tools = collect_tools(_StrictTools)

    __slots__ = ()


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _first_repeated(values: list[Any]) -> Any:
    return next((value for value, count in Counter(values).items() if count > 1), None)


def _content(reservation: JsonRecord) -> str:
    """A reservation apart from its id and from the orders that carry no meaning."""
    lists = {name: sorted(reservation[name], key=canonical_text) for name in _UNORDERED}
    return canonical_text({**reservation, **lists, "reservation_id": ""})


def _renamed(fields: JsonRecord, names: dict[str, str]) -> JsonRecord:
    """The fields of a reservation or of its owner with the canonical ids of new reservations."""
    if "reservation_id" in fields:
        return {**fields, "reservation_id": names[fields["reservation_id"]]}
    if "reservations" in fields:
        return {**fields, "reservations": [names.get(key, key) for key in fields["reservations"]]}
    return fields

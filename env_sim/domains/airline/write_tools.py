"""The airline tools that change the state, exactly as tau2 does it: order of checks, texts, mistakes.

Read `strict_tools` for the corrected behaviour; methods that do nothing here are its places to refuse or to correct.
Records are replaced, never changed in place. A refusal can come after a change: where tau2 does so, so does this.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar

from pydantic_core import to_json

from env_sim.domains.airline import arguments
from env_sim.domains.airline.arguments import FlightInfo, Passenger, Payment
from env_sim.domains.airline.read_tools import TOOLKIT, ReadTools
from env_sim.tools import ChangedText, ToolRefusal, collect_tools, tool
from env_sim.world import JsonRecord, Mode

__all__ = [
    "BAG_FEE",
    "INSURANCE_FEE",
    "MAX_HISTORY",
    "NEW_CERTIFICATES",
    "NEW_RESERVATIONS",
    "NOW",
    "ParityEnvironment",
    "WriteTools",
]

NOW = "2024-05-15T15:00:00"
"""The time of every booking."""

NEW_RESERVATIONS = ("HATHAT", "HATHAU", "HATHAV")
"""Ids of the reservations that an episode may make, in order."""

NEW_CERTIFICATES = ("certificate_3221322", "certificate_3221323", "certificate_3221324")
"""Ids of the certificates that an episode may send to one user, in order."""

MAX_HISTORY = 1024
"""Payments of a reservation. Each repeated cancellation doubles them; tau2 has no limit. Four times as many: 8 ms."""

BAG_FEE = 50
INSURANCE_FEE = 30


class WriteTools(ReadTools):
    """The six tools that write, in tau2's way."""

    __slots__ = ()

    def reservation_to_change(self, reservation_id: str) -> JsonRecord:
        """The current reservation, or the tool's refusal; a cancelled one will do (tau2's mistake)."""
        return self.reservation(reservation_id)

    def change_balance(self, user_id: str, payment_id: str, amount: float) -> None:
        """Add to the balance of a gift card (a negative amount takes away)."""
        user = self.user(user_id)
        method = user["payment_methods"][payment_id]
        changed = {**method, "amount": self.balance(method["amount"] + amount)}
        self.change("users", user_id, {"payment_methods": {**user["payment_methods"], payment_id: changed}})

    def balance(self, amount: float) -> float:
        """A new balance, as it was computed."""
        return amount

    def change_seats(self, number: str, date: str, cabin: str, change: int) -> None:
        """Add to the free seats of a flight that can be booked."""
        flight = self.flight(number)
        on_date = flight["dates"][date]
        seats = {**on_date["available_seats"], cabin: on_date["available_seats"][cabin] + change}
        changed = {**flight["dates"], date: {**on_date, "available_seats": seats}}
        self.change("flights", number, {"dates": changed})

    def open_flight(self, number: str, date: str, cabin: Any, n_passengers: int) -> JsonRecord:
        """A new segment of a reservation, or the tool's refusal when the flight can't be booked."""
        flight = self.flight(number)
        on_date = self.flight_on(number, date)
        if on_date["status"] != "available":
            raise ToolRefusal(f"Flight {number} not available on date {date}")
        if on_date["available_seats"][cabin] < n_passengers:
            raise ToolRefusal(f"Not enough seats on flight {number}")
        return {
            "flight_number": number,
            "origin": flight["origin"],
            "destination": flight["destination"],
            "date": date,
            "price": on_date["prices"][cabin],
        }

    @tool(TOOLKIT, writes=True)
    def book_reservation(
        self,
        user_id: str,
        origin: str,
        destination: str,
        flight_type: str,
        cabin: str,
        flights: list[Any],
        passengers: list[Any],
        payment_methods: list[Any],
        total_baggages: int,
        nonfree_baggages: int,
        insurance: str,
    ) -> str:
        """Book flights and pay for them."""
        infos = arguments.objects(FlightInfo, flights)
        people = arguments.objects(Passenger, passengers)
        payments = arguments.objects(Payment, payment_methods)
        user = self.user(user_id)
        fields = {
            "reservation_id": self.new_reservation_id(),
            "user_id": user_id,
            "origin": origin,
            "destination": destination,
            "flight_type": flight_type,
            "cabin": cabin,
            "flights": [],
            "passengers": passengers if people is None else people,
            "payment_history": payment_methods if payments is None else payments,
            "created_at": NOW,
            "total_baggages": total_baggages,
            "nonfree_baggages": nonfree_baggages,
            "insurance": insurance,
        }
        made = arguments.reservation(fields, lists_checked=people is not None and payments is not None)
        if infos is None:
            arguments.read_first(flights, "flight_number")
        n_passengers = len(made["passengers"])
        made["flights"] = [self.open_flight(info["flight_number"], info["date"], cabin, n_passengers) for info in infos]
        total_price = sum(segment["price"] for segment in made["flights"]) * n_passengers
        if insurance == "yes":
            total_price += INSURANCE_FEE * n_passengers
        total_price += BAG_FEE * nonfree_baggages
        check_payments(made["payment_history"], user["payment_methods"], total_price)
        self.check_booking(made, total_baggages, nonfree_baggages)
        return self.store_booking(made)

    def new_reservation_id(self) -> str:
        """The next id, or the tool's refusal after three bookings."""
        for reservation_id in NEW_RESERVATIONS:
            if self.record("reservations", reservation_id) is None:
                return reservation_id
        raise ToolRefusal("Too many reservations")

    def check_booking(self, made: JsonRecord, total_baggages: Any, nonfree_baggages: Any) -> None:
        """Refuse a booking that tau2 accepts: never, here."""

    def store_booking(self, made: JsonRecord) -> str:
        """Take money and seats and keep the reservation.

        Raises:
            KeyError: At the second use of one certificate: what came before it is taken (tau2's mistake).
        """
        user_id, reservation_id = made["user_id"], made["reservation_id"]
        for each in made["payment_history"]:
            user, payment_id = self.user(user_id), each["payment_id"]
            method = user["payment_methods"][payment_id]
            if method["source"] == "gift_card":
                self.change_balance(user_id, payment_id, -each["amount"])
            elif method["source"] == "certificate":
                left = {key: kept for key, kept in user["payment_methods"].items() if key != payment_id}
                self.change("users", user_id, {"payment_methods": left})
        for segment in made["flights"]:
            self.change_seats(segment["flight_number"], segment["date"], made["cabin"], -len(made["passengers"]))
        self.change("reservations", reservation_id, made)
        user = self.user(user_id)
        self.change("users", user_id, {"reservations": [*user["reservations"], reservation_id]})
        return self.text("reservations", reservation_id)

    @tool(TOOLKIT, writes=True)
    def cancel_reservation(self, reservation_id: str) -> ChangedText:
        """Cancel a whole reservation."""
        reservation = self.reservation_to_change(reservation_id)
        if "\\ud" in self.text("reservations", reservation_id):
            # tau2 logs the reservation first, and a lone surrogate, which other tools let in, ends that.
            to_json(reservation)
        history = reservation["payment_history"]
        if len(history) > MAX_HISTORY:
            raise ToolRefusal(f"Payment history longer than {MAX_HISTORY}")
        refunds = [{"payment_id": each["payment_id"], "amount": -each["amount"]} for each in history]
        self.move_seats(reservation, [], reservation["cabin"])
        return self.changed(
            "reservations", reservation_id, {"payment_history": history + refunds, "status": "cancelled"}
        )

    def move_seats(self, reservation: JsonRecord, segments: Sequence[JsonRecord], cabin: str) -> None:
        """Free the seats that a reservation gives up and take those that it gets: tau2 forgets both."""

    @tool(TOOLKIT, writes=True)
    def send_certificate(self, user_id: str, amount: int) -> str:
        """Give a user a travel certificate."""
        user = self.user(user_id)
        for payment_id in NEW_CERTIFICATES:
            if payment_id not in user["payment_methods"]:
                made = arguments.certificate(payment_id, amount)
                self.check_certificate(amount)
                methods = {**user["payment_methods"], payment_id: made}
                self.change("users", user_id, {"payment_methods": methods})
                return f"Certificate {payment_id} added to user {user_id} with amount {amount}."
        raise ToolRefusal("Too many certificates")

    def check_certificate(self, amount: Any) -> None:
        """Refuse an amount that tau2 accepts: never, here."""

    @tool(TOOLKIT, writes=True)
    def update_reservation_baggages(
        self, reservation_id: str, total_baggages: int, nonfree_baggages: int, payment_id: str
    ) -> ChangedText:
        """Change the numbers of bags; paid ones beyond those of before are charged."""
        reservation = self.reservation_to_change(reservation_id)
        user = self.user(reservation["user_id"])
        price = BAG_FEE * max(0, nonfree_baggages - reservation["nonfree_baggages"])
        self.check_bags(total_baggages, nonfree_baggages)
        history = self.charge(user, payment_id, price, reservation["payment_history"])
        bags = {"total_baggages": total_baggages, "nonfree_baggages": nonfree_baggages}
        return self.changed("reservations", reservation_id, {"payment_history": history, **bags})

    def check_bags(self, total_baggages: Any, nonfree_baggages: Any) -> None:
        """Refuse numbers that tau2 accepts: never, here."""

    def charge(self, user: JsonRecord, payment_id: str, price: Any, history: list[JsonRecord]) -> list[JsonRecord]:
        """Take money for a change, or give it back; the history after that.

        Raises:
            ToolRefusal: When the method can't pay.
            pydantic.ValidationError: When the price is no whole number, after a gift card has paid it.
        """
        methods = user["payment_methods"]
        if payment_id not in methods:
            raise ToolRefusal("Payment method not found")
        source = methods[payment_id]["source"]
        if source == "certificate":
            raise ToolRefusal("Certificate cannot be used to update reservation")
        if source == "gift_card":
            if methods[payment_id]["amount"] < price:
                raise ToolRefusal("Gift card balance is not enough")
            self.change_balance(user["user_id"], payment_id, -price)
        return [*history, arguments.payment(payment_id, price)] if price != 0 else history

    @tool(TOOLKIT, writes=True)
    def update_reservation_flights(
        self, reservation_id: str, cabin: str, flights: list[Any], payment_id: str
    ) -> ChangedText:
        """Replace flights or cabin; segments that stay in the same cabin keep their price."""
        infos = arguments.objects(FlightInfo, flights)
        reservation = self.reservation_to_change(reservation_id)
        user = self.user(reservation["user_id"])
        if infos is None:
            arguments.read_first(flights, "flight_number")
        n_passengers = len(reservation["passengers"])
        held = reservation["flights"] if cabin == reservation["cabin"] else []
        segments = [
            kept_segment(held, info) or self.open_flight(info["flight_number"], info["date"], cabin, n_passengers)
            for info in infos
        ]
        self.check_segments(segments, cabin)
        price = (total(segments) - total(reservation["flights"])) * n_passengers
        history = self.charge(user, payment_id, price, reservation["payment_history"])
        self.move_seats(reservation, segments, cabin)
        fields = {"payment_history": history, "flights": segments, "cabin": cabin}
        return self.changed("reservations", reservation_id, fields)

    def check_segments(self, segments: list[JsonRecord], cabin: Any) -> None:
        """Refuse flights that tau2 accepts: never, here."""

    @tool(TOOLKIT, writes=True)
    def update_reservation_passengers(self, reservation_id: str, passengers: list[Any]) -> ChangedText:
        """Replace the passengers by as many others."""
        people = arguments.objects(Passenger, passengers)
        reservation = self.reservation_to_change(reservation_id)
        stored = deepcopy(passengers) if people is None else people
        if len(stored) != len(reservation["passengers"]):
            raise ToolRefusal("Number of passengers does not match")
        self.check_passengers(people)
        return self.changed("reservations", reservation_id, {"passengers": stored})

    def check_passengers(self, people: list[JsonRecord] | None) -> None:
        """Refuse passengers that tau2 accepts: never, here; it keeps even values that are no objects."""


class ParityEnvironment(WriteTools):
    """An episode that answers as tau2 does."""

    mode: ClassVar[Mode] = "parity"
    tools = collect_tools(WriteTools)

    __slots__ = ()


def check_payments(payments: list[JsonRecord], methods: dict[str, JsonRecord], total_price: Any) -> None:
    """Refuse unless each method is the user's and covers its amount, and the amounts add up to the price."""
    for each in payments:
        payment_id, amount = each["payment_id"], each["amount"]
        if payment_id not in methods:
            raise ToolRefusal(f"Payment method {payment_id} not found")
        if methods[payment_id]["source"] != "credit_card" and methods[payment_id]["amount"] < amount:
            raise ToolRefusal(f"Not enough balance in payment method {payment_id}")
    paid = sum(each["amount"] for each in payments)
    if paid != total_price:
        raise ToolRefusal(f"Payment amount does not add up, total price is {total_price}, but paid {paid}")


def kept_segment(held: list[JsonRecord], info: JsonRecord) -> JsonRecord | None:
    """The segment of a reservation that is this flight on this date, if any."""
    number, date = info["flight_number"], info["date"]
    return next((each for each in held if each["flight_number"] == number and each["date"] == date), None)


def total(segments: Sequence[JsonRecord]) -> int:
    """Price of segments for one passenger."""
    return sum(segment["price"] for segment in segments)

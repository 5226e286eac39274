"""The airline domain as one object: descriptions, database checks, and calls with any JSON at all."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError, CorruptDatabaseError
from tests.fixtures.airline import ADA, BASE, DOMAIN, airline, run


def test_the_schemas_describe_exactly_the_tools_that_exist():
    names = {schema["function"]["name"] for schema in DOMAIN.tool_schemas()}
    assert len(names) == 14
    assert names == set(run("parity").tools) == set(run("strict").tools)
    assert len(DOMAIN.write_tools & names) == len(DOMAIN.write_tools) == 6


def test_the_domain_has_a_rulebook_and_knows_the_published_ids():
    assert DOMAIN.rulebook().startswith("# Airline")
    assert len(DOMAIN.published_entity_ids()) == 2800
    assert BASE.entity_ids()["reservation_ids"] == ("R1", "R2")


def test_an_unknown_mode_is_a_config_error():
    with pytest.raises(ConfigError, match="expected parity or strict"):
        DOMAIN.new_environment(BASE, mode="loose")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            ("reservations", "R1", "user_id"),
            "nobody",
            "expected reservations of this user, got R1",
        ),
        (("reservations", "R1", "cabin"), "first", "reservations[R1] cabin]"),
        (("reservations", "R1", "reservation_id"), "R7", "expected reservation_id R1, got R7"),
        (("reservations", "R1", "flights", 0, "date"), "2024-07-01", "got F1 on 2024-07-01"),
        (("flights", "F1", "dates", "2024-05-20", "prices", "economy"), "90", "flights[F1] dates.2024-05-20"),
        (("flights", "F1", "dates", "2024-05-20", "status"), "lost", "flights[F1] dates.2024-05-20"),
        (("users", "ada_fox_1", "reservations", 0), "R9", "users[ada_fox_1] reservations]"),
        (("users", "ada_fox_1", "payment_methods", "gift_card_1", "id"), "g", "expected id gift_card_1, got g"),
    ],
)
def test_a_malformed_database_names_its_first_bad_record(place: tuple[Any, ...], value: object, message: str):
    content = json.loads(json.dumps(airline()))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(CorruptDatabaseError) as raised:
        DOMAIN.database_from_json(content)
    assert message in str(raised.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(
    ["R1", "R2", "F1", "F3", "ada_fox_1", "2024-05-20", "JFK", "economy", "gift_card_1", "yes", 1, 2]
)
OBJECTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("flight_number", "date", "payment_id", "amount", *ADA), WORDS | JSON)
)
SCHEMAS = [schema["function"] for schema in DOMAIN.tool_schemas()]
VALUES = WORDS | JSON | st.lists(OBJECTS, max_size=2)
CALLS = st.sampled_from(SCHEMAS).flatmap(
    lambda schema: st.tuples(
        st.just(schema["name"]), st.fixed_dictionaries(dict.fromkeys(schema["parameters"]["properties"], VALUES))
    )
)


@settings(max_examples=300, deadline=None)
@given(mode=st.sampled_from(["parity", "strict"]), call=CALLS)
def test_no_json_arguments_make_a_call_raise_and_strict_refusals_change_nothing(mode: str, call: tuple[str, dict]):
    environment = DOMAIN.new_environment(BASE, mode=mode)
    result = environment.call(*call)
    assert isinstance(result.content, str)
    environment.database_hash()
    if result.error:
        assert result.content.startswith("Error: ")
        assert mode == "parity" or environment.state_key() == ()

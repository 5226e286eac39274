"""Shape of the retail database as JSON, and the checks that a file must pass before it becomes a base.

Checked dictionaries leave with their keys in the order in which tau2 prints them and with numbers as floats, because
tool messages and the database hash depend on both. Strict types: a price given as text is refused, not converted.
"""

from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from env_sim.tables import check_records, check_table_names, corrupt
from env_sim.world import JsonRecord

__all__ = ["OPTIONAL_ORDER_FIELDS", "check_tables"]

OPTIONAL_ORDER_FIELDS = (
    "cancel_reason",
    "exchange_items",
    "exchange_new_items",
    "exchange_payment_method_id",
    "exchange_price_difference",
    "return_items",
    "return_payment_method_id",
)
"""Absent from tau2's file, printed as null by its tools."""

_NULLS: JsonRecord = dict.fromkeys(OPTIONAL_ORDER_FIELDS)
_STRICT = ConfigDict(strict=True)

_Status = Literal[
    "processed",
    "pending",
    "pending (item modified)",
    "delivered",
    "cancelled",
    "exchange requested",
    "return requested",
]


class _Name(TypedDict):
    first_name: str
    last_name: str


class _Address(TypedDict):
    address1: str
    address2: str
    city: str
    country: str
    state: str
    zip: str


class _Card(TypedDict):
    source: Literal["credit_card"]
    id: str
    brand: str
    last_four: str


class _Paypal(TypedDict):
    source: Literal["paypal"]
    id: str


class _GiftCard(TypedDict):
    source: Literal["gift_card"]
    id: str
    balance: float


class _User(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    user_id: str
    name: _Name
    address: _Address
    email: str
    payment_methods: dict[str, _Card | _GiftCard | _Paypal]
    orders: list[str]


class _Variant(TypedDict):
    item_id: str
    options: dict[str, str]
    available: bool
    price: float


class _Product(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    name: str
    product_id: str
    variants: dict[str, _Variant]


class _Item(TypedDict):
    name: str
    product_id: str
    item_id: str
    price: float
    options: dict[str, str]


class _Fulfillment(TypedDict):
    tracking_id: list[str]
    item_ids: list[str]


class _Payment(TypedDict):
    transaction_type: Literal["payment", "refund"]
    amount: float
    payment_method_id: str


class _Order(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    order_id: str
    user_id: str
    address: _Address
    items: list[_Item]
    status: _Status
    fulfillments: list[_Fulfillment]
    payment_history: list[_Payment]
    cancel_reason: Literal["no longer needed", "ordered by mistake"] | None
    exchange_items: list[str] | None
    exchange_new_items: list[str] | None
    exchange_payment_method_id: str | None
    exchange_price_difference: float | None
    return_items: list[str] | None
    return_payment_method_id: str | None


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "users": TypeAdapter(_User),
    "orders": TypeAdapter(_Order),
    "products": TypeAdapter(_Product),
}
_ID_FIELDS = {"users": "user_id", "orders": "order_id", "products": "product_id"}


def check_tables(content: object, source: str) -> dict[str, dict[str, JsonRecord]]:
    """Checked users, orders and products of a parsed database.

    Args:
        content: What `json.load` returned.
        source: Path or name shown in errors.

    Raises:
        CorruptDatabaseError: At the first record that is malformed or refers to something that isn't there.
    """
    named = check_table_names(content, tuple(_ADAPTERS), source, "retail")
    tables = {
        table: check_records(
            named[table], adapter, _ID_FIELDS[table], f"{source}: {table}", _NULLS if table == "orders" else None
        )
        for table, adapter in _ADAPTERS.items()
    }
    for key, product in tables["products"].items():
        _check_variants(product, f"{source}: products[{key}]")
    for key, user in tables["users"].items():
        _check_user(user, tables, f"{source}: users[{key}]")
    for key, order in tables["orders"].items():
        _check_order(order, tables, f"{source}: orders[{key}]")
    return tables


def _check_variants(product: JsonRecord, place: str) -> None:
    for key, variant in product["variants"].items():
        if variant["item_id"] != key:
            raise corrupt(f"{place} variants.{key}", f"item_id {key}", variant["item_id"])


def _check_user(user: JsonRecord, tables: dict[str, dict[str, JsonRecord]], place: str) -> None:
    for key, method in user["payment_methods"].items():
        if method["id"] != key:
            raise corrupt(f"{place} payment_methods.{key}", f"id {key}", method["id"])
    for order_id in user["orders"]:
        order = tables["orders"].get(order_id)
        if order is None or order["user_id"] != user["user_id"]:
            raise corrupt(f"{place} orders", "orders of this user", order_id)


def _check_order(order: JsonRecord, tables: dict[str, dict[str, JsonRecord]], place: str) -> None:
    owner = tables["users"].get(order["user_id"])
    if owner is None:
        raise corrupt(f"{place} user_id", "an existing user", order["user_id"])
    if not order["payment_history"]:
        raise corrupt(f"{place} payment_history", "at least one payment", "none")
    for payment in order["payment_history"]:
        if payment["payment_method_id"] not in owner["payment_methods"]:
            raise corrupt(f"{place} payment_history", "a method of the owner", payment["payment_method_id"])
    for item in order["items"]:
        product = tables["products"].get(item["product_id"])
        if product is None:
            raise corrupt(f"{place} items", "an existing product", item["product_id"])

"""The retail base: users, orders and products, with the texts and indexes that make reads a lookup.

Immutable and shared by all episodes: every index is computed once, on first use (see `env_sim.tables`).
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from env_sim.domains.retail.records import check_tables
from env_sim.json_text import json_text, text_text
from env_sim.tables import TableDatabase, read_json
from env_sim.world import JsonRecord

__all__ = ["RetailDatabase", "database_from_json", "load_database"]


def address_text(address1: str, address2: str, city: str, country: str, state: str, zip: str) -> str:
    """An address as tools print it."""
    return (
        f'{{"address1": {text_text(address1)}, "address2": {text_text(address2)}, "city": {text_text(city)}, '
        f'"country": {text_text(country)}, "state": {text_text(state)}, "zip": {text_text(zip)}}}'
    )


def transaction_text(kind: str, amount: float, payment_method_id: str) -> str:
    """An entry of a payment history as tools print it."""
    return (
        f'{{"transaction_type": {text_text(kind)}, "amount": {json_text(amount)}, '
        f'"payment_method_id": {text_text(payment_method_id)}}}'
    )


class RetailDatabase(TableDatabase):
    """An immutable shop. Build it through `load_database`, `database_from_json` or the generator."""

    shapes: ClassVar[Mapping[tuple[str, ...], Callable[..., str]]] = {
        ("address1", "address2", "city", "country", "state", "zip"): address_text,
        ("transaction_type", "amount", "payment_method_id"): transaction_text,
    }

    def __init__(self, tables: dict[str, dict[str, JsonRecord]]) -> None:
        """Take checked tables over; the caller must not keep changing them."""
        super().__init__(tables)
        self._user_by_email: dict[str, str] | None = None
        self._users_by_name: dict[str, dict[str, list[str]]] | None = None
        self._product_by_item: dict[str, str] | None = None
        self._product_types: str | None = None
        self._ordered: dict[tuple[str, str, str], JsonRecord] = {}

    @property
    def users(self) -> Mapping[str, JsonRecord]:
        """Users by id. Read only."""
        return MappingProxyType(self.tables["users"])

    @property
    def orders(self) -> Mapping[str, JsonRecord]:
        """Orders by id; the optional fields that tau2's file omits are null. Read only."""
        return MappingProxyType(self.tables["orders"])

    @property
    def products(self) -> Mapping[str, JsonRecord]:
        """Products by id. Read only."""
        return MappingProxyType(self.tables["products"])

    def item_text(self, item_id: str) -> str | None:
        """What a tool prints for a variant, None when no product has it."""
        product_id = self.product_of_item(item_id)
        if product_id is None:
            return None
        text = self._texts.get(("items", item_id))
        if text is None:
            variant = self.tables["products"][product_id]["variants"][item_id]
            text = self._texts["items", item_id] = json.dumps(variant)
        return text

    def product_types_text(self) -> str:
        """Product names and ids as one JSON object, names sorted."""
        if self._product_types is None:
            names = {product["name"]: product["product_id"] for product in self.tables["products"].values()}
            self._product_types = json.dumps(names, sort_keys=True)
        return self._product_types

    def ordered(self, item: JsonRecord, variant: JsonRecord) -> JsonRecord:
        """An order's item as another variant of its product: one object, spelled once, for all orders."""
        place = (item["name"], item["product_id"], variant["item_id"])
        found = self._ordered.get(place)
        if found is None:
            own = {"item_id": variant["item_id"], "price": variant["price"], "options": variant["options"]}
            found = self._ordered[place] = {**item, **own}
            self.keep_part(found)
        return found

    def user_by_email(self, lowered: str) -> str | None:
        """Id of the first user, in table order, with this lower-cased address."""
        if self._user_by_email is None:
            self._user_by_email = {}
            for user_id, user in self.tables["users"].items():
                self._user_by_email.setdefault(user["email"].lower(), user_id)
        return self._user_by_email.get(lowered)

    def users_by_first_name(self, lowered: str) -> Mapping[str, list[str]]:
        """Ids in table order by lower-cased last name, of the users with this lower-cased first name."""
        if self._users_by_name is None:
            self._users_by_name = {}
            for user_id, user in self.tables["users"].items():
                name = user["name"]
                by_last = self._users_by_name.setdefault(name["first_name"].lower(), {})
                by_last.setdefault(name["last_name"].lower(), []).append(user_id)
        return self._users_by_name.get(lowered, {})

    def product_of_item(self, item_id: str) -> str | None:
        """Id of the first product, in table order, that has this variant."""
        if self._product_by_item is None:
            self._product_by_item = {}
            for product_id, product in self.tables["products"].items():
                for variant_id in product["variants"]:
                    self._product_by_item.setdefault(variant_id, product_id)
        return self._product_by_item.get(item_id)

    def entity_ids(self) -> dict[str, tuple[str, ...]]:
        """Sorted ids under `user_ids`, `order_ids`, `product_ids` and `item_ids`."""
        items = (item_id for product in self.tables["products"].values() for item_id in product["variants"])
        return {
            "user_ids": tuple(sorted(self.tables["users"])),
            "order_ids": tuple(sorted(self.tables["orders"])),
            "product_ids": tuple(sorted(self.tables["products"])),
            "item_ids": tuple(sorted(items)),
        }


def load_database(path: str | Path) -> RetailDatabase:
    """Read a tau2 `db.json`.

    Raises:
        CorruptDatabaseError: When the file is missing, is no JSON, or holds a bad record (the first one is named).
    """
    return RetailDatabase(check_tables(read_json(path), str(path)))


def database_from_json(content: object, source: str = "json") -> RetailDatabase:
    """Check a parsed database and take it as a base; `content` is not kept.

    Raises:
        CorruptDatabaseError: At the first bad record.
    """
    return RetailDatabase(check_tables(content, source))

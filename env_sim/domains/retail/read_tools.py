"""The retail tools that change nothing. Unchanged records are answered with the base's cached text."""

from env_sim import arithmetic
from env_sim.domains.retail.database import RetailDatabase
from env_sim.tools import ToolRefusal, tool
from env_sim.world import Environment, JsonRecord

__all__ = ["ReadTools"]

TOOLKIT = "RetailTools"
"""tau2's class name, shown by argument errors."""


class ReadTools(Environment):
    """Lookups, the calculator and the transfer."""

    base: RetailDatabase

    __slots__ = ()

    def order(self, order_id: str) -> JsonRecord:
        """The current order, or the tool's refusal."""
        order = self.record("orders", order_id)
        if order is None:
            raise ToolRefusal("Order not found")
        return order

    def user(self, user_id: str) -> JsonRecord:
        """The current user, or the tool's refusal."""
        user = self.record("users", user_id)
        if user is None:
            raise ToolRefusal("User not found")
        return user

    @tool(TOOLKIT)
    def calculate(self, expression: str) -> str:
        """Evaluate an arithmetic expression."""
        return arithmetic.calculate(expression)

    @tool(TOOLKIT)
    def transfer_to_human_agents(self, summary: str) -> str:
        """Hand over to a person; changes nothing."""
        del summary
        return "Transfer successful"

    @tool(TOOLKIT)
    def find_user_id_by_email(self, email: str) -> str:
        """Find a user by e-mail address, ignoring case."""
        # An empty shop never looks at the argument, so even a number is only "not found" there.
        found = self.base.user_by_email(email.lower()) if self.base.tables["users"] else None
        if found is None:
            raise ToolRefusal("User not found")
        return found

    @tool(TOOLKIT)
    def find_user_id_by_name_zip(self, first_name: str, last_name: str, zip: str) -> str:
        """Find a user by name, ignoring case, and exact zip code: the first in table order."""
        if self.base.tables["users"]:
            by_last = self.base.users_by_first_name(first_name.lower())
            # Names never change, zip codes do: compare those of the current records.
            for user_id in by_last.get(last_name.lower(), ()) if by_last else ():
                user = self.record("users", user_id)
                if user and user["address"]["zip"] == zip:
                    return user_id
        raise ToolRefusal("User not found")

    @tool(TOOLKIT)
    def get_user_details(self, user_id: str) -> str:
        """Show a user."""
        text = self.found_text("users", user_id)
        if text is None:
            raise ToolRefusal("User not found")
        return text

    @tool(TOOLKIT)
    def get_order_details(self, order_id: str) -> str:
        """Show an order."""
        text = self.found_text("orders", order_id)
        if text is None:
            raise ToolRefusal("Order not found")
        return text

    @tool(TOOLKIT)
    def get_product_details(self, product_id: str) -> str:
        """Show a product with all its variants."""
        if product_id not in self.base.tables["products"]:
            raise ToolRefusal("Product not found")
        return self.base.text("products", product_id)

    @tool(TOOLKIT)
    def get_item_details(self, item_id: str) -> str:
        """Show one variant."""
        text = self.base.item_text(item_id)
        if text is None:
            raise ToolRefusal("Item not found")
        return text

    @tool(TOOLKIT)
    def list_all_product_types(self) -> str:
        """Show the names and ids of all products."""
        return self.base.product_types_text()

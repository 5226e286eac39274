"""tau2's retail domain, rebuilt from its measured behaviour: a shop's users, orders and products.

`database` holds records, `read_tools`, `write_tools` and `strict_tools` act on them, `generator` makes new databases.
"""

from env_sim.domains.retail.domain import RetailDomain

__all__ = ["DOMAIN", "RetailDomain"]

DOMAIN = RetailDomain()

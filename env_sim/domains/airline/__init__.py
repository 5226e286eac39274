"""tau2's airline domain, rebuilt from its measured behaviour: flights, users and reservations.

`database` holds records, `read_tools`, `write_tools` and `strict_tools` act on them, `arguments` judges what is passed.
"""

from env_sim.domains.airline.domain import AirlineDomain

__all__ = ["DOMAIN", "AirlineDomain"]

DOMAIN = AirlineDomain()

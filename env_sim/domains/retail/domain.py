"""The retail domain as one object: the door through which other rooms use it."""

from pathlib import Path
from typing import ClassVar

from env_sim.domains.retail.database import RetailDatabase, database_from_json, load_database
from env_sim.domains.retail.generator import GENERATOR_VERSION, generate_database
from env_sim.domains.retail.rules import RULES, WRITES
from env_sim.domains.retail.strict_tools import StrictEnvironment
from env_sim.domains.retail.write_tools import ParityEnvironment, WriteTools
from env_sim.packaged_domain import PackagedDomain

__all__ = ["RetailDomain"]


class RetailDomain(PackagedDomain[RetailDatabase, WriteTools]):
    """Databases, environments and tool descriptions of the retail domain."""

    name = "retail"
    environments: ClassVar = {"parity": ParityEnvironment, "strict": StrictEnvironment}
    generator_version = GENERATOR_VERSION
    write_tools = WRITES
    """Names of the tools that change the state."""
    rules = RULES
    """What the rulebook monitor has to know."""

    def load_database(self, path: str | Path) -> RetailDatabase:
        """Read a tau2 `db.json`; raises CorruptDatabaseError naming the path and the first bad record."""
        return load_database(path)

    def database_from_json(self, content: object) -> RetailDatabase:
        """Check parsed JSON in tau2's shape and take it as a base."""
        return database_from_json(content)

    def generate_database(
        self, seed: int, n_users: int = 500, split: str = "train", index: int = 0, n_products: int | None = None
    ) -> RetailDatabase:
        """Make a database; see `generator.generate_database`."""
        return generate_database(seed, n_users, split, index, n_products)

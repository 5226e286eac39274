"""The retail domain as one object: the door through which other rooms use it."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from env_sim.domains.retail import generated
from env_sim.domains.retail.database import RetailDatabase, database_from_json, load_database
from env_sim.domains.retail.entity_numbers import tau2_entity_ids
from env_sim.domains.retail.generator import generate_database
from env_sim.domains.retail.rules import RULES, WRITES
from env_sim.domains.retail.strict_tools import StrictEnvironment
from env_sim.domains.retail.write_tools import ParityEnvironment, WriteTools
from env_sim.world import Mode
from schemas.errors import ConfigError
from schemas.records import DatabaseRow

__all__ = ["RetailDomain"]

_PACKAGE = "env_sim.domains.retail"
_ENVIRONMENTS: dict[str, type[WriteTools]] = {"parity": ParityEnvironment, "strict": StrictEnvironment}


class RetailDomain:
    """Databases, environments and tool descriptions of the retail domain."""

    name = "retail"
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

    def database_row(self, split: str, index: int, seed: int, n_users: int) -> DatabaseRow:
        """Describe the generated database (split, index, seed, n_users) as a stored row."""
        return generated.database_row(split, index, seed, n_users)

    def published_entity_ids(self) -> frozenset[str]:
        """Ids of tau2's own retail database, which no generated one may hold."""
        return frozenset().union(*tau2_entity_ids().values())

    def open_database(self, row: DatabaseRow) -> RetailDatabase:
        """Make the database of a stored row again, verified and cached per process."""
        return generated.open_database(row)

    def new_environment(self, base: RetailDatabase, mode: Mode = "strict") -> WriteTools:
        """Start an episode over a base, in about a microsecond.

        Raises:
            ConfigError: When the mode is unknown.
        """
        environment = _ENVIRONMENTS.get(mode)
        if environment is None:
            raise ConfigError(f"mode[{mode}]: expected parity or strict, got {mode!r}; correct the config")
        return environment(base)

    def tool_schemas(self) -> list[dict[str, Any]]:
        """The 16 tools in OpenAI's function format; a new list on each call."""
        return json.loads(_text("tool_schemas.json"))

    def rulebook(self) -> str:
        """The shop's policy for the agent, in Markdown."""
        return _text("rulebook.md")


@cache
def _text(name: str) -> str:
    return files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")

"""The airline domain as one object: the door through which other rooms use it."""

from pathlib import Path
from typing import ClassVar, NoReturn

from env_sim.domains.airline.database import AirlineDatabase, database_from_json, load_database
from env_sim.domains.airline.strict_tools import StrictEnvironment
from env_sim.domains.airline.write_tools import ParityEnvironment, WriteTools
from env_sim.monitor import RuleSpec
from env_sim.packaged_domain import PackagedDomain
from schemas.errors import ConfigError
from schemas.records import DatabaseRow

__all__ = ["AirlineDomain"]


class AirlineDomain(PackagedDomain[AirlineDatabase, WriteTools]):
    """Databases, environments and tool descriptions of the airline domain."""

    name = "airline"
    environments: ClassVar = {"parity": ParityEnvironment, "strict": StrictEnvironment}
    write_tools = frozenset(name for name, tool in ParityEnvironment.tools.items() if tool.writes)
    """Names of the tools that change the state."""
    rules = RuleSpec(
        identifies=frozenset({"get_user_details"}),
        writes=write_tools,
        transfers=frozenset({"transfer_to_human_agents"}),
        without_data=frozenset(
            {"calculate", "get_flight_status", "list_all_airports", "search_direct_flight", "search_onestop_flight"}
        ),
        owner="user_id",
        records=frozenset({"reservation_id"}),
    )
    """What the rulebook monitor has to know. Customers say their own user id; nothing else finds them."""

    def load_database(self, path: str | Path) -> AirlineDatabase:
        """Read a tau2 `db.json`; raises CorruptDatabaseError naming the path and the first bad record."""
        return load_database(path)

    def database_from_json(self, content: object) -> AirlineDatabase:
        """Check parsed JSON in tau2's shape and take it as a base."""
        return database_from_json(content)

    def generate_database(self, seed: int, n_users: int = 500, split: str = "train", index: int = 0) -> AirlineDatabase:
        """Not there yet; always raises ConfigError."""
        del seed, n_users
        _refuse(f"database[{split} {index}]")

    def database_row(self, split: str, index: int, seed: int, n_users: int) -> DatabaseRow:
        """Not there yet; always raises ConfigError."""
        del seed, n_users
        _refuse(f"database[{split} {index}]")

    def open_database(self, row: DatabaseRow) -> AirlineDatabase:
        """Not there yet; always raises ConfigError."""
        _refuse(f"database[{row.database_id}]")


def _refuse(place: str) -> NoReturn:
    raise ConfigError(
        f"{place}: expected a domain that makes databases, got airline, which has no generator yet; load a db.json "
        "with load_database or set domain to retail"
    )

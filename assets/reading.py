"""What a stage reads: rounds that passed their gates, each table at one version, which is recorded.

A reading can be repeated: given the versions that an earlier one recorded, it reads just the same rows.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from assets.profile import Profile
from assets.rounds import up_to
from schemas import ConfigError, Record, WarehouseError

if TYPE_CHECKING:
    from schemas.store import Warehouse

T = TypeVar("T", bound=Record)


class Reading:
    """Typed rows of one round and those before it."""

    def __init__(
        self, warehouse: "Warehouse", profile: Profile, round: str, as_of: Mapping[str, int] | None = None
    ) -> None:
        """Read nothing yet.

        Args:
            warehouse: Where the rows are.
            profile: The settings of the warehouse.
            round: The round that is meant when none is named.
            as_of: Versions by table to read again; the newest when None.
        """
        self.warehouse = warehouse
        self.profile = profile
        self.round = round
        self.rounds = up_to(round)
        self.versions: dict[str, int] = dict(as_of or {})
        """Table -> version, of everything read so far; a table is read at one version however often it is asked."""
        self._repeats = as_of is not None

    def read(self, kind: type[T], table: str, round: str | None = None) -> list[T]:
        """Rows of one round of a table that has passed its gates; of this reading's round when none is given.

        Raises:
            ConfigError: When a repeated reading did not read this table.
            WarehouseError: When the table holds other records; and as `Warehouse.read` does.
        """
        if table not in self.versions:
            if self._repeats:
                raise ConfigError(f"{table}: expected a recorded version, got none; give the tag of a whole warehouse")
            self.versions[table] = self.warehouse.version(table)
        rows = self.warehouse.read(table, round or self.round, version=self.versions[table] or None)
        typed = [row for row in rows if isinstance(row, kind)]
        if len(typed) != len(rows):
            raise WarehouseError(f"{table}: expected {kind.__name__} rows, got others; read the table as declared")
        return typed

    def read_rounds(self, kind: type[T], table: str) -> dict[str, list[T]]:
        """Rows of all rounds up to this one, by round."""
        return {key: self.read(kind, table, key) for key in self.rounds}

    def keep(self, name: str) -> str:
        """Tag the versions read so far, and all others as they are, so that upkeep leaves them; returns the tag."""
        return self.warehouse.tag(name, {table: version for table, version in self.versions.items() if version})

"""One materialization: what it reads, what it writes, and what it tells people.

Keeps the accounts that every asset owes (rows, versions, seed, duration), so that asset bodies hold only their one
call into a lower room. Knows no table and no domain.
"""

import base64
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, TypeVar

import dagster as dg
from tqdm import tqdm

from assets.column_metadata import table_metadata
from assets.profile import Profile
from assets.resources import ProfileResource, WarehouseResource
from assets.rounds import up_to
from schemas import BOOTSTRAP, DatabaseRow, Record, WarehouseError
from schemas.columns import table_spec

Told = Mapping[str, Any]
"""What a materialization tells people: anything that Dagster takes as metadata."""

T = TypeVar("T", bound=Record)
V = TypeVar("V")

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


def derived_seed(seed: int, *names: str) -> int:
    """A seed of its own for each purpose, so that no two stages draw the same numbers; in 0..2^31."""
    text = "/".join([str(seed), *names]).encode()
    return int.from_bytes(blake2b(text, digest_size=4).digest(), "big") >> 1


class Stage:
    """The surroundings of one running asset."""

    def __init__(
        self, context: dg.AssetExecutionContext, warehouse: WarehouseResource, profile: ProfileResource
    ) -> None:
        """Open the warehouse and its profile, and start the clock."""
        self._started = time.perf_counter()
        self.context = context
        self.warehouse = warehouse.open()
        self.profile: Profile = profile.load(self.warehouse.root)
        self.round = context.partition_key if context.has_partition_key else BOOTSTRAP
        self.rounds = up_to(self.round)
        self.versions: dict[str, int] = {}
        """Table -> version, of everything read so far."""

    def seed(self, purpose: str) -> int:
        """Seed for one purpose in this round."""
        return derived_seed(self.profile.seed, purpose, self.round)

    def read(self, kind: type[T], table: str, round: str | None = None) -> list[T]:
        """Rows of one round of a table that has passed its gates; of this stage's round when none is given.

        Raises:
            WarehouseError: When the table holds other records; and as `Warehouse.read` does.
        """
        self.versions[table] = version = self.warehouse.version(table)
        rows = self.warehouse.read(table, round or self.round, version=version or None)
        typed = [row for row in rows if isinstance(row, kind)]
        if len(typed) != len(rows):
            raise WarehouseError(f"{table}: expected {kind.__name__} rows, got others; read the table as declared")
        return typed

    def read_rounds(self, kind: type[T], table: str) -> dict[str, list[T]]:
        """Rows of all rounds up to this one, by round."""
        return {key: self.read(kind, table, key) for key in self.rounds}

    def databases(self, *splits: str) -> dict[str, DatabaseRow]:
        """Databases of some splits by id."""
        rows = [row for split in splits for row in self.read(DatabaseRow, f"{split}_databases", BOOTSTRAP)]
        return {row.database_id: row for row in rows}

    def write(
        self,
        table: str,
        rows: Sequence[Record],
        told: Told | None = None,
        *,
        policy_version: str | None = None,
    ) -> dg.MaterializeResult:
        """Replace this round of a table and report it.

        Args:
            table: Table, which is also the asset's key.
            rows: The whole content of the round.
            told: What a person would look at: a rate that can look wrong, a table, a plot.
            policy_version: Checkpoint that acted or was trained.
        """
        version = self.warehouse.replace_round(table, self.round, rows)
        return self.tell(table, len(rows), {**written(table, version, policy_version), **(told or {})})

    def tell(self, asset: str, n_rows: int, told: Told) -> dg.MaterializeResult:
        """Report an asset whose rows, or file, are written."""
        duration_s = time.perf_counter() - self._started
        logger.info("%s[%s]: %d rows in %.1f s", asset, self.round, n_rows, duration_s)
        metadata: dict[str, Any] = {
            self._counted: n_rows,
            "versions_read": dg.MetadataValue.json(dict(sorted(self.versions.items()))),
            "seed": self.profile.seed,
            "profile": self.profile.name,
            "duration_s": round(duration_s, 2),
            **told,
        }
        return dg.MaterializeResult(asset_key=asset, metadata=metadata)

    @property
    def _counted(self) -> str:
        """Rows of one partition are not those of the table."""
        return "dagster/partition_row_count" if self.context.has_partition_key else "dagster/row_count"


def written(table: str, version: int, policy_version: str | None = None) -> dict[str, Any]:
    """What every writing of a table tells: versions and columns."""
    versions = {"table_version": version, "schema_version": table_spec(table).version}
    policy = {"policy_version": policy_version} if policy_version else {}
    return {**versions, **policy, **table_metadata(table)}


@contextmanager
def counted(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A function that moves a bar to the number it is told; the bar appears after a second."""
    with tqdm(desc=what, total=total, leave=False, delay=1) as bar:

        def tell(done: int) -> None:
            bar.update(done - bar.n)

        yield tell


def progress(items: Iterable[V], what: str, total: int | None = None) -> "tqdm[V]":
    """The items behind a bar that appears only when the stage takes longer than a second."""
    return tqdm(items, what, total=total, leave=False, delay=1)


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A plot as the UI shows it."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def table_of(header: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """A table as the UI shows it."""
    lines = [header, ["---"] * len(header), *rows]
    text = "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)
    return dg.MetadataValue.md(text)


def _cell(value: object) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")

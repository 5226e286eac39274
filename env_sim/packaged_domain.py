"""What domains share that ship their texts beside their code: schemas, rulebook, ids of the published benchmark.

Their generated databases are stored as rows: a row holds what makes the database again, and a hash that proves it did.
No database is ever stored. A row made by another generator version is refused, not approximated.
"""

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, ClassVar, Generic, TypeVar

from env_sim.world import Database, Environment, Mode
from schemas.errors import ConfigError, CorruptDatabaseError
from schemas.records import DatabaseRow, EntityIds

__all__ = ["PackagedDomain", "published_ids"]

_CACHED_DATABASES = 64
"""Databases kept per process. With all texts made, a shop of 500 users takes 6.0 MB, one of 40 users 0.6 MB."""

_INDEX = re.compile(r"[a-z]+-(?:train|validation|test)-(\d{4})-u\d+-s\d+-v\d+", re.ASCII)

BaseT = TypeVar("BaseT", bound=Database)
EnvironmentT = TypeVar("EnvironmentT", bound=Environment)


class PackagedDomain(Generic[BaseT, EnvironmentT]):
    """A domain whose package holds `tool_schemas.json`, `rulebook.md` and tau2's ids and word grams as text files."""

    name: ClassVar[str]
    """The folder under `env_sim/domains`."""
    environments: ClassVar[Mapping[str, type[Any]]]
    """The episode's class by mode."""
    generator_version: ClassVar[int]
    """Raised with any change that moves a byte of any generated database."""

    def generate_database(self, seed: int, n_users: int = 500, split: str = "train", index: int = 0) -> BaseT:
        """Make a database; equal arguments give equal bytes. The domain's own work."""
        raise NotImplementedError

    def new_environment(self, base: BaseT, mode: Mode = "strict") -> EnvironmentT:
        """Start an episode over a base, in about a microsecond.

        Raises:
            ConfigError: When the mode is unknown.
        """
        environment = self.environments.get(mode)
        if environment is None:
            raise ConfigError(f"mode[{mode}]: expected parity or strict, got {mode!r}; correct the config")
        return environment(base)

    def tool_schemas(self) -> list[dict[str, Any]]:
        """The tools in OpenAI's function format; a new list on each call."""
        return json.loads(_text(self.name, "tool_schemas.json"))

    def rulebook(self) -> str:
        """The policy for the agent, in Markdown."""
        return _text(self.name, "rulebook.md")

    def published_entity_ids(self) -> frozenset[str]:
        """Ids of tau2's own database of this domain, which no generated one may hold."""
        return frozenset().union(*published_ids(self.name).values())

    def published_grams(self) -> frozenset[str]:
        """Hashed word grams of what tau2's users of this domain are told (see `word_grams`)."""
        return _published_grams(self.name)

    def database_row(self, split: str, index: int, seed: int, n_users: int) -> DatabaseRow:
        """Describe the generated database (split, index, seed, n_users) as a stored row.

        Raises:
            ConfigError: When an argument is out of range.
        """
        if seed < 0:
            raise ConfigError(f"seed[{split} {index}]: expected a number from 0, got {seed}; correct the config")
        database = _generate(self, split, index, seed, n_users)
        return DatabaseRow(
            database_id=self._database_id(split, index, seed, n_users),
            domain=self.name,
            split=split,  # pyright: ignore[reportArgumentType]  the generator has refused other splits
            generator_version=self.generator_version,
            seed=seed,
            n_users=n_users,
            content_sha256=database.content_sha256(),
            entities=tuple(EntityIds(kind=kind, ids=ids) for kind, ids in database.entity_ids().items()),
        )

    def open_database(self, row: DatabaseRow) -> BaseT:
        """Make the database of a row again; the same object for equal rows while it is cached.

        Raises:
            CorruptDatabaseError: When the row is of another generator version, or its content can't be reproduced.
        """
        parts = _INDEX.fullmatch(row.database_id)
        if parts is None or row.domain != self.name or row.generator_version != self.generator_version:
            raise CorruptDatabaseError(
                f"database[{row.database_id}]: expected a {self.name} database of generator {self.generator_version}, "
                f"got domain {row.domain}, generator {row.generator_version}; generate train_databases again"
            )
        index = int(parts[1])
        expected_id = self._database_id(row.split, index, row.seed, row.n_users)
        if row.database_id != expected_id:
            raise CorruptDatabaseError(
                f"database[{row.database_id}]: expected id {expected_id} from its own fields; the row was changed, "
                "generate it again"
            )
        database: BaseT = _generate(self, row.split, index, row.seed, row.n_users)
        if database.content_sha256() != row.content_sha256:
            raise CorruptDatabaseError(
                f"database[{row.database_id}]: expected content {row.content_sha256[:12]}, got "
                f"{database.content_sha256()[:12]}; the generator changed without a new version, generate it again"
            )
        return database

    def _database_id(self, split: str, index: int, seed: int, n_users: int) -> str:
        return f"{self.name}-{split}-{index:04d}-u{n_users}-s{seed}-v{self.generator_version}"


@lru_cache(maxsize=_CACHED_DATABASES)
def _generate(domain: PackagedDomain[Any, Any], split: str, index: int, seed: int, n_users: int) -> Any:
    return domain.generate_database(seed, n_users, split, index)


@cache
def published_ids(domain_name: str) -> dict[str, frozenset[str]]:
    """The ids in tau2's own database of a domain, by the keys of its `entity_ids`."""
    lines = _text(domain_name, "tau2_entity_ids.txt").splitlines()
    kinds = (line.split() for line in lines if line and not line.startswith("//"))
    return {kind: frozenset(ids) for kind, *ids in kinds}


@cache
def _published_grams(domain_name: str) -> frozenset[str]:
    lines = _text(domain_name, "tau2_word_grams.txt").splitlines()
    return frozenset(gram for line in lines if not line.startswith("//") for gram in line.split())


@cache
def _text(domain_name: str, file_name: str) -> str:
    return files(f"env_sim.domains.{domain_name}").joinpath(file_name).read_text(encoding="utf-8")

"""What domains share that ship their texts beside their code: schemas, rulebook, ids of the published benchmark."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Generic, TypeVar

from env_sim.world import Database, Environment, Mode
from schemas.errors import ConfigError

__all__ = ["PackagedDomain", "published_ids"]

BaseT = TypeVar("BaseT", bound=Database)
EnvironmentT = TypeVar("EnvironmentT", bound=Environment)


class PackagedDomain(Generic[BaseT, EnvironmentT]):
    """A domain whose package holds `tool_schemas.json`, `rulebook.md` and `tau2_entity_ids.txt`."""

    name: ClassVar[str]
    """The folder under `env_sim/domains`."""
    environments: ClassVar[Mapping[str, type[Any]]]
    """The episode's class by mode."""

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


@cache
def published_ids(domain_name: str) -> dict[str, frozenset[str]]:
    """The ids in tau2's own database of a domain, by the keys of its `entity_ids`."""
    lines = _text(domain_name, "tau2_entity_ids.txt").splitlines()
    kinds = (line.split() for line in lines if line and not line.startswith("//"))
    return {kind: frozenset(ids) for kind, *ids in kinds}


@cache
def _text(domain_name: str, file_name: str) -> str:
    return files(f"env_sim.domains.{domain_name}").joinpath(file_name).read_text(encoding="utf-8")

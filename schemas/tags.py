"""Tags: one name for the versions that several tables had together. Used by `store` alone.

The tables' own tags are the only record. Lance tags one table at a time, so a killed tagger leaves some of them; put
again, the same tag is completed. A tag never moves, because what it names is what a report was made of.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import count

from schemas.errors import ConfigError
from schemas.lance_table import LanceTable
from schemas.records import BOOTSTRAP

__all__ = ["is_round", "put_tag", "tagged"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")
_ROUND = re.compile(rf"{BOOTSTRAP}|round-\d+")


def is_round(text: str) -> bool:
    """Whether a text is a round's key, which no tag may be."""
    return _ROUND.fullmatch(text) is not None


def tagged(tables: Iterable[LanceTable]) -> dict[str, dict[str, int]]:
    """Versions by table of every tag, in the order of their names."""
    found: dict[str, dict[str, int]] = {}
    for table in tables:
        for name, version in table.tags().items():
            found.setdefault(name, {})[table.spec.name] = version
    return {name: found[name] for name in sorted(found)}


def put_tag(tables: Mapping[str, LanceTable], name: str, versions: Mapping[str, int]) -> str:
    """Tag these versions with the name, or with `name.2` and so on when it stands for others already.

    Raises:
        ConfigError: When the name can't be a tag.
        ConcurrentWriteError: When another tagger takes the name in this moment.
    """
    if is_round(name) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"tag[{name!r}]: expected a letter, then letters, digits, dots, hyphens and underscores, and no round's "
            "key, got another; give a name such as report-round-001"
        )
    known = tagged(tables.values())
    tag = next(
        each
        for number in count(1)
        if _stands_for(known.get(each := name if number == 1 else f"{name}.{number}", {}), versions)
    )
    for table, version in versions.items():
        tables[table].tag(tag, version)
    return tag


def _stands_for(known: Mapping[str, int], versions: Mapping[str, int]) -> bool:
    return all(versions.get(table) == version for table, version in known.items())

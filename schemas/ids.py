"""Ids derived from content, and round keys.

Equal content gives equal ids on every machine: no clock, no counter, no random source. Knows no tables; the
list of legal rounds lives with the partitions. Changing anything here renames every stored row.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from pydantic import BaseModel

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from schemas.records import Action, Criteria, Scenario

__all__ = ["LATER", "canonical_json", "content_id", "round_key", "round_number", "task_id", "trajectory_id"]

ID_BYTES = 8
"""16 hex digits: 64 bits put the chance of one collision among a million ids near 3e-8."""

LATER = "later"
"""Annotation of a record's field that came after rows were stored: at its default it leaves ids as they were."""

MAX_ROUND = 999
"""Three digits, so that keys sort as text in the order of their numbers."""

_ROUND = re.compile(r"round-(\d{3})", re.ASCII)
_PREFIX = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def canonical_json(value: object, *, finite: bool = True) -> str:
    """One spelling per value: keys sorted, no spaces, records as their fields, tuples as lists, UTF-8 kept.

    Args:
        value: JSON values, records, or containers of both.
        finite: Refuse NaN and infinity; False spells them as Python's json reads them back.

    Raises:
        ConfigError: When the value can't be spelled: a set, bytes, NaN.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=not finite, default=_fields
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"canonical_json: expected JSON values and finite numbers, got {type(value).__name__}: {error}; "
            "convert the value before it is hashed or stored"
        ) from error


def _fields(value: object) -> object:
    if isinstance(value, BaseModel):
        later = _later(type(value))
        fields = ((name, getattr(value, name)) for name in type(value).model_fields)
        return {name: field for name, field in fields if name not in later or field != later[name]}
    raise TypeError(f"{type(value).__name__} has no canonical spelling")


@cache
def _later(record: type[BaseModel]) -> dict[str, object]:
    """Defaults of the fields that came later."""
    return {name: info.default for name, info in record.model_fields.items() if LATER in info.metadata}


def content_id(prefix: str, value: object) -> str:
    """`prefix-` and 16 hex digits of the value's canonical JSON; usable as a file name.

    Raises:
        ConfigError: When the prefix is not lower-case words joined by hyphens, or the value has no spelling.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"content_id[{prefix!r}]: expected a prefix of lower-case letters, digits and hyphens; choose another"
        )
    # surrogatepass: a model may emit half an emoji, and an id must not be what fails then.
    text = canonical_json(value).encode("utf-8", "surrogatepass")
    return f"{prefix}-{blake2b(text, digest_size=ID_BYTES).hexdigest()}"


def task_id(
    *,
    domain: str,
    database_id: str,
    intent: str,
    pattern: str,
    scenario: "Scenario",
    reference: "Sequence[Action]",
    criteria: "Criteria",
) -> str:
    """Id of a task: what it asks of an agent, not where it came from, so that the same task found twice is one."""
    return content_id(
        "task",
        {
            "domain": domain,
            "database_id": database_id,
            "intent": str(intent),
            "pattern": pattern,
            "scenario": scenario,
            "reference": list(reference),
            "criteria": criteria,
        },
    )


def trajectory_id(task_id: str, policy_version: str, trial: int, seed: int) -> str:
    """Id of one episode: these four decide it."""
    return content_id("traj", [task_id, policy_version, trial, seed])


def round_key(number: int) -> str:
    """Partition key of a round, `round-001` for 1.

    Raises:
        ConfigError: When the number is not in 1..999.
    """
    if not 1 <= number <= MAX_ROUND:
        raise ConfigError(f"round_key[{number}]: expected a number in 1..{MAX_ROUND}; give a round that exists")
    return f"round-{number:03d}"


def round_number(key: str) -> int:
    """Number of a round key, 1 for `round-001`.

    Raises:
        ConfigError: When the key is no round key, `bootstrap` included: it has no number.
    """
    match = _ROUND.fullmatch(key)
    if match is None or match[1] == "000":
        raise ConfigError(f"round_number[{key!r}]: expected a key such as round-001; give the key of a round")
    return int(match[1])

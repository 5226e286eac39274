"""Replies of models by the key of what was asked, as an append-only Lance table beside the others.

What was put is on disk after 256 replies or 2 seconds, so a killed run pays again for little; `close` (or leaving the
context) writes the rest. Several processes may append at once; each sees the others' replies when it opens or writes.
Memory holds places only, 16 bytes a reply.
"""

import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import lance
import pyarrow as pa
from pydantic import JsonValue

from schemas.creation import created
from schemas.errors import CorruptTableError, WarehouseError
from schemas.key_index import KeyIndex

__all__ = ["TABLE", "LanceResponseCache"]

TABLE = "llm_responses"
"""Name of the table under the warehouse root."""

FLUSH_ROWS = 256
"""Replies that one append holds: each append is a commit of about 10 ms."""

FLUSH_S = 2.0
"""Longest time that a reply waits for its append while others come in."""

_SCHEMA = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("body", pa.string(), nullable=False)])


class LanceResponseCache:
    """The cache of one warehouse; a context manager."""

    def __init__(self, root: str) -> None:
        """Open the table and read its keys.

        Raises:
            CorruptTableError: When a file of it is damaged.
        """
        self.uri = f"{root}/{TABLE}.lance"
        self._waiting: dict[str, str] = {}
        self._flushed_at = time.monotonic()
        self._places = KeyIndex()
        """By key the fragment, and its row in the lower half."""
        self._newest = -1
        """Fragment whose keys are known, as are those of all before it."""
        self._dataset = self._open()
        self._learn()

    def __enter__(self) -> Self:
        """The cache itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits."""
        self.close()

    def __len__(self) -> int:
        """Number of replies."""
        return len(self._places) + len(self._waiting)

    def get(self, key: str) -> dict[str, JsonValue] | None:
        """The body kept under a key, None when there is none.

        Raises:
            CorruptTableError: When it can't be read.
        """
        text = self._waiting.get(key)
        if text is None:
            if (place := self._places.get(key)) is None or self._dataset is None:
                return None
            found, text = self._read(self._dataset, key, place)
            if found != key:
                return None
        return json.loads(text)

    def put(self, key: str, body: Mapping[str, JsonValue]) -> None:
        """Keep a body; the first one under a key stays.

        Raises:
            WarehouseError: When the disk refuses.
        """
        if self._places.get(key) is not None or key in self._waiting:
            return
        self._waiting[key] = json.dumps(body)
        if len(self._waiting) >= FLUSH_ROWS or time.monotonic() - self._flushed_at >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what waits, as one commit.

        Raises:
            WarehouseError: When the disk refuses.
        """
        self._flushed_at = time.monotonic()
        if not self._waiting:
            return
        rows = pa.table({"key": list(self._waiting), "body": list(self._waiting.values())}, schema=_SCHEMA)
        try:
            if self._dataset is None:
                created(self.uri, _SCHEMA)
            # To the address: appends to an open dataset leave it more memory each time.
            self._dataset = lance.write_dataset(rows, self.uri, mode="append")
        except OSError as error:
            raise WarehouseError(
                f"{TABLE}: expected to append {rows.num_rows} replies at {self.uri}, got {error}; check the disk"
            ) from error
        self._waiting.clear()
        self._learn()

    def close(self) -> None:
        """Write what waits."""
        self.flush()

    def _open(self) -> lance.LanceDataset | None:
        try:
            return lance.dataset(self.uri)
        except ValueError as error:
            if "was not found" in str(error):
                return None
            raise self._damaged(error) from error
        except OSError as error:
            raise self._damaged(error) from error

    def _learn(self) -> None:
        """Take up the keys of fragments not seen yet, other processes' too."""
        for fragment in sorted(
            self._dataset.get_fragments() if self._dataset else (), key=lambda each: each.fragment_id
        ):
            if fragment.fragment_id <= self._newest:
                continue
            try:
                keys = fragment.to_table(columns=["key"]).column("key").to_pylist()
            except (OSError, ValueError) as error:
                raise self._damaged(error) from error
            for offset, key in enumerate(keys):
                self._places.add(key, fragment.fragment_id << 32 | offset)
            self._newest = fragment.fragment_id

    def _read(self, dataset: lance.LanceDataset, key: str, place: int) -> tuple[str, str]:
        try:
            fragment = dataset.get_fragment(place >> 32)
            assert fragment is not None
            row = fragment.take([place & 0xFFFFFFFF], columns=["key", "body"])
            return row.column("key")[0].as_py(), row.column("body")[0].as_py()
        except (OSError, ValueError) as error:
            raise self._damaged(error, key) from error

    def _damaged(self, error: Exception, key: str = "") -> CorruptTableError:
        return CorruptTableError(
            f"{TABLE}[{key}]: expected readable files at {self.uri}, got {error}; remove the folder: replies are "
            "asked for again"
        )

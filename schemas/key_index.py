"""Where each of very many keys stands, in 16 bytes a key: hashes and places in two sorted arrays.

A dictionary of such keys takes 300 bytes each, which a cache of replies would add up call by call. Two keys of one hash
share a place (one pair in 10^7 keys by odds of 10^-6), so whoever reads a place compares the key that stands there.
"""

from hashlib import blake2b

import numpy as np

__all__ = ["KeyIndex"]

_RECENT = 4096
"""New keys wait in a dictionary until they are this many: merging copies the arrays."""


class KeyIndex:
    """Places by key; the first place of a key stays. Keys are never removed."""

    def __init__(self) -> None:
        """Start empty."""
        self._hashes = np.empty(0, np.uint64)
        self._places = np.empty(0, np.uint64)
        self._recent: dict[int, int] = {}

    def __len__(self) -> int:
        """Number of keys."""
        return len(self._hashes) + len(self._recent)

    def add(self, key: str, place: int) -> None:
        """Note where a key stands, a number from 0 to 2^64 - 1; nothing changes for a known key."""
        hashed = _hash(key)
        if self._find(hashed) is None:
            self._recent[hashed] = place
            if len(self._recent) >= _RECENT:
                self._merge()

    def get(self, key: str) -> int | None:
        """Where a key may stand, None when it stands nowhere."""
        return self._find(_hash(key))

    def _find(self, hashed: int) -> int | None:
        if (recent := self._recent.get(hashed)) is not None:
            return recent
        at = int(np.searchsorted(self._hashes, np.uint64(hashed)))
        return int(self._places[at]) if at < len(self._hashes) and self._hashes[at] == hashed else None

    def _merge(self) -> None:
        hashes = np.concatenate([self._hashes, np.fromiter(self._recent, np.uint64)])
        places = np.concatenate([self._places, np.fromiter(self._recent.values(), np.uint64)])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._places, self._recent = hashes[order], places[order], {}


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little")

"""Messages on the wire, spelled as JSON once: a dialogue's next request is its last one with a few words more."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, overload

from pydantic_core import to_json

__all__ = ["History", "spelled"]


def spelled(value: Any) -> bytes:
    """A JSON value without spaces."""
    try:
        return to_json(value)
    except ValueError:
        # Halves of surrogate pairs, which JSON can spell and UTF-8 can't.
        return json.dumps(value).encode()


class History(Sequence[Mapping[str, Any]]):
    """Messages in the protocol's shape that only grow; those taken in must not be changed in place."""

    __slots__ = ("_after", "_digest", "_messages", "_n_hashed", "_text")

    def __init__(self, messages: Iterable[Mapping[str, Any]] = ()) -> None:
        """Begin with these."""
        self._messages: list[Mapping[str, Any]] = []
        self._text = bytearray(b'"messages":[')
        self._after: blake2b | None = None
        self._digest = blake2b()
        self._n_hashed = 0
        self.add(messages)

    def add(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Take in what was said since."""
        for message in messages:
            if self._messages:
                self._text += b","
            self._text += spelled(message)
            self._messages.append(message)

    def field(self) -> bytes:
        """The request's field of messages: `"messages":[...]`."""
        return b"%b]" % self._text

    def hashed_after(self, head: blake2b) -> blake2b:
        """The digest of what `head` has hashed with the field after it; hashes only what is new when asked again."""
        if self._after is not head:
            self._after, self._digest, self._n_hashed = head, head.copy(), 0
        with memoryview(self._text) as text:
            self._digest.update(text[self._n_hashed :])
        self._n_hashed = len(self._text)
        whole = self._digest.copy()
        whole.update(b"]")
        return whole

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Mapping[str, Any]]: ...

    def __getitem__(self, place: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        """One message, or several."""
        return self._messages[place]

    def __len__(self) -> int:
        """Number of messages."""
        return len(self._messages)

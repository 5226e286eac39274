"""One writer per name on one host: a lock file that the kernel releases when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import ConcurrentWriteError

__all__ = ["exclusive"]


@contextmanager
def exclusive(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock `name` under a folder; never waits.

    The file stays behind on purpose: deleting it would let two writers lock two files of one name.

    Raises:
        ConcurrentWriteError: When another thread or process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConcurrentWriteError(
                f"{name}: expected no other writer, got one at work; wait for it, read its rows, then decide"
            ) from error
        yield
    finally:
        os.close(descriptor)

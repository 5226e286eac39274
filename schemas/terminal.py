"""What the room's commands share: which warehouse, errors as one line, files put in place whole."""

import argparse
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from schemas.errors import FaultlineError, WarehouseError
from schemas.store import Warehouse

__all__ = ["add_warehouse", "existing_warehouse", "exit_code", "put_file"]

DEFAULT_ROOT = "warehouse"
"""Folder in the working directory, as the presets write it."""


def add_warehouse(parser: argparse.ArgumentParser) -> None:
    """The option that names the warehouse."""
    default = os.environ.get("FAULTLINE_WAREHOUSE", DEFAULT_ROOT)
    parser.add_argument("--warehouse", "--root", default=default, help="folder or URI")


def existing_warehouse(root: str) -> Warehouse:
    """Open a warehouse to read it.

    Raises:
        WarehouseError: When there is none: looking must not make an empty one.
    """
    if "://" not in root and not os.path.isdir(root):
        raise WarehouseError(f"warehouse[{root}]: expected a folder, got none; pass --warehouse")
    return Warehouse.open(root)


def exit_code(command: Callable[[], None], err: TextIO) -> int:
    """Run a command: 0, or 2 and one line on `err` when one of our errors ends it."""
    try:
        command()
    except FaultlineError as error:
        err.write(f"{error}\n")
        return 2
    return 0


def put_file(path: Path, content: bytes) -> None:
    """Put a file in place whole: a killed command leaves the old one.

    Raises:
        WarehouseError: When the disk refuses.
    """
    draft = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise WarehouseError(f"{path}: expected to write the file, got {error}; give another path") from error

"""Where a warehouse keeps what is no table: checkpoints, reports, its profile, Dagster's history.

Beside the tables under a local root. Beside a URI they need a folder of their own, since their readers open files.
"""

import os
import re
from pathlib import Path

from schemas.errors import ConfigError

__all__ = ["checkpoint_folder", "folder_of"]

_CHECKPOINT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def folder_of(root: str | Path) -> Path:
    """Local folder of what is no table (checkpoints, reports, the profile): the root itself when that is local.

    For a URI it is a folder of FAULTLINE_FILES, named by the URI's bucket and path.

    Raises:
        ConfigError: When the root is a URI and FAULTLINE_FILES names no folder.
    """
    if "://" not in str(root):
        return Path(root)
    if not (named := os.environ.get("FAULTLINE_FILES")):
        raise ConfigError(
            f"warehouse[{root}]: expected a folder for checkpoints and reports beside a URI, got none; set "
            "FAULTLINE_FILES to one that all hosts of this warehouse mount"
        )
    return Path(named).expanduser().absolute() / str(root).split("://")[1].strip("/")


def checkpoint_folder(root: str | Path, checkpoint_id: str) -> Path:
    """Folder of a checkpoint's files.

    Raises:
        ConfigError: When the id could leave the folder, or there is none.
    """
    if not _CHECKPOINT_ID.fullmatch(checkpoint_id):
        raise ConfigError(
            f"checkpoint[{checkpoint_id!r}]: expected letters, digits, dots, hyphens and underscores, starting "
            "with a letter or digit; use the checkpoint's content id"
        )
    return folder_of(root) / "checkpoints" / checkpoint_id

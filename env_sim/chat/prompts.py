"""Prompt files: Markdown beside the code that uses them, with `{{name}}` for what is filled in.

A prompt's version is the hash of its text, kept with every row that it led to. Values are put in literally: a value
that contains `{{name}}` is not filled again.
"""

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from env_sim.chat.wire import defang
from schemas.errors import ConfigError

__all__ = ["Prompt", "load_prompt"]

_GAP = re.compile(r"\{\{([a-z_]+)\}\}")


@dataclass(frozen=True)
class Prompt:
    """A prompt with gaps."""

    name: str
    text: str

    @property
    def version(self) -> str:
        """Name and hash of the text, such as `judge@1f0c9a2b77d0`."""
        return f"{self.name}@{sha256(self.text.encode()).hexdigest()[:12]}"

    def fill(self, **values: str) -> str:
        """The text with every gap filled by a defanged value.

        Raises:
            ConfigError: When gaps and values don't match.
        """
        gaps = set(_GAP.findall(self.text))
        if gaps != set(values):
            raise ConfigError(
                f"prompt[{self.version}]: expected values for {', '.join(sorted(gaps)) or 'nothing'}, got "
                f"{', '.join(sorted(values)) or 'none'}; correct the prompt file or its caller"
            )
        safe = {name: defang(value) for name, value in values.items()}
        return _GAP.sub(lambda match: safe[match[1]], self.text)


@cache
def load_prompt(path: Path) -> Prompt:
    """Read a prompt file.

    Raises:
        ConfigError: When there is none or it isn't UTF-8.
    """
    try:
        return Prompt(path.stem, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompt[{path.name}]: expected a text file, got {error}; restore it") from error

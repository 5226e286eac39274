"""What a tool is and what it answers; the calls themselves are `Environment.call`'s."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from env_sim.world import Database

__all__ = ["ChangedText", "Tool", "ToolRefusal", "ToolResult", "collect_tools", "tool"]


class ChangedText:
    """What a tool prints for a record as a write left it, spelled when someone reads it: a replay never does."""

    __slots__ = ("_base", "_fields", "_key", "_table", "_text")

    def __init__(self, base: "Database", table: str, key: str, fields: dict[str, Any]) -> None:
        """Take the replaced fields of a record, all fields of a new one; they must not change any more."""
        self._base, self._table, self._key, self._fields = base, table, key, fields
        self._text: str | None = None

    def __str__(self) -> str:
        """The text."""
        if self._text is None:
            self._text = self._base.changed_text(self._table, self._key, self._fields)
        return self._text


class ToolResult:
    """A tool's answer to one call; immutable."""

    __slots__ = ("_content", "_error")

    def __init__(self, content: str | ChangedText, error: bool = False) -> None:
        """Take what the tool said."""
        self._content, self._error = content, error

    @property
    def content(self) -> str:
        """The text that the policy reads."""
        return str(self._content)

    @property
    def error(self) -> bool:
        """The tool refused; nothing was written in strict mode."""
        return self._error

    def __eq__(self, other: object) -> bool:
        """Whether both say the same."""
        return isinstance(other, ToolResult) and (self.content, self.error) == (other.content, other.error)

    def __hash__(self) -> int:
        """By what it says."""
        return hash((self.content, self.error))

    def __repr__(self) -> str:
        """What it says."""
        return f"ToolResult({self.content!r}, {self.error})"


class ToolRefusal(ValueError):
    """A tool's own "no": its text becomes `Error: <text>`. Never leaves `Environment.call`."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A callable of an environment class, under the name that the policy uses."""

    name: str
    run: Callable[..., str | ChangedText]
    writes: bool
    """Whether a successful call changes the state."""


_ToolFunction = TypeVar("_ToolFunction", bound=Callable[..., str | ChangedText])


def tool(toolkit: str, *, writes: bool = False) -> Callable[[_ToolFunction], _ToolFunction]:
    """Mark a method as a tool.

    Args:
        toolkit: Class name that argument errors show (`RetailTools.cancel_pending_order() missing ...`).
        writes: Whether a successful call changes the state.
    """

    def mark(function: _ToolFunction) -> _ToolFunction:
        function.__qualname__ = f"{toolkit}.{function.__name__}"
        function.__dict__["tool_writes"] = writes
        return function

    return mark


def collect_tools(cls: type) -> dict[str, Tool]:
    """The marked methods of a class, inherited ones included, by name."""
    found = {}
    for name in sorted(dir(cls)):
        function = getattr(cls, name)
        writes = getattr(function, "tool_writes", None)
        if writes is not None:
            found[name] = Tool(name, function, writes)
    return found

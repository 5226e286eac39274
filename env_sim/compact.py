"""The embedded renderer: messages <-> a compact language that a tiny policy can learn.

An id is a poor thing for a tiny model to copy, so each id, e-mail, address becomes a *handle* (`o1`, `i3`) in order of
first appearance in the episode, one token each, mapped back before a tool runs. A tool result becomes a short line of
fields. The rendering drops what a tiny policy does not use (prices, names); it never adds anything.

One `CompactRenderer` serves one episode: its handle table is the episode's. What is domain specific (which ids, which
fields) is a `CompactSpec` in the domain's folder.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from env_sim.dialogue import Act, Ask, Confirm, Deny, Done, Other, act_text, read_act, value_text
from schemas import Action, Message, ToolCall

USER, THINK, TALK, CALL, TOOL, END = "<u>", "<h>", "<a>", "<c>", "<t>", "<e>"
ROLE_TOKENS = (USER, THINK, TALK, CALL, TOOL, END)
ACT_WORDS = ("confirm", "ask", "deny", "done")
AND = "and"
"""Stands between the items of one argument, as in a user's request: whether one more follows is one choice."""
_MAX_DIGITS = 10
"""Digits of a whole number; longer ones are ids or nonsense, and stay text."""
_SPEAKS = re.compile(f"{CALL}|{TALK}")
_PUNCTUATION = re.compile(r"[.,;:!?'\"()<>]+")


@dataclass(frozen=True)
class HandleKind:
    """One family of ids."""

    letter: str
    """First letter of the handle."""
    pattern: str
    """Regular expression that finds such ids in free text; empty: never looked for there."""
    limit: int
    """Handles with a token of their own; ids beyond stay as they are."""


@dataclass(frozen=True)
class Composite:
    """Several arguments that travel together under one handle, such as the parts of an address."""

    key: str
    letter: str
    arguments: tuple[str, ...]
    join: str = ", "


Summarize = Callable[["CompactRenderer", str, str], str]


@dataclass(frozen=True)
class CompactSpec:
    """What a domain tells the compact renderer."""

    kinds: tuple[HandleKind, ...]
    composites: tuple[Composite, ...]
    letter_of_argument: Mapping[str, str]
    """Argument name -> handle letter, for ids that no pattern tells apart."""
    label_of_argument: Mapping[str, str]
    """Arguments whose handles are said with their words (`mug o1 i1`): argument name -> kind of label, as recorded
    by `summarize` with `CompactRenderer.label`."""
    argument_types: Mapping[str, Mapping[str, str]]
    """Tool -> argument -> JSON type, from the tool schemas."""
    summarize: Summarize
    """(renderer, tool name, content) -> the short line of a successful result."""
    objects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Arguments that are lists of objects: argument name -> sorted fields. An object is said by its values."""

    def words(self) -> list[str]:
        """Words that deserve one token each: acts, tools, argument names, handles."""
        keys = {key for arguments in self.argument_types.values() for key in arguments}
        composite_keys = {c.key for c in self.composites}
        handles = [f"{kind.letter}{n}" for kind in self.kinds for n in range(1, kind.limit + 1)]
        return [*ACT_WORDS, *sorted(self.argument_types), *sorted(keys | composite_keys), *handles]


def argument_types(tool_schemas: list[dict]) -> dict[str, dict[str, str]]:
    """Tool -> argument -> JSON type, from schemas in OpenAI's function format."""
    functions = [schema["function"] for schema in tool_schemas]
    return {
        function["name"]: {
            name: shape.get("type", "string") for name, shape in function["parameters"].get("properties", {}).items()
        }
        for function in functions
    }


@dataclass
class CompactRenderer:
    """Renders one episode; holds its handle table."""

    spec: CompactSpec
    _handle_of: dict[str, str] = field(init=False, default_factory=dict)
    _value_of: dict[str, str] = field(init=False, default_factory=dict)
    _counts: dict[str, int] = field(init=False, default_factory=dict)
    _labels: dict[tuple[str, str], list[str]] = field(init=False, default_factory=dict)
    _finder: re.Pattern[str] = field(init=False)
    _calls: int = field(init=False, default=0)
    _tool_of_call: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Compile the id finder (cached by `re`)."""
        parts = [f"(?P<{kind.letter}>{kind.pattern})" for kind in self.spec.kinds if kind.pattern]
        self._finder = re.compile("|".join(parts))

    def handle(self, letter: str, value: str) -> str:
        """The handle of an id, a new one at its first appearance; the id itself when handles have run out."""
        known = self._handle_of.get(value)
        if known is not None:
            return known
        count = self._counts.get(letter, 0) + 1
        limit = next(kind.limit for kind in self.spec.kinds if kind.letter == letter)
        if count > limit:
            return value
        self._counts[letter] = count
        handle = f"{letter}{count}"
        self._handle_of[value] = handle
        self._value_of[handle] = value
        return handle

    def label(self, kind: str, handle: str, words: str) -> str:
        """Remember under which words a handle was listed; returns words and handle."""
        self._labels.setdefault((kind, handle), []).append(words)
        return f"{words} {handle}"

    def text(self, content: str) -> str:
        """Free text with ids as handles, lower case, without punctuation."""
        replaced = self._finder.sub(lambda m: f" {self.handle(m.lastgroup or '', m.group())} ", content)
        return " ".join(_PUNCTUATION.sub(" ", replaced).lower().split())

    def render(self, message: Message) -> str:
        """One message as words, role token first, end token last."""
        if message.role == "user":
            return f"{USER} {self.text(message.content)} {END}"
        if message.role == "tool":
            return f"{TOOL} {self._result(message)} {END}"
        thought = f"{THINK} {self.text(message.reasoning)} " if message.reasoning else ""
        if message.tool_calls:
            call = message.tool_calls[0]
            self._tool_of_call[call.id] = call.name
            return f"{thought}{CALL} {self._action(Action(name=call.name, arguments=call.arguments))} {END}"
        return f"{thought}{TALK} {self._act(read_act(message.content))} {END}"

    def parse(self, words: str) -> Message | None:
        """An assistant message from what the policy wrote, end token left off; None: neither message nor call."""
        reasoning = ""
        # Halves of surrogate pairs, which no tokenizer makes but any text may hold, would break the message.
        words = words.encode("utf-8", "replace").decode()
        if words.startswith(THINK):
            speaks = _SPEAKS.search(words)
            thought, words = (words[: speaks.start()], words[speaks.start() :]) if speaks else (words, "")
            reasoning = self._spelled(thought.removeprefix(THINK).split())
        role, _, rest = words.strip().partition(" ")
        if role == CALL and rest:
            action = self._parse_action(rest.split())
            self._calls += 1
            call = ToolCall(id=f"call-{self._calls}", name=action.name, arguments=action.arguments)
            self._tool_of_call[call.id] = call.name
            return Message(role="assistant", reasoning=reasoning, tool_calls=(call,))
        if role == TALK and rest:
            content = act_text(self._parse_act(rest.split()))
            return Message(role="assistant", reasoning=reasoning, content=content)
        return None

    def _result(self, message: Message) -> str:
        if message.error:
            return self.text(" ".join(message.content.split()[:12]))
        return self.spec.summarize(self, self._tool_of_call.get(message.tool_call_id or "", ""), message.content)

    def _act(self, act: Act) -> str:
        match act:
            case Ask(topic):
                return f"ask {topic}"
            case Confirm(action):
                return f"confirm {self._action(action)}"
            case Deny():
                return "deny"
            case Done():
                return "done"
            case Other(text):
                return self.text(text)

    def _parse_act(self, words: list[str]) -> Act:
        match words:
            case ["ask", topic]:
                return Ask(topic)
            case ["confirm", _, *_]:
                return Confirm(self._parse_action(words[1:]))
            case ["deny"]:
                return Deny()
            case ["done"]:
                return Done()
        return Other(self._spelled(words))

    def _spelled(self, words: list[str]) -> str:
        """Words with handles mapped back."""
        return " ".join(self._value_of.get(word, word) for word in words)

    def _action(self, action: Action) -> str:
        arguments = self._in_schema_order(action.name, dict(action.arguments))
        words = [action.name]
        for composite in self.spec.composites:
            if all(name in arguments for name in composite.arguments):
                joined = composite.join.join(value_text(arguments.pop(name)) for name in composite.arguments)
                arguments[composite.key] = joined
        first = self._first_argument(action.name)
        for key, value in arguments.items():
            words += [] if key == first else [key]
            spoken = [self._value(key, v, words) for v in self._listed(action.name, key, value)]
            apart = key in self.spec.label_of_argument or key in self.spec.objects
            words.append((f" {AND} " if apart else " ").join(spoken))
        return " ".join(words)

    def _listed(self, tool: str, key: str, value: JsonValue) -> list[str]:
        if isinstance(value, list):
            return [value_text(v) for v in value]
        if self.spec.argument_types.get(tool, {}).get(key) == "array":
            return str(value).split(", ")
        return [str(value)]

    def _value(self, key: str, value: str, said: list[str]) -> str:
        letter = self.spec.letter_of_argument.get(key)
        if value in self._handle_of or letter is None:
            handle = self._handle_of.get(value) or self.text(value)
        else:
            handle = self.handle(letter, value)
        labels = self._labels.get((self.spec.label_of_argument.get(key, ""), handle), [])
        # One item can stand in several orders: its words are those of the order that was just said.
        fitting = [words for words in labels if set(words.split()) & set(said[1:])] or labels
        return f"{fitting[-1]} {handle}" if fitting else handle

    def _parse_action(self, words: list[str]) -> Action:
        tool, *rest = words
        types = self.spec.argument_types.get(tool, {})
        composites = {c.key: c for c in self.spec.composites if set(c.arguments) <= set(types)}
        values: dict[str, list[str]] = {}
        key = self._first_argument(tool)
        for word in rest:
            if word in types or word in composites:
                key = word
                values.setdefault(key, [])
            else:
                values.setdefault(key, []).append(word)
        arguments: dict[str, JsonValue] = {}
        for name, said in values.items():
            found = self._ids(name, said)
            composite = composites.get(name)
            parts = " ".join(found).split(composite.join) if composite else []
            if composite and len(parts) == len(composite.arguments):
                arguments.update(zip(composite.arguments, parts, strict=True))
            elif name in self.spec.objects:
                arguments[name] = self._objects(name, said)
            else:
                arguments[name or "argument"] = _typed(found, types.get(name))
        return Action(name=tool, arguments=self._in_schema_order(tool, arguments))

    def _first_argument(self, tool: str) -> str:
        """The argument that is said without its name, right behind the tool; empty when it belongs to a composite.

        `get_order_details order_id o3` taught policies that `order_id` is followed by the order read last.
        """
        first = next(iter(self.spec.argument_types.get(tool, {})), "")
        return "" if any(first in composite.arguments for composite in self.spec.composites) else first

    def _ids(self, key: str, words: list[str]) -> list[str]:
        """The values among the words of an argument: where ids are said with their words, the words are dropped."""
        letter = self.spec.letter_of_argument.get(key)
        if key in self.spec.label_of_argument:
            handles = [word for word in words if word[0] == letter and word[1:].isdigit()]
            words = handles or [word for word in words if word != AND]
        return [self._value_of.get(word, word) for word in words]

    def _objects(self, key: str, words: list[str]) -> list[JsonValue]:
        """The objects among the words of an argument; one with too few values stays text, for the tool to refuse."""
        fields = self.spec.objects[key]
        made: list[JsonValue] = []
        for said in " ".join(words).split(f" {AND} "):
            values = self._spelled(said.split()).split(" ", len(fields) - 1)
            whole: JsonValue = {name: _whole(value) for name, value in zip(fields, values, strict=False)}
            made.append(whole if len(values) == len(fields) else " ".join(values))
        return made

    def _in_schema_order(self, tool: str, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        order = list(self.spec.argument_types.get(tool, {}))
        return {k: arguments[k] for k in sorted(arguments, key=lambda k: order.index(k) if k in order else len(order))}


def _typed(words: list[str], kind: str | None) -> JsonValue:
    """An argument of a JSON type, from its words; a number that is none stays text, for the tool to refuse."""
    if kind == "array":
        return list(words)
    text = " ".join(words)
    return _whole(text) if kind == "integer" else text


def _whole(text: str) -> JsonValue:
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MAX_DIGITS else text

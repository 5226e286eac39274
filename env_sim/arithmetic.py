"""The calculator of the tools: tau2's answers without `eval` and without its denial-of-service hole.

Python's own parser gives the syntax tree and the syntax errors (tau2's words depend on the interpreter); the tree is
then walked with an explicit stack. What tau2 would compute for hours is refused: see `MAX_LENGTH` and `MAX_BITS`.
"""

import ast
import operator
from collections.abc import Callable
from typing import Any

from env_sim.tools import ToolRefusal

__all__ = ["MAX_BITS", "MAX_LENGTH", "calculate"]

MAX_LENGTH = 512
"""Characters of an expression; a sum of 50 prices has about 450. tau2 has no limit."""

MAX_BITS = 65_536
"""Bits of an intermediate integer. A float ends at 1,024 bits, so a larger result could only be an error."""

_ALLOWED = "0123456789+-*/(). "

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def calculate(expression: str) -> str:
    """Value of an arithmetic expression, rounded to two decimals, as text.

    Raises:
        ToolRefusal: On any character that is not a digit, an operator, a bracket, a point or a space.
        SyntaxError, TypeError, ArithmeticError, ValueError: In Python's own words, for the tool message.
    """
    if not all(char in _ALLOWED for char in expression):
        raise ToolRefusal("Invalid characters in expression")
    if not isinstance(expression, str):
        raise TypeError("eval() arg 1 must be a string, bytes or code object")
    if len(expression) > MAX_LENGTH:
        raise ToolRefusal(f"Expression longer than {MAX_LENGTH} characters")
    tree = compile(expression.lstrip(" "), "<string>", "eval", ast.PyCF_ONLY_AST)
    assert isinstance(tree, ast.Expression)  # what mode "eval" parses to
    return str(round(float(_value(tree.body)), 2))


def _value(root: ast.expr) -> Any:
    """Evaluate without recursion: `((((...` may be deeper than the interpreter's stack."""
    values: list[Any] = []
    todo: list[ast.expr | tuple[ast.expr]] = [root]
    while todo:
        entry = todo.pop()
        if isinstance(entry, tuple):
            _reduce(entry[0], values)
        elif isinstance(entry, ast.Constant):
            values.append(entry.value)
        elif isinstance(entry, ast.BinOp):
            todo += [(entry,), entry.right, entry.left]
        elif isinstance(entry, ast.UnaryOp):
            todo += [(entry,), entry.operand]
        elif isinstance(entry, ast.Tuple) and not entry.elts:
            values.append(())
        elif isinstance(entry, ast.Call) and not entry.keywords:
            todo += [(entry,), *reversed(entry.args), entry.func]
        else:
            raise SyntaxError("invalid syntax (<string>, line 1)")
    return values.pop()


def _reduce(node: ast.expr, values: list[Any]) -> None:
    if isinstance(node, ast.BinOp):
        right, left = values.pop(), values.pop()
        values.append(_power(left, right) if isinstance(node.op, ast.Pow) else _binary(node.op, left, right))
    elif isinstance(node, ast.UnaryOp):
        values.append(_UNARY[type(node.op)](values.pop()))
    else:
        # `2(3)` calls a number; its arguments were evaluated first, so their errors come before this one.
        called = values[-1 - len(node.args)] if isinstance(node, ast.Call) else None
        raise TypeError(f"'{type(called).__name__}' object is not callable")


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Mult) and isinstance(left, int) and isinstance(right, int):
        _bound(left.bit_length() + right.bit_length())
    return _BINARY[type(op)](left, right)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and exponent > 0 and abs(base) > 1:
        _bound(base.bit_length() * exponent)
    return base**exponent


def _bound(bits: int) -> None:
    if bits > MAX_BITS:
        raise OverflowError("int too large to convert to float")

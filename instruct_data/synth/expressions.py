"""Numbers in action files: plain, or small formulas of the family's parameters ("reach * 0.9 - 0.1")."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from vqvae.errors import UserError

Value = float | str | bool
Scope = Mapping[str, Any]
Formula = Callable[[Scope], Any]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min, "max": max, "abs": abs, "round": round,
    "sin": lambda x: math.sin(math.radians(x)), "cos": lambda x: math.cos(math.radians(x)),
}  # fmt: skip
_NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod,
    ast.FloorDiv, ast.Pow, ast.UnaryOp, ast.USub, ast.UAdd, ast.Not, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE,
    ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.BoolOp, ast.And, ast.Or, ast.IfExp, ast.Call, ast.Tuple, ast.List,
)  # fmt: skip


class _InScope(ast.NodeTransformer):
    """Turns the names of parameters into look-ups in the scope."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.names:
            return node
        return ast.Subscript(ast.Name("_scope", ast.Load()), ast.Constant(node.id), ast.Load())


def formula(text: str, names: Collection[str], where: str) -> Formula:
    """Compile an expression: + - * / % **, comparisons, and / or / not, ``a if c else b``, and `FUNCTIONS`.

    sin and cos take degrees.

    Args:
        text: the expression.
        names: parameters that may occur.
        where: file and key, for the message.

    Raises:
        UserError: syntax, an unknown name or something else than arithmetic.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError:
        raise UserError(f"{where}: {text!r} is no expression") from None
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise UserError(f"{where}: {text!r} uses {type(node).__name__}; accepted arithmetic and comparisons")
        if isinstance(node, ast.Call) and (not isinstance(node.func, ast.Name) or node.keywords):
            raise UserError(f"{where}: {text!r}: accepted functions {', '.join(FUNCTIONS)}")
        if isinstance(node, ast.Name) and node.id not in names and node.id not in FUNCTIONS:
            known = ", ".join(sorted(names)) or "none"
            raise UserError(f"{where}: {text!r}: unknown name {node.id!r}; parameters: {known}")
    body = _InScope(names).visit(tree).body
    seen = ast.arguments(posonlyargs=[], args=[ast.arg("_scope")], kwonlyargs=[], kw_defaults=[], defaults=[])
    code = compile(ast.fix_missing_locations(ast.Expression(ast.Lambda(seen, body))), where, "eval")
    compute = eval(code, {"__builtins__": {}, **FUNCTIONS})

    def run(scope: Scope) -> Any:
        try:
            return compute(scope)
        except (TypeError, ZeroDivisionError, ValueError, OverflowError) as e:
            raise UserError(f"{where}: {text!r} cannot be computed with {dict(scope)} ({e})") from None

    return run


def number(value: object, names: Collection[str], where: str) -> Formula | float:
    """A number or an expression of numbers.

    Raises:
        UserError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UserError(f"{where}: {value!r}; accepted a number or an expression in quotes")
    if isinstance(value, str):
        run = formula(value, names, where)
        return run
    if not math.isfinite(value):
        raise UserError(f"{where}: {value!r}; accepted a finite number")
    return float(value)


def resolve(value: Formula | float, scope: Scope, where: str) -> float:
    """The number of a compiled value.

    Raises:
        UserError: the expression gives something that is no finite number.
    """
    if not callable(value):
        return value
    got = value(scope)
    if type(got) is float and math.isfinite(got):
        return got
    if not isinstance(got, int | float) or not math.isfinite(got):
        raise UserError(f"{where}: the expression gives {got!r}; a number is needed")
    return float(got)

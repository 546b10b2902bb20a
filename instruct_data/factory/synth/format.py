"""Classes of an action file after loading, and the formulas of parameters in its numbers ("reach * 0.9 - 0.1")."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from vqvae.errors import UserError

Value = float | str | bool
Scope = Mapping[str, Any]
Formula = Callable[[Scope], Any]

# Formulas: a small part of Python's expressions, compiled once.
FUNCTIONS: dict[str, Callable[..., Any]] = {  # sin and cos take degrees
    "min": min, "max": max, "abs": abs, "round": round,
    "sin": lambda x: math.sin(math.radians(x)), "cos": lambda x: math.cos(math.radians(x)),
}  # fmt: skip
_NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod,
    ast.FloorDiv, ast.Pow, ast.UnaryOp, ast.USub, ast.UAdd, ast.Not, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE,
    ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.BoolOp, ast.And, ast.Or, ast.IfExp, ast.Call, ast.Tuple, ast.List,
)  # fmt: skip


class _ScopeLookups(ast.NodeTransformer):
    """Replaces the names of parameters by look-ups in the scope."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self.names:
            return node
        return ast.Subscript(ast.Name("_scope", ast.Load()), ast.Constant(node.id), ast.Load())


def formula(text: str, names: Collection[str], where: str) -> Formula:
    """Compile an expression: + - * / % **, comparisons, and / or / not, ``a if c else b``, and `FUNCTIONS`. `names`:
    parameters that may occur. `where`: file and key, for messages.
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
            accepted = ", ".join(sorted(names)) or "none"
            raise UserError(f"{where}: {text!r}: unknown name {node.id!r}; parameters: {accepted}")
    body = _ScopeLookups(names).visit(tree).body
    arguments = ast.arguments(posonlyargs=[], args=[ast.arg("_scope")], kwonlyargs=[], kw_defaults=[], defaults=[])
    code = compile(ast.fix_missing_locations(ast.Expression(ast.Lambda(arguments, body))), where, "eval")
    compute = eval(code, {"__builtins__": {}, **FUNCTIONS})

    def run(scope: Scope) -> Any:
        try:
            return compute(scope)
        except (TypeError, ZeroDivisionError, ValueError, OverflowError) as e:
            raise UserError(f"{where}: {text!r} cannot be computed with {dict(scope)} ({e})") from None

    return run


def number(value: object, names: Collection[str], where: str) -> Formula | float:
    """A number or an expression of numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise UserError(f"{where}: {value!r}; accepted a number or an expression in quotes")
    if isinstance(value, str):
        return formula(value, names, where)
    if not math.isfinite(value):
        raise UserError(f"{where}: {value!r}; accepted a finite number")
    return float(value)


def resolve(value: Formula | float, scope: Scope, where: str) -> float:
    """The number of a compiled value."""
    if not callable(value):
        return value
    result = value(scope)
    if not isinstance(result, int | float) or not math.isfinite(result):
        raise UserError(f"{where}: the expression gives {result!r}; a number is needed")
    return float(result)


# Names that a file may use.
Group = Literal["posture", "hands", "objects", "gestures", "locomotion", "sport", "music", "contact"]
Handed = Literal["right", "none"]
Ease = Literal["minjerk", "snap", "linear", "drop", "swing"]
EASES = get_args(Ease)
Contact = Literal["l_foot", "r_foot", "pelvis", "l_knee", "r_knee", "l_hand", "r_hand"]
CONTACTS: tuple[str, ...] = get_args(Contact)
FRAMES = ("stage", "pelvis", "chest", "head", "l_shoulder", "r_shoulder", "l_hand", "r_hand", "l_knee", "r_knee")
FRAME_NAMES = {name: name for name in FRAMES}
HANDS = ("l_hand", "r_hand")
FEET: tuple[Contact, Contact] = ("l_foot", "r_foot")
# The controls of a key, in solving order. Every one is a row of numbers and, for limbs, a mode.
CONTROLS = ("pelvis", "pelvis_rot", "spine", "head", "gaze", "l_shoulder", "r_shoulder", "l_hand", "r_hand",
            "l_foot", "r_foot")  # fmt: skip

Number = Formula | float


@dataclass(frozen=True, eq=False)
class Param:
    """A number or word drawn once per clip."""

    name: str  # as used in expressions and captions
    values: tuple[Any, ...] = ()  # what expressions see, one per choice; empty for a range
    words: tuple[str, ...] = ()  # what captions say, one per choice
    # low, high: the range, for a parameter without choices
    low: Number = 0.0
    high: Number = 0.0
    weights: tuple[float, ...] = ()  # of the choices, summing to 1; empty = equal
    default: Any = None  # of a schema's parameter: what it is where an entry does not say; None = all that it can be


@dataclass(frozen=True, eq=False)
class Limb:
    """A hand or foot setting before its numbers are known. Modes: ``at``, ``angles``, ``palm``, ``rest``, ``free``."""

    mode: str
    numbers: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    origin: str | Formula = "stage"
    when: Formula | None = None

    def frame(self, scope: Scope, where: str) -> int:
        """Index into FRAMES of what the place is given from."""
        name = self.origin if isinstance(self.origin, str) else self.origin({**FRAME_NAMES, **scope})
        if name not in FRAMES:
            raise UserError(f"{where}: from is {name!r}; accepted {', '.join(FRAMES)}")
        return FRAMES.index(name)

    @cached_property
    def plain(self) -> dict[str, list[float]] | None:
        """The numbers if there is no formula among them; not to be changed."""
        if any(callable(n) for v in self.numbers.values() for n in v):
            return None
        return {k: [float(n) for n in v if not callable(n)] for k, v in self.numbers.items()}


@dataclass(frozen=True, eq=False)
class Key:
    """One key pose."""

    where: str  # file and place, for messages
    # after, hold: ranges in seconds
    after: tuple[Number, Number]
    hold: tuple[Number, Number] | None
    # Control -> numbers (body controls; None for ``free``), or a limb's settings, of which the first that holds counts
    controls: Mapping[str, Any]
    pose: str | Formula | None = None  # name of a base pose (or a formula giving one), or None
    # ease, anticipate, overshoot, air, balance: see the format
    ease: str = "minjerk"
    anticipate: Number = 0.0
    overshoot: Number = 0.0
    air: bool = False
    balance: bool | None = None
    contacts: tuple[str, ...] | None = None  # what carries weight from here on; None = unchanged
    when: Formula | None = None  # condition, or None
    still: bool | None = None  # whether the body hardly sways from here on; None = unchanged


@dataclass(frozen=True, eq=False)
class KeyBlock:
    """Keys that are repeated; `advance` and `turn` move the stage frame after every round."""

    where: str
    repeat: Number
    keys: tuple[Key | KeyBlock, ...]
    advance: tuple[Number, ...] = (0.0, 0.0, 0.0)
    turn: Number = 0.0
    when: Formula | None = None


@dataclass(frozen=True, eq=False)
class CaptionTemplate:
    """A sentence with {placeholders} and the condition under which it is true."""

    text: str
    when: Formula | None = None


@dataclass(frozen=True, eq=False)
class BankRule:
    """Sentences of the caption bank that are true of a clip."""

    key: str  # action of the bank
    has: tuple[str, ...]  # a sentence that contains one of these is meant
    when: Formula | None = None  # under this condition


@dataclass(frozen=True, eq=False)
class Family:
    """An action family."""

    name: str  # class and key of the caption bank
    group: str  # kind of action
    handed: str  # ``right`` (mirrored at random, words too) or ``none``
    # starts, ends: base poses, or formulas giving their names
    starts: str | Formula
    ends: str | Formula
    # params, captions, keys: see there
    params: tuple[Param, ...]
    captions: tuple[CaptionTemplate, ...]
    keys: tuple[Key | KeyBlock, ...]
    settle: tuple[Number, Number]  # range of the quiet end, seconds
    path: str  # where it was read from
    derived: tuple[tuple[str, Formula], ...] = ()  # names computed from the parameters, in order
    bank: tuple[BankRule, ...] = ()  # which of the caption bank's sentences hold; without a rule none is used
    # Columns of the tables: names whose values go with the value of a parameter
    tables: tuple[tuple[str, Formula], ...] = ()
    schema: str = ""  # name of the schema of an entry of the lexicon, "" for an action with a file of its own

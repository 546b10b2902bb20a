"""Values of pickle files without unpickling: instructions are followed here, and none imports or calls anything."""

from __future__ import annotations

import math
import os
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from vqvae.io.files import parsing, read_bytes

MAX_BYTES = 64 << 20
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_WHOLE = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1")
_OTHERS = ("FLOAT", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_STORES = ("PUT", "BINPUT", "LONG_BINPUT")
_MARK = object()
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
# What a file may name: its module and name -> how we build the same, from the arguments.
_NAMES: dict[tuple[str, str], str] = {
    **{(module, "_reconstruct"): "array" for module in _NUMPY}, **{(module, "scalar"): "scalar" for module in _NUMPY},
    ("numpy", "ndarray"): "class", ("numpy", "dtype"): "type", ("collections", "OrderedDict"): "table",
}  # fmt: skip
_KINDS = "biuf"  # of elements: booleans, whole numbers, others


class _Name(str):
    """Something that a file names, of `_NAMES`."""


class _Type:
    """An array's type, `name` as in ``f4``; big-endian where its state says so."""

    def __init__(self, name: str) -> None:
        self.name, self.order = name, "<"

    def dtype(self) -> np.dtype[Any]:
        kind = np.dtype(self.name).newbyteorder(">" if self.order == ">" else "<")
        if kind.kind not in _KINDS:
            raise ValueError(f"an array of {kind}")
        return kind


class PickledArray:
    """A NumPy array of numbers, or of a single value (``np.save`` of a table)."""

    value: Any = None

    def fill(self, state: Any) -> None:
        """As `ndarray.__setstate__` does with version, shape, type, order and data."""
        _, shape, kind, fortran, data = state
        shape = tuple(int(n) for n in shape)
        if kind.name in ("O8", "O", "|O"):
            if shape != () or len(data) != 1:
                raise ValueError(f"an array {shape} of values that are no numbers")
            self.value = data[0]
            return
        dtype = kind.dtype()
        if min(shape, default=0) < 0 or not isinstance(data, bytes) or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array {shape} of {dtype} from other bytes")
        self.value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def read_pickle(path: str | os.PathLike[str], accepted: str = "") -> Any:
    """The lists, tables, texts and whole numbers of a pickle file of at most 64 MiB; `accepted` is for the message.

    Instructions that import, call or build anything else are refused, wherever they stand.
    """
    data = read_bytes(path, MAX_BYTES, accepted)
    with parsing(path, "a pickle of words and whole numbers alone", accepted):
        return load_pickle(data)


def load_pickle(data: bytes, arrays: bool = False) -> Any:
    """The value of a pickle; with `arrays` also `PickledArray` and what NumPy saves tables with.

    Raises ValueError, IndexError, TypeError, KeyError or AttributeError.
    """
    stack: list[Any] = []
    stored: dict[int, Any] = {}
    for code, argument, _ in pickletools.genops(data):
        name = code.name
        if name == "STOP":
            value = stack.pop()
            if stack or value is _MARK:
                raise ValueError("more than one value, or none")
            return value
        if name in _TEXTS or name in _WHOLE or (arrays and name in _OTHERS):
            stack.append(argument)
        elif name in _CONSTANTS and arrays:
            stack.append(_CONSTANTS[name])
        elif name in ("PROTO", "FRAME"):
            continue
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _STORES or name == "MEMOIZE":
            stored[len(stored) if name == "MEMOIZE" else int(argument or 0)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(stored[int(argument or 0)])
        elif name in _COLLECTIONS:
            _COLLECTIONS[name](stack)
        elif arrays and name in _TUPLES:
            _tuple(stack, _TUPLES[name])
        elif arrays and name in _ARRAYS:
            _ARRAYS[name](stack, argument)
        else:
            raise ValueError(f"its instruction {name} makes something else")
    raise ValueError("cut short")


def _pop_marked(stack: list[Any]) -> list[Any]:
    """What stands above the last mark, taken off with it."""
    at = next((i for i in range(len(stack) - 1, -1, -1) if stack[i] is _MARK), -1)
    if at < 0:
        raise ValueError("values without a beginning")
    values = stack[at + 1 :]
    del stack[at:]
    return values


def _append(stack: list[Any], values: list[Any]) -> None:
    if not isinstance(stack[-1], list):
        raise ValueError("something is added to what is no list")
    stack[-1].extend(values)


def _set(stack: list[Any], values: list[Any]) -> None:
    if not isinstance(stack[-1], dict) or len(values) % 2:
        raise ValueError("something is entered into what is no table")
    stack[-1].update(zip(values[::2], values[1::2], strict=True))


def _dict(stack: list[Any]) -> None:
    values = _pop_marked(stack)
    stack.append({})
    _set(stack, values)


def _tuple(stack: list[Any], count: int) -> None:
    values = stack[len(stack) - count :] if count else []
    if len(values) != count:
        raise ValueError("fewer values than a tuple has")
    del stack[len(stack) - count :]
    stack.append(tuple(values))


def _find_name(module: str, name: str) -> _Name:
    if (module, name) not in _NAMES:
        raise ValueError(f"it names {module}.{name}"[:200])
    return _Name(_NAMES[module, name])


def _global(stack: list[Any], argument: Any) -> None:
    module, _, name = str(argument).partition(" ")
    stack.append(_find_name(module, name))


def _stack_global(stack: list[Any], argument: Any) -> None:
    name, module = stack.pop(), stack.pop()
    stack.append(_find_name(str(module), str(name)))


def _reduce(stack: list[Any], argument: Any) -> None:
    arguments, called = stack.pop(), stack.pop()
    if not isinstance(called, _Name) or not isinstance(arguments, tuple):
        raise ValueError("a call of what is no function")
    if called == "array":
        stack.append(PickledArray())
    elif called == "type":
        stack.append(_Type(str(arguments[0])))
    elif called == "table":
        if arguments:
            raise ValueError("a table with arguments")
        stack.append({})
    elif called == "scalar":
        kind, data = arguments
        stack.append(np.frombuffer(data, kind.dtype())[0].item())
    else:
        raise ValueError("a call of what is no function")


def _build(stack: list[Any], argument: Any) -> None:
    state, target = stack.pop(), stack[-1]
    if isinstance(target, PickledArray):
        target.fill(state)
    elif isinstance(target, _Type) and isinstance(state, tuple) and state[1] in ("<", ">", "|"):
        target.order = state[1]
    else:
        raise ValueError("a state of what has none")


_COLLECTIONS: dict[str, Callable[[list[Any]], None]] = {
    "EMPTY_LIST": lambda s: s.append([]), "EMPTY_DICT": lambda s: s.append({}),
    "LIST": lambda s: s.append(_pop_marked(s)), "APPEND": lambda s: _append(s, [s.pop()]),
    "APPENDS": lambda s: _append(s, _pop_marked(s)), "SETITEM": lambda s: _set(s, [s.pop(-2), s.pop()]),
    "SETITEMS": lambda s: _set(s, _pop_marked(s)), "DICT": _dict,
}  # fmt: skip
_ARRAYS: dict[str, Callable[[list[Any], Any], None]] = {
    "TUPLE": lambda s, _: s.append(tuple(_pop_marked(s))), "GLOBAL": _global, "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce, "BUILD": _build,
}  # fmt: skip

"""Lists of words and tables of numbers out of Python's pickle files, read as data: nothing in them is ever called."""

from __future__ import annotations

import os
import pickletools
from collections.abc import Callable
from typing import Any

from vqvae.io.guard import read_bytes, understanding

MOST_BYTES = 64 << 20
_MARK = object()
_VALUES = frozenset(
    ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1")
)  # fmt: skip
_IGNORED = frozenset(("PROTO", "FRAME"))
_PUT, _GET = frozenset(("PUT", "BINPUT", "LONG_BINPUT")), frozenset(("GET", "BINGET", "LONG_BINGET"))


def read_plain_pickle(path: str | os.PathLike[str], accepted: str = "") -> Any:
    """The lists, tables, texts and whole numbers of a pickle file of at most 64 MiB.

    Only the instructions that build these are known here (a few of `pickletools.opcodes`); one that would import or
    call something, or make anything else, is refused before it is looked at.

    Args:
        accepted: what is, in words, for the message.

    Raises:
        UserError: no regular file, larger, damaged, or with anything else in it.
    """
    data = read_bytes(path, MOST_BYTES, accepted)
    with understanding(path, "a pickle of words and whole numbers alone", accepted):
        return _Machine().run(data)


class _Machine:
    """The stack that a pickle's instructions work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.known: dict[str, Callable[[], None]] = {
            "MARK": lambda: self.stack.append(_MARK), "EMPTY_LIST": lambda: self.stack.append([]),
            "EMPTY_DICT": lambda: self.stack.append({}), "LIST": lambda: self.stack.append(self._marked()),
            "DICT": lambda: self.stack.append(_pairs(self._marked())), "MEMOIZE": lambda: self._keep(len(self.memo)),
            "APPEND": lambda: self._extend([self.stack.pop()]), "APPENDS": lambda: self._extend(self._marked()),
            "SETITEM": self._set_one, "SETITEMS": lambda: self._update(self._marked()),
        }  # fmt: skip

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                if len(self.stack) != 1 or self.stack[0] is _MARK:
                    raise ValueError(f"{len(self.stack)} values at its end")
                return self.stack[0]
            if opcode.name in _VALUES:
                self.stack.append(argument)
            elif opcode.name in _PUT:
                self._keep(int(argument or 0))
            elif opcode.name in _GET:
                self.stack.append(self.memo[int(argument or 0)])
            elif opcode.name not in _IGNORED:
                if opcode.name not in self.known:
                    raise ValueError(f"its instruction {opcode.name} makes something else")
                self.known[opcode.name]()
        raise ValueError("cut short")

    def _keep(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def _marked(self) -> list[Any]:
        at = next(i for i in reversed(range(len(self.stack))) if self.stack[i] is _MARK)
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("values added to something that is no list")
        self.stack[-1].extend(values)

    def _set_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _update(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("values put into something that is no table")
        self.stack[-1].update(_pairs(values))


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))

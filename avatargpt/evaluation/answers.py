"""Answers as files: what a model says or makes, kept so that it comes back to the last bit.

A tree of texts, numbers, lists, tables, NumPy arrays and the data classes of `KEPT` becomes an `.npz`: ``tree``, JSON
in which arrays stand by their numbers, and the arrays ``0``, ``1``, .. as they are. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vqvae.errors import UserError
from vqvae.io.data_files import parse_json, read_arrays
from vqvae.io.files import atomic_write, parsing
from vqvae.skeleton import SMPL22, SMPL52

KEPT = frozenset({
    "vqvae.motion:Motion", "vqvae.face:FaceMotion", "avatargpt.evaluation.body.prompts:Answer",
    "avatargpt.evaluation.text.requests:Taken", "instruct_data.dialogue.acts:Act", "avatargpt.planning.types:Plan",
    "avatargpt.planning.types:Activity", "instruct_data.face.score:Score", "instruct_data.face.score:Event",
    "instruct_data.face.score:Emotion", "avatargpt.speech.words:Words", "avatargpt.speech.words:Word",
    "avatargpt.speech.phones:Phone",
})  # fmt: skip
"""``module:name`` of the data classes that a file may hold."""
SKELETONS = {"SMPL22": SMPL22, "SMPL52": SMPL52}
_PLAIN = (str, int, float, bool, type(None))


class Unkeepable(UserError):
    """An answer of a type that cannot be kept."""


def save(path: Path, answer: Any) -> Path:
    """Write an answer.

    Raises:
        Unkeepable: a type that comes back as something else.
    """
    arrays: dict[str, Any] = {}
    tree = json.dumps(_taken_apart(answer, arrays, KEPT))
    return atomic_write(path, lambda p: np.savez(p, tree=np.array(tree), **arrays))


def load(path: Path) -> Any:
    """Read what `save` wrote.

    Raises:
        UserError: damaged; says to remove the file.
    """
    try:
        data = read_arrays(path)
        with parsing(path, "an answer of a suite"):
            return _put_together(parse_json(str(data["tree"]), path), data)
    except UserError as e:
        raise UserError(f"{e}; remove this file, and its part is made anew") from None


def digest(*values: Any) -> str:
    """SHA-256 of values as `save` takes them, also with other data classes.

    Raises:
        Unkeepable: of another type.
    """
    arrays: dict[str, Any] = {}
    total = hashlib.sha256(json.dumps(_taken_apart(values, arrays, None)).encode())
    for array in arrays.values():
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _taken_apart(value: Any, arrays: dict[str, Any], known: frozenset[str] | None) -> Any:
    """JSON of a value, its arrays put into `arrays`. `known`: names of data classes, None = any."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "biufU":
            raise Unkeepable(f"an array of {value.dtype} cannot be kept")
        arrays[str(len(arrays))] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "number": str(len(arrays) - 1)}
    if type(value) in (list, tuple):
        inside = [_taken_apart(v, arrays, known) for v in value]
        return inside if type(value) is list else {"tuple": inside}
    if type(value) is dict:
        pairs = value.items()
        return {"dict": [[_taken_apart(k, arrays, known), _taken_apart(v, arrays, known)] for k, v in pairs]}
    for name, skeleton in SKELETONS.items():
        if value is skeleton:
            return {"skeleton": name}
    name = f"{type(value).__module__}:{type(value).__qualname__}"
    if is_dataclass(value) and (known is None or name in known):
        own = {f.name: getattr(value, f.name) for f in fields(value)}
        return {"is": name, "fields": {k: _taken_apart(v, arrays, known) for k, v in own.items()}}
    raise Unkeepable(f"an answer of type {type(value).__name__} cannot be kept")


def _put_together(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(tree, list):
        return [_put_together(v, arrays) for v in tree]
    if not isinstance(tree, dict):
        return tree
    kind, inside = next(iter(tree.items()))
    if kind == "array":
        return arrays[inside]
    if kind == "number":
        return arrays[inside][()]
    if kind == "tuple":
        return tuple(_put_together(v, arrays) for v in inside)
    if kind == "dict":
        return {_put_together(k, arrays): _put_together(v, arrays) for k, v in inside}
    if kind == "skeleton":
        return SKELETONS[inside]
    values = {name: _put_together(value, arrays) for name, value in tree["fields"].items()}
    made = _class(inside)(**values)  # checked
    for name, value in values.items():  # as they were: bringing a rotation to length 1 once more changes last bits
        object.__setattr__(made, name, value)
    return made


@cache
def _class(name: str) -> type[Any]:
    if name not in KEPT:
        raise UserError(f"{name}: no answer; accepted {', '.join(sorted(KEPT))}")
    module, _, attribute = name.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), attribute)
    return found

"""The bank of gestures that mean something: strokes with the frame of their emphasis, packed.

Made of SmartBody's library and of our own key frames (`instruct_data.gesture.bank`). Their rotations are kept in 8 bits
(`instruct_data.gesture.strokes`): tokens of the gesture tokenizer blur what fingers count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.requests.vector_index import unpacked, xz
from instruct_data.gesture.strokes import TURNED, Packed, Stroke, held_joints, pack, unpack
from vqvae.errors import UserError
from vqvae.io.files import atomic_write, parsing, regular_file

FILE = "bank.safetensors"
ROW = ("name", "source", "performer", "start", "emphasis", "end", "sides")  # of the header
LICENCE = "strokes of SmartBody (USC Institute for Creative Technologies, LGPL-2.1), and our own"


class GestureBank:
    """Strokes by name, each with its mirror image; unpacked when they are first asked for.

    Args:
        strokes: all but their motion: their turns are not looked at. packed: the motion of each.
        rest: (43, 4) a pose at rest.
    """

    def __init__(self, strokes: Sequence[Stroke], packed: Sequence[Packed], rest: np.ndarray) -> None:
        self.rest, self._about, self._packed = rest, list(strokes), list(packed)
        self._made: dict[tuple[int, bool], Stroke] = {}

    @classmethod
    def of(cls, strokes: Iterable[Stroke], rest: np.ndarray) -> GestureBank:
        """The bank of some strokes. Raises UserError as `instruct_data.gesture.strokes.pack`."""
        told = list(strokes)
        return cls(told, [pack(s) for s in told], rest)

    def __len__(self) -> int:
        """Strokes, mirror images not counted."""
        return len(self._about)

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[int, bool]]]:
        out: dict[str, list[tuple[int, bool]]] = {}
        for number, one in enumerate(self._about):
            for mirrored in (False, True):
                name = one.name if not mirrored else _mirrored(one.name)
                out.setdefault(name, []).append((number, mirrored))
        return out

    @property
    def names(self) -> list[str]:
        """Of all gestures, in order of the alphabet."""
        return sorted(self._by_name)

    def strokes(self, name: str, hand: str | None = None) -> list[Stroke]:
        """Strokes of a gesture; with `hand` (``l``, ``r``) those that it or both hands make, if there are any.

        Raises:
            UserError: no such gesture.
        """
        if name not in self._by_name:
            raise UserError(f"gesture {name!r}; accepted: {', '.join(self.names)}")
        kept = [k for k in self._by_name[name] if hand is None or hand in self._sides(*k)]
        return [self._stroke(*k) for k in kept or self._by_name[name]]

    def _sides(self, number: int, mirrored: bool) -> str:
        sides = "".join(self._about[number].sides)
        return sides if not mirrored else sides.translate(str.maketrans("lr", "rl"))

    def _stroke(self, number: int, mirrored: bool) -> Stroke:
        if (number, mirrored) not in self._made:
            made = unpack(self._packed[number], self._about[number], self.rest)
            self._made[number, mirrored] = made.mirrored() if mirrored else made
        return self._made[number, mirrored]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``bank.safetensors``."""
        from safetensors.numpy import save_file

        rows = [[*(getattr(s, name) for name in ROW[:-1]), "".join(s.sides)] for s in self._about]
        about = {"strokes": json.dumps(rows), "licence": LICENCE}
        keys = b"".join(_steps(p.keys).tobytes() for p in self._packed)
        arrays: dict[str, np.ndarray] = {
            "keys": xz(keys, 9), "base": xz(b"".join(p.base.T.tobytes() for p in self._packed), 9),
            "scale": np.concatenate([p.scale for p in self._packed]),
            "lengths": np.array([len(p.keys) for p in self._packed], np.int32),
            "rest": np.asarray(self.rest, np.float32),
        }  # fmt: skip
        return atomic_write(Path(folder) / FILE, lambda p: save_file(arrays, p, about))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> GestureBank | None:
        """The bank beside a network, None where there is none.

        Raises:
            UserError: a damaged file.
        """
        from safetensors import safe_open

        path = Path(folder) / FILE
        if not path.exists():
            return None
        with parsing(path, "a bank of gestures", "make it again with the stage gesture-bank"):
            with safe_open(regular_file(path), "np") as file:
                rows = json.loads(file.metadata()["strokes"])
                held = {name: file.get_tensor(name) for name in ("keys", "base", "scale", "lengths", "rest")}
            rest = held["rest"].astype(np.float64)
            strokes = [_told(dict(zip(ROW, row, strict=True))) for row in rows]
            if rest.shape != (TURNED, 4) or any(not 0 <= s.start <= s.emphasis <= s.end for s in strokes):
                raise ValueError("frames out of order")
            packed = _parts(strokes, held)
        return cls(strokes, packed, rest)


def _steps(keys: np.ndarray) -> np.ndarray:
    """(K, J, 3) int8 -> (J, 3, K), from key to key (modulo 256), which packs twice as small."""
    return np.ascontiguousarray(np.diff(keys.astype(np.int16), axis=0, prepend=0).astype(np.int8).transpose(1, 2, 0))


def _parts(strokes: Sequence[Stroke], held: dict[str, np.ndarray]) -> list[Packed]:
    """The motions of a file, as `GestureBank.save` lays them."""
    keys = np.frombuffer(unpacked(held["keys"]), np.int8)
    base = np.frombuffer(unpacked(held["base"]), np.int16)
    joints = np.array([len(held_joints(s.sides)) for s in strokes])
    lengths = held["lengths"].astype(np.int64)
    sizes = len(keys), len(base), len(held["scale"])
    if lengths.min(initial=1) < 1 or sizes != (3 * (lengths * joints).sum(), 4 * joints.sum(), joints.sum()):
        raise ValueError("motions of another size")
    out = []
    each = zip(
        np.split(keys, np.cumsum(3 * lengths * joints)[:-1]), np.split(base, np.cumsum(4 * joints)[:-1]),
        np.split(held["scale"], np.cumsum(joints)[:-1]), lengths, joints, strict=True,
    )  # fmt: skip
    for steps, pose, scale, length, count in each:
        moved = np.cumsum(steps.reshape(count, 3, length).transpose(2, 0, 1), 0, dtype=np.int8)
        out.append(Packed(np.ascontiguousarray(pose.reshape(4, count).T), scale, moved))
    return out


def _told(row: dict[str, Any]) -> Stroke:
    """A stroke without its motion."""
    return Stroke(**{**row, "sides": tuple(row["sides"])}, turns=np.zeros((0, TURNED, 4)))


def _mirrored(name: str) -> str:
    swapped = {"Left": "Right", "Right": "Left"}
    return next((name.replace(a, b) for a, b in swapped.items() if a in name), name)

"""The gesture bank: strokes of semantic gestures with the frame of their emphasis, packed.

Built from SmartBody's library and our own key frames (`instruct_data.gesture.bank`). Rotations are stored in 8 bits
(`instruct_data.gesture.strokes`), because tokens of the gesture tokenizer blur what fingers count.
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
from instruct_data.gesture.strokes import TURNED, Packed, Stroke, pack, packed_joints, unpack
from vqvae.errors import UserError
from vqvae.io.files import atomic_write, parsing, regular_file

FILE = "bank.safetensors"
COLUMNS = ("name", "source", "performer", "start", "emphasis", "end", "sides")  # of a stroke in the header
LICENCE = "strokes of SmartBody (USC Institute for Creative Technologies, LGPL-2.1), and our own"


class GestureBank:
    """Strokes by name, each with its mirror image; unpacked on first use.

    Args:
        strokes: without motion: their turns are ignored. packed: the motion of each.
        rest: (43, 4) a pose at rest.
    """

    def __init__(self, strokes: Sequence[Stroke], packed: Sequence[Packed], rest: np.ndarray) -> None:
        self.rest, self._strokes, self._packed = rest, list(strokes), list(packed)
        self._unpacked: dict[tuple[int, bool], Stroke] = {}

    @classmethod
    def of(cls, strokes: Iterable[Stroke], rest: np.ndarray) -> GestureBank:
        """Pack strokes into a bank. Raises UserError as `instruct_data.gesture.strokes.pack`."""
        items = list(strokes)
        return cls(items, [pack(s) for s in items], rest)

    def __len__(self) -> int:
        """Strokes, mirror images not counted."""
        return len(self._strokes)

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[int, bool]]]:
        out: dict[str, list[tuple[int, bool]]] = {}
        for number, stroke in enumerate(self._strokes):
            names = [stroke.name.replace(a, b) for a, b in (("Left", "Right"), ("Right", "Left")) if a in stroke.name]
            for mirrored, name in enumerate([stroke.name, (names or [stroke.name])[0]]):
                out.setdefault(name, []).append((number, bool(mirrored)))
        return out

    @property
    def names(self) -> list[str]:
        """All gestures, sorted."""
        return sorted(self._by_name)

    def strokes(self, name: str, hand: str | None = None) -> list[Stroke]:
        """Strokes of a gesture; with `hand` (``l``, ``r``) those that use this hand, if there are any.

        Raises UserError: no such gesture.
        """
        if name not in self._by_name:
            raise UserError(f"gesture {name!r}; accepted: {', '.join(self.names)}")
        keys = [k for k in self._by_name[name] if hand is None or hand in self._sides(*k)]
        return [self.stroke(*k) for k in keys or self._by_name[name]]

    def _sides(self, number: int, mirrored: bool) -> str:
        sides = "".join(self._strokes[number].sides)
        return sides if not mirrored else sides.translate(str.maketrans("lr", "rl"))

    def stroke(self, number: int, mirrored: bool = False) -> Stroke:
        """Stroke `number` with its motion, or its mirror image."""
        if (number, mirrored) not in self._unpacked:
            stroke = unpack(self._packed[number], self._strokes[number], self.rest)
            self._unpacked[number, mirrored] = stroke.mirrored() if mirrored else stroke
        return self._unpacked[number, mirrored]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``bank.safetensors``."""
        from safetensors.numpy import save_file

        rows = [[*(getattr(s, name) for name in COLUMNS[:-1]), "".join(s.sides)] for s in self._strokes]
        header = {"strokes": json.dumps(rows), "licence": LICENCE}
        # (K, J, 3) int8 -> (J, 3, K) differences between keys (modulo 256), which compress twice as well
        steps = [np.diff(p.keys.astype(np.int16), axis=0, prepend=0).astype(np.int8) for p in self._packed]
        keys = b"".join(s.transpose(1, 2, 0).tobytes() for s in steps)
        arrays: dict[str, np.ndarray] = {
            "keys": xz(keys, 9), "base": xz(b"".join(p.base.T.tobytes() for p in self._packed), 9),
            "scale": np.concatenate([p.scale for p in self._packed]),
            "lengths": np.array([len(p.keys) for p in self._packed], np.int32),
            "rest": np.asarray(self.rest, np.float32),
        }  # fmt: skip
        return atomic_write(Path(folder) / FILE, lambda p: save_file(arrays, p, header))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> GestureBank | None:
        """The bank in a network's folder, None where there is none."""
        from safetensors import safe_open

        path = Path(folder) / FILE
        if not path.exists():
            return None
        with parsing(path, "a bank of gestures", "make it again with the stage gesture-bank"):
            with safe_open(regular_file(path), "np") as file:
                rows = json.loads(file.metadata()["strokes"])
                arrays = {name: file.get_tensor(name) for name in ("keys", "base", "scale", "lengths", "rest")}
            rest = arrays["rest"].astype(np.float64)
            columns: list[dict[str, Any]] = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
            nothing = np.zeros((0, TURNED, 4))
            strokes = [Stroke(**{**c, "sides": tuple(c["sides"])}, turns=nothing) for c in columns]
            if rest.shape != (TURNED, 4) or any(not 0 <= s.start <= s.emphasis <= s.end for s in strokes):
                raise ValueError("frames out of order")
            packed = _unpack_arrays(strokes, arrays)
        return cls(strokes, packed, rest)


def _unpack_arrays(strokes: Sequence[Stroke], arrays: dict[str, np.ndarray]) -> list[Packed]:
    # The motions of a file, as `GestureBank.save` stores them.
    keys = np.frombuffer(unpacked(arrays["keys"]), np.int8)
    base = np.frombuffer(unpacked(arrays["base"]), np.int16)
    joints = np.array([len(packed_joints(s.sides)) for s in strokes])
    lengths = arrays["lengths"].astype(np.int64)
    sizes = len(keys), len(base), len(arrays["scale"])
    if lengths.min(initial=1) < 1 or sizes != (3 * (lengths * joints).sum(), 4 * joints.sum(), joints.sum()):
        raise ValueError("motions of another size")
    out = []
    each = zip(
        np.split(keys, np.cumsum(3 * lengths * joints)[:-1]), np.split(base, np.cumsum(4 * joints)[:-1]),
        np.split(arrays["scale"], np.cumsum(joints)[:-1]), lengths, joints, strict=True,
    )  # fmt: skip
    for steps, pose, scale, length, count in each:
        moved = np.cumsum(steps.reshape(count, 3, length).transpose(2, 0, 1), 0, dtype=np.int8)
        out.append(Packed(np.ascontiguousarray(pose.reshape(4, count).T), scale, moved))
    return out

"""The bank of gestures that mean something: strokes with the frame of their emphasis, as gesture tokens.

Made of SmartBody's library and of our own key frames (`instruct_data.gesture.bank`); the network's tokenizer decodes
them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from avatargpt.gesture.decoding import Decodes
from instruct_data.gesture.strokes import Stroke, turns_of
from vqvae.errors import UserError
from vqvae.features.gesture import GestureFeatures
from vqvae.io.atomic import atomic_write
from vqvae.io.guard import regular, understanding

FILE = "bank.safetensors"
ROW = ("name", "source", "performer", "start", "emphasis", "end", "sides", "frames")  # of the header
LICENCE = "strokes of SmartBody (USC Institute for Creative Technologies, LGPL-2.1), and our own"


@dataclass(frozen=True, eq=False)
class Coded:
    """A stroke as tokens.

    Attributes:
        name, source, performer, start, emphasis, end, sides: as of `instruct_data.gesture.strokes.Stroke`.
        frames: of it. codes: (N, R).
    """

    name: str
    source: str
    performer: str
    start: int
    emphasis: int
    end: int
    sides: str
    frames: int
    codes: np.ndarray


class GestureBank:
    """Strokes by name, each with its mirror image; decoded when they are first asked for.

    Args:
        coded: the strokes. rest: (43, 4) a pose at rest. decodes: the tokenizer of their codes.
        tokenizer: its fingerprint.
    """

    def __init__(self, coded: Sequence[Coded], rest: np.ndarray, decodes: Decodes, tokenizer: str) -> None:
        self.coded, self.rest, self.tokenizer, self._decodes = list(coded), rest, tokenizer, decodes
        self._made: dict[tuple[int, bool], Stroke] = {}

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[int, bool]]]:
        out: dict[str, list[tuple[int, bool]]] = {}
        for number, one in enumerate(self.coded):
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
        sides = self.coded[number].sides
        return sides if not mirrored else sides.translate(str.maketrans("lr", "rl"))

    def _stroke(self, number: int, mirrored: bool) -> Stroke:
        if (number, mirrored) not in self._made:
            c = self.coded[number]
            motion = GestureFeatures().decode(self._decodes.decode_features(c.codes)[: c.frames])
            made = Stroke(c.name, c.source, c.performer, turns_of(motion), c.start, c.emphasis, c.end, tuple(c.sides))
            self._made[number, mirrored] = made.mirrored() if mirrored else made
        return self._made[number, mirrored]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``bank.safetensors``."""
        from safetensors.numpy import save_file

        rows = [[getattr(c, name) for name in ROW] for c in self.coded]
        about = {"strokes": json.dumps(rows), "tokenizer": self.tokenizer, "licence": LICENCE}
        codes = np.concatenate([c.codes for c in self.coded]).astype(np.uint16)
        lengths = np.array([len(c.codes) for c in self.coded], np.int32)
        rest = np.asarray(self.rest, np.float32)
        arrays: dict[str, np.ndarray] = {"codes": codes, "lengths": lengths, "rest": rest}
        return atomic_write(Path(folder) / FILE, lambda p: save_file(arrays, p, about))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], decodes: Decodes, tokenizer: str) -> GestureBank | None:
        """The bank beside a network, None where there is none.

        Raises:
            UserError: a damaged file, or codes of another tokenizer.
        """
        from safetensors import safe_open

        path = Path(folder) / FILE
        if not path.exists():
            return None
        with understanding(path, "a bank of gestures"), safe_open(regular(path), "np") as file:
            about = file.metadata()
            codes, lengths, rest = (file.get_tensor(name) for name in ("codes", "lengths", "rest"))
            rows = json.loads(about["strokes"])
            parts = np.split(codes.astype(np.int64), np.cumsum(lengths)[:-1])
            coded = [Coded(**dict(zip(ROW, row, strict=True)), codes=c) for row, c in zip(rows, parts, strict=True)]
            if rest.shape != (43, 4) or any(not 0 <= c.start <= c.emphasis <= c.end < c.frames for c in coded):
                raise ValueError("frames out of order")
        if about["tokenizer"] != tokenizer:
            raise UserError(f"{path}: codes of tokenizer {about['tokenizer'][:12]}; accepted: of {tokenizer[:12]}")
        return cls(coded, rest.astype(np.float64), decodes, tokenizer)


def _mirrored(name: str) -> str:
    swapped = {"Left": "Right", "Right": "Left"}
    return next((name.replace(a, b) for a, b in swapped.items() if a in name), name)

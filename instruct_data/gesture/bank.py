"""The bank of strokes by name: recorded ones, their mirror images, and keyframed ones of our own."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from instruct_data.gesture.classes import WordClasses, word_classes
from instruct_data.gesture.keyed import TAKES, keyed_strokes
from instruct_data.gesture.strokes import Stroke, stroke_of, wrists
from vqvae import rotations as rot
from vqvae.errors import UserError

STANDING = ("Idle01", "Idle02", "Idle03", "IdleStand01")
READY = ("BeatLow", "BeatMid", "BeatFlip", "Offer", "Chop")
"""Gestures of both hands whose emphasis is a pose that hands keep while somebody talks."""
PAUSED = 0.85  # share of the way from rest to it at which hands are kept
RAISED = 0.1  # m above the resting hands


@dataclass(frozen=True, eq=False)
class Bank:
    """Strokes and poses.

    Attributes:
        strokes: name -> strokes of it, never empty.
        rests: (N, 43, 4) poses at rest, hanging arms. ready: (M, 43, 4) poses of talking hands.
    """

    strokes: dict[str, list[Stroke]]
    rests: np.ndarray
    ready: np.ndarray

    def of(self, names: Collection[str], performers: Collection[str], sides: Collection[str]) -> list[Stroke]:
        """Strokes of some gestures that these arms make; of some performers, and of all where those have none."""
        found = [s for n in names for s in self.strokes[n] if set(s.sides) <= set(sides)]
        return [s for s in found if s.performer in performers] or found


def build(clips: Iterable[Clip], classes: WordClasses | None = None, takes: int = TAKES) -> Bank:
    """The bank from clips of a gesture library (`instruct_data.sources.smartbody`) and `keyed_strokes`.

    Args:
        clips: with ``sync``, ``speaker`` and ``posture`` in `extra`; those of other names than the classes ask for give
            resting poses alone. takes: of each keyframed gesture.

    Raises:
        UserError: a gesture that a class asks for and nothing makes, or no clips at rest.
    """
    table = classes or word_classes()
    found: dict[str, list[Stroke]] = {}
    rests: dict[tuple[str, str], np.ndarray] = {}
    for clip in clips:
        about = clip.extra
        if about.get("posture") not in STANDING:
            continue
        if clip.action in table.gestures:
            sync = about["sync"]
            try:
                stroke = stroke_of(clip.load(), clip.action, clip.id, about["speaker"], sync.get("emphasis"),
                                   sync.get("stroke"))  # fmt: skip
            except UserError:  # a gesture of the head or of the trunk alone
                continue
            rests.setdefault((about["speaker"], about["posture"]), stroke.rest)
            for one in (stroke, stroke.mirrored()):
                found.setdefault(one.name, []).append(one)
    for stroke in keyed_strokes(0, takes, table.gestures):
        for one in (stroke, stroke.mirrored()):
            found.setdefault(one.name, []).append(one)
    missing = sorted(table.gestures - set(found))
    if missing:
        raise UserError(f"classes of words ask for {', '.join(missing)}, which no clip makes; accepted: "
                        f"{', '.join(sorted(found))}")  # fmt: skip
    if not rests:
        raise UserError("no clips of somebody who stands at rest; accepted: SmartBody's gestures")
    both = [s for n in READY for s in found.get(n, []) if len(s.sides) == 2]
    ready = [rot.slerp(s.rest, s.turns[s.emphasis], PAUSED) for s in both if _up(s)]
    if not ready:
        raise UserError(f"no {', '.join(READY)} of both hands that are up on the emphasis")
    return Bank(found, np.stack([*rests.values()]), np.stack(ready))


def _up(stroke: Stroke) -> bool:
    """Whether both hands are above where they rest, on the emphasis."""
    height = wrists(stroke.turns[[0, stroke.emphasis]])[..., 1]
    return bool((height[1] - height[0]).min() > RAISED)


def read_bank(folder: Path) -> Bank:
    """The bank of a folder of SmartBody's gestures. Raises UserError as the reader and `build`."""
    from instruct_data.sources.corpus import Report
    from instruct_data.sources.registry import read_corpus

    return build(read_corpus("smartbody", folder, Report()))

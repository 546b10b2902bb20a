"""Which gesture a motion shows at a time: the nearest stroke of the bank, by hands and fingers; plans are not read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatargpt.gesture.bank import GestureBank
from instruct_data.gesture.strokes import FPS, HAND, SIDES, turns_of, wrists
from vqvae import rotations as rot
from vqvae.motion import Motion

BEFORE, AFTER = 10, 5  # frames of a stroke about its emphasis that are compared
WITHIN = 0.3  # s about the time in which a gesture counts
FINGERS = 0.1  # m that count as much as one radian of the mean finger


@dataclass(frozen=True, eq=False)
class _Track:
    """Where hands are, (T, 2, 3) m from the chest, and how fingers are bent, (T, 2, 15, 3) radians."""

    hands: np.ndarray
    bent: np.ndarray

    @classmethod
    def of(cls, turns: np.ndarray) -> _Track:
        return cls(wrists(turns), np.stack([rot.to_axis_angle(turns[:, HAND[s]]) for s in SIDES], 1))

    def cut(self, first: int, stop: int) -> _Track:
        """Frames [first, stop), ends held."""
        at = np.clip(np.arange(first, stop), 0, len(self.hands) - 1)
        return _Track(self.hands[at], self.bent[at])


class Shown:
    """Compares motions with every stroke of a bank and its mirror image."""

    def __init__(self, bank: GestureBank) -> None:
        self._strokes: list[tuple[str, tuple[int, ...], _Track]] = []
        for name in bank.names:
            for s in bank.strokes(name):
                part = _Track.of(s.turns).cut(s.emphasis - BEFORE, s.emphasis + AFTER + 1)
                self._strokes.append((name, tuple(SIDES.index(x) for x in s.sides), part))

    def nearest(self, motion: Motion, seconds: float) -> str:
        """The gesture whose stroke is nearest to what hands do about a time."""
        whole = _Track.of(turns_of(motion.resampled(FPS)))
        centre, slack = round(seconds * FPS), round(WITHIN * FPS)
        best = (np.inf, "")
        for shift in range(-slack, slack + 1):
            own = whole.cut(centre + shift - BEFORE, centre + shift + AFTER + 1)
            for name, sides, part in self._strokes:
                hands = np.linalg.norm(own.hands[:, sides] - part.hands[:, sides], axis=-1).mean()
                if hands >= best[0]:
                    continue
                bent = np.linalg.norm(own.bent[:, sides] - part.bent[:, sides], axis=-1).mean()
                best = min(best, (float(hands + FINGERS * bent), name))
        return best[1]

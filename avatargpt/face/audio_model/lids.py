"""Lids that were told to close are shut at the apex: a rule, not a network.

The driver was taught the lids of rendered clips, of which few are quite shut (`instruct_data.face.render`), and of its
blinks in a row some come out weaker still. On a head an eye at 0.8 is a slit with the iris in it.
"""

from __future__ import annotations

import numpy as np

from avatargpt.face.audio_model.blinks import LIDS
from avatargpt.face.audio_model.conditioning import Direction
from instruct_data.face.actions import action_names
from instruct_data.face.render import ease
from instruct_data.face.score import DEFAULT, EXTREMELY, VERY

CLOSING = {"close_eyes": (1, 1), "blink": (1, 1), "wink_left": (1, 0), "wink_right": (0, 1)}  # left lid, right lid
HALF = 0.5  # strength up to which lids are only lowered, and stay as the driver shows them
APEX = ((HALF, DEFAULT, VERY, EXTREMELY), (0.92, 0.95, 0.98, 1.0))  # strengths, and how far lids close there
ONCE, IN_A_ROW = 0.7, 0.55  # share of the way from rest that the driver's weakest of usual strength go
FADE = 0.3  # s after an action's end in which lids may still be opening


class Closing:
    """Closes lids frame by frame; as far as the driver moves them from where they rested, so droopy ones stay."""

    def __init__(self) -> None:
        self._rest: np.ndarray | None = None  # (2,) lowest lids since the actions that last began
        self._most = np.zeros(2)  # (2,) longest way from there

    def direct(self, direction: Direction) -> None:
        """Clauses whose action closes lids, from the next frame on."""
        names = ["", *action_names()]
        told = [(CLOSING[names[k]], span) for k, span in zip(direction.kinds, direction.spans, strict=True)
                if names[k] in CLOSING]  # fmt: skip
        self._sides = np.array([sides for sides, _ in told], float).reshape(-1, 2)
        self._spans = np.array([span[:4] for _, span in told], float).reshape(-1, 4)

    def __call__(self, row: np.ndarray, second: float) -> np.ndarray:
        """The frame (55,) at `second`, its lids closed further where they were told to."""
        start, end, strength, repeat = self._spans.T
        active = (second >= start) & (second < end + FADE)
        if not active.any():
            self._rest, self._most = None, np.zeros(2)
            return row
        lids = row[LIDS]
        self._rest = lids if self._rest is None else np.minimum(self._rest, lids)
        room = np.maximum(1 - self._rest, 1e-6)
        way = (lids - self._rest) / room
        share = active * ease((end + FADE - second) / FADE) * np.clip((strength - HALF) / (DEFAULT - HALF), 0, 1)
        self._most = np.maximum(self._most, way)
        # a blink in a row may be weak beside the others, but not what lies between them
        full = np.where(repeat[:, None] > 1, np.maximum(IN_A_ROW, ONCE * self._most), ONCE)
        shut = np.interp(strength, *APEX)[:, None] * ease(way / full)
        further = (share[:, None] * self._sides * np.maximum(shut - way, 0)).max(0)
        out = row.copy()
        out[LIDS] = lids + further * room
        return out

"""Ways to walk that a request names: in a circle, in a zigzag, five metres far, by waypoints.

This is a rule. The network walks, runs or sneaks; where to it cannot be told. So the shape is a typed one, the
motion is made without it, and its path is bent to the shape: the yaw rate is changed in proportion to speed, positions
are never shifted. A foot on the floor then moves with the body's turn: in a walked circle that does not show (0.01 more
of the steps slide), in a crawled one it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from avatargpt.requests.lemmas import lemma
from vqvae.errors import UserError

RUNS = 0.75  # a run needs that much of the time of a walk
SMALL, BIG = 0.7, 1.4  # so do small and big shapes

PACE, LEAST_TOKENS = 0.25, 8  # metres that a walk gets on with a motion token
RUNNING = frozenset("run sprint jog dash race".split())
LEAST = 0.3  # metres between two waypoints

TURN = "turn"  # of a walk that goes straight on before and after it
WAYPOINTS = "waypoints"

Shape = Callable[[np.ndarray], np.ndarray]


def _legs(*degrees: float) -> Shape:
    """Straight legs of equal length in these directions."""
    return lambda u: np.array(degrees)[np.minimum((u * len(degrees)).astype(int), len(degrees) - 1)]


# name -> degrees of heading over the share of the way (0..1), to the left; motion tokens that it takes to walk it
SHAPES: dict[str, tuple[Shape, int]] = {
    "circle": (lambda u: 360 * u, 44),
    "half circle": (lambda u: 180 * u, 26),
    "quarter circle": (lambda u: 90 * u, 18),
    "figure eight": (lambda u: 360 - 360 * np.abs(2 * u - 1), 80),
    "zigzag": (lambda u: _legs(40, -40, 40, -40, 40, -40)(u) * (u > 0.03), 48),
    "square": (_legs(0, 90, 180, 270), 60),
    "triangle": (_legs(0, 120, 240), 50),
    "straight line": (lambda u: 0 * u, 0),
    TURN: (lambda u: np.where(u < 0.5, 0, 90), 0),
}


@dataclass(frozen=True)
class Route:
    """A shape on the floor.

    Attributes:
        shape: a name in `SHAPES`. side: to which it begins, left or right. count: how often a circle is gone.
        size: factor of its time. words: the request without it. degrees: of a `TURN`.
        metres: how far, 0 = as it comes.
        legs: of `WAYPOINTS`, each its direction, degrees to the left, and its share of the way.
    """

    shape: str
    side: str
    count: int
    size: float
    words: str
    degrees: float = 90.0
    metres: float = 0.0
    legs: tuple[tuple[float, float], ...] = ()

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]], words: str) -> Route:
        """By way of (x, z) metres, +z ahead and +x to the left.

        Raises:
            UserError: points that are no way.
        """
        way = np.diff(np.array([(0.0, 0.0), *points]), axis=0)
        far = np.linalg.norm(way, axis=1)
        if far.min() < LEAST:
            raise UserError(f"waypoints {far.min():.2f} m apart; accepted: {LEAST:g} or more, also from 0, 0")
        headings = np.degrees(np.unwrap(np.arctan2(way[:, 0], way[:, 1])))
        legs = tuple(zip(headings.tolist(), (far / far.sum()).tolist(), strict=True))
        return cls(WAYPOINTS, "left", 1, 1.0, words, metres=float(far.sum()), legs=legs)

    @property
    def told(self) -> str:
        if self.shape == WAYPOINTS:
            return f"by {len(self.legs)} waypoints, {self.metres:.1f} m"
        if self.metres:
            return f"{self.metres:g} metres far"
        if self.shape == "straight line":
            return "in a straight line"
        if self.shape == TURN:
            return f"with a turn of {self.degrees:g} degrees to the {self.side}"
        often = {1: "a", 2: "two"}.get(self.count, str(self.count))
        size = "small " if self.size < 1 else "big " if self.size > 1 else ""
        return f"in {often} {size}{self.shape}{'s' * (self.count > 1)} to the {self.side}"

    @property
    def tokens(self) -> int:
        """Motion tokens that it takes, 0 = as many as usual."""
        runs = RUNS if any(lemma(w) in RUNNING for w in self.words.split()) else 1.0
        if self.metres:
            return max(LEAST_TOKENS, round(self.metres / PACE * runs))
        usual = SHAPES[self.shape][1] * self.count * self.size
        return round(usual * runs)

    def heading(self, way: np.ndarray) -> np.ndarray:
        """Degrees, positive to the left, at shares of the way (T,) 0..1."""
        if self.legs:
            ends = np.cumsum([share for _, share in self.legs])
            which = np.minimum(np.searchsorted(ends, way, side="right"), len(self.legs) - 1)
            return np.array([degrees for degrees, _ in self.legs])[which]
        turns = self.count * np.asarray(SHAPES[self.shape][0](way), float) * (self.degrees / 90)
        return -turns if self.side == "right" else turns

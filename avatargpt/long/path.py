"""Keeps the path of a stream inside a circle by bending it gently, frame by frame.

This is a rule, not a network. Where the body travels outward, the largest circle is looked for that touches its
direction of travel and lies inside the radius; when that circle gets narrow, the path is turned along it. The turn is
a yaw rate in proportion to speed (a body at rest is not turned), it sets in and fades over about half a second, and
positions are never shifted.
"""

from __future__ import annotations

import numpy as np

from vqvae.features import RootState

INSIDE = 0.85  # of the radius is what is steered for; the rest is for what sets in late
SOFT = 0.35  # of the radius: wider circles than this need no bend
TIGHTEST = 0.6  # metres: no narrower curve is walked
SETTLE = 0.15  # share per frame by which curvature (twice) and direction of travel follow
LEAD = 12  # frames that the place is looked at ahead of time, for the turn sets in late
FASTEST = 0.1  # radians per frame (115 degrees a second): at 3 m/s no curve is tighter than 1.5 m
MARGIN = 0.3  # metres: the side of the turn changes only for so much more room


class PathKeeper:
    """Bends body features (T, 269) so that their path stays within `radius` metres of where the stream began.

    State: the direction of travel and the curvature. Nothing else is kept.
    """

    def __init__(self, radius: float) -> None:
        self.radius = INSIDE * radius
        self.travel = np.zeros(2)  # metres per frame, world x and z, smoothed
        self.curvature = self.goal = 0.0  # 1 / metres, positive to the left

    def steer(self, features: np.ndarray, state: RootState) -> np.ndarray:
        """The features with the yaw rate (channel 3) bent.

        Args:
            features: (T, 269), the next of the stream.
            state: where `BodyFeatures.decode_chunk` stands before them.
        """
        out, yaw, place = features.copy(), state.yaw, state.position[[0, 2]].copy()
        for row in out:
            c, s = np.cos(yaw), np.sin(yaw)
            step = np.array([c * row[1] + s * row[2], c * row[2] - s * row[1]])
            place += step
            self.travel += SETTLE * (step - self.travel)
            speed = float(np.linalg.norm(self.travel))
            self.goal += SETTLE * (self._wanted(place + LEAD * self.travel, speed) - self.goal)
            self.curvature += SETTLE * (self.goal - self.curvature)
            more = float(np.clip(self.curvature * speed, -FASTEST, FASTEST))
            row[3] += more
            yaw += float(row[3])
            c, s = np.cos(more), np.sin(more)
            self.travel = np.array([c * self.travel[0] + s * self.travel[1], c * self.travel[1] - s * self.travel[0]])
        return out

    def _wanted(self, place: np.ndarray, speed: float) -> float:
        """Curvature of the widest turn that stays inside, 0 where there is room."""
        if speed < 1e-4 or float(self.travel @ place) <= 0:
            return 0.0
        along = self.travel / speed
        across = float(place[0] * along[1] - place[1] * along[0])  # how far to the left of the centre line
        side = 1.0 if across - MARGIN * np.sign(self.curvature) <= 0 else -1.0
        room = self.radius**2 - float(place @ place)
        widest = room / (2 * max(self.radius - abs(across), 1e-6))
        soft = SOFT * self.radius
        if widest >= soft:
            return 0.0
        share = min(1.0, (soft - widest) / (0.3 * soft))
        return side * share / max(widest, TIGHTEST)

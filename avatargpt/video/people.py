"""The people of a film: each one's landmarks over time, and the gates that refuse what is no person.

A network that looks for people sees them in furniture, too. A person is believed who scores high, whose shoulders and
hips are visible, whose bones keep their lengths, whose landmarks lie where the body's own perspective puts them, and
who is large enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from avatargpt.video.camera import mismatch
from avatargpt.video.frames import Frame, Shots, stretches_of
from avatargpt.video.poses import AT, LANDMARKS, MIRROR, Pose, PoseEstimator

MIN_SCORE = 0.7  # mean score of a person
MIN_VISIBLE = 0.5  # mean visibility of shoulders, hips and elbows
MAX_STRETCH = 0.2  # mean deviation of the bones' lengths, relative to them
MAX_MISMATCH = 0.1  # m between landmarks and where the body puts them
MIN_PIXELS = 24  # from the shoulders to the hips
MIN_SECONDS = 0.4
MAX_SPEED, SETTLED = 12.0, 5  # trunks a second that a person moves at most, and frames between leaps at least
SWAP, SWAPPED = 0.2, 0.6  # m that limbs move where the sides are exchanged, and the share of it that is left if swapped
LEGS_VISIBLE = 0.3  # mean visibility of knees and ankles, below which legs are not read
_UPPER = [AT[f"{s}_{n}"] for s in "lr" for n in ("shoulder", "hip", "elbow")]
_LEGS = [AT[f"{s}_{n}"] for s in "lr" for n in ("knee", "ankle")]
_BONES = [
    (AT[f"{s}_{a}"], AT[f"{s}_{b}"])
    for s in "lr"
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"))
]


@dataclass(frozen=True)
class Person:
    """Landmarks of one person in N frames.

    Attributes:
        times: (N,) seconds, rising. score: (N,) 0..1. points: (N, 33, 2) pixels. world: (N, 33, 3) metres in the
            camera's axes. visible: (N, 33) 0..1. size: width and height of the picture, pixels.
    """

    times: np.ndarray
    score: np.ndarray
    points: np.ndarray
    world: np.ndarray
    visible: np.ndarray
    size: tuple[int, int]

    def rows(self, rows: np.ndarray | slice) -> Person:
        """The frames of that index."""
        parts = {name: getattr(self, name)[rows] for name in ("times", "score", "points", "world", "visible")}
        return replace(self, **parts)

    @property
    def height(self) -> np.ndarray:
        """(N,) pixels from the middle of the shoulders to that of the hips."""
        shoulders = (self.points[:, AT["l_shoulder"]] + self.points[:, AT["r_shoulder"]]) / 2
        hips = (self.points[:, AT["l_hip"]] + self.points[:, AT["r_hip"]]) / 2
        return np.asarray(np.linalg.norm(shoulders - hips, axis=-1))

    @property
    def has_legs(self) -> bool:
        """Whether the legs are in the picture."""
        return bool(self.visible[:, _LEGS].mean() >= LEGS_VISIBLE)

    def stretches(self) -> list[Person]:
        """The person between gaps that are too long to be filled."""
        return [self.rows(part) for part in stretches_of(self.times)]

    @property
    def unswapped(self) -> Person:
        """With left and right as in most frames: from the side the network exchanges them for moments."""
        limbs = self.world[:, _UPPER + _LEGS]
        stay = np.linalg.norm(np.diff(limbs, axis=0), axis=-1).mean(1)
        swap = np.linalg.norm(self.world[1:][:, MIRROR][:, _UPPER + _LEGS] - limbs[:-1], axis=-1).mean(1)
        changes = (stay > SWAP) & (swap < SWAPPED * stay)
        other = np.concatenate([[0], np.cumsum(changes)]) % 2 == 1
        if other.mean() > 0.5:
            other = ~other
        if not other.any():
            return self
        parts = {name: getattr(self, name).copy() for name in ("points", "world", "visible")}
        for values in parts.values():
            values[other] = values[other][:, MIRROR]
        return replace(self, **parts)

    @property
    def steady(self) -> Person:
        """Without the frames around leaps, where the network has not settled yet or sees somebody else for a moment."""
        leap = np.linalg.norm(np.diff(self.points[:, _UPPER], axis=0), axis=-1).mean(1)
        height = np.maximum(self.height, 1.0)
        reach = MAX_SPEED * np.clip(np.diff(self.times), 1 / 30, 0.2)
        leaps = np.flatnonzero(leap > reach * np.minimum(height[1:], height[:-1])) + 1
        ends = [0, *leaps.tolist(), len(self.times)]
        keep = [k for a, b in zip(ends[:-1], ends[1:], strict=True) if b - a >= SETTLED for k in range(a, b)]
        return self.rows(np.array(keep, int)) if 0 < len(keep) < len(self.times) else self

    def doubt(self) -> str | None:
        """Why this is no person, or none whose body can be read; None where it is."""
        if self.times[-1] - self.times[0] < MIN_SECONDS:
            return f"in the picture for less than {MIN_SECONDS} s"
        if (score := float(self.score.mean())) < MIN_SCORE:
            return f"score {score:.2f}, at least {MIN_SCORE}"
        if (height := float(np.median(self.height))) < MIN_PIXELS:
            return f"{height:.0f} pixels from the shoulders to the hips, at least {MIN_PIXELS}"
        if (visible := float(self.visible[:, _UPPER].mean())) < MIN_VISIBLE:
            return f"shoulders, hips and elbows are visible to {visible:.2f}, at least {MIN_VISIBLE}"
        lengths = np.stack([np.linalg.norm(self.world[:, a] - self.world[:, b], axis=-1) for a, b in _BONES], -1)
        weight = np.stack([self.visible[:, a] * self.visible[:, b] for a, b in _BONES], -1) + 1e-3
        mean = np.average(lengths, 0, weight)
        change = np.sqrt(np.average((lengths - mean) ** 2, 0, weight)) / np.maximum(mean, 1e-6)
        if (stretch := float(np.average(change, weights=weight.mean(0)))) > MAX_STRETCH:
            return f"the lengths of the bones change by {stretch:.2f} of them, at most {MAX_STRETCH}"
        off = float(np.median(mismatch(self.points, self.world, self.visible + 0.03, self.size)))
        if off > MAX_MISMATCH:
            return f"landmarks lie {off:.2f} m off the body, at most {MAX_MISMATCH}"
        return None


def people_of(frames: Iterable[Frame], estimator: PoseEstimator) -> tuple[list[Person], int]:
    """Everybody in every shot, the largest and longest first, and the number of frames."""
    rows: dict[tuple[int, int], list[tuple[float, np.ndarray]]] = {}  # by shot and number
    count, size, shots = 0, (1, 1), Shots()
    for frame in frames:
        count += 1
        size = frame.picture.shape[1], frame.picture.shape[0]
        shot = shots.of(frame.picture)
        for pose in estimator.people(frame.picture, frame.time):
            rows.setdefault((shot, pose.track), []).append((frame.time, _row(pose)))
    people = []
    for key in list(rows):
        track = rows.pop(key)  # an hour of several people is large: what is stacked goes
        if len(track) > 1:
            people.append(_person(track, size).unswapped.steady)
    return sorted(people, key=lambda p: -float(p.height.sum())), count


def _row(pose: Pose) -> np.ndarray:
    """(199,) float32: score, points, world, visible."""
    parts = [pose.points.ravel(), pose.world.ravel(), pose.visible]
    return np.concatenate([[pose.score], *parts]).astype(np.float32)


def _person(rows: list[tuple[float, np.ndarray]], size: tuple[int, int]) -> Person:
    flat, count = np.stack([row for _, row in rows]), len(LANDMARKS)
    points, world, visible = np.split(flat[:, 1:], [2 * count, 5 * count], axis=1)
    return Person(
        np.array([t for t, _ in rows]), flat[:, 0], points.reshape(-1, count, 2), world.reshape(-1, count, 3), visible,
        size,
    )  # fmt: skip

"""The people of a film: each one's landmarks over time, and the gates that refuse what is no person.

A network that looks for people sees them in furniture, too. A person is believed who scores high, whose shoulders and
hips are visible, whose bones keep their lengths, whose landmarks lie where the body's own perspective puts them, and
who is large enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from avatargpt.video.body_network import HIDDEN, find_place, look_aside
from avatargpt.video.frames import FOCAL, Frame, FrameRows, Shots
from avatargpt.video.poses import AT, LANDMARKS, PoseEstimator

MIN_SCORE = 0.7  # mean score of a person
MIN_VISIBLE = 0.5  # mean visibility of shoulders, hips and elbows
MAX_STRETCH = 0.2  # mean deviation of the bones' lengths, relative to them
MAX_MISMATCH = 0.1  # m between landmarks and where the body puts them
MIN_PIXELS = 24  # from the shoulders to the hips
MIN_SECONDS = 0.4
MAX_SPEED, SETTLED = 12.0, 5  # trunks a second that a person moves at most, and frames between leaps at least
UPSIDE_DOWN = 0.3  # heights of the trunk by which shoulders are lower than hips of somebody upside down
_UPPER = [AT[f"{s}_{n}"] for s in "lr" for n in ("shoulder", "hip", "elbow")]
_BONES = [
    (AT[f"{s}_{a}"], AT[f"{s}_{b}"])
    for s in "lr"
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"))
]


@dataclass(frozen=True)
class Person(FrameRows):
    """Landmarks of one person in N frames.

    Attributes:
        times: (N,) seconds, rising. score: (N,) 0..1. points: (N, 33, 2) pixels. world: (N, 33, 3) metres in the
            camera's axes. visible: (N, 33) 0..1, 0 outside the picture. size: width and height of the picture, pixels.
        moving: whether the camera moves.
    """

    times: np.ndarray
    score: np.ndarray
    points: np.ndarray
    world: np.ndarray
    visible: np.ndarray
    size: tuple[int, int]
    moving: bool = False

    @property
    def inside(self) -> Person:
        """With nothing visible outside the picture, where the network guesses and may be sure of it."""
        return replace(self, visible=self.visible * ((self.points >= 0) & (self.points <= self.size)).all(-1))

    def rays(self, focal: float) -> np.ndarray:
        """(N, 33, 2) right and up of the picture's middle, at depth 1; focal length in lengths of the longer side."""
        return np.asarray((self.points - np.array(self.size) / 2) * [1, -1] / (focal * max(self.size)))

    @property
    def trunk(self) -> np.ndarray:
        """(N, 2) pixels from the middle of the hips to that of the shoulders, y down."""
        shoulders, hips = (self.points[:, [AT[f"l_{n}"], AT[f"r_{n}"]]].mean(1) for n in ("shoulder", "hip"))
        return np.asarray(shoulders - hips)

    @property
    def height(self) -> np.ndarray:
        """(N,) pixels from the middle of the hips to that of the shoulders."""
        return np.asarray(np.linalg.norm(self.trunk, axis=-1))

    @property
    def doubts(self) -> list[str]:
        """What of the film makes the motion of a person doubtful."""
        found = ["the camera moves: the path is not to be relied on"] if self.moving else []
        if np.median(self.trunk[:, 1] - UPSIDE_DOWN * self.height) > 0:
            found.append("the head is below the hips: accepted a film that is upright")
        return found

    def stretches(self) -> list[Person]:
        """The parts between gaps that are too long to be filled, and between leaps, which lead to somebody else."""
        ends = [0, *self._leaps.tolist(), len(self.times)]
        return [part for a, b in pairwise(ends) for part in super(Person, self.rows(slice(a, b))).stretches()]

    @property
    def _leaps(self) -> np.ndarray:
        """Rows at which the person is elsewhere of a sudden."""
        leap = np.linalg.norm(np.diff(self.points[:, _UPPER].mean(1), axis=0), axis=-1)
        height = np.maximum(self.height, 1.0)
        reach = MAX_SPEED * np.clip(np.diff(self.times), 1 / 30, 0.2)
        return np.flatnonzero(leap > reach * np.minimum(height[1:], height[:-1])) + 1

    @property
    def steady(self) -> Person:
        """Without the frames around leaps, where the network has not settled yet or sees somebody else for a moment."""
        ends = [0, *self._leaps.tolist(), len(self.times)]
        keep = [k for a, b in pairwise(ends) if b - a >= SETTLED for k in range(a, b)]
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
        parts = self.world, self.rays(FOCAL), self.visible + HIDDEN
        world, rays, seen = (torch.from_numpy(x.astype(np.float32))[None] for x in parts)
        off = look_aside(world, rays, find_place(world, rays, seen)).norm(dim=-1)
        if (apart := float(((off * seen).sum(-1) / seen.sum(-1)).median())) > MAX_MISMATCH:
            return f"landmarks lie {apart:.2f} m off the body, at most {MAX_MISMATCH}"
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
            parts = pose.score, pose.points, pose.world, pose.visible
            row = np.concatenate([np.ravel(part) for part in parts]).astype(np.float32)  # (199,)
            rows.setdefault((shot, pose.track), []).append((frame.time, row))
    people = []
    for key in list(rows):
        track = rows.pop(key)  # an hour of several people is large: what is stacked goes
        if len(track) > 1:
            people.append(_person(track, size, shots.is_moving(key[0])).steady)
    return sorted(people, key=lambda p: -float(p.height.sum())), count


def _person(rows: list[tuple[float, np.ndarray]], size: tuple[int, int], moving: bool) -> Person:
    flat, count = np.stack([row for _, row in rows]), len(LANDMARKS)
    points, world, visible = np.split(flat[:, 1:], [2 * count, 5 * count], axis=1)
    return Person(
        np.array([t for t, _ in rows]), flat[:, 0], points.reshape(-1, count, 2), world.reshape(-1, count, 3), visible,
        size, moving,
    ).inside  # fmt: skip

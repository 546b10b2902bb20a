"""What a face estimator is; faces of a film over time to 52 weights and the head, with what each channel is worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import NamedTuple, Protocol

import numpy as np

from avatargpt.video.frames import Frame, Shots, stretches_of
from avatargpt.video.paths import even
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

FPS = 30.0
SIGMA = 0.03  # s of the window of a parabola: a blink has five frames
NEUTRAL = 0.12  # quantile of a channel that counts as the resting face
MAX_NEUTRAL = 0.6  # of a weight that is taken for rest
MIN_FRAMES = 8
SAME_FACE = 0.8  # sides of a face between two frames, within which it is the same one
FORGET_SECONDS = 2.0
# channels that MediaPipe's network never moves (its issues 4403, 4436, 4450, 5329), and the tongue, which it lacks
DEAD = (
    "jawForward", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip


class Face(NamedTuple):
    """One face in one picture."""

    box: np.ndarray  # (4,) left, top, right, bottom, pixels
    weights: np.ndarray  # (52,) 0..1, Apple's order, sides the person's own
    head: np.ndarray  # (3,) yaw, pitch, roll against the camera, radians, signs of `FaceMotion`


class FaceEstimator(Protocol):
    """Finds faces in the frames of one film, which come in order."""

    def faces(self, picture: np.ndarray, time: float) -> list[Face]:
        """The faces in a picture (H, W, 3) uint8 RGB at that second of the film."""
        ...

    def close(self) -> None:
        """Give back what it holds, after the last frame."""
        ...


# name -> ``module:function`` of the greatest number of faces
ESTIMATORS = {"mediapipe": "avatargpt.video.landmarker:Landmarker"}


def estimator(name: str, count: int) -> FaceEstimator:
    """A fresh estimator for one film. Raises UserError for a name that is unknown, or what it needs is missing."""
    if name not in ESTIMATORS:
        raise UserError(f"no face estimator called {name}; accepted {', '.join(ESTIMATORS)}")
    finder: FaceEstimator = resolve_name(ESTIMATORS[name])(count)
    return finder


@dataclass(frozen=True)
class FaceTrack:
    """One face in N frames: `times` (N,) seconds, `boxes` (N, 4), `weights` (N, 52), `head` (N, 3) as of `Face`."""

    times: np.ndarray
    boxes: np.ndarray
    weights: np.ndarray
    head: np.ndarray

    @property
    def side(self) -> np.ndarray:
        """(N,) pixels of the box, the mean of its sides."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).mean(1))

    def stretches(self) -> list[FaceTrack]:
        """The face between gaps that are too long to be filled."""
        return [
            FaceTrack(self.times[part], self.boxes[part], self.weights[part], self.head[part])
            for part in stretches_of(self.times)
        ]


def faces_of(frames: Iterable[Frame], finder: FaceEstimator) -> tuple[list[FaceTrack], int]:
    """Every face in every shot, the largest and longest first, and the number of frames."""
    rows: list[list[tuple[float, Face]]] = []
    count, earlier, shot, shots = 0, 0, 0, Shots()
    for frame in _closing(frames, finder):
        count += 1
        if shots.of(frame.picture) > shot:
            shot, earlier = shots.number, len(rows)  # rows of shots before
        free = [r for r in rows[earlier:] if frame.time - r[-1][0] < FORGET_SECONDS]
        for face in sorted(finder.faces(frame.picture, frame.time), key=lambda f: -_side(f)):
            row = min(free, key=lambda r: _distance(r[-1][1], face), default=None)
            if row is None or _distance(row[-1][1], face) > SAME_FACE:
                rows.append(row := [])
            else:
                free = [r for r in free if r is not row]
            row.append((frame.time, face))
    tracks = [
        FaceTrack(
            np.array([t for t, _ in r]), np.stack([f.box for _, f in r]), np.stack([f.weights for _, f in r]),
            np.stack([f.head for _, f in r]),
        )
        for r in rows
        if len(r) >= MIN_FRAMES
    ]  # fmt: skip
    return sorted(tracks, key=lambda t: -float(t.side.sum())), count


def face_motion(track: FaceTrack, neutral: bool = True, dead: bool = False) -> tuple[FaceMotion, float]:
    """The face at 30 frames a second, and the second of the film of its first frame.

    Args:
        neutral: take the resting face away: of every channel but the gaze its `NEUTRAL` quantile, up to `MAX_NEUTRAL`.
        dead: keep the `DEAD` channels, which hold noise alone.
    """
    start = float(np.ceil(track.times[0] * FPS - 1e-6) / FPS)
    grid = np.arange(start, max(track.times[-1], start) + 1e-6, 1 / FPS)
    weights = track.weights
    if neutral:
        rest = np.quantile(weights, NEUTRAL, axis=0).clip(0, MAX_NEUTRAL)
        rest[[k for k, name in enumerate(arkit.NAMES) if name.startswith("eyeLook")]] = 0
        weights = ((weights - rest) / (1 - rest)).clip(0, 1)
    if not dead:
        weights = weights * [name not in DEAD for name in arkit.NAMES]
    curves = np.concatenate([weights, np.unwrap(track.head, axis=0)], 1)[..., None]
    smooth = even(track.times, curves, np.ones(curves.shape[:2]), grid, SIGMA)[..., 0]
    return FaceMotion.from_curves(smooth, FPS), start


def _closing(frames: Iterable[Frame], finder: FaceEstimator) -> Iterator[Frame]:
    """The frames; the estimator is closed after the last, or where one cannot be read."""
    try:
        yield from frames
    finally:
        finder.close()


def _side(face: Face) -> float:
    return float((face.box[2:] - face.box[:2]).mean())


def _distance(a: Face, b: Face) -> float:
    """Between the middles, in sides of the larger face."""
    return float(np.linalg.norm(a.box[:2] + a.box[2:] - b.box[:2] - b.box[2:]) / 2 / max(_side(a), _side(b), 1e-6))

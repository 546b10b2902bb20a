"""What a face estimator is; faces of a film over time to 52 weights and the head, with what each channel is worth."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import NamedTuple, Protocol

import numpy as np

from avatargpt.video.frames import FOCAL, Frame, FrameRows, Shots
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

FPS = 30.0
SIGMA = 0.03  # s of the window of a parabola: a blink has five frames
NEUTRAL = 0.12  # quantile of a channel that counts as the resting face
MAX_NEUTRAL = 0.6  # of a weight that is taken for rest
OPEN = np.array([3.5, 4.0])  # cm that a fully open jaw adds to `Face.mouth`
# of each channel: how high brows sit is anatomy, a gaze is no rest
MOST_NEUTRAL = np.array([{"brow": 1.0, "eyeL": 0.0}.get(name[:4], MAX_NEUTRAL) for name in arkit.NAMES])
JAW = arkit.INDEX["jawOpen"]
LIDS = [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]
SHUT = 0.75  # the network's weight of closed lids: 0.6 to 0.9 on real faces
MIN_FRAMES = 8
SAME_FACE = 0.8  # sides of a face between two frames, within which it is the same one
FORGET_SECONDS = 2.0
CERTAINTY = 0.5  # of a detected face: what a film is thought to show is also found where it is small or dark
# channels that MediaPipe's network never moves (its issues 4403, 4436, 4450, 5329), and the tongue, which it lacks
DEAD = (
    "jawForward", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
ALIVE = np.array([name not in DEAD for name in arkit.NAMES])


class Face(NamedTuple):
    """One face in one picture."""

    box: np.ndarray  # (4,) left, top, right, bottom, pixels
    weights: np.ndarray  # (52,) 0..1, Apple's order, sides the person's own
    head: np.ndarray  # (3,) yaw, pitch, roll against the camera, radians, signs of `FaceMotion`
    # (2,) from the nose to below the lower lip, and between the lips, cm on a face of usual size; None = not measured
    mouth: np.ndarray | None = None

    @property
    def side(self) -> float:
        """Pixels of the box, the mean of its sides."""
        return float((self.box[2:] - self.box[:2]).mean())


class FaceEstimator(Protocol):
    """Finds faces in the frames of one film, which come in order."""

    def faces(self, picture: np.ndarray, time: float) -> list[Face]:
        """The faces in a picture (H, W, 3) uint8 RGB at that second of the film."""
        ...

    def close(self) -> None:
        """Give back what it holds, after the last frame."""
        ...


# name -> ``module:function`` of the greatest number of faces, the focal length and the certainty
ESTIMATORS = {"mediapipe": "avatargpt.video.landmarker:Landmarker"}


def estimator(name: str, count: int, focal: float | None = None, certainty: float = CERTAINTY) -> FaceEstimator:
    """A fresh estimator for one film.

    Args:
        count: faces at most. focal: focal length in lengths of the picture's longer side; None = that of phones.
        certainty: 0 to 1, of the detector, from which on something counts as a face.

    Raises:
        UserError: a name that is unknown, or what it needs is missing.
    """
    if name not in ESTIMATORS:
        raise UserError(f"no face estimator called {name}; accepted {', '.join(ESTIMATORS)}")
    finder: FaceEstimator = resolve_name(ESTIMATORS[name])(count, focal or FOCAL, certainty)
    return finder


@dataclass(frozen=True)
class FaceTrack(FrameRows):
    """One face in N frames: `times` (N,) seconds, `boxes` (N, 4), `weights` (N, 52), `head` (N, 3), `mouth` (N, 2) as
    of `Face`."""

    times: np.ndarray
    boxes: np.ndarray
    weights: np.ndarray
    head: np.ndarray
    mouth: np.ndarray | None = None

    @property
    def side(self) -> np.ndarray:
        """(N,) pixels of the box, the mean of its sides."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).mean(1))


def faces_of(frames: Iterable[Frame], finder: FaceEstimator) -> tuple[list[FaceTrack], int]:
    """Every face in every shot, the largest and longest first, and the number of frames; the estimator is closed."""
    rows: list[list[tuple[float, Face]]] = []
    count, earlier, shot, shots = 0, 0, 0, Shots()
    with closing(finder):
        for frame in frames:
            count += 1
            if shots.of(frame.picture) > shot:
                shot, earlier = shots.number, len(rows)  # rows of shots before
            free = [r for r in rows[earlier:] if frame.time - r[-1][0] < FORGET_SECONDS]
            for face in sorted(finder.faces(frame.picture, frame.time), key=lambda f: -f.side):
                row = min(free, key=lambda r: _distance(r[-1][1], face), default=None)
                if row is None or _distance(row[-1][1], face) > SAME_FACE:
                    rows.append(row := [])
                else:
                    free = [r for r in free if r is not row]
                row.append((frame.time, face))
    tracks = [_track(r) for r in rows if len(r) >= MIN_FRAMES]
    return sorted(tracks, key=lambda t: -float(t.side.sum())), count


def face_motion(track: FaceTrack, neutral: bool = True, dead: bool = False) -> tuple[FaceMotion, float]:
    """The face at 30 frames a second, and the second of the film of its first frame.

    Args:
        neutral: take the resting face away: of every channel its `NEUTRAL` quantile, up to `MOST_NEUTRAL`. Lids at
            `SHUT` then count as shut. The jaw is the mean of the network's, which small openings hardly move, and of
            how far the lower lip and the lips' distance are from their rest.
        dead: keep the `DEAD` channels, which hold noise alone.
    """
    start = float(np.ceil(track.times[0] * FPS - 1e-6) / FPS)
    grid = np.arange(start, max(track.times[-1], start) + 1e-6, 1 / FPS)
    weights = track.weights
    if neutral:
        weights = relative_to(rest_of(weights, track.mouth), weights, track.mouth)
    alive = 1.0 if dead else ALIVE
    curves = np.concatenate([weights * alive, np.unwrap(track.head, axis=0)], 1)[..., None]
    smooth = even(track.times, curves, np.ones(curves.shape[:2]), grid, SIGMA)[..., 0]
    return FaceMotion.from_curves(smooth, FPS), start


class RestingFace(NamedTuple):
    """A resting face: `weights` (52,) and `mouth` (2,), as of `Face`."""

    weights: np.ndarray
    mouth: np.ndarray | None


def rest_of(weights: np.ndarray, mouth: np.ndarray | None) -> RestingFace:
    """The resting face of frames with weights (N, 52) and mouths (N, 2)."""
    rest = np.minimum(np.quantile(weights, NEUTRAL, axis=0), MOST_NEUTRAL)
    return RestingFace(rest, None if mouth is None else np.quantile(mouth, NEUTRAL, axis=0))


def relative_to(rest: RestingFace, weights: np.ndarray, mouth: np.ndarray | None) -> np.ndarray:
    """Weights (N, 52) with the resting face taken away; see `face_motion`."""
    full = np.ones(arkit.COUNT)
    full[LIDS] = SHUT
    weights = ((weights - rest.weights) / np.maximum(full - rest.weights, 1 - MAX_NEUTRAL)).clip(0, 1)
    if mouth is not None and rest.mouth is not None:
        opened = ((mouth - rest.mouth) / OPEN).clip(0, 1)
        weights[:, JAW] = (weights[:, JAW] + opened.sum(1)) / (1 + opened.shape[1])
    return weights


def _track(rows: list[tuple[float, Face]]) -> FaceTrack:
    faces = [f for _, f in rows]
    mouths = [f.mouth for f in faces if f.mouth is not None]
    return FaceTrack(
        np.array([t for t, _ in rows]), np.stack([f.box for f in faces]), np.stack([f.weights for f in faces]),
        np.stack([f.head for f in faces]), np.stack(mouths) if len(mouths) == len(faces) else None,
    )  # fmt: skip


def _distance(a: Face, b: Face) -> float:
    """Between the middles, in sides of the larger face."""
    return float(np.linalg.norm(a.box[:2] + a.box[2:] - b.box[:2] - b.box[2:]) / 2 / max(a.side, b.side, 1e-6))


def even(times: np.ndarray, values: np.ndarray, weight: np.ndarray, grid: np.ndarray, sigma: float) -> np.ndarray:
    """(G, J, C) values at the times `grid` (G,) from (N, J, C) at `times` (N,), weighted by (N, J).

    A parabola is fitted around every time under a Gaussian of `sigma` seconds (Savitzky and Golay 1964, on uneven
    times); over gaps values go along a line.
    """
    out = np.empty((len(grid), *values.shape[1:]))
    for g, t in enumerate(grid):
        first, last = np.searchsorted(times, [t - 4 * sigma, t + 4 * sigma])
        close = np.abs(times[first:last] - t) < 2 * sigma
        if close.sum() < 3 or not times[first] - 1e-9 <= t <= times[last - 1] + 1e-9:
            after = min(int(np.searchsorted(times, t)), len(times) - 1)
            before = max(after - 1, 0)
            share = np.clip((t - times[before]) / max(times[after] - times[before], 1e-9), 0, 1)
            out[g] = values[before] + (values[after] - values[before]) * share
            continue
        x = (times[first:last] - t) / sigma
        w = np.exp(-0.5 * x * x)[:, None] * weight[first:last]
        basis = np.stack([np.ones_like(x), x, x * x], -1)
        ridge = np.diag([1e-9, 1e-3, 3e-2]) * w.sum(0)[:, None, None]
        normal = np.einsum("nj,na,nb->jab", w, basis, basis) + ridge
        out[g] = np.linalg.solve(normal, np.einsum("nj,na,njc->jac", w, basis, values[first:last]))[:, 0]
    return out

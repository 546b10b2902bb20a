"""Pictures of faces with their landmarks: renders of our own head under many looks, and users' own videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.export.face.landmarks import landmark_image, landmarks
from avatargpt.export.face.render import FaceRenderer, Look
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.io.arrays import read_arrays

if TYPE_CHECKING:
    from PIL import Image

LONGEST = 36_000  # frames of a video that are read
MARGIN = 0.45  # of the landmarks' box, around it
LEAST = 16  # pixels of a video that a face is wide or high
_SKINS = ((1.0, 1.0, 1.0), (0.75, 0.68, 0.62), (0.48, 0.38, 0.33), (0.28, 0.21, 0.18), (1.08, 1.02, 0.98))


@dataclass(frozen=True)
class Take:
    """One person in one light.

    Attributes:
        frames: (T, S, S, 3) uint8. lines: (T, S, S, 3) uint8, their landmark images.
        points: (T, 68 or 70, 2), in shares of the picture.
        name: what it was made of.
    """

    frames: np.ndarray
    lines: np.ndarray
    points: np.ndarray
    name: str = ""

    def part(self, frames: slice) -> Take:
        """Some of the frames."""
        return replace(self, frames=self.frames[frames], lines=self.lines[frames], points=self.points[frames])


def a_look(rng: np.random.Generator) -> Look:
    """Skin, hair, eyes, clothes, light and background drawn at random."""
    skin = np.array(_SKINS[int(rng.integers(len(_SKINS)))]) * rng.uniform(0.9, 1.1)
    hair = rng.choice([[1.0, 1.0, 1.0], [0.3, 0.3, 0.35], [4.0, 2.6, 1.4], [3.0, 1.0, 0.5], [7, 7, 7.5]])
    tints = {"skin": skin, "hair": hair * rng.uniform(0.8, 1.2), "eye": rng.uniform(0.8, 1.1, 3),
             "cloth": rng.uniform(0.2, 2.5, 3)}  # fmt: skip
    side = rng.uniform(-0.9, 0.9)
    return Look(
        {k: (float(v[0]), float(v[1]), float(v[2])) for k, v in tints.items()},
        (float(side), float(rng.uniform(0.0, 0.8)), 0.7), float(rng.uniform(0.8, 1.15)),
        tuple(rng.uniform(0.1, 0.95, 3).tolist()),
    )


def an_expression(rng: np.random.Generator) -> np.ndarray:
    """(52,) ARKit weights: up to five movements, mostly of both sides alike, a jaw and lids besides."""
    out = np.zeros(len(arkit.NAMES))
    for i in rng.integers(len(arkit.NAMES), size=int(rng.integers(0, 6))):
        name, strength = arkit.NAMES[int(i)], float(rng.uniform(0.2, 1.0))
        both = rng.random() < 0.7
        for other in {name, name.replace("Left", "Right"), name.replace("Right", "Left")} if both else {name}:
            out[arkit.NAMES.index(other)] = strength
    if rng.random() < 0.5:
        out[arkit.NAMES.index("jawOpen")] = rng.uniform(0, 0.8)
    if rng.random() < 0.3:
        out[[arkit.NAMES.index(f"eyeBlink{s}") for s in ("Left", "Right")]] = rng.uniform(0, 1)
    return out


def rendered(people: int, frames: int, size: int, seed: int) -> list[Take]:
    """Our own head as `people` persons: colours, proportions, light and distance differ.

    Args:
        frames: of each, with another expression and turn of the head in every one. size: pixels along each side.
    """
    from avatargpt.export.head.head import turned
    from avatargpt.export.head.morphs import shaped
    from vqvae.face import turns

    out = []
    for person in range(people):
        rng = np.random.default_rng([seed, person])
        span, yaw = float(rng.uniform(0.28, 0.36)), float(rng.normal(0, 0.12))
        renderer = FaceRenderer(size, size, span, yaw, look=a_look(rng))
        stretch = rng.uniform([0.9, 0.92, 0.95], [1.1, 1.08, 1.05])
        heads = turns(rng.normal(0, [0.16, 0.10, 0.06], (frames, 3)))
        pictures, points = [], []
        for quaternion in heads:
            moved = turned(shaped(an_expression(rng)), quaternion) * stretch
            pictures.append(renderer.frame(moved))
            points.append(renderer.seen(landmarks(moved)))
        out.append(_take(np.stack(pictures), np.stack(points), f"our head {seed}/{person}"))
    return out


def _take(frames: np.ndarray, points: np.ndarray, name: str) -> Take:
    return Take(frames, np.stack([landmark_image(p, frames.shape[1]) for p in points]), points, name)


def filmed(folder: Path, size: int) -> list[Take]:
    """Videos with landmarks: every NAME.mp4 (.mov, .mkv, .webm, .avi) beside a NAME.npz.

    The .npz holds ``landmarks`` (T, 68, 2) or (T, 70, 2), pixels of the video as it is shown (upright, where it says
    that it is to be turned), a row for each frame, in iBUG's order.
    Every video is cut to one square around all of them. Frames without a landmark that is a finite number (no face
    found) are left out.

    Raises:
        UserError: no such pair, an unreadable file, landmarks that do not go with the frames or lie outside of them, or
            fewer than two frames with a face.
    """
    kinds = (".mp4", ".mov", ".mkv", ".webm", ".avi")
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in kinds) if folder.is_dir() else []
    if not videos:
        raise UserError(f"{folder}: no video in it; accepted: NAME{kinds[0]} ({', '.join(kinds[1:])}) and NAME.npz")
    return [_filmed(video, size) for video in videos]


def _filmed(video: Path, size: int) -> Take:
    from PIL import Image

    beside = video.with_suffix(".npz")
    try:
        points = np.asarray(read_arrays(beside, ("landmarks",))["landmarks"], np.float64)
    except (KeyError, TypeError, ValueError) as e:
        accepted = "an array landmarks (T, 68, 2)"
        raise UserError(f"{beside}: no landmarks for {video.name} ({e}); accepted: {accepted}") from None
    if points.ndim != 3 or points.shape[1] not in (68, 70) or points.shape[2] != 2:
        raise UserError(f"{beside}: landmarks {points.shape}; accepted: (T, 68, 2) or (T, 70, 2), pixels")
    points = np.where(np.isfinite(points).all(2, keepdims=True), points, np.nan)
    found = np.asarray(~np.isnan(points).all((1, 2)))
    if found.sum() < 2:
        raise UserError(f"{beside}: landmarks in {found.sum()} of {len(found)} frames; accepted: in at least 2")
    low, high = np.nanmin(points, (0, 1)), np.nanmax(points, (0, 1))
    side = float((high - low).max()) * (1 + 2 * MARGIN)
    corner = (low + high) / 2 - side / 2
    start, end = np.floor(corner), np.ceil(corner + side)
    frames: list[np.ndarray] = []
    for picture in _pictures(video, len(points)):
        if not frames:
            _check_face(low, high, picture.size, str(beside))
        whole = picture.crop((int(start[0]), int(start[1]), int(end[0]), int(end[1])))
        box = (*(corner - start), *(corner + side - start))
        frames.append(np.asarray(whole.resize((size, size), Image.Resampling.LANCZOS, box)))
    if len(frames) != len(points):
        raise UserError(f"{video}: {len(frames)} frames, but {beside.name} has landmarks for {len(points)}")
    return _take(np.stack(frames)[found], ((points - corner) / side)[found], video.name)


def _check_face(low: np.ndarray, high: np.ndarray, size: tuple[int, int], where: str) -> None:
    """Refuse landmarks that cannot be pixels of a video of this size (w, h): training would see one patch of colour."""
    beyond = np.array(size) / 2  # a face may be cut by the edge
    outside = (high <= 0).any() or (low >= size).any() or (low < -beyond).any() or (high > size + beyond).any()
    if outside or (high - low).max() < LEAST:
        told = f"x from {low[0]:.5g} to {high[0]:.5g}, y from {low[1]:.5g} to {high[1]:.5g}"
        raise UserError(f"{where}: landmarks with {told} for a picture of {size[0]} x {size[1]}; accepted: pixels of "
                        f"the video, of a face that lies in it and spans at least {LEAST}")  # fmt: skip


def _pictures(video: Path, most: int) -> Iterator[Image.Image]:
    """Frames as they are shown, at most one more than `most`."""
    try:
        import av
    except ImportError:
        raise UserError('videos need PyAV: pip install "avatargpt[video]"') from None
    try:
        with av.open(str(video)) as container:
            for n, frame in enumerate(container.decode(video=0)):
                if n > min(most, LONGEST):
                    break
                picture = frame.to_image()  # as it is stored: phones keep upright videos lying
                yield picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
    except (av.FFmpegError, OSError, IndexError) as e:
        raise UserError(f"{video}: not a readable video ({e})") from None

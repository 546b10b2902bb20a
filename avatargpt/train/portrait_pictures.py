"""Pictures of faces with landmarks, to train a portrait on: renders of our own head, and videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from avatargpt.export.head import head, shaped, turn_vertices
from avatargpt.export.renderers import Appearance, MeshRenderer
from avatargpt.face.portrait import COUNT, landmark_image, landmarks, square_around
from avatargpt.train.processes import map_in_order
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import turns
from vqvae.io.data_files import read_arrays

if TYPE_CHECKING:
    from PIL import Image

MAX_FRAMES = 36_000  # of a video
MIN_PIXELS = 16  # of a face in a video
BUMPS, BUMP = 6, 0.004  # places where a person's head is shaped differently, and by how many metres
# of the picture, by which a landmarker places each landmark of a person differently; jaw and brows most
OPINION = np.array([0.006] * 27 + [0.002] * 43)[:, None]


SKINS = ((1.0, 1.0, 1.0), (0.75, 0.68, 0.62), (0.48, 0.38, 0.33), (0.28, 0.21, 0.18), (1.08, 1.02, 0.98))


@dataclass(frozen=True)
class PortraitTake:
    """One person in one light."""

    frames: np.ndarray  # (T, S, S, 3) uint8
    lines: np.ndarray  # (T, S, S, 3) uint8, their landmark images
    points: np.ndarray  # (T, 68 or 70, 2), in shares of the picture
    name: str = ""  # of its source

    def rows(self, frames: slice | list[int]) -> PortraitTake:
        """Those of the frames."""
        return replace(self, frames=self.frames[frames], lines=self.lines[frames], points=self.points[frames])


def random_look(rng: np.random.Generator) -> Appearance:
    """Skin, hair, eyes, clothes, light and background drawn at random."""
    skin = np.array(SKINS[int(rng.integers(len(SKINS)))]) * rng.uniform(0.9, 1.1)
    hair = rng.choice([[1.0, 1.0, 1.0], [0.3, 0.3, 0.35], [4.0, 2.6, 1.4], [3.0, 1.0, 0.5], [7, 7, 7.5]])
    tints = {"skin": skin, "hair": hair * rng.uniform(0.8, 1.2), "eye": rng.uniform(0.8, 1.1, 3),
             "cloth": rng.uniform(0.2, 2.5, 3)}  # fmt: skip
    side = rng.uniform(-0.9, 0.9)
    return Appearance(
        {k: (float(v[0]), float(v[1]), float(v[2])) for k, v in tints.items()},
        (float(side), float(rng.uniform(0.0, 0.8)), 0.7), float(rng.uniform(0.8, 1.15)),
        tuple(rng.uniform(0.1, 0.95, 3).tolist()),
    )


def random_expression(rng: np.random.Generator) -> np.ndarray:
    """(52,) ARKit weights: up to five movements, mostly symmetric, and often a jaw and lids."""
    out = np.zeros(len(arkit.NAMES))
    for i in rng.integers(len(arkit.NAMES), size=int(rng.integers(0, 6))):
        name, strength = arkit.NAMES[int(i)], float(rng.uniform(0.2, 1.0))
        both = rng.random() < 0.7
        # Most expressions are symmetric.
        for side in {name, name.replace("Left", "Right"), name.replace("Right", "Left")} if both else {name}:
            out[arkit.NAMES.index(side)] = strength
    if rng.random() < 0.5:
        out[arkit.NAMES.index("jawOpen")] = rng.uniform(0, 0.8)
    if rng.random() < 0.3:
        out[[arkit.NAMES.index(f"eyeBlink{s}") for s in ("Left", "Right")]] = rng.uniform(0, 1)
    return out


def render_people(people: int, frames: int, size: int, seed: int, workers: int = 1) -> list[PortraitTake]:
    """Our own head as `people` persons: colours, shapes, light, backgrounds and distance differ.

    `workers`: processes that draw.
    """
    return list(map_in_order(partial(render_person, frames=frames, size=size, seed=seed), range(people), workers))


def render_person(person: int, frames: int, size: int, seed: int) -> PortraitTake:
    """One of `render_people`."""
    rng = np.random.default_rng([seed, person])
    span, yaw = float(rng.uniform(0.25, 0.34)), float(rng.normal(0, 0.12))
    look = replace(random_look(rng), back=_background(rng), texture=1 + rng.uniform(0, 0.15) * rng.normal(
        size=(len(head().points), 1)))  # fmt: skip
    renderer = MeshRenderer(size, size, span, yaw, look=look)
    stretch = rng.uniform([0.9, 0.92, 0.95], [1.1, 1.08, 1.05])
    bumps = _bumps(rng)
    # a landmarker has its own opinion of where a person's landmarks lie
    opinion = rng.normal(0, OPINION, (len(head().landmarks), 2))
    pictures, points = [], []
    for k, quaternion in enumerate(turns(rng.normal(0, [0.16, 0.10, 0.06], (frames, 3)))):
        # a quarter at rest, as most photos are
        weights = np.zeros(len(arkit.NAMES)) if k < frames // 4 else random_expression(rng)
        moved = turn_vertices(shaped(weights) + bumps, quaternion) * stretch
        pictures.append(renderer.frame(moved))
        points.append(renderer.project(landmarks(moved)) + opinion)
    return take_of(np.stack(pictures), np.stack(points), f"our head {seed}/{person}")


def _bumps(rng: np.random.Generator) -> np.ndarray:
    """(V, 3) metres by which the head of a person is shaped differently."""
    points = head().points.astype(np.float64)
    middles = points[rng.integers(len(points), size=BUMPS)]
    width = rng.uniform(0.03, 0.07, BUMPS)
    near = np.exp(-0.5 * ((points[:, None] - middles) ** 2).sum(2) / width**2)
    out: np.ndarray = near @ rng.normal(0, BUMP, (BUMPS, 3))
    return out


def _background(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) sRGB: patches of colour, out of focus or sharp."""
    from PIL import Image

    base = rng.uniform(0.1, 0.95, 3)
    out = np.tile(base, (64, 64, 1))
    for cells, strength in ((3, 0.15), (8, 0.08), (32, 0.05)):
        noise = rng.normal(0, strength * rng.random(), (cells, cells, 3)).astype(np.float32)
        fine = [Image.fromarray(noise[..., k]).resize((64, 64), Image.Resampling.BICUBIC) for k in range(3)]
        out = out + np.stack([np.asarray(x) for x in fine], -1)
    return np.asarray(out.clip(0, 1))


def take_of(frames: np.ndarray, points: np.ndarray, name: str) -> PortraitTake:
    return PortraitTake(frames, np.stack([landmark_image(p, frames.shape[1]) for p in points]), points, name)


def load_films(folder: Path, size: int) -> list[PortraitTake]:
    """Videos with landmarks beside them: every NAME.mp4 (.mov, .mkv, .webm, .avi) beside a NAME.npz.

    The .npz holds ``landmarks`` (T, 68, 2) or (T, 70, 2), pixels of the upright video, a row for each frame, in iBUG's
    order. Every video is cut to one square around all of them. Frames without a finite landmark (no face) are left out.
    """
    kinds = (".mp4", ".mov", ".mkv", ".webm", ".avi")
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in kinds) if folder.is_dir() else []
    if not videos:
        raise UserError(f"{folder}: no video in it; accepted: NAME{kinds[0]} ({', '.join(kinds[1:])}) and NAME.npz")
    return [_load_film(video, size) for video in videos]


def _load_film(video: Path, size: int) -> PortraitTake:
    beside = video.with_suffix(".npz")
    try:
        points = np.asarray(read_arrays(beside, ("landmarks",))["landmarks"], np.float64)
    except (KeyError, TypeError, ValueError) as e:
        accepted = "an array landmarks (T, 68, 2)"
        raise UserError(f"{beside}: no landmarks for {video.name} ({e}); accepted: {accepted}") from None
    if points.ndim != 3 or points.shape[1] not in (68, 70) or points.shape[2] != 2:
        raise UserError(f"{beside}: landmarks {points.shape}; accepted: (T, 68, 2) or (T, 70, 2), pixels")
    points = np.where(np.isfinite(points).all(2, keepdims=True), points, np.nan)
    # A frame without a single landmark shows no face.
    present = np.asarray(~np.isnan(points).all((1, 2)))
    if present.sum() < 2:
        raise UserError(f"{beside}: landmarks in {present.sum()} of {len(present)} frames; accepted: in at least 2")
    low, high = np.nanmin(points, (0, 1)), np.nanmax(points, (0, 1))
    corner, side = square_around(points)
    frames: list[np.ndarray] = []
    for picture in _pictures(video, len(points)):
        if not frames:
            _check_face(low, high, picture.size, str(beside))
        frames.append(cut(picture, corner, side, size))
    if len(frames) != len(points):
        raise UserError(f"{video}: {len(frames)} frames, but {beside.name} has landmarks for {len(points)}")
    return take_of(np.stack(frames)[present], ((points - corner) / side)[present], video.name)


def cut(picture: Image.Image, corner: np.ndarray, side: float, size: int) -> np.ndarray:
    """(size, size, 3) uint8 of the square with that corner (2,) and side, in pixels; black beyond the picture."""
    from PIL import Image

    # Cropped to whole pixels first, then resampled from the exact box.
    start, end = np.floor(corner), np.ceil(corner + side)
    square = picture.crop((int(start[0]), int(start[1]), int(end[0]), int(end[1])))
    box = (*(corner - start), *(corner + side - start))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS, box))


def _check_face(low: np.ndarray, high: np.ndarray, size: tuple[int, int], where: str) -> None:
    """Refuse landmarks that cannot be pixels of a video of this size (w, h): training would see one patch of colour."""
    beyond = np.array(size) / 2  # a face may be cut by the edge
    outside = (high <= 0).any() or (low >= size).any() or (low < -beyond).any() or (high > size + beyond).any()
    if outside or (high - low).max() < MIN_PIXELS:
        ranges = f"x from {low[0]:.5g} to {high[0]:.5g}, y from {low[1]:.5g} to {high[1]:.5g}"
        raise UserError(f"{where}: landmarks with {ranges} for a picture of {size[0]} x {size[1]}; accepted: pixels of "
                        f"the video, of a face that lies in it and spans at least {MIN_PIXELS}")  # fmt: skip


def _pictures(video: Path, limit: int) -> Iterator[Image.Image]:
    """Frames in upright orientation, at most one more than `limit`."""
    try:
        import av
    except ImportError:
        raise UserError('videos need PyAV: pip install "avatargpt[video]"') from None
    try:
        with av.open(str(video)) as container:
            for n, frame in enumerate(container.decode(video=0)):
                if n > min(limit, MAX_FRAMES):
                    break
                picture = frame.to_image()  # phones store upright videos lying
                yield picture.rotate(frame.rotation, expand=True) if frame.rotation else picture
    except (av.FFmpegError, OSError, IndexError) as e:
        raise UserError(f"{video}: not a readable video ({e})") from None


class FramePairs(NamedTuple):
    """Frames j and i of the same person, B of them."""

    # first, true: (B, S, S, 3) uint8 frames j and i; here, lines: their landmark images
    first: np.ndarray
    here: np.ndarray
    lines: np.ndarray
    true: np.ndarray
    # points: (B, 2, 70, 2) landmarks of j and i, shares of the picture; those that are lacking are NaN
    points: np.ndarray


def draw(takes: Sequence[PortraitTake], batch: int, seed: Sequence[int]) -> FramePairs:
    """Random pairs. Two different frames of one person: what stays is the person, what changes follows the
    landmarks."""
    rng = np.random.default_rng(list(seed))
    rows = []
    for k in rng.integers(len(takes), size=batch):
        take = takes[int(k)]
        j, i = rng.choice(len(take.frames), 2, replace=False)
        rows.append((take.frames[j], take.lines[j], take.lines[i], take.frames[i], all_points(take.points[[j, i]])))
    return FramePairs(*(np.stack(x) for x in zip(*rows, strict=True)))


def all_points(points: np.ndarray) -> np.ndarray:
    """(..., 70, 2) of landmarks (..., 68 or 70, 2): irises that are lacking are NaN."""
    out = np.full((*points.shape[:-2], COUNT, 2), np.nan)
    out[..., : points.shape[-2], :] = points
    return out

"""MediaPipe Pose on its bare networks: a detector of people and a network of 33 landmarks, followed over frames.

Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose Tracking" (arXiv 2006.10204); anchors, regions and
thresholds are those of MediaPipe 0.10's graphs (Apache-2.0). Unlike there, several people are followed, and nothing is
smoothed here: what comes later sees the future of a film as well as its past.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from avatargpt.speech.audio import silent_stderr
from avatargpt.video.frames import INSTALL
from avatargpt.video.poses import LANDMARKS, Pose
from avatargpt.video.weights import weights
from vqvae.errors import UserError

DETECTED, PRESENT = 0.5, 0.5  # scores from which on there is a person
OVERLAP = 0.3  # intersection over union from which on two boxes are one person
ENLARGED = 1.25  # of the circle around a person, the side of the region
SEARCH_SECONDS = 0.5  # between two searches for further people
FORGET_SECONDS = 1.5  # after which a person who comes back gets another number
SAME_PLACE = 0.35  # sides of a region within which two centres are one person
SAME_AREA = 1.0  # the same for one who was lost
MAX_PEOPLE = 4  # followed at a time
_DETECTOR, _CROP = 224, 256  # pixels of the networks' pictures
_STRIDES = (8, 16, 32, 32, 32)
_WINDOW, _SURE = 3, 0.5  # cells around a landmark in its map, and the score from which on the map is believed


class Region(NamedTuple):
    """A turned square of a picture, pixels and radians."""

    x: float
    y: float
    side: float
    angle: float


@dataclass
class _Track:
    number: int
    region: Region
    time: float  # second of the film


@dataclass
class BlazePose:
    """Follows up to `MAX_PEOPLE` people by a network of that file; a `PoseEstimator`."""

    landmarks: str
    tracks: list[_Track] = field(default_factory=list)
    absent: list[_Track] = field(default_factory=list)
    count: int = 0
    searched: float = -np.inf

    def __post_init__(self) -> None:
        self._detect = _Network(weights("pose_detection.tflite"), 2)
        self._look = _Network(weights(self.landmarks), 5)

    def people(self, picture: np.ndarray, time: float) -> list[Pose]:
        """The people in a picture (H, W, 3) uint8 RGB, each with the number it has had before."""
        image = Image.fromarray(picture)
        out: list[Pose] = []
        for track in list(self.tracks):
            pose = self._pose(image, track)
            # of tracks that meet in one place, which have become one person, the older one stays
            older = [t for t in self.tracks if t.number < track.number]
            if pose is None or any(_same(track.region, t.region, SAME_PLACE) for t in older):
                self.tracks.remove(track)
                if pose is None:
                    self.absent.append(track)
                continue
            track.time = time
            out.append(pose)
        if len(self.tracks) < MAX_PEOPLE and (not self.tracks or time - self.searched >= SEARCH_SECONDS):
            self.searched = time
            out += self._search(image, time)
        return out

    def _search(self, image: Image.Image, time: float) -> list[Pose]:
        """People who are not followed yet."""
        self.absent = [t for t in self.absent if time - t.time <= FORGET_SECONDS]
        out = []
        for region in self._detections(image):
            if len(self.tracks) >= MAX_PEOPLE or any(_same(region, t.region, SAME_PLACE) for t in self.tracks):
                continue
            here = [t for t in self.absent if _same(region, t.region, SAME_AREA)]
            earlier = max(here, key=lambda t: t.time, default=None)
            track = _Track(self.count if earlier is None else earlier.number, region, time)
            # the second look is at the region that the first one gives, as it will be in the frames that follow
            if self._pose(image, track) is None or (pose := self._pose(image, track)) is None:
                continue
            if any(_same(track.region, t.region, SAME_PLACE) for t in self.tracks):
                continue
            if earlier is None:
                self.count += 1
            else:
                self.absent.remove(earlier)
            self.tracks.append(track)
            out.append(pose)
        return out

    def _detections(self, image: Image.Image) -> list[Region]:
        """Regions of people, the largest first."""
        width, height = image.size
        side = max(width, height)
        small = (max(1, round(width * _DETECTOR / side)), max(1, round(height * _DETECTOR / side)))
        left, top = (_DETECTOR - small[0]) // 2, (_DETECTOR - small[1]) // 2
        square = np.zeros((_DETECTOR, _DETECTOR, 3), np.float32)
        pixels = np.asarray(image.resize(small, Image.Resampling.BILINEAR, reducing_gap=2.0), np.float32)
        square[top : top + small[1], left : left + small[0]] = pixels
        raw, scores = self._detect.run((square / 127.5 - 1)[None])
        score = 1 / (1 + np.exp(-np.clip(scores[0, :, 0], -80, 80)))
        keep = np.flatnonzero(score >= DETECTED)
        numbers = raw[0, keep].reshape(-1, 6, 2).astype(np.float64) / _DETECTOR
        numbers[:, [0, 2, 3, 4, 5]] += anchors()[keep, None]  # centre and key points; row 1 is the size
        numbers = _join_boxes(numbers, score[keep])
        scale = side / _DETECTOR
        points = (numbers[:, 2:4] * _DETECTOR - [left, top]) * scale
        regions = [_region(middle, end) for middle, end in points]
        return sorted((r for r in regions if r.side > 1), key=lambda r: -r.side)

    def _pose(self, image: Image.Image, track: _Track) -> Pose | None:
        """The person in a track's region, which follows; None where nobody is."""
        r = track.region
        cos, sin = np.cos(r.angle) * r.side / _CROP, np.sin(r.angle) * r.side / _CROP
        half = _CROP / 2
        affine = (cos, -sin, r.x - half * (cos - sin), sin, cos, r.y - half * (sin + cos))
        crop = image.transform((_CROP, _CROP), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
        raw, flag, _, maps, world = self._look.run(np.asarray(crop, np.float32)[None] / 255)
        score = float(flag[0, 0])
        if score < PRESENT:
            return None
        rows = raw[0].reshape(39, 5).astype(np.float64)
        inside = _refine_points(rows[:, :2] / _CROP, maps[0])
        x, y = ((inside - 0.5) * r.side).T
        points = np.stack([r.x + np.cos(r.angle) * x - np.sin(r.angle) * y,
                           r.y + np.sin(r.angle) * x + np.cos(r.angle) * y], -1)  # fmt: skip
        track.region = _region(points[33], points[34])
        if track.region.side <= 1:
            return None
        count = len(LANDMARKS)
        metres = world[0].reshape(39, 3)[:count].astype(np.float64)
        x, y, z = metres.T
        right, down = np.cos(r.angle) * x - np.sin(r.angle) * y, np.sin(r.angle) * x + np.cos(r.angle) * y
        turned = np.stack([right, -down, -z], -1)
        visible = 1 / (1 + np.exp(-np.clip(rows[:count, 3:5], -30, 30)))
        return Pose(track.number, score, points[:count], turned, visible.min(1))


# the network of medium size, which MediaPipe takes by default, the largest and the smallest one, of files of the user's
full, heavy, lite = (partial(BlazePose, f"pose_landmark_{size}.tflite") for size in ("full", "heavy", "lite"))


class _Network:
    """A .tflite file on the CPU."""

    def __init__(self, path: Path, outputs: int) -> None:
        if find_spec("ai_edge_litert") is None:
            raise UserError(f"films need ai-edge-litert; install it: {INSTALL}")
        from ai_edge_litert.interpreter import Interpreter

        try:
            with silent_stderr():  # where it says which delegate it takes
                self._runner: Any = Interpreter(model_path=str(path), num_threads=1)
                self._runner.allocate_tensors()
        except (ValueError, RuntimeError) as e:
            raise UserError(f"{path}: not a network in TensorFlow Lite's format ({e})") from None
        self._input = self._runner.get_input_details()[0]["index"]
        details = self._runner.get_output_details()
        if len(details) != outputs:
            raise UserError(f"{path}: {len(details)} outputs; accepted one of MediaPipe's with {outputs}")
        self._outputs = [d["index"] for d in details]

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        """Every output for one input, float32."""
        self._runner.set_tensor(self._input, batch.astype(np.float32, copy=False))
        self._runner.invoke()
        return [self._runner.get_tensor(k) for k in self._outputs]


@cache
def anchors() -> np.ndarray:
    """(2254, 2) centres x, y in 0..1 that the detector's answers are relative to; every size is 1."""
    out = []
    layer = 0
    while layer < len(_STRIDES):
        same = sum(s == _STRIDES[layer] for s in _STRIDES)
        cells = -(-_DETECTOR // _STRIDES[layer])
        at = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(at, at, indexing="ij")
        out.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), 2 * same, 0))
        layer += same
    return np.concatenate(out)


def _join_boxes(numbers: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(K, 6, 2) centre, size and key points of boxes that overlap less, each the weighted mean of those it overlaps."""
    low, high = numbers[:, 0] - numbers[:, 1] / 2, numbers[:, 0] + numbers[:, 1] / 2
    left = list(np.argsort(-score))
    out = []
    while left:
        best = left[0]
        shared = np.minimum(high[best], high[left]) - np.maximum(low[best], low[left])
        shared = shared.clip(0).prod(-1)
        area = (high - low).clip(0).prod(-1)
        overlapping = shared / np.maximum(area[best] + area[left] - shared, 1e-9) > OVERLAP
        overlapping[0] = True
        group = np.array(left)[overlapping]
        out.append(np.average(numbers[group], 0, score[group]))
        left = [k for k, a in zip(left, overlapping, strict=True) if not a]
    return np.array(out).reshape(-1, 6, 2)


def _region(middle: np.ndarray, end: np.ndarray) -> Region:
    """The region of a person from the middle of the hips and a point on the circle around, above the head."""
    across, down = end - middle
    angle = np.pi / 2 - np.arctan2(-down, across)
    angle -= 2 * np.pi * np.floor((angle + np.pi) / (2 * np.pi))
    return Region(float(middle[0]), float(middle[1]), float(2 * np.hypot(across, down) * ENLARGED), float(angle))


def _same(a: Region, b: Region, reach: float) -> bool:
    return bool(np.hypot(a.x - b.x, a.y - b.y) < reach * max(a.side, b.side) and 0.4 < a.side / b.side < 2.5)


def _refine_points(points: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(39, 2) points in 0..1, moved to the middle of their maps (64, 64, 39) where those are sure."""
    size = maps.shape[0]
    cell = np.floor(points * size).astype(int)
    inside = ((cell >= 0) & (cell < size)).all(1)
    around = np.arange(-_WINDOW, _WINDOW + 1)
    x, y = cell[:, :1] + around, cell[:, 1:] + around
    ok = ((y >= 0) & (y < size))[:, :, None] & ((x >= 0) & (x < size))[:, None]
    values = maps[y.clip(0, size - 1)[:, :, None], x.clip(0, size - 1)[:, None], np.arange(len(points))[:, None, None]]
    sure = np.where(ok, 1 / (1 + np.exp(-np.clip(values.astype(np.float64), -60, 60))), 0)
    total = np.maximum(sure.sum((1, 2)), 1e-9)
    moved = np.stack([(sure * x[:, None]).sum((1, 2)), (sure * y[:, :, None]).sum((1, 2))], -1) / total[:, None] / size
    take = inside & (sure.max((1, 2)) >= _SURE)
    return np.where(take[:, None], moved, points)

"""Faces of films against truth: our own head, speaking, with known weights and turns, rendered and captured.

SOUNDS is a folder of speech. Mouth and brows are those of the packaged driver for it; the head turns, lids blink and
expressions come and go at random. Skin, hair, light, lens and proportions differ from clip to clip. --shapes takes
another head: a folder with Neutral.obj and an .obj for every shape under ARKit's names, such as Apple's reference; it
gets plain eyes. Needs avatargpt[video-in,video] and the networks of `avatargpt data models video-in`.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export.head import HeadMesh, shaped, turn_vertices
from avatargpt.export.renderers import MeshRenderer
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.idle import add_blinks
from avatargpt.metrics.face import correlation
from avatargpt.speech.audio import load
from avatargpt.train.portrait_pictures import random_look
from avatargpt.video.capture import capture_face
from avatargpt.video.faces import DEAD, FPS
from benchmarks.common import film, raise_channels, sounds_in
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.smoothing import gaussian, runs_of

SWING = np.radians([22, 11, 11])  # standard deviations of yaw, pitch, roll at the widest
BLINKS = 24  # a minute
LENS = (0.75, 1.1)  # focal length in lengths of the picture's side
SKIN, EYE, EYE_RADIUS = [0.60, 0.36, 0.25], np.array([0.0325, 0.027, 0.028]), 0.0135  # m, of a head without eyes
LIDS = [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]
SHUT = 0.5  # lids count as shut from here on, in truth and capture alike
NEAR = 0.1  # s between a blink and the one that is captured
# expressions that come and go
MIXED = ("mouthSmile", "browInnerUp", "browOuterUp", "browDown", "mouthFrown", "eyeWide")


def performance(sound: Path, seconds: float, driver: Driver, rng: np.random.Generator) -> FaceMotion:
    """A face that speaks, turns and blinks: what the film shows."""
    samples, rate = load(sound)
    frames = round(seconds * FPS)
    need = round(seconds * rate)
    curves = driver.drive(np.tile(samples, -(-need // len(samples)))[:need], rate).curves[:frames].astype(np.float64)
    frames = len(curves)
    for name in MIXED:
        level = gaussian(rng.normal(0, 1, (frames, 1)), 0.5 * FPS)[:, 0]
        level = np.clip(level / level.std() - 0.5, 0, None) * rng.uniform(0.1, 0.35)
        raise_channels(curves, name, level)
    weights = add_blinks(curves[:, : arkit.COUNT].astype(np.float32), FPS, BLINKS, int(rng.integers(1 << 30)))
    head = gaussian(rng.normal(0, 1, (frames, 3)), rng.uniform(0.3, 0.8) * FPS)
    head = head / head.std(0) * SWING * rng.uniform(0.3, 1.0, 3)
    return FaceMotion(weights, head - head.mean(0), FPS)


def record(face: FaceMotion, path: Path, size: int, rng: np.random.Generator, other: HeadMesh | None = None) -> Path:
    """The performance as .mp4, through the lens of a phone or a webcam."""
    span, lens = float(rng.uniform(0.42, 0.6)), float(rng.uniform(*LENS))
    aim = rng.normal([0, -0.03, 0.02], [0.04, 0.03, 0])
    renderer = MeshRenderer(
        size, size, span, sharp=1, look=random_look(rng), shape=other, aim=aim, distance=lens * span
    )  # fmt: skip
    stretch = rng.uniform([0.93, 0.95, 0.97], [1.07, 1.05, 1.03])

    def points_of(weights: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
        if other is None:
            return turn_vertices(shaped(weights) * stretch, quaternion)
        moved = other.points + np.einsum("k,kvc->vc", weights, other.morphs)
        return rot.rotate(np.tile(quaternion, (len(moved), 1)), moved * stretch)

    return film(face, path, size, points_of, renderer)


def head_of(folder: Path) -> HeadMesh:
    """A head of .obj files, with balls for eyes; metres, Y up, looking along +Z."""
    points, triangles = read_obj(folder / "Neutral.obj")
    morphs = np.zeros((arkit.COUNT, *points.shape))
    for k, name in enumerate(arkit.NAMES):
        if (path := folder / f"{name}.obj").is_file():
            morphs[k] = read_obj(path)[0] - points
    parts, faces, colours = [points], [triangles], [np.tile(SKIN, (len(points), 1))]
    for side in (-1, 1):
        at, rows, normals = ball(EYE * [side, 1, 1], EYE_RADIUS)
        faces.append(rows + sum(map(len, parts)))
        parts.append(at)
        forward = normals[:, 2:]
        colours.append(np.where(forward > 0.93, 0.01, np.where(forward > 0.8, [0.12, 0.2, 0.3], [0.8, 0.8, 0.8])))
    every, count = np.concatenate(parts), sum(map(len, parts))
    moved = np.zeros((arkit.COUNT, count, 3), np.float32)
    moved[:, : len(points)] = morphs
    part = np.repeat([0, 1], [len(points), count - len(points)])
    names = ("skin", "eye", "glintLeft", "glintRight")
    return HeadMesh(
        every, every, np.concatenate(colours).astype(np.float32), np.concatenate(faces).astype(np.uint32),
        np.zeros(count, np.float32), np.ones(count, np.float32), part, np.zeros(count, bool), (), moved, moved, names,
    )  # fmt: skip


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and triangles (F, 3) of an .obj."""
    rows = [line.split() for line in path.read_text().splitlines() if line[:2] in ("v ", "f ")]
    points = np.array([[float(x) for x in r[1:4]] for r in rows if r[0] == "v"])
    corners = [[int(x.split("/")[0]) - 1 for x in r[1:]] for r in rows if r[0] == "f"]
    return points, np.array([[c[0], c[k], c[k + 1]] for c in corners for k in range(1, len(c) - 1)])


def ball(middle: np.ndarray, radius: float, steps: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and normals of a ball."""
    around, down = np.meshgrid(np.linspace(0, 2 * np.pi, steps), np.linspace(0, np.pi, steps))
    normals = np.stack([np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), np.cos(down)], -1).reshape(-1, 3)
    a = (np.arange(steps - 1)[:, None] * steps + np.arange(steps - 1)).ravel()
    rows = np.concatenate([np.stack([a, a + steps, a + 1], 1), np.stack([a + 1, a + steps, a + steps + 1], 1)])
    return middle + radius * normals, rows, normals


def blinks(face: FaceMotion) -> list[float]:
    """Seconds of the middles of short closures of both lids."""
    shut = runs_of(np.asarray(face.weights[:, LIDS].mean(1) > SHUT), gap=1)
    return [(a + b) / 2 / face.fps for a, b in shut if (b - a) / face.fps <= 0.5]


def compare(truth: FaceMotion, got: FaceMotion) -> dict[str, float]:
    """Figures of one clip; both begin at the same moment."""
    frames = min(len(truth), len(got))
    truth, got = truth.slice(0, frames), got.slice(0, frames)
    off = np.degrees(got.head - truth.head)
    out = {}
    for k, name in enumerate(("yaw", "pitch", "roll")):
        out[name] = float(np.abs(off[:, k]).mean())
        out[f"{name}_moving"] = float(np.abs(off[:, k] - np.median(off[:, k])).mean())
        out[f"{name}_slope"] = float(np.polyfit(truth.head[:, k], got.head[:, k], 1)[0])
    out["jaw_r"] = correlation(truth.channel("jawOpen"), got.channel("jawOpen"))
    names = [n for n in arkit.NAMES if n not in DEAD and truth.channel(n).std() > 0.02]
    out["channels_r"] = float(np.median([correlation(truth.channel(n), got.channel(n)) for n in names]))
    real, seen = blinks(truth), blinks(got)
    out["blinks"], out["blinks_seen"] = float(len(real)), float(len(seen))
    out["blinks_found"] = float(sum(any(abs(t - s) <= NEAR for s in seen) for t in real))
    out["blinks_right"] = float(sum(any(abs(t - s) <= NEAR for t in real) for s in seen))
    return out


def summary(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means over clips; blinks over all of them."""
    out = {k: round(float(np.mean([r[k] for r in rows])), 3) for k in rows[0] if not k.startswith("blinks")}
    total = {k: sum(r[k] for r in rows) for k in rows[0] if k.startswith("blinks")}
    out["blinks"] = total["blinks"]
    out["blink_recall"] = round(total["blinks_found"] / max(total["blinks"], 1), 3)
    out["blink_precision"] = round(total["blinks_right"] / max(total["blinks_seen"], 1), 3)
    return out


def run(
    sounds: Path, shapes: Path | None = None, clips: int = 12, seconds: float = 8, size: int = 640,
    films: Path | None = None, seed: int = 0,
) -> dict[str, Any]:
    """Measure; `films`: folder to keep the films in, films that lie there are taken."""
    speech, driver, rows = sounds_in(sounds), Driver.load(), []
    other = head_of(shapes) if shapes else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = films or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for k in range(clips):
            rng = np.random.default_rng([seed, k])
            truth = performance(speech[k * len(speech) // clips], seconds, driver, rng)
            path = folder / f"{k:02d}.mp4"
            if not path.is_file():
                record(truth, path, size, rng, other)
            captured = capture_face(path)
            assert isinstance(captured.motion, FaceMotion)
            rows.append(compare(truth.slice(round(captured.start * FPS), len(truth)), captured.motion))
    return {"clips": rows, "all": summary(rows)}

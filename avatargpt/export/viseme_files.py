"""Visemes of other makers as JSON: the 15 of Oculus (OVRLipSync, Ready Player Me) and those of Azure's speech service.

Reading poses the mouth by a table; writing finds the visemes whose poses together are nearest to the mouth, without
negative weights. Rules, no network: what is neither mouth nor jaw is lost, but for Azure's 55 values a frame.

| layout | content |
|---|---|
| `oculus` | ``{"fps", "visemes": [15 names], "frames": [[15 weights], ...]}`` |
| `azure` | ``[{"audioOffset": 100 ns, "visemeId": 0..21}, ...]`` |
| `azure_shapes` | ``{"FrameIndex", "BlendShapes": [[55 values], ...]}``, 60 a second; 52 shapes, roll of head, eyes |

Read as well: ``visemes``, ``vtimes``, ``vdurations`` (ms) of Oculus' names, ``audio_offset``, ``viseme_id`` and
``offset`` (ms) of Azure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.files import parsing
from vqvae.motion import MAX_FRAMES
from vqvae.rates import FACE_FPS

LAYOUTS = ("oculus", "azure", "azure_shapes")
OCULUS = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou")
# Their numbers by names in small letters; Ready Player Me calls the last three otherwise.
VISEME_NUMBERS = {n.lower(): k for k, n in enumerate(OCULUS)} | {"i": 12, "o": 13, "u": 14}
# Poses of the mouth at full weight; both sides where a name has none.
_POSES: dict[str, dict[str, float]] = {
    "sil": {}, "PP": {"mouthPress": 0.52, "mouthRollLower": 0.22, "mouthRollUpper": 0.22, "jawOpen": 0.02},
    "FF": {"mouthRollLower": 0.4, "mouthUpperUp": 0.28, "mouthShrugLower": 0.24, "jawOpen": 0.06},
    "TH": {"jawOpen": 0.12, "tongueOut": 0.5, "mouthLowerDown": 0.1, "mouthUpperUp": 0.08},
    "DD": {"jawOpen": 0.12, "mouthStretch": 0.1, "mouthLowerDown": 0.12, "mouthUpperUp": 0.06, "tongueOut": 0.06},
    "kk": {"jawOpen": 0.22, "mouthStretch": 0.06, "mouthLowerDown": 0.08, "mouthUpperUp": 0.04},
    "CH": {"jawOpen": 0.1, "mouthFunnel": 0.52, "mouthPucker": 0.32, "mouthLowerDown": 0.18, "mouthUpperUp": 0.14},
    "SS": {"jawOpen": 0.05, "mouthStretch": 0.22, "mouthSmile": 0.06, "mouthLowerDown": 0.22, "mouthUpperUp": 0.16},
    "nn": {"jawOpen": 0.16, "mouthStretch": 0.08, "mouthLowerDown": 0.1, "mouthUpperUp": 0.05, "tongueOut": 0.1},
    "RR": {"jawOpen": 0.18, "mouthFunnel": 0.3, "mouthPucker": 0.34},
    "aa": {"jawOpen": 0.56, "mouthStretch": 0.06, "mouthLowerDown": 0.18, "mouthUpperUp": 0.1},
    "E": {"jawOpen": 0.36, "mouthStretch": 0.24, "mouthSmile": 0.08, "mouthLowerDown": 0.14, "mouthUpperUp": 0.1},
    "ih": {"jawOpen": 0.16, "mouthStretch": 0.42, "mouthSmile": 0.22, "mouthLowerDown": 0.1, "mouthUpperUp": 0.1},
    "oh": {"jawOpen": 0.42, "mouthFunnel": 0.48, "mouthPucker": 0.22, "mouthLowerDown": 0.08},
    "ou": {"jawOpen": 0.13, "mouthFunnel": 0.42, "mouthPucker": 0.75},
}  # fmt: skip
# Azure's visemes 0 to 21 by those of Oculus: of a diphthong both ends.
_AZURE: tuple[dict[str, float], ...] = (
    {"sil": 1}, {"aa": 0.7}, {"aa": 1}, {"oh": 0.9}, {"E": 0.8}, {"RR": 0.9}, {"ih": 1}, {"ou": 1}, {"oh": 1},
    {"aa": 0.6, "ou": 0.5}, {"oh": 0.6, "ih": 0.4}, {"aa": 0.7, "ih": 0.4}, {"aa": 0.3}, {"RR": 1}, {"nn": 1},
    {"SS": 1}, {"CH": 1}, {"TH": 1}, {"FF": 1}, {"DD": 1}, {"kk": 1}, {"PP": 1},
)  # fmt: skip
_TO_AZURE = dict(zip(OCULUS, (0, 21, 18, 17, 19, 20, 16, 15, 19, 13, 2, 4, 6, 8, 7), strict=True))
AZURE_FPS, AZURE_VALUES, TICKS = 60.0, arkit.COUNT + 3, 10_000_000  # a second
RAMP = 0.08  # s in which one viseme becomes the next
LAST = 0.2  # s of a last event
MIN_SHARE = 0.25  # of a viseme that counts as being spoken
MAX_SECONDS = 2 * 3600.0


def poses() -> np.ndarray:
    """(15, 52) weights of each viseme of Oculus."""
    out = np.zeros((len(OCULUS), arkit.COUNT))
    for k, name in enumerate(OCULUS):
        for shape, value in _POSES[name].items():
            out[k, [arkit.INDEX[n] for n in arkit.expand(shape)]] = value
    return out


def visemes_of(weights: np.ndarray) -> np.ndarray:
    """(T, 52) -> (T, 15) in [0, 1]: how far each viseme of Oculus is spoken; ``sil`` is what is left of 1."""
    from scipy.optimize import nnls

    table = poses()[1:]
    used = np.flatnonzero(table.any(0))
    basis = table[:, used].T
    out = np.zeros((len(weights), len(OCULUS)))
    for k, row in enumerate(weights[:, used].astype(np.float64)):
        out[k, 1:] = nnls(basis, row)[0]
    out = np.clip(out, 0, 1)
    out[:, 0] = np.clip(1 - out[:, 1:].sum(1), 0, 1)
    return out


# Writing
def content(motion: FaceMotion, layout: str) -> Any:
    """What a JSON file of one of `LAYOUTS` holds."""
    if layout == "azure_shapes":
        at_rate = motion.resampled(AZURE_FPS)
        rolls = np.zeros((len(at_rate), 3))
        rolls[:, 0] = at_rate.head[:, 2]
        rows = np.concatenate([at_rate.weights, rolls], 1).astype(float).round(6)
        return {"FrameIndex": 0, "BlendShapes": rows.tolist()}
    spoken = visemes_of(motion.weights)
    if layout == "oculus":
        return {"fps": motion.fps, "visemes": list(OCULUS), "frames": spoken.round(4).tolist()}
    loudest = spoken[:, 1:].argmax(1) + 1
    names = np.where(spoken[np.arange(len(spoken)), loudest] >= MIN_SHARE, loudest, 0)
    starts = [0, *(np.flatnonzero(np.diff(names)) + 1).tolist()]
    return [
        {"audioOffset": round(k / motion.fps * TICKS), "visemeId": _TO_AZURE[OCULUS[int(names[k])]]} for k in starts
    ]


# Reading
def is_visemes(data: Any) -> bool:
    """Whether the contents of a JSON file are one of these."""
    if isinstance(data, list):
        return bool(data) and isinstance(data[0], dict) and ("BlendShapes" in data[0] or _id_of(data[0]) is not None)
    return isinstance(data, dict) and ("visemes" in data or "BlendShapes" in data)


def read(data: Any, path: Path) -> FaceMotion:
    """A clip of any of the forms. Raises UserError for damaged ones."""
    with parsing(path, "visemes"):
        if isinstance(data, dict) and "frames" in data:
            return _oculus_frames(data, path)
        if isinstance(data, dict) and "vtimes" in data:
            rows = zip(data["visemes"], data["vtimes"], data["vdurations"], strict=True)
            names = ((str(n).removeprefix("viseme_"), float(t) / 1e3, float(d) / 1e3) for n, t, d in rows)
            return _from_spans([(_oculus(n, path), t, d) for n, t, d in names], path)
        chunks = data if isinstance(data, list) else [data]
        if isinstance(chunks[0], dict) and "BlendShapes" in chunks[0]:
            return _azure_shapes(chunks, path)
        events = data if isinstance(data, list) else data["visemes"]
        starts = [(_second(event), _id_of(event)) for event in events]
        ends = [*(s for s, _ in starts[1:]), starts[-1][0] + LAST]
        return _from_spans([(_azure(key, path), s, e - s) for (s, key), e in zip(starts, ends, strict=True)], path)


def _oculus_frames(data: dict[str, Any], path: Path) -> FaceMotion:
    names = [str(n).removeprefix("viseme_") for n in data["visemes"]]
    rows = np.array(data["frames"], np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(names) or not 0 < len(rows) <= MAX_FRAMES or not np.isfinite(rows).all():
        raise UserError(f"{path}: frames of shape {rows.shape} beside {len(names)} visemes; accepted a row of each")
    table = np.stack([_oculus(n, path) for n in names])
    return FaceMotion(np.clip(rows @ table, 0, 1), np.zeros((len(rows), 3)), float(data.get("fps", FACE_FPS)))


def _azure_shapes(chunks: Sequence[dict[str, Any]], path: Path) -> FaceMotion:
    ordered = sorted(chunks, key=lambda c: int(c.get("FrameIndex", 0)))
    rows = np.array([row for chunk in ordered for row in chunk["BlendShapes"]], np.float64)
    if rows.ndim != 2 or rows.shape[1] != AZURE_VALUES or not np.isfinite(rows).all():
        raise UserError(f"{path}: BlendShapes of shape {rows.shape}; accepted rows of {AZURE_VALUES} numbers")
    head = np.zeros((len(rows), 3))
    head[:, 2] = rows[:, arkit.COUNT]
    return FaceMotion(np.clip(rows[:, : arkit.COUNT], 0, 1), head, AZURE_FPS)


def _oculus(name: str, path: Path) -> np.ndarray:
    """(52,) of a viseme."""
    if name.lower() not in VISEME_NUMBERS:
        raise UserError(f"{path}: viseme {name!r}; accepted {', '.join(OCULUS)}")
    return np.asarray(poses()[VISEME_NUMBERS[name.lower()]])


def _azure(key: Any, path: Path) -> np.ndarray:
    if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < len(_AZURE):
        raise UserError(f"{path}: viseme id {key!r}; accepted 0 to {len(_AZURE) - 1}")
    return np.asarray(sum(share * poses()[OCULUS.index(name)] for name, share in _AZURE[key].items()))


def _fields(event: dict[str, Any]) -> dict[str, Any]:
    return {name.lower().replace("_", ""): value for name, value in event.items()}


def _id_of(event: dict[str, Any]) -> Any:
    fields = _fields(event)
    return fields.get("visemeid", fields.get("id"))


def _second(event: dict[str, Any]) -> float:
    fields = _fields(event)
    if "audiooffset" in fields:
        return float(fields["audiooffset"]) / TICKS
    return float(fields["offset"]) / 1e3


def _from_spans(spans: Sequence[tuple[np.ndarray, float, float]], path: Path) -> FaceMotion:
    """A clip of poses with start and length in seconds; each becomes the next in a straight line around its start."""
    starts, lengths = np.array([s for _, s, _ in spans]), np.array([d for _, _, d in spans])
    if not (np.isfinite(starts).all() and np.isfinite(lengths).all()) or (np.diff(starts) < 0).any() or starts[0] < 0:
        raise UserError(f"{path}: times that do not rise from 0")
    end = float((starts + lengths).max())
    if not 0 < end <= MAX_SECONDS:
        raise UserError(f"{path}: {end:g} s; accepted more than 0, at most {MAX_SECONDS / 3600:g} hours")
    frames = max(1, round(end * FACE_FPS))
    times, keys = [0.0], [np.zeros(arkit.COUNT)]
    for k, (pose, start, length) in enumerate(spans):
        following = starts[k + 1] if k + 1 < len(spans) else start + length
        half = min(RAMP, max(following - start, 1e-3)) / 2
        times += [max(start + half, times[-1] + 1e-6), max(following - half, start + half + 2e-6)]
        keys += [pose, pose]
    at, table = np.arange(frames) / FACE_FPS, np.stack(keys)
    weights = np.stack([np.interp(at, times, column) for column in table.T], 1)
    return FaceMotion(weights, np.zeros((frames, 3)), FACE_FPS)

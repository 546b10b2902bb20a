"""Timings and amplitudes of real faces, measured on Live Link takes: the source of ``fitted.yaml``.

``python scripts/fit_faces.py FOLDER -o instruct_data/face/fitted.yaml`` reads every take below FOLDER and writes
statistics only: no frame of a take goes anywhere. What each figure is stands beside its function. The takes used for
the shipped file hold the head still (the phone did not record it), so head timings are not fitted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.signal import find_peaks

from instruct_data.sources.face_files import read_livelink_folder
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import atomic_write

FPS = 60.0
GROUPS: dict[str, tuple[str, ...]] = {
    "brow": ("browInnerUp", "browOuterUp", "browDown"), "lids": ("eyeWide", "eyeSquint"),
    "cheek": ("cheekSquint", "noseSneer"), "smile": ("mouthSmile",), "frown": ("mouthFrown",),
    "lips": ("mouthPucker", "mouthFunnel", "mouthStretch", "mouthShrugLower", "mouthUpperUp", "mouthLowerDown"),
    "press": ("mouthPress", "mouthRollLower", "mouthRollUpper"), "jaw": ("jawOpen",), "tongue": ("tongueOut",),
}  # fmt: skip
DRIVERS = ("eyeBlink", "eyeLookDown", "eyeSquint", "mouthSmile", "mouthFrown", "noseSneer", "browDown", "browInnerUp",
           "mouthPucker", "jawOpen", "mouthUpperUp", "mouthStretch")  # fmt: skip
BLINK_LONGEST = 0.5  # seconds at half height; longer closures are held on purpose


def _round(x: Any, digits: int = 3) -> Any:
    if isinstance(x, int):
        return x
    if isinstance(x, dict):
        return {k: _round(v, digits) for k, v in x.items()}
    return [_round(v, digits) for v in x] if isinstance(x, (list, np.ndarray)) else round(float(x), digits)


def _quartiles(x: Iterable[float]) -> list[float]:
    return [float(q) for q in np.percentile(list(x), [25, 50, 75])]


def reach(takes: list[FaceMotion]) -> dict[str, float]:
    """Per shape, both sides together: 99.5th minus 20th percentile over the take in which it moves most."""
    out = {}
    for name in [*arkit.SIDED, *(n for n in arkit.NAMES if not n.endswith(("Left", "Right")))]:
        values = [m.channel(name) for m in takes]
        out[name] = max(np.percentile(v, 99.5) - np.percentile(v, 20) for v in values)
    for name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        out[name] = max(np.percentile(m.channel(name), 99.5) for m in takes)
    return out


def _movements(curve: np.ndarray, prominence: float) -> list[tuple[float, float, float, int]]:
    """(rise, fall, height, frame) of every peak: seconds from 10 to 90 % of the way up and down again."""
    peaks, properties = find_peaks(curve, prominence=prominence, wlen=int(6 * FPS))
    out = []
    for p, left, right in zip(peaks, properties["left_bases"], properties["right_bases"], strict=True):
        times = []
        for side in (curve[left : p + 1], curve[p : right + 1][::-1]):
            span = side[-1] - side[0]
            high = np.argmax(side >= side[0] + 0.9 * span)
            low = np.nonzero(side[: high + 1] <= side[0] + 0.1 * span)[0]
            times.append((high - (low[-1] if len(low) else 0)) / FPS)
        out.append((times[0], times[1], float(min(curve[p] - curve[left], curve[p] - curve[right])), int(p)))
    return out


def movements(takes: list[FaceMotion], reaches: dict[str, float]) -> dict[str, Any]:
    """Per group: quartiles of rise and fall times over movements of at least 30 % of the shape's reach."""
    out: dict[str, Any] = {}
    for group, names in GROUPS.items():
        rows = [m for n in names for t in takes for m in _movements(t.channel(n), 0.3 * max(reaches[n], 0.2))]
        if len(rows) >= 5:
            rise, fall = ([m[k] for m in rows] for k in (0, 1))
            out[group] = {"count": len(rows), "rise": _quartiles(rise), "fall": _quartiles(fall)}
    out["_unit"] = "seconds from 10 to 90 %, quartiles"
    return out


def blinks(takes: list[FaceMotion]) -> dict[str, Any]:
    """Spontaneous blinks: quick peaks of both lids that reach at least half."""
    closing, opening, height, width, rate, gaps = [], [], [], [], [], []
    for m in takes:
        curve = m.channel("eyeBlink")
        width_range = (1, BLINK_LONGEST * FPS)
        peaks, properties = find_peaks(curve, height=0.4, prominence=0.3, width=width_range, wlen=int(2 * FPS))
        rate.append(len(peaks) / m.seconds * 60)
        gaps += list(np.diff(peaks) / FPS)
        width += list(properties["widths"] / FPS)
        height += list(curve[peaks])
        moved = {frame: (rise, fall) for rise, fall, _, frame in _movements(curve, 0.3)}
        closing += [moved[p][0] for p in peaks if p in moved]
        opening += [moved[p][1] for p in peaks if p in moved]
    return {
        "count": len(width), "per_minute": _quartiles(rate), "gap_seconds": _quartiles(gaps),
        "closing_seconds": _quartiles(closing), "opening_seconds": _quartiles(opening),
        "half_width_seconds": _quartiles(width), "height": _quartiles(height),
    }  # fmt: skip


def gaze(takes: list[FaceMotion]) -> dict[str, Any]:
    """Saccades: steps of the gaze faster than 1 unit of weight per second, and the rests between them."""
    sizes, lasting, rests, still = [], [], [], []
    for m in takes:
        c = {n: m.channel(n) for n in arkit.NAMES if n.startswith("eyeLook")}
        x = (c["eyeLookOutLeft"] - c["eyeLookInLeft"] + c["eyeLookInRight"] - c["eyeLookOutRight"]) / 2
        y = (c["eyeLookUpLeft"] + c["eyeLookUpRight"] - c["eyeLookDownLeft"] - c["eyeLookDownRight"]) / 2
        blinking = m.channel("eyeBlink") > 0.3
        speed = np.hypot(np.gradient(x), np.gradient(y)) * FPS
        fast = (speed > 1.0) & ~blinking
        edges = np.flatnonzero(np.diff(fast.astype(int), prepend=0, append=0))
        starts, stops = edges[::2], edges[1::2]
        for a, b in zip(starts, stops, strict=True):
            end = min(b, len(x) - 1)
            sizes.append(float(np.hypot(x[end] - x[a], y[end] - y[a])))
            lasting.append((b - a) / FPS)
        rests += list((starts[1:] - stops[:-1]) / FPS)
        quiet = ~fast & ~blinking
        still.append(float(np.std(np.diff(x)[quiet[1:]])))
    return {
        "count": len(sizes), "size": _quartiles(sizes), "seconds": _quartiles(lasting),
        "rest_seconds": _quartiles(rests), "tremor_per_frame": float(np.median(still)),
    }  # fmt: skip


def asymmetry(takes: list[FaceMotion], reaches: dict[str, float]) -> dict[str, float]:
    """Per shape: median over movements of |left - right| / (left + right) at the apex, medians of the takes removed."""
    out = {}
    for name in arkit.SIDED:
        ratios = []
        for m in takes:
            baseline = [np.percentile(m.channel(f"{name}{s}"), 20) for s in ("Left", "Right")]
            for *_, p in _movements(m.channel(name), 0.3 * max(reaches[name], 0.2)):
                left, right = (m.channel(f"{name}{s}")[p] - r for s, r in zip(("Left", "Right"), baseline, strict=True))
                if left + right > 0.2:
                    ratios.append(abs(left - right) / (left + right))
        if len(ratios) >= 5 and not name.startswith("eyeLook"):
            out[name] = float(np.median(ratios))
    return out


def couplings(takes: list[FaceMotion], reaches: dict[str, float]) -> dict[str, dict[str, float]]:
    """What else moves at the apex of a movement, as a share of the driver's own rise; medians of at least 0.12."""
    names = list(reaches)
    out: dict[str, dict[str, float]] = {}
    for driver in DRIVERS:
        rows = []
        for m in takes:
            every = np.stack([m.channel(n) for n in names], 1)
            baseline = np.percentile(every, 20, axis=0)
            for _, _, height, p in _movements(m.channel(driver), 0.4 * max(reaches[driver], 0.2)):
                rows.append((every[p] - baseline) / max(height, 1e-3))
        if len(rows) >= 5:
            middle = np.median(rows, 0)
            keep = {n: v for n, v in zip(names, middle, strict=True) if v >= 0.12 and n != driver}
            out[driver] = dict(sorted(keep.items(), key=lambda kv: -kv[1])[:8])
    return out


def idle(takes: list[FaceMotion]) -> dict[str, Any]:
    """Still stretches (2 s, brows, mouth and jaw within 0.05): standard deviation per region, correlation at 0.1 s."""
    regions = {"brow": ("brow",), "lids": ("eyeWide", "eyeSquint"), "mouth": ("mouth",), "jaw": ("jawOpen",)}
    spread: dict[str, list[float]] = {r: [] for r in regions}
    memory, size, lag = [], int(2 * FPS), int(0.1 * FPS)
    for m in takes:
        for start in range(0, len(m) - size, size):
            w = m.weights[start : start + size]
            loud = [i for i, n in enumerate(arkit.NAMES) if n.startswith(("brow", "mouth", "jaw"))]
            if np.ptp(w[:, loud], axis=0).max() > 0.05:
                continue
            for region, heads in regions.items():
                columns = [i for i, n in enumerate(arkit.NAMES) if n.startswith(heads)]
                spread[region].append(float(w[:, columns].std(0).mean()))
            x = w[:, loud] - w[:, loud].mean(0)
            memory.append(float((x[lag:] * x[:-lag]).sum() / max((x * x).sum(), 1e-9)))
    return {
        "stretches": len(memory), "deviation": {r: float(np.median(v)) for r, v in spread.items() if v},
        "correlation_after_0.1_s": float(np.median(memory)) if memory else 0.0,
    }  # fmt: skip


def fit(folder: Path) -> dict[str, Any]:
    """All statistics of the takes below `folder`, at 60 frames per second."""
    faces: list[FaceMotion] = [c.load().resampled(FPS) for c in read_livelink_folder(folder)]
    if not faces:
        raise UserError(f"{folder}: no Live Link take below it")
    reaches = reach(faces)
    return {
        "takes": len(faces), "minutes": round(sum(m.seconds for m in faces) / 60, 1), "reach": _round(reaches),
        "movements": {k: _round(v) if isinstance(v, dict) else v for k, v in movements(faces, reaches).items()},
        "blinks": _round(blinks(faces)), "gaze": _round(gaze(faces), 4), "asymmetry": _round(asymmetry(faces, reaches)),
        "couplings": _round(couplings(faces, reaches), 2), "idle": _round(idle(faces), 4),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    text = "# Measured on Live Link Face takes by scripts/fit_faces.py, which says what each figure is.\n"
    try:
        text += yaml.safe_dump(fit(args.folder), sort_keys=False, width=118)
        atomic_write(args.output, lambda p: p.write_text(text, encoding="utf-8"))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

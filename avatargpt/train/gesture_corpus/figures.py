"""What a corpus comes to: how fast hands are, how hard, how often at rest, and how exactly strokes meet stresses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from instruct_data.gesture.strokes import FPS, SIDES
from vqvae.features.gesture import GestureFeatures
from vqvae.skeleton import SMPL22

WRISTS = [SMPL22.index("l_wrist"), SMPL22.index("r_wrist")]
STILL = 0.1  # m/s below which a hand rests
AROUND = 10  # frames before and after words that count as talking
AWAY = 30  # frames from words after which somebody is silent
ARRIVES = 0.35  # share of the speed before it below which a hand has arrived


def figures(takes: Iterable[tuple[dict[str, np.ndarray], dict[str, Any]]]) -> dict[str, float]:
    """Of takes, their arrays and what is told of them.

    Returns:
        ``minutes``; ``speed_talking``, ``speed_listening`` m/s of the wrists in the world; ``rest_talking``,
        ``rest_listening`` shares of frames below `STILL`; ``jerk``, ``jerk_p99`` m/s^3; ``strokes_a_minute``;
        ``stress_p99`` seconds from a stroke's emphasis to the nearest stress of its word; ``arrived`` share of the
        strokes with a minimum of the hand's speed within a frame of the emphasis, or with a hand that is slow by then.
    """
    talking, listening, jerks, apart, arrived, frames = [], [], [], [], [], 0
    for arrays, about in takes:
        motion = GestureFeatures().decode(arrays["features"])
        place = motion.joints[:, WRISTS].astype(np.float64)
        speed = np.linalg.norm(np.diff(place, axis=0, prepend=place[:1]), axis=-1) * FPS
        jerks.append(np.linalg.norm(np.diff(place, n=3, axis=0), axis=-1).ravel() * FPS**3)
        frames += len(place)
        own = arrays["word_at"] >= 0
        talking.append(speed[_near(own, AROUND)].ravel())
        if "other_word_at" in arrays:
            listening.append(speed[~_near(own, AWAY) & (arrays["other_word_at"] >= 0)].ravel())
        for frame, _, _, word, sides, _ in about["strokes"]:
            stresses = np.array(about["words"][word][3])
            apart.append(float(np.abs(stresses - frame / FPS).min()))
            arrived.append(_arrives(speed[:, [SIDES.index(s) for s in sides]].max(1), int(frame)))
    fast, slow, hard = (np.concatenate([*x, np.zeros(0)]) for x in (talking, listening, jerks))
    return {
        "minutes": frames / FPS / 60, "speed_talking": _mean(fast), "speed_listening": _mean(slow),
        "rest_talking": _mean(fast < STILL), "rest_listening": _mean(slow < STILL), "jerk": _mean(hard),
        "jerk_p99": float(np.quantile(hard, 0.99)) if len(hard) else 0.0,
        "strokes_a_minute": len(apart) / (frames / FPS / 60),
        "stress_p99": float(np.quantile(apart, 0.99)) if apart else 0.0, "arrived": _mean(np.array(arrived)),
    }  # fmt: skip


def _mean(x: np.ndarray) -> float:
    return float(x.mean()) if len(x) else 0.0


def _near(mask: np.ndarray, frames: int) -> np.ndarray:
    return np.asarray(np.convolve(mask.astype(float), np.ones(2 * frames + 1), "same") > 0)


def _arrives(speed: np.ndarray, frame: int) -> bool:
    around = speed[max(frame - 1, 1) - 1 : frame + 3]
    least = (around[1:-1] <= around[:-2]) & (around[1:-1] <= around[2:])
    before = speed[max(frame - 20, 0) : frame + 1]
    return bool(least.any() or speed[min(frame, len(speed) - 1)] < ARRIVES * before.max())

"""Whether a face speaks, by how its mouth moves, and the same face with a mouth, and a head, that do not.

Speech moves jaw and lips often and each in its own way; a laugh or chewing moves them together, a pose seldom. What
tells them apart is the product of three measures of two seconds: how far the mouth moves, how much of that no single
movement explains, and how often the jaw turns back. Who moves the mouth far to the sides makes faces.
"""

from dataclasses import replace

import numpy as np

from vqvae import arkit
from vqvae.face import FaceMotion
from vqvae.smoothing import gaussian, smoothstep

WINDOW, STEP = 2.0, 0.25  # s
SLOW = 0.3  # s, standard deviation of what is slow: poses and moods
# The product in talks with five moods is 0.58 or more, in laughs 0.44 or less, in all other actions below 0.25.
SPOKEN = 0.55
# Range of mouth or jaw to a side, 5 % to 95 % quantile of a window, from which on nobody speaks: in films of
# talk and in recorded talk 0.19 at most, in recordings that go through what a face can do 0.7.
ASIDE = 0.3
SPAN = 3.0  # s around a frame of which a mood's shapes are the median
# Yaw, pitch, roll within which talks turn the head by themselves, in nine frames of ten or more; a nod goes beyond.
# What does so by `BEYOND` of them is read as it is.
SWAY, BEYOND = np.radians((9.0, 9.0, 4.0)), 0.4
_MOOD = ("mouthSmile", "mouthFrown", "mouthDimple")  # shapes that a mood holds while somebody speaks
_MOUTH = [i for i, n in enumerate(arkit.NAMES) if n.startswith(("jaw", "mouth")) or n == "tongueOut"]
_HELD = [i for i in _MOUTH if arkit.NAMES[i].startswith(_MOOD)]
_ASIDE = [arkit.INDEX[f"{part}{side}"] for part in ("jaw", "mouth") for side in ("Left", "Right")]
_JAW = arkit.INDEX["jawOpen"]


def find_speech(motion: FaceMotion) -> np.ndarray:
    """(T,) bool: in which frames the face speaks; pauses of a second count as speech."""
    mouth = motion.weights[:, _MOUTH].astype(np.float64)
    fast = mouth - gaussian(mouth, SLOW * motion.fps)
    size = max(3, min(round(WINDOW * motion.fps), len(mouth)))
    out = np.zeros(len(mouth), bool)
    last = max(len(mouth) - size, 0)
    for start in sorted({*range(0, last, max(1, round(STEP * motion.fps))), last}):
        part = slice(start, start + size)
        low, high = np.quantile(motion.weights[part, _ASIDE], (0.05, 0.95), axis=0)
        if (high - low).max() < ASIDE and _measure_speech(fast[part], motion.weights[part, _JAW], motion.fps) >= SPOKEN:
            out[part] = True
    return out


def _measure_speech(fast: np.ndarray, jaw: np.ndarray, fps: float) -> float:
    """The product of a window's measures."""
    energy = np.sqrt((fast**2).sum(1).mean())
    parts = np.linalg.svd(fast - fast.mean(0), compute_uv=False) ** 2
    beyond = 1 - parts[0] / max(parts.sum(), 1e-9)
    turns = int((np.diff(np.sign(np.diff(jaw))) != 0).sum()) * fps / max(len(jaw), 1)
    return float(energy * beyond * turns)


def without_speech(motion: FaceMotion, spoken: np.ndarray) -> FaceMotion:
    """The face whose mouth, in frames (T,) of speech, is closed and at rest; what a mood holds stays."""
    from scipy.ndimage import median_filter

    if not spoken.any():
        return motion
    size = 2 * round(SPAN * motion.fps / 2) + 1
    share = gaussian(spoken.astype(np.float64), SLOW * motion.fps)
    weights = motion.weights.astype(np.float64)
    for column in _MOUTH:
        resting = np.zeros(len(weights))
        if column in _HELD:
            slow = median_filter(weights[:, column], size=size, mode="nearest")
            resting = gaussian(slow, SLOW * motion.fps)
        weights[:, column] += share * (resting - weights[:, column])
    return replace(motion, weights=weights.astype(np.float32))


def without_sway(motion: FaceMotion, spoken: np.ndarray) -> FaceMotion:
    """The face whose head, in frames (T,) of speech, is at rest but for nods, turns and tilts beyond `SWAY`."""
    if not spoken.any():
        return motion
    share = gaussian(spoken.astype(np.float64), SLOW * motion.fps)[:, None]
    head = motion.head.astype(np.float64)
    kept = smoothstep((np.abs(head) / SWAY - 1) / BEYOND)
    return replace(motion, head=(head * (1 - share * (1 - kept))).astype(np.float32))

"""Which of several draws of the next tokens a stream goes on with, and which strokes leave the face free.

Several continuations are drawn side by side and decoded. The one goes on whose wrists' speed follows the sound's level
best, over what came before and itself, and whose hands are not before the face.
"""

from functools import cache

import numpy as np
import torch

from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS
from instruct_data.gesture.strokes import FPS, HALF, Stroke
from vqvae import rotations as rot
from vqvae.features import UPPER, gesture_joints
from vqvae.smoothing import average_window, runs_of

DRAWS = 4  # continuations side by side
PAST = 120  # frames over which speed is compared with the level
HALF_WINDOW = 7  # frames to each side over which the level is averaged
WRISTS = [UPPER.index("l_wrist"), UPPER.index("r_wrist")]
HEAD = UPPER.index("head")
# A hand: its wrist, the middle finger's knuckle and its last joint. A face, from the head's joint, metres: half its
# width, chin, forehead; and how near to it a drawn hand is too near.
FACE_WIDTH, CHIN, FOREHEAD, MARGIN = 0.1, -0.05, 0.18, 0.04
MIDDLE = [len(UPPER) + k * HALF + j for k in range(2) for j in (6, 8)]
COVERED = 2.0  # what a whole stretch with a hand before the face takes from a correlation: more than it can be
GLIMPSE = 9  # frames for which a stroke may have a hand before the face


def cover_face(joints: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """(..., 43, 3) joints of upper body and fingers -> (...) whether a hand is before the face, seen from the front."""
    hands = joints[..., [*WRISTS, *MIDDLE], :] - joints[..., HEAD, None, :]
    x, y, z = np.moveaxis(hands, -1, 0)
    inside = (np.abs(x) < FACE_WIDTH + margin) & (y > CHIN - margin) & (y < FOREHEAD + margin) & (z > 0)
    return np.asarray(inside.any(-1))


@cache
def hides_face(stroke: Stroke) -> bool:
    """Whether a stroke has a hand before the face for more than 0.3 s."""
    turns = torch.from_numpy(rot.to_6d(stroke.turns).reshape(len(stroke.turns), -1).astype(np.float32))
    covered = cover_face(gesture_joints(turns).numpy())
    return any(stop - start > GLIMPSE for start, stop in runs_of(covered))


class DrawChooser:
    """Chooses among continuations of a talk, stretch by stretch."""

    def __init__(self) -> None:
        self._level = np.zeros(0)  # amplitude of each frame that is heard, from the first of `_speed` on
        self._speed = np.zeros(0)  # m/s of both wrists in the frames that are chosen

    def hear(self, audio: np.ndarray) -> None:
        """(k, A) rows of prosody of the next frames."""
        quarters = audio[:, : QUARTERS * PER_QUARTER].reshape(len(audio), QUARTERS, PER_QUARTER)[..., BANDS]
        self._level = np.concatenate([self._level, np.exp(0.5 * quarters.astype(np.float64)).mean(1)])

    def __call__(self, features: np.ndarray) -> int:
        """(K, 1 + m, 270) the frame before and the next m frames of each continuation -> the number of the best."""
        joints = gesture_joints(torch.from_numpy(features)).numpy().astype(np.float64)
        moved = np.linalg.norm(np.diff(joints[:, :, WRISTS], axis=1), axis=-1).mean(-1) * FPS  # (K, m)
        speed = np.concatenate([np.repeat(self._speed[None], len(moved), 0), moved], 1)
        level = average_window(self._level, 2 * HALF_WINDOW + 1)[: speed.shape[1]]
        score = _correlate(speed, level) - COVERED * cover_face(joints[:, 1:], MARGIN).mean(1)
        best = int(score.argmax())
        self._speed = speed[best]
        drop = max(len(self._speed) - PAST, 0)
        self._speed, self._level = self._speed[drop:], self._level[drop:]
        return best


def _correlate(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    # (K, T), (T,) -> (K,) correlations.
    a, b = rows - rows.mean(1, keepdims=True), row - row.mean()
    return np.asarray(a @ b / (np.linalg.norm(a, axis=1) * np.linalg.norm(b) + 1e-9))

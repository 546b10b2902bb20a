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
FACE_WIDTH, CHIN, FOREHEAD, MARGIN = 0.1, -0.05, 0.18, 0.1
MIDDLE = [len(UPPER) + k * HALF + j for k in range(2) for j in (6, 8)]
COVERED = 2.0  # what a whole stretch with a hand before the face takes from a correlation
BANNED = 60  # tokens for which a code that has brought a hand there is not drawn
GLIMPSE = 9  # frames for which a stroke may have a hand before the face


def measure_face_gap(joints: np.ndarray) -> np.ndarray:
    """(..., 43, 3) joints of upper body and fingers -> (...) metres of the nearer hand from the box before the face.

    Seen from the front; below 0 inside.
    """
    hands = joints[..., [*WRISTS, *MIDDLE], :] - joints[..., HEAD, None, :]
    x, y, z = np.moveaxis(hands, -1, 0)
    gaps = np.stack([np.abs(x) - FACE_WIDTH, CHIN - y, y - FOREHEAD, -z])
    return np.asarray(gaps.max(0).min(-1))


@cache
def hides_face(stroke: Stroke) -> bool:
    """Whether a stroke has a hand before the face for more than 0.3 s."""
    turns = torch.from_numpy(rot.to_6d(stroke.turns).reshape(len(stroke.turns), -1).astype(np.float32))
    covered = measure_face_gap(gesture_joints(turns).numpy()) < 0
    return any(stop - start > GLIMPSE for start, stop in runs_of(covered))


class DrawChooser:
    """Chooses among continuations of a talk, stretch by stretch."""

    def __init__(self) -> None:
        self._level = np.zeros(0)  # amplitude of each frame that is heard, from the first of `_speed` on
        self._speed = np.zeros(0)  # m/s of both wrists in the frames that are chosen
        self._banned: dict[int, int] = {}  # codes, and the token up to which they are banned
        self._count = 0  # tokens so far

    def hear(self, audio: np.ndarray) -> None:
        """(k, A) rows of prosody of the next frames."""
        quarters = audio[:, : QUARTERS * PER_QUARTER].reshape(len(audio), QUARTERS, PER_QUARTER)[..., BANDS]
        self._level = np.concatenate([self._level, np.exp(0.5 * quarters.astype(np.float64)).mean(1)])

    @property
    def banned(self) -> list[int]:
        """Codes of level 0 that have lately been seen to bring a hand before the face: not to be drawn."""
        return [code for code, until in self._banned.items() if until > self._count]

    def __call__(self, features: np.ndarray, codes: np.ndarray) -> int:
        """The number of the best continuation.

        Args:
            features: (K, 1 + m, 270) the frame before each continuation and its m frames. codes: (K, j, R) its tokens.
        """
        joints = gesture_joints(torch.from_numpy(features)).numpy().astype(np.float64)
        moved = np.linalg.norm(np.diff(joints[:, :, WRISTS], axis=1), axis=-1).mean(-1) * FPS  # (K, m)
        speed = np.concatenate([np.repeat(self._speed[None], len(moved), 0), moved], 1)
        level = average_window(self._level, 2 * HALF_WINDOW + 1)[: speed.shape[1]]
        gap = measure_face_gap(joints[:, 1:])  # (K, m)
        score = _correlate(speed, level) - COVERED * np.clip(1 - gap / MARGIN, 0, 2).mean(1)
        self._count += codes.shape[1]
        hiding = gap.reshape(*codes.shape[:2], -1).min(2) < 0
        self._banned.update(dict.fromkeys(codes[..., 0][hiding].tolist(), self._count + BANNED))
        best = int(score.argmax())
        self._speed = speed[best]
        drop = max(len(self._speed) - PAST, 0)
        self._speed, self._level = self._speed[drop:], self._level[drop:]
        return best


def _correlate(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    # (K, T), (T,) -> (K,) correlations.
    a, b = rows - rows.mean(1, keepdims=True), row - row.mean()
    return np.asarray(a @ b / (np.linalg.norm(a, axis=1) * np.linalg.norm(b) + 1e-9))

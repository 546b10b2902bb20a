"""Beat alignment: are there beats of the motion where there are beats of the sound?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.metrics.gesture.dynamics import UPPER, WRISTS, at_30
from avatargpt.metrics.gesture.onsets import backtracked, emphases, onsets
from vqvae.errors import UserError
from vqvae.motion import Motion

SIGMA = 0.3  # s by which a beat may be off
ORDER = 7  # frames at 30 fps to each side that a minimum is below
MOVING = 0.3  # of a joint's mean speed: below it the joint rests, and a minimum is no beat
BARELY_MOVING = 0.1  # the same in the later published code
RIGHT_WRIST = 21


def joint_speeds(motion: Motion) -> np.ndarray:
    """(T, 13) m/s of the upper body's joints against the pelvis at 30 fps: central differences, one-sided at the ends.

    Raises:
        UserError: fewer than two frames.
    """
    x = at_30(motion, 2).joints.astype(np.float64)
    return np.linalg.norm(np.gradient(x[:, UPPER] - x[:, :1], 1 / 30, axis=0), axis=-1)


def mean_speeds(real: Sequence[Motion]) -> np.ndarray:
    """(13,) mean `joint_speeds` of the upper body over real clips: the unit in which beats are looked for, m/s.

    Raises:
        UserError: no clips.
    """
    if not real:
        raise UserError("mean speeds of no clips; at least one real motion is needed")
    return np.concatenate([joint_speeds(m) for m in real]).mean(0)


def _minima(speed: np.ndarray) -> np.ndarray:
    from scipy.signal import argrelmin

    return np.asarray(argrelmin(speed, order=ORDER)[0])


def motion_beats(motion: Motion, usual: np.ndarray, moving: float = MOVING) -> list[np.ndarray]:
    """Times of the beats of each of the 13 joints of the upper body, seconds.

    A beat is a frame in which the joint is slower than in the 7 frames (0.23 s) on either side, yet faster than
    `moving` times its usual speed. Source: the evaluation code of BEAT2 (Liu et al. 2024, EMAGE), `alignment`, whose
    threshold is 0.3 (0.1 in its later `BC`) of the mean speed of each joint over the corpus, not of a metre per second.

    Args:
        motion: any rate, read at 30 fps.
        usual: (13,) m/s, see `mean_speeds`.
        moving: least speed of a beat, in `usual`.

    Raises:
        UserError: fewer than two frames, or usual speeds of another shape or below 0.
    """
    unit = np.asarray(usual, np.float64)
    if unit.shape != (len(UPPER),) or not (unit >= 0).all():
        raise UserError(f"usual speeds of shape {unit.shape}; accepted ({len(UPPER)},) numbers of at least 0")
    speeds = joint_speeds(motion)
    found = [_minima(speeds[:, j]) for j in range(len(UPPER))]
    return [at[speeds[at, j] > moving * unit[j]] / 30 for j, at in enumerate(found)]


def scores(sound: np.ndarray, beats: Sequence[np.ndarray], sigma: float = SIGMA) -> np.ndarray:
    """(N,) for every beat of the sound exp(-dt^2 / (2 sigma^2)), the mean over joints; dt to the joint's nearest beat.

    A joint without any beat scores 0, as in the published code.

    Args:
        sound: (N,) seconds.
        beats: (n,) seconds of every joint.
        sigma: seconds.
    """
    out = np.zeros(len(sound))
    for own in beats:
        if len(own):
            out += np.exp(-np.square(np.abs(sound[:, None] - own).min(1)) / (2 * sigma**2))
    return out / max(len(beats), 1)


def _some(times: np.ndarray) -> np.ndarray:
    if not len(times):
        raise UserError("beat alignment: the sound has no onset; accepted sound that gets louder somewhere")
    return times


def beat_alignment(audio: np.ndarray, motion: Motion, usual: np.ndarray, moving: float = MOVING) -> float:
    """BEAT2's beat consistency, 0..1: mean of `scores` over the onsets of a sound.

    Source: Liu et al. 2024 (EMAGE) and its code; sigma 0.3 s, 13 joints of the upper body.

    Args:
        audio: (n,) mono, 16 kHz.
        motion: any rate, read at 30 fps.
        usual, moving: see `motion_beats`.

    Raises:
        UserError: a sound without onsets; see `motion_beats`, `onsets.check`.
    """
    return float(scores(_some(onsets(audio)), motion_beats(motion, usual, moving)).mean())


def wrist_beats(motion: Motion, wrists: Sequence[int] = (RIGHT_WRIST,)) -> list[np.ndarray]:
    """Times in seconds at which each of some wrists is slower than in the 7 frames on either side.

    Raises:
        UserError: fewer than two frames.
    """
    x = at_30(motion, 2).joints.astype(np.float64)
    speeds = np.linalg.norm(np.diff(x[:, list(wrists)] - x[:, :1], axis=0), axis=-1)
    return [_minima(speed) / 30 for speed in speeds.T]


def wrist_beat_alignment(audio: np.ndarray, motion: Motion) -> float:
    """BEAT's alignment, 0..1: mean over onsets, moved back to the minimum of energy before them, for the right wrist.

    Source: Liu et al. 2022 (BEAT) and its code, where any local minimum counts, resting or not. It took the speed of
    the joint's Euler angles; here it is that of the wrist's position against the pelvis, which needs no angle order.

    Raises:
        UserError: a sound without onsets; see `wrist_beats`, `onsets.check`.
    """
    return float(scores(_some(backtracked(audio)), wrist_beats(motion)).mean())


def emphasis_alignment(audio: np.ndarray, motion: Motion) -> float:
    """`wrist_beat_alignment` on `emphases` instead of onsets, and the mean over both wrists, 0..1.

    Definition of this project: with some 70 emphases a minute instead of some 340 onsets there are times at which a
    motion could be wrong. Strokes that are put on emphases are told from shuffled ones by it, and by no other version.

    Raises:
        UserError: a sound without onsets; see `wrist_beats`, `onsets.check`.
    """
    return float(scores(_some(emphases(audio)[0]), wrist_beats(motion, WRISTS)).mean())

"""As often as asked: a cycle of a motion is repeated, or left out, until it is done that many times.

The network does not count. So a rule looks for two frames that look alike and between which something is done once,
and plays what is between them again, or skips it. Who counts is the geometry of the metrics where it has a counter for
the action; else the way that the pose goes most: as many times as it goes out and comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals
from avatargpt.metrics.geometry.counts import COUNTERS, KNOWN
from avatargpt.requests.concurrent import goes
from instruct_data.joining import BLEND_SECONDS, join_motions, posture
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

Count = Callable[[Signals], int]
ALIKE = 0.3  # metres (and 0.1 s of their speed) that two frames may be apart between which a motion is cut
CUTS = 16  # cuts that are tried
MOST = 4000  # pairs of frames that are looked at
LONG = 0.1  # metres that a second of a cycle costs, so that no rest is repeated with it
STRIDE = 2  # frames between two looks at how often it has been done
SHORTEST = 0.2  # seconds of a cycle
SPEED = 0.1  # seconds: weight of speed against pose


def counter(action: str) -> Count:
    """What tells how often a known action is done."""
    name = _named().get(action) or ("steps" if goes(action) else None)
    return repetitions if name is None else COUNTERS[name]


@cache
def _named() -> dict[str, str]:
    return {k.family: name for name, some in KNOWN.items() for k in some}


def repetitions(s: Signals) -> int:
    """How often a pose goes out and comes back: peaks along the principal direction of the joints (in the heading
    frame) whose peaks are largest together; 1 where there is none.

    Right for 75 % of keyframed clips of 45 actions whose count is known.
    """
    return max(len(outmost(s)), 1)


def outmost(s: Signals) -> np.ndarray:
    """Frames of the peaks that `repetitions` counts, rising."""
    from scipy.signal import find_peaks

    x = gaussian(s.local.reshape(len(s), -1), 1.0)
    x = x - gaussian(x, 40.0)
    u, w, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    most, best = 0.0, np.zeros(0, int)
    for k in range(min(4, len(w))):
        way = u[:, k] * w[k]
        if np.ptp(way) < 0.02:
            continue
        for one in (way, -way):
            found, about = find_peaks(one, prominence=0.5 * np.ptp(way), distance=3)
            if len(found) and about["prominences"].sum() > most:
                most, best = float(about["prominences"].sum()), found
    return best


def counted(motion: Motion, count: Count) -> int:
    """How often it is done."""
    return count(Signals(motion))


def repeated(motion: Motion, times: int, count: Count) -> Motion | None:
    """The motion with what is done done `times` times; None where no cut makes it so.

    Args:
        count: how often it is done in a motion.
    """
    has = counted(motion, count)
    if has == times:
        return motion
    missing = times - has
    for i, j, once in _cuts(motion, count, missing):
        made = _played(motion, i, j, missing // once) if missing > 0 else _skipped(motion, i, j)
        if counted(made, count) == times:
            return made
    return None


def _told(motion: Motion, count: Count) -> np.ndarray:
    """(T + 1,) how often it has been done after so many frames, about."""
    whole = Signals(motion)
    if count is repetitions:
        peaks = np.round(outmost(whole) * motion.fps / FPS).astype(int)
        return np.searchsorted(peaks, np.arange(len(motion) + 1), side="right")
    frames = np.arange(STRIDE, len(whole) + 1, STRIDE)
    counts = [0, *(count(Signals.part(whole, 0, int(n))) for n in frames)]
    at = np.minimum((np.arange(len(motion) + 1) * FPS / motion.fps / STRIDE).astype(int), len(counts) - 1)
    return np.maximum.accumulate(np.array(counts)[at])


def _played(motion: Motion, i: int, j: int, more: int) -> Motion:
    """Frames [i, j) played `more` times more."""
    out = motion.slice(0, j)
    for _ in range(more - 1):
        out = _joined(out, motion.slice(i, j))
    return _joined(out, motion.slice(i, len(motion)))


def _skipped(motion: Motion, i: int, j: int) -> Motion:
    """Without frames [i, j)."""
    rest = motion.slice(j, len(motion))
    return _joined(motion.slice(0, i), rest) if i else rest


def _joined(a: Motion, b: Motion) -> Motion:
    return join_motions(a, b, max(1, min(round(BLEND_SECONDS * a.fps), len(b) // 3, 5)))


def _cuts(motion: Motion, count: Count, missing: int) -> list[tuple[int, int, int]]:
    """Frames i < j that look alike and how often it is done between them, so that playing or skipping what is between
    them may make up for what is missing (below 0: too much); the most alike first, no two close to each other."""
    apart, told = _apart(motion), _told(motion, count)
    rows, columns = np.triu_indices(len(apart), round(SHORTEST * motion.fps))
    once = told[columns] - told[rows]
    fits = (once > 0) & (missing % np.maximum(once, 1) == 0) if missing > 0 else once == -missing
    rows, columns, once = rows[fits], columns[fits], once[fits]
    near = int(np.ceil(0.15 * motion.fps))
    cost = apart[rows, columns]
    out: list[tuple[int, int, int]] = []
    # a short cycle is better than one with a rest in it; where none is right, the most alike
    for costs in (cost + LONG * (columns - rows) / motion.fps, cost)[missing < 0 :]:
        for k in np.argsort(costs, kind="stable")[:MOST]:
            i, j = int(rows[k]), int(columns[k])
            if cost[k] <= ALIKE and all(abs(i - a) + abs(j - b) > near for a, b, _ in out):
                out.append((i, j, int(once[k])))
            if len(out) >= CUTS * (1 if costs is not cost else 2):
                break
    return out


def _apart(motion: Motion) -> np.ndarray:
    """(T, T) how little frames look alike: mean distance of the joints (m), and `SPEED` times that of their speeds."""
    joints, velocity = posture(motion, 0, len(motion))
    out = np.zeros((len(joints), len(joints)))
    for part in (joints, SPEED * velocity):
        squared = (part**2).sum(-1)
        for joint in range(part.shape[1]):
            cross = part[:, joint] @ part[:, joint].T
            out += np.sqrt(np.maximum(squared[:, None, joint] + squared[None, :, joint] - 2 * cross, 0)) / part.shape[1]
    return out

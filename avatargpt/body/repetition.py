"""Repetitions of an action: counted, and brought to a number by repeating or leaving out cycles."""
# The network does not count. So a rule finds two similar frames between which the action is done once, and plays the
# frames between them again, or skips them. The counter is the geometry of the metrics where it has one for the action;
# else peaks along the direction in which the pose moves most.

from collections.abc import Callable

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals
from avatargpt.metrics.geometry.counts import COUNTERS, KNOWN
from avatargpt.requests.clause_spec import goes
from instruct_data.joining import BLEND_SECONDS, join_motions, posture
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

Counter = Callable[[Signals], int]
NAMES = {family.family: name for name, families in KNOWN.items() for family in families}  # of the counter of an action
# metres (and 0.1 s of their speed) between two frames between which a motion is cut
MAX_CUT_DISTANCE = 0.3
MAX_CUTS = 16  # that are tried
MAX_PAIRS = 4000  # of frames that are looked at
# metres that a second of a cycle costs, so that no rest is repeated with it
LENGTH_COST = 0.1
COUNT_STRIDE = 2  # frames between two counts
MIN_CYCLE = 0.2  # seconds
CUT_SPACING = 0.15  # seconds between two cuts
SPEED_WEIGHT = 0.1  # seconds: weight of speed against pose


def counter(action: str) -> Counter:
    """The counter of a known action."""
    name = NAMES.get(action) or ("steps" if goes(action) else None)
    return repetitions if name is None else COUNTERS[name]


def repetitions(signals: Signals) -> int:
    """Repetitions of a pose: peaks along the principal direction of the joints (heading frame) with the largest sum."""
    # right for 75 % of keyframed clips of 45 actions whose count is known; 1 where there is no peak
    return max(len(peak_frames(signals)), 1)


def peak_frames(signals: Signals) -> np.ndarray:
    """Frames of the peaks that `repetitions` counts, rising."""
    from scipy.signal import find_peaks

    x = gaussian(signals.local.reshape(len(signals), -1), 1.0)
    x = x - gaussian(x, 40.0)
    u, w, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    best_sum, best = 0.0, np.zeros(0, int)
    for k in range(min(4, len(w))):
        way = u[:, k] * w[k]
        if np.ptp(way) < 0.02:
            continue
        for signed in (way, -way):
            peaks, about = find_peaks(signed, prominence=0.5 * np.ptp(way), distance=3)
            if len(peaks) and about["prominences"].sum() > best_sum:
                best_sum, best = float(about["prominences"].sum()), peaks
    return best


def repeat_action(motion: Motion, times: int, count: Counter) -> Motion | None:
    """The motion with its action done `times` times; None where no cut makes it so."""
    missing = times - count(Signals(motion))
    if not missing:
        return motion
    for i, j, once in _cuts(motion, count, missing):
        if missing > 0:
            edited = _repeat_frames(motion, i, j, missing // once)
        else:
            after = motion.slice(j, len(motion))
            edited = _blend_motions(motion.slice(0, i), after) if i else after
        if count(Signals(edited)) == times:
            return edited
    return None


def _count_repetitions(motion: Motion, count: Counter) -> np.ndarray:
    """(T + 1,) repetitions after so many frames, about."""
    signals = Signals(motion)
    if count is repetitions:
        peaks = np.round(peak_frames(signals) * motion.fps / FPS).astype(int)
        return np.searchsorted(peaks, np.arange(len(motion) + 1), side="right")
    frames = np.arange(COUNT_STRIDE, len(signals) + 1, COUNT_STRIDE)
    counts = [0, *(count(Signals.part(signals, 0, int(n))) for n in frames)]
    rows = (np.arange(len(motion) + 1) * FPS / motion.fps / COUNT_STRIDE).astype(int)
    return np.maximum.accumulate(np.array(counts)[np.minimum(rows, len(counts) - 1)])


def _repeat_frames(motion: Motion, i: int, j: int, times: int) -> Motion:
    """Frames [i, j) played `times` times again."""
    out = motion.slice(0, j)
    for _ in range(times - 1):
        out = _blend_motions(out, motion.slice(i, j))
    return _blend_motions(out, motion.slice(i, len(motion)))


def _blend_motions(a: Motion, b: Motion) -> Motion:
    return join_motions(a, b, max(1, min(round(BLEND_SECONDS * a.fps), len(b) // 3, 5)))


def _cuts(motion: Motion, count: Counter, missing: int) -> list[tuple[int, int, int]]:
    """Frames i < j that are alike and the repetitions between them, the best for `missing` first, none adjacent."""
    distance, counts = _frame_distances(motion), _count_repetitions(motion, count)
    rows, columns = np.triu_indices(len(distance), round(MIN_CYCLE * motion.fps))
    once = counts[columns] - counts[rows]
    fits = (once > 0) & (missing % np.maximum(once, 1) == 0) if missing > 0 else once == -missing
    rows, columns, once = rows[fits], columns[fits], once[fits]
    spacing = int(np.ceil(CUT_SPACING * motion.fps))
    cost = distance[rows, columns]
    out: list[tuple[int, int, int]] = []
    # a short cycle is better than one with a rest in it; where none is right, the closest frames
    for costs in (cost + LENGTH_COST * (columns - rows) / motion.fps, cost)[missing < 0 :]:
        for k in np.argsort(costs, kind="stable")[:MAX_PAIRS]:
            i, j = int(rows[k]), int(columns[k])
            if cost[k] <= MAX_CUT_DISTANCE and all(abs(i - a) + abs(j - b) > spacing for a, b, _ in out):
                out.append((i, j, int(once[k])))
            if len(out) >= MAX_CUTS * (1 if costs is not cost else 2):
                break
    return out


def _frame_distances(motion: Motion) -> np.ndarray:
    """(T, T) mean distance of the joints (m) between frames, and `SPEED_WEIGHT` times that of their speeds."""
    joints, velocity = posture(motion, 0, len(motion))
    out = np.zeros((len(joints), len(joints)))
    for part in (joints, SPEED_WEIGHT * velocity):
        squared = (part**2).sum(-1)
        for joint in range(part.shape[1]):
            cross = part[:, joint] @ part[:, joint].T
            out += np.sqrt(np.maximum(squared[:, None, joint] + squared[None, :, joint] - 2 * cross, 0)) / part.shape[1]
    return out

"""The stage ``segments``: a track cut where its movement changes, by optimal partitioning.

Jackson et al. 2005 (An algorithm for optimal partitioning of data on an interval): of all partitions whose parts are
neither too short nor too long, that with the least sum of squared deviations from the parts' means, plus a penalty for
each part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.curate.stages import Result, StageTask, Workshop
from avatargpt.curate.tracks import read_tracks
from vqvae.face import FaceMotion
from vqvae.motion import Motion

STEP = 0.2  # s between the places where a cut may be
FASTEST = 5  # weights of a face that its speed is measured by
CELLS = 400  # steps that are partitioned at a time
FLOOR = 0.05  # smallest deviation that figures are divided by: m, m/s, weights


def segments_of(task: StageTask, shop: Workshop) -> Result:
    """``segments`` in seconds of the film, and ``speeds`` of each `STEP`: m/s of a body, weights a second of a face."""
    row = dict(task.inputs["track"])
    (track,) = read_tracks(Path(task.files["arrays"]), [row])
    options = shop.recipe.segments
    figures, speeds = figures_of(track.motion)
    cells = len(figures)
    shortest, longest = max(1, round(options.shortest / STEP)), max(2, round(options.longest / STEP))
    bounds = [0]
    # a track of any length, in stretches that overlap by nothing and end at a cut
    while cells - bounds[-1] > CELLS:
        part = partition(figures[bounds[-1] : bounds[-1] + CELLS], shortest, longest, options.penalty)
        bounds += [bounds[-1] + b for b in part[1:-1]] or [bounds[-1] + CELLS]
    bounds += [bounds[-1] + b for b in partition(figures[bounds[-1] :], shortest, longest, options.penalty)[1:]]
    start, fps = float(row["start"]), float(row["fps"])
    end = start + int(row["frames"]) / fps
    seconds = [min(start + b * STEP, end) for b in bounds[:-1]] + [end]
    spans = [[round(a, 4), round(b, 4)] for a, b in zip(seconds, seconds[1:], strict=False)]
    return {"segments": spans, "speeds": [round(float(s), 4) for s in speeds]}


def figures_of(motion: Motion | FaceMotion) -> tuple[np.ndarray, np.ndarray]:
    """(N, F) figures of each step of `STEP` seconds, in units of their own deviation, and (N,) mean speeds."""
    if isinstance(motion, FaceMotion):
        rates = np.abs(np.diff(motion.weights, axis=0, prepend=motion.weights[:1])) * motion.fps
        values = np.concatenate([motion.curves, np.sort(rates, axis=1)[:, -FASTEST:]], 1)
        speed = np.sort(rates, axis=1)[:, -FASTEST:].mean(1)
    else:
        joints = motion.joints.astype(np.float64)
        velocity = np.diff(joints, axis=0, prepend=joints[:1]) * motion.fps
        rates = np.linalg.norm(velocity, axis=-1)
        local = joints - joints[:, :1] * [1, 0, 1]  # heights stay
        values = np.concatenate([local[:, [0, 15, 18, 19, 20, 21, 4, 5, 7, 8]].reshape(len(joints), -1), rates], 1)
        speed = rates.mean(1)
    cells = max(1, round(len(values) / motion.fps / STEP))
    edges = np.linspace(0, len(values), cells + 1).round().astype(int)
    parts = [slice(a, max(b, a + 1)) for a, b in zip(edges, edges[1:], strict=False)]
    means = np.stack([values[p].mean(0) for p in parts])
    speeds = np.array([speed[p].mean() for p in parts])
    return (means - means.mean(0)) / np.maximum(means.std(0), FLOOR) / np.sqrt(means.shape[1]), speeds


def partition(values: np.ndarray, shortest: int, longest: int, penalty: float) -> list[int]:
    """Bounds 0, ..., N of the best partition of rows (N, F) into parts of `shortest` to `longest` rows.

    Where N allows no such partition, parts may be shorter, the whole at the least.
    """
    count = len(values)
    sums = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(0)])
    squares = np.concatenate([[0.0], np.square(values).sum(1).cumsum()])

    def solve(shortest: int) -> list[int] | None:
        best = np.full(count + 1, np.inf)
        best[0], before = 0.0, np.zeros(count + 1, int)
        for end in range(1, count + 1):
            starts: Any = np.arange(max(0, end - longest), end - shortest + 1)
            if not len(starts):
                continue
            lengths = end - starts
            within = squares[end] - squares[starts] - np.square(sums[end] - sums[starts]).sum(1) / lengths
            total = best[starts] + within + penalty
            k = int(total.argmin())
            best[end], before[end] = total[k], starts[k]
        if not np.isfinite(best[count]):
            return None
        bounds = [count]
        while bounds[-1]:
            bounds.append(int(before[bounds[-1]]))
        return bounds[::-1]

    for least in (shortest, max(1, shortest // 2), 1):
        if (bounds := solve(min(least, count))) is not None:
            return bounds
    return [0, count]

"""The pelvis in the air: a ballistic arc instead of the blend of its height."""

from __future__ import annotations

import numpy as np

from instruct_data.synth.geometry import Array
from instruct_data.synth.tracks import Batch

GRAVITY = 9.81


def fly(batch: Batch, pelvis: Array) -> tuple[Array, Array]:
    """Replace the pelvis' path on flights (runs of ``air`` keys) by a throw.

    Returns:
        pelvis (N, 3) and how far the feet are carried up with it (N,).
    """
    lifted = np.zeros(len(pelvis))
    if not batch.air.any():
        return pelvis, lifted
    k = np.arange(len(batch.times))
    start, end = k.copy(), k.copy()
    # first and last key of the run of air keys that the way to a key belongs to
    for i in k:
        if batch.air[i] and i > batch.first[batch.key_clip[i]]:
            start[i] = start[i - 1] if batch.air[i - 1] else i - 1
    for i in k[::-1]:
        if batch.air[i] and i < batch.last[batch.key_clip[i]] and batch.air[i + 1]:
            end[i] = end[i + 1]
    _, right, s = batch.place("pelvis")
    at = np.flatnonzero(batch.air[right] & (s > 0))
    if len(at) == 0:
        return pelvis, lifted
    a, b = start[right[at]], end[right[at]]
    time = batch.layout.frame[at] / 20.0 - batch.times[a]
    span = np.maximum(batch.times[b] - batch.times[a], 1e-3)
    u = np.clip(time / span, 0, 1)
    rows = batch.rows["pelvis"]
    blended = rows[a] + (rows[b] - rows[a]) * u[:, None]
    rise = 0.5 * GRAVITY * span * span * u * (1 - u)
    out = pelvis.copy()
    noise = pelvis[at] - batch.mix("pelvis").numbers(rows)[at]
    out[at] = blended + noise
    out[at, 1] += rise
    lifted[at] = rise
    return out, lifted

"""Notes where nobody gets in time from the end of one clip to the start of another: they are joined all the same."""

from __future__ import annotations

import numpy as np

from vqvae.ground import floor_of
from vqvae.motion import Motion

FASTEST = 4.9
"""Metres a second in the plane: the most that anybody goes in half a second of the corpus' 3,144 training clips (the
99.99th percentile is 4.4)."""
SPAN = 0.5  # s over which speeds are taken


def out_of_reach(start: Motion, end: Motion, frames: int) -> tuple[str, ...]:
    """What a middle of `frames` cannot do, in words: another floor, or a way that is too long.

    As fast as the clips themselves go anybody may go between them.

    Args:
        start, end: as they stand in the world, of one frame rate.
    """
    notes = []
    higher = floor_of(end) - floor_of(start)
    if higher:
        side = "higher" if higher > 0 else "lower"
        notes.append(f"END stands {abs(higher):.1f} m {side}; nothing is known to step on, so the middle glides there")
    seconds = (frames + 1) / start.fps
    metres = float(np.linalg.norm((end.root[0] - start.root[-1])[[0, 2]]))
    fastest = max(FASTEST, _speed(start), _speed(end))
    if metres / seconds > fastest:
        way = f"END begins {metres:.1f} m away, {metres / seconds:.1f} m/s in {seconds:.2g} s"
        notes.append(f"{way}; people in recordings go up to {FASTEST:g} m/s, so the middle slides")
    return tuple(f"in-between: {note}" for note in notes)


def _speed(motion: Motion) -> float:
    """The most metres a second in the plane over `SPAN`."""
    frames = min(max(1, round(SPAN * motion.fps)), len(motion) - 1)
    if frames < 1:
        return 0.0
    way = (motion.root[frames:] - motion.root[:-frames])[:, [0, 2]]
    return float(np.linalg.norm(way, axis=-1).max()) * motion.fps / frames

"""Made-up motion for every test, real clips for those that want them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vqvae import rotations as rot
from vqvae.motion import Motion

Wander = Callable[..., Motion]


@pytest.fixture(scope="session")
def real_clips(shared: Path) -> list[Motion]:
    """The first 25 clips, and 25 drawn from the rest."""
    folder = shared / "data" / "body"
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    drawn = np.random.default_rng(0).permutation(np.arange(25, len(rows)))[:25]
    shards: dict[str, dict[str, np.ndarray]] = {}
    clips = []
    for row in [*rows[:25], *(rows[i] for i in drawn)]:
        if row["shard"] not in shards:
            with np.load(folder / row["shard"], allow_pickle=False) as z:
                shards[row["shard"]] = {k: z[k] for k in z.files}
        shard = shards[row["shard"]]
        a, b = shard["offsets"][row["index"] : row["index"] + 2]
        clips.append(Motion(shard["rot"][a:b].astype(np.float32) / 32767, shard["root"][a:b]))
    return clips


def make_wander(frames: int = 90, seed: int = 0, fps: float = 20.0, turn: float = 0.0) -> Motion:
    """All joints swing by up to half a radian at their own pace; the root travels, sways and turns.

    Args:
        frames: length.
        seed: of amplitudes and phases.
        fps: frame rate.
        turn: steady yaw rate besides the swaying, rad/s.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / fps
    wave = np.sin(2 * np.pi * (rng.uniform(0.2, 1.0, (22, 3)) * t + rng.uniform(0, 1, (22, 3))))
    angles = rng.uniform(-0.5, 0.5, (22, 3)) * wave
    q = rot.from_axis_angle(angles)
    yaw = turn * t[:, 0, 0] + 0.3 * np.sin(t[:, 0, 0])
    q[:, 0] = rot.multiply(rot.about_y(yaw), q[:, 0])
    forward = np.stack([np.sin(yaw), 0 * yaw, np.cos(yaw)], -1)
    root = np.cumsum(forward * 0.8 / fps, 0) + [0.3, 1.0, -0.2] + 0.03 * np.sin(7 * t[:, 0]) * [0, 1, 0]
    return Motion(q, root, fps)


@pytest.fixture(scope="session")
def wander() -> Wander:
    """`make_wander`: smooth, whole-body, turning and travelling motion."""
    return make_wander

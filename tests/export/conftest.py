"""Clips made by setting joint angles, and real ones where the corpora are at hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def make_motion(frames: int = 48, fps: float = 20.0, seed: int = 0) -> Motion:
    """Every joint swings about its own axis through up to 150 degrees while the body travels and turns."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / fps
    axis = rng.normal(size=(22, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    reach = rng.uniform(0.2, 2.6, 22) * np.sin(t[:, None] * rng.uniform(1, 5, 22) + rng.uniform(0, 6, 22))
    local = rot.from_axis_angle(reach[..., None] * axis)
    local[:, 0] = rot.multiply(rot.about_y(2.5 * t), rot.from_axis_angle(0.4 * np.sin(t)[:, None] * axis[0]))
    root = np.stack([0.7 * t, 0.95 + 0.1 * np.sin(3 * t), 1.3 * np.sin(t)], -1)
    return Motion(local, root, fps, caption="a person swings every joint")


def make_step(frames: int = 30, fps: float = 30.0) -> Motion:
    """A plausible standing clip: left arm lifted sideways from hanging to overhead, right knee raised, no twists."""
    t = np.linspace(0, 1, frames)[:, None]
    local = rot.identity((frames, 22))

    def turn(name: str, degrees: np.ndarray | float, axis: tuple[float, float, float]) -> None:
        angle = np.radians(np.broadcast_to(degrees, (frames, 1)))
        local[:, SMPL22.index(name)] = rot.from_axis_angle(angle * np.array(axis))

    turn("l_shoulder", -75 + 150 * t, (0, 0, 1))
    turn("r_shoulder", 75.0, (0, 0, 1))
    turn("r_hip", -80 * t, (1, 0, 0))
    turn("r_knee", 90 * t, (1, 0, 0))
    turn("spine2", 20 * t, (0, 1, 0))
    root = np.concatenate([0 * t, 0.95 + 0 * t, 0.8 * t], 1)
    return Motion(local, root, fps)


@pytest.fixture
def motion() -> Motion:
    return make_motion()


@pytest.fixture
def step() -> Motion:
    return make_step()


@pytest.fixture(scope="session")
def real_clips(shared: Path) -> list[Motion]:
    """20 real clips spread over the corpus."""
    folder = shared / "data" / "body"
    sys.path.insert(0, str(folder))
    try:
        from load import load  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(folder))
    rows, get = load(str(folder))
    clips = []
    for row in rows[:: len(rows) // 20][:20]:
        root, quat, _ = get(row)
        clips.append(Motion(quat, root, 20.0, caption=row["captions"][0]))
    return clips

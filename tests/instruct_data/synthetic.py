"""Simple clips by formulas, and keyframed action families written on the spot."""

from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from instruct_data.factory.synth.format import Family
from instruct_data.factory.synth.loading import load_family
from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

J = SMPL22.index


def hanging(frames: int) -> np.ndarray:
    """(T, 22, 4) rotations of somebody who stands with both arms hanging."""
    q = np.broadcast_to(rot.identity((22,)), (frames, 22, 4)).copy()
    q[:, J("l_shoulder")] = rot.from_axis_angle(np.array([0, 0, -1.4]))
    q[:, J("r_shoulder")] = rot.from_axis_angle(np.array([0, 0, 1.4]))
    return q


def walking(frames: int = 100, period: int = 22, speed: float = 1.2, arms: float = 0.4) -> Motion:
    """Walks along +Z; legs and arms swing, the chest counter-rotates."""
    t = np.arange(frames)
    swing = np.sin(2 * np.pi * t / period)
    q = hanging(frames)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        q[:, J(f"{side}_hip")] = rot.from_axis_angle(np.outer(-0.5 * sign * swing, [1.0, 0, 0]))
        q[:, J(f"{side}_shoulder")] = rot.multiply(
            rot.from_axis_angle(np.outer(arms * sign * swing, [1.0, 0, 0])), q[:, J(f"{side}_shoulder")]
        )
    q[:, J("spine2")] = rot.about_y(0.15 * swing)
    root = np.stack([0 * t, 0 * t + 0.93, speed * t / 20], -1)
    return Motion(q, root)


def waving(frames: int = 60, side: str = "left", quiet: int = 15) -> Motion:
    """Stands, raises one arm, waves, lowers it; nods to the side with the chest while the arm is up."""
    t = np.arange(frames)
    up = np.clip(np.minimum(t - quiet, frames - 1 - quiet - t) / 8, 0, 1)
    up = up * up * (3 - 2 * up)
    q = hanging(frames)
    sign = 1.0 if side == "left" else -1.0
    angle = sign * (-1.4 + 2.3 * up + 0.3 * up * np.sin(2 * np.pi * t / 10))
    q[:, J(f"{side[0]}_shoulder")] = rot.from_axis_angle(np.outer(angle, [0, 0, 1.0]))
    q[:, J("spine1")] = rot.from_axis_angle(np.outer(0.2 * up, [0, 0, 1.0]))
    return Motion(q, np.tile([0, 0.93, 0], (frames, 1)))


def clip_of(name: str, motion: Motion, action: str, captions: list[str], style: str = "", source: str = "test") -> Clip:
    return Clip(name, motion, captions, source, "none", "train", action, style)


CAPTIONS = "\n".join(f"  - a person moves in way {i}" for i in range(12))


def family_of(folder: Path, keys: str, head: str = "") -> Family:
    """A family of these keys, written to `folder` and loaded."""
    path = folder / "try_it.yaml"
    path.write_text(f"name: try_it\ngroup: hands\n{head}\ncaptions:\n{CAPTIONS}\nkeys:\n{keys}", encoding="utf-8")
    return load_family(path)

"""Bodies made by hand for the tests of geometry: joints are placed directly, rotations only
where a check looks at them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from avatargpt.kinematics.joints import Signals
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22

T = 60
REST = SMPL22.rest_joints - np.array([0, SMPL22.rest_joints[:, 1].min() - 0.02, 0])


class Body(Signals):
    """Signals on joints that a test puts where it likes; `turns` are head rotations over the chest (T, 4)."""

    def __init__(self, joints: np.ndarray, head: np.ndarray | None = None) -> None:
        self.joints = joints.astype(np.float64)
        rotations = rot.identity((len(joints), 22))
        if head is not None:
            rotations[:, SMPL22.index("head")] = head
        self.first = 0
        motion = SimpleNamespace(rotations=rotations, root=joints[:, 0], skeleton=SMPL22)
        motion.slice = lambda a, b: SimpleNamespace(rotations=rotations[a:b], root=motion.root[a:b], skeleton=SMPL22)
        self.motion = motion  # type: ignore[assignment]


def standing(frames: int = T) -> np.ndarray:
    """(T, 22, 3) standing with hanging arms."""
    joints = np.tile(REST, (frames, 1, 1))
    for side, sign in (("l", 1), ("r", -1)):
        shoulder = joints[:, SMPL22.index(f"{side}_shoulder")]
        joints[:, SMPL22.index(f"{side}_elbow")] = shoulder + np.array([0.03 * sign, -0.26, 0])
        joints[:, SMPL22.index(f"{side}_wrist")] = shoulder + np.array([0.04 * sign, -0.52, 0.03])
    return joints


def bump(frames: int = T) -> np.ndarray:
    """(T,) 0 .. 1 .. 0 with a plateau in the middle third."""
    return np.clip(1.8 * np.sin(np.pi * np.arange(frames) / (frames - 1)), 0, 1)


def wave(cycles: float, frames: int = T) -> np.ndarray:
    """(T,) -1 .. 1, that many periods."""
    return np.sin(2 * np.pi * cycles * np.arange(frames) / frames)


def hand(
    joints: np.ndarray, side: str, offset: np.ndarray | list[float], amount: np.ndarray | None = None
) -> np.ndarray:
    """A wrist moved to its shoulder + `offset` (left, up, forward) by `amount` (T,); the elbow half-way and lower."""
    out = joints.copy()
    a = (np.ones(len(out)) if amount is None else amount)[:, None]
    shoulder, elbow, wrist = (SMPL22.index(f"{side}_{n}") for n in ("shoulder", "elbow", "wrist"))
    target = out[:, shoulder] + np.asarray(offset, float)
    out[:, wrist] = (1 - a) * out[:, wrist] + a * target
    reach = np.linalg.norm(out[:, wrist] - out[:, shoulder], axis=1)
    sag = np.sqrt(np.maximum(0.264**2 - (reach / 2) ** 2, 0))
    middle = 0.5 * (out[:, wrist] + out[:, shoulder])
    middle[:, 1] -= sag
    out[:, elbow] = middle
    return out


def lowered(joints: np.ndarray, drop: np.ndarray | float, back: np.ndarray | float = 0.0) -> np.ndarray:
    """Everything from the pelvis up goes down by `drop` and back by `back` (T,); knees come forward, feet stay."""
    out = joints.copy()
    legs = [4, 5, 7, 8, 10, 11]
    upper = [j for j in range(22) if j not in legs]
    drop, back = np.broadcast_to(drop, len(out)), np.broadcast_to(back, len(out))
    out[:, upper, 1] -= drop[:, None]
    out[:, upper, 2] -= back[:, None]
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        across = out[:, hip] - out[:, ankle]
        length = np.linalg.norm(across, axis=1)
        bulge = np.sqrt(np.maximum(0.41**2 - (length / 2) ** 2, 0))
        forward = np.cross(across / length[:, None], np.array([-1.0, 0, 0]))
        out[:, knee] = 0.5 * (out[:, hip] + out[:, ankle]) + bulge[:, None] * forward
    return out


def pitched(joints: np.ndarray, degrees: np.ndarray | float, around: float | None = None) -> np.ndarray:
    """The trunk, head and arms lean forward about the pelvis by `degrees` (T,)."""
    out = joints.copy()
    a = np.deg2rad(np.broadcast_to(degrees, len(out)))
    upper = [3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
    v = out[:, upper] - out[:, :1]
    c, s = np.cos(a)[:, None], np.sin(a)[:, None]
    out[:, upper] = out[:, :1] + np.stack([v[..., 0], v[..., 1] * c - v[..., 2] * s, v[..., 1] * s + v[..., 2] * c], -1)
    return out


def moved(joints: np.ndarray, left: np.ndarray | float = 0.0, up: np.ndarray | float = 0.0,
          forward: np.ndarray | float = 0.0) -> np.ndarray:  # fmt: skip
    """The whole body displaced (T,)."""
    step = np.stack([np.broadcast_to(x, len(joints)) for x in (left, up, forward)], -1)
    return joints + step[:, None]


def walking(distance: float = 2.0, lift: float = 0.05, cycles: float = 3) -> np.ndarray:
    """Feet lift in turn while the body goes ahead."""
    out = moved(standing(), forward=np.linspace(0, distance, T))
    for knee, ankle, toe, sign in ((4, 7, 10, 1), (5, 8, 11, -1)):
        up = lift * np.clip(sign * wave(cycles), 0, None)
        out[:, [knee, ankle, toe], 1] += up[:, None]
    return out


def lying(joints: np.ndarray, degrees: float = -90.0) -> np.ndarray:
    """The body turned over backward (negative) or forward about the pelvis and put on the floor."""
    a = np.deg2rad(degrees)
    v = joints - joints[:, :1]
    out = np.stack([v[..., 0], v[..., 1] * np.cos(a) - v[..., 2] * np.sin(a),
                    v[..., 1] * np.sin(a) + v[..., 2] * np.cos(a)], -1)  # fmt: skip
    return out + np.array([0, 0.15, 0]) + joints[:, :1] * np.array([1, 0, 1])


def blended(a: np.ndarray, b: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """From the joints of `a` to those of `b` by `amount` (T,)."""
    w = amount[:, None, None]
    return (1 - w) * a + w * b

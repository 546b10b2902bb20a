"""Signals of the joints of one clip, on which the geometry predicates are built."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from vqvae.errors import UserError
from vqvae.motion import Motion, heading, smooth_yaw
from vqvae.rates import BODY_FPS
from vqvae.skeleton import SMPL22
from vqvae.smoothing import average_window, sample_frames

FPS = BODY_FPS
_J = {name: i for i, name in enumerate(SMPL22.names)}


def swings(signal: np.ndarray, amplitude: float) -> int:
    """Number of half-swings (moves from one turning point to the next) of at least `amplitude` in a (T,) signal."""
    if len(signal) == 0:
        return 0
    values = signal.astype(float).tolist()  # Python's numbers take a third of the time of NumPy's
    low = high = values[0]
    direction, count = 0, 0
    for value in values:
        if value > high and direction >= 0:
            high = value
        if value < low and direction <= 0:
            low = value
        if direction >= 0 and value < high - amplitude:
            direction, low, count = -1, value, count + 1
        elif direction <= 0 and value > low + amplitude:
            direction, high, count = 1, value, count + 1
    return count


def _recentre(joints: np.ndarray, yaw: float) -> np.ndarray:
    # (T, J, 3) with the first root at x = z = 0, turned by `yaw` radians about Y.
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.asarray((joints - joints[0, 0] * np.array([1, 0, 1])) @ turn.T)


class UnseenHead(UserError):
    """The direction of the head is unknown: the clip has positions alone."""


class Signals:
    """Per-frame signals of a clip at 20 fps in the frame of its first facing (+Z forward, +X left, Y up).

    Axes: T frames. Lengths in metres, angles in degrees, speeds in m/s, time in frames. Signals are computed on first
    use.
    """

    def __init__(self, motion: Motion, seams: Sequence[float] | None = None) -> None:
        """
        Args:
            seams: seconds at which a new part of a generated motion begins; None = unknown.
        """
        self.motion: Motion | None = motion.resampled(FPS).canonical()
        self.joints = self.motion.joints.astype(np.float64)
        self.nose: np.ndarray | None = None
        self.first = 0
        self.seams = None if seams is None else tuple(round(t * FPS) for t in seams)

    @classmethod
    def of_joints(cls, joints: np.ndarray, fps: float, nose: np.ndarray | None = None) -> Signals:
        """Signals of a clip with positions alone, on any skeleton.

        Args:
            joints: (T, 22, 3) metres, Y up, left = +X when facing +Z; resampled linearly to 20 fps.
            nose: (T, 3) unit vector of the face's direction, in the chest's axes; None = unknown, then `head_turn`
                raises `UnseenHead`.
        """
        count = max(1, round(len(joints) * FPS / fps))
        at = np.clip(np.arange(count) * fps / FPS, 0, len(joints) - 1)
        x = sample_frames(np.asarray(joints, np.float64), at)
        new = cls.__new__(cls)
        new.joints = _recentre(x, -heading(x[:1])[0])
        new.motion, new.first, new.seams = None, 0, None
        new.nose = None if nose is None else sample_frames(np.asarray(nose, np.float64), at)
        return new

    @classmethod
    def part(cls, signals: Signals, start: int, stop: int) -> Signals:
        """Frames [start, stop), re-centred on their own first facing without a second FK."""
        new = cls.__new__(cls)
        new.joints = _recentre(signals.joints[start:stop], -np.deg2rad(signals.yaw[start]))
        new.motion, new.first = signals.motion, signals.first + start
        new.nose = None if signals.nose is None else signals.nose[start:stop]
        new.seams = None if signals.seams is None else tuple(n - start for n in signals.seams if start < n < stop)
        return new

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def seconds(self) -> float:
        return len(self) / FPS

    def at(self, name: str) -> np.ndarray:
        """(T, 3) positions of a joint."""
        return self.joints[:, _J[name]]

    @cached_property
    def yaw(self) -> np.ndarray:
        """(T,) degrees, positive = left; see `smooth_yaw`."""
        return smooth_yaw(self.joints)

    @cached_property
    def net_yaw(self) -> float:
        return float(self.yaw[-1] - self.yaw[0])

    @cached_property
    def local(self) -> np.ndarray:
        """(T, 22, 3) joints relative to the pelvis' planar position in the heading frame of every frame."""
        yaw = np.deg2rad(self.yaw)
        x, z = self.joints[..., 0] - self.joints[:, :1, 0], self.joints[..., 2] - self.joints[:, :1, 2]
        c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
        return np.stack([x * c - z * s, self.joints[..., 1], x * s + z * c], -1)

    @cached_property
    def steps(self) -> np.ndarray:
        """(T, 2) planar steps of the smoothed pelvis in the heading frame: to the left, forward; m per frame."""
        path = average_window(self.joints[:, 0][:, [0, 2]], 5)
        d = np.diff(path, axis=0, prepend=path[:1])
        yaw = np.deg2rad(self.yaw)
        c, s = np.cos(yaw), np.sin(yaw)
        return np.stack([d[:, 0] * c - d[:, 1] * s, d[:, 0] * s + d[:, 1] * c], -1)

    @cached_property
    def gone_left(self) -> float:
        """Sum of sideways steps, positive to the left."""
        return float(self.steps[:, 0].sum())

    @cached_property
    def gone_forward(self) -> float:
        return float(self.steps[:, 1].sum())

    @cached_property
    def net(self) -> np.ndarray:
        """(2,) net planar displacement in the first frame's facing: left, forward."""
        return self.joints[-1, 0, [0, 2]] - self.joints[0, 0, [0, 2]]

    @cached_property
    def net_distance(self) -> float:
        return float(np.linalg.norm(self.net))

    @cached_property
    def path(self) -> float:
        return float(np.linalg.norm(self.steps, axis=1).sum())

    @cached_property
    def reach(self) -> float:
        """Largest planar distance from where the clip begins."""
        return float(np.linalg.norm(self.joints[:, 0, [0, 2]] - self.joints[0, 0, [0, 2]], axis=1).max())

    @cached_property
    def speed(self) -> np.ndarray:
        """(T,) planar pelvis speed, smoothed over half a second."""
        return average_window(np.linalg.norm(self.steps, axis=1) * FPS, 10)

    @cached_property
    def travel_speed(self) -> float:
        """75th percentile of the planar speed: the pace once under way."""
        return float(np.percentile(self.speed, 75))

    @cached_property
    def velocity(self) -> np.ndarray:
        """(T, 22) joint speeds in the world."""
        return np.linalg.norm(np.gradient(self.joints, axis=0), axis=-1) * FPS if len(self) > 1 else np.zeros((1, 22))

    @cached_property
    def relative_velocity(self) -> np.ndarray:
        """(T, 22) joint speeds relative to the pelvis."""
        rel = self.joints - self.joints[:, :1]
        return np.linalg.norm(np.gradient(rel, axis=0), axis=-1) * FPS if len(self) > 1 else np.zeros((1, 22))

    @cached_property
    def activity(self) -> float:
        """Mean joint speed over all joints and frames."""
        return float(self.velocity.mean())

    @cached_property
    def floor(self) -> float:
        """Height of the ground: 5th percentile of the lowest joint."""
        return float(np.percentile(self.joints[..., 1].min(1), 5))

    @cached_property
    def clearance(self) -> np.ndarray:
        """(T,) height of the lowest joint of the body over the floor."""
        return self.joints[..., 1].min(1) - self.floor

    @cached_property
    def pitch(self) -> np.ndarray:
        """(T,) forward lean of the trunk (pelvis to neck), degrees; 0 upright, 90 horizontal."""
        trunk = self.local[:, _J["neck"]] - self.local[:, 0]
        return np.rad2deg(np.arctan2(trunk[:, 2], trunk[:, 1]))

    @cached_property
    def uprightness(self) -> np.ndarray:
        """(T,) y component of the unit vector from pelvis to neck: 1 upright, 0 horizontal, -1 upside down."""
        trunk = self.at("neck") - self.at("pelvis")
        return trunk[:, 1] / np.maximum(np.linalg.norm(trunk, axis=1), 1e-6)

    @cached_property
    def head_turn(self) -> tuple[np.ndarray, np.ndarray]:
        """Pitch (down is positive) and yaw (left is positive) of the face against the chest, (T,) degrees each.

        From the rotations: the head is the last joint of its chain, so positions do not show its direction.

        Raises:
            UnseenHead: the clip has positions alone.
        """
        if self.motion is not None:
            motion = self.motion.slice(self.first, self.first + len(self))
            _, glob = motion.skeleton.fk_full(motion.rotations, motion.root)
            nose = np.einsum("tji,tj->ti", glob[:, _J["spine3"]], glob[:, _J["head"], :, 2])
        elif self.nose is not None:
            nose = self.nose / np.maximum(np.linalg.norm(self.nose, axis=1, keepdims=True), 1e-9)
        else:
            raise UnseenHead("positions do not show where the head looks")
        return np.rad2deg(np.arcsin(np.clip(-nose[:, 1], -1, 1))), np.rad2deg(np.arctan2(nose[:, 0], nose[:, 2]))

    def bend(self, side: str, limb: str) -> np.ndarray:
        """(T,) inner angle of an elbow (limb ``arm``) or a knee (``leg``), degrees; 180 is straight. side: l or r."""
        a, b, c = {"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")}[limb]
        upper = self.at(f"{side}_{a}") - self.at(f"{side}_{b}")
        lower = self.at(f"{side}_{c}") - self.at(f"{side}_{b}")
        lengths = np.linalg.norm(upper, axis=1) * np.linalg.norm(lower, axis=1)
        cosine = (upper * lower).sum(1) / np.maximum(lengths, 1e-9)
        return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))

    def hand(self, side: str) -> np.ndarray:
        """(T, 3) wrist in the heading frame. side: l or r."""
        return self.local[:, _J[f"{side}_wrist"]]

    def arm(self, side: str) -> np.ndarray:
        """(T, 3) wrist from its shoulder in the heading frame: left, up, forward. side: l or r."""
        return self.hand(side) - self.local[:, _J[f"{side}_shoulder"]]

    def hand_height(self, side: str) -> np.ndarray:
        """(T,) wrist over its shoulder, metres. side: l or r."""
        return self.at(f"{side}_wrist")[:, 1] - self.at(f"{side}_shoulder")[:, 1]

    def hand_speed(self, side: str) -> np.ndarray:
        """(T,) speed of a wrist relative to the pelvis, m/s. side: l or r."""
        return self.relative_velocity[:, _J[f"{side}_wrist"]]

    def hand_over_floor(self, side: str) -> np.ndarray:
        """(T,) height of a wrist over the floor, metres. side: l or r."""
        return self.at(f"{side}_wrist")[:, 1] - self.floor

    def hand_over_head(self, side: str) -> np.ndarray:
        return self.at(f"{side}_wrist")[:, 1] - self.at("head")[:, 1]

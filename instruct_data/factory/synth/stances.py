"""Real standing poses as start and end of clips, and idle frames of recordings that give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from instruct_data.clip import Clip
from instruct_data.factory.synth.geometry import STAND, TOE_HEIGHT, Array, Layout
from instruct_data.layering import activity
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.smoothing import smoothstep

UPPER = [SMPL22.index(n) for n in ("spine1", "spine2", "spine3", "neck", "head", "l_collar", "r_collar", "l_shoulder",
                                   "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist")]  # fmt: skip
SECONDS = 0.4  # in which a stance is blended in and out
_MAX_OFFSET = 0.12  # metres of a foot from its place in the family's own stand pose


@dataclass(frozen=True, eq=False)
class Stance:
    """One standing pose."""

    # ((x, z, yaw), (x, z, yaw)) of the left and right ankle relative to the pelvis, metres and degrees
    feet: tuple[tuple[float, float, float], tuple[float, float, float]]
    height: float  # pelvis height less the family's own, metres
    # pitch, roll: of the pelvis, degrees
    pitch: float
    roll: float
    upper: Array  # (13, 4) local rotations of the joints `UPPER`


def prepare(stances: Array) -> list[Stance]:
    """Stances of standing poses (S, 22, 4), with height, pitch and roll limited."""
    q = np.asarray(stances, np.float64)
    if q.ndim != 3 or q.shape[1:] != (22, 4) or len(q) == 0 or not np.isfinite(q).all():
        raise UserError(f"stances {q.shape}; accepted finite rotations (S, 22, 4) with S >= 1")
    joints, matrices = SMPL22.fk_full(rot.normalize(q), np.zeros((len(q), 3)))
    out = []
    for pose, place, turned in zip(q, joints, matrices, strict=True):
        across = place[1] - place[2] + place[16] - place[17]
        yaw = -np.arctan2(-across[2], across[0])
        c, s = np.cos(yaw), np.sin(yaw)
        level = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        pelvis = level @ turned[0]
        feet = []
        for ankle in (7, 8):
            at, toes = level @ place[ankle], level @ turned[ankle][:, 2]
            feet.append((float(at[0]), float(at[2]), float(np.degrees(np.arctan2(toes[0], toes[2])))))
        height = TOE_HEIGHT - float(place[[10, 11], 1].min()) - STAND
        pitch, roll = np.degrees(np.arctan2(pelvis[2, 1], pelvis[1, 1])), np.degrees(np.arcsin(pelvis[0, 1]))
        out.append(Stance((feet[0], feet[1]), min(max(height, -0.08), 0.005), float(np.clip(pitch, -15, 15)),
                          float(np.clip(roll, -8, 8)), rot.normalize(pose[UPPER])))  # fmt: skip
    return out


def foot_offsets(
    stance: Stance, usual: Mapping[str, tuple[float, float, float]]
) -> dict[str, tuple[float, float, float]]:
    """How far (x, z metres, yaw degrees) each foot stands from its `usual` place."""
    out = {}
    for name, (x, z, yaw) in zip(("l_foot", "r_foot"), stance.feet, strict=True):
        home = usual[name]
        far = [float(np.clip(a - b, -_MAX_OFFSET, _MAX_OFFSET)) for a, b in ((x, home[0]), (z, home[1]))]
        out[name] = (far[0], far[1], float(np.clip(yaw - home[2], -20, 20)))
    return out


def shares(layout: Layout, starts: Array, ends: Array) -> Array:
    """(N,) weight of the stance in every frame. starts, ends: (B,) 1 where a clip starts or ends in it."""
    frames = SECONDS * 20
    remaining = np.repeat(layout.counts - 1, layout.counts) - layout.frame
    first = (1 - smoothstep(layout.frame / frames)) * starts[layout.clip]
    last = (1 - smoothstep(remaining / frames)) * ends[layout.clip]
    return np.maximum(first, last)


# Idle frames of recordings: upright, quiet, arms hanging, feet together.
STANDING = (0.86, 1.05)  # metres: height of the pelvis of an upright body
_QUIET = 0.12  # metres per second, mean over the joints
_MAX_STRIDE = 0.34  # metres between the feet; more is mid-stride
_PLAIN = ("", "normal", "youthful", "active", "masculine", "feminine")


def idle_frame(motion: Motion) -> int | None:
    """The quietest frame of upright standing with both arms hanging; None if there is none."""
    joints = motion.joints.astype(np.float64)
    if len(motion) < 3:
        return None
    speed = np.linalg.norm(np.gradient(joints, axis=0), axis=-1).mean(-1) * motion.fps
    acts = activity(motion)
    feet = np.linalg.norm((joints[:, 7] - joints[:, 8])[:, ::2], axis=-1)
    flat = np.abs(joints[:, 10, 1] - joints[:, 11, 1]) < 0.04
    pelvis = joints[:, 0, 1]
    fine = (speed < _QUIET) & ~acts.left & ~acts.right & ~acts.head & (feet < _MAX_STRIDE) & flat
    fine &= (pelvis > STANDING[0]) & (pelvis < STANDING[1])
    return int(np.flatnonzero(fine)[np.argmin(speed[fine])]) if fine.any() else None


def idle_stances(clips: Sequence[Clip], count: int, seed: int = 0) -> np.ndarray:
    """(S, 22, 4) float64 local rotations of standing poses that face +Z, of different clips; S is at most `count`.
    `clips`: real clips, of which those of a plain style are used.
    """
    rng = np.random.default_rng([seed, 6])
    plain = [c for c in clips if c.style in _PLAIN]
    out: list[np.ndarray] = []
    for i in rng.permutation(len(plain)):
        if len(out) == count:
            break
        motion = plain[int(i)].load()
        frame = idle_frame(motion)
        if frame is not None:
            out.append(motion.slice(frame, frame + 1).canonical().rotations[0].astype(np.float64))
    return np.stack(out) if out else np.zeros((0, 22, 4))

"""Trunk and thighs as capsules, and hands that are kept out of them."""

from __future__ import annotations

import numpy as np

from instruct_data.gesture.strokes import ARM, SIDES, Turns
from vqvae import rotations as rot
from vqvae.features import JOINTS, STANDING
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian

# joint, start and end in its frame (metres, T-pose axes), radius: of the left half; the right one is its mirror image.
_LEFT = (
    ("pelvis", (0.062, -0.045, -0.018), (0.052, 0.080, -0.012), 0.090),
    ("spine1", (0.052, -0.050, 0.003), (0.060, 0.130, 0.014), 0.083),
    ("spine2", (0.060, -0.012, -0.003), (0.072, 0.087, -0.002), 0.090),
    ("spine3", (0.072, 0.030, -0.003), (0.094, 0.124, -0.013), 0.083),
    ("l_hip", (0.004, -0.004, -0.004), (0.0, -0.140, 0.006), 0.084),
    ("l_hip", (0.0, -0.160, 0.006), (0.0, -0.392, 0.0), 0.068),
)
_PARTS = [
    (SMPL22.index(name if sign > 0 else name.replace("l_", "r_")), [sign * a[0], *a[1:]], [sign * b[0], *b[1:]], r)
    for name, a, b, r in _LEFT for sign in (1, -1)
]  # fmt: skip
_JOINTS = np.array([p[0] for p in _PARTS])
_ENDS = np.array([[p[1], p[2]] for p in _PARTS])
_RADII = np.array([p[3] for p in _PARTS])
POINTS = (0.0, 0.05, 0.095)  # m from the wrist along the hand: wrist, palm, knuckles
MARGIN = 0.03  # m that hands are kept from the surface
ROUNDS, SPREAD = 5, 3.0  # corrections one after the other, and frames over which each is spread
MAX_PUSH = 0.12  # m of one round


def hand_depth(rotations: np.ndarray) -> np.ndarray:
    """(T, 22, 4) local rotations of a body -> (T, 2) metres that either hand is in it, left first; below 0: outside."""
    return _deepest(rotations)[0]


def _deepest(rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    # Depth (T, 2) of each hand, the direction out of the body (T, 2, 3), joints (T, 22, 3), matrices (T, 22, 3, 3).
    joints, matrices = SMPL22.fk_full(rotations, np.repeat(STANDING[None], len(rotations), 0))
    ends = np.einsum("tpij,pkj->tpki", matrices[:, _JOINTS], _ENDS) + joints[:, _JOINTS, None]
    along = ends[:, :, 1] - ends[:, :, 0]
    wrists = [SMPL22.index(f"{s}_wrist") for s in SIDES]
    out_depth, out_way = [], []
    for k, wrist in enumerate(wrists):
        sign = 1.0 if k == 0 else -1.0
        points = joints[:, wrist, None] + np.asarray(POINTS)[:, None] * (sign * matrices[:, wrist, None, :, 0])
        away = points[:, :, None] - ends[:, None, :, 0]
        share = np.clip((away * along[:, None]).sum(-1) / (along[:, None] ** 2).sum(-1), 0, 1)
        away = away - share[..., None] * along[:, None]
        distance = np.linalg.norm(away, axis=-1)
        depth = (_RADII - distance).reshape(len(rotations), -1)
        best = depth.argmax(1)
        rows = np.arange(len(rotations))
        out_depth.append(depth[rows, best])
        flat = (away / np.maximum(distance, 1e-6)[..., None]).reshape(len(rotations), -1, 3)
        out_way.append(flat[rows, best])
    return np.stack(out_depth, 1), np.stack(out_way, 1), joints, matrices


def outside(turns: Turns) -> Turns:
    """The same motion (T, 43, 4) with hands `MARGIN` off trunk and thighs, by small turns of the shoulders."""
    out = turns.copy()
    rotations = rot.identity((len(turns), len(SMPL22.names)))
    for _ in range(ROUNDS):
        rotations[:, JOINTS] = out[:, : len(JOINTS)]
        depth, way, joints, matrices = _deepest(rotations)
        push = np.clip(depth + MARGIN, 0, MAX_PUSH)
        if not push.any():
            break
        for k, side in enumerate(SIDES):
            if not push[:, k].any():
                continue
            moved = gaussian(push[:, k, None] * way[:, k], SPREAD)
            shoulder, wrist = SMPL22.index(f"{side}_shoulder"), SMPL22.index(f"{side}_wrist")
            reach = joints[:, wrist] - joints[:, shoulder]
            turned = np.cross(reach, moved) / (reach**2).sum(-1, keepdims=True)
            parent = matrices[:, SMPL22.index(f"{side}_collar")]
            local = rot.from_axis_angle(np.einsum("tji,tj->ti", parent, turned))
            column = ARM[side][1]
            out[:, column] = rot.multiply(local, out[:, column])
    return rot.normalize(out)

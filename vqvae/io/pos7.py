"""Upper bodies as (T, 9, 7) arrays, the layout of LLAvatarOS: positions and world rotations of nine joints.

Joints: spine, spine1, spine2, RightShoulder, RightArm, RightForeArm, LeftShoulder, LeftArm, LeftForeArm, our spine1,
spine2, spine3, r_collar, r_shoulder, r_elbow, l_collar, l_shoulder, l_elbow. Of each px, py, pz, qx, qy, qz, qw.

Other files have rotations of their rig's joints, in the world or relative to the parents, Y or Z up, in any unit; all
of this follows from the positions of the joints, since bones keep their length.
"""

from __future__ import annotations

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import UNIT_TOLERANCE, Motion
from vqvae.rest import frame_turn
from vqvae.skeleton import SMPL22

NAMES = ("spine1", "spine2", "spine3", "r_collar", "r_shoulder", "r_elbow", "l_collar", "l_shoulder", "l_elbow")
JOINTS = [SMPL22.index(n) for n in NAMES]
PARENTS = (-1, 0, 1, 2, 3, 4, 2, 6, 7)
FPS = 30.0
SHAPE = (len(NAMES), 7)
_SPREAD = 0.1  # most by which a bone may move in its joint's frame, in lengths of the bone
_ARMS = ((3, 4, 5, -1.0), (6, 7, 8, 1.0))  # collar, shoulder, elbow, the side's sign along X


def to_array(motion: Motion) -> np.ndarray:
    """(T, 9, 7) float32 of a motion: metres, Y up, rotations in the world, x, y, z, w."""
    places, turned = motion.skeleton.fk_full(motion.rotations, motion.root)
    turns = rot.from_matrix(turned[:, JOINTS])
    turns = rot.continuous(turns) if len(turns) > 1 else turns
    return np.concatenate([places[:, JOINTS], np.roll(turns, -1, -1)], -1).astype(np.float32)


def from_array(array: np.ndarray, fps: float = FPS) -> Motion:
    """A gesture without fingers; head, wrists and other missing joints as at rest, the pelvis below the spine.

    The layout (T, 9, 7) lacks its `fps`: LLAvatarOS' own files have 60, its networks 30.
    """
    places, turns = array[..., :3].astype(np.float64), np.roll(array[..., 3:].astype(np.float64), 1, -1)
    if (np.abs(np.linalg.norm(turns, axis=-1) - 1) > UNIT_TOLERANCE).any():
        raise UserError("quaternions of another length than 1; accepted x, y, z, w after the positions")
    turns, bones = _world_turns(places, rot.normalize(turns))
    ours = np.stack([SMPL22.offsets[j] for j in JOINTS])
    lengths = np.linalg.norm(bones[1:], axis=-1)
    cosines = (bones[1:] * ours[1:]).sum(-1) / (lengths * np.linalg.norm(ours[1:], axis=-1))
    # arms and trunk give the file's unit
    scale = float(np.linalg.norm(ours[[2, 5, 8]], axis=-1).sum() / lengths[[1, 4, 7]].sum())
    if cosines.min() > 1 - 1e-4 and abs(scale - 1) < 1e-2:
        scale, upright = 1.0, rot.identity(())
    else:
        turns = rot.multiply(turns, rot.from_matrix(_corrections(places, turns, bones)))
        trunk = (places[:, 2] - places[:, 0]).mean(0)
        axis = np.eye(3)[1 + int(np.abs(trunk[2]) > np.abs(trunk[1]))]
        upright = rot.between(axis * np.sign(trunk @ axis), np.array([0.0, 1, 0]))
        turns = rot.multiply(upright, turns)
    local = rot.identity((len(turns), len(SMPL22.names)))
    heading = 2 * np.arctan2(turns[:, 0, 2], turns[:, 0, 0])
    local[:, 0] = rot.about_y(heading)
    for k, p in enumerate(PARENTS):
        above = local[:, 0] if p < 0 else turns[:, p]
        local[:, JOINTS[k]] = rot.multiply(rot.conjugate(above), turns[:, k])
    root = scale * rot.rotate(upright, places[:, 0]) - rot.rotate(local[:, 0], SMPL22.offsets[JOINTS[0]])
    return Motion(local, root, fps, "gesture")


def _world_turns(places: np.ndarray, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World rotations (T, 9, 4) and every joint in its parent's frame (9, 3), whichever way the file has them."""
    below = turns.copy()
    for k, p in enumerate(PARENTS):
        if p >= 0:
            below[:, k] = rot.multiply(below[:, p], turns[:, k])
    spreads = []
    # in the right reading every bone lies still in the frame of the joint above it
    for world in (turns, below):
        parents, joints = list(PARENTS[1:]), list(range(1, len(PARENTS)))
        local = rot.rotate(rot.conjugate(world[:, parents]), places[:, joints] - places[:, parents])
        mean = local.mean(0)
        length = np.linalg.norm(places[:, joints] - places[:, parents], axis=-1).mean(0)
        if length.min() < 1e-9:
            raise UserError(f"joints {NAMES[1 + int(length.argmin())]} and its parent lie in one place")
        off = np.linalg.norm(local - mean, axis=-1).mean(0) / length
        spreads.append((float(off.max()), world, np.concatenate([np.zeros((1, 3)), mean])))
    spread, world, bones = min(spreads, key=lambda s: s[0])
    if spread > _SPREAD:
        raise UserError(f"bones move by {spread:.2f} of their length in their joints' frames; accepted positions that "
                        "follow from the rotations, in the world or below the parents")  # fmt: skip
    return world, bones


def _corrections(places: np.ndarray, turns: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """(9, 3, 3) what turns our joints at rest onto the file's, each in the file's joint's own frame."""
    ours = [SMPL22.offsets[j] for j in JOINTS]
    left, up = (places[:, 6] - places[:, 3]), (places[:, 2] - places[:, 0])

    def in_joint(k: int, direction: np.ndarray) -> np.ndarray:
        return np.asarray(rot.rotate(rot.conjugate(turns[:, k]), direction).mean(0))

    x, y = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    out = [frame_turn(bones[1], in_joint(0, left), ours[1], x), frame_turn(bones[2], in_joint(1, left), ours[2], x),
           frame_turn(in_joint(2, left), in_joint(2, up), x, ours[1] + ours[2])]  # fmt: skip
    for collar, shoulder, elbow, sign in _ARMS:
        along = bones[elbow] / np.linalg.norm(bones[elbow])  # the forearm's bone lies in its joint as the arm's does
        # the elbow bends about the hinge, square to upper arm and forearm
        forearm = rot.rotate(turns[:, elbow], along)
        bend = np.cross(rot.rotate(turns[:, shoulder], along), forearm)
        if np.linalg.norm(in_joint(shoulder, bend)) < 0.05:
            raise UserError(f"{NAMES[elbow]} never bends, which would tell how the arm is turned; accepted if it does")
        hinge = np.array([0.0, -sign, 0])
        out += [
            frame_turn(bones[shoulder], in_joint(collar, up), ours[shoulder], y),
            frame_turn(along, in_joint(shoulder, bend), ours[elbow], hinge),
            frame_turn(along, in_joint(elbow, bend), ours[elbow], hinge),
        ]
    return np.stack(out)

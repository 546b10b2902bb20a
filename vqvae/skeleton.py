"""The 22-joint SMPL body skeleton and forward kinematics.

Frame: metres, Y up, right-handed; the character faces +Z and its left side is +X. Identity local
rotations are a T-pose with the palms down. Bone offsets are those of one HumanML3D figure with the
left and right side made equal. `SMPL52` adds three joints for each finger; its hands' measures are our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvae import rotations as rot

if TYPE_CHECKING:
    import torch

JOINT_NAMES = (
    "pelvis", "l_hip", "r_hip", "spine1", "l_knee", "r_knee", "spine2", "l_ankle", "r_ankle", "spine3", "l_foot",
    "r_foot", "neck", "l_collar", "r_collar", "head", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist",
    "r_wrist",
)  # fmt: skip
# indices of the joints of the feet: ankles, and the balls of the feet, which stand about 2 cm above the floor
ANKLES, TOES, FEET = (7, 8), (10, 11), (7, 10, 8, 11)
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
# Bone offset of every joint from its parent in the rest pose, metres; left-side joints only once.
_HALF = {
    "pelvis": (0.0, 0.0, 0.0), "l_hip": (0.060281, -0.086311, -0.015158), "spine1": (0.0, 0.130692, -0.015163),
    "l_knee": (0.0, -0.391906, 0.0), "spine2": (0.0, 0.14217, 0.01706), "l_ankle": (0.0, -0.429038, 0.0),
    "spine3": (0.0, 0.057353, 0.001147), "l_foot": (0.0, -0.064178, 0.131584), "neck": (0.0, 0.21936, 0.0),
    "l_collar": (0.071897, 0.11958, -0.015134), "head": (0.0, 0.090888, 0.048543),
    "l_shoulder": (0.122921, 0.03073, -0.012292), "l_elbow": (0.259966, 0.0, 0.0), "l_wrist": (0.267944, 0.0, 0.0),
}  # fmt: skip


def mirror_name(name: str) -> str:
    """The joint on the other side of the body (``l_knee`` -> ``r_knee``; central joints map to themselves)."""
    return {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]


FINGERS = ("thumb", "index", "middle", "ring", "pinky")
FINGER_NAMES = tuple(f"{side}_{finger}{k}" for side in "lr" for finger in FINGERS for k in (1, 2, 3))
# 1 hangs on the wrist, 2 and 3 on the joint before; indices of the 52 joints.
FINGER_PARENTS = tuple(
    JOINT_NAMES.index(f"{name[0]}_wrist") if name.endswith("1") else len(JOINT_NAMES) + k - 1
    for k, name in enumerate(FINGER_NAMES)
)
# The left hand at rest, metres: straight fingers along the forearm, palm down, the thumb forward and a little down.
_HALF |= {
    "l_thumb1": (0.020, -0.008, 0.026), "l_thumb2": (0.028, -0.0148, 0.0248), "l_thumb3": (0.0223, -0.0118, 0.0197),
    "l_index1": (0.092, 0.0, 0.026), "l_index2": (0.038, 0.0, 0.0), "l_index3": (0.024, 0.0, 0.0),
    "l_middle1": (0.094, 0.003, 0.006), "l_middle2": (0.042, 0.0, 0.0), "l_middle3": (0.028, 0.0, 0.0),
    "l_ring1": (0.089, 0.001, -0.014), "l_ring2": (0.037, 0.0, 0.0), "l_ring3": (0.026, 0.0, 0.0),
    "l_pinky1": (0.081, -0.004, -0.032), "l_pinky2": (0.030, 0.0, 0.0), "l_pinky3": (0.019, 0.0, 0.0),
}  # fmt: skip
# metres from a finger's third joint to its tip, in the direction of the bone before
FINGER_TIPS = {"thumb": 0.026, "index": 0.022, "middle": 0.023, "ring": 0.022, "pinky": 0.019}


def _offsets(names: tuple[str, ...]) -> np.ndarray:
    sign = np.array([-1.0, 1.0, 1.0])
    return np.array([_HALF[n] if n in _HALF else _HALF[mirror_name(n)] * sign for n in names])


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A joint tree. ``parents[j] < j`` for every joint; joint 0 is the root (parent -1).

    `offsets` (J, 3): rest-pose offset from the parent, metres.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray

    def __reduce__(self) -> str:
        # Pickled by the name of its constant: there is one of each.
        return f"SMPL{len(self.names)}"

    def index(self, name: str) -> int:
        return self.names.index(name)

    @property
    def mirror(self) -> np.ndarray:
        """(J,) index of each joint's counterpart on the other side."""
        return np.array([self.names.index(mirror_name(n)) for n in self.names])

    @property
    def rest_joints(self) -> np.ndarray:
        """(J, 3) joint positions of the T-pose with the root at the origin."""
        return self.fk(rot.identity((len(self.names),)), np.zeros(3))

    def fk_full(self, rotations: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Joints (..., J, 3) in the world, metres, and their global rotation matrices (..., J, 3, 3), in float64.

        `rotations` (..., J, 4): local unit quaternions w, x, y, z; `root` (..., 3): position of joint 0, metres.
        """
        local = rot.to_matrix(np.asarray(rotations, np.float64))
        glob, pos = [local[..., 0, :, :]], [np.asarray(root, np.float64)]
        for j in range(1, len(self.parents)):
            p = self.parents[j]
            pos.append(pos[p] + glob[p] @ self.offsets[j])
            glob.append(glob[p] @ local[..., j, :, :])
        return np.stack(pos, -2), np.stack(glob, -3)

    def fk(self, rotations: np.ndarray, root: np.ndarray) -> np.ndarray:
        """Joint positions only, float32; see :meth:`fk_full`."""
        return self.fk_full(rotations, root)[0].astype(np.float32)

    def fk_torch(self, matrices: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
        """Differentiable forward kinematics. matrices (..., J, 3, 3), root (..., 3) -> joints (..., J, 3)."""
        return self.fk_global_torch(matrices, root)[0]

    def fk_global_torch(self, matrices: torch.Tensor, root: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Joints (..., J, 3) and their global rotations (..., J, 3, 3); see `fk_torch`."""
        import torch

        # Level by level of the tree, so that the number of kernels is its depth, not its size.
        levels = self._levels()
        order = [j for level in levels for j in level]
        sorted_already = order == sorted(order)
        if not sorted_already:
            matrices = matrices.index_select(-3, constant(tuple(order), root.device))
        sizes = [len(level) for level in levels]
        offsets = constant(tuple(tuple(self.offsets[j].tolist()) for j in order), root.device, root.dtype)
        local = matrices.split(sizes, -3)
        glob, pos = [local[0]], [root.unsqueeze(-2)]
        for k, (turn, bone) in enumerate(zip(local[1:], offsets.split(sizes)[1:], strict=True)):
            up = constant(tuple(levels[k].index(self.parents[j]) for j in levels[k + 1]), root.device)
            g = glob[-1].index_select(-3, up)
            pos.append(pos[-1].index_select(-2, up) + product(g, bone.unsqueeze(-1)).squeeze(-1))
            glob.append(product(g, turn))
        joints, turned = torch.cat(pos, -2), torch.cat(glob, -3)
        if sorted_already:
            return joints, turned
        back = constant(tuple(order.index(j) for j in range(len(order))), root.device)
        return joints.index_select(-2, back), turned.index_select(-3, back)

    def _levels(self) -> list[list[int]]:
        """The joints by their depth in the tree."""
        depth = [0] * len(self.parents)
        for j in range(1, len(self.parents)):
            depth[j] = depth[self.parents[j]] + 1
        return [[j for j, d in enumerate(depth) if d == k] for k in range(max(depth) + 1)]


@cache
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A tensor of fixed values (of int64 for whole numbers), made once per device: a copy waits for the device."""
    import torch

    # A tensor made in inference mode could not be used in training later.
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Matrix product of small matrices (..., I, J), (..., J, K), in full precision on every device."""
    # A GPU may multiply matrices with 10 bits of mantissa (TF32): half a millimetre for every bone.
    return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2) if a.is_cuda else a @ b


SMPL22 = Skeleton(JOINT_NAMES, PARENTS, _offsets(JOINT_NAMES))
SMPL52 = Skeleton((*JOINT_NAMES, *FINGER_NAMES), (*PARENTS, *FINGER_PARENTS), _offsets((*JOINT_NAMES, *FINGER_NAMES)))


def finger_ends(joint: int) -> np.ndarray:
    """(3,) where the bone of a finger's joint (index of `SMPL52`) ends, in the joint's own frame, metres."""
    if not SMPL52.names[joint].endswith("3"):
        return SMPL52.offsets[joint + 1]
    bone = SMPL52.offsets[joint]
    return np.asarray(bone / np.linalg.norm(bone) * FINGER_TIPS[SMPL52.names[joint][2:-1]])

# minimum height of a joint's centre above the floor
RADIUS = {"pelvis": 0.095, "l_hip": 0.075, "r_hip": 0.075, "spine1": 0.09, "spine2": 0.09, "spine3": 0.09,
          "neck": 0.06, "head": 0.09, "l_shoulder": 0.06, "r_shoulder": 0.06, "l_knee": 0.045, "r_knee": 0.045,
          "l_elbow": 0.035, "r_elbow": 0.035, "l_wrist": 0.03, "r_wrist": 0.03}  # fmt: skip

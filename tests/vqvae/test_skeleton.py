"""Forward kinematics: hand-made poses, numpy against torch."""

import numpy as np
import pytest
import torch

from vqvae import rotations as rot
from vqvae.skeleton import SMPL22


def test_the_tree_and_its_mirror() -> None:
    assert all(p < j for j, p in enumerate(SMPL22.parents))
    mirror = SMPL22.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(22))
    np.testing.assert_allclose(SMPL22.offsets[mirror], SMPL22.offsets * [-1, 1, 1])
    assert mirror[SMPL22.index("l_wrist")] == SMPL22.index("r_wrist")
    assert mirror[SMPL22.index("head")] == SMPL22.index("head")


def test_the_rest_pose_is_a_t_facing_z_with_the_left_at_x() -> None:
    joints = SMPL22.rest_joints
    left, right, toes, ankle = (joints[SMPL22.index(n)] for n in ("l_wrist", "r_wrist", "l_foot", "l_ankle"))
    assert left[0] > 0.6 and right[0] < -0.6
    assert left[1] == pytest.approx(joints[SMPL22.index("l_shoulder")][1])
    assert toes[2] > ankle[2]


def test_a_bent_elbow() -> None:
    q = rot.identity((22,))
    q[SMPL22.index("l_elbow")] = rot.from_axis_angle(np.array([0, -np.pi / 2, 0]))
    joints = SMPL22.fk(q, np.zeros(3))
    elbow, wrist = joints[SMPL22.index("l_elbow")], joints[SMPL22.index("l_wrist")]
    np.testing.assert_allclose(wrist - elbow, [0, 0, 0.267944], atol=1e-6)


def test_a_turned_root_turns_everything() -> None:
    q = rot.identity((22,))
    q[0] = rot.about_y(0.7)
    expected = rot.rotate(q[0], SMPL22.rest_joints.astype(float)) + np.array([1, 2, 3])
    np.testing.assert_allclose(SMPL22.fk(q, np.array([1, 2, 3])), expected, atol=1e-6)


def test_bone_lengths_never_change(wander) -> None:
    joints = wander().joints
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(SMPL22.parents[1:])], axis=-1)
    np.testing.assert_allclose(lengths, np.tile(np.linalg.norm(SMPL22.offsets[1:], axis=-1), (90, 1)), atol=1e-6)


def test_torch_equals_numpy_and_has_gradients(wander) -> None:
    motion = wander(12)
    m = torch.from_numpy(rot.to_matrix(motion.rotations.astype(np.float64))).requires_grad_()
    root = torch.from_numpy(motion.root.astype(np.float64)).requires_grad_()
    joints = SMPL22.fk_torch(m, root)
    np.testing.assert_allclose(joints.detach().numpy(), motion.joints, atol=1e-6)
    batch = SMPL22.fk_torch(m[None].expand(3, -1, -1, -1, -1), root[None].expand(3, -1, -1))
    np.testing.assert_allclose(batch[2].detach().numpy(), motion.joints, atol=1e-6)
    joints.square().sum().backward()
    assert m.grad is not None and torch.isfinite(m.grad).all() and m.grad[:, 5].abs().sum() > 0
    assert root.grad is not None and root.grad.abs().sum() > 0

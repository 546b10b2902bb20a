"""Rotations, forward kinematics and filters along time against scipy, torch and poses by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_closing, binary_dilation, gaussian_filter1d, uniform_filter1d
from scipy.spatial.transform import Rotation, Slerp

from vqvae import rotations as rot
from vqvae.skeleton import SMPL22
from vqvae.smoothing import average_window, close_gaps, fading, gaussian, widen_runs


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray]:
    a, b = (Rotation.random(200, rng=s).as_quat(scalar_first=True) for s in (0, 1))
    return a, b


def scipy(q: np.ndarray) -> Rotation:
    return Rotation.from_quat(q, scalar_first=True)


def assert_same_rotation(a: np.ndarray, b: np.ndarray, atol: float = 1e-7) -> None:
    np.testing.assert_allclose(rot.to_matrix(a), rot.to_matrix(b), atol=atol)


def test_multiply_conjugate_rotate(pairs) -> None:
    a, b = pairs
    v = np.random.default_rng(2).normal(size=(200, 3))
    assert_same_rotation(rot.multiply(a, b), (scipy(a) * scipy(b)).as_quat(scalar_first=True))
    assert_same_rotation(rot.conjugate(a), scipy(a).inv().as_quat(scalar_first=True))
    np.testing.assert_allclose(rot.rotate(a, v), scipy(a).apply(v), atol=1e-12)


def test_matrix_both_ways(pairs) -> None:
    a, _ = pairs
    np.testing.assert_allclose(rot.to_matrix(a), scipy(a).as_matrix(), atol=1e-12)
    assert_same_rotation(rot.from_matrix(scipy(a).as_matrix()), a)


@pytest.mark.parametrize("axis", np.vstack([np.eye(3), -np.eye(3), [[1, 1, 1]], [[1, -2, 3]]]))
@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, np.pi - 1e-9, np.pi])
def test_axis_angle_and_matrix_at_the_awkward_angles(axis, angle) -> None:
    v = axis / np.linalg.norm(axis) * angle
    q = rot.from_axis_angle(v)
    np.testing.assert_allclose(rot.to_matrix(q), Rotation.from_rotvec(v).as_matrix(), atol=1e-9)
    assert_same_rotation(rot.from_matrix(rot.to_matrix(q)), q)
    assert_same_rotation(rot.from_axis_angle(rot.to_axis_angle(q)), q)


def test_axis_angle_both_ways(pairs) -> None:
    a, _ = pairs
    np.testing.assert_allclose(rot.to_axis_angle(a), scipy(a).as_rotvec(), atol=1e-9)
    np.testing.assert_allclose(rot.to_axis_angle(-a), scipy(a).as_rotvec(), atol=1e-9)


def test_about_y_turns_forward_to_the_left() -> None:
    np.testing.assert_allclose(rot.rotate(rot.about_y(np.pi / 2), np.array([0, 0, 1.0])), [1, 0, 0], atol=1e-12)


def test_slerp(pairs) -> None:
    a, b = pairs
    for t in (0.0, 0.3, 1.0):
        expected = np.stack([
            Slerp([0, 1], Rotation.concatenate([scipy(x), scipy(y)]))(t).as_matrix() for x, y in zip(a, b, strict=True)
        ])  # fmt: skip
        np.testing.assert_allclose(rot.to_matrix(rot.slerp(a, b, np.full(200, t))), expected, atol=1e-7)
        np.testing.assert_allclose(rot.to_matrix(rot.slerp(a, -b, np.full(200, t))), expected, atol=1e-7)


def test_angle_between(pairs) -> None:
    a, b = pairs
    np.testing.assert_allclose(rot.angle_between(a, b), (scipy(a).inv() * scipy(b)).magnitude(), atol=1e-7)


def test_between_is_the_shortest_rotation() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 100, 3))
    q = rot.between(a, b)
    unit_a, unit_b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    np.testing.assert_allclose(rot.rotate(q, unit_a), unit_b, atol=1e-12)
    np.testing.assert_allclose(scipy(q).magnitude(), np.arccos((unit_a * unit_b).sum(-1)), atol=1e-7)


@pytest.mark.parametrize("a", [[0, 1.0, 0], [0, -1.0, 0], [1.0, 0, 0], [0, 0, 1.0], [1.0, 2, 3]])
def test_between_opposite_and_equal_directions(a) -> None:
    unit = np.array(a) / np.linalg.norm(a)
    np.testing.assert_allclose(rot.rotate(rot.between(unit, -unit), unit), -unit, atol=1e-9)
    np.testing.assert_allclose(rot.rotate(rot.between(unit, unit), unit), unit, atol=1e-12)


def test_six_numbers(pairs) -> None:
    a, _ = pairs
    six = rot.to_6d(a)
    np.testing.assert_allclose(six, np.concatenate([scipy(a).as_matrix()[..., 0], scipy(a).as_matrix()[..., 1]], -1))
    assert_same_rotation(rot.from_6d(six), a)
    assert_same_rotation(rot.from_6d(six * 3.7), a)


def test_six_numbers_in_torch_agree_with_numpy() -> None:
    import torch

    x = np.random.default_rng(4).normal(size=(50, 6))
    expected = rot.to_matrix(rot.from_6d(x))
    np.testing.assert_allclose(rot.matrix_from_6d(torch.from_numpy(x)).numpy(), expected, atol=1e-9)


def test_continuous_changes_signs_only() -> None:
    angles = np.linspace(0, 4 * np.pi, 100)
    q = rot.about_y(angles)
    broken = q * np.where(np.random.default_rng(5).random(100) < 0.5, -1, 1)[:, None]
    fixed = rot.continuous(broken)
    assert ((fixed[1:] * fixed[:-1]).sum(-1) > 0).all()
    np.testing.assert_allclose(np.abs(fixed), np.abs(q))


def test_continuous_of_one_frame():
    q = rot.from_axis_angle(np.ones((1, 3, 3)))
    assert np.array_equal(rot.continuous(q), q)


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (3, 2), (80,), (80, 2, 3)])
def test_as_scipy_to_the_bit(shape: tuple[int, ...], dtype: type) -> None:
    x = np.random.default_rng(len(shape)).normal(size=shape).astype(dtype)
    for size in (1, 4, 5, 10):
        for ends in ("nearest", "constant"):
            wanted = uniform_filter1d(x, size, axis=0, mode=ends)
            np.testing.assert_array_equal(average_window(x, size, ends), wanted)
    for sigma in (0.4, 3.0, 7.3):
        for ends in ("nearest", "wrap"):
            np.testing.assert_array_equal(gaussian(x, sigma, ends), gaussian_filter1d(x, sigma, axis=0, mode=ends))
    for by in (1, 3, 12) if len(shape) == 1 else ():
        mask = x > 0.3
        np.testing.assert_array_equal(widen_runs(mask, by), binary_dilation(mask, iterations=by))
        np.testing.assert_array_equal(close_gaps(mask, by), binary_closing(mask, iterations=by))


def test_an_offset_fades_with_its_speed_and_comes_to_rest() -> None:
    still = fading(np.array([1.0]), np.array([0.0]), 11)[1:, 0]
    assert (np.diff(still) < 0).all() and still[0] > 0.99 and still[-1] < 0.01
    np.testing.assert_allclose(still + still[::-1], 1)  # a symmetrical ease
    x = fading(np.array([1.0, 0.0]), np.array([0.1, -0.2]), 1000)
    assert np.allclose(x[0], [1, 0]) and np.allclose(x[1] - x[0], [0.1, -0.2], atol=1e-3)
    assert np.abs(x[-1]).max() < 1e-2 and np.abs(x[-1] - x[-2]).max() < 1e-3

"""Quaternion formulas against scipy's Rotation."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from vqvae import rotations as rot


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

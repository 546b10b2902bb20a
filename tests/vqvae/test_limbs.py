"""Limbs that reach for places."""

import numpy as np
import pytest

from vqvae import rotations as rot
from vqvae.limbs import ELBOW, KNEE, reached
from vqvae.skeleton import SMPL22

LEG, ARM = (1, 4, 7), (17, 19, 21)


def posed(bend: float, limb: tuple[int, int, int], hinge: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Local rotations (8, 22, 4) of bodies that turn, with a limb so bent; their joints and world rotations."""
    rng = np.random.default_rng(3)
    local = rot.identity((8, 22))
    local[:, [0, *limb]] = rot.normalize(rng.normal(size=(8, 4, 4)) * 0.3 + [1, 0, 0, 0])
    local[:, limb[1]] = rot.from_axis_angle(bend * hinge)
    joints, matrices = SMPL22.fk_full(local, np.zeros((8, 3)))
    return local, joints.astype(np.float64), rot.from_matrix(matrices)


@pytest.mark.parametrize(("limb", "hinge", "front"), [(LEG, [1.0, 0, 0], KNEE), (ARM, [0, 1.0, 0], ELBOW)])
@pytest.mark.parametrize("bend", [0.0, 0.9])
def test_an_end_is_where_it_is_led_as_it_was_turned_and_the_middle_keeps_its_hinge(
    limb: tuple[int, int, int], hinge: list[float], front: np.ndarray, bend: float
) -> None:
    local, joints, world = posed(bend, limb, np.array(hinge))
    away = joints[:, limb[2]] - joints[:, limb[0]]
    goal = joints[:, limb[0]] + 0.7 * away + np.random.default_rng(4).normal(size=(8, 3)) * 0.05
    local[:, limb] = reached(joints, world, limb, goal, front, eased=False)
    there, matrices = SMPL22.fk_full(local, np.zeros((8, 3)))
    np.testing.assert_allclose(there[:, limb[2]], goal, atol=1e-6)
    turned = rot.angle_between(rot.from_matrix(matrices)[:, limb[2]], world[:, limb[2]])
    np.testing.assert_allclose(turned, 0, atol=1e-5)
    turn = rot.to_axis_angle(local[:, limb[1]])
    np.testing.assert_allclose(turn, np.array(hinge) * (turn @ hinge)[:, None], atol=1e-3)
    assert (turn @ hinge > 0.1).all(), "a knee that bends ahead, an elbow that bends back"


def test_a_leg_is_stretched_ever_more_slowly() -> None:
    _, joints, world = posed(0.6, LEG, np.array([1.0, 0, 0]))
    away = joints[:, LEG[2]] - joints[:, LEG[0]]
    length = np.linalg.norm(np.diff(joints[:, LEG], axis=1), axis=-1).sum(1) / np.linalg.norm(away, axis=1)
    bends = [
        2 * np.arccos(np.clip(reached(joints, world, LEG, joints[:, LEG[0]] + away * (length * share)[:, None], KNEE)
                              [:, 1, 0], -1, 1)) for share in (0.97, 1.0, 1.03)]  # fmt: skip
    assert (np.diff(bends, axis=0) < 0).all() and (bends[-1] > 0.01).all()

"""Whole-body schemas: what is said to carry the body is on the floor, and the body is where the name says."""

from functools import cache

import numpy as np
import pytest

from instruct_data.synth import families, keyframed
from instruct_data.synth.rows import varied
from vqvae.skeleton import SMPL22

J = {n: i for i, n in enumerate(SMPL22.names)}
WRISTS, FEET = [J["l_wrist"], J["r_wrist"]], [J["l_foot"], J["r_foot"]]
ANKLES = [J["l_ankle"], J["r_ankle"]]


@cache
def clips(name: str) -> list[tuple[dict, np.ndarray]]:
    """What was drawn, and joints (T, 22, 3), of three clips."""
    return [(c.extra["params"], c.load().joints.astype(np.float64)) for c in keyframed(families()[name], range(3))]


def middle(joints: np.ndarray) -> np.ndarray:
    """Heights (22,) while the pose is held."""
    return joints[len(joints) * 9 // 20 : len(joints) * 11 // 20, :, 1].mean(0)


@pytest.mark.parametrize("name", ["plank", "forearm_plank", "downward_dog", "cobra_pose"])
def test_hands_and_feet_carry_the_body(name: str) -> None:
    for _, joints in clips(name):
        high = middle(joints)
        assert high[WRISTS].max() < 0.10 and high[FEET].max() < (0.2 if name == "cobra_pose" else 0.03), name
        assert high[[J["l_elbow"], J["r_elbow"]]].max() < (0.12 if name == "forearm_plank" else 0.4)
        assert (high[J["pelvis"]] > 0.7) == (name == "downward_dog")


@pytest.mark.parametrize(("name", "head"), [("handstand", 0.3), ("headstand", 0.085), ("shoulder_stand", 0.085)])
def test_upside_down_on_what_the_name_says(name: str, head: float) -> None:
    for _, joints in clips(name):
        high = middle(joints)
        assert high[J["head"]] < high[J["pelvis"]] - 0.3 and high[ANKLES].min() > high[J["pelvis"]] + 0.3
        assert high[J["head"]] > head
        assert high[WRISTS].max() < 0.09 or name == "shoulder_stand"
        assert high[J["spine3"]] < 0.4 or name != "shoulder_stand"


@pytest.mark.parametrize(("name", "axis"), [("side_split", 0), ("front_split", 2)])
def test_splits_lie_on_the_floor(name: str, axis: int) -> None:
    for _, joints in clips(name):
        low = joints[joints[:, 0, 1].argmin()]
        assert low[0, 1] < 0.22 and low[ANKLES, 1].max() < 0.2
        apart = np.abs(low[ANKLES[0]] - low[ANKLES[1]])
        assert apart[axis] > 1.45 and apart.argmax() == axis


def test_rolling_over_ends_face_down_or_on_the_side() -> None:
    for params, joints in clips("roll_over_lying"):
        shoulders = joints[-1, J["l_shoulder"]] - joints[-1, J["r_shoulder"]]
        up = joints[-1, J["spine3"]] - joints[-1, 0]
        front = np.cross(shoulders, up)
        front /= np.linalg.norm(front)
        assert joints[:, 0, 1].max() < 0.3 and abs(up[1]) < 0.2
        assert front[1] < -0.6 if params["to"] == "onto the belly" else abs(front[1]) < 0.4


def test_straight_legs_stay_straight_on_their_way() -> None:
    for _, joints in clips("raise_legs_lying"):
        leg = np.linalg.norm(joints[:, J["l_hip"]] - joints[:, ANKLES[0]], axis=1)
        assert joints[:, ANKLES[0], 1].max() > 0.7 and leg.min() > 0.97 * leg.max()


def test_variation_keeps_what_is_upside_down() -> None:
    assert varied(40.0, 1.1, 180) == pytest.approx(44.0)
    assert varied(90.0, 1.1, 180) == pytest.approx(99.0)
    assert varied(180.0, 1.1, 180) == varied(-180.0, 1.1, 180) * -1 == 180.0
    assert varied(170.0, 1.1, 180) == pytest.approx(169.0)
    assert varied(-90.0, 0.9, 90) == -90.0 and varied(-80.0, 0.9, 90) == pytest.approx(-81.0)

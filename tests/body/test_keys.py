"""Places, poses, hands and feet at given times: they hold in their frame, and nothing jumps beside it."""

import numpy as np
import pytest
from pydantic import ValidationError

from avatargpt.body.keys import pin_limbs, place_pelvis, pose_joints
from avatargpt.evaluation.corpus import make_keyframed_clips
from avatargpt.kinematics.measures import jerk
from instruct_data.requests.spec import Pin, Place, PoseKey
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

ELBOW = (0.8, 0.0, -0.6, 0.0)


def clip(family: str) -> Motion:
    return next(iter(make_keyframed_clips(1, only=[family]))).load()


def test_hands_and_feet_are_led_to_places() -> None:
    motion = clip("nod")
    hand = Pin(limb="right_hand", second=1.0, place=(-0.3, 1.3, 0.35))
    pins = [hand, Pin(limb="left_foot", second=1.5, place=(0.15, 0.4, 0.3))]
    led, notes = pin_limbs(motion, pins)
    assert not notes
    for pin, joint in zip(pins, (21, 7), strict=True):
        at = led.joints[round(pin.second * led.fps), joint]
        assert np.linalg.norm(at - np.array(pin.place)) < 0.02
    assert "out of reach" in pin_limbs(motion, [Pin(limb="left_hand", second=1.0, place=(3, 1, 0))])[1][0]
    with pytest.raises(UserError, match="at 99 s"):
        pin_limbs(motion, [Pin(limb="left_hand", second=99, place=(0, 1, 0))])


def test_a_hand_goes_through_every_place_of_a_course() -> None:
    motion = clip("nod")
    seconds = np.arange(0.5, 1.5, 0.1)
    places = np.stack([-0.3 + 0.3 * (seconds - 0.5), 1.2 + 0.1 * np.sin(6 * seconds), 0.3 + 0 * seconds], 1)
    rows = [Pin(limb="right_hand", second=s, place=tuple(p)) for s, p in zip(seconds, places.tolist(), strict=True)]
    led, notes = pin_limbs(motion, rows)
    at = led.joints[np.round(seconds * led.fps).astype(int), 21]
    assert not notes and np.linalg.norm(at - places, axis=1).max() < 1e-4
    assert (led.rotations[:1] == motion.rotations[:1]).all()  # half a second before nothing is led


def test_a_body_is_above_its_places_in_time() -> None:
    motion = clip("march")
    last = motion.seconds
    places = [Place(second=last / 2, place=(0.4, 0.9)), Place(second=last, place=(1.5, 1.5), heading=90)]
    led, _ = place_pelvis(motion, places)
    for place in places:
        frame = min(round(place.second * led.fps), len(led) - 1)
        assert np.linalg.norm(led.root[frame, [0, 2]] - np.array(place.place)) < 1e-3
    assert abs(np.degrees(led.heading[-1]) - 90) < 3
    assert jerk(led.joints, led.fps).max() < 2 * jerk(motion.joints, motion.fps).max()
    assert place_pelvis(motion, [])[0] is motion
    assert "shifted" in place_pelvis(clip("nod"), [Place(second=1, place=(3, 0))])[1][0]


def test_joints_are_turned_as_a_pose_says_and_come_back() -> None:
    motion = clip("nod")
    pose = PoseKey(second=1.0, rotations={"l_elbow": ELBOW, "r_elbow": (1, 0, 0, 0)}, height=0.8)
    led = pose_joints(motion, [pose])
    for name, quaternion in pose.rotations.items():
        turned = rot.angle_between(led.rotations[20, SMPL22.index(name)].astype(float), np.array(quaternion, float))
        assert turned < 1e-3
    assert led.root[20, 1] == pytest.approx(0.8)
    for frame in (9, 31):
        assert np.allclose(led.rotations[frame], motion.rotations[frame], atol=1e-6)
        assert np.allclose(led.root[frame], motion.root[frame], atol=1e-6)


def test_poses_of_other_joints_or_lengths_are_refused() -> None:
    with pytest.raises(ValidationError, match="no joint 'tail'"):
        PoseKey(second=0, rotations={"tail": (1, 0, 0, 0)})
    with pytest.raises(ValidationError, match="no unit quaternion"):
        PoseKey(second=0, rotations={"head": (1, 1, 0, 0)})

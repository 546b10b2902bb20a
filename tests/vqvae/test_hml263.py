"""The HumanML3D layout: its own published pair, and consistency on our own motion.

Golden numbers: clip 012314 of github.com/EricGuo5513/HumanML3D (MIT), joints and feature vectors.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io import hml263
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

SPEC = hml263.HML263Features()


def reference(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    folder = shared / "data" / "reference"
    return np.load(folder / "new_joints_012314.npy"), np.load(folder / "new_joint_vecs_012314.npy")


def test_reference_features_from_reference_joints(shared: Path) -> None:
    joints, vectors = reference(shared)
    # The joints file is recovered from the features, so it lacks the frame the last row leads to. Its joint
    # velocities say where that frame is; without it the smoothed facing of the last seconds could not be the same.
    facing = 2 * np.cumsum(vectors[:-1, 0].astype(np.float64))[-1]
    step = rot.rotate(rot.about_y(-facing), vectors[-1, SPEC.slices()["joint_velocity"]].reshape(22, 3).astype(float))
    got = hml263.encode_joints(np.concatenate([joints, (joints[-1] + step)[None]]))
    assert got.shape == vectors.shape == (170, 263)
    np.testing.assert_allclose(got, vectors, atol=1e-4, rtol=0)
    # Far from the end the smoothing does not notice the missing frame (80 frames = 4 sigma).
    np.testing.assert_allclose(hml263.encode_joints(joints)[:89], vectors[:89], atol=1e-4, rtol=0)


def test_reference_joints_from_reference_features(shared: Path) -> None:
    joints, vectors = reference(shared)
    assert np.linalg.norm(hml263.recover_joints(vectors) - joints, axis=-1).max() < 1e-3


def test_canonical_form_forgets_place_direction_and_floor(wander) -> None:
    joints = wander(60).joints.astype(float)
    elsewhere = rot.rotate(rot.about_y(2.0), joints) + np.array([3.0, 0.7, -2.0])
    np.testing.assert_allclose(hml263.encode_joints(elsewhere), hml263.encode_joints(joints), atol=1e-5)
    c = hml263.canonical_joints(elsewhere)
    assert c[..., 1].min() == pytest.approx(0)
    np.testing.assert_allclose(c[0, 0, [0, 2]], 0, atol=1e-12)


@pytest.mark.parametrize("turn", [0.0, 1.0, -3.0])
@pytest.mark.parametrize("frames", [2, 40, 400])
def test_recovered_joints_are_the_canonical_ones(frames: int, turn: float, wander) -> None:
    motion = wander(frames, turn=turn)
    expected = hml263.canonical_joints(motion.joints)[:-1]
    assert np.linalg.norm(hml263.recover_joints(SPEC.encode(motion)) - expected, axis=-1).max() < 1e-3


def test_the_originals_sign_flip_where_the_facing_passes_backwards(wander) -> None:
    joints = wander(200, turn=1.0).joints
    ours, original = hml263.encode_joints(joints), hml263.encode_joints(joints, original_wrap=True)
    changed = np.flatnonzero(np.abs(ours - original)[:, 0] > 1e-4)
    assert len(changed) >= 1
    np.testing.assert_allclose(original[changed, 0], -ours[changed, 0], atol=1e-6)
    np.testing.assert_allclose(ours[:, 1:], original[:, 1:], atol=1e-6)


def test_recovery_on_real_clips(real_clips: list[Motion]) -> None:
    for clip in real_clips:
        features, expected = SPEC.encode(clip), hml263.canonical_joints(clip.joints)[:-1]
        assert np.linalg.norm(hml263.recover_joints(features) - expected, axis=-1).max() < 1e-3
        assert np.linalg.norm(SPEC.decode(features).joints - expected, axis=-1).max() < 1e-3


def test_six_numbers_rebuild_the_joints_with_raw_bones(wander) -> None:
    """Forward kinematics along HumanML3D's chains, its raw directions and the bones' lengths give the joints back."""
    x = hml263.canonical_joints(wander(30).joints)
    facing = hml263.smoothed_facing(x)
    local = hml263.inverse_kinematics(x, facing)
    lengths = np.linalg.norm(x[:, 1:] - x[:, list(SMPL22.parents[1:])], axis=-1)
    out = np.zeros_like(x)
    out[:, 0] = x[:, 0]
    for chain in ([0, 2, 5, 8, 11], [0, 1, 4, 7, 10], [0, 3, 6, 9, 12, 15], [9, 14, 17, 19, 21], [9, 13, 16, 18, 20]):
        turn = facing
        for a, b in pairwise(chain):
            turn = rot.multiply(turn, local[:, b])
            out[:, b] = out[:, a] + rot.rotate(turn, hml263.RAW_DIRECTIONS[b] * lengths[:, b - 1, None])
    np.testing.assert_allclose(out, x, atol=1e-6)


def test_decode_gives_a_motion_on_our_skeleton_with_the_same_joints(wander) -> None:
    motion = wander(80)
    back = SPEC.decode(SPEC.encode(motion), "swaying")
    assert (len(back), back.fps, back.caption) == (79, 20, "swaying")
    expected = hml263.canonical_joints(motion.joints)[:-1]
    assert np.linalg.norm(back.joints - expected, axis=-1).max() < 1e-3


def test_swing_rotations_lose_twist_only(wander) -> None:
    motion = wander(40)
    q = hml263.swing_rotations(motion.joints)
    assert np.linalg.norm(SMPL22.fk(q, motion.root) - motion.joints, axis=-1).max() < 1e-4
    # The pelvis has three bones and therefore no free twist.
    assert np.degrees(rot.angle_between(q[:, 0], motion.rotations[:, 0].astype(float))).max() < 0.05
    axis = rot.to_axis_angle(q[:, 18]) @ SMPL22.offsets[20]
    np.testing.assert_allclose(axis, 0, atol=1e-6, err_msg="an elbow turns square to the forearm's rest direction")


def test_contacts() -> None:
    joints = np.repeat(SMPL22.rest_joints[None].astype(float), 10, 0)
    joints[5:, 8, 2] += 0.05  # 0.0025 m^2 in one step: right ankle
    joints[7:, 10, 0] += 0.04  # 0.0016 m^2: still a contact
    contacts = hml263.encode_joints(joints)[:, 259:]
    expected = np.ones((9, 4))
    expected[4, 2] = 0
    np.testing.assert_array_equal(contacts, expected)


def test_bad_input(wander) -> None:
    joints = np.repeat(SMPL22.rest_joints[None], 5, 0)
    for bad, message in (
        (joints[:1], "T >= 2"), (joints[:, :21], "accepted"), (np.full_like(joints, np.nan), "frame 0"),
        (np.zeros_like(joints), "facing undefined"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            hml263.encode_joints(bad)
    collapsed = joints.copy()
    collapsed[3, 7] = collapsed[3, 4]
    with pytest.raises(UserError, match="joint 7 lies on joint 4 at frame 3"):
        hml263.encode_joints(collapsed)
    for features, message in ((np.zeros((3, 262)), "accepted"), (np.full((3, 263), np.nan), "frame 0")):
        with pytest.raises(UserError, match=message):
            hml263.recover_joints(features)
    with pytest.raises(UserError, match="T >= 2"):
        SPEC.encode(wander(1))

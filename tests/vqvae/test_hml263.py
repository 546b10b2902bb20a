"""Layouts of others: HumanML3D's 263 channels, MotionStreamer's 272, nine joints with quaternions."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.vqvae.rigs import angles, ms272_of, talking
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io import hml263, ms272, pos7
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
    facing = hml263.smooth_facing(x)
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


def turning(frames: int = 40) -> Motion:
    """Goes on a circle to the left, nodding; 30 fps."""
    q = rot.identity((frames, 22))
    yaw = np.linspace(0, 2.0, frames)
    q[:, 0] = rot.about_y(yaw)
    q[:, SMPL22.index("head")] = rot.from_axis_angle(np.outer(0.3 * np.sin(np.arange(frames) / 4), [1.0, 0, 0]))
    step = 0.03 * np.stack([np.sin(yaw), 0 * yaw, np.cos(yaw)], -1)
    return Motion(q, np.cumsum(step, 0) + [0, 0.95, 0], 30.0)


def test_layout() -> None:
    motion = turning()
    f = ms272_of(motion)
    assert f.shape == (40, 272) and f.dtype == np.float32
    assert f[0, :8] == pytest.approx([0, 0, 1, 0, 0, 0, 1, 0])  # no step, no turn
    # straight ahead in the facing before the step, up to half the turn of a frame
    np.testing.assert_allclose(f[1:, 1], 0.03, atol=1e-4)
    turn = 2.0 / 39
    # the scripts keep the turn that takes the facing away: by minus the angle, first two rows of the matrix
    np.testing.assert_allclose(f[1:, 2:8], np.tile([np.cos(turn), 0, -np.sin(turn), 0, 1, 0], (39, 1)), atol=1e-6)
    joints = f[:, 8:74].reshape(40, 22, 3)
    np.testing.assert_allclose(joints[:, 0, [0, 2]], 0, atol=1e-6)
    assert joints[..., 1].min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(f[1:, 74:140], np.diff(f[:, 8:74], axis=0), atol=1e-6)
    assert f[0, 140:146] == pytest.approx([1, 0, 0, 0, 1, 0], abs=1e-6)  # the root without facing


def test_round_trip() -> None:
    motion = turning().moved(0.8, np.array([2.0, 0.3, 1.0]))
    f = ms272_of(motion)
    wanted = motion.canonical().joints - [0, motion.joints[..., 1].min(), 0]
    np.testing.assert_allclose(ms272.recover_joints(f), wanted, atol=1e-4)
    nod = 0.3 * np.sin(np.arange(40) / 4)
    np.testing.assert_allclose(ms272.face_direction(f)[:, 1], -np.sin(nod), atol=1e-5)


def test_bad_input_of_272_channels() -> None:
    f = ms272_of(turning())
    for array, said in ((f[:, :271], "accepted"), (f[:0], "accepted"), (np.where(f == f[5, 9], np.nan, f), "NaN")):
        with pytest.raises(UserError, match=said):
            ms272.recover_joints(array)
    with pytest.raises(UserError, match="frame 3"):
        ms272.recover_joints(np.where(np.arange(40)[:, None] == 3, 0, f))
    with pytest.raises(UserError, match="frame 0"):
        ms272.face_direction(np.zeros((2, 272)))


def worlds(m: Motion) -> np.ndarray:
    return rot.from_matrix(SMPL22.fk_full(m.rotations, m.root)[1][:, pos7.JOINTS])


def test_nine_joints_come_back() -> None:
    m = talking()
    array = pos7.to_array(m)
    assert array.shape == (40, 9, 7) and array.dtype == np.float32
    np.testing.assert_allclose(array[..., :3], m.joints[:, pos7.JOINTS], atol=1e-5)
    np.testing.assert_allclose(np.abs(array[:, 2, 6]), np.abs(worlds(m)[:, 2, 0]), atol=1e-5)  # w is the last
    back = pos7.from_array(array, 60.0)
    assert back.fps == 60 and back.modality == "gesture" and angles(worlds(back), worlds(m)).max() < 1e-5
    np.testing.assert_allclose(back.joints[:, pos7.JOINTS], m.joints[:, pos7.JOINTS], atol=1e-4)


def gesturing(frames: int = 60) -> Motion:
    """A trunk that hardly turns, arms that bend."""
    t, q = np.arange(frames) / 30, rot.identity((frames, 22))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        q[:, SMPL22.index(f"{side}_shoulder")] = rot.from_axis_angle(np.outer(0.9 + 0.3 * np.sin(3 * t), [0, 0, -sign]))
        q[:, SMPL22.index(f"{side}_elbow")] = rot.from_axis_angle(np.outer(1.0 + 0.5 * np.cos(4 * t), [0, -sign, 0]))
    q[:, SMPL22.index("spine3")] = rot.from_axis_angle(np.outer(0.2 * np.sin(2 * t), [0.3, 1.0, 0]))
    return Motion(q, np.tile([0, 0.97, 0], (frames, 1)), 30, "gesture")


@pytest.mark.parametrize("below_parents", [False, True])
def test_nine_joints_with_axes_of_their_own(below_parents: bool) -> None:
    """Z up, centimetres, each joint turned as a rig has it, the forearm as its arm."""
    m, stood = gesturing(), rot.from_axis_angle(np.array([np.pi / 2, 0, 0]))
    array = pos7.to_array(m).astype(np.float64)
    own = rot.from_axis_angle(1.5 * np.random.default_rng(3).normal(size=(9, 3)))
    own[[5, 8]] = own[[4, 7]]
    q = rot.multiply(rot.multiply(stood, np.roll(array[..., 3:], 1, -1)), own)
    if below_parents:
        q = np.stack([q[:, k] if p < 0 else rot.multiply(rot.conjugate(q[:, p]), q[:, k])
                      for k, p in enumerate(pos7.PARENTS)], 1)  # fmt: skip
    back = pos7.from_array(np.concatenate([100 * rot.rotate(stood, array[..., :3]), np.roll(q, -1, -1)], -1))
    assert np.linalg.norm(back.joints - m.joints, axis=-1)[:, pos7.JOINTS].max() < 0.02
    assert np.degrees(angles(worlds(back), worlds(m))).max() < 12


def test_nine_joints_that_are_no_skeleton() -> None:
    array = pos7.to_array(talking())
    shuffled = array.copy()
    shuffled[..., :3] = array[::-1, :, :3]
    for bad, said in ((array * [1, 1, 1, 2, 2, 2, 2], "another length"), (shuffled, "bones move by"),
                      (array * [0, 0, 0, 1, 1, 1, 1], "in one place")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            pos7.from_array(bad)

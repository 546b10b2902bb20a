"""Feet that stand hold, nothing sinks or hangs, and streams are the same as the whole."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.body.contact import CARRIED, LEGS, MAX_OFFSET, FootLock, PenetrationStream, on_the_floor, shift_feet
from avatargpt.evaluation.corpus import make_keyframed_clips
from instruct_data.factory.synth.families import families, keyframed
from vqvae import rotations as rot
from vqvae.contact import HEIGHT, standing
from vqvae.ground import support_level
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import SMPL22, TOES
from vqvae.smoothing import gaussian, runs_of


def bent(frames: int, drift: float) -> Motion:
    """A body that stands with bent knees while all of it slides `drift` metres a frame."""
    rotations = np.broadcast_to(rot.identity((22,)), (frames, 22, 4)).copy()
    for leg in LEGS:
        for joint, turn in zip(leg, (-0.4, 0.8, -0.4), strict=False):
            rotations[:, joint] = rot.from_axis_angle(np.array([turn, 0, 0]))
    motion = Motion(rotations, drift * np.arange(frames)[:, None] * np.array([0, 0, 1]))
    return raised(motion, 0.02 - motion.joints[..., 1].min())


def raised(motion: Motion, metres: np.ndarray | float) -> Motion:
    return replace(motion, root=motion.root + np.multiply.outer(np.broadcast_to(metres, len(motion)), [0, 1, 0]))


def slides(motion: Motion, on: np.ndarray) -> np.ndarray:
    """Metres of every contact of the toes (T, 2) from its median place, 95th percentile of its frames."""
    out = []
    for side, toe in enumerate(TOES):
        for first, last in runs_of(on[:, side]):
            way = motion.joints[first:last, toe][:, [0, 2]]
            out.append(np.percentile(np.linalg.norm(way - np.median(way, 0), axis=-1), 95))
    return np.array(out)


def key(family: str) -> Motion:
    return next(iter(make_keyframed_clips(1, only=[family]))).load()


@pytest.mark.parametrize("family", ["march", "jump", "dance_step", "squat"])
def test_feet_that_stand_hold_and_knees_do_not_pop(family: str) -> None:
    clip = key(family)
    sliding = replace(clip, root=clip.root + 0.03 * np.sin(np.arange(len(clip)) / 7)[:, None] * [1, 0, 0.5])
    on = standing(sliding.joints)
    got = on_the_floor(sliding)
    assert np.percentile(slides(sliding, on), 95) > 0.02 and np.percentile(slides(got, on), 95) < 0.01
    assert got.joints[..., 1].min() > -0.01
    np.testing.assert_array_equal(got.root[:, [0, 2]], sliding.root[:, [0, 2]])
    bends = [np.abs(np.diff(knees(m), 2, axis=0)).max() for m in (sliding, got)]
    assert bends[1] < bends[0] + 10, "degrees a frame squared"


def knees(motion: Motion) -> np.ndarray:
    """(T, 2) degrees between thigh and shank."""
    out = []
    for hip, knee, ankle, _ in LEGS:
        a, b = (motion.joints[:, k] - motion.joints[:, knee] for k in (hip, ankle))
        cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        out.append(np.degrees(np.arccos(cosine.clip(-1, 1))))
    return np.stack(out, -1)


def test_a_foot_that_slides_far_follows_at_the_largest_offset() -> None:
    motion = bent(60, 0.01)
    got = on_the_floor(motion)
    behind = (motion.joints - got.joints)[:, TOES, 2] + (got.root - motion.root)[:, 2:]
    np.testing.assert_allclose(behind[30:], MAX_OFFSET, atol=0.015)


def test_a_body_that_drifts_goes_along_with_its_feet_and_back_in_steps() -> None:
    drift, march = bent(400, 0.002), key("march")
    got = on_the_floor(drift)
    assert np.ptp(got.joints[:, TOES, 2], axis=0).max() < 0.01 and got.root[-1, 2] < 0.15 < drift.root[-1, 2]
    march = replace(march, root=march.root + drift.root[-1] * [1, 0, 1] - march.root[0] * [1, 0, 1])
    both = concatenate([drift, march, march, march])
    there = on_the_floor(both).root[:, 2] - both.root[:, 2]
    assert there[-1] > 0.5 * there[400] and np.abs(np.diff(there)).max() < 0.005


def test_feet_in_the_air_are_not_touched() -> None:
    motion = raised(bent(12, 0.0), HEIGHT)
    np.testing.assert_allclose(on_the_floor(motion).joints, motion.joints, atol=1e-6)


def test_frames_beside_a_stretch_stay_and_its_feet_stand_where_they_do() -> None:
    start, stretch, end = (bent(40, 0.004).slice(*x) for x in ((0, 5), (5, 35), (35, 40)))
    whole = concatenate([start, on_the_floor(stretch, start, end), end])
    toes = whole.joints[:, TOES, 2]
    assert np.abs(np.diff(toes, axis=0)).max() < 0.006 and np.abs(np.diff(whole.joints, axis=0)).max() < 0.03
    alone = concatenate([start, on_the_floor(stretch, start)])
    assert np.abs(alone.joints[12:, TOES, 2] - start.joints[-1, TOES, 2]).max() < 0.006


def test_what_nothing_carries_comes_down() -> None:
    stands = bent(60, 0.0)
    t = np.arange(60)
    over = (t > 10) & (t < 45)
    hangs = raised(stands, gaussian(0.06 * over.astype(float), 2.0))
    low = on_the_floor(hangs).joints[..., 1].min(1)
    assert max(b - a for a, b in runs_of(hangs.joints[..., 1].min(1) > 0.03)) > 20
    assert max((b - a for a, b in runs_of(low > 0.03)), default=0) <= 16
    jump = raised(stands, 0.5 * np.sin(np.pi * ((t - 20) / 14).clip(0, 1)))
    np.testing.assert_allclose(on_the_floor(jump).root, jump.root, atol=5e-3, err_msg="a flight of 0.7 s")
    seated = raised(stands, (2 * CARRIED + 0.02 * np.sin(t)) * over)
    np.testing.assert_allclose(on_the_floor(seated).root, seated.root, atol=5e-3, err_msg="carried by a saddle")


def test_stairs_keep_their_rise() -> None:
    for clip in keyframed(families()["climb_stairs"], range(4)):
        motion = clip.load()
        got = on_the_floor(motion)
        np.testing.assert_allclose(got.root, motion.root, atol=0.01)
        np.testing.assert_allclose(support_level(got.joints), support_level(motion.joints), atol=0.03)


def test_sunk_hands_raise_the_body_and_sunk_feet_bend_the_legs() -> None:
    plank = key("push_up")
    assert on_the_floor(raised(plank, -0.06)).joints[..., 1].min() > -0.01
    stands = raised(bent(40, 0.0), -0.04)
    got = on_the_floor(stands)
    assert got.joints[..., 1].min() > -0.002 and np.abs(got.root - stands.root).max() < 0.025


@pytest.mark.parametrize("sizes", [(1,) * 120, (3, 0, 57, 60)])
def test_a_stream_does_not_depend_on_its_pieces(sizes: tuple[int, ...]) -> None:
    march = concatenate([key("march"), key("march")]).slice(0, 120)
    motion = replace(march, root=march.root + 0.003 * np.arange(120)[:, None] * [1, 0, 1])
    floor, lock, parts, at = PenetrationStream(), FootLock(), [], 0
    for n in sizes:
        parts.append(lock.push(*floor.push(motion.rotations[at : at + n], motion.root[at : at + n])))
        at += n
    parts += [lock.push(*floor.finish()), lock.finish()]
    got = SMPL22.fk(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    np.testing.assert_allclose(got, on_the_floor(motion).joints, atol=1e-3)


def test_shifted_feet_arrive_and_keep_their_orientation() -> None:
    motion = bent(4, 0.0)
    rotations, root = motion.rotations, motion.root
    offsets = np.array([[[0.03, 0.02, 0.0], [0.0, 0.0, 0.05]]] * 4)
    before = SMPL22.fk_full(rotations, root)
    after = SMPL22.fk_full(shift_feet(rotations, root, offsets), root)
    for side, (_, _, ankle, toe) in enumerate(LEGS):
        moved = offsets[:, side]
        np.testing.assert_allclose(after[0][:, ankle], before[0][:, ankle] + moved, atol=1e-6)
        np.testing.assert_allclose(after[0][:, toe], before[0][:, toe] + moved, atol=1e-6)
    np.testing.assert_allclose(after[0][:, 12:], before[0][:, 12:], atol=1e-9)


def test_a_nearly_straight_knee_does_not_pop() -> None:
    rotations, root = np.broadcast_to(rot.identity((22,)), (40, 22, 4)).copy(), np.zeros((40, 3))
    for hip, knee, _, _ in LEGS:  # a leg stretched forward
        rotations[:, hip] = rot.from_axis_angle(np.array([-0.6, 0, 0]))
        rotations[:, knee] = rot.from_axis_angle(np.array([0.2, 0, 0]))
    offsets = np.zeros((40, 2, 3))
    offsets[:, :, 2] = 0.02 * np.sin(np.arange(40) / 39 * np.pi)[:, None] ** 2
    joints = SMPL22.fk(shift_feet(rotations, root, offsets), root)
    jerk = np.abs(np.diff(joints[:, [4, 5]], 3, axis=0)).sum(-1).max()
    assert jerk < 1e-3, "metres a frame cubed; 0.016 where the leg is stretched to its end"
    assert np.ptp(joints[:, [7, 8], 2]) > 0.015, "and the foot still goes along"

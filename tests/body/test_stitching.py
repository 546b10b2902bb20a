"""Seams: known frames meet decoded ones without a jump, bent stretches arrive exactly, ends in given poses."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.body import stitch
from avatargpt.body.contact import with_seam_lifted
from avatargpt.body.edit import MAX_JERK, MAX_STEP, frame_of, roughness, set_end_pose
from avatargpt.evaluation.seams import interpolate
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.ground import AHEAD, EASE, SUNK, without_penetration
from vqvae.motion import Motion, concatenate


def walk(frames: int = 60, yaw: float = 0.3, speed: float = 1.0) -> Motion:
    """Swinging limbs on a straight path at constant speed."""
    t = np.arange(frames)[:, None, None] / 20
    rng = np.random.default_rng(0)
    q = rot.from_axis_angle(0.4 * np.sin(4 * t + rng.uniform(0, 6, (1, 22, 3))) * rng.uniform(0, 1, (1, 22, 3)))
    q[:, 0] = rot.about_y(np.full(frames, yaw))
    way = np.array([np.sin(yaw), 0, np.cos(yaw)]) * speed
    return Motion(q, t[:, 0] * way + [0.5, 0.95, -2.0])


def steps(motion: Motion) -> np.ndarray:
    """(T - 1,) largest joint displacement from frame to frame, metres."""
    return np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1).max(1)


def off(motion: Motion) -> Motion:
    """The same as somebody else would have it: every joint turned a little, the root moved 8 cm."""
    turn = rot.from_axis_angle(0.15 * np.random.default_rng(1).normal(size=(22, 3)))
    rotations = rot.multiply(turn, motion.rotations.astype(np.float64))
    return replace(motion, rotations=rotations, root=motion.root + np.array([0.05, 0.03, -0.05]))


def test_speeds_meet_at_the_seam() -> None:
    """With two known frames the stretch goes on with their speed, and arrives with that of the frames after it."""
    still = walk(1).at_frames(np.zeros(30, int))  # whose arms hang in another pose than those of the frames around it
    fast = walk(60, speed=2.0).slice(20, 22)
    before = concatenate([fast, stitch.fade_in(still, fast)]).slice(0, 3)
    after = concatenate([stitch.fade_out(still, fast), fast]).slice(29, 32)
    for across in (before, after):
        bend = np.linalg.norm(np.diff(across.joints, n=2, axis=0), axis=-1).max()
        assert bend < 0.2 * steps(fast)[0] and steps(fast)[0] > 0.1


def test_place_moves_in_the_plane_only() -> None:
    clip, like = walk(yaw=-1.0), walk(yaw=2.0).moved(0.4, np.array([3.0, 0.5, 1.0]))
    placed = stitch.place(clip, 7, like, 20)
    assert placed.heading[7] == pytest.approx(like.heading[20], abs=1e-5)
    np.testing.assert_allclose(placed.root[7, [0, 2]], like.root[20, [0, 2]], atol=1e-5)
    np.testing.assert_allclose(placed.root[:, 1], clip.root[:, 1], atol=1e-6)
    # a rigid move: distances inside the clip stay
    np.testing.assert_allclose(steps(placed), steps(clip), atol=1e-5)


@pytest.mark.parametrize("length", [3, 10, 30])
def test_fades_close_the_seams(length: int) -> None:
    """Without fading the seams jump by the whole offset, with it by no more than the frames around them."""
    whole = walk()
    a, b = 20, 20 + length
    before, stretch, after = off(whole.slice(0, a)), whole.slice(a, b), off(whole.slice(b, 60))
    raw = steps(concatenate([before, stretch, after]))
    faded = stitch.fade_out(stitch.fade_in(stretch, before.slice(a - 1, a)), after.slice(0, 1))
    got = steps(concatenate([before, faded, after]))
    assert len(faded) == length
    for seam in (a - 1, b - 1):
        others = np.delete(got[max(0, seam - 5) : seam + 6], min(5, seam))
        assert got[seam] <= 1.05 * others.max() and got[seam] < 0.8 * raw[seam]


def test_fades_leave_the_middle_alone() -> None:
    whole = walk()
    faded = stitch.fade_in(whole.slice(20, 50), off(whole.slice(19, 20)))
    untouched = stitch.FADE_FRAMES
    np.testing.assert_allclose(faded.joints[untouched:], whole.slice(20, 50).joints[untouched:], atol=1e-5)
    assert np.abs(faded.joints[0] - whole.joints[20]).max() > 0.02


@pytest.mark.parametrize("turn", [0.0, 0.8, -1.5, 3.0])
def test_a_led_stretch_arrives_with_its_speed(turn: float) -> None:
    clip = walk(42, yaw=0.0)
    before, stretch, after = clip.slice(0, 1), clip.slice(1, 40), clip.slice(40, 42)
    target = after.moved(turn, np.array([0.7, 0.0, -0.4]))
    led = stitch.lead_to_target(stretch, before, after, target)
    whole = concatenate([before, led, target])
    before_it = np.linalg.norm(np.diff(clip.root, axis=0), axis=-1)
    way = np.linalg.norm(np.diff(whole.root, axis=0), axis=-1)
    np.testing.assert_allclose(way[[0, 39]], before_it[[0, 39]], rtol=0.05)  # speeds at both ends are those of before
    straight = np.linalg.norm(target.root[0] - before.root[0])
    assert way.max() < 2 * max(straight, before_it.sum()) / 40, "what is missing is spread"
    yaw = whole.heading - clip.heading
    assert np.abs(np.diff(yaw)[[0, -2]]).max() < 0.003 and yaw[-2] == pytest.approx(turn, abs=1e-4)
    np.testing.assert_allclose(led.root[:, 1], stretch.root[:, 1], atol=1e-6)
    drift = np.abs(np.diff(whole.root, n=2, axis=0)[:, [0, 2]]).max()
    assert drift < 0.02, "no step in the path"


def test_a_led_stretch_walks_the_way_it_faces() -> None:
    """A path turned step by step: who walked ahead still does, and does not slide sideways to the goal."""
    clip = walk(62, yaw=0.0)
    before, stretch, after = clip.slice(0, 1), clip.slice(1, 60), clip.slice(60, 61)
    radius = 3.0 / 1.2  # an arc of 1.2 radians as long as the straight way
    goal = np.array([radius * (1 - np.cos(1.2)), 0, radius * np.sin(1.2)]) + before.root[0] * [1, 0, 1]
    target = after.moved(1.2, np.zeros(3))
    target = replace(target, root=target.root + (goal - target.root[0]) * [1, 0, 1])
    led = stitch.lead_to_target(stretch, before, after, target)
    step, yaw = np.diff(led.root, axis=0), np.diff(np.zeros(59)) + 1.2 * np.arange(58) / 58
    aside = step[:, 0] * np.cos(yaw) - step[:, 2] * np.sin(yaw)
    assert np.abs(aside).max() < 0.3 * np.linalg.norm(step, axis=-1).mean()


def test_interpolation_takes_up_both_speeds() -> None:
    clip = walk(60)
    start, end = clip.slice(0, 20), clip.slice(40, 60)
    jolts = []
    for middle in (stitch.interpolate_motion(start, end, 20), interpolate(start, end, 20)):
        bends = np.linalg.norm(np.diff(concatenate([start, middle, end]).joints, n=2, axis=0), axis=-1).max(1)
        jolts.append(bends[[18, 38]].max())  # the second differences across the seams
    assert jolts[0] < 0.5 * jolts[1]
    assert len(stitch.interpolate_motion(clip.slice(0, 1), clip.slice(9, 10), 1)) == 1


def test_the_verifier_allows_what_recordings_and_the_given_clips_have() -> None:
    clip = walk(60)
    start, middle, end = clip.slice(0, 20), clip.slice(20, 40), clip.slice(40, 60)
    assert roughness(start, middle, end) < 0.8
    bends = np.linalg.norm(np.diff(clip.joints, n=2, axis=0), axis=-1).max()
    for frame, pops in ((0, True), (10, False), (19, True)):
        jolt = 3 * bends * (np.arange(20) == frame)[:, None] * [0, 0, 1]
        assert (roughness(start, replace(middle, root=middle.root + jolt), end) > 1) is pops
    kick = np.zeros((20, 3))
    kick[10] = [0, 0, MAX_JERK / 2]  # third differences of a spike are three times as high
    spiked = replace(middle, root=middle.root + kick)
    assert roughness(start, spiked, end) > 1
    assert roughness(replace(start, root=start.root + kick), spiked, end) < 1.1, "the given clip is as rough"
    assert roughness(start, replace(middle, root=middle.root + [0, 0, 2 * MAX_STEP]), end) > 1, "a seam that jumps"


@pytest.mark.parametrize("frames", [1, 2, 13, 60, 77])
def test_retimed_keeps_the_ends(frames: int) -> None:
    clip = walk(60)
    got = stitch.retime_motion(clip, frames)
    assert len(got) == frames
    np.testing.assert_allclose(got.joints[0], clip.joints[0], atol=1e-5)
    if frames > 1:
        np.testing.assert_allclose(got.joints[-1], clip.joints[-1], atol=1e-5)
        speed = np.linalg.norm(np.diff(got.root, axis=0), axis=-1)
        np.testing.assert_allclose(speed, 59 / (frames - 1) / 20, rtol=1e-3)


def test_retimed_from_one_frame() -> None:
    assert len(stitch.retime_motion(walk(1), 4)) == 4


def test_medoid_is_the_consensus() -> None:
    clips = [walk(20, speed=s) for s in (5.0, 1.0, 1.2, 1.1, -4.0)]
    assert stitch.distances(clips).argmin() == 3


def test_only_what_has_sunk_into_the_floor_is_lifted() -> None:
    clip = walk(60)
    lowest = clip.joints[..., 1].min(1)
    standing = replace(clip, root=clip.root - lowest[:, None] * np.array([0, 1, 0]))
    toes = replace(standing, root=standing.root - [0, 0.9 * SUNK, 0])
    assert without_penetration(standing) is standing
    assert without_penetration(toes, after=True) is toes, "toes of real clips are as low"
    drop = 0.2 * np.exp(-(((np.arange(60) - 30) / 6) ** 2))
    sunk = replace(standing, root=standing.root - drop[:, None] * np.array([0, 1, 0]))
    got = without_penetration(sunk)
    assert got.joints[..., 1].min() > -SUNK - 1e-4 and got.joints[..., 1].min(1).max() < 0.1
    np.testing.assert_array_equal(got.root[:, [0, 2]], sunk.root[:, [0, 2]])
    np.testing.assert_array_equal(got.root[[0, -1]], sunk.root[[0, -1]])
    assert steps(got).max() < steps(standing).max() + 0.04


def test_lifting_leaves_no_step_beside_frames_that_stay() -> None:
    clip = replace(walk(60), root=walk(60).root - [0, 0.3, 0])
    got = without_penetration(clip, after=True, before=True)
    rise = got.root[:, 1] - clip.root[:, 1]
    assert 0 < rise[0] < 0.03 and 0 < rise[-1] < 0.03 and np.abs(np.diff(rise)).max() < 0.12
    assert got.joints[EASE:-EASE, :, 1].min() > -SUNK


@pytest.mark.parametrize("floor", [0.0, -0.95])
def test_a_seam_is_lifted_off_the_floor_that_the_clips_stand_on(floor: float) -> None:
    clip = walk(60)
    stands = replace(clip, root=clip.root + (floor - clip.joints[..., 1].min(1))[:, None] * [0, 1, 0])
    assert with_seam_lifted(stands, 26, 34, floor) is stands
    sunk = replace(stands, root=stands.root - (np.arange(60) == 30)[:, None] * [0, 0.5, 0] - [0, 0.02, 0])
    got = with_seam_lifted(sunk, 26, 34, floor)
    assert got.joints[..., 1].min() > floor - SUNK - 1e-4
    changed = np.flatnonzero(np.abs(got.root - sunk.root).max(1))
    assert changed.min() >= 26 - AHEAD and changed.max() < 34 + AHEAD
    elsewhere = replace(stands, root=stands.root - (np.arange(60) == 45)[:, None] * [0, 0.5, 0])
    assert with_seam_lifted(elsewhere, 26, 34, floor) is elsewhere, "given frames are not judged"


def clip(frames: int, bend: float) -> Motion:
    """Somebody who goes forward with an arm bent so far."""
    q = np.broadcast_to(rot.identity((22,)), (frames, 22, 4)).copy()
    q[:, 18] = rot.from_axis_angle(np.tile([bend, 0.0, 0.0], (frames, 1)))
    t = np.arange(frames) / 20
    return Motion(q, np.stack([0 * t, 0 * t + 0.95, t], -1), caption="goes")


def between(start: Motion, end: Motion, seconds: float) -> Motion:
    return concatenate([start, stitch.interpolate_motion(start, end, round(seconds * 20)), end])


def test_the_first_and_the_last_frame_are_the_poses() -> None:
    walk, bent = clip(60, 0.0), clip(30, 1.2)
    pose = frame_of(bent, 0.5, "x")
    for start, end, at in ((pose, None, 0), (None, pose, -1)):
        made = set_end_pose(walk, between, start, end)
        assert len(made) == len(walk) and made.caption == "goes"
        np.testing.assert_allclose(made.rotations[at, 18], pose.rotations[0, 18], atol=1e-5)
        np.testing.assert_allclose(made.rotations[30], walk.rotations[30], atol=1e-5)


def test_what_cannot_be() -> None:
    pose = clip(1, 1.0)
    with pytest.raises(UserError, match=r"0\.5 s with a pose.*accepted: 1\.2 s"):
        set_end_pose(clip(10, 0.0), between, pose, None)
    with pytest.raises(UserError, match="second 9; accepted 0 to 3"):
        frame_of(clip(60, 0.0), 9.0, "walk.npz:9")

"""Parts of an avatar: which joints are the gestures', which the body's."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.avatar.pipeline import FPS, BodyClip, Standing, arm_use, compose_clip, hold_stand, with_head
from avatargpt.avatar.poise import Poise
from avatargpt.export.avatar import AvatarMotion, head_of
from tests.avatar.conftest import face, gestures
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.features import STANDING
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

LEGS = [0, 1, 2, 4, 5, 7, 8, 10, 11]
SPINE, ARMS = [3, 6, 9], [13, 14, 16, 17, 18, 19, 20, 21]


def still(frames: int) -> FaceMotion:
    return FaceMotion(np.zeros((frames, 52)), np.zeros((frames, 3)), 30.0)


def talking(frames: int) -> FaceMotion:
    """Five syllables a second."""
    weights = np.zeros((frames, 52))
    weights[:, arkit.INDEX["jawOpen"]] = 0.3 * np.abs(np.sin(np.pi * np.arange(frames) / 6))
    return FaceMotion(weights, np.zeros((frames, 3)), 30.0)


def sitting(seconds: float, fps: float = 20.0) -> Motion:
    """Sitting down, hands on the knees, and stays."""
    share = np.clip(np.arange(round(seconds * fps)) / fps / 1.5, 0, 1)[:, None]
    rotations = rot.identity((len(share), 22))
    for joints, angle in ([(1, 2), -1.5], [(4, 5), 1.5]):
        rotations[:, joints] = rot.from_axis_angle(share * [angle, 0, 0])[:, None]
    rotations[:, 3] = rot.from_axis_angle(share * [0.2, 0, 0])
    for side, shoulder, elbow in ((1.0, 16, 18), (-1.0, 17, 19)):
        down = rot.from_axis_angle(np.array([0, 0, -side * 1.35]))
        rotations[:, shoulder] = rot.multiply(rot.from_axis_angle(share * [-0.5, 0, 0]), down)
        rotations[:, elbow] = rot.from_axis_angle(share * [0, -side * 0.5, 0])
    root = STANDING - share * [0, 0.42, 0.3]
    return Motion(rotations, root, fps)


def waving(seconds: float) -> Motion:
    """Standing with the left hand up, the right one down."""
    rotations = rot.identity((round(seconds * 20), 22))
    rotations[:, 16] = rot.from_axis_angle(np.array([0, 0, 1.2]))
    rotations[:, 17] = rot.from_axis_angle(np.array([0, 0, 1.35]))
    return Motion(rotations, np.repeat(STANDING[None], len(rotations), 0))


def walking(seconds: float) -> Motion:
    """Legs that swing once a second, and a pelvis that travels."""
    t = np.arange(round(seconds * 30)) / 30
    rotations = rot.identity((len(t), 22))
    swing = np.sin(2 * np.pi * t)
    for joint, sign in ((1, 1), (2, -1)):
        rotations[:, joint] = rot.from_axis_angle(np.outer(sign * 0.5 * swing, [1.0, 0, 0]))
    for joint, side in ((16, 1), (17, -1)):
        rotations[:, joint] = rot.from_axis_angle(np.array([0, 0, -side * 1.35]))
    root = STANDING + np.outer(t, [0, 0, 1.2])
    return Motion(rotations, root, 30.0)


def test_a_standing_body_has_the_gestures_trunk_arms_and_fingers_to_the_bit() -> None:
    gesture = gestures(40)
    avatar = compose_clip(Standing(3), gesture, still(40))
    assert np.array_equal(avatar.body.rotations[:, [*SPINE, *ARMS]], gesture.rotations[:, [*SPINE, *ARMS]])
    assert np.array_equal(avatar.body.fingers, gesture.fingers)  # type: ignore[arg-type]
    legs = hold_stand(0, 40, FPS, 3)
    assert np.abs(avatar.body.rotations[:, LEGS] - legs.rotations[:, LEGS]).max() < 1e-6
    assert np.array_equal(avatar.body.root, legs.root) and avatar.notes == ()


def test_the_heads_of_face_and_gestures_add_up() -> None:
    gesture, lips = gestures(40), face(40)
    avatar = compose_clip(Standing(), gesture, lips)
    before, after = (
        rot.multiply(*(m.rotations[:, SMPL22.index(n)].astype(np.float64) for n in ("neck", "head")))
        for m in (gesture, avatar.body)
    )
    expected = rot.multiply(before, turns(lips.head))
    assert np.degrees(rot.angle_between(after, expected)).max() < 0.05
    assert np.abs(avatar.face.head - angles_of(expected)).max() < 1e-5
    assert np.array_equal(avatar.face.head, head_of(avatar.body).astype(np.float32))
    alone = with_head(lips, gesture)
    assert np.abs(alone.head - avatar.face.head).max() < 1e-5
    assert np.array_equal(avatar.face.weights, lips.weights) and np.array_equal(alone.weights, lips.weights)


def test_the_head_is_calm_during_its_own_actions() -> None:
    gesture, lips, spans = gestures(120), talking(120), ((1.0, 2.0),)
    plain, calm = with_head(lips, gesture), with_head(lips, gesture, calm=spans)
    assert np.array_equal(plain.head[:20], calm.head[:20]) and np.array_equal(plain.head[80:], calm.head[80:])
    assert np.abs(calm.head[32:60]).max() < 0.4 * np.abs(plain.head[32:60]).max()
    poise = Poise(30.0)
    parts = [compose_clip(Standing(), gesture.slice(a, b), lips.slice(a, b), a, calm=spans, poise=poise)
             for a, b in ((0, 50), (50, 120))]  # fmt: skip
    avatar = compose_clip(Standing(), gesture, lips, calm=spans, poise=Poise(30.0))
    assert np.array_equal(np.concatenate([p.body.rotations for p in parts]), avatar.body.rotations)
    assert np.abs(avatar.face.head - calm.head).max() < 1e-5


def test_eye_contact_moves_nothing_but_the_gaze() -> None:
    lips = talking(20)
    moved = with_head(lips, gestures(20), eye_contact=1.0)
    changed = np.flatnonzero((moved.weights != lips.weights).any(0))
    assert len(changed) and all("eyeLook" in arkit.NAMES[k] for k in changed)
    assert np.array_equal(moved.head, with_head(lips, gestures(20)).head)


def test_a_seated_body_has_its_legs_and_the_gestures_arms() -> None:
    body, gesture = BodyClip(sitting(2.0)), gestures(120)
    avatar = compose_clip(body, gesture, still(120))
    assert np.array_equal(avatar.body.rotations[:, ARMS], gesture.rotations[:, ARMS])
    assert avatar.body.root[-1, 1] < 0.6 and (avatar.body.root[60:] == avatar.body.root[60]).all()
    assert np.abs(avatar.body.rotations[-1, LEGS] - body.motion.rotations[-1, LEGS]).max() < 1e-6
    lean = rot.multiply(body.motion.rotations[-1, 3].astype(float), gesture.rotations[-1, 3].astype(float))
    assert rot.angle_between(avatar.body.rotations[-1, 3].astype(float), lean) < 1e-3
    assert avatar.notes == ("the body lasts 2.0 s, the sound 4.0 s: it stays as it ends",)


def test_hanging_arms_lie_in_the_lap_of_a_seated_body_and_raised_ones_gesture() -> None:
    body, gesture = BodyClip(sitting(2.0)), gestures(120)
    down = rot.from_axis_angle(np.array([0, 0, -1.35]))
    rotations = gesture.rotations.copy()
    rotations[:, [3, 6, 9, 13, 18]] = rot.identity(())
    rotations[:, 16] = down
    joints = compose_clip(body, replace(gesture, rotations=rotations), still(120)).body.rotations
    left, right = [13, 16, 18], [14, 17, 19, 21]
    assert body.lap[-1].min() > 0.99 and body.lap[0].max() < 0.01
    assert np.abs(joints[-1, left] - body.motion.rotations[-1, left]).max() < 1e-3
    assert np.abs(joints[0, left] - rotations[0, left]).max() < 1e-3
    assert np.array_equal(joints[:, right], rotations[:, right])


def test_a_busy_arm_stays_the_bodys_until_its_clip_ends() -> None:
    body, gesture = BodyClip(waving(2.0)), gestures(120)
    joints = compose_clip(body, gesture, still(120)).body.rotations
    purpose, lap = arm_use(body.motion)
    assert purpose[:, 0].min() > 0.99 and purpose[:, 1].max() < 0.01 and lap.max() < 0.01
    left, right = [13, 16, 18, 20], [14, 17, 19, 21]
    assert np.abs(joints[:60][:, left] - body.motion.rotations[:, left]).max() < 1e-3
    assert np.array_equal(joints[:, right], gesture.rotations[:, right])
    assert np.array_equal(joints[90:][:, left], gesture.rotations[90:][:, left])


def test_steps_repeat_without_a_jump() -> None:
    body = BodyClip(walking(3.4))
    motion = body.frames(0, 300).motion
    steps = np.abs(np.diff(motion.joints.astype(np.float64), axis=0)).max((1, 2))
    limit = np.abs(np.diff(body.motion.joints.astype(np.float64), axis=0)).max((1, 2)).max()
    assert "goes round" in body.note(300) and steps.max() < 1.35 * limit
    assert motion.root[-1, 2] == pytest.approx(1.2 * 299 / 30, rel=0.02)
    parts = [body.frames(a, b).motion for a, b in ((0, 101), (101, 102), (102, 300))]
    assert np.array_equal(np.concatenate([p.rotations for p in parts]), motion.rotations)
    assert np.array_equal(np.concatenate([p.root for p in parts]), motion.root)


def test_a_body_longer_than_the_sound_is_cut_with_a_note() -> None:
    avatar = compose_clip(BodyClip(sitting(4.0)), gestures(30), still(30))
    assert len(avatar) == 30 and avatar.notes == ("the body lasts 4.0 s, the sound 1.0 s: the rest of it is left out",)


def test_standing_feet_do_not_move() -> None:
    motion = hold_stand(0, 900)
    feet = motion.joints[:, [7, 8, 10, 11]]
    assert np.ptp(feet, axis=0).max() < 1e-5 and np.ptp(motion.root[:, 0]) > 0.01
    assert feet[0, 2, 1] == pytest.approx(0.02, abs=1e-5)  # toes as high as those of gestures
    knees = motion.joints[:, [4, 5], 2] - (motion.joints[:, [1, 2], 2] + motion.joints[:, [7, 8], 2]) / 2
    assert knees.min() > 0.005  # they bend forward
    assert np.array_equal(hold_stand(100, 150).rotations, motion.rotations[100:150])


def test_mismatched_parts_are_refused() -> None:
    with pytest.raises(UserError, match="40 frames .* a face of 39"):
        compose_clip(Standing(), gestures(40), still(39))
    with pytest.raises(UserError, match="a body without fingers"):
        AvatarMotion(hold_stand(0, 5), still(5))
    with pytest.raises(UserError, match="a body of 5 frames at 30 a second and a face of 6 frames"):
        AvatarMotion(gestures(5), still(6))

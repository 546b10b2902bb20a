"""Streams equal what they would be in one piece, keep their state small, and stay where they are told."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.body.contact import LEGS, TOES, FootLock, PenetrationStream, shift_feet
from avatargpt.long.stream import MotionStream, PathKeeper, StreamDecoder
from vqvae import rotations as rot
from vqvae.features import BodyFeatures, RootState
from vqvae.ground import AHEAD, SUNK, without_penetration
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import SMPL22
from vqvae.tokenizer import MotionTokenizer


@pytest.mark.parametrize("sizes", [(150,), (1,) * 150, (3, 40, 7, 60, 40), (50, 50, 50)])
def test_a_decoded_stream_equals_the_whole(
    tokenizer: MotionTokenizer, codes: np.ndarray, sizes: tuple[int, ...]
) -> None:
    decoder, parts, at = StreamDecoder(tokenizer), [], 0
    for n in sizes:
        parts.append(decoder.push(codes[at : at + n]))
        at += n
        assert len(decoder.codes) <= 2 * decoder.context + n
    parts.append(decoder.finish())
    np.testing.assert_allclose(np.concatenate(parts), tokenizer.decode_features(codes), atol=1e-5)


def test_frames_equal_a_motion_decoded_at_the_end(tokenizer: MotionTokenizer, codes: np.ndarray) -> None:
    stream = MotionStream(tokenizer, lock_feet=False, lift=False)
    parts = [stream.push(codes[i : i + 13]) for i in range(0, 150, 13)] + [stream.finish()]
    whole = tokenizer.decode(codes)
    root, turned = np.concatenate([p.root for p in parts]), np.concatenate([p.rotations for p in parts])
    np.testing.assert_allclose(root, whole.root, atol=1e-3)
    assert np.degrees(rot.angle_between(turned, whole.rotations.astype(float))).max() < 0.1


def test_a_locked_stream_has_every_frame_and_does_not_depend_on_the_pieces(
    tokenizer: MotionTokenizer, codes: np.ndarray
) -> None:
    found = []
    for size in (5, 150):
        stream = MotionStream(tokenizer)
        parts = [stream.push(codes[i : i + size]) for i in range(0, 150, size)] + [stream.finish()]
        found.append(np.concatenate([p.rotations for p in parts]))
    assert len(found[0]) == 600
    assert np.degrees(rot.angle_between(found[0], found[1])).max() < 0.2


@pytest.mark.parametrize("sizes", [(60,), (1,) * 60, (3, 0, 29, 28)])
def test_a_lifted_stream_equals_the_lifted_whole(sizes: tuple[int, ...]) -> None:
    """Deep, shallow and at both ends; and a jump, which nothing lifts."""
    rotations, root = standing(60, 0.01)
    t = np.arange(60)
    root[:, 1] -= 0.25 * np.exp(-(((t - 20) / 4) ** 2)) + 0.05 * (t < 2) + 0.07 * (t > 57)
    root[:, 1] += 0.4 * np.exp(-(((t - 40) / 4) ** 2))
    whole = without_penetration(Motion(rotations, root))
    stream, parts, at = PenetrationStream(), [], 0
    for n in sizes:
        parts.append(stream.push(rotations[at : at + n], root[at : at + n]))
        at += n
        assert len(stream.root) <= AHEAD and len(stream.lift) <= 2 * AHEAD
        assert sum(len(p[1]) for p in parts) >= at - AHEAD, "no frame is held back longer"
    parts.append(stream.finish())
    got = np.concatenate([p[1] for p in parts])
    np.testing.assert_allclose(got, whole.root, atol=1e-6)
    assert SMPL22.fk(rotations, got)[..., 1].min() > -SUNK - 1e-6
    np.testing.assert_array_equal(got[34:51], root[34:51])
    assert np.abs(np.diff(got - root, 3, axis=0)).max() < 0.1 * 0.25, "smooth"


def test_a_stream_does_not_sink(
    tokenizer: MotionTokenizer, codes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, drop = StreamDecoder._features, np.eye(BodyFeatures().dim)[0] * 0.2  # channel 0: the root's height
    monkeypatch.setattr(StreamDecoder, "_features", lambda self, stop: decode(self, stop) - drop)
    made = {}
    for lift, size in ((False, 13), (True, 13), (True, 150)):
        stream = MotionStream(tokenizer, lift=lift)
        parts = [stream.push(codes[i : i + size]) for i in range(0, 150, size)] + [stream.finish()]
        made[lift, size] = concatenate([p.motion(20) for p in parts if len(p)])
        assert len(made[lift, size]) == 600
    low = {k: float(m.joints[..., 1].min()) for k, m in made.items()}
    assert low[False, 13] < -2 * SUNK and low[True, 13] > -SUNK - 1e-5
    np.testing.assert_array_equal(made[True, 13].root[:, [0, 2]], made[False, 13].root[:, [0, 2]])
    np.testing.assert_allclose(made[True, 13].root, made[True, 150].root, atol=1e-3)


def walk(frames: int, speed: float = 0.06, turn: float = 0.0) -> np.ndarray:
    """Features of a body that goes straight ahead, `speed` metres a frame."""
    x = np.zeros((frames, BodyFeatures().dim), np.float32)
    x[:, 0], x[:, 2], x[:, 3] = 0.95, speed, turn
    x[:, 4:136] = rot.to_6d(rot.identity((frames, 22))).reshape(frames, -1)
    return x


@pytest.mark.parametrize(("speed", "radius"), [(0.02, 2.0), (0.02, 10.0), (0.06, 3.0), (0.06, 10.0), (0.15, 10.0)])
def test_the_path_stays_inside(speed: float, radius: float) -> None:
    keeper, state, far, spec = PathKeeper(radius), RootState(0.3, np.zeros(3)), 0.0, BodyFeatures()
    turns = []
    for _ in range(30):
        bent = keeper.steer(walk(100, speed), state)
        turns.append(np.abs(bent[:, 3]))
        _, root, state = spec.decode_chunk(bent, state)
        far = max(far, float(np.linalg.norm(root[:, [0, 2]], axis=-1).max()))
        assert np.abs(np.diff(root, axis=0)).max() <= speed + 1e-6  # nobody is shifted
    assert far < radius
    assert np.abs(np.diff(np.concatenate(turns))).max() < 0.015  # the turn sets in gently


def test_a_path_with_room_is_left_alone() -> None:
    features = walk(40)
    np.testing.assert_array_equal(PathKeeper(10.0).steer(features, RootState(0.0, np.zeros(3))), features)


def test_who_stands_is_not_turned() -> None:
    keeper, state = PathKeeper(5.0), RootState(0.0, np.array([0.0, 0, 4.9]))
    assert np.abs(keeper.steer(walk(100, 0.0), state)[:, 3]).max() == 0


def standing(frames: int, drift: float) -> tuple[np.ndarray, np.ndarray]:
    """A body that stands with bent knees while everything slides `drift` metres a frame."""
    rotations = np.broadcast_to(rot.identity((22,)), (frames, 22, 4)).copy()
    for hip, knee, ankle, _ in LEGS:
        rotations[:, hip] = rot.from_axis_angle(np.array([-0.4, 0, 0]))
        rotations[:, knee] = rot.from_axis_angle(np.array([0.8, 0, 0]))
        rotations[:, ankle] = rot.from_axis_angle(np.array([-0.4, 0, 0]))
    root = np.zeros((frames, 3))
    low = SMPL22.fk(rotations[:1], root[:1])[0, list(TOES), 1].min()
    root[:, 1], root[:, 2] = 0.02 - low, drift * np.arange(frames)
    return rotations, root


def test_a_foot_in_contact_stands_still() -> None:
    rotations, root = standing(30, 0.002)
    lock = FootLock()
    parts = [lock.push(rotations[i : i + 7], root[i : i + 7], np.ones((30, 2))[i : i + 7]) for i in range(0, 30, 7)]
    parts.append(lock.finish())
    held = SMPL22.fk(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))[:, list(TOES)]
    before = SMPL22.fk(rotations, root)[:, list(TOES)]
    slid = [np.abs(np.diff(x[5:-5, :, 2], axis=0)).mean() for x in (held, before)]
    assert slid[0] < 0.2 * slid[1]


def test_feet_in_the_air_are_not_touched() -> None:
    rotations, root = standing(30, 0.03)
    lock = FootLock()
    first = lock.push(rotations, root, np.zeros((30, 2)))
    last = lock.finish()
    np.testing.assert_allclose(np.concatenate([first[0], last[0]]), rotations, atol=1e-9)


def test_shifted_feet_arrive_and_keep_their_orientation() -> None:
    rotations, root = standing(4, 0.0)
    offsets = np.array([[[0.03, 0.0], [0.0, 0.05]]] * 4)
    before = SMPL22.fk_full(rotations, root)
    after = SMPL22.fk_full(shift_feet(rotations, root, offsets), root)
    for side, (_, _, ankle, toe) in enumerate(LEGS):
        moved = np.insert(offsets[:, side], 1, 0, axis=-1)
        np.testing.assert_allclose(after[0][:, ankle], before[0][:, ankle] + moved, atol=1e-6)
        np.testing.assert_allclose(after[0][:, toe], before[0][:, toe] + moved, atol=1e-6)
    np.testing.assert_allclose(after[0][:, 12:], before[0][:, 12:], atol=1e-9)


def test_a_nearly_straight_knee_does_not_pop() -> None:
    rotations, root = np.broadcast_to(rot.identity((22,)), (40, 22, 4)).copy(), np.zeros((40, 3))
    for hip, knee, _, _ in LEGS:  # a leg stretched forward
        rotations[:, hip] = rot.from_axis_angle(np.array([-0.6, 0, 0]))
        rotations[:, knee] = rot.from_axis_angle(np.array([0.2, 0, 0]))
    offsets = np.zeros((40, 2, 2))
    offsets[:, :, 1] = 0.02 * np.sin(np.arange(40) / 39 * np.pi)[:, None] ** 2
    joints = SMPL22.fk(shift_feet(rotations, root, offsets), root)
    jerk = np.abs(np.diff(joints[:, [4, 5]], 3, axis=0)).sum(-1).max()
    assert jerk < 1e-3, "metres a frame cubed; 0.016 where the leg is stretched to its end"
    assert np.ptp(joints[:, [7, 8], 2]) > 0.015, "and the foot still goes along"

"""Streams equal what they would be in one piece and stay where they are to; seams of long motion."""

import dataclasses

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.api import AvatarGPT
from avatargpt.body.contact import LEGS, PenetrationStream
from avatargpt.evaluation import seams
from avatargpt.long.stream import MotionStream, PathKeeper, StreamDecoder
from instruct_data.factory.synth.families import families, keyframed
from vqvae import rotations as rot
from vqvae.features import BodyFeatures, RootState
from vqvae.ground import AHEAD, SUNK, support_level, without_penetration
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import SMPL22, TOES
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


def test_who_walks_on_comes_down_from_what_is_left_of_a_step(tokenizer: MotionTokenizer) -> None:
    stream = MotionStream(tokenizer)
    stream.spec = spec = BodyFeatures()
    for ground, speed, left in ((0.12, 0.05, 0.0), (0.12, 0.0, 0.12), (0.5, 0.05, 0.5)):
        stream.state = RootState(0.0, np.array([0.0, ground, 0.0]))
        features = np.zeros((60, spec.dim), np.float32)
        features[:, spec.slices()["velocity"]] = speed, 0
        end = spec.decode_chunk(stream._above_floor(features), stream.state)[2].position[1]
        assert end == pytest.approx(left, abs=0.004)


@pytest.mark.parametrize("pieces", [1, 6])
def test_who_climbs_down_on_the_floor_stays_on_it(tokenizer: MotionTokenizer, pieces: int) -> None:
    stream = MotionStream(tokenizer)
    stream.spec = spec = BodyFeatures()
    features = np.zeros((60, spec.dim), np.float32)
    features[:, 0] = 0.95  # metres of the root above the ground
    features[:, spec.slices()["rise"]] = np.repeat([0.02, -0.03, 0.01], 20)[:, None]
    stream.state = RootState(0.0, np.zeros(3))
    level = []
    for piece in np.array_split(features, pieces):
        held = stream._above_floor(piece)
        _, root, stream.state = spec.decode_chunk(held, stream.state)
        level += list(root[:, 1] - held[:, 0])
    # up 0.4 m, down to the floor instead of 0.2 m below it, and up 0.2 m
    np.testing.assert_allclose(np.array(level)[[19, 39, 59]], [0.4, 0.0, 0.2], atol=1e-5)
    assert min(level) > -1e-6


def test_a_stream_may_go_downstairs() -> None:
    (clip,) = (c for c in keyframed(families()["climb_stairs"], [0]) if c.extra["params"]["way"] == "down")
    motion, stream = clip.load(), PenetrationStream()
    parts = [
        stream.push(motion.rotations[i : i + 9], motion.root[i : i + 9], support_level(motion.joints)[i : i + 9])
        for i in range(0, len(motion), 9)
    ]  # fmt: skip
    root = np.concatenate([*(p[1] for p in parts), stream.finish()[1]])
    assert motion.root[-1, 1] < 0 and np.abs(root - motion.root).max() < 0.07


def test_a_stream_does_not_sink(
    tokenizer: MotionTokenizer, codes: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = StreamDecoder._features

    def sunk(self: StreamDecoder, stop: int) -> np.ndarray:
        features = decode(self, stop).copy()
        features[:, 269:] = 0  # on one level
        features[:, 0] -= 0.2  # the root's height
        return features

    monkeypatch.setattr(StreamDecoder, "_features", sunk)
    made = {}
    for lift, size in ((False, 13), (True, 13), (True, 150)):
        stream = MotionStream(tokenizer, lock_feet=lift, lift=lift)
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


def test_the_path_turns_towards_the_middle() -> None:
    for left in (-3.0, 3.0):
        bent = PathKeeper(5.0).steer(walk(60), RootState(0.0, np.array([left, 0.0, 1.0])))
        assert np.sign(bent[-1, 3]) == -np.sign(left)


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


def jump(frames: int, at: int, size: float) -> np.ndarray:
    """Joints at rest 1 m up, joint 20 moved by `size` metres along x from frame `at` on."""
    joints = np.ones((frames, 22, 3))
    joints[at:, 20, 0] += size
    return joints


def test_peak_and_area_of_one_jump() -> None:
    """A step of size s has third differences s, -2s, s: PJ = 2s, AUJ = 4s against real motion without jerk."""
    figures = seams.seam_figures([jump(60, 30, 0.1)], real=0.0)
    assert figures["peak_jerk"] == pytest.approx(0.2) and figures["area_under_jerk"] == pytest.approx(0.4)
    assert figures["area_above"] == pytest.approx(0.4) and figures["area_below"] == 0


def test_motion_smoother_than_real_has_area_too() -> None:
    figures = seams.seam_figures([np.ones((60, 22, 3))], real=0.01)
    assert figures["area_under_jerk"] == pytest.approx(57 * 0.01) == figures["area_below"]
    assert figures["peak_jerk"] == 0 and figures["area_above"] == 0


def test_the_mean_is_taken_over_sequences_before_the_maximum() -> None:
    figures = seams.seam_figures([jump(60, 20, 0.1), jump(60, 40, 0.1)], real=0.0)
    assert figures["peak_jerk"] == pytest.approx(0.1) and figures["area_under_jerk"] == pytest.approx(0.4)


def test_windows_lie_inside() -> None:
    joints = np.arange(200)[:, None, None] * np.ones((1, 22, 3))
    cut = seams.seam_windows(joints, [10, 30, 100.5, 170, 171])
    assert [int(w[0, 0, 0]) for w in cut] == [0, 70, 140] and {len(w) for w in cut} == {60}


def test_mean_jerk_weighs_frames() -> None:
    assert seams.mean_jerk([jump(60, 30, 0.1), np.ones((3, 22, 3)), np.ones((60, 22, 3))]) == pytest.approx(0.4 / 114)


def test_the_suite_measures_every_way(gpt: AvatarGPT) -> None:
    suite = evaluation.load("seams")
    suite = dataclasses.replace(suite, options={**suite.options, "transitions": 6, "best_of": 1, "told": 3})
    rng = np.random.default_rng(0)
    real = [np.cumsum(rng.normal(size=(90, 22, 3)) * 0.01, 0) + 1 for _ in range(3)]
    plans = [[["he walks", "he waves", "he sits"], ["he jumps", "he turns"]], [["he eats", "he runs", "he bows"]]] * 2
    made = seams.score(suite, real, plans, gpt, [("a person walks", 40), ("a person waves", 61)])
    assert made["transitions"] == {"loop": 6, "concatenation": 6, "interpolation": 6, "real": 6, "same actions": 3}
    for name in ("peak_jerk", "area_under_jerk", "foot_skate", "contact_slide"):
        for other in ("", "/concatenation", "/interpolation", "/real", "/same actions"):
            assert np.isfinite(made["results"][name + other]["mean"])
    got = made["results"]
    assert set(n.split("/")[0] for n in got) <= set(suite.metrics)
    ratio = got["peak_jerk"]["mean"] / got["peak_jerk/real"]["mean"]
    assert got["peak_jerk_ratio"]["mean"] == pytest.approx(ratio, rel=1e-3)


def test_captions_are_acted_as_they_stand_for_as_long_as_their_recordings(gpt: AvatarGPT) -> None:
    per = gpt.tokenizers["body"].downsample
    captions = ["a person walks elderly", "a person waves, then bows"]
    _, made = seams.run_closed_loop(gpt, [[c] for c in captions], 0, 1, [10 * per, 7 * per + 1])
    assert [(m.clause.caption, m.clause.tokens) for m in made] == list(zip(captions, (10, 7), strict=True))


def test_told_scenes_bring_every_caption_before_one_comes_again() -> None:
    told = [(str(i), 20 + i) for i in range(17)]
    drawn = [c for scene in seams.caption_scenes(told, 28, 3) for c in scene]
    assert len(drawn) == 36 and set(drawn[:17]) == set(drawn[17:34]) == set(told)
    assert drawn != [c for scene in seams.caption_scenes(told, 28, 4) for c in scene]


def test_the_chain_is_the_same_clips_without_transitions(gpt: AvatarGPT) -> None:
    motion, made = seams.run_closed_loop(gpt, [["he walks", "he waves"], ["he sits"]], 0, 1)
    per = gpt.tokenizers["body"].downsample
    assert len(motion) == per * sum(len(m.codes) for m in made) and len(made) == 3
    plain, centres = seams.chain_clips(gpt, made, 0)
    longer, middles = seams.chain_clips(gpt, made, 12)
    assert len(plain) == per * sum(len(m.codes) - m.transition for m in made) and len(longer) == len(plain) + 24
    assert [m - c for m, c in zip(middles, centres, strict=True)] == [6, 18]

"""Metrics of gesture on motion and sound whose figures are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.metrics import gesture_features as fgd
from avatargpt.metrics import gesture_motion as beats
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

SECONDS, PERIOD = 12, 1.0
TIMES = np.arange(1, SECONDS) * PERIOD


def turning(axis: tuple[float, float, float], joint: int, angles: np.ndarray, fps: float = 30.0) -> Motion:
    """One joint turned by (T,) radians, all others at rest."""
    q = rot.identity((len(angles), 22)).copy()
    q[:, joint] = rot.from_axis_angle(np.outer(angles, axis))
    return Motion(q, np.tile([0, 0.9, 0], (len(angles), 1)), fps, "gesture")


def rocking(fps: float = 30.0) -> Motion:
    """The whole body turns about the pelvis, slowest at every whole second: a beat of every joint."""
    t = np.arange(int(SECONDS * fps) + 1) / fps
    return turning((1, 0, 0), 0, 1.5 * (t - 0.6 * PERIOD / (2 * np.pi) * np.sin(2 * np.pi * t / PERIOD)), fps)


def clicks(times: np.ndarray, loud: np.ndarray | None = None, seconds: float = SECONDS) -> np.ndarray:
    """Short bursts of noise at given times."""
    rng = np.random.default_rng(0)
    x = 1e-4 * rng.standard_normal(int(seconds * 16000))
    for i, start in enumerate((times * 16000).astype(int)):
        x[start : start + 800] += (0.5 if loud is None else loud[i]) * rng.standard_normal(len(x[start : start + 800]))
    return x.astype(np.float32)


def glide(speed: float = 0.0, push: float = 0.0, frames: int = 90) -> Motion:
    """A stiff body that moves sideways."""
    t = np.arange(frames) / 30
    root = np.stack([speed * t + push * t * t / 2, 0 * t + 0.9, 0 * t], 1)
    return Motion(rot.identity((frames, 22)), root, 30.0, "gesture")


def test_onsets_lie_at_clicks_and_nowhere_else() -> None:
    found = beats.onsets(clicks(TIMES))
    distance = np.abs(found[:, None] - TIMES)
    assert distance.min(1).max() < 0.07 and distance.min(0).max() < 0.07
    assert len(beats.onsets(np.zeros(16000))) == 0
    assert (beats.find_onset_minima(clicks(TIMES))[:, None] <= found[:, None] + 1e-9).all()


def test_strength_is_that_of_librosa() -> None:
    """librosa 0.11.0: onset_strength(y=y, sr=16000, hop_length=512), hops 7 to 11 and 21 to 25."""
    n = np.arange(16000)
    low, high = (size * np.sin(2 * np.pi * hz * n / 16000) for size, hz in ((0.3, 440), (0.1, 3000)))
    strength = beats.onset_strength(low * (n > 4000) + high * (n > 11000))
    assert len(strength) == 32
    assert strength[7:12] == pytest.approx([0, 3.8802, 17.8072, 3.6672, 0.0322], abs=5e-4)
    assert strength[21:26] == pytest.approx([0, 5.0975, 13.5141, 0.1005, 0.0151], abs=5e-4)


def test_beats_are_the_slow_moments_at_any_rate() -> None:
    for fps in (30.0, 60.0):
        motion = rocking(fps)
        found = beats.motion_beats(motion, beats.mean_speeds([motion]))
        assert len(found) == 13
        for own in found:
            assert own == pytest.approx(TIMES, abs=1e-6)


def test_alignment_of_known_shifts() -> None:
    motion = rocking()
    usual = beats.mean_speeds([motion])
    found = beats.motion_beats(motion, usual)
    assert beats.scores(TIMES, found).mean() == pytest.approx(1)
    assert beats.scores(TIMES + 0.3, found).mean() == pytest.approx(np.exp(-0.5))
    assert beats.scores(TIMES, [found[0], np.zeros(0)]).mean() == pytest.approx(0.5)
    assert beats.scores(beats.onsets(clicks(TIMES)), found).mean() > 0.96
    late = beats.scores(beats.onsets(clicks(TIMES + 0.3)), found).mean()
    assert late == pytest.approx(np.exp(-0.5), abs=0.08)
    assert beats.scores(beats.find_onset_minima(clicks(TIMES)), beats.wrist_beats(motion)).mean() > 0.9
    emphases, _ = beats.emphases(clicks(TIMES))
    assert beats.scores(emphases, beats.wrist_beats(motion, beats.WRISTS)).mean() > 0.96


def test_the_louder_of_two_near_onsets_is_the_emphasis() -> None:
    times, _ = beats.emphases(clicks(np.array([2.0, 2.4, 6.0]), np.array([0.01, 1.0, 1.0])))
    assert times == pytest.approx([2.4, 6.0], abs=0.07)


def test_slow_joints_have_no_beats() -> None:
    assert beats.joint_speeds(glide(1.0)).max() < 1e-3  # against the pelvis
    motion = rocking()
    usual = beats.mean_speeds([motion])
    assert all(len(b) == 0 for b in beats.motion_beats(motion, 4 * usual))
    assert (beats.scores(TIMES, beats.motion_beats(motion, 4 * usual)) == 0).all()


def test_speed_acceleration_jerk() -> None:
    assert beats.hand_speed(glide(speed=0.5)) == pytest.approx(0.5, rel=1e-4)
    assert beats.hand_speed(Motion(glide(0.5).rotations, glide(0.5).root, 60.0)) == pytest.approx(1, rel=1e-4)
    assert beats.mean_acceleration(glide(push=2.0)) == pytest.approx(2, rel=2e-3)
    assert beats.mean_jerk(glide(push=2.0)) < 0.05
    wave = turning((0, 0, 1), 17, 0.5 * np.sin(np.arange(300) / 30 * 2 * np.pi))
    # |x'''| of the elbow and the wrist, of the 13 joints; the mean of |cos| is 2 / pi.
    arm = [np.linalg.norm(SMPL22.rest_joints[j] - SMPL22.rest_joints[17]) for j in (19, 21)]
    small = turning((0, 0, 1), 17, 1e-2 * np.sin(np.arange(300) / 30 * 2 * np.pi))
    assert beats.mean_jerk(small) == pytest.approx(1e-2 * (2 * np.pi) ** 3 * sum(arm) * 2 / np.pi / 13, rel=0.02)
    assert beats.mean_jerk(wave) > 10 * beats.mean_jerk(small)


def test_hellinger() -> None:
    assert beats.hellinger(np.array([1, 0]), np.array([1, 1])) == pytest.approx(np.sqrt(1 - np.sqrt(0.5)))
    assert beats.hand_speed_distance([glide(0.52)], [glide(0.53)]) == pytest.approx(0)
    assert beats.hand_speed_distance([glide(0.52)], [glide(0.62)]) == pytest.approx(1)
    assert beats.speed_histogram([glide(9.0)])[-1] == 1


def test_speech_pauses_and_turns() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([np.zeros(8000), rng.standard_normal(16000), np.zeros(8000), rng.standard_normal(16000),
                        np.zeros(32000)]) * 0.1  # fmt: skip
    spoken = beats.find_speech_by_level(x)
    assert len(spoken) == 150
    assert beats.pauses(spoken) == [pytest.approx((1.5, 2.0), abs=0.07)]
    assert beats.turns(spoken).sum() == pytest.approx(75, abs=3)
    assert not beats.find_speech_by_level(np.zeros(16000)).any()
    other, nobody = spoken, np.zeros(150, bool)
    assert (beats.find_listening(nobody, other) == beats.turns(other)).all()
    assert not beats.find_listening(other, other).any()


def nodding(*times: float, degrees: float = 10.0, axis: tuple[float, float, float] = (1, 0, 0)) -> Motion:
    """6 s of a head that goes down and up within 0.5 s from each of some times."""
    t = np.arange(180) / 30
    pitch = sum(np.where((t >= s) & (t < s + 0.5), np.sin(np.pi * (t - s) / 0.5), 0) for s in times)
    return turning(axis, 15, np.deg2rad(degrees) * np.asarray(pitch))


def test_nods_are_found_where_they_are() -> None:
    found = beats.nods(nodding(1.0, 4.0))
    assert [n.start for n in found] == pytest.approx([1.0, 4.0], abs=0.11)
    assert [n.degrees for n in found] == pytest.approx([10, 10], abs=0.8)
    twice = beats.nods(nodding(1.0, 1.5))
    assert len(twice) == 1 and twice[0].strokes == 2 and twice[0].end == pytest.approx(2.0, abs=0.11)
    assert not beats.nods(nodding(1.0, degrees=2.0))  # too small
    assert not beats.nods(nodding(1.0, axis=(0, 1, 0)))  # a shake
    slow = turning((1, 0, 0), 15, 0.3 * np.sin(np.pi * np.arange(180) / 180))  # 3 s down, 3 s up
    assert not beats.nods(slow)


def test_nods_at_the_others_pauses() -> None:
    other = np.ones(180, bool)
    other[60:75] = False  # pauses from 2.0 to 2.5 s
    nobody = np.zeros(180, bool)
    inside = beats.nod_timing(nodding(2.1), nobody, other)
    assert inside.hits == [1.0] and inside.chance == pytest.approx((15 + 12 + 6) / 180, abs=0.02)
    assert beats.nod_timing(nodding(4.0), nobody, other).hits == [0.0]
    assert beats.nod_timing(nodding(1.0, 2.1), nobody, other).hits == [0.0, 1.0]
    with pytest.raises(UserError, match="never has the turn"):
        beats.nod_timing(nodding(1.0), other, other)


def test_stillness() -> None:
    half = np.concatenate([np.zeros(60), 2 * np.arange(1, 61) / 30])
    motion = turning((0, 0, 1), 17, half)
    first, second = np.arange(120) < 59, np.arange(120) >= 60
    assert beats.still_share(motion, first) == 1 and beats.still_share(motion, second) == 0
    with pytest.raises(UserError, match="no such frame"):
        beats.still_share(motion, np.zeros(120, bool))


def test_fgd_of_equal_and_other_sets(tmp_path: Path) -> None:
    torch.manual_seed(0)
    features = fgd.GestureFeatureEncoder(fgd.GestureAutoEncoder(8, 4))
    features.network.std.fill_(0.05)
    wave = turning((0, 0, 1), 17, np.sin(np.arange(400) / 7))
    other = turning((0, 0, 1), 16, np.sin(np.arange(400) / 3))
    assert features(wave).shape == ((400 - 64) // 8 + 1, 4)
    assert fgd.fgd([wave], [wave], features) == pytest.approx(0, abs=1e-6)
    assert fgd.fgd([other], [wave], features) > 1e-3
    features.save(tmp_path)
    again = fgd.GestureFeatureEncoder.load(tmp_path)
    assert np.array_equal(again(wave), features(wave))
    (tmp_path / fgd.FILE).write_bytes(b"no tensors")
    with pytest.raises(UserError, match="readable encoder of gestures"):
        fgd.GestureFeatureEncoder.load(tmp_path)


def test_mean_pose_and_retrieval() -> None:
    left, right = (turning((0, 0, 1), 17, np.full(3, a)) for a in (-0.4, 0.4))
    mean = beats.mean_pose([left, right], 5)
    assert len(mean) == 5 and rot.angle_between(mean.rotations, rot.identity((5, 22))).max() < 1e-3
    peak = np.exp(-(((np.arange(60) - 30) / 6) ** 2))
    weak, strong = (beats.MeasuredStroke(turning((0, 0, 1), 17, size * peak), 1.0) for size in (0.5, 1.5))
    bank = beats.StrokeBank([weak, strong])
    made = bank.gesticulate(clicks(np.array([2.0, 6.0, 10.0]), np.array([1.0, 0.01, 0.3])))
    angle = rot.angle_between(made.rotations[:, 17], rot.identity((len(made),)))
    assert len(made) == 12 * 30 and made.fps == 30
    for time, size in ((2.0, 1.5), (6.0, 0.5), (10.0, 1.5)):
        near = slice(int(time * 30) - 6, int(time * 30) + 7)
        assert angle[near].max() == pytest.approx(size, abs=0.02)
        assert abs(near.start + int(angle[near].argmax()) - time * 30) <= 2
    assert angle[120] < 1e-3  # rest between


def test_bad_input_is_told_in_one_line(tmp_path: Path) -> None:
    motion = rocking()
    usual = beats.mean_speeds([motion])
    mistakes = {
        "accepted: \\(samples,\\) at 16000 Hz": lambda: beats.onsets(np.zeros((2, 5))),
        "sample 1 is not finite": lambda: beats.onsets(np.array([0.0, np.nan])),
        "accepted \\(13,\\)": lambda: beats.motion_beats(motion, usual[:2]),
        "at least one real motion": lambda: beats.mean_speeds([]),
        "at least 4 are needed": lambda: beats.mean_jerk(motion.slice(0, 3)),
        "histogram of no clips": lambda: beats.speed_histogram([]),
        "histograms of shapes": lambda: beats.hellinger(np.ones(2), np.ones(3)),
        "at least 64 are needed": lambda: fgd.windows(motion.slice(0, 40)),
        "no gesture_features.safetensors in it": lambda: fgd.GestureFeatureEncoder.load(tmp_path),
        "a bank of no strokes": lambda: beats.StrokeBank([]),
        "stroke 0: emphasis at 99.00 s": lambda: beats.StrokeBank([beats.MeasuredStroke(motion, 99.0)]),
    }
    for said, call in mistakes.items():
        with pytest.raises(UserError, match=said) as told:
            call()  # type: ignore[no-untyped-call]
        assert "\n" not in str(told.value)

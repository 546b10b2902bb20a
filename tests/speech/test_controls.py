"""Controls change what they name and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.face.audio_model import controls as c
from avatargpt.face.audio_model.idle import lid_spans
from avatargpt.kinematics.face import gaze
from avatargpt.train.speech_data.expressions import median_curves
from instruct_data.face.score import Event, Score
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns

I = arkit.INDEX  # noqa: E741


def clip(frames: int = 300, seed: int = 0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    return FaceMotion(rng.uniform(0.1, 0.4, (frames, 52)), rng.uniform(-0.2, 0.2, (frames, 3)))


def still(seconds: float, fps: float = 30.0) -> FaceMotion:
    n = round(seconds * fps)
    return FaceMotion(np.zeros((n, 52)), np.zeros((n, 3)), fps)


def median(score: Score) -> FaceMotion:
    """As the driver shows a score: without blinks of its own."""
    return FaceMotion.from_curves(median_curves(score, 0, "left"))


def lids(motion: FaceMotion) -> np.ndarray:
    return motion.weights[:, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]]


def blinks(motion: FaceMotion) -> int:
    shut = lids(motion).min(1) > 0.7
    return int((np.diff(np.concatenate([[0], shut.astype(int)])) > 0).sum())


def test_defaults_change_nothing() -> None:
    m = clip()
    out = c.apply_controls(m, c.Controls())
    assert np.array_equal(out.weights, m.weights) and np.array_equal(out.head, m.head)


def test_gain_and_offset_by_any_spelling() -> None:
    m = clip()
    out = c.apply_controls(m, c.Controls(gain={"JawOpen": 2.0, "mouth_smile": 0.5}, offset={"browDownLeft": 0.2}))
    named = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browDownLeft")
    other = [i for i, n in enumerate(arkit.NAMES) if n not in named]
    assert np.array_equal(out.weights[:, other], m.weights[:, other])
    assert np.allclose(out.weights[:, I["jawOpen"]], 2 * m.weights[:, I["jawOpen"]])
    assert np.allclose(out.weights[:, I["mouthSmileRight"]], 0.5 * m.weights[:, I["mouthSmileRight"]])
    assert np.allclose(out.weights[:, I["browDownLeft"]], 0.2 + m.weights[:, I["browDownLeft"]])
    assert c.apply_controls(m, c.Controls(gain={"jawOpen": 5})).weights.max() <= 1


def test_strengths() -> None:
    m = clip()
    out = c.apply_controls(m, c.Controls(mouth=0.0, brow=2.0))
    for i, name in enumerate(arkit.NAMES):
        factor = 0 if name.startswith(("jaw", "mouth", "tongue")) else 2 if name.startswith("brow") else 1
        assert np.allclose(out.weights[:, i], factor * m.weights[:, i], atol=1e-6), name


def test_symmetry_keeps_winks_and_gaze() -> None:
    m = clip()
    out = c.apply_controls(m, c.Controls(symmetry=1.0))
    assert np.allclose(out.channel("mouthSmileLeft"), out.channel("mouthSmileRight"))
    assert np.allclose(out.channel("mouthSmile"), m.channel("mouthSmile"), atol=1e-6)
    assert not out.channel("jawLeft").any() and not out.channel("mouthRight").any()
    assert np.array_equal(lids(out), lids(m))
    half = c.apply_controls(m, c.Controls(symmetry=0.5))
    before = np.abs(m.channel("cheekSquintLeft") - m.channel("cheekSquintRight"))
    after = np.abs(half.channel("cheekSquintLeft") - half.channel("cheekSquintRight"))
    assert np.allclose(after, before / 2, atol=1e-6)


def test_smoothing_has_no_delay() -> None:
    weights = np.zeros((101, 52))
    weights[50, I["jawOpen"]] = 1
    out = c.apply_controls(FaceMotion(weights, np.zeros((101, 3))), c.Controls(smooth=0.05)).channel("jawOpen")
    assert out.argmax() == 50 and np.allclose(out, out[::-1], atol=1e-6)
    t = np.arange(101) - 50
    assert np.sqrt((out * t**2).sum() / out.sum()) / 30 == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("rate", [0.0, 6.0, 20.0])
def test_blink_rate(rate: float) -> None:
    own = c.apply_controls(still(180), c.Controls(blink_rate=30), seed=5)
    assert 60 <= blinks(own) <= 100
    out = c.apply_controls(own, c.Controls(blink_rate=rate), seed=1)
    assert blinks(out) == pytest.approx(3 * rate, abs=max(0.25 * 3 * rate, 0.1))
    assert np.array_equal(out.weights, c.apply_controls(own, c.Controls(blink_rate=rate), seed=1).weights)
    rest = [i for i, n in enumerate(arkit.NAMES) if not n.startswith("eyeBlink")]
    assert np.array_equal(out.weights[:, rest], own.weights[:, rest])


def test_winks_and_closed_eyes_are_no_blinks() -> None:
    weights = np.zeros((200, 52))
    weights[20:30, I["eyeBlinkLeft"]] = 1  # a wink
    weights[80:140, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]] = 1  # two seconds closed
    weights[160:165, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]] = 1  # a blink
    out = c.apply_controls(FaceMotion(weights, np.zeros((200, 3))), c.Controls(blink_rate=0))
    assert (out.weights[:150] == weights[:150].astype(np.float32)).all()
    assert lids(out)[150:].max() < 1e-6


def test_eye_contact_undoes_the_head() -> None:
    full = np.radians(arkit.EYE_DEGREES)
    head = np.zeros((10, 3))
    head[:, 0] = 0.3  # to the person's left
    out = c.apply_controls(FaceMotion(np.zeros((10, 52)), head), c.Controls(eye_contact=1.0))
    assert np.allclose(out.channel("eyeLookInLeft"), 0.3 / full, atol=1e-5)  # eyes to the person's right
    assert np.allclose(out.channel("eyeLookOutRight"), 0.3 / full, atol=1e-5)
    assert not out.channel("eyeLookOutLeft").any() and out.channel("eyeLookDown").max() < 1e-5
    head = np.zeros((10, 3))
    head[:, 1] = -0.2  # down
    out = c.apply_controls(FaceMotion(np.zeros((10, 52)), head), c.Controls(eye_contact=1.0))
    assert np.allclose(out.channel("eyeLookUp"), 0.2 / full, atol=1e-5)
    assert not out.channel("eyeLookDown").any()


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        (c.Controls(gain={"jawOpn": 1.0}), "did you mean jawOpen"), (c.Controls(gain={"jawOpen": 9}), "0 to 5"),
        (c.Controls(offset={"jawOpen": float("nan")}), "-1 to 1"), (c.Controls(mouth=-1), "0 to 3"),
        (c.Controls(symmetry=2), "0 to 1"), (c.Controls(blink_rate=1000), "0 to 60"), (c.Controls(smooth=3), "0 to 1"),
    ],
)  # fmt: skip
def test_mistakes(controls: c.Controls, words: str) -> None:
    with pytest.raises(UserError, match=words):
        c.apply_controls(clip(5), controls)


def test_other_seeds_blink_at_other_times() -> None:
    one, two = (c.apply_controls(still(60), c.Controls(blink_rate=15), seed=s).weights for s in (1, 2))
    assert one.any() and not np.array_equal(one, two)


def test_no_new_blink_falls_on_a_wink() -> None:
    m = still(120)
    winks = np.arange(3600) % 120 < 60
    m.weights[winks, I["eyeBlinkLeft"]] = 1
    right = c.apply_controls(m, c.Controls(blink_rate=60)).channel("eyeBlinkRight")
    assert right.max() > 0.9 and not right[winks].any()


def test_a_blink_lasts_as_long_at_any_rate() -> None:
    lid = c.apply_controls(still(30, 120.0), c.Controls(blink_rate=20)).channel("eyeBlink") > 0.1
    edges = np.flatnonzero(np.diff(lid.astype(int)))
    assert len(edges) >= 4 and (np.diff(edges)[::2] / 120 > 0.15).all()


def test_told_blinks_stay_and_others_keep_clear_of_them() -> None:
    score = Score(60.0, (Event("blink", 20.0, 1.5, 1.0, 3), Event("smile", 30.0, 5.0), Event("wink_left", 40.0, 0.5)))
    m = median(score)
    out = c.apply_controls(m, c.Controls(blink_rate=30), lids=lid_spans(score))
    for start, end in ((19.7, 21.8), (39.7, 40.8)):
        span = slice(round(start * 30), round(end * 30))
        assert np.array_equal(out.weights[span], m.weights[span])
    assert blinks(out) > blinks(m) + 15
    assert blinks(out.slice(900, 1050)) > 0  # a smile keeps none off


def test_lowered_lids_blink_too() -> None:
    tired = still(60).weights + 0
    tired[:, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]] = 0.55
    m = FaceMotion(tired, np.zeros((1800, 3)))
    own = c.apply_controls(m, c.Controls(blink_rate=20), lids=())
    assert 12 <= blinks(own) <= 28
    assert blinks(c.apply_controls(own, c.Controls(blink_rate=0))) == 0  # and these are taken out again
    assert lids(c.apply_controls(own, c.Controls(blink_rate=0))).max() == pytest.approx(0.55)


@pytest.mark.parametrize(
    "other", [c.Controls(gain={"eyeBlink": 0.5}), c.Controls(smooth=0.1), c.Controls(offset={"eyeBlink": -0.3})]
)
def test_other_controls_hide_no_blink(other: c.Controls) -> None:
    m = c.apply_controls(still(60), c.Controls(blink_rate=16), seed=3)
    assert lids(c.apply_controls(m, replace(other, blink_rate=0.0))).max() < 0.01
    new = lids(c.apply_controls(m, replace(other, blink_rate=20.0), seed=4)).max()
    assert new == pytest.approx(0.5 if other.gain else 0.7 if other.offset else 1.0)
    assert lids(c.apply_controls(m, replace(other, blink_rate=20.0, gain={"eyeBlink": 0.0}, offset={}))).max() == 0


def test_live_blinks_are_those_of_the_whole_clip() -> None:
    score = Score(30.0, (Event("close_eyes", 10.0, 3.0), Event("raise_brows", 20.0, 2.0)))
    m = median(score)
    controls = c.Controls(blink_rate=25, gain={"eyeBlink": 0.9}, brow=1.5, symmetry=0.5, eye_contact=0.5)
    whole = c.apply_controls(m, controls, 7, lid_spans(score))
    change = c.LiveControls(controls, m.fps, 7, lid_spans(score))
    frames = [change(m.slice(i, i + 1)) for i in range(len(m))]
    assert blinks(whole) > 5
    assert np.array_equal(np.concatenate([f.weights for f in frames]), whole.weights)
    with pytest.raises(UserError, match="whole clip"):
        c.LiveControls(c.Controls(smooth=0.1), 30.0)


def test_a_blink_that_the_end_cuts_off_is_begun() -> None:
    cut = 0
    for seed in range(40):
        m = still(3)
        whole = c.apply_controls(m, c.Controls(blink_rate=60), seed, ())
        change = c.LiveControls(c.Controls(blink_rate=60), m.fps, seed)
        assert np.array_equal(np.concatenate([change(m.slice(i, i + 1)).weights for i in range(len(m))]), whole.weights)
        cut += whole.weights[-1].max() > 0.2
        bare = c.apply_controls(m, c.Controls(blink_rate=60), seed)  # nothing is known of the clip
        assert lids(c.apply_controls(bare, c.Controls(blink_rate=0.0))).max() < 0.01
    assert cut > 2


def test_a_rate_next_to_nothing_is_none() -> None:
    for spans in (None, ()):
        assert not c.apply_controls(still(3), c.Controls(blink_rate=1e-320), 0, spans).weights.any()
    assert not c.LiveControls(c.Controls(blink_rate=1e-320), 30.0)(still(3).slice(0, 1)).weights.any()


def test_factors_meet_before_they_are_cut() -> None:
    m = FaceMotion(np.zeros((3, 52)), np.zeros((3, 3)))
    m.weights[:, I["jawOpen"]] = [0.3, 0.6, 0.9]
    out = c.apply_controls(m, c.Controls(mouth=2.0, gain={"jawOpen": 0.5})).channel("jawOpen")
    assert np.allclose(out, [0.3, 0.6, 0.9])
    out = c.apply_controls(m, c.Controls(gain={"jawOpen": 2.0}, offset={"jawOpen": -0.5})).channel("jawOpen")
    assert np.allclose(out, [0.1, 0.7, 1.0])


def test_eye_contact_holds_when_the_head_tilts() -> None:
    for angles in ([0.3, 0.0, 0.3], [0.35, 0.1, -0.35], [0.2, 0.2, 0.3], [0.0, 0.0, 0.5]):
        head = np.array([angles])
        x, y = gaze(c.with_eye_contact(FaceMotion(np.zeros((1, 52)), head), 1.0))
        full = np.radians(arkit.EYE_DEGREES)
        eyes = np.array([[full * x[0], full * y[0], 0.0]])
        ahead = rot.rotate(rot.multiply(turns(head), turns(eyes)), np.array([[0.0, 0.0, 1.0]]))
        assert np.degrees(np.arccos(ahead[0, 2])) < 0.1

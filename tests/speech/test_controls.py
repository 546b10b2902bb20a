"""Controls change what they name and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.speech import controls as c
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

I = arkit.INDEX  # noqa: E741


def clip(frames: int = 300, seed: int = 0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    return FaceMotion(rng.uniform(0.1, 0.4, (frames, 52)), rng.uniform(-0.2, 0.2, (frames, 3)))


def lids(motion: FaceMotion) -> np.ndarray:
    return motion.weights[:, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]]


def blinks(motion: FaceMotion) -> int:
    shut = lids(motion).min(1) > 0.7
    return int((np.diff(np.concatenate([[0], shut.astype(int)])) > 0).sum())


def test_defaults_change_nothing() -> None:
    m = clip()
    out = c.apply(m, c.Controls())
    assert np.array_equal(out.weights, m.weights) and np.array_equal(out.head, m.head)


def test_gain_and_offset_by_any_spelling() -> None:
    m = clip()
    out = c.apply(m, c.Controls(gain={"JawOpen": 2.0, "mouth_smile": 0.5}, offset={"browDownLeft": 0.2}))
    named = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browDownLeft")
    other = [i for i, n in enumerate(arkit.NAMES) if n not in named]
    assert np.array_equal(out.weights[:, other], m.weights[:, other])
    assert np.allclose(out.weights[:, I["jawOpen"]], 2 * m.weights[:, I["jawOpen"]])
    assert np.allclose(out.weights[:, I["mouthSmileRight"]], 0.5 * m.weights[:, I["mouthSmileRight"]])
    assert np.allclose(out.weights[:, I["browDownLeft"]], 0.2 + m.weights[:, I["browDownLeft"]])
    assert c.apply(m, c.Controls(gain={"jawOpen": 5})).weights.max() <= 1


def test_strengths() -> None:
    m = clip()
    out = c.apply(m, c.Controls(mouth=0.0, brow=2.0))
    for i, name in enumerate(arkit.NAMES):
        factor = 0 if name.startswith(("jaw", "mouth", "tongue")) else 2 if name.startswith("brow") else 1
        assert np.allclose(out.weights[:, i], factor * m.weights[:, i], atol=1e-6), name


def test_symmetry_keeps_winks_and_gaze() -> None:
    m = clip()
    out = c.apply(m, c.Controls(symmetry=1.0))
    assert np.allclose(out.channel("mouthSmileLeft"), out.channel("mouthSmileRight"))
    assert np.allclose(out.channel("mouthSmile"), m.channel("mouthSmile"), atol=1e-6)
    assert not out.channel("jawLeft").any() and not out.channel("mouthRight").any()
    assert np.array_equal(lids(out), lids(m))
    half = c.apply(m, c.Controls(symmetry=0.5))
    before = np.abs(m.channel("cheekSquintLeft") - m.channel("cheekSquintRight"))
    after = np.abs(half.channel("cheekSquintLeft") - half.channel("cheekSquintRight"))
    assert np.allclose(after, before / 2, atol=1e-6)


def test_smoothing_has_no_delay() -> None:
    weights = np.zeros((101, 52))
    weights[50, I["jawOpen"]] = 1
    out = c.apply(FaceMotion(weights, np.zeros((101, 3))), c.Controls(smooth=0.05)).channel("jawOpen")
    assert out.argmax() == 50 and np.allclose(out, out[::-1], atol=1e-6)
    t = np.arange(101) - 50
    assert np.sqrt((out * t**2).sum() / out.sum()) / 30 == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("rate", [0.0, 6.0, 20.0])
def test_blink_rate(rate: float) -> None:
    still = FaceMotion(np.zeros((5400, 52)), np.zeros((5400, 3)))  # 3 minutes
    own = c.blinking(still, 30, seed=5)
    assert 60 <= blinks(own) <= 100
    out = c.apply(own, c.Controls(blink_rate=rate), seed=1)
    assert blinks(out) == pytest.approx(3 * rate, abs=max(0.25 * 3 * rate, 0.1))
    assert np.array_equal(out.weights, c.apply(own, c.Controls(blink_rate=rate), seed=1).weights)
    rest = [i for i, n in enumerate(arkit.NAMES) if not n.startswith("eyeBlink")]
    assert np.array_equal(out.weights[:, rest], own.weights[:, rest])


def test_winks_and_closed_eyes_are_no_blinks() -> None:
    weights = np.zeros((200, 52))
    weights[20:30, I["eyeBlinkLeft"]] = 1  # a wink
    weights[80:140, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]] = 1  # two seconds closed
    weights[160:165, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]] = 1  # a blink
    out = c.blinking(FaceMotion(weights, np.zeros((200, 3))), 0)
    assert (out.weights[:150] == weights[:150].astype(np.float32)).all()
    assert lids(out)[150:].max() < 1e-6


def test_eye_contact_undoes_the_head() -> None:
    head = np.zeros((10, 3))
    head[:, 0], head[:, 1] = 0.3, -0.2  # to the person's left, down
    out = c.apply(FaceMotion(np.zeros((10, 52)), head), c.Controls(eye_contact=1.0))
    full = np.radians(arkit.EYE_DEGREES)
    assert np.allclose(out.channel("eyeLookInLeft"), 0.3 / full, atol=1e-5)  # eyes to the person's right
    assert np.allclose(out.channel("eyeLookOutRight"), 0.3 / full, atol=1e-5)
    assert np.allclose(out.channel("eyeLookUp"), 0.2 / full, atol=1e-5)
    assert not out.channel("eyeLookOutLeft").any() and not out.channel("eyeLookDown").any()


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
        c.apply(clip(5), controls)

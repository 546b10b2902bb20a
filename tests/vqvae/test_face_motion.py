"""ARKit names, FaceMotion, features and the `.npz` contract."""

from __future__ import annotations

import numpy as np
import pytest

from vqvae import arkit, modalities
from vqvae.errors import UserError
from vqvae.face import FaceMotion, concatenate
from vqvae.motion import Motion


def random_face(frames: int = 40, fps: float = 30.0, seed: int = 0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    return FaceMotion(rng.random((frames, 52)), rng.normal(0, 0.2, (frames, 3)), fps, "a face")


def test_apple_order_and_live_link_order():
    assert len(arkit.NAMES) == 52 and len(set(arkit.NAMES)) == 52
    places = {"eyeBlinkLeft": 0, "eyeBlinkRight": 7, "jawForward": 14, "jawOpen": 17, "browDownLeft": 41}
    assert {n: arkit.INDEX[n] for n in places} == places
    assert len(arkit.LIVE_LINK) == 61
    for first, second in (("JawRight", "JawLeft"), ("MouthRight", "MouthLeft")):
        assert arkit.LIVE_LINK.index(first) + 1 == arkit.LIVE_LINK.index(second)
    assert arkit.LIVE_LINK[52:55] == ("HeadYaw", "HeadPitch", "HeadRoll")
    assert len(arkit.MEDIAPIPE) == 52 and arkit.MEDIAPIPE[0] == "_neutral" and "tongueOut" not in arkit.MEDIAPIPE


def test_spellings():
    for name in ("EyeBlinkLeft", "eyeBlink_L", "eyeblinkleft", "eye_blink_left"):
        assert arkit.canonical(name) == "eyeBlinkLeft"
    assert arkit.canonical("HeadYaw") is None
    with pytest.raises(UserError, match="smirk"):
        arkit.expand("smirk")


def test_mirror_twice_is_the_same_and_swaps_sides():
    face = random_face()
    mirrored = face.mirrored()
    assert np.array_equal(mirrored.mirrored().weights, face.weights)
    assert np.array_equal(mirrored.channel("mouthSmileLeft"), face.channel("mouthSmileRight"))
    assert np.array_equal(mirrored.channel("jawLeft"), face.channel("jawRight"))
    # Looking left: out with the left eye, in with the right one; mirrored, the right eye looks out.
    assert np.array_equal(mirrored.channel("eyeLookOutRight"), face.channel("eyeLookOutLeft"))
    assert np.allclose(mirrored.head, face.head * [-1, 1, -1])


def test_npz_holds_the_contract(tmp_path):
    face = random_face()
    face.save(tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz", allow_pickle=False) as z:
        assert str(z["modality"]) == "face" and float(z["fps"]) == 30.0
        assert tuple(z["names"]) == arkit.NAMES and z["weights"].shape == (40, 52) and z["head"].shape == (40, 3)
    loaded = FaceMotion.load(tmp_path / "f.npz")
    assert np.array_equal(loaded.weights, face.weights) and np.array_equal(loaded.head, face.head)
    assert loaded.caption == "a face"


def test_names_in_another_order_are_sorted(tmp_path):
    face = random_face()
    order = np.random.default_rng(1).permutation(52)
    np.savez(tmp_path / "f.npz", modality="face", fps=30.0, weights=face.weights[:, order], head=face.head,
             names=np.array(arkit.NAMES)[order])  # fmt: skip
    assert np.array_equal(FaceMotion.load(tmp_path / "f.npz").weights, face.weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"weights": np.zeros((4, 51))}, "ARKit names"), ({"head": np.zeros((3, 3))}, "accepted"),
     ({"head": np.full((4, 3), 90.0)}, "radians"), ({"weights": np.full((4, 52), np.nan)}, "frame 0"),
     ({"fps": 0.0}, "fps"), ({"names": np.array(arkit.NAMES[:51])}, "tongueOut"), ({"names": None}, "missing names")],
)  # fmt: skip
def test_bad_npz(tmp_path, change, message):
    data = {"modality": "face", "fps": 30.0, "weights": np.zeros((4, 52)), "names": np.array(arkit.NAMES),
            "head": np.zeros((4, 3))} | change  # fmt: skip
    np.savez(tmp_path / "f.npz", **{k: v for k, v in data.items() if v is not None})
    with pytest.raises(UserError, match=message) as caught:
        FaceMotion.load(tmp_path / "f.npz")
    assert "f.npz" in str(caught.value)


def test_resampling_keeps_duration_and_values():
    face = random_face(90)
    faster = face.resampled(60)
    assert len(faster) == 180 and faster.seconds == face.seconds
    assert np.allclose(faster.weights[::2], face.weights, atol=1e-6)
    assert face.resampled(30) is face


def test_slices_and_concatenation():
    face = random_face()
    joined = concatenate([face.slice(0, 10), face.slice(10, 40)])
    assert np.array_equal(joined.weights, face.weights)
    with pytest.raises(UserError, match="fps"):
        concatenate([face, random_face(fps=60.0)])


def test_features_are_exactly_invertible():
    modality = modalities.get("face")
    spec = modality.features()
    assert (modality.fps, spec.fps, spec.dim) == (30.0, 30.0, 55)
    covered = np.concatenate([np.arange(spec.dim)[s] for s in spec.slices().values()])
    assert np.array_equal(covered, np.arange(55))
    face = random_face()
    x = spec.encode(face)
    assert x.dtype == np.float32
    loaded = spec.decode(x, "a face")
    assert np.array_equal(loaded.weights, face.weights) and np.array_equal(loaded.head, face.head)


def test_a_body_is_refused():
    body = Motion(np.tile([1.0, 0, 0, 0], (2, 22, 1)), np.zeros((2, 3)))
    with pytest.raises(UserError, match="body motion where a face"):
        modalities.get("face").features().encode(body)
    with pytest.raises(UserError, match="accepted"):
        modalities.get("face").features().decode(np.zeros((4, 54)))

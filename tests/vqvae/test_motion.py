"""Motion and FaceMotion: what they keep, how they move, what they refuse."""

from pathlib import Path

import numpy as np
import pytest

from vqvae import arkit, modalities
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.face import concatenate as concatenate_faces
from vqvae.motion import Motion, concatenate, heading
from vqvae.skeleton import SMPL22


def same(a: Motion, b: Motion, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(a.root, b.root, atol=atol)
    np.testing.assert_allclose(rot.to_matrix(a.rotations), rot.to_matrix(b.rotations), atol=atol)


def test_save_and_load(tmp_path: Path, wander) -> None:
    motion = wander().with_caption("a person sways, naïvely")
    path = motion.save(tmp_path / "new folder" / "clip.npz")
    again = Motion.load(path)
    np.testing.assert_array_equal(again.root, motion.root)
    np.testing.assert_array_equal(again.rotations, motion.rotations)
    assert (again.fps, again.modality, again.caption) == (20, "body", motion.caption)
    with np.load(path, allow_pickle=False) as z:
        assert set(z.files) == {
            "modality", "fps", "rotations", "root", "joints", "joint_names", "parents", "caption",
        }  # fmt: skip
        np.testing.assert_allclose(z["joints"], motion.joints, atol=1e-6)
    assert [p.name for p in path.parent.iterdir()] == ["clip.npz"], "no temporary file stays"


def rewritten(motion: Motion, tmp_path: Path, **changes: np.ndarray | None) -> Path:
    path = motion.save(tmp_path / "clip.npz")
    with np.load(path) as z:
        data = {k: z[k] for k in z.files} | changes
    np.savez(path, **{k: v for k, v in data.items() if v is not None})
    return path


@pytest.mark.parametrize("key", ["modality", "fps", "rotations", "root", "joint_names"])
def test_missing_key(tmp_path: Path, key: str, wander) -> None:
    with pytest.raises(UserError, match=f"clip.npz: not a motion .npz, missing {key}"):
        Motion.load(rewritten(wander(20), tmp_path, **{key: None}))


BAD = {
    "NaN": ({"root": np.full((20, 3), np.nan)}, "NaN or infinity at frame 0"),
    "frames differ": ({"root": np.zeros((19, 3))}, "accepted"),
    "no frames": ({"root": np.zeros((0, 3)), "rotations": np.zeros((0, 22, 4))}, "no frames"),
    "joints": ({"joint_names": np.array(["pelvis", "tail"])}, "2 joints"),
    "joint order": ({"joint_names": np.array(SMPL22.names[::-1])}, "accepted the 22 SMPL"),
    "zero quaternions": ({"rotations": np.zeros((20, 22, 4))}, "unit quaternions"),
    "fps": ({"fps": np.array(0.0)}, "fps 0.0; accepted 1 to 1000"),
    "a clip of days": ({"fps": np.array(1e-9)}, "fps 1e-09; accepted 1 to 1000"),
    "fps NaN": ({"fps": np.array(np.nan)}, "fps nan"),
    "fps text": ({"fps": np.array("fast")}, "clip.npz"),
    "modality": ({"modality": np.array("banana")}, "modality 'banana'; accepted body or gesture"),
    "rotations without axes": ({"rotations": np.array(1.0)}, "accepted"),
    "joint names without axes": ({"joint_names": np.array("pelvis")}, "1 joints"),
    "half a character": ({"caption": np.array("a\ud800")}, "caption is not UTF-8 text"),
    "pickle": ({"caption": np.array([{"a": 1}], dtype=object)}, "clip.npz"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_content(tmp_path: Path, name: str, wander) -> None:
    changes, message = BAD[name]
    with pytest.raises(UserError, match=message) as caught:
        Motion.load(rewritten(wander(20), tmp_path, **changes))
    assert "clip.npz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0.99, 1.01, 1e20, 0.0, np.nan])
def test_bad_frames_are_named(wander, length: float) -> None:
    clip = wander(4)
    turned, root = clip.rotations.astype(np.float64), clip.root.copy()
    turned[2, 5] *= length
    root[2] = np.inf
    for rotations, places in ((turned, clip.root), (clip.rotations, root)):
        with pytest.raises(UserError, match="frame 2"):
            Motion(rotations, places)
    with pytest.raises(UserError, match=r"frame \d: the root is too far away; accepted up to 1000 km"):
        Motion(clip.rotations, clip.root + 1e30)
    assert len(Motion(clip.rotations * 1.0005, clip.root)) == 4


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.98, 1.0])
def test_damaged_files(tmp_path: Path, keep: float, wander) -> None:
    """Files cut short, and one of full length with forty bytes of zeros inside; tests/fuzz damages many more."""
    path = wander(20).save(tmp_path / "clip.npz")
    data = bytearray(path.read_bytes())
    if keep == 1.0:
        at = data.index(b"rotations.npy") + 400
        data[at : at + 40] = bytes(40)
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(UserError, match=r"clip.npz: not a readable .npz"):
        Motion.load(path)


def test_canonical_faces_z_at_the_origin_and_keeps_heights(wander) -> None:
    motion = wander().moved(2.1, np.array([3.0, 0.5, -4.0]))
    c = motion.canonical()
    np.testing.assert_allclose(c.root[0, [0, 2]], 0, atol=1e-6)
    assert c.heading[0] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(c.root[:, 1], motion.root[:, 1], atol=1e-6)
    same(c.canonical(), c, 1e-5)
    same(wander().canonical(), c.moved(0, np.array([0, -0.5, 0])), 1e-5)


def test_moved_moves_the_joints_rigidly(wander) -> None:
    motion = wander(30)
    expected = rot.rotate(rot.about_y(1.2), motion.joints.astype(float)) + np.array([1, 2, 3])
    np.testing.assert_allclose(motion.moved(1.2, np.array([1, 2, 3])).joints, expected, atol=1e-5)


def test_mirrored_twice_is_the_same_and_once_is_the_reflection(wander) -> None:
    motion = wander()
    same(motion.mirrored().mirrored(), motion, 1e-7)
    reflected = motion.joints[:, SMPL22.mirror] * [-1, 1, 1]
    np.testing.assert_allclose(motion.mirrored().joints, reflected, atol=1e-6)


def test_heading_is_positive_to_the_left_and_unwrapped(wander) -> None:
    turning = wander(200, turn=2.0)
    assert turning.heading[-1] - turning.heading[0] == pytest.approx(2.0 * 199 / 20, abs=1.0)
    rest = SMPL22.rest_joints[None].astype(float)
    assert heading(rest)[0] == pytest.approx(0)
    assert heading(rot.rotate(rot.about_y(0.5), rest))[0] == pytest.approx(0.5)


@pytest.mark.parametrize("fps", [10.0, 30.0, 60.0, 29.97])
def test_resampled_keeps_duration_and_path(fps: float, wander) -> None:
    motion = wander(100)
    other = motion.resampled(fps)
    assert other.fps == fps
    assert abs(other.seconds - motion.seconds) <= 0.5 / fps + 1e-9
    np.testing.assert_allclose(other.joints[0], motion.joints[0], atol=1e-6)
    inside = np.arange(len(other)) / fps <= 99 / 20
    times = np.arange(len(other))[inside] / fps
    expected = np.stack([np.interp(times, np.arange(100) / 20, motion.root[:, k]) for k in range(3)], -1)
    np.testing.assert_allclose(other.root[inside], expected, atol=1e-5)


def test_resampling_up_and_down_comes_back(wander) -> None:
    motion = wander(50)
    same(motion.resampled(60).resampled(20), motion, 1e-5)
    assert motion.resampled(20) is motion
    assert len(wander(1).resampled(60)) == 3


def test_resampling_makes_no_more_frames_than_there_may_be(wander, monkeypatch: pytest.MonkeyPatch) -> None:
    face = FaceMotion(np.zeros((20, 52)), np.zeros((20, 3)), 20)
    monkeypatch.setattr("vqvae.motion.MAX_FRAMES", 50)
    for clip in (wander(20), face):
        assert len(clip.resampled(50)) == 50
        with pytest.raises(UserError, match="20 frames at 20 a second are 60 at 60; accepted 50"):
            clip.resampled(60)


def test_slices_and_concatenation(wander) -> None:
    motion = wander(20)
    same(concatenate([motion.slice(0, 7), motion.slice(7, 20)]), motion)
    with pytest.raises(UserError, match="no frames"):
        motion.slice(5, 5)
    with pytest.raises(UserError, match="differ in fps"):
        concatenate([motion, wander(20, fps=30)])


@pytest.mark.parametrize("name", ["A.NPZ", "\u8d70" * 80 + ".npz", "n" * 251 + ".npz"])
def test_names_in_capitals_and_long_names(tmp_path: Path, name: str, wander) -> None:
    assert len(Motion.load(wander(5).save(tmp_path / name))) == 5
    assert [p.name for p in tmp_path.iterdir()] == [name]


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


def test_slices_and_concatenation_of_faces():
    face = random_face()
    joined = concatenate_faces([face.slice(0, 10), face.slice(10, 40)])
    assert np.array_equal(joined.weights, face.weights)
    with pytest.raises(UserError, match="fps"):
        concatenate_faces([face, random_face(fps=60.0)])


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

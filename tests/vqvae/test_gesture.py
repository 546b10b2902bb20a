"""Gestures: motions with fingers, their layout, hands of foreign rigs."""

from pathlib import Path

import numpy as np
import pytest

from tests.vqvae.rigs import angles, talking
from vqvae import modalities
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import JOINTS, GestureFeatures, gesture_joints, hands_from_chest, relax_fingers
from vqvae.motion import Motion, concatenate
from vqvae.retarget import HALF, bones, finger_map, retarget
from vqvae.rig import Rig
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52, mirror_name

SPEC = GestureFeatures()
NAMES = {
    "mixamo": lambda n: f"mixamorig:{'Left' if n[0] == 'l' else 'Right'}Hand{n[2:].capitalize()}",
    "unreal": lambda n: f"{n[2:-1]}_0{n[-1]}_{n[0]}",
    "rigify": lambda n: f"DEF-{'' if 'thumb' in n else 'f_'}{n[2:-1]}.0{n[-1]}.{n[0].upper()}",
    "genea": lambda n: f"b_{n}",
    "biped": lambda n: f"Bip01 {n[0].upper()} Finger{FIVE.index(n[2:-1])}{'' if n[-1] == '1' else int(n[-1]) - 1}",
    "vrm": lambda n: f"{'left' if n[0] == 'l' else 'right'}{n[2:-1].replace('pinky', 'little').capitalize()}"
    + (THUMB if "thumb" in n else FINGER)[int(n[-1]) - 1],
}  # fmt: skip
THUMB, FINGER = ("Metacarpal", "Proximal", "Distal"), ("Proximal", "Intermediate", "Distal")
FIVE = ("thumb", "index", "middle", "ring", "pinky")


def test_fingers_come_along() -> None:
    m = talking()
    assert m.fingers is not None and m.fingers.dtype == np.float32
    assert np.array_equal(m.slice(3, 9).fingers, m.fingers[3:9])
    assert np.array_equal(concatenate([m, m.slice(0, 5)]).fingers[40:], m.fingers[:5])
    half = m.resampled(60)
    assert len(half.fingers) == 80 and angles(half.fingers[::2], m.fingers).max() < 1e-5
    assert np.allclose(half.fingers[1], rot.slerp(*m.fingers[:2].astype(float), 0.5), atol=1e-6)
    moved = m.moved(0.7, np.array([1.0, 0, 2]))
    assert moved.fingers is m.fingers or np.allclose(moved.fingers, m.fingers, atol=1e-6)
    turned = rot.rotate(rot.about_y(0.7), m.finger_joints.astype(float)) + [1.0, 0, 2]
    np.testing.assert_allclose(moved.finger_joints, turned, atol=1e-5)


def test_a_mirrored_hand_is_the_other_hand() -> None:
    m = talking()
    seen, other = m.finger_joints, m.mirrored().finger_joints * [-1, 1, 1]
    order = [FINGER_NAMES.index(mirror_name(n)) for n in FINGER_NAMES]
    np.testing.assert_allclose(other, seen[:, order], atol=1e-5)


def test_fingers_hang_on_the_wrist_and_on_one_another() -> None:
    m = talking(3)
    straight = Motion(m.rotations, m.root, 30, "gesture")
    wrist = straight.joints[:, SMPL22.index("l_wrist")]
    tip = straight.finger_joints[:, FINGER_NAMES.index("l_index3")]
    reach = np.linalg.norm(sum(SMPL52.offsets[SMPL52.index(f"l_index{k}")] for k in (1, 2, 3)))
    np.testing.assert_allclose(np.linalg.norm(tip - wrist, axis=-1), reach, atol=1e-5)
    bent = np.repeat(rot.identity((1, 30)), 3, 0)
    bent[:, FINGER_NAMES.index("l_index1")] = rot.from_axis_angle(np.array([0, 0, -np.pi / 2]))
    down = Motion(np.repeat(rot.identity((1, 22)), 3, 0), m.root, 30, "gesture", fingers=bent).finger_joints
    first, last = (down[0, FINGER_NAMES.index(f"l_index{k}")] for k in (1, 3))
    assert last[1] - first[1] == pytest.approx(-0.062, abs=1e-3)  # towards the palm, which looks down


def test_npz_holds_them_in_any_order(tmp_path: Path) -> None:
    m = talking()
    back = Motion.load(m.save(tmp_path / "a.npz"))
    assert back.modality == "gesture" and np.allclose(back.fingers, m.fingers, atol=1e-6)
    with np.load(tmp_path / "a.npz") as z:
        data = {k: z[k] for k in z.files}
    assert data["joints"].shape == (40, 22, 3)
    order = np.random.default_rng(0).permutation(30)
    mixed = {"fingers": data["fingers"][:, order], "finger_names": data["finger_names"][order]}
    np.savez(tmp_path / "b.npz", **{**data, **mixed})
    assert np.allclose(Motion.load(tmp_path / "b.npz").fingers, m.fingers, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"fingers": np.ones((40, 29, 4))}, r"fingers \(40, 29, 4\)"),
     ({"fingers": np.ones((40, 30, 4))}, "frame 0: fingers"),
     ({"fingers": np.full((40, 30, 4), np.nan)}, "frame 0: fingers"), ({"modality": "body"}, "fingers of a body"),
     ({"fingers": np.zeros((39, 30, 4))}, r"accepted \(40, 30, 4\)"),
     ({"finger_names": np.array(["toe"] * 30)}, "called toe")],
)  # fmt: skip
def test_bad_fingers(tmp_path: Path, changed: dict[str, np.ndarray], words: str) -> None:
    path = talking().save(tmp_path / "a.npz")
    with np.load(path) as z:
        np.savez(path, **{**{k: z[k] for k in z.files}, **changed})
    with pytest.raises(UserError, match=words):
        Motion.load(path)


def test_clips_with_and_without_fingers_do_not_join() -> None:
    m = talking()
    with pytest.raises(UserError, match="1 of 2 clips have fingers"):
        concatenate([m, Motion(m.rotations, m.root, 30, "gesture")])


def test_the_layout_comes_back_exactly() -> None:
    assert modalities.get("gesture").features().dim == SPEC.dim == 270
    m = talking(50)
    x = SPEC.encode(m)
    back = SPEC.decode(x, "talks")
    assert x.shape == (50, 270) and x.dtype == np.float32 and back.modality == "gesture" and back.caption == "talks"
    assert angles(back.rotations[:, JOINTS[1:]], m.rotations[:, JOINTS[1:]]).max() < 1e-5
    assert angles(back.fingers, m.fingers).max() < 1e-5
    np.testing.assert_allclose(SPEC.encode(back), x, atol=1e-6)
    # where the pelvis stands upright, all of the upper body is as it was
    level = m.rotations.copy()
    level[:, 0] = rot.about_y(np.linspace(0, 2, 50))
    m = Motion(level, m.root, 30, "gesture", fingers=m.fingers)
    assert angles(SPEC.decode(SPEC.encode(m)).rotations[:, JOINTS], level[:, JOINTS]).max() < 1e-5


def test_what_the_layout_lacks_is_somebody_who_stands() -> None:
    back = SPEC.decode(SPEC.encode(talking()))
    assert np.ptp(back.root, axis=0).max() == 0 and back.joints[:, 10, 1] == pytest.approx(0.02, abs=1e-4)
    assert np.abs(back.heading).max() < 1.6 and np.allclose(back.rotations[:, 0], [1, 0, 0, 0])


def test_a_leaning_pelvis_leans_the_spine_and_its_heading_is_left_out() -> None:
    m = talking()
    turned, x = m.moved(1.1, np.array([3.0, 0, 1])), SPEC.encode(m)
    np.testing.assert_allclose(SPEC.encode(turned), x, atol=1e-5)
    lean = rot.identity((5, 22))
    lean[:, 0] = rot.from_axis_angle(np.array([0.3, 0, 0]))
    spine = SPEC.decode(SPEC.encode(Motion(lean, np.zeros((5, 3)), 30, "gesture"))).rotations[:, SMPL22.index("spine1")]
    assert angles(spine, lean[:, 0]).max() < 1e-5


def test_channels_add_up_and_say_what_they_are() -> None:
    m = talking()
    x, s = SPEC.encode(m), SPEC.slices()
    np.testing.assert_allclose(x[:, s["positions"]].reshape(-1, 2, 3), hands_from_chest(m.rotations), atol=1e-6)
    np.testing.assert_allclose(x[1:, s["joint_velocity"]], np.diff(x[:, s["positions"]], axis=0), atol=1e-6)
    assert not SPEC.encode(Motion(m.rotations[[0] * 4], m.root[[0] * 4], 30, "gesture"))[:, s["joint_velocity"]].any()
    with pytest.raises(UserError, match="a body motion where a gesture is needed"):
        SPEC.encode(Motion(m.rotations, m.root))


def test_hands_without_fingers_are_at_ease() -> None:
    m = talking()
    back = SPEC.decode(SPEC.encode(Motion(m.rotations, m.root, 30, "gesture")))
    assert angles(back.fingers, np.broadcast_to(relax_fingers(), (40, 30, 4))).max() < 1e-5
    still = Motion(rot.identity((1, 22)), np.zeros((1, 3)), 30, "gesture", fingers=relax_fingers()[None])
    straight = Motion(still.rotations, still.root, 30, "gesture")
    bent, flat = (m.finger_joints[0, 5::3][:, 1] for m in (still, straight))
    assert (bent < flat - 0.005).all()  # to the palm


def test_torch_sees_the_same_joints() -> None:
    import torch

    m = SPEC.decode(SPEC.encode(talking()))
    seen = gesture_joints(torch.from_numpy(SPEC.encode(m).astype(np.float64))).numpy()
    both = np.concatenate([m.joints[:, JOINTS], m.finger_joints], 1) - m.root[:, None]
    np.testing.assert_allclose(seen, both, atol=1e-5)


def rig_of(m: Motion, names: tuple[str, ...], rest: np.ndarray, scale: float = 1.0) -> Rig:
    """The motion on a rig that rests in the pose `rest` (52, 4) of our skeleton."""
    places, axes = SMPL52.fk_full(rest, np.zeros(3))
    bound, (_, local) = rot.from_matrix(axes), m.with_fingers
    posed, turned = SMPL52.fk_full(local, m.root)
    away = rot.multiply(rot.from_matrix(turned), rot.conjugate(bound))
    local, offsets = away.copy(), places.copy()
    for j, p in enumerate(SMPL52.parents):
        if p >= 0:
            local[:, j] = rot.multiply(rot.conjugate(away[:, p]), away[:, j])
            offsets[j] = places[j] - places[p]
    moved = np.repeat(scale * offsets[None], len(m), 0)
    moved[:, 0] = scale * posed[:, 0]
    return Rig(names, SMPL52.parents, scale * offsets, local, moved, m.fps)


@pytest.mark.parametrize("kind", NAMES)
def test_fingers_are_found_by_their_names(kind: str) -> None:
    names = (*(f"joint{k}" for k in range(4)), *map(NAMES[kind], FINGER_NAMES))
    assert finger_map(names) == {n: 4 + k for k, n in enumerate(FINGER_NAMES)}


def test_more_joints_than_three_and_fewer() -> None:
    assert finger_map(("hips", "LeftHand", "RightHand")) == {}
    more = tuple(f"{side}Hand{f.capitalize()}{k}" for side in ("Left", "Right") for f in FIVE for k in (0, 1, 2, 3, 4))
    assert finger_map(more)["l_index2"] == 7 and finger_map(more)["r_thumb1"] == 26
    with pytest.raises(UserError, match="r_ring; accepted five"):
        finger_map(tuple(n for n in FINGER_NAMES if n != "r_ring2"))


def test_a_foreign_rig_with_other_rest_hands() -> None:
    """Arms down and forward, palms half turned, fingers bent at rest, centimetres."""
    rest = rot.identity((52,))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        rest[SMPL52.index(f"{side}_shoulder")] = rot.from_axis_angle(np.array([0.0, 0, -0.8 * sign]))
        rest[SMPL52.index(f"{side}_elbow")] = rot.from_axis_angle(np.array([0.0, -0.3 * sign, 0]))
        rest[SMPL52.index(f"{side}_wrist")] = rot.from_axis_angle(np.array([0.4, 0, 0]))
        rest[SMPL52.index(f"{side}_index2")] = rot.from_axis_angle(np.array([0.0, 0, -0.3 * sign]))
    m = talking(30)
    names = tuple("spine" + n[-1] if n.startswith("spine") else f"c_{n}" if "_" not in n else n for n in SMPL52.names)
    names = tuple({"c_pelvis": "hips", "c_neck": "neck", "c_head": "head"}.get(n, n) for n in names)
    back = retarget(rig_of(m, names, rest, 100.0), hands=True)
    assert back.modality == "gesture" and back.fingers is not None
    assert np.linalg.norm(back.finger_joints - m.finger_joints, axis=-1).max() < 3e-3
    assert angles(back.fingers[:, 3:HALF], m.fingers[:, 3:HALF]).max() < 0.02
    body = retarget(rig_of(m, names, rest, 100.0))
    assert body.modality == "body" and body.fingers is None
    assert [k for k in range(22) if angles(body.rotations, back.rotations)[:, k].max() > 1e-3] == [20, 21]


def test_bones_of_a_hand_end_where_the_next_begins() -> None:
    assert bones("l").shape == (15, 3) and np.allclose(bones("r"), bones("l") * [-1, 1, 1])
    np.testing.assert_allclose(bones("l")[3], SMPL52.offsets[SMPL52.index("l_index2")])

"""Files of avatars and of gestures: one skeleton, one clock, fingers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pygltflib import GLTF2

from avatargpt import export
from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.bones import bone_of
from avatargpt.export.head import head
from avatargpt.export.mesh import avatar_mesh, avatar_vertices, body_mesh, figure
from avatargpt.export.renderers import capsule_ends
from tests.avatar.conftest import avatar, gestures
from tests.cli.conftest import walk
from tests.export.readers import contents, floats
from tests.export.test_export_bvh import read_independently
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.features import STANDING
from vqvae.io import pos7
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion
from vqvae.retarget import STANDING as ANKLES
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52

__all__ = ["avatar"]
# https://github.com/vrm-c/vrm-specification/blob/master/specification/VRMC_vrm-1.0/humanoid.md
_HAND = [
    "ThumbMetacarpal", "ThumbProximal", "ThumbDistal",
    *(f"{f}{k}" for f in ("Index", "Middle", "Ring", "Little") for k in ("Proximal", "Intermediate", "Distal")),
]  # fmt: skip
HUMANOID = {
    "hips", "spine", "chest", "upperChest", "neck", "head",
    *(f"{s}{b}" for s in ("left", "right") for b in
      ("UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand", *_HAND)),
}  # fmt: skip


def same(a: AvatarMotion, b: AvatarMotion, tolerance: float = 1e-6) -> bool:
    places = [np.concatenate([x.body.joints, x.body.finger_joints], 1) for x in (a, b)]
    return (
        len(a) == len(b) and a.fps == b.fps and bool(np.abs(places[0] - places[1]).max() < tolerance)
        and np.array_equal(a.face.weights, b.face.weights) and bool(np.abs(a.face.head - b.face.head).max() < 1e-5)
    )  # fmt: skip


def test_all_parts_are_read_back(avatar: AvatarMotion, tmp_path: Path) -> None:
    avatar = replace(avatar, sound=Path("talk.wav"))
    for suffix in (".npz", ".glb"):
        back = export.load(avatar.save(tmp_path / f"a{suffix}"))
        assert isinstance(back, AvatarMotion) and same(back, avatar, 1e-5)
    assert AvatarMotion.load(tmp_path / "a.npz").sound == Path("talk.wav")
    face = export.load(avatar.save(tmp_path / "a.csv"))
    assert np.abs(face.head - avatar.face.head).max() < 1e-6  # type: ignore[attr-defined]
    body = export.load(avatar.save(tmp_path / "a.bvh"))
    assert np.abs(body.joints - avatar.body.joints).max() < 1e-4


def test_damaged_files_are_refused(avatar: AvatarMotion, tmp_path: Path) -> None:
    path = avatar.save(tmp_path / "a.npz")
    with np.load(path) as data:
        arrays = dict(data)
    for name, value, words in (
        ("weights", arrays["weights"][:3], "24 frames at 30 a second and a face of 3"),
        ("weights", arrays["weights"] * np.nan, "NaN"), ("names", arrays["names"][::-1], "other names"),
        ("fingers", arrays["fingers"][:, :4], "fingers"), ("fps", np.array(0.0), "fps 0"),
    ):  # fmt: skip
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(UserError, match=words):
            export.load(path)
    with pytest.raises(UserError, match="an avatar cannot be written as .npy"):
        avatar.save(tmp_path / "a.npy")


def test_a_glb_has_one_skeleton_one_animation_and_one_clock(avatar: AvatarMotion, tmp_path: Path) -> None:
    gltf = GLTF2().load_binary(str(avatar.save(tmp_path / "a.glb")))
    assert gltf is not None and len(gltf.skins) == 1 and len(gltf.animations) == 1
    assert [gltf.nodes[j].name for j in gltf.skins[0].joints] == list(SMPL52.names)
    assert [n.skin for n in gltf.nodes if n.mesh is not None] == [0, 0]
    animation = gltf.animations[0]
    assert len({s.input for s in animation.samplers}) == 1
    what = [(gltf.nodes[c.target.node].name, c.target.path) for c in animation.channels]
    assert len(set(what)) == len(what) == 52 + 1 + 1
    assert ("face", "weights") in what and ("pelvis", "translation") in what and ("head", "rotation") in what
    face = next(m for m in gltf.meshes if m.name == "face")
    assert face.extras["targetNames"] == list(arkit.NAMES) and len(face.primitives[0].targets) == arkit.COUNT


def test_the_mesh_is_one_body_with_one_head() -> None:
    mesh = avatar_mesh()
    assert np.allclose(mesh.weights.sum(1), 1, atol=1e-5) and mesh.triangles.max() < len(mesh.points)
    assert len(mesh.points) - mesh.body == len(head().points)
    for j in (0, 15, 20):  # every joint carries its skin as far as it goes
        turn = rot.identity((52,))
        turn[j] = rot.from_axis_angle(np.array([0, 0.3, 0]))
        moved = np.abs(avatar_vertices(turn, STANDING) - avatar_vertices(rot.identity((52,)), STANDING)).max(1) > 1e-6
        assert moved.any()
    eyes = np.isin(mesh.parts, [mesh.names.index(f"eye{s}") for s in ("Left", "Right")])
    assert eyes.any() and (mesh.weights[eyes].max(1) == 1).all()  # of the head alone
    assert (mesh.joints[eyes, 0] == SMPL52.index("head")).all()


def test_what_a_vrma_is_not_read_of_is_told(avatar: AvatarMotion, tmp_path: Path) -> None:
    both, alone = (export.load(export.save(m, tmp_path / f"{m.modality}.vrma")) for m in (avatar, avatar.face))
    assert both.notes == ("a face is read, its body is not; accepted for both: .glb and .npz of an avatar",)
    assert both.modality == alone.modality == "face" and alone.notes == ()
    hands, body = (export.load(export.save(m, tmp_path / f"{m.modality}.vrma")) for m in (gestures(10), walk(10)))
    assert hands.notes == ("its fingers are not read; accepted with fingers: .npz, .glb, .bvh",) and not body.notes


def test_vrma_has_the_humanoid_bones_of_vrm(avatar: AvatarMotion, tmp_path: Path) -> None:
    gltf, blob = contents(avatar.save(tmp_path / "a.vrma"))
    about, nodes = gltf["extensions"]["VRMC_vrm_animation"], gltf["nodes"]
    bones = {name: b["node"] for name, b in about["humanoid"]["humanBones"].items()}
    assert set(bones) == HUMANOID - {"leftEye", "rightEye", "jaw"} and about["specVersion"] == "1.0"
    assert all("rotation" not in nodes[n] for n in bones.values())  # a T-pose at rest
    ankle = sum(nodes[bones[n]]["translation"][1] for n in ("hips", "leftUpperLeg", "leftLowerLeg", "leftFoot"))
    assert ankle == pytest.approx(ANKLES)
    tracks = {(c["target"]["node"], c["target"]["path"]): c["sampler"] for c in gltf["animations"][0]["channels"]}
    moved = [n for n in bones.values() if (n, "translation") in tracks]
    assert moved == [bones["hips"]]
    samplers = gltf["animations"][0]["samplers"]
    for joint, truth in zip(SMPL52.names, avatar.body.with_fingers[1].transpose(1, 0, 2), strict=True):
        got = floats(gltf, blob, samplers[tracks[bones[bone_of(joint)], "rotation"]]["output"])
        assert np.degrees(rot.angle_between(np.roll(got, 1, -1), truth)).max() < 0.06
    assert len({s["input"] for s in samplers}) == 1
    back = export.load(tmp_path / "a.vrma")
    assert isinstance(back, FaceMotion) and np.array_equal(back.weights, avatar.face.weights)
    assert np.abs(back.head - avatar.face.head).max() < 1e-4  # neck and head together


@pytest.mark.parametrize("fingers", [True, False])
def test_bodies_are_written_as_vrma(fingers: bool, tmp_path: Path) -> None:
    moved = gestures(10)
    body = moved if fingers else Motion(moved.rotations, moved.root, 20.0)
    about = contents(export.save(body, tmp_path / "b.vrma"))[0]["extensions"]["VRMC_vrm_animation"]
    assert len(about["humanoid"]["humanBones"]) == (52 if fingers else len(SMPL22.names))
    assert "expressions" not in about and "lookAt" not in about
    assert np.abs(export.load(tmp_path / "b.vrma").joints - body.joints).max() < 1e-3
    with pytest.raises(UserError, match="layout 'arkit'; accepted for a .*: none"):
        export.save(body, tmp_path / "b.vrma", layout="arkit")


@pytest.fixture
def gesture(step: Motion) -> Motion:
    """Somebody who lifts an arm and closes the left hand."""
    bend = np.linspace(0, 1.3, 24)
    fingers = rot.identity((24, 30))
    for k in range(3, 15):
        fingers[:, k] = rot.from_axis_angle(np.outer(bend, [0, 0, -1.0]))
    return replace(step.slice(0, 24), modality="gesture", caption="closes a hand", fingers=fingers)


def all_joints(motion: Motion) -> np.ndarray:
    return np.concatenate([motion.joints, motion.finger_joints], 1)


@pytest.mark.parametrize("suffix", [".npz", ".bvh", ".glb"])
def test_fingers_are_read_back(gesture: Motion, tmp_path: Path, suffix: str) -> None:
    back = export.load(export.save(gesture, tmp_path / f"a{suffix}"))
    assert back.modality == "gesture" and back.fps == pytest.approx(30) and len(back) == 24
    assert np.abs(all_joints(back) - all_joints(gesture)).max() < 1e-4


def test_fingers_stand_in_smplx_poses(gesture: Motion, tmp_path: Path) -> None:
    path = export.save(gesture, tmp_path / "a.npz", layout="smplx")
    back = read_smplx(path, hands=True)
    assert np.abs(all_joints(back) - all_joints(gesture)).max() < 1e-4
    assert export.load(path).modality == "body"


def test_another_reader_sees_the_fingers_of_a_bvh(gesture: Motion, tmp_path: Path) -> None:
    names, positions, _ = read_independently(export.save(gesture, tmp_path / "a.bvh"))
    assert set(names) == set(SMPL52.names)
    order = [names.index(n) for n in SMPL52.names]
    assert np.abs(positions[:, order] - all_joints(gesture)).max() < 1e-4


def test_a_gesture_without_fingers_has_none_in_its_files(gesture: Motion, tmp_path: Path) -> None:
    bare = replace(gesture, fingers=None)
    for suffix in (".npz", ".bvh", ".glb"):
        back = export.load(export.save(bare, tmp_path / f"a{suffix}"))
        assert back.fingers is None and np.abs(back.joints - bare.joints).max() < 1e-4


def test_the_skin_of_a_hand_follows_its_fingers(gesture: Motion, tmp_path: Path) -> None:
    body = body_mesh(True)
    assert np.allclose(body.weights.sum(1), 1) and body.joints.max() == len(SMPL52.names) - 1
    led = {int(j) for j, w in zip(body.joints[:, 0], body.weights[:, 0], strict=True) if w > 0.5}
    assert led >= set(range(len(SMPL22.names), len(SMPL52.names)))
    assert body.triangles.max() == len(body.points) - 1
    file = GLTF2().load(str(export.save(gesture, tmp_path / "a.glb")))
    assert [file.nodes[j].name for j in file.skins[0].joints] == list(SMPL52.names)
    assert {c.target.node for c in file.animations[0].channels if c.target.path == "rotation"} == set(range(52))


def test_the_drawn_hand_has_five_fingers_that_bend(gesture: Motion, tmp_path: Path) -> None:
    ends, shape = capsule_ends(gesture), figure(True)
    tip = [k for k, j in enumerate(shape.joint) if SMPL52.names[j] == "l_middle3"]
    np.testing.assert_allclose(ends[:, tip[0], 0], gesture.finger_joints[:, FINGER_NAMES.index("l_middle3")], atol=1e-5)
    assert len(shape.joint) == len(figure().joint) - 14 + 10 + 30
    bare = replace(gesture, fingers=rot.identity((24, 30)))
    pictures = []
    for name, motion in (("bent", gesture), ("straight", bare)):
        path = export.save(motion, tmp_path / f"{name}.png", frames=3)
        pictures.append(path.read_bytes())
    assert pictures[0] != pictures[1]
    assert export.save(gesture.slice(0, 4), tmp_path / "a.gif", size=64).stat().st_size > 500


def test_nine_joints(gesture: Motion, tmp_path: Path) -> None:
    path = export.save(gesture, tmp_path / "a.npy", layout="pos7")
    assert np.load(path).shape == (24, 9, 7)
    back = export.load(path)
    assert back.modality == "gesture" and back.fps == 30 and export.load(path, fps=60.0).fps == 60
    assert np.abs(back.joints - gesture.joints)[:, pos7.JOINTS].max() < 1e-4
    np.save(tmp_path / "b.npy", np.zeros((4, 9, 7)))
    with pytest.raises(UserError, match=r"b\.npy: quaternions of another length than 1"):
        export.load(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.zeros((4, 8, 7)))
    with pytest.raises(UserError, match=r"\(T, 22, 7\) or \(T, 9, 7\)"):
        export.load(tmp_path / "c.npy")

"""Gestures with fingers in every format: written, read back, drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pygltflib import GLTF2

from avatargpt import export
from avatargpt.export.body_renderer import capsule_ends
from avatargpt.export.mesh import body_mesh, figure
from tests.export.test_export_bvh import read_independently
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io import pos7
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52


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

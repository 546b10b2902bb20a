"""Heads of other rigs in .glb: bones that are turned at rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.export.test_face_files import contents, repacked
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns

NECK, HEAD = 0, 1  # nodes of our files


@pytest.mark.parametrize("skin", [True, False])
def test_rotations_at_rest_are_taken_from_the_head(tmp_path: Path, skin: bool) -> None:
    angles = 0.3 * np.sin(np.linspace(0, 4, 40)[:, None] + np.array([0, 1, 2]))
    gltf, blob = contents(export.save(FaceMotion(np.zeros((40, 52)), angles), tmp_path / "a.glb"))
    above, own = (rot.from_axis_angle(np.array(v)) for v in ([0.3, 0.2, 1.0], [0.35, 0.0, 0.1]))
    world = rot.multiply(above, own)
    # what turns the head by `angles` in the world: above x local = turns x above x own
    local = rot.multiply(rot.conjugate(above), rot.multiply(turns(angles), world))
    gltf["nodes"][NECK]["rotation"] = np.roll(above, -1).tolist()
    # with a skin, it says what rest is: the node stands as in the first frame, as ours do
    gltf["nodes"][HEAD]["rotation"] = np.roll(local[0] if skin else own, -1).tolist()
    channel = next(c for c in gltf["animations"][0]["channels"] if c["target"]["node"] == HEAD)
    inverse = np.tile(np.eye(4), (2, 1, 1))
    inverse[:, :3, :3] = rot.to_matrix(rot.conjugate(np.stack([above, world]))) * 0.01  # rigs in centimetres
    for index, values in (
        (gltf["animations"][0]["samplers"][channel["sampler"]]["output"], np.roll(local, -1, axis=-1)),
        (gltf["skins"][0]["inverseBindMatrices"], inverse.transpose(0, 2, 1)),
    ):
        gltf["accessors"][index]["bufferView"] = len(gltf["bufferViews"])
        data = values.astype("<f4").tobytes()
        gltf["bufferViews"].append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(data)})
        blob += data
    if not skin:
        del gltf["skins"], gltf["nodes"][2]["skin"]
    gltf["buffers"][0]["byteLength"] = len(blob)
    back = export.load(repacked(tmp_path / "b.glb", gltf, blob))
    assert np.abs(back.head - angles).max() < 1e-5


@pytest.mark.parametrize("rig", [[np.pi / 2, 0, 0], [0, np.pi / 2, 0], [0, 0, np.pi / 2], [np.pi, 0, 0]])
@pytest.mark.parametrize("lying", [False, True])
def test_how_a_rig_is_placed_in_its_scene_does_not_turn_the_head(tmp_path: Path, rig: list[float], lying: bool) -> None:
    """A node above the joints is turned; or the joints lie, as in a file whose vertical axis is Z."""
    angles = 0.3 * np.sin(np.linspace(0, 4, 40)[:, None] + np.array([0, 1, 2]))
    gltf, blob = contents(export.save(FaceMotion(np.zeros((40, 52)), angles), tmp_path / "a.glb"))
    turn = rot.from_axis_angle(np.array(rig))
    gltf["nodes"].append({"name": "Armature", "children": [NECK], "rotation": np.roll(turn, -1).tolist()})
    gltf["scenes"][0]["nodes"] = [2, 3]
    if lying:
        gltf["nodes"][NECK]["rotation"] = [2**-0.5, 0, 0, 2**-0.5]
    back = export.load(repacked(tmp_path / "b.glb", gltf, blob))
    assert np.abs(back.head - angles).max() < 1e-5


def test_of_several_meshes_the_animated_one_is_read(tmp_path: Path) -> None:
    clip = FaceMotion(np.linspace(0, 1, 20 * 52).reshape(20, 52), np.zeros((20, 3)))
    gltf, blob = contents(export.save(clip, tmp_path / "a.glb"))
    gltf["meshes"].insert(0, gltf["meshes"][0])
    gltf["nodes"][2]["mesh"] = 1
    gltf["nodes"].append({"name": "teeth", "mesh": 0})
    back = export.load(repacked(tmp_path / "b.glb", gltf, blob))
    assert np.array_equal(back.weights, clip.weights)


@pytest.mark.parametrize("weight", [-0.6, 1.8])
def test_weights_far_from_0_to_1_are_refused(tmp_path: Path, weight: float) -> None:
    gltf, blob = contents(export.save(FaceMotion(np.zeros((20, 52)), np.zeros((20, 3))), tmp_path / "a.glb"))
    weights = np.zeros((20, 52), "<f4")
    weights[3, 17] = weight
    view = gltf["bufferViews"][gltf["accessors"][gltf["animations"][0]["samplers"][0]["output"]]["bufferView"]]
    start = view["byteOffset"]
    blob = blob[:start] + weights.tobytes() + blob[start + weights.nbytes :]
    with pytest.raises(UserError, match=f"b.glb: key frame 4, {arkit.NAMES[17]}: {weight}; accepted weights from 0"):
        export.load(repacked(tmp_path / "b.glb", gltf, blob))


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
def test_steps_are_held(tmp_path: Path, suffix: str) -> None:
    weights = np.zeros((3, 52), np.float32)
    weights[:, 17] = 0.1, 0.9, 0.4
    angles = np.array([[0.1, 0, 0], [0.3, 0, 0], [0.2, 0, 0]])
    gltf, blob = contents(export.save(FaceMotion(weights, angles, 1.0), tmp_path / f"a{suffix}"))
    for sampler in gltf["animations"][0]["samplers"]:
        sampler["interpolation"] = "STEP"
    back = export.load(repacked(tmp_path / f"b{suffix}", gltf, blob))
    assert (len(back), back.fps) == (61, 30)
    np.testing.assert_allclose(back.weights[[0, 29, 30, 59, 60], 17], [0.1, 0.1, 0.9, 0.9, 0.4], atol=1e-6)
    np.testing.assert_allclose(back.head[[0, 29, 30, 59, 60], 0], [0.1, 0.1, 0.3, 0.3, 0.2], atol=1e-5)

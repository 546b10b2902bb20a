"""Heads of other rigs in .glb: bones that are turned at rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.export.test_face_files import contents, repacked
from vqvae import rotations as rot
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

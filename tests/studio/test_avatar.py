"""The avatar that the studio shows where nobody drops another."""

import json
import struct

import numpy as np

from avatargpt.export.mesh import CLOTHED, PALETTE, avatar_mesh, linear
from avatargpt.server.avatar import avatar_glb
from vqvae import arkit
from vqvae.skeleton import SMPL52


def test_has_our_joints_at_rest_and_the_faces_targets() -> None:
    data = avatar_glb()
    length = struct.unpack("<I", data[12:16])[0]
    gltf = json.loads(data[20 : 20 + length])
    joints = [gltf["nodes"][n] for n in gltf["skins"][0]["joints"]]
    assert [j["name"] for j in joints] == list(SMPL52.names)
    assert all(j.get("rotation", [0, 0, 0, 1]) == [0, 0, 0, 1] for j in joints)
    face = next(m for m in gltf["meshes"] if m["name"] == "face")
    assert face["extras"]["targetNames"] == list(arkit.NAMES)
    assert len(face["primitives"][0]["targets"]) == arkit.COUNT
    assert avatar_glb() is data


def test_both_sides_are_dressed_alike_and_shapes_are_the_same() -> None:
    plain, clothed = avatar_mesh(), avatar_mesh(clothed=True)
    np.testing.assert_array_equal(plain.points, clothed.points)
    sides = [linear(np.array(PALETTE[k]) / 255) for k in ("l_arm", "r_arm", "l_leg", "r_leg")]
    near = [np.abs(clothed.colours - c).max(1).min() for c in sides]
    assert min(near) > 0.1
    assert all(np.abs(plain.colours - c).max(1).min() < 0.01 for c in sides)
    assert np.abs(clothed.colours - linear(np.array(CLOTHED["l_arm"]) / 255)).max(1).min() < 0.01

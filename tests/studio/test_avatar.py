"""The avatar that the studio shows where nobody drops another."""

import json
import struct

import numpy as np

from avatargpt.export.mesh import CLOTHED, PALETTE, AvatarMesh, avatar_mesh, linear
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


def test_sleeves_have_no_bands() -> None:
    plain, clothed = (np.diff(_thickness(avatar_mesh(c))).max() for c in (False, True))
    assert plain > 0.002 and clothed < 0.001, "where two capsules of the plain body meet it bulges"


def _thickness(mesh: AvatarMesh) -> np.ndarray:
    """Metres from the arm's axis to its skin, each two centimetres from the shoulder to the wrist."""
    shoulder, elbow = (SMPL52.index(f"l_{n}") for n in ("shoulder", "elbow"))
    local = (mesh.points - mesh.bind[shoulder, :3, 3]) @ mesh.bind[shoulder, :3, :3]
    share = (mesh.weights * np.isin(mesh.joints, (shoulder, elbow))).sum(1)
    rows = [(share > 0.9) & (np.abs(local[:, 0] - x) < 0.01) for x in np.arange(0.10, 0.46, 0.02)]
    return np.array([np.linalg.norm(local[row, 1:], axis=1).mean() for row in rows])


def test_both_sides_are_dressed_alike() -> None:
    plain, clothed = avatar_mesh(), avatar_mesh(clothed=True)
    sides = [linear(np.array(PALETTE[k]) / 255) for k in ("l_arm", "r_arm", "l_leg", "r_leg")]
    near = [np.abs(clothed.colours - c).max(1).min() for c in sides]
    assert min(near) > 0.1
    assert all(np.abs(plain.colours - c).max(1).min() < 0.01 for c in sides)
    assert np.abs(clothed.colours - linear(np.array(CLOTHED["l_arm"]) / 255)).max(1).min() < 0.01

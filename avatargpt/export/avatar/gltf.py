"""Binary glTF 2.0 of an avatar: body, hands and a face with morph targets on one skeleton, one animation, one clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatargpt.export.avatar.clip import AvatarMotion
from avatargpt.export.avatar.mesh import avatar_mesh
from avatargpt.export.face.gltf import ACCEPTED, morph_targets, read_face_glb
from avatargpt.export.gltf import _Builder, inverse_binds, joint_nodes, material, skinned, tracks
from avatargpt.export.gltf_body import read_glb
from vqvae import arkit
from vqvae.io.gltf import FLOAT, read_gltf
from vqvae.motion import atomic_write
from vqvae.skeleton import SMPL52


def write_avatar_glb(motion: AvatarMotion, path: Path) -> Path:
    """Write the clip as a .glb: two skinned meshes (body; face with 52 sparse morph targets) of one skin of 52 joints.

    The one animation has a track for every joint and one for the weights, all with the same key frames. The head turns
    with its joints alone.
    """
    import pygltflib as gl

    mesh, data, count = avatar_mesh(), _Builder(), len(SMPL52.names)
    body, face = slice(0, mesh.body), slice(mesh.body, None)
    primitives = [
        skinned(data, mesh.points[v], mesh.normals[v], mesh.colours[v], mesh.joints[v], mesh.weights[v], triangles)
        for v, triangles in ((body, mesh.triangles[: mesh.faces]), (face, mesh.triangles[mesh.faces :] - mesh.body))
    ]
    primitives[1].targets, primitives[1].material = morph_targets(data), 1
    skin = data.add(inverse_binds(mesh.bind), FLOAT)
    times = data.add(np.arange(len(motion)) / motion.fps, FLOAT, bounds=True)
    samplers, channels = tracks(data, motion.body, times)
    target = gl.AnimationChannelTarget(node=count + 1, path="weights")
    channels.append(gl.AnimationChannel(sampler=len(samplers), target=target))
    weights = data.add(motion.face.weights.ravel(), FLOAT)
    samplers.append(gl.AnimationSampler(input=times, output=weights, interpolation="LINEAR"))
    shown = gl.Mesh(
        name="face", primitives=primitives[1:], weights=motion.face.weights[0].astype(float).tolist(),
        extras={"targetNames": list(arkit.NAMES)},
    )  # fmt: skip
    gltf = gl.GLTF2(
        asset=gl.Asset(version="2.0", generator="AvatarGPT"),
        scene=0, scenes=[gl.Scene(nodes=[0, count, count + 1])],
        nodes=[
            *joint_nodes(motion.body), gl.Node(name="body", mesh=0, skin=0), gl.Node(name="face", mesh=1, skin=0),
        ],
        meshes=[gl.Mesh(name="body", primitives=primitives[:1]), shown],
        materials=[material("body", 0.75), material("face", 0.6)],
        skins=[gl.Skin(name="avatar", inverseBindMatrices=skin, joints=list(range(count)), skeleton=0)],
        animations=[gl.Animation(name=motion.caption or "avatar", samplers=samplers, channels=channels)],
        accessors=data.accessors, bufferViews=data.views, buffers=[gl.Buffer(byteLength=len(data.blob))],
        extras={"fps": float(motion.fps), "caption": motion.caption},
    )  # fmt: skip
    gltf.set_binary_blob(bytes(data.blob))
    return atomic_write(path, lambda temporary: gltf.save_binary(str(temporary)))


def read_avatar_glb(path: Path) -> AvatarMotion | None:
    """Read a .glb that has both our 52 joints and a mesh of ARKit morph targets; None where it has not both.

    Raises:
        UserError: one that cannot be read as a body or as a face, see `read_glb` and `read_face_glb`.
    """
    names = {node.name for node in read_gltf(path, ACCEPTED).nodes}
    if not set(SMPL52.names) <= names:
        return None
    face = read_face_glb(path)
    if face is None:
        return None
    body = read_glb(path)
    return AvatarMotion(body, face.resampled(body.fps), caption=body.caption)

"""Files of editors that give every bone axes of its own, as Blender does: the same motion is read."""

from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest

from avatargpt import export
from avatargpt.export.gltf import FLOAT, _Builder, _xyzw, write_glb
from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def edited(motion: Motion, path: Path, axes: np.ndarray, turn: np.ndarray) -> Path:
    """The clip as an editor writes it that turns each joint's axes by `axes` (22, 4), below a node turned by `turn`."""
    write_glb(motion, path)
    gltf = gl.GLTF2().load(str(path))
    data = _Builder()
    places = np.zeros((22, 3))
    for j, p in enumerate(SMPL22.parents):
        places[j] = SMPL22.offsets[j] + (places[p] if p >= 0 else 0)
    inner = rot.conjugate(turn)  # the joints' space is the mesh's, which the node above turns upright
    bind = np.tile(np.eye(4), (22, 1, 1))
    bind[:, :3, :3] = rot.to_matrix(rot.multiply(inner, axes))
    bind[:, :3, 3] = rot.rotate(inner, places)
    gltf.skins[0].inverseBindMatrices = data.add(np.linalg.inv(bind).transpose(0, 2, 1).reshape(-1, 16), FLOAT)
    times = data.add(np.arange(len(motion)) / motion.fps, FLOAT, bounds=True)
    animation = gl.Animation(name="edited", samplers=[], channels=[])
    for j, p in enumerate(SMPL22.parents):
        before = rot.conjugate(axes[p]) if p >= 0 else inner
        turned = rot.multiply(rot.multiply(before, motion.rotations[:, j]), axes[j])
        tracks = [("rotation", _xyzw(turned)), ("translation", rot.rotate(inner, motion.root))]
        for way, values in tracks[: 1 if j else 2]:
            animation.samplers.append(gl.AnimationSampler(input=times, output=data.add(values, FLOAT)))
            target = gl.AnimationChannelTarget(node=j, path=way)
            animation.channels.append(gl.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))
    gltf.nodes.append(gl.Node(name="Armature", children=[0], rotation=_xyzw(turn).tolist()))
    gltf.animations, gltf.meshes, gltf.nodes[22].mesh, gltf.extras = [animation], [], None, {}
    gltf.accessors, gltf.bufferViews = data.accessors, data.views
    gltf.buffers = [gl.Buffer(byteLength=len(data.blob))]
    gltf.set_binary_blob(bytes(data.blob))
    gltf.save_binary(str(path))
    return path


@pytest.mark.parametrize("lying", [False, True])
def test_bones_with_axes_of_their_own(motion: Motion, tmp_path: Path, lying: bool) -> None:
    axes = rot.normalize(np.random.default_rng(0).normal(size=(22, 4)))
    turn = rot.from_axis_angle(np.array([-np.pi / 2 if lying else 0.0, 0, 0]))
    back = export.load(edited(motion, tmp_path / "edited.glb", axes, turn))
    assert np.abs(back.joints - motion.joints).max() < 1e-4
    assert rot.angle_between(back.rotations, motion.rotations).max() < 5e-3  # of float32 cosines

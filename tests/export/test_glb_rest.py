"""Files of editors that give every bone axes of its own, as Blender does: the same motion is read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib as gl
import pytest

from avatargpt import export
from avatargpt.export.gltf_write import BufferBuilder, write_glb, xyzw
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.gltf import FLOAT, accessor_values
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def edited(
    motion: Motion, path: Path, axes: np.ndarray, turn: np.ndarray, space: np.ndarray | None = None, unit: float = 1.0
) -> Path:
    """The clip as an editor writes it that turns each joint's axes by `axes` (22, 4), below a node turned by `turn`;
    the mesh is modelled in `space` (4,), upright if None, and `unit` of its units are a metre."""
    write_glb(motion, path)
    gltf = gl.GLTF2().load(str(path))
    data = BufferBuilder()
    places = np.zeros((22, 3))
    for j, p in enumerate(SMPL22.parents):
        places[j] = SMPL22.offsets[j] + (places[p] if p >= 0 else 0)
    inner = rot.conjugate(turn)  # the joints' space is the mesh's, which the node above turns upright
    bind = np.tile(np.eye(4), (22, 1, 1))
    modelled = inner if space is None else space
    bind[:, :3, :3] = rot.to_matrix(rot.multiply(modelled, axes))
    bind[:, :3, 3] = rot.rotate(modelled, places) * unit
    gltf.skins[0].inverseBindMatrices = data.add(np.linalg.inv(bind).transpose(0, 2, 1).reshape(-1, 16), FLOAT)
    times = data.add(np.arange(len(motion)) / motion.fps, FLOAT, bounds=True)
    animation = gl.Animation(name="edited", samplers=[], channels=[])
    for j, p in enumerate(SMPL22.parents):
        before = rot.conjugate(axes[p]) if p >= 0 else inner
        turned = rot.multiply(rot.multiply(before, motion.rotations[:, j]), axes[j])
        gltf.nodes[j].rotation = xyzw(rot.multiply(before, axes[j])).tolist()
        tracks = [("rotation", xyzw(turned)), ("translation", rot.rotate(inner, motion.root) * unit)]
        for way, values in tracks[: 1 if j else 2]:
            animation.samplers.append(gl.AnimationSampler(input=times, output=data.add(values, FLOAT)))
            target = gl.AnimationChannelTarget(node=j, path=way)
            animation.channels.append(gl.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))
    for j, p in enumerate(SMPL22.parents[1:], 1):
        gltf.nodes[j].translation = (rot.rotate(rot.conjugate(axes[p]), SMPL22.offsets[j]) * unit).tolist()
    gltf.nodes.append(gl.Node(name="Armature", children=[0], rotation=xyzw(turn).tolist()))
    gltf.animations, gltf.meshes, gltf.nodes[22].mesh, gltf.extras = [animation], [], None, {}
    gltf.scenes[0].nodes = [22, 23]
    gltf.accessors, gltf.bufferViews = data.accessors, data.views
    gltf.buffers = [gl.Buffer(byteLength=len(data.blob))]
    gltf.set_binary_blob(bytes(data.blob))
    gltf.save_binary(str(path))
    return path


AXES = rot.normalize(np.random.default_rng(0).normal(size=(22, 4)))
ABOUT_X = rot.from_axis_angle(np.array([np.pi / 2, 0, 0]))


def assert_same(back: Motion, motion: Motion) -> None:
    assert np.abs(back.joints - motion.joints).max() < 1e-4
    assert rot.angle_between(back.rotations, motion.rotations).max() < 5e-3  # of float32 cosines


@pytest.mark.parametrize("lying", [False, True])
def test_bones_with_axes_of_their_own(motion: Motion, tmp_path: Path, lying: bool) -> None:
    turn = rot.from_axis_angle(np.array([-np.pi / 2 if lying else 0.0, 0, 0]))
    assert_same(export.load(edited(motion, tmp_path / "edited.glb", AXES, turn)), motion)


@pytest.mark.parametrize("angle", [60, 90, 180])
def test_a_rig_that_is_tilted_in_its_scene(motion: Motion, tmp_path: Path, angle: int) -> None:
    """Neither the mesh's space nor what lies above makes it upright: the pose is the same, and tilted."""
    turn = rot.from_axis_angle(np.radians([angle, 0, 0]))
    back = export.load(edited(motion, tmp_path / "edited.glb", AXES, turn, space=turn))
    assert_same(back, motion)


def test_bones_in_centimetres(motion: Motion, tmp_path: Path) -> None:
    assert_same(export.load(edited(motion, tmp_path / "edited.glb", AXES, rot.identity(()), unit=100.0)), motion)


def test_a_file_whose_vertical_is_z(motion: Motion, tmp_path: Path) -> None:
    turned = replace(motion, root=rot.rotate(ABOUT_X, motion.root), rotations=motion.rotations.copy())
    turned.rotations[:, 0] = rot.multiply(ABOUT_X, motion.rotations[:, 0])
    path = edited(turned, tmp_path / "edited.glb", AXES, rot.identity(()), space=ABOUT_X)
    assert_same(export.load(path), motion)


def test_the_tree_of_the_file_counts(motion: Motion, tmp_path: Path) -> None:
    """A bone between ours that is turned at rest and never moves, and a bone that hangs elsewhere, turned by itself."""
    path = edited(motion, tmp_path / "edited.glb", AXES, rot.identity(()))
    gltf = gl.GLTF2().load(str(path))
    shoulder, elbow, knee = (SMPL22.index(n) for n in ("l_shoulder", "l_elbow", "r_knee"))
    samplers, data = gltf.animations[0].samplers, BufferBuilder()
    data.blob += gltf.binary_blob()
    data.views, data.accessors = gltf.bufferViews, gltf.accessors
    between = AXES[3]
    whole = np.empty_like(motion.rotations)
    for j, p in enumerate(SMPL22.parents):
        whole[:, j] = motion.rotations[:, j] if p < 0 else rot.multiply(whole[:, p], motion.rotations[:, j])
    of = {c.target.node: samplers[c.sampler] for c in gltf.animations[0].channels if c.target.path == "rotation"}
    own = np.roll(accessor_values(gltf, of[elbow].output), 1, axis=-1)
    of[elbow].output = data.add(xyzw(rot.multiply(rot.conjugate(between), own)), FLOAT)
    of[knee].output = data.add(xyzw(rot.multiply(whole[:, knee], AXES[knee])), FLOAT)
    twist = gl.Node(name="twist", children=[elbow], rotation=xyzw(between).tolist())
    gltf.nodes[shoulder].children = [len(gltf.nodes)]
    gltf.nodes.append(twist)
    gltf.nodes[SMPL22.index("r_hip")].children = []
    gltf.nodes[23].children.append(knee)
    gltf.nodes[knee].translation = (motion.root[0] + SMPL22.rest_joints[knee] - SMPL22.rest_joints[0]).tolist()
    gltf.buffers[0].byteLength = len(data.blob)
    gltf.set_binary_blob(bytes(data.blob))
    gltf.save_binary(str(path))
    assert_same(export.load(path), motion)


def packed(gltf: gl.GLTF2, path: Path, samplers: dict[int, tuple[np.ndarray, np.ndarray]]) -> Path:
    """Save with other key frames, times (n,) and values, of some of the animation's samplers."""
    data = BufferBuilder()
    data.views, data.accessors, data.blob = gltf.bufferViews, gltf.accessors, bytearray(gltf.binary_blob())
    for i, (times, values) in samplers.items():
        sampler = gltf.animations[0].samplers[i]
        sampler.input, sampler.output = data.add(times, FLOAT), data.add(values, FLOAT)
    gltf.buffers[0].byteLength = len(data.blob)
    gltf.set_binary_blob(bytes(data.blob))
    gltf.save_binary(str(path))
    return path


def test_steps_are_held(motion: Motion, tmp_path: Path) -> None:
    gltf = gl.GLTF2().load(str(write_glb(motion, tmp_path / "a.glb")))
    gltf.extras = {}
    still = {i: (np.array([0.0, 2.0]), np.roll(rot.identity((2,)), -1, -1)) for i in range(1, 23)}
    keys = rot.from_axis_angle(np.array([[0.0, 0, 0], [0, 0, 1.5], [0, 0, 0.5]]))
    elbow = SMPL22.index("l_elbow")
    still[0] = (np.array([0.0, 1, 2]), np.array([[0.0, 1, 0], [0, 1, 3], [0, 1, 1]]))
    still[elbow + 1] = (np.array([0.0, 1, 2]), xyzw(keys))
    for i in (0, elbow + 1):
        gltf.animations[0].samplers[i].interpolation = "STEP"
    back = export.load(packed(gltf, tmp_path / "b.glb", still))
    assert (len(back), back.fps) == (61, 30)  # at the rate of the keys they could not be seen to change at once
    np.testing.assert_allclose(back.root[[0, 29, 30, 59, 60], 2], [0, 0, 3, 3, 1])
    assert rot.angle_between(back.rotations[[0, 29, 30, 59, 60], elbow], keys[[0, 0, 1, 1, 2]]).max() < 1e-3


def test_no_tracks_key_frames_vanish(motion: Motion, tmp_path: Path) -> None:
    """A track with keys every second does not hide that another turns between them."""
    gltf = gl.GLTF2().load(str(write_glb(motion, tmp_path / "a.glb")))
    gltf.extras = {}
    keys = rot.from_axis_angle(np.array([[0.0, 0, 0], [0, 0, 1.5], [0, 0, 0]]))
    samplers = {i: (np.array([0.0, 2.0]), np.roll(rot.identity((2,)), -1, -1)) for i in range(1, 23)}
    samplers[0] = (np.arange(4.0), np.arange(12.0).reshape(4, 3))
    samplers[SMPL22.index("l_elbow") + 1] = (np.array([0.0, 0.2, 2]), xyzw(keys))
    back = export.load(packed(gltf, tmp_path / "b.glb", samplers))
    assert (len(back), back.fps) == (91, 30)
    assert rot.angle_between(back.rotations[6, SMPL22.index("l_elbow")], keys[1]) < 1e-3


def test_nodes_of_one_name(motion: Motion, tmp_path: Path) -> None:
    """Of two skeletons the one that moves is read, whatever else has a joint's name."""
    gltf = gl.GLTF2().load(str(write_glb(motion, tmp_path / "a.glb")))
    gltf.nodes.append(gl.Node(name="pelvis", translation=[3.0, 0, 0]))
    gltf.save_binary(str(tmp_path / "b.glb"))
    assert_same(export.load(tmp_path / "b.glb"), motion)
    other = len(gltf.nodes)
    for node in gltf.nodes[:22]:
        gltf.nodes.append(gl.Node(name=node.name, translation=node.translation))
        gltf.nodes[-1].children = [c + other for c in node.children]
    skin = gltf.skins[0]
    gltf.skins.append(gl.Skin(joints=[j + other for j in skin.joints], inverseBindMatrices=skin.inverseBindMatrices))
    gltf.save_binary(str(tmp_path / "b.glb"))
    assert_same(export.load(tmp_path / "b.glb"), motion)
    gltf.animations[0].channels.append(
        gl.AnimationChannel(sampler=19, target=gl.AnimationChannelTarget(node=other + 18, path="rotation"))
    )
    gltf.save_binary(str(tmp_path / "b.glb"))
    with pytest.raises(UserError, match="b.glb: of 2 skeletons with these joints 2 move; accepted one"):
        export.load(tmp_path / "b.glb")
    gltf.skins = []
    gltf.save_binary(str(tmp_path / "b.glb"))
    with pytest.raises(UserError, match="3 nodes called pelvis and no skin to tell"):
        export.load(tmp_path / "b.glb")

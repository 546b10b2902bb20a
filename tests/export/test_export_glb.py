"""Bodies as .glb: structure, skinning, animation, reading back, and files of editors that give every bone its axes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pygltflib import GLTF2, Animation, AnimationChannel, AnimationChannelTarget, AnimationSampler, Buffer, Node, Skin

from avatargpt import export
from avatargpt.export.gltf_write import BufferBuilder, xyzw
from avatargpt.export.mesh import BodyMesh, body_mesh
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.gltf import FLOAT, accessor_values
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


@pytest.fixture(scope="module")
def body() -> BodyMesh:
    return body_mesh()


def test_mesh_is_closed_and_outward(body: BodyMesh) -> None:
    edges = np.concatenate([body.triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]).astype(int)
    count = len(body.points)
    forth, back = np.sort(edges[:, 0] * count + edges[:, 1]), np.sort(edges[:, 1] * count + edges[:, 0])
    np.testing.assert_array_equal(forth, back)  # every edge is used in both directions: no holes
    corners = body.points[body.triangles].astype(float)
    volume = np.einsum("fi,fi", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 0.045 < volume < 0.09  # cubic metres of a person
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((facing * body.normals[body.triangles[:, 0]]).sum(-1) > 0).mean() > 0.999


def test_mesh_is_symmetric_with_human_size(body: BodyMesh) -> None:
    height = np.ptp(body.points[:, 1])
    assert 1.6 < height < 1.9
    assert abs(body.points[:, 0].max() + body.points[:, 0].min()) < 0.01


def test_weights(body: BodyMesh) -> None:
    np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-6)
    assert (body.weights >= 0).all() and (body.joints[body.weights == 0] == 0).all()
    assert set(body.joints[body.weights > 0.45].tolist()) >= set(range(22))
    blended = (body.weights.max(1) < 0.98).mean()
    assert 0.1 < blended < 0.9  # smooth around joints, rigid between them
    # nothing on the left arm follows the right half of the body
    hand = body.points[:, 0] > 0.4
    assert set(body.joints[hand][body.weights[hand] > 0].tolist()) <= {16, 18, 20}


def skinned(gltf: GLTF2, frame: int) -> np.ndarray:
    """Vertices in the world at one key frame, by the file alone."""
    world = {}

    def walk(node: int, above: np.ndarray) -> None:
        m = np.eye(4)
        n = gltf.nodes[node]
        tracks = {c.target.path: c.sampler for c in gltf.animations[0].channels if c.target.node == node}
        samplers = gltf.animations[0].samplers
        moved = tracks.get("translation")
        at = n.translation if moved is None else accessor_values(gltf, samplers[moved].output)[frame]
        x, y, z, w = accessor_values(gltf, samplers[tracks["rotation"]].output)[frame].astype(float)
        m[:3, :3] = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]  # fmt: skip
        m[:3, 3] = at
        world[node] = above @ m
        for child in n.children:
            walk(child, world[node])

    skin = gltf.skins[0]
    walk(skin.joints[0], np.eye(4))
    inverse = accessor_values(gltf, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    matrices = np.stack([world[j] for j in skin.joints]) @ inverse
    attributes = gltf.meshes[0].primitives[0].attributes
    vertices, weights = accessor_values(gltf, attributes.POSITION), accessor_values(gltf, attributes.WEIGHTS_0)
    accessor = gltf.accessors[attributes.JOINTS_0]
    start = gltf.bufferViews[accessor.bufferView].byteOffset
    joints = np.frombuffer(gltf.binary_blob(), np.uint8, accessor.count * 4, start).reshape(-1, 4)
    blend = (weights[..., None, None] * matrices[joints]).sum(1)
    return (blend[:, :3, :3] @ vertices[..., None])[..., 0] + blend[:, :3, 3]


def test_structure(motion: Motion, tmp_path: Path) -> None:
    gltf = GLTF2().load_binary(str(export.save(motion, tmp_path / "a.glb")))
    assert [len(x) for x in (gltf.meshes, gltf.skins, gltf.animations, gltf.scenes)] == [1, 1, 1, 1]
    assert [gltf.nodes[j].name for j in gltf.skins[0].joints] == list(SMPL22.names)
    assert len(gltf.animations[0].channels) == 23
    times = gltf.accessors[gltf.animations[0].samplers[0].input]
    assert times.count == len(motion) and times.max[0] == pytest.approx((len(motion) - 1) / motion.fps)
    for view in gltf.bufferViews:
        assert view.byteOffset % 4 == 0 and view.byteOffset + view.byteLength <= gltf.buffers[0].byteLength
    assert gltf.buffers[0].byteLength == len(gltf.binary_blob())


def test_skin_follows_the_joints(motion: Motion, tmp_path: Path) -> None:
    gltf = GLTF2().load_binary(str(export.save(motion, tmp_path / "a.glb")))
    body = body_mesh()
    for frame in (0, len(motion) // 2):
        vertices = skinned(gltf, frame)
        for joint in (15, 20, 21, 7, 8):  # the vertices carried by a joint stay around it
            carried = vertices[(body.joints[:, 0] == joint) & (body.weights[:, 0] > 0.9)]
            gap = np.linalg.norm(carried - motion.joints[frame, joint], axis=1)
            assert len(carried) > 50 and gap.max() < 0.26


def test_round_trip(motion: Motion, tmp_path: Path) -> None:
    got = export.load(export.save(motion, tmp_path / "a.glb"))
    assert np.abs(got.joints - motion.joints).max() < 1e-5
    assert (got.fps, got.caption, len(got)) == (motion.fps, motion.caption, len(motion))
    single = export.load(export.save(motion.slice(0, 1), tmp_path / "b.glb"))
    assert len(single) == 1 and single.fps == motion.fps


def saved(
    gltf: GLTF2, path: Path, samplers: dict[int, tuple[np.ndarray | None, np.ndarray]]
) -> Path:
    """Write it with other key frames, times (n,) or None for the same, and values, of some of the samplers."""
    data = BufferBuilder()
    data.views, data.accessors, data.blob = gltf.bufferViews, gltf.accessors, bytearray(gltf.binary_blob())
    for i, (times, values) in samplers.items():
        sampler = gltf.animations[0].samplers[i]
        sampler.input = sampler.input if times is None else data.add(times, FLOAT)
        sampler.output = data.add(values, FLOAT)
    gltf.buffers[0].byteLength = len(data.blob)
    gltf.set_binary_blob(bytes(data.blob))
    gltf.save_binary(str(path))
    return path


def test_tracks_with_key_frames_of_their_own(motion: Motion, tmp_path: Path) -> None:
    """As editors write them: what does not move left out, still tracks with two keys, others thinned out."""
    turns = motion.rotations.copy()
    left, right = SMPL22.names.index("l_wrist"), SMPL22.names.index("r_wrist")
    turns[:, [left, right]] = turns[:1, [left, right]]
    motion = replace(motion, rotations=turns)
    gltf = GLTF2().load_binary(str(export.save(motion, tmp_path / "a.glb")))
    animation = gltf.animations[0]
    of = {gltf.nodes[c.target.node].name: c for c in animation.channels if c.target.path == "rotation"}
    gltf.nodes[of["l_wrist"].target.node].rotation = np.roll(turns[0, left], -1).tolist()
    animation.channels.remove(of["l_wrist"])
    last = len(motion) - 1
    thinned = np.unique(np.append(np.arange(0, last, 2), last))
    keys = {}
    for name, frames in (("r_wrist", np.array([0, last])), ("l_elbow", thinned)):
        sampler = animation.samplers[of[name].sampler]
        times, values = (accessor_values(gltf, k)[frames] for k in (sampler.input, sampler.output))
        keys[of[name].sampler] = (times.ravel(), values)
    got = export.load(saved(gltf, tmp_path / "b.glb", keys))
    elbow = SMPL22.names.index("l_elbow")
    rigid = [j for j in range(22) if j != elbow]
    assert (len(got), got.fps) == (len(motion), motion.fps)
    np.testing.assert_allclose(rot.angle_between(got.rotations[:, rigid], turns[:, rigid]), 0, atol=2e-3)
    np.testing.assert_allclose(got.rotations[thinned, elbow], turns[thinned, elbow], atol=1e-6)
    middle = rot.slerp(turns[0, elbow].astype(float), turns[2, elbow].astype(float), 0.5)
    assert rot.angle_between(got.rotations[1, elbow], middle) < 2e-3
    animation.samplers[0].interpolation = "CUBICSPLINE"
    with pytest.raises(UserError, match="48 values of 48 key frames"):
        back_again(gltf, tmp_path / "c.glb")


def back_again(gltf: GLTF2, path: Path) -> Motion:
    """Written, and read by us."""
    gltf.save_binary(str(path))
    return export.load(path)


def test_bad_files(motion: Motion, tmp_path: Path) -> None:
    path = export.save(motion, tmp_path / "a.glb")
    raw = path.read_bytes()
    path.write_bytes(raw[:100])
    with pytest.raises(UserError, match="accepted a .glb"):
        export.load(path)
    gltf = GLTF2().load_from_bytes(raw)
    gltf.nodes[18].name = "other"
    with pytest.raises(UserError, match="l_elbow"):
        back_again(gltf, path)
    gltf = GLTF2().load_from_bytes(raw)
    gltf.animations = []
    with pytest.raises(UserError, match="no animation"):
        back_again(gltf, path)


def test_the_animation_that_turns_the_joints_is_read(motion: Motion, tmp_path: Path) -> None:
    gltf = GLTF2().load_binary(str(export.save(motion, tmp_path / "a.glb")))
    full = gltf.animations[0]
    gltf.animations = [Animation(name="Camera", samplers=full.samplers, channels=full.channels[:1]), full]
    assert np.abs(back_again(gltf, tmp_path / "b.glb").joints - motion.joints).max() < 1e-5
    gltf.animations = [Animation(name="Idle", samplers=full.samplers, channels=full.channels), full]
    with pytest.raises(UserError, match=r"b.glb: 2 animations turn the joints \(Idle, a person .*accepted"):
        back_again(gltf, tmp_path / "b.glb")


def test_nodes_above_the_pelvis_place_the_body(motion: Motion, tmp_path: Path) -> None:
    """A character set down and turned in a scene, by fields of one node and the matrix of another."""
    gltf = GLTF2().load_binary(str(export.save(motion, tmp_path / "a.glb")))
    quarter = np.array([[0.0, 0, 1, 0], [0, 1, 0, 2], [-1, 0, 0, 0], [0, 0, 0, 1]])  # about Y, 2 m up
    gltf.nodes += [
        Node(name="Armature", children=[0], translation=[1.0, 0, 0]),
        Node(name="Stage", children=[len(gltf.nodes)], matrix=quarter.T.ravel().tolist()),
    ]
    gltf.scenes[0].nodes = [len(gltf.nodes) - 1, 22]
    path = tmp_path / "b.glb"
    truth = (motion.joints + [1, 0, 0]) @ quarter[:3, :3].T + [0, 2, 0]
    np.testing.assert_allclose(back_again(gltf, path).joints, truth, atol=1e-5)
    gltf.nodes[-2].scale = [0.01] * 3  # the body's size is the skeleton's: all is 100 times as long
    truth = (motion.joints + [100, 0, 0]) @ quarter[:3, :3].T + [0, 200, 0]
    np.testing.assert_allclose(back_again(gltf, path).joints, truth, atol=1e-3)
    gltf.nodes[-1].matrix, gltf.nodes[-1].scale = None, [100.0] * 3  # and taken back
    np.testing.assert_allclose(back_again(gltf, path).joints, motion.joints + [100, 0, 0], atol=1e-3)
    for uneven in ([1, 2, 1], [-1, -1, -1]):
        gltf.nodes[-2].scale = uneven
        with pytest.raises(UserError, match="b.glb: Armature has scale .*; accepted one above 0 along all axes"):
            back_again(gltf, path)


def test_key_frames_count_more_than_what_extras_say(motion: Motion, tmp_path: Path) -> None:
    gltf = GLTF2().load_binary(str(export.save(replace(motion, fps=60.0), tmp_path / "a.glb")))
    gltf.extras["fps"] = 20.0
    got = back_again(gltf, tmp_path / "b.glb")
    assert len(got) == len(motion) and got.fps == pytest.approx(60, rel=1e-6)
    assert np.abs(got.joints - motion.joints).max() < 1e-5


def edited(
    motion: Motion, path: Path, axes: np.ndarray, turn: np.ndarray, space: np.ndarray | None = None, unit: float = 1.0
) -> Path:
    """The clip as an editor writes it that turns each joint's axes by `axes` (22, 4), below a node turned by `turn`;
    the mesh is modelled in `space` (4,), upright if None, and `unit` of its units are a metre."""
    export.save(motion, path)
    gltf = GLTF2().load(str(path))
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
    animation = Animation(name="edited", samplers=[], channels=[])
    for j, p in enumerate(SMPL22.parents):
        before = rot.conjugate(axes[p]) if p >= 0 else inner
        turned = rot.multiply(rot.multiply(before, motion.rotations[:, j]), axes[j])
        gltf.nodes[j].rotation = xyzw(rot.multiply(before, axes[j])).tolist()
        tracks = [("rotation", xyzw(turned)), ("translation", rot.rotate(inner, motion.root) * unit)]
        for way, values in tracks[: 1 if j else 2]:
            animation.samplers.append(AnimationSampler(input=times, output=data.add(values, FLOAT)))
            target = AnimationChannelTarget(node=j, path=way)
            animation.channels.append(AnimationChannel(sampler=len(animation.samplers) - 1, target=target))
    for j, p in enumerate(SMPL22.parents[1:], 1):
        gltf.nodes[j].translation = (rot.rotate(rot.conjugate(axes[p]), SMPL22.offsets[j]) * unit).tolist()
    gltf.nodes.append(Node(name="Armature", children=[0], rotation=xyzw(turn).tolist()))
    gltf.animations, gltf.meshes, gltf.nodes[22].mesh, gltf.extras = [animation], [], None, {}
    gltf.scenes[0].nodes = [22, 23]
    gltf.accessors, gltf.bufferViews = data.accessors, data.views
    gltf.buffers = [Buffer(byteLength=len(data.blob))]
    gltf.set_binary_blob(bytes(data.blob))
    gltf.save_binary(str(path))
    return path


AXES = rot.normalize(np.random.default_rng(0).normal(size=(22, 4)))
ABOUT_X = rot.from_axis_angle(np.array([np.pi / 2, 0, 0]))


def assert_same(back: Motion, motion: Motion) -> None:
    assert np.abs(back.joints - motion.joints).max() < 1e-4
    assert rot.angle_between(back.rotations, motion.rotations).max() < 5e-3  # of float32 cosines


@pytest.mark.parametrize(
    ("above", "space", "unit"),
    [(0, None, 1), (-90, None, 1), (60, 60, 1), (90, 90, 1), (180, 180, 1), (0, None, 100)],
)
def test_bones_with_axes_of_their_own(
    motion: Motion, tmp_path: Path, above: int, space: int | None, unit: float
) -> None:
    """Upright or lying; below a node that tilts them, whose mesh is tilted alike; in centimetres."""
    turn, modelled = (None if a is None else rot.from_axis_angle(np.radians([a, 0, 0])) for a in (above, space))
    assert turn is not None
    assert_same(export.load(edited(motion, tmp_path / "edited.glb", AXES, turn, modelled, unit)), motion)


def test_a_file_whose_vertical_is_z(motion: Motion, tmp_path: Path) -> None:
    turned = replace(motion, root=rot.rotate(ABOUT_X, motion.root), rotations=motion.rotations.copy())
    turned.rotations[:, 0] = rot.multiply(ABOUT_X, motion.rotations[:, 0])
    path = edited(turned, tmp_path / "edited.glb", AXES, rot.identity(()), space=ABOUT_X)
    assert_same(export.load(path), motion)


def test_the_tree_of_the_file_counts(motion: Motion, tmp_path: Path) -> None:
    """A bone between ours that is turned at rest and never moves, and a bone that hangs elsewhere, turned by itself."""
    path = edited(motion, tmp_path / "edited.glb", AXES, rot.identity(()))
    gltf = GLTF2().load(str(path))
    shoulder, elbow, knee = (SMPL22.index(n) for n in ("l_shoulder", "l_elbow", "r_knee"))
    between = AXES[3]
    world = np.empty_like(motion.rotations)
    for j, p in enumerate(SMPL22.parents):
        world[:, j] = motion.rotations[:, j] if p < 0 else rot.multiply(world[:, p], motion.rotations[:, j])
    of = {c.target.node: c.sampler for c in gltf.animations[0].channels if c.target.path == "rotation"}
    local = np.roll(accessor_values(gltf, gltf.animations[0].samplers[of[elbow]].output), 1, axis=-1)
    keys = {of[elbow]: (None, xyzw(rot.multiply(rot.conjugate(between), local))),
            of[knee]: (None, xyzw(rot.multiply(world[:, knee], AXES[knee])))}  # fmt: skip
    twist = Node(name="twist", children=[elbow], rotation=xyzw(between).tolist())
    gltf.nodes[shoulder].children = [len(gltf.nodes)]
    gltf.nodes.append(twist)
    gltf.nodes[SMPL22.index("r_hip")].children = []
    gltf.nodes[23].children.append(knee)
    gltf.nodes[knee].translation = (motion.root[0] + SMPL22.rest_joints[knee] - SMPL22.rest_joints[0]).tolist()
    assert_same(export.load(saved(gltf, path, keys)), motion)


def test_steps_of_joints_are_held(motion: Motion, tmp_path: Path) -> None:
    gltf = GLTF2().load(str(export.save(motion, tmp_path / "a.glb")))
    gltf.extras = {}
    still = {i: (np.array([0.0, 2.0]), np.roll(rot.identity((2,)), -1, -1)) for i in range(1, 23)}
    keys = rot.from_axis_angle(np.array([[0.0, 0, 0], [0, 0, 1.5], [0, 0, 0.5]]))
    elbow = SMPL22.index("l_elbow")
    still[0] = (np.array([0.0, 1, 2]), np.array([[0.0, 1, 0], [0, 1, 3], [0, 1, 1]]))
    still[elbow + 1] = (np.array([0.0, 1, 2]), xyzw(keys))
    for i in (0, elbow + 1):
        gltf.animations[0].samplers[i].interpolation = "STEP"
    back = export.load(saved(gltf, tmp_path / "b.glb", still))
    assert (len(back), back.fps) == (61, 30)  # at the rate of the keys they could not be seen to change at once
    np.testing.assert_allclose(back.root[[0, 29, 30, 59, 60], 2], [0, 0, 3, 3, 1])
    assert rot.angle_between(back.rotations[[0, 29, 30, 59, 60], elbow], keys[[0, 0, 1, 1, 2]]).max() < 1e-3


def test_no_tracks_key_frames_vanish(motion: Motion, tmp_path: Path) -> None:
    """A track with keys every second does not hide that another turns between them."""
    gltf = GLTF2().load(str(export.save(motion, tmp_path / "a.glb")))
    gltf.extras = {}
    keys = rot.from_axis_angle(np.array([[0.0, 0, 0], [0, 0, 1.5], [0, 0, 0]]))
    samplers = {i: (np.array([0.0, 2.0]), np.roll(rot.identity((2,)), -1, -1)) for i in range(1, 23)}
    samplers[0] = (np.arange(4.0), np.arange(12.0).reshape(4, 3))
    samplers[SMPL22.index("l_elbow") + 1] = (np.array([0.0, 0.2, 2]), xyzw(keys))
    back = export.load(saved(gltf, tmp_path / "b.glb", samplers))
    assert (len(back), back.fps) == (91, 30)
    assert rot.angle_between(back.rotations[6, SMPL22.index("l_elbow")], keys[1]) < 1e-3


def test_nodes_of_one_name(motion: Motion, tmp_path: Path) -> None:
    """Of two skeletons the one that moves is read, whatever else has a joint's name."""
    gltf = GLTF2().load(str(export.save(motion, tmp_path / "a.glb")))
    gltf.nodes.append(Node(name="pelvis", translation=[3.0, 0, 0]))
    assert_same(back_again(gltf, tmp_path / "b.glb"), motion)
    first = len(gltf.nodes)
    for node in gltf.nodes[:22]:
        gltf.nodes.append(Node(name=node.name, translation=node.translation))
        gltf.nodes[-1].children = [c + first for c in node.children]
    skin = gltf.skins[0]
    gltf.skins.append(Skin(joints=[j + first for j in skin.joints], inverseBindMatrices=skin.inverseBindMatrices))
    assert_same(back_again(gltf, tmp_path / "b.glb"), motion)
    gltf.animations[0].channels.append(
        AnimationChannel(sampler=19, target=AnimationChannelTarget(node=first + 18, path="rotation"))
    )
    with pytest.raises(UserError, match="b.glb: of 2 skeletons with these joints 2 move; accepted one"):
        back_again(gltf, tmp_path / "b.glb")
    gltf.skins = []
    with pytest.raises(UserError, match="3 nodes called pelvis and no skin to tell"):
        back_again(gltf, tmp_path / "b.glb")

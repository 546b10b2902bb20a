"""The .glb: its structure, the skinning, the animation and reading it back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pygltflib import GLTF2, Accessor, Animation, BufferView, Node

from avatargpt import export
from avatargpt.export.mesh import Mesh, body_mesh
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.gltf import accessor_values
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


@pytest.fixture(scope="module")
def body() -> Mesh:
    return body_mesh()


def test_mesh_is_closed_and_outward(body: Mesh) -> None:
    edges = np.concatenate([body.triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]).astype(int)
    count = len(body.vertices)
    forth, back = np.sort(edges[:, 0] * count + edges[:, 1]), np.sort(edges[:, 1] * count + edges[:, 0])
    np.testing.assert_array_equal(forth, back)  # every edge is used in both directions: no holes
    corners = body.vertices[body.triangles].astype(float)
    volume = np.einsum("fi,fi", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert 0.045 < volume < 0.09  # cubic metres of a person
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((facing * body.normals[body.triangles[:, 0]]).sum(-1) > 0).mean() > 0.999


def test_mesh_is_symmetric_with_human_size(body: Mesh) -> None:
    height = np.ptp(body.vertices[:, 1])
    assert 1.6 < height < 1.9
    assert abs(body.vertices[:, 0].max() + body.vertices[:, 0].min()) < 0.01


def test_weights(body: Mesh) -> None:
    np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-6)
    assert (body.weights >= 0).all() and (body.joints[body.weights == 0] == 0).all()
    assert set(body.joints[body.weights > 0.45].tolist()) >= set(range(22))
    blended = (body.weights.max(1) < 0.98).mean()
    assert 0.1 < blended < 0.9  # smooth around joints, rigid between them
    # nothing on the left arm follows the right half of the body
    hand = body.vertices[:, 0] > 0.4
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
            own = vertices[(body.joints[:, 0] == joint) & (body.weights[:, 0] > 0.9)]
            gap = np.linalg.norm(own - motion.joints[frame, joint], axis=1)
            assert len(own) > 50 and gap.max() < 0.26


def test_round_trip(motion: Motion, tmp_path: Path) -> None:
    got = export.load(export.save(motion, tmp_path / "a.glb"))
    assert np.abs(got.joints - motion.joints).max() < 1e-5
    assert (got.fps, got.caption, len(got)) == (motion.fps, motion.caption, len(motion))


def test_one_frame(motion: Motion, tmp_path: Path) -> None:
    got = export.load(export.save(motion.slice(0, 1), tmp_path / "a.glb"))
    assert len(got) == 1 and got.fps == motion.fps


def with_keys(gltf: GLTF2, sampler, keep: np.ndarray) -> None:
    """Leave only some of a sampler's key frames."""
    blob = bytearray(gltf.binary_blob())
    for name in ("input", "output"):
        values = accessor_values(gltf, getattr(sampler, name))[keep]
        gltf.bufferViews.append(BufferView(buffer=0, byteOffset=len(blob), byteLength=values.nbytes))
        kind = "SCALAR" if name == "input" else "VEC4"
        view = len(gltf.bufferViews) - 1
        gltf.accessors.append(Accessor(bufferView=view, componentType=5126, count=len(values), type=kind))
        setattr(sampler, name, len(gltf.accessors) - 1)
        blob += values.tobytes()
    gltf.buffers[0].byteLength = len(blob)
    gltf.set_binary_blob(bytes(blob))


def test_tracks_with_key_frames_of_their_own(motion: Motion, tmp_path: Path) -> None:
    """As editors write them: what does not move left out, still tracks with two keys, others thinned out."""
    turns = motion.rotations.copy()
    still, held = SMPL22.names.index("l_wrist"), SMPL22.names.index("r_wrist")
    turns[:, [still, held]] = turns[:1, [still, held]]
    motion = replace(motion, rotations=turns)
    gltf = GLTF2().load_binary(str(export.save(motion, tmp_path / "a.glb")))
    animation = gltf.animations[0]
    of = {gltf.nodes[c.target.node].name: c for c in animation.channels if c.target.path == "rotation"}
    gltf.nodes[of["l_wrist"].target.node].rotation = np.roll(turns[0, still], -1).tolist()
    animation.channels.remove(of["l_wrist"])
    last = len(motion) - 1
    with_keys(gltf, animation.samplers[of["r_wrist"].sampler], np.array([0, last]))
    thinned = np.unique(np.append(np.arange(0, last, 2), last))
    with_keys(gltf, animation.samplers[of["l_elbow"].sampler], thinned)
    gltf.save_binary(str(tmp_path / "b.glb"))
    got = export.load(tmp_path / "b.glb")
    elbow = SMPL22.names.index("l_elbow")
    others = [j for j in range(22) if j != elbow]
    assert (len(got), got.fps) == (len(motion), motion.fps)
    np.testing.assert_allclose(rot.angle_between(got.rotations[:, others], turns[:, others]), 0, atol=2e-3)
    np.testing.assert_allclose(got.rotations[thinned, elbow], turns[thinned, elbow], atol=1e-6)
    middle = rot.slerp(turns[0, elbow].astype(float), turns[2, elbow].astype(float), 0.5)
    assert rot.angle_between(got.rotations[1, elbow], middle) < 2e-3
    animation.samplers[0].interpolation = "CUBICSPLINE"
    gltf.save_binary(str(tmp_path / "c.glb"))
    with pytest.raises(UserError, match="48 values of 48 key frames"):
        export.load(tmp_path / "c.glb")


def test_bad_files(motion: Motion, tmp_path: Path) -> None:
    path = export.save(motion, tmp_path / "a.glb")
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="accepted a .glb"):
            export.load(path)
    gltf = GLTF2().load_from_bytes(whole)
    gltf.nodes[18].name = "other"
    gltf.save_binary(str(path))
    with pytest.raises(UserError, match="l_elbow"):
        export.load(path)
    gltf = GLTF2().load_from_bytes(whole)
    gltf.animations = []
    gltf.save_binary(str(path))
    with pytest.raises(UserError, match="no animation"):
        export.load(path)


def test_the_animation_that_turns_the_joints_is_read(motion: Motion, tmp_path: Path) -> None:
    gltf = GLTF2().load_binary(str(export.save(motion, tmp_path / "a.glb")))
    whole = gltf.animations[0]
    gltf.animations = [Animation(name="Camera", samplers=whole.samplers, channels=whole.channels[:1]), whole]
    gltf.save_binary(str(tmp_path / "b.glb"))
    assert np.abs(export.load(tmp_path / "b.glb").joints - motion.joints).max() < 1e-5
    gltf.animations = [Animation(name="Idle", samplers=whole.samplers, channels=whole.channels), whole]
    gltf.save_binary(str(tmp_path / "b.glb"))
    with pytest.raises(UserError, match=r"b.glb: 2 animations turn the joints \(Idle, a person .*accepted"):
        export.load(tmp_path / "b.glb")


def test_nodes_above_the_pelvis_place_the_body(motion: Motion, tmp_path: Path) -> None:
    """A character set down and turned in a scene, by fields of one node and the matrix of another."""
    gltf = GLTF2().load_binary(str(export.save(motion, tmp_path / "a.glb")))
    quarter = np.array([[0.0, 0, 1, 0], [0, 1, 0, 2], [-1, 0, 0, 0], [0, 0, 0, 1]])  # about Y, 2 m up
    gltf.nodes += [
        Node(name="Armature", children=[0], translation=[1.0, 0, 0]),
        Node(name="Stage", children=[len(gltf.nodes)], matrix=quarter.T.ravel().tolist()),
    ]
    gltf.scenes[0].nodes = [len(gltf.nodes) - 1, 22]
    gltf.save_binary(str(tmp_path / "b.glb"))
    truth = (motion.joints + [1, 0, 0]) @ quarter[:3, :3].T + [0, 2, 0]
    np.testing.assert_allclose(export.load(tmp_path / "b.glb").joints, truth, atol=1e-5)
    gltf.nodes[-2].scale = [0.01] * 3  # the body's size is the skeleton's: all is 100 times as long
    gltf.save_binary(str(tmp_path / "b.glb"))
    truth = (motion.joints + [100, 0, 0]) @ quarter[:3, :3].T + [0, 200, 0]
    np.testing.assert_allclose(export.load(tmp_path / "b.glb").joints, truth, atol=1e-3)
    gltf.nodes[-1].matrix, gltf.nodes[-1].scale = None, [100.0] * 3  # and taken back
    gltf.save_binary(str(tmp_path / "b.glb"))
    np.testing.assert_allclose(export.load(tmp_path / "b.glb").joints, motion.joints + [100, 0, 0], atol=1e-3)
    for uneven in ([1, 2, 1], [-1, -1, -1]):
        gltf.nodes[-2].scale = uneven
        gltf.save_binary(str(tmp_path / "b.glb"))
        with pytest.raises(UserError, match="b.glb: Armature has scale .*; accepted one above 0 along all axes"):
            export.load(tmp_path / "b.glb")


def test_key_frames_count_more_than_what_extras_say(motion: Motion, tmp_path: Path) -> None:
    gltf = GLTF2().load_binary(str(export.save(replace(motion, fps=60.0), tmp_path / "a.glb")))
    gltf.extras["fps"] = 20.0
    gltf.save_binary(str(tmp_path / "b.glb"))
    got = export.load(tmp_path / "b.glb")
    assert len(got) == len(motion) and got.fps == pytest.approx(60, rel=1e-6)
    assert np.abs(got.joints - motion.joints).max() < 1e-5

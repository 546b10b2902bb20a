"""Faces of characters: names of many makers, one kind for the mouth, and shapes made for heads that have none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import export
from avatargpt.cli import app
from avatargpt.export import face_landmarks
from avatargpt.export.character_face import face_of
from avatargpt.export.expressions import HeldPresets
from avatargpt.export.face_making import make_talk, open_gltf, write_shapes
from avatargpt.export.face_names import read_name
from avatargpt.export.gltf_write import BufferBuilder, drop_empty_fields
from avatargpt.export.head import head
from tests.export.avatars import face_weights, write_vrm
from tests.export.readers import contents, floats
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.gltf import FLOAT, UINT32, Document, accessor_values, pack_glb, read_gltf

PARTS = ("skin", "eyeLeft", "eyeRight", "teethUpper", "teethLower", "tongue")
SIZE = np.array([0.9, 1.1, 1.0]) * 2  # of our head as another one's


def write_head(path: Path, parts: tuple[str, ...] = PARTS, turn: np.ndarray | None = None, **gltf: Any) -> Path:
    """Our head without shapes as somebody else's: of other proportions, below a node that turns it."""
    shape, data, nodes, meshes = head(), BufferBuilder(), list[Any](), list[Any]()
    q = rot.identity(()) if turn is None else turn
    for name in parts:
        rows = np.flatnonzero(shape.part(name))
        number = np.full(len(shape.points), -1)
        number[rows] = np.arange(len(rows))
        triangles = number[shape.triangles.astype(np.int64)]
        triangles = triangles[(triangles >= 0).all(1)]
        points = rot.rotate(rot.conjugate(q), shape.points[rows] * SIZE)
        normals = rot.rotate(rot.conjugate(q), shape.normals[rows].astype(np.float64))
        attributes = {"POSITION": data.add(points, FLOAT, bounds=True), "NORMAL": data.add(normals, FLOAT)}
        meshes.append({"primitives": [{"attributes": attributes, "indices": data.add(triangles.ravel(), UINT32)}]})
        nodes.append({"name": name, "mesh": len(meshes) - 1})
    nodes.append({"name": "Root", "rotation": np.roll(q, -1).tolist(), "children": list(range(len(nodes)))})
    whole = {
        "asset": {"version": "2.0"}, "nodes": nodes, "meshes": meshes, "scenes": [{"nodes": [len(nodes) - 1]}],
        "accessors": [drop_empty_fields(a) for a in data.accessors], "scene": 0,
        "bufferViews": [drop_empty_fields(v) for v in data.views], "buffers": [{"byteLength": len(data.blob)}], **gltf,
    }  # fmt: skip
    path.write_bytes(pack_glb(whole, bytes(data.blob)))
    return path


def moved(path: Path, part: str, target: str) -> np.ndarray:
    """(V, 3) displacements of a target of a part's mesh."""
    gltf = read_gltf(path)
    (mesh,) = [gltf.meshes[n.mesh] for n in gltf.nodes if n.name == part and n.mesh is not None]
    return accessor_values(gltf, mesh.primitives[0].targets[mesh.target_names.index(target)]["POSITION"])


@pytest.mark.parametrize(("name", "follows"), [
    ("blendShape1.jawOpen", "jawOpen"), ("Head_eyeBlink_L", "eyeBlinkLeft"), ("jaw_open", "jawOpen"),
    ("CTRL_expressions_browDownL", "browDownLeft"), ("CTRL_expressions_eyeLookLeftR", "eyeLookInRight"),
    ("Eye_L_Look_R", "eyeLookInLeft"), ("Mouth_L", "mouthLeft"), ("Cheek_Puff_R", "cheekPuff"),
    ("Mouth_Roll_In_Lower_L", "mouthRollLower"), ("Jaw_Down", "jawOpen"), ("BrowsUp_Left", "browOuterUpLeft"),
    ("viseme_I", "viseme_ih"), ("vrc.v_aa", "viseme_aa"), ("V_Explosive", "viseme_PP"), ("Fcl_MTH_A", "aa"),
    ("Fcl_EYE_Close_L", "blinkLeft"), ("まばたき", "blink"), ("mouthSmile", "mouthSmileLeft mouthSmileRight"),
    ("Hair_A", ""), ("hat", ""),
])  # fmt: skip
def test_names_of_many_makers(name: str, follows: str) -> None:
    assert read_name(name) == tuple(follows.split())


def test_every_shape_has_its_own_name() -> None:
    for shape in arkit.NAMES:
        assert read_name(shape) == read_name(f"Mesh.{arkit.pascal(shape)}") == (shape,)


def document(names: list[str], **extra: Any) -> Document:
    mesh = {"primitives": [{"extras": {"targetNames": names}}]}  # as UniVRM states them
    return Document.model_validate({"asset": {"version": "2.0"}, "nodes": [{"mesh": 0}], "meshes": [mesh], **extra})


def test_a_mouth_is_moved_by_one_kind() -> None:
    visemes = ["viseme_PP", "viseme_aa", "viseme_U"]
    weights = FaceMotion(face_weights(3, jawOpen=0.5, eyeBlink=1, browDown=0.7), np.zeros((3, 3)))
    both = face_of(document([*visemes, *arkit.NAMES]))
    assert both.mouth == "shapes" and both.line == "52 of 52 shapes" and not both.weights(weights)[0][:, :3].any()
    spoken = face_of(document([*visemes, "mouthOpen", "eyesClosed", "Brow_Drop_L"]))
    values = spoken.weights(weights)[0]
    assert spoken.mouth == "visemes" and values[0, 1] > 0.5 and values[0, 3] == 0
    np.testing.assert_allclose(values[:, 4:], [[1, 0.7]] * 3, atol=1e-6)
    assert "3 of 52 shapes, 3 of 15 visemes" in spoken.line and "browOuterUp" in spoken.line.split("not shown")[1]
    assert "browDownLeft" not in spoken.line and "browDownRight" in spoken.line
    twice = face_of(document(["mouthOpen", "BLINK", "BLINK_L", "jaw_open", *arkit.NAMES]))
    alone = face_of(document(["A", "BLINK", "BLINK_L", "BLINK_R"]))
    assert not twice.weights(weights)[0][:, :4].any()
    np.testing.assert_allclose(alone.weights(weights)[0], [[0.8, 0, 1, 1]] * 3, atol=1e-6)
    assert not face_of(document(["hat"])).used and face_of(document(["hat"])).line.startswith("no shapes")


def test_an_empty_jaw_is_none() -> None:
    names = ["viseme_aa", *arkit.NAMES]
    still = {"componentType": 5126, "count": 1, "type": "VEC3", "min": [0, 0, 0], "max": [0, 0, 0]}
    file = document(names, accessors=[still, still | {"min": [0, -1, 0]}])
    file.meshes[0].primitives[0].targets = [{"POSITION": int("jaw" not in n)} for n in names]
    face = face_of(file)
    assert face.mouth == "visemes" and "jawOpen" not in face.used
    assert face.weights(FaceMotion(face_weights(1, jawOpen=0.5), np.zeros((1, 3))))[0][0, 0] > 0.5


@pytest.mark.parametrize("version", [0, 1])
def test_presets_of_a_vrm_move_its_targets(tmp_path: Path, version: int) -> None:
    avatar = write_vrm(tmp_path / "a.vrm", version, perfect_sync=False)
    face = face_of(read_gltf(avatar))
    assert face.mouth == "presets" and face.speaks and "presets aa, ih, ou" in face.line
    (values,) = face.weights(FaceMotion(face_weights(3, jawOpen=0.5, eyeBlink=1), np.zeros((3, 3)))).values()
    assert values[0, 0] == pytest.approx(0.8) and not values[:, 1:5].any()
    np.testing.assert_allclose(values[0, 5:8], [0, 1, 1])  # of both lids, left and right: not twice


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_shapes(write_head(folder / "head.glb", turn=rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))),
                 folder / "made.glb")  # fmt: skip
    return folder / "made.glb"


@pytest.mark.parametrize(("shape", "most"), [
    ("jawOpen", 0.1), ("mouthClose", 0.25), ("mouthPucker", 0.15), ("mouthSmileLeft", 0.2), ("mouthFrownRight", 0.2),
    ("mouthLowerDownLeft", 0.25), ("browDownLeft", 0.2), ("browInnerUp", 0.15), ("cheekPuff", 0.15),
    ("eyeBlinkLeft", 0.3), ("eyeLookDownRight", 0.3), ("eyeSquintLeft", 0.3),
])  # fmt: skip
def test_made_shapes_are_ours_in_other_proportions(made: Path, shape: str, most: float) -> None:
    shapes = head()
    wanted = shapes.morphs[arkit.INDEX[shape], shapes.part("skin")] * SIZE
    turned = rot.rotate(
        rot.from_axis_angle(np.array([-np.pi / 2, 0, 0])), moved(made, "skin", shape).astype(np.float64)
    )
    off = np.linalg.norm(turned - wanted, axis=1)
    assert np.sqrt((off**2).mean() / (np.linalg.norm(wanted, axis=1) ** 2).mean()) < most


def test_lashes_stay_where_eyes_turn(made: Path) -> None:
    assert not moved(made, "skin", "eyeLookInLeft").any()


def test_lids_are_followed_past_a_crease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the eye's middle a fold above the lid is as near as the lids and taller."""

    class Section:
        def __init__(self, skin: face_landmarks.Skin, x: float, *about: Any) -> None:
            self._x = x

        def openings(self) -> list[face_landmarks.Opening]:
            half = 0.1 * (1 - abs(self._x) / 0.3)
            edges = [(half, -half)] * (half > 0.01) + [(0.26, 0.1)] * (0.05 < self._x < 0.2)
            none = np.zeros(2, np.int64)
            return [face_landmarks.Opening(*(np.array([self._x, y, 0]) for y in pair), none, none) for pair in edges]

    monkeypatch.setattr(face_landmarks, "_Section", Section)
    (start,) = Section(face_landmarks.Skin(np.zeros((0, 3)), np.zeros((0, 3))), 0.0).openings()
    lids = face_landmarks._follow(face_landmarks.Skin(*2 * [np.zeros((0, 3))]), 1.0, 0.0, start, face_landmarks.LIDS)
    assert np.abs(lids.middle[:, 1]).max() < 1e-9 and lids.width > 0.5


def test_teeth_tongue_and_eyes_of_a_made_head(made: Path) -> None:
    assert (
        np.abs(moved(made, "teethUpper", "jawOpen")).max() < 0.005
        and not moved(made, "teethLower", "eyeBlinkLeft").any()
    )
    lower = moved(made, "teethLower", "jawOpen").mean(0)
    assert np.linalg.norm(lower) > 0.02
    assert np.linalg.norm(moved(made, "tongue", "tongueOut").mean(0)) > 0.02
    looks = {way: moved(made, "eyeLeft", f"eyeLook{way}Left").mean(0) for way in ("In", "Out", "Up", "Down")}
    assert looks["Out"][0] > 0.005 > -0.005 > looks["In"][0]  # the person's left is +X
    assert not moved(made, "eyeRight", "eyeLookInLeft").any()
    shape, skin = head(), np.flatnonzero(head().part("skin"))
    upper, lower = (np.searchsorted(skin, np.concatenate([shape.landmarks[k] for k in marks]))
                    for marks in ((43, 44), (47, 46)))  # fmt: skip
    upright = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))
    blink = rot.rotate(upright, moved(made, "skin", "eyeBlinkLeft").astype(np.float64))
    height = ((shape.points[skin] * SIZE)[upper] - (shape.points[skin] * SIZE)[lower])[:, 1]
    closed = height + (blink[upper] - blink[lower])[:, 1]
    assert (np.abs(closed) < 0.25 * height).all()
    lips = np.flatnonzero(head().lips[head().part("skin")])
    closed = moved(made, "skin", "jawOpen") + moved(made, "skin", "mouthClose")
    ours = (head().morphs[arkit.INDEX["jawOpen"]] + head().morphs[arkit.INDEX["mouthClose"]])[head().part("skin")]
    assert np.linalg.norm(closed[lips], axis=1).max() < 2 * np.linalg.norm(ours[lips] * SIZE, axis=1).max() + 0.004


def test_a_face_on_a_bust(tmp_path: Path) -> None:
    """Shapes are made, old targets and their key frames stay, and the file is written once more with its own ones."""
    bust, clip = write_head(tmp_path / "bust.glb"), FaceMotion(face_weights(4, jawOpen=0.5), np.zeros((4, 3)))
    gltf, blob = contents(bust)
    values, skin = BufferBuilder(), gltf["meshes"][0]
    count = gltf["accessors"][skin["primitives"][0]["attributes"]["POSITION"]]["count"]
    start = len(blob) + -len(blob) % 4
    keys = [values.add(np.array([0.0, 1.0]), FLOAT), values.add(np.array([0.0, 1.0]), FLOAT)]
    base, views = len(gltf["accessors"]), len(gltf["bufferViews"])
    gltf["bufferViews"] += [drop_empty_fields(v) | {"byteOffset": v.byteOffset + start} for v in values.views]
    gltf["accessors"] += [drop_empty_fields(a) | {"bufferView": a.bufferView + views} for a in values.accessors]
    gltf["accessors"].append({"componentType": FLOAT, "count": count, "type": "VEC3"})
    skin["primitives"][0]["targets"] = [{"POSITION": base + 2, "NORMAL": base + 2}]
    skin |= {"weights": [0.3], "extras": {"targetNames": ["hat"]}}
    gltf["animations"] = [{"name": "nod", "samplers": [{"input": base + keys[0], "output": base + keys[1]}],
                           "channels": [{"sampler": 0, "target": {"node": 0, "path": "weights"}}]}]  # fmt: skip
    bust.write_bytes(pack_glb(gltf, blob + b"\0" * (start - len(blob)) + bytes(values.blob)))
    talking = export.save(clip, tmp_path / "talk.glb", character=bust)
    after, longer = contents(talking)
    assert [a["name"] for a in after["animations"]] == ["nod", "face"]
    assert after["meshes"][0]["extras"]["targetNames"] == ["hat", *arkit.NAMES]
    assert after["meshes"][0]["weights"] == [0.3, *[0.0] * 52]
    old, new = (floats(after, longer, a["samplers"][0]["output"]).reshape(-1, 53) for a in after["animations"])
    assert old[:, 0].tolist() == [0, 1] and not old[:, 1:].any()
    jaw = 1 + arkit.INDEX["jawOpen"]
    assert new[0, jaw] == pytest.approx(0.5) and new[0, 0] == pytest.approx(0.3)
    again = make_talk(*open_gltf(talking))
    assert again.line == "52 of 52 shapes" and again.gltf == after
    with pytest.raises(UserError, match="52 of 52 shapes are there already"):
        write_shapes(talking, tmp_path / "b.glb")


@pytest.mark.parametrize("version", ["VRM", "VRMC_vrm"])
def test_a_vrm_gets_expressions(tmp_path: Path, version: str) -> None:
    bones = {"VRM": {"humanoid": {"humanBones": [{"bone": "head", "node": 6}]}},
             "VRMC_vrm": {"humanoid": {"humanBones": {"head": {"node": 6}}}}}  # fmt: skip
    back = rot.from_axis_angle(np.array([0, np.pi, 0]))
    file = write_head(tmp_path / "a.vrm", extensions={version: bones[version]})
    if version == "VRM":  # it looks along -Z
        gltf, blob = contents(file)
        gltf["nodes"][6]["rotation"] = np.roll(back, -1).tolist()
        file.write_bytes(pack_glb(gltf, blob))
    assert app.run(["avatar", str(file), "-o", str(tmp_path / "b.vrm")]) == 0
    avatar = export_avatar(tmp_path / "b.vrm")
    assert avatar.names == ("pascal" if version == "VRM" else "camel") and len(avatar.perfect_sync) == 52
    clip = FaceMotion(face_weights(2), np.full((2, 3), [0.3, 0, 0]))
    after, blob = contents(export.save(clip, tmp_path / "c.vrm", character=tmp_path / "b.vrm"))
    (sampler,) = [c["sampler"] for c in after["animations"][0]["channels"] if c["target"]["path"] == "rotation"]
    q = np.roll(floats(after, blob, after["animations"][0]["samplers"][sampler]["output"])[0], 1)
    ahead = rot.rotate(q.astype(np.float64), np.array([0.0, 0, 1]))
    sign = 1 if version == "VRMC_vrm" else -1
    np.testing.assert_allclose(ahead, [sign * np.sin(0.3), 0, sign * np.cos(0.3)], atol=1e-5)


def export_avatar(path: Path) -> Any:
    from avatargpt.export.avatar_file import read_avatar

    return read_avatar(path)


@pytest.mark.parametrize(("parts", "says"), [
    (("skin", "teethUpper"), "no eyes found"), (("hair", "eyeLeft", "eyeRight"), "no "),
    (("eyeLeft", "eyeRight", "collar"), "no "),
])  # fmt: skip
def test_heads_that_no_shapes_can_be_made_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parts: tuple[str, ...], says: str
) -> None:
    file = write_head(tmp_path / "a.glb", parts)
    assert app.run(["avatar", str(file), "-o", str(tmp_path / "b.glb")]) == 2
    err = capsys.readouterr().err
    assert says in err and "accepted" in err and err.count("\n") == 1 and not (tmp_path / "b.glb").exists()


def test_lips_that_are_one_are_refused(tmp_path: Path) -> None:
    """Welded along the mouth, as a scan's."""
    file = write_head(tmp_path / "a.glb")
    gltf, blob = contents(file)
    attributes = gltf["meshes"][0]["primitives"][0]["attributes"]
    del attributes["NORMAL"]  # alike, which closes the slit: triangles of the inside go
    points = floats(gltf, blob, attributes["POSITION"]) / SIZE
    view = gltf["bufferViews"][gltf["accessors"][gltf["meshes"][0]["primitives"][0]["indices"]]["bufferView"]]
    triangles = np.frombuffer(blob, "<u4", view["byteLength"] // 4, view["byteOffset"]).reshape(-1, 3).copy()
    slit = [0, -0.0694, 0.0894]
    _, same = np.unique(points.round(5), axis=0, return_inverse=True)
    first = {int(g): int(k) for k, g in reversed(list(enumerate(same.ravel())))}
    welded = np.array([first[int(g)] for g in same.ravel()])[triangles]
    inside = (np.abs(points[welded].mean(1) - slit) < [0.024, 0.02, 0.03]).all(1) & (
        points[welded][..., 2].min(1) < 0.078
    )
    welded[inside] = welded[inside][:, :1]
    blob = blob[: view["byteOffset"]] + welded.astype("<u4").tobytes() + blob[view["byteOffset"] + view["byteLength"] :]
    file.write_bytes(pack_glb(gltf, blob))
    with pytest.raises(UserError, match="no mouth opening found"):
        write_shapes(file, tmp_path / "b.glb")


def test_held_presets_come_and_go() -> None:
    held = HeldPresets()
    held.hold("blinkLeft", 1.0)
    held.hold("ou", 0.5)
    face = held(face_weights(60, jawOpen=0.4))
    left, right, pucker, jaw = (
        face[:, arkit.INDEX[n]] for n in ("eyeBlinkLeft", "eyeBlinkRight", "mouthPucker", "jawOpen")
    )
    assert left[0] < 0.6 and left[-1] > 0.99 and not right.any() and pucker[-1] > 0.3 and (jaw == 0.4).all()
    held.hold("blinkLeft", 0.0)
    assert held(face_weights(60))[-1, arkit.INDEX["eyeBlinkLeft"]] < 0.01
    with pytest.raises(UserError, match="preset 'grin': accepted aa, ih"):
        held.hold("grin", 1.0)


def test_the_command_says_what_is_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["avatar", str(write_vrm(tmp_path / "a.vrm", 1, False)), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["mouth"] == "presets" and "not shown: " in values["face"] and "tongueOut" in values["face"]

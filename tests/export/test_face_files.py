"""Faces in .glb and .vrma: structure, values, reading back, and files of other programs."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export import expressions, vrma
from avatargpt.export.gltf_write import HEAD_NODE as HEAD
from avatargpt.export.gltf_write import NECK_NODE as NECK
from avatargpt.export.head import head
from tests.export.avatars import face_weights
from tests.export.readers import contents, floats, repacked
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.io.gltf import unpack_numbers
from vqvae.io.gltf_rigs import common_times
from vqvae.motion import Motion


@pytest.fixture
def clip() -> FaceMotion:
    rng = np.random.default_rng(0)
    weights = np.abs(np.sin(np.linspace(0, 3, 40)[:, None] + rng.uniform(0, 3, 52)))
    head_angles = 0.4 * np.sin(np.linspace(0, 4, 40)[:, None] + np.array([0, 1, 2]))
    return FaceMotion(weights, head_angles, 30.0, "a test")


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
def test_back_again(clip: FaceMotion, tmp_path: Path, suffix: str) -> None:
    path = export.save(clip, tmp_path / f"a{suffix}")
    back = export.load(path)
    assert isinstance(back, FaceMotion) and (back.fps, back.caption) == (30.0, "a test")
    assert np.array_equal(back.weights, clip.weights)
    assert np.abs(back.head - clip.head).max() < 1e-6
    assert len(export.load(export.save(clip.slice(0, 1), tmp_path / f"b{suffix}"))) == 1


def with_values(gltf: dict, blob: bytes, accessor: int, values: np.ndarray) -> bytes:
    """Other values of an accessor, behind the data."""
    data = values.astype("<f4").tobytes()
    gltf["accessors"][accessor]["bufferView"] = len(gltf["bufferViews"])
    gltf["bufferViews"].append({"buffer": 0, "byteOffset": len(blob), "byteLength": len(data)})
    gltf["buffers"][0]["byteLength"] = len(blob) + len(data)
    return blob + data


def with_times(gltf: dict, blob: bytes, sampler: dict, times: np.ndarray) -> bytes:
    """Another accessor of times for a sampler."""
    about = {"componentType": 5126, "type": "SCALAR", "count": len(times)}
    gltf["accessors"].append({**about, "min": [float(times[0])], "max": [float(times[-1])]})
    sampler["input"] = len(gltf["accessors"]) - 1
    return with_values(gltf, blob, sampler["input"], times)


def turns_of(gltf: dict, node: int) -> int:
    """The accessor of a node's turns in the last animation."""
    animation = gltf["animations"][-1]
    (sampler,) = [c["sampler"] for c in animation["channels"] if c["target"] == {"node": node, "path": "rotation"}]
    return int(animation["samplers"][sampler]["output"])


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
@pytest.mark.parametrize("extras", [True, False])
def test_every_track_may_have_times_of_its_own(clip: FaceMotion, tmp_path: Path, suffix: str, extras: bool) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / f"a{suffix}"))
    samplers = [s for a in gltf["animations"] for s in a["samplers"]]
    for sampler in samplers:
        blob = with_times(gltf, blob, sampler, floats(gltf, blob, sampler["input"])[:, 0])
    if not extras:
        gltf.pop("extras", None)
    back = export.load(repacked(tmp_path / f"b{suffix}", gltf, blob))
    assert back.fps == pytest.approx(30.0, abs=1e-4) and np.allclose(back.weights, clip.weights, atol=1e-5)
    assert np.abs(back.head - clip.head).max() < 1e-5


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
def test_uneven_key_frames_come_at_thirty_a_second(clip: FaceMotion, tmp_path: Path, suffix: str) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / f"a{suffix}"))
    gltf.pop("extras", None)
    times = np.sort(np.random.default_rng(1).uniform(0, 2, len(clip)))
    for sampler in [s for a in gltf["animations"] for s in a["samplers"]]:
        blob = with_times(gltf, blob, sampler, times)
    back = export.load(repacked(tmp_path / f"b{suffix}", gltf, blob))
    assert back.fps == 30.0 and len(back) == round((times[-1] - times[0]) * 30) + 1
    truth = np.interp(times[0] + np.arange(len(back)) / 30, times, clip.channel("jawOpen"))
    assert np.allclose(back.channel("jawOpen"), truth, atol=1e-4)
    falling = with_times(gltf, blob, gltf["animations"][-1]["samplers"][0], times[::-1])
    with pytest.raises(UserError, match="not a whole"):
        export.load(repacked(tmp_path / f"c{suffix}", gltf, falling))


@pytest.mark.parametrize("missing", [False, True])
def test_clips_of_hours_keep_their_rate(missing: bool) -> None:
    """Seconds in float32 are coarse there; a key frame that is missing still shows."""
    times = (np.arange(500_000) / 120).astype("<f4").astype(float)
    got, fps = common_times([np.delete(times, 400_000) if missing else times], 120.0)
    assert (fps, len(got)) == ((30.0, 125_001) if missing else (120.0, 500_000))


@pytest.mark.parametrize("kind", [5120, 5121, 5122, 5123])
def test_key_frames_as_normalised_integers(kind: int) -> None:
    form, largest = {5120: ("<i1", 127), 5121: ("<u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535)}[kind]
    numbers = np.array([0, largest, largest // 2] + ([-largest, -largest - 1] if "i" in form else []))
    got = unpack_numbers(b"\0\0" + numbers.astype(form).tobytes(), 2, len(numbers), kind, True)
    assert np.allclose(got, np.maximum(numbers / largest, -1), atol=1e-6)
    with pytest.raises(ValueError, match="floats and normalised"):
        unpack_numbers(bytes(8), 0, 2, kind, False)


def written(tmp_path: Path, clip: FaceMotion, name: str) -> tuple[dict, bytes]:
    """A face's or, named body.glb, a body's file."""
    body = Motion(rot.identity((9, 22)), np.zeros((9, 3)) + [0, 0.95, 0], 30.0)
    return contents(export.save(body if name == "body.glb" else clip, tmp_path / name))


@pytest.mark.parametrize("name", ["a.glb", "a.vrma", "body.glb"])
@pytest.mark.parametrize("extras", [[], "x", None, {"caption": None}, {"caption": [1], "fps": "fast"}, {"fps": -5}])
def test_extras_hold_what_others_like(clip: FaceMotion, tmp_path: Path, name: str, extras: object) -> None:
    gltf, blob = written(tmp_path, clip, name)
    gltf["extras"] = gltf["nodes"][0]["extras"] = extras
    back = export.load(repacked(tmp_path / f"b{name}", gltf, blob))
    assert back.caption == "" and back.fps == pytest.approx(30.0, abs=1e-4)


@pytest.mark.parametrize("name", ["a.glb", "a.vrma", "body.glb"])
def test_valid_files_that_are_not_read_say_why(clip: FaceMotion, tmp_path: Path, name: str) -> None:
    gltf, blob = written(tmp_path, clip, name)
    gltf["extensionsRequired"] = ["KHR_materials_unlit", "VRMC_vrm_animation"]  # change no key frames
    assert export.load(repacked(tmp_path / f"b{name}", gltf, blob)).fps == 30.0
    gltf["extensionsRequired"].append("EXT_meshopt_compression")
    with pytest.raises(UserError, match="needs EXT_meshopt_compression; accepted"):
        export.load(repacked(tmp_path / f"b{name}", gltf, blob))
    del gltf["extensionsRequired"]
    for sampler in gltf["animations"][-1]["samplers"]:
        sampler["interpolation"] = "CUBICSPLINE"
    message = "cubic splines; accepted" if name != "body.glb" else "9 values of 9 key frames"
    with pytest.raises(UserError, match=message):
        export.load(repacked(tmp_path / f"b{name}", gltf, blob))


@pytest.mark.parametrize("as_matrix", [False, True])
def test_rotations_at_rest_are_taken_from_the_head(clip: FaceMotion, tmp_path: Path, as_matrix: bool) -> None:
    """The same pose on bones that are turned at rest: world before and after, from VRM's definition."""
    gltf, blob = contents(export.save(clip, tmp_path / "a.vrma"))
    bones = gltf["extensions"]["VRMC_vrm_animation"]["humanoid"]["humanBones"]
    turned_by = {"hips": [0, 1, 0], "chest": [0.3, 0, 1], "head": [1.5, 0.2, 0]}
    initial = {name: rot.from_axis_angle(np.array(v, float)) for name, v in turned_by.items()}
    for name, q in initial.items():
        node = gltf["nodes"][bones[name]["node"]]
        if as_matrix and name != "head":  # what moves has none
            matrix = np.eye(4)
            matrix[:3, :3] = rot.to_matrix(q) * 0.01
            matrix[:3, 3] = node.pop("translation")
            node["matrix"] = matrix.T.ravel().tolist()
        else:
            node["rotation"] = np.roll(q, -1).tolist()
    above = rot.multiply(initial["hips"], initial["chest"])
    world = rot.multiply(above, initial["head"])
    # what turns the head by `clip.head` in the world: above x local = turns x above x initial
    local = rot.multiply(rot.conjugate(above), rot.multiply(turns(clip.head), world))
    blob = with_values(gltf, blob, turns_of(gltf, bones["head"]["node"]), np.roll(local, -1, axis=-1))
    assert np.abs(export.load(repacked(tmp_path / "b.vrma", gltf, blob)).head - clip.head).max() < 1e-5


def test_a_head_in_an_animation_of_its_own(clip: FaceMotion, tmp_path: Path) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / "a.glb"))
    both = gltf["animations"][-1]
    parts = [[c for c in both["channels"] if (c["target"]["path"] == "rotation") == turn] for turn in (True, False)]
    gltf["animations"] = [{"samplers": both["samplers"], "channels": p} for p in parts]
    back = export.load(repacked(tmp_path / "b.glb", gltf, blob))
    assert np.array_equal(back.weights, clip.weights) and np.abs(back.head - clip.head).max() < 1e-6


def test_glb_holds_the_head_and_its_targets(clip: FaceMotion, tmp_path: Path) -> None:
    path = export.save(clip, tmp_path / "a.glb")
    assert path.stat().st_size < 2_000_000
    gltf, blob = contents(path)
    mesh = gltf["meshes"][0]
    assert mesh["extras"]["targetNames"] == list(arkit.NAMES)
    targets = mesh["primitives"][0]["targets"]
    assert len(targets) == 52 and all(set(t) == {"POSITION", "NORMAL"} for t in targets)
    for i in (arkit.INDEX["jawOpen"], arkit.INDEX["eyeBlinkLeft"]):  # sparse values put back in place
        a = gltf["accessors"][targets[i]["POSITION"]]
        views, s = gltf["bufferViews"], a["sparse"]
        index = np.frombuffer(blob, "<u4", s["count"], views[s["indices"]["bufferView"]].get("byteOffset", 0))
        values = np.frombuffer(blob, "<f4", 3 * s["count"], views[s["values"]["bufferView"]].get("byteOffset", 0))
        full = np.zeros((a["count"], 3), np.float32)
        full[index] = values.reshape(-1, 3)
        assert (np.diff(index.astype(int)) > 0).all() and np.array_equal(full, head().morphs[i])
        assert np.allclose(a["min"], full.min(0)) and np.allclose(a["max"], full.max(0))
    assert {c["target"]["path"] for c in gltf["animations"][0]["channels"]} == {"weights", "rotation"}
    assert gltf["nodes"][1]["name"] == "head"


def test_the_skin_of_a_glb_follows_the_head(clip: FaceMotion, tmp_path: Path) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / "a.glb"))
    share = floats(gltf, blob, gltf["meshes"][0]["primitives"][0]["attributes"]["WEIGHTS_0"])
    assert np.allclose(share[:, 1], head().follow, atol=1e-6) and np.allclose(share.sum(1), 1)
    inverse = floats(gltf, blob, gltf["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    place = np.zeros(3)
    for joint, matrix in zip(gltf["skins"][0]["joints"], inverse, strict=True):  # each is the child of the one before
        place = place + gltf["nodes"][joint]["translation"]
        assert np.allclose(matrix[:3, 3], -place, atol=1e-6)


def test_a_body_is_still_a_body(tmp_path: Path) -> None:
    body = Motion(rot.identity((5, 22)), np.zeros((5, 3)) + [0, 0.95, 0])
    assert isinstance(export.load(export.save(body, tmp_path / "b.glb")), Motion)
    with pytest.raises(UserError, match="body cannot be written as .csv"):
        export.save(body, tmp_path / "b.csv")
    with pytest.raises(UserError, match="cannot be written as .bvh"):
        export.save(FaceMotion(np.zeros((2, 52)), np.zeros((2, 3))), tmp_path / "f.bvh")


def test_vrma_is_what_vrm_asks_for(clip: FaceMotion, tmp_path: Path) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / "a.vrma"))
    about = gltf["extensions"]["VRMC_vrm_animation"]
    assert gltf["extensionsUsed"] == ["VRMC_vrm_animation"] and about["specVersion"] == "1.0"
    nodes, bones = gltf["nodes"], about["humanoid"]["humanBones"]
    needed = {"hips", "spine", "head"} | {f"{s}{b}" for s in ("left", "right") for b in (
        "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")}  # fmt: skip
    assert needed <= set(bones) and not {"leftEye", "rightEye"} & set(bones)
    assert nodes[bones["hips"]["node"]]["translation"][1] > 0
    for limb in ("leftUpperArm", "leftUpperLeg", "rightUpperArm", "rightUpperLeg"):  # facing +Z, left is +X
        assert (nodes[bones[limb]["node"]]["translation"][0] > 0) == limb.startswith("left")
    parents = {c: i for i, n in enumerate(nodes) for c in n.get("children", [])}
    chain, at = [], bones["head"]["node"]
    while at in parents:
        at = parents[at]
        chain.append(nodes[at]["name"])
    assert chain == ["neck", "chest", "spine", "hips"]
    expressions = about["expressions"]
    assert set(expressions["custom"]) == {*arkit.NAMES, *map(arkit.pascal, arkit.NAMES)}
    assert {"aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft", "blinkRight", "happy"} <= set(expressions["preset"])
    assert not any(n.startswith("look") for n in expressions["preset"])
    for animation, kind in zip(gltf["animations"], ("preset", "custom"), strict=True):  # never both on one avatar
        tracks = {(c["target"]["node"], c["target"]["path"]): animation["samplers"][c["sampler"]]["output"]
                  for c in animation["channels"]}  # fmt: skip
        moved = [n for n, path in tracks if path == "translation"]
        assert set(moved) == {e["node"] for e in expressions[kind].values()}
        assert (about["lookAt"]["node"], "rotation") in tracks and (bones["head"]["node"], "rotation") in tracks
    jaw = floats(gltf, blob, tracks[(expressions["custom"]["jawOpen"]["node"], "translation")])
    assert np.array_equal(jaw[:, 0], clip.channel("jawOpen")) and not jaw[:, 1:].any()
    assert (about["lookAt"]["node"], "rotation") in tracks and len(about["lookAt"]["offsetFromHeadBone"]) == 3


def test_gaze_of_a_vrma_goes_to_the_persons_own_side() -> None:
    weights = face_weights(eyeLookOutLeft=1, eyeLookInRight=1, eyeLookUp=0.5)  # to the person's left
    yaw, pitch = vrma.gaze(FaceMotion(weights, np.zeros((1, 3))))[0]
    assert np.degrees([yaw, pitch]) == pytest.approx([arkit.EYE_DEGREES, arkit.EYE_DEGREES / 2])


def test_layouts(clip: FaceMotion, tmp_path: Path) -> None:
    for layout, kinds in (("arkit", {"custom"}), ("presets", {"preset"}), ("both", {"custom", "preset"})):
        gltf, _ = contents(export.save(clip, tmp_path / "a.vrma", layout=layout))
        assert set(gltf["extensions"]["VRMC_vrm_animation"]["expressions"]) == kinds
    with pytest.raises(UserError, match="both, arkit, presets"):
        export.save(clip, tmp_path / "a.vrma", layout="all")
    export.save(clip, tmp_path / "p.vrma", layout="presets")
    with pytest.raises(UserError, match="no custom expressions"):
        export.load(tmp_path / "p.vrma")


def presets(**weights: float) -> dict[str, float]:
    curves = expressions.PresetMixer()(face_weights(**weights))
    return {k: float(v[0]) for k, v in curves.items() if v[0] > 0.01}


def test_presets_follow_the_table() -> None:
    assert presets() == {}
    assert presets(eyeBlink=1) == {"blink": 1}
    assert presets(eyeBlinkLeft=1) == {"blinkLeft": 1}
    for vowel, shapes in (
        ("aa", {"jawOpen": 0.6}), ("ou", {"mouthPucker": 0.9}), ("oh", {"mouthFunnel": 0.8, "jawOpen": 0.6}),
        ("ee", {"mouthStretch": 0.5, "jawOpen": 0.5}), ("ih", {"mouthStretch": 0.5}),
    ):  # fmt: skip
        strengths = presets(**shapes)
        assert max(strengths, key=strengths.__getitem__) == vowel
    assert set(presets(mouthSmile=1)) == {"happy"} and set(presets(browDown=1)) == {"angry"}
    assert presets(jawOpen=0.5, mouthClose=0.5) == {}


def test_angles_turn_the_head_as_they_say() -> None:
    angles = np.random.default_rng(1).uniform(-1, 1, (50, 3))
    yaw, pitch, roll = angles.T
    # left is +X: positive about it looks down; positive roll is towards the right shoulder, which is -X
    nod, tilt = (rot.from_axis_angle(a[:, None] * axis) for a, axis in ((-pitch, [1, 0, 0]), (roll, [0, 0, 1])))
    truth = rot.multiply(rot.multiply(rot.about_y(yaw), nod), tilt)
    for got in (truth, turns(angles)):
        assert np.allclose(angles_of(got), angles, atol=1e-6)
    assert np.array_equal(rot.rotate(tilt, np.array([0.0, 1, 0]))[:, 0] < 0, roll > 0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda g: g["extensions"]["VRMC_vrm_animation"]["expressions"].update(custom="x"),
        lambda g: g["extensions"]["VRMC_vrm_animation"]["humanoid"]["humanBones"].update(head=3),
        lambda g: g["accessors"][0].update(count=10**30),
        lambda g: g["bufferViews"].__setitem__(0, "x"),
    ],
)
def test_parts_of_the_wrong_kind(clip: FaceMotion, tmp_path: Path, damage) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / "a.vrma"))
    damage(gltf)
    with pytest.raises(UserError, match=r"not a whole \.vrma"):
        export.load(repacked(tmp_path / "b.vrma", gltf, blob))


@pytest.mark.parametrize("skin", [True, False])
def test_rotations_at_rest_of_a_glb_are_taken_from_the_head(clip: FaceMotion, tmp_path: Path, skin: bool) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / "a.glb"))
    above, below = (rot.from_axis_angle(np.array(v)) for v in ([0.3, 0.2, 1.0], [0.35, 0.0, 0.1]))
    world = rot.multiply(above, below)
    # what turns the head by `clip.head` in the world: above x local = turns x above x below
    local = rot.multiply(rot.conjugate(above), rot.multiply(turns(clip.head), world))
    gltf["nodes"][NECK]["rotation"] = np.roll(above, -1).tolist()
    # with a skin, it says what rest is: the node stands as in the first frame, as ours do
    gltf["nodes"][HEAD]["rotation"] = np.roll(local[0] if skin else below, -1).tolist()
    inverse = np.tile(np.eye(4), (2, 1, 1))
    inverse[:, :3, :3] = rot.to_matrix(rot.conjugate(np.stack([above, world]))) * 0.01  # rigs in centimetres
    blob = with_values(gltf, blob, turns_of(gltf, HEAD), np.roll(local, -1, axis=-1))
    blob = with_values(gltf, blob, gltf["skins"][0]["inverseBindMatrices"], inverse.transpose(0, 2, 1))
    if not skin:
        del gltf["skins"], gltf["nodes"][2]["skin"]
    back = export.load(repacked(tmp_path / "b.glb", gltf, blob))
    assert np.abs(back.head - clip.head).max() < 1e-5


@pytest.mark.parametrize("rig", [[np.pi / 2, 0, 0], [0, np.pi / 2, 0], [0, 0, np.pi / 2], [np.pi, 0, 0]])
@pytest.mark.parametrize("lying", [False, True])
def test_how_a_rig_is_placed_does_not_turn_the_head(
    clip: FaceMotion, tmp_path: Path, rig: list[float], lying: bool
) -> None:
    """A node above the joints is turned; or the joints lie, as in a file whose vertical axis is Z."""
    gltf, blob = contents(export.save(clip, tmp_path / "a.glb"))
    turn = rot.from_axis_angle(np.array(rig))
    gltf["nodes"].append({"name": "Armature", "children": [NECK], "rotation": np.roll(turn, -1).tolist()})
    gltf["scenes"][0]["nodes"] = [2, 3]
    if lying:
        gltf["nodes"][NECK]["rotation"] = [2**-0.5, 0, 0, 2**-0.5]
    back = export.load(repacked(tmp_path / "b.glb", gltf, blob))
    assert np.abs(back.head - clip.head).max() < 1e-5


def test_of_several_meshes_the_animated_one_is_read(clip: FaceMotion, tmp_path: Path) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / "a.glb"))
    gltf["meshes"].insert(0, gltf["meshes"][0])
    gltf["nodes"][2]["mesh"] = 1
    gltf["nodes"].append({"name": "teeth", "mesh": 0})
    back = export.load(repacked(tmp_path / "b.glb", gltf, blob))
    assert np.array_equal(back.weights, clip.weights)


@pytest.mark.parametrize("weight", [-0.6, 1.8])
def test_weights_far_from_0_to_1_are_refused(clip: FaceMotion, tmp_path: Path, weight: float) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / "a.glb"))
    weights = clip.weights.copy()
    weights[3, 17] = weight
    blob = with_values(gltf, blob, gltf["animations"][-1]["samplers"][0]["output"], weights)
    with pytest.raises(UserError, match=f"b.glb: key frame 4, {arkit.NAMES[17]}: {weight}; accepted weights from 0"):
        export.load(repacked(tmp_path / "b.glb", gltf, blob))


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
def test_steps_are_held(tmp_path: Path, suffix: str) -> None:
    weights = np.zeros((3, 52), np.float32)
    weights[:, 17] = 0.1, 0.9, 0.4
    angles = np.array([[0.1, 0, 0], [0.3, 0, 0], [0.2, 0, 0]])
    gltf, blob = contents(export.save(FaceMotion(weights, angles, 1.0), tmp_path / f"a{suffix}"))
    for sampler in gltf["animations"][-1]["samplers"]:
        sampler["interpolation"] = "STEP"
    back = export.load(repacked(tmp_path / f"b{suffix}", gltf, blob))
    assert (len(back), back.fps) == (61, 30)
    np.testing.assert_allclose(back.weights[[0, 29, 30, 59, 60], 17], [0.1, 0.1, 0.9, 0.9, 0.4], atol=1e-6)
    np.testing.assert_allclose(back.head[[0, 29, 30, 59, 60], 0], [0.1, 0.1, 0.3, 0.3, 0.2], atol=1e-5)

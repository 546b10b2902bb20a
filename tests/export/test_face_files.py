"""Faces in .glb and .vrma: structure, values, and reading back."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export.face import vrma
from avatargpt.export.head.head import PIVOT, head, turned
from avatargpt.export.head.morphs import morphs
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.io import gltf_rigs
from vqvae.io.gltf import unpacked
from vqvae.motion import Motion


@pytest.fixture
def clip() -> FaceMotion:
    rng = np.random.default_rng(0)
    weights = np.abs(np.sin(np.linspace(0, 3, 40)[:, None] + rng.uniform(0, 3, 52)))
    head_angles = 0.4 * np.sin(np.linspace(0, 4, 40)[:, None] + np.array([0, 1, 2]))
    return FaceMotion(weights, head_angles, 30.0, "a test")


def contents(path: Path) -> tuple[dict, bytes]:
    raw = path.read_bytes()
    magic, version, size = struct.unpack_from("<4sII", raw)
    assert (magic, version, size) == (b"glTF", 2, len(raw)) and size % 4 == 0
    length = struct.unpack_from("<I", raw, 12)[0]
    return json.loads(raw[20 : 20 + length]), raw[28 + length :]


def floats(gltf: dict, blob: bytes, index: int) -> np.ndarray:
    a = gltf["accessors"][index]
    start = gltf["bufferViews"][a["bufferView"]].get("byteOffset", 0)
    return np.frombuffer(blob, "<f4", a["count"] * {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[a["type"]], start)


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
def test_back_again(clip: FaceMotion, tmp_path: Path, suffix: str) -> None:
    path = export.save(clip, tmp_path / f"a{suffix}")
    back = export.load(path)
    assert isinstance(back, FaceMotion) and (back.fps, back.caption) == (30.0, "a test")
    assert np.array_equal(back.weights, clip.weights)
    assert np.abs(back.head - clip.head).max() < 1e-6
    one = export.load(export.save(clip.slice(0, 1), tmp_path / f"b{suffix}"))
    assert len(one) == 1


def repacked(path: Path, gltf: dict, blob: bytes) -> Path:
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    blob += b"\0" * (-len(blob) % 4)
    parts = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts)
    return path


def with_times(gltf: dict, blob: bytes, sampler: dict, times: np.ndarray) -> bytes:
    """Another accessor of times for a sampler."""
    gltf["bufferViews"].append({"buffer": 0, "byteOffset": len(blob), "byteLength": 4 * len(times)})
    about = {"componentType": 5126, "type": "SCALAR", "count": len(times), "bufferView": len(gltf["bufferViews"]) - 1}
    gltf["accessors"].append({**about, "min": [float(times[0])], "max": [float(times[-1])]})
    sampler["input"] = len(gltf["accessors"]) - 1
    gltf["buffers"][0]["byteLength"] = len(blob) + 4 * len(times)
    return blob + times.astype("<f4").tobytes()


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
@pytest.mark.parametrize("extras", [True, False])
def test_every_track_may_have_times_of_its_own(clip: FaceMotion, tmp_path: Path, suffix: str, extras: bool) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / f"a{suffix}"))
    samplers = [s for a in gltf["animations"] for s in a["samplers"]]
    for one in samplers:
        blob = with_times(gltf, blob, one, floats(gltf, blob, one["input"]))
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
    for one in [s for a in gltf["animations"] for s in a["samplers"]]:
        blob = with_times(gltf, blob, one, times)
    back = export.load(repacked(tmp_path / f"b{suffix}", gltf, blob))
    assert back.fps == 30.0 and len(back) == round((times[-1] - times[0]) * 30) + 1
    wanted = np.interp(times[0] + np.arange(len(back)) / 30, times, clip.channel("jawOpen"))
    assert np.allclose(back.channel("jawOpen"), wanted, atol=1e-4)
    falling = with_times(gltf, blob, gltf["animations"][0]["samplers"][0], times[::-1])
    with pytest.raises(UserError, match="not a whole"):
        export.load(repacked(tmp_path / f"c{suffix}", gltf, falling))


@pytest.mark.parametrize("missing", [False, True])
def test_clips_of_hours_keep_their_rate(missing: bool) -> None:
    """Seconds in float32 are coarse there; a key frame that is missing still shows."""
    times = (np.arange(500_000) / 120).astype("<f4").astype(float)
    got, fps = gltf_rigs.frames([np.delete(times, 400_000) if missing else times], 120.0)
    assert (fps, len(got)) == ((30.0, 125_001) if missing else (120.0, 500_000))


@pytest.mark.parametrize("kind", [5120, 5121, 5122, 5123])
def test_key_frames_as_normalised_integers(kind: int) -> None:
    form, largest = {5120: ("<i1", 127), 5121: ("<u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535)}[kind]
    wanted = np.array([0, largest, largest // 2] + ([-largest, -largest - 1] if "i" in form else []))
    got = unpacked(b"\0\0" + wanted.astype(form).tobytes(), 2, len(wanted), kind, True)
    assert np.allclose(got, np.maximum(wanted / largest, -1), atol=1e-6)
    with pytest.raises(ValueError, match="floats and normalised"):
        unpacked(bytes(8), 0, 2, kind, False)


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
    for sampler in gltf["animations"][0]["samplers"]:
        sampler["interpolation"] = "CUBICSPLINE"
    said = "cubic splines; accepted" if name != "body.glb" else "9 values of 9 key frames"
    with pytest.raises(UserError, match=said):
        export.load(repacked(tmp_path / f"b{name}", gltf, blob))


@pytest.mark.parametrize("as_matrix", [False, True])
def test_rotations_at_rest_are_taken_from_the_head(clip: FaceMotion, tmp_path: Path, as_matrix: bool) -> None:
    """The same pose on bones that are turned at rest: world before and after, from VRM's definition."""
    gltf, blob = contents(export.save(clip, tmp_path / "a.vrma"))
    bones = gltf["extensions"]["VRMC_vrm_animation"]["humanoid"]["humanBones"]
    turned_by = {"hips": [0, 1, 0], "chest": [0.3, 0, 1], "head": [1.5, 0.2, 0]}
    rest = {name: rot.from_axis_angle(np.array(v, float)) for name, v in turned_by.items()}
    for name, q in rest.items():
        node = gltf["nodes"][bones[name]["node"]]
        if as_matrix and name != "head":  # what moves has none
            whole = np.eye(4)
            whole[:3, :3] = rot.to_matrix(q) * 0.01
            whole[:3, 3] = node.pop("translation")
            node["matrix"] = whole.T.ravel().tolist()
        else:
            node["rotation"] = np.roll(q, -1).tolist()
    above = rot.multiply(rest["hips"], rest["chest"])
    world = rot.multiply(above, rest["head"])
    # what turns the head by `wanted` in the world: above x local = wanted x above x rest
    local = rot.multiply(rot.conjugate(above), rot.multiply(turns(clip.head), world))
    channel = next(c for c in gltf["animations"][0]["channels"] if c["target"]["node"] == bones["head"]["node"])
    output = gltf["animations"][0]["samplers"][channel["sampler"]]["output"]
    gltf["accessors"][output]["bufferView"] = len(gltf["bufferViews"])
    gltf["bufferViews"].append({"buffer": 0, "byteOffset": len(blob), "byteLength": 16 * len(clip)})
    blob += np.roll(local, -1, axis=-1).astype("<f4").tobytes()
    assert np.abs(export.load(repacked(tmp_path / "b.vrma", gltf, blob)).head - clip.head).max() < 1e-5


def test_a_head_in_an_animation_of_its_own(clip: FaceMotion, tmp_path: Path) -> None:
    gltf, blob = contents(export.save(clip, tmp_path / "a.glb"))
    one = gltf["animations"][0]
    parts = [[c for c in one["channels"] if (c["target"]["path"] == "rotation") == turn] for turn in (True, False)]
    gltf["animations"] = [{"samplers": one["samplers"], "channels": p} for p in parts]
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
        assert (np.diff(index.astype(int)) > 0).all() and np.array_equal(full, morphs()[i])
        assert np.allclose(a["min"], full.min(0)) and np.allclose(a["max"], full.max(0))
    assert {c["target"]["path"] for c in gltf["animations"][0]["channels"]} == {"weights", "rotation"}
    assert gltf["nodes"][1]["name"] == "head"


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
    parents = {c: i for i, n in enumerate(nodes) for c in n.get("children", [])}
    chain, at = [], bones["head"]["node"]
    while at in parents:
        at = parents[at]
        chain.append(nodes[at]["name"])
    assert chain == ["neck", "chest", "spine", "hips"]
    expressions = about["expressions"]
    assert set(expressions["custom"]) == set(arkit.NAMES)
    assert {"aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft", "blinkRight", "happy"} <= set(expressions["preset"])
    assert not any(n.startswith("look") for n in expressions["preset"])
    tracks = {(c["target"]["node"], c["target"]["path"]): gltf["animations"][0]["samplers"][c["sampler"]]["output"]
              for c in gltf["animations"][0]["channels"]}  # fmt: skip
    moved = [n for n, path in tracks if path == "translation"]
    assert set(moved) == {e["node"] for table in expressions.values() for e in table.values()}
    jaw = floats(gltf, blob, tracks[(expressions["custom"]["jawOpen"]["node"], "translation")]).reshape(-1, 3)
    assert np.array_equal(jaw[:, 0], clip.channel("jawOpen")) and not jaw[:, 1:].any()
    assert (about["lookAt"]["node"], "rotation") in tracks and len(about["lookAt"]["offsetFromHeadBone"]) == 3


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
    values = np.zeros((1, 52))
    for name, w in weights.items():
        values[0, [arkit.INDEX[n] for n in arkit.expand(name)]] = w
    found = vrma.presets(FaceMotion(values, np.zeros((1, 3))))
    return {k: float(v[0]) for k, v in found.items() if v[0] > 0.01}


def test_presets_follow_the_table() -> None:
    assert presets() == {}
    assert presets(eyeBlink=1) == {"blink": 1}
    assert presets(eyeBlinkLeft=1) == {"blinkLeft": 1}
    assert max(presets(jawOpen=0.6), key=presets(jawOpen=0.6).get) == "aa"
    assert max(presets(mouthPucker=0.9), key=presets(mouthPucker=0.9).get) == "ou"
    assert max(presets(mouthFunnel=0.8, jawOpen=0.6), key=presets(mouthFunnel=0.8, jawOpen=0.6).get) == "oh"
    assert max(presets(mouthStretch=0.5, jawOpen=0.5), key=presets(mouthStretch=0.5, jawOpen=0.5).get) == "ee"
    assert max(presets(mouthStretch=0.5), key=presets(mouthStretch=0.5).get) == "ih"
    assert set(presets(mouthSmile=1)) == {"happy"} and set(presets(browDown=1)) == {"angry"}
    assert presets(jawOpen=0.5, mouthClose=0.5) == {}


def test_angles_turn_the_head_as_they_say() -> None:
    nose = np.array([0.0, 0, 1])
    for angle, axis, sign in (((0.3, 0, 0), 0, 1), ((0, 0.3, 0), 1, 1)):
        assert sign * rot.rotate(turns(np.array([angle]))[0], nose)[axis] > 0.25
    assert rot.rotate(turns(np.array([[0, 0, 0.3]]))[0], np.array([0.0, 1, 0]))[0] < -0.25  # to the right shoulder
    angles = np.random.default_rng(1).uniform(-1, 1, (50, 3))
    assert np.allclose(angles_of(turns(angles)), angles, atol=1e-6)
    shape = head()
    points = turned(shape.points.astype(float), turns(np.array([[0.4, 0.1, 0.1]]))[0])
    assert np.allclose(points[shape.part("collar")], shape.points[shape.part("collar")])
    away = np.linalg.norm(points[shape.part("eyeLeft")] - PIVOT, axis=1)
    assert np.allclose(away, np.linalg.norm(shape.points[shape.part("eyeLeft")] - PIVOT, axis=1), atol=1e-6)


@pytest.mark.parametrize("suffix", [".vrma", ".glb"])
@pytest.mark.parametrize("damage", [b"", b"no glTF", b"glTF\x02\0\0\0\xff\0\0\0"])
def test_damaged_files(tmp_path: Path, suffix: str, damage: bytes) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(damage)
    with pytest.raises(UserError, match="accepted"):
        export.load(path)


def test_cut_short(clip: FaceMotion, tmp_path: Path) -> None:
    for suffix in (".vrma", ".glb"):
        path = export.save(clip, tmp_path / f"a{suffix}")
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(UserError):
            export.load(path)


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
    path = export.save(clip, tmp_path / "a.vrma")
    gltf, blob = contents(path)
    damage(gltf)
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(blob)
    parts = struct.pack("<4sII", b"glTF", 2, size), struct.pack("<I4s", len(text), b"JSON"), text
    path.write_bytes(b"".join(parts) + struct.pack("<I4s", len(blob), b"BIN\0") + blob)
    with pytest.raises(UserError, match=r"not a whole \.vrma"):
        export.load(path)

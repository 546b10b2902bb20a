"""Motions on characters: files that keep what they had, limbs as ours, feet that stand, and what is refused."""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.character import load_character, notes_of
from avatargpt.export.viseme_files import OCULUS, poses
from benchmarks import characters
from tests.avatar.conftest import gestures
from tests.export.readers import contents, floats, repacked
from tests.factories import marching, write_character
from tests.vqvae import rigs
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.bvh import euler_angles, read_bvh_rig
from vqvae.io.gltf import pack_glb, read_gltf
from vqvae.io.gltf_rigs import read_rig
from vqvae.motion import Motion
from vqvae.moving_ground import WHOLE, MovingGround
from vqvae.retarget import leg_length, retarget
from vqvae.rig import Rig, joint_map, world
from vqvae.skeleton import FINGERS, SMPL22

FEET = ("l_foot", "r_foot")


def moved(path: Path) -> Rig:
    """The last movement of a file, as our reader has it."""
    if path.suffix == ".bvh":
        return read_bvh_rig(path)
    gltf = read_gltf(path)
    return read_rig(gltf, path, gltf.animations[-1].name)


def in_metres(rig: Rig) -> dict[str, np.ndarray]:
    """Our joint -> places (T, 3) of a rig's, metres of our body."""
    at = joint_map(rig)
    scale = leg_length(SMPL22.rest_joints, {n: SMPL22.index(n) for n in SMPL22.names}) / leg_length(rig.rest_joints, at)
    return {name: world(rig)[0][:, j] * scale for name, j in at.items()}


def limbs_off(places: dict[str, np.ndarray], motion: Motion) -> float:
    return rigs.limbs_off(places, rigs.places_of(motion.joints))


@pytest.mark.parametrize("suffix", [".glb", ".vrm", ".bvh"])
def test_a_movement_comes_back(tmp_path: Path, suffix: str) -> None:
    """In the axes, the unit and the proportions of the character, which differ from ours in all ways."""
    motion = marching()
    character = write_character(tmp_path / f"child{suffix}")
    path = export.save(motion, tmp_path / f"out{suffix}", character=character)
    rig = moved(path)
    assert rig.names == moved(character).names and limbs_off(in_metres(rig), motion) < 5
    back = export.load(path if suffix == ".bvh" else f"{path}#a person marches")
    assert back.fps == pytest.approx(motion.fps) and len(back) == len(motion)
    turned = rigs.angles(back.rotations[:, :1], motion.rotations[:, :1])
    assert np.degrees(turned.max()) < 0.1 and np.abs(back.root - motion.root).max() < 0.1


@pytest.mark.parametrize("name", characters.KINDS)
def test_characters_of_many_programs(tmp_path: Path, name: str) -> None:
    """Names, proportions, axes and units as VRM, Mixamo, Ready Player Me, Unreal, KayKit and Rigify have them."""
    character = load_character(characters.build(characters.KINDS[name], tmp_path / "a.glb"))
    assert {*sum(rigs.LIMBS, ()), *FEET, "pelvis", "spine3", "head"} <= character.reading.joints.keys()
    assert character.reading.rest.source == "the pose of the mesh"
    (one,) = characters.taken(character, [marching(40)], tmp_path / "out.glb")
    values = characters.figures(one, character)
    assert values["limbs_p95"] < 5 and values["skate_p95_cm"] < 1 and values["lowest_cm"] > -1


def test_wide_hips_swing_as_far_as_ours(tmp_path: Path) -> None:
    """Three times as wide, they would move feet that stand by three times as much, and bend straight legs."""
    motion, t = marching(), np.arange(80) / 20
    sway = rot.from_axis_angle(np.stack([0 * t, 0.15 * np.sin(6 * t), 0.08 * np.sin(5 * t)], -1))
    q = motion.rotations.copy()
    q[:, 0] = sway
    for hip in (1, 2):  # legs stay as they are in the world
        q[:, hip] = rot.multiply(rot.conjugate(sway), motion.rotations[:, hip])
    motion = replace(motion, rotations=q)
    character = write_character(tmp_path / "wide.bvh", hip=2.0)
    places = in_metres(moved(export.save(motion, tmp_path / "out.bvh", character=character)))
    assert limbs_off(places, motion) < 6.5
    ours, theirs = ({s: p[f"{s}_hip"] - p["pelvis"] for s in "lr"} for p in (rigs.places_of(motion.joints), places))
    for axis in (1, 2):
        swing, wide = (np.ptp((p["l"] - p["r"])[20:60, axis]) for p in (ours, theirs))
        assert wide < 1.6 * swing


def on_hands_and_knees() -> Motion:
    """Hands go on from the arms, straight down."""
    q = rot.identity((20, 22))
    turns = {"pelvis": (1.4, 0, 0), "l_hip": (-1.4, 0, 0), "r_hip": (-1.4, 0, 0), "l_knee": (1.57, 0, 0),
             "r_knee": (1.57, 0, 0)}  # fmt: skip
    for name, turn in turns.items():
        q[:, SMPL22.index(name)] = rot.from_axis_angle(np.array(turn))
    level = rot.from_axis_angle(np.array([-1.4, 0, 0]))
    for side, sign in (("l", 1), ("r", -1)):  # straight down
        down = rot.from_axis_angle(np.array([0, 0, -np.pi / 2 * sign]))
        q[:, SMPL22.index(f"{side}_shoulder")] = rot.multiply(level, down)
    motion = Motion(q, np.zeros((20, 3)), 20.0, caption="on hands and knees")
    low = motion.joints[0, [SMPL22.index("l_knee"), SMPL22.index("l_wrist")], 1]
    return replace(motion, root=motion.root + [0, 0.03 - low.min(), 0])


def test_hands_lie_flat_on_the_floor(tmp_path: Path) -> None:
    motion = on_hands_and_knees()
    character = export.save(rigs.talking(), tmp_path / "ours.glb")
    path = export.save(motion, tmp_path / "out.glb", character=character)
    rig = read_rig(read_gltf(path), path, motion.caption, hands=True)
    places = dict(zip(rig.names, world(rig)[0].transpose(1, 0, 2), strict=True))
    assert min(place[:, 1].min() for name, place in places.items() if name[2:-1] in FINGERS) > -0.005
    hand = places["l_middle3"] - places["l_wrist"]
    back = np.cross(hand, places["l_pinky1"] - places["l_index1"])
    assert (back[:, 1] > 0).all()  # bent towards its back, not its palm


def test_long_arms_raise_the_trunk(tmp_path: Path) -> None:
    """Of somebody on hands and knees, whose legs stay on the floor."""
    motion = on_hands_and_knees()
    character = write_character(tmp_path / "ape.bvh", elbow=0.9, wrist=0.9)
    places = in_metres(moved(export.save(motion, tmp_path / "out.bvh", character=character)))
    assert limbs_off(places, motion) < 5
    assert abs(places["l_knee"][:, 1]).max() < 0.2
    assert places["l_wrist"][:, 1].min() > -0.01 and places["l_wrist"][:, 1].max() < 0.12


def test_feet_stand_on_ground_that_moves(tmp_path: Path) -> None:
    """As if the way were not taken out."""
    ground = MovingGround.of(WHOLE, np.array([0.0, 0, -1.2]), 4.0)
    march = marching()
    there = replace(march, root=march.root + np.arange(80)[:, None] / 20 * ground.velocity, notes=(ground,))
    character = write_character(tmp_path / "wide.bvh", hip=2.0)
    on, off = (in_metres(moved(export.save(m, tmp_path / "out.bvh", character=character))) for m in (there, march))
    for name in FEET:
        np.testing.assert_allclose(on[name] - np.arange(80)[:, None] / 20 * ground.velocity, off[name], atol=1e-3)


@pytest.mark.parametrize("suffix", [".glb", ".bvh"])
def test_feet_stand(tmp_path: Path, suffix: str) -> None:
    """Of thighs and shins of another ratio, feet would float and slide by centimetres."""
    motion = marching()
    places = in_metres(moved(export.save(motion, tmp_path / f"out{suffix}",
                                         character=write_character(tmp_path / f"child{suffix}"))))  # fmt: skip
    ours = motion.joints[:, [SMPL22.index(n) for n in FEET]].astype(np.float64)
    low = ours[..., 1] < ours[..., 1].min() + 1e-3
    assert low.any(0).all() and not low.all(0).any()
    theirs = np.stack([places[n] for n in FEET], 1)
    for side in (0, 1):
        toe, stands = theirs[:, side], low[:, side]
        away = np.linalg.norm((toe - toe[stands].mean(0))[stands][:, [0, 2]], axis=-1)
        assert np.percentile(away, 95) < 0.01
        assert np.ptp(toe[stands, 1]) < 0.01 and toe[:, 1].min() > toe[stands, 1].max() - 0.01
        assert toe[~stands, 1].max() > toe[stands, 1].max() + 0.1


def test_a_glb_keeps_what_it_had(tmp_path: Path) -> None:
    character = write_character(tmp_path / "child.glb")
    before, blob = contents(character)
    path = export.save(marching(), tmp_path / "out.glb", character=character)
    after, longer = contents(path)
    assert longer.startswith(blob)
    for key, value in before.items():
        if key in ("accessors", "bufferViews", "animations"):
            assert after[key][: len(value)] == value
        elif key != "buffers":
            assert after[key] == value
    assert [a["name"] for a in after["animations"]] == ["Idle", "a person marches"]
    again, _ = contents(export.save(marching(), tmp_path / "twice.glb", character=path))
    assert [a["name"] for a in again["animations"]][1:] == ["a person marches", "a person marches 2"]
    times = max(s["input"] for s in after["animations"][1]["samplers"])
    assert floats(after, longer, times)[:, 0] == pytest.approx(np.arange(80) / 20)


@pytest.mark.parametrize("names", ["arkit", "oculus"])
def test_a_character_with_targets_of_a_face_speaks(tmp_path: Path, names: str) -> None:
    character = write_character(tmp_path / "child.glb")
    gltf, blob = contents(character)
    visemes = ["viseme_sil", "viseme_PP", "viseme_aa", "viseme_I", "viseme_O", "viseme_U"]
    targets = [*visemes, "hat", *(arkit.NAMES if names == "arkit" else ("eyeBlinkLeft",))]
    gltf["meshes"] = [{"primitives": [], "extras": {"targetNames": targets}, "weights": [0.0] * 6 + [0.25]}]
    gltf["nodes"].append({"name": "Wolf3D_Head", "mesh": 0})
    character.write_bytes(pack_glb(gltf, blob))
    weights = np.zeros((40, 52))
    weights[:, arkit.INDEX["eyeBlinkLeft"]] = np.linspace(0, 1, 40)
    weights[20:] += poses()[OCULUS.index("ou")] * 0.8
    avatar = AvatarMotion(gestures(40), FaceMotion(weights, np.zeros((40, 3)), 30.0))
    after, longer = contents(export.save(avatar, tmp_path / "out.glb", character=character))
    animation = after["animations"][-1]
    (number,) = [c["sampler"] for c in animation["channels"] if c["target"]["path"] == "weights"]
    written = floats(after, longer, animation["samplers"][number]["output"]).reshape(40, len(targets))
    at = {name: written[:, k] for k, name in enumerate(targets)}
    assert at["eyeBlinkLeft"] == pytest.approx(np.linspace(0, 1, 40), abs=1e-6) and at["hat"] == pytest.approx(0.25)
    spoken = [0.0] * 20 + [0.8] * 20
    if names == "arkit":  # both kinds would open the mouth twice
        assert at["mouthPucker"] == pytest.approx([0.75 * s for s in spoken], abs=1e-6)
        assert not any(at[n].any() for n in visemes)
    else:
        assert at["viseme_U"] == pytest.approx(spoken, abs=1e-3) and at["viseme_aa"] == pytest.approx(0, abs=1e-3)
    (line,) = [note for note in notes_of(load_character(character), "avatar") if note.startswith("face: ")]
    assert ("52 of 52 shapes" in line) == (names == "arkit") and ("visemes" in line) == (names == "oculus")


def test_a_gltf_becomes_a_glb_with_all_in_it(tmp_path: Path) -> None:
    """Its buffers, one of them inside its JSON, and a picture beside it."""
    gltf, blob = contents(write_character(tmp_path / "child.glb"))
    picture, views = b"\x89PNG picture", gltf["bufferViews"]
    cut = views[len(views) // 2]["byteOffset"]
    for view in views[len(views) // 2 :]:
        view |= {"buffer": 1, "byteOffset": view["byteOffset"] - cut}
    inside = "data:application/octet-stream;base64," + base64.b64encode(blob[cut:]).decode()
    gltf["buffers"] = [{"byteLength": cut, "uri": "a%20b.bin"}, {"byteLength": len(blob) - cut, "uri": inside}]
    gltf |= {"images": [{"uri": "skin.png"}], "textures": [{"source": 0}]}
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "a b.bin").write_bytes(blob[:cut])
    character = folder / "child.gltf"
    character.write_text(json.dumps(gltf))
    with pytest.raises(UserError, match=r"skin\.png: no such file; child\.gltf needs it"):
        export.save(marching(), tmp_path / "out.glb", character=character)
    (folder / "skin.png").write_bytes(picture)
    path = export.save(marching(), tmp_path / "out.glb", character=character)
    after, longer = contents(path)
    assert limbs_off(in_metres(moved(path)), marching()) < 5
    assert len(after["buffers"]) == 1 and "uri" not in after["buffers"][0] | after["images"][0]
    view = after["bufferViews"][after["images"][0]["bufferView"]]
    assert longer[view["byteOffset"] :][: view["byteLength"]] == picture
    assert after["images"][0]["mimeType"] == "image/png"
    before = contents(tmp_path / "child.glb")
    for accessor in range(len(gltf["accessors"])):
        np.testing.assert_array_equal(floats(after, longer, accessor), floats(*before, accessor))


def test_a_character_is_read_once(tmp_path: Path) -> None:
    path = write_character(tmp_path / "child.glb")
    character = load_character(path)
    path.unlink()
    outs = [export.save(marching(n), tmp_path / f"{n}.glb", character=character) for n in (4, 8)]
    assert [len(moved(out).rotations) for out in outs] == [4, 8]


def test_a_node_with_a_matrix_may_be_animated(tmp_path: Path) -> None:
    character = write_character(tmp_path / "child.glb")
    gltf, blob = contents(character)
    hips = next(n for n in gltf["nodes"] if n["name"] == "mixamorig:Hips")
    matrix = np.eye(4)
    x, y, z, w = hips.pop("rotation")
    matrix[:3, :3], matrix[:3, 3] = rot.to_matrix(np.array([w, x, y, z])), hips.pop("translation")
    gltf["animations"], hips["matrix"] = [], matrix.T.ravel().tolist()
    other = repacked(tmp_path / "matrix.glb", gltf, blob)
    path = export.save(marching(), tmp_path / "out.glb", character=other)
    assert "matrix" not in next(n for n in contents(path)[0]["nodes"] if n["name"] == "mixamorig:Hips")
    assert limbs_off(in_metres(moved(path)), marching()) < 5


def test_a_bvh_keeps_its_hierarchy(tmp_path: Path) -> None:
    character = write_character(tmp_path / "child.bvh")
    path = export.save(marching(), tmp_path / "out.bvh", character=character)
    heads = [file.read_text().split("MOTION")[0] for file in (character, path)]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("order", ["xyz", "xzy", "yxz", "yzx", "zxy", "zyx"])
def test_angles_in_any_order(order: str) -> None:
    q = rot.normalize(np.random.default_rng(0).normal(size=(20, 3, 4)))
    axes = ["xyz".index(c) for c in order]
    back = rot.identity(q.shape[:2])
    for k, axis in enumerate(axes):
        angle = np.radians(euler_angles(q, axes)[..., k, None])
        back = rot.multiply(back, rot.from_axis_angle(angle * np.eye(3)[axis]))
    assert rigs.angles(back, q).max() < 1e-6


@pytest.mark.parametrize("suffix", [".glb", ".bvh"])
def test_a_root_on_the_ground(tmp_path: Path, suffix: str) -> None:
    """The bone above the hips goes along below them; no joint is elsewhere for it."""
    motion = replace(marching(), root=marching().root + np.linspace(0, 2, 80)[:, None] * [0.5, 0, 1])
    character = tmp_path / f"child{suffix}"
    write_character(character)
    if suffix == ".bvh":
        text = character.read_text().replace("ROOT", "JOINT", 1).replace("HIERARCHY\n", "HIERARCHY\nROOT Root\n{\n"
            "OFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n", 1)  # fmt: skip
        head, _, rows = text.partition("MOTION\n")
        lines = rows.splitlines()
        rows = "\n".join([*lines[:2], *(f"0 0 0 {line}" for line in lines[2:])])
        character.write_text(f"{head}}}\nMOTION\n{rows}\n")
    plain, ground = (export.save(motion, tmp_path / f"{root}{suffix}", character=character, root=root)
                     for root in ("hips", "ground"))  # fmt: skip
    places = [in_metres(moved(path)) for path in (plain, ground)]
    assert max(np.abs(places[0][n] - places[1][n]).max() for n in places[0]) < 1e-4
    if suffix == ".bvh":
        rig = moved(ground)
        hips, root = world(rig)[0][:, rig.names.index("mixamorig:Hips")], world(rig)[0][:, 0]
        assert np.abs((hips - root)[:, [0, 2]]).max() < 1e-4 and np.ptp(root[:, 1]) < 1e-4
        return
    gltf, blob = contents(ground)
    tracks = {(c["target"]["node"], c["target"]["path"]): gltf["animations"][-1]["samplers"][c["sampler"]]["output"]
              for c in gltf["animations"][-1]["channels"]}  # fmt: skip
    way = floats(gltf, blob, tracks[0, "translation"])  # the armature's
    assert np.ptp(way, 0) == pytest.approx([0.55, 0, 1.1], rel=0.15)


def test_fingers(tmp_path: Path) -> None:
    """On a skeleton of our own names with fingers, the hands come back; without fingers they are left out."""
    talking = rigs.talking()
    character = export.save(talking, tmp_path / "ours.glb")
    path = export.save(talking.with_caption("again"), tmp_path / "out.glb", character=character)
    back = retarget(read_rig(read_gltf(path), path, "again", hands=True), hands=True)
    assert back.fingers is not None and talking.fingers is not None
    assert np.degrees(rigs.angles(back.fingers, talking.fingers).max()) < 0.1
    bare = export.save(talking, tmp_path / "bare.glb", character=write_character(tmp_path / "child.glb"))
    assert moved(bare).names == moved(tmp_path / "child.glb").names


@pytest.mark.parametrize(
    ("name", "target", "root", "says"),
    [
        ("child.glb", "a.bvh", "hips", "a.bvh: the character is a .glb; accepted output as .glb or .fbx"),
        ("child.vrm", "a.npz", "hips", "a.npz: the character is a .vrm; accepted output as .vrm or .glb or .fbx"),
        ("child.bvh", "a.bvh", "ground", "--root ground: nothing is above the hips"),
        ("child.glb", "a.glb", "feet", "root 'feet'; accepted hips, ground"),
        ("child.obj", "a.obj", "hips", "no character; accepted a file in one of .bvh .fbx .glb .gltf .vrm"),
        ("none.glb", "a.glb", "hips", "none.glb: no such file"),
        ("broken.glb", "a.glb", "hips", "broken.glb: not a glTF"),
        ("elephant.bvh", "a.bvh", "hips", "no human body"),
        ("bent.glb", "a.glb", "hips", "no skin, T-pose or A-pose tells how its joints are at rest"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, target: str, root: str, says: str) -> None:
    character = tmp_path / name
    if name.startswith("child"):
        write_character(tmp_path / "child.glb").replace(character) if ".obj" in name else write_character(character)
    elif name == "broken.glb":
        character.write_bytes(b"glTG")
    elif name == "elephant.bvh":
        character.write_text(rigs.bvh_text(rigs.elephant()))
    elif name == "bent.glb":
        file = rigs.GltfFile({"Walk": rigs.as_rig(rigs.motion(), rigs.MIXAMO)}, rigs.along_bones(0), skin=False)
        gltf, blob = contents(file.save(character))
        gltf["animations"] = []
        for node in gltf["nodes"]:
            if node["name"].endswith("LeftLeg"):
                node["rotation"] = [0.0, 0.5, 0, 0.75**0.5]
        repacked(character, gltf, blob)
    with pytest.raises(UserError) as error:
        export.save(marching(4), tmp_path / target, character=character, root=root)
    assert says in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / target).exists()

"""Motions on ten characters: directions of limbs, feet that hold, the floor, and joints in Blender and three.js.

The characters have names, proportions, rest poses, axes and units as programs give them: VRM 0 and 1, Mixamo, Ready
Player Me, Unreal, KayKit, Rigify. They are built here, of boxes. Angles are between a limb (thighs, shins, upper arms,
forearms) and the motion's; a toe holds where the motion's does. Blender is looked up as for .fbx."""

import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avatargpt import export
from avatargpt.export.character import Character, load_character
from avatargpt.export.fbx import find_blender
from vqvae import rotations as rot
from vqvae.contact import standing
from vqvae.errors import UserError
from vqvae.ground import support_level
from vqvae.io.gltf import read_gltf
from vqvae.io.gltf_rigs import GltfSkeleton, read_rig
from vqvae.motion import Motion
from vqvae.planting import SLIPS
from vqvae.posture import degrees
from vqvae.rig import Rig, world
from vqvae.skeleton import SMPL22
from vqvae.smoothing import runs_of

FRAMES = 5  # in which other programs are compared
LIMBS = [(f"{s}_{a}", f"{s}_{b}") for s in "lr" for a, b in (
    ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))]  # fmt: skip
_ORDER = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_MAYA = "UpLeg Leg Foot ToeBase Shoulder Arm ForeArm Hand"
_VRM = "UpperLeg LowerLeg Foot Toes Shoulder UpperArm LowerArm Hand"
_UNREAL = "thigh calf foot ball clavicle upperarm lowerarm hand"
_RIGIFY = "thigh shin foot toe shoulder upper_arm forearm hand"
_BONES = "hips spine chest upperChest neck head"


class Kind(NamedTuple):
    """A character: its names, what it differs in from our body, and how its file holds it.

    Attributes:
        shares: of the lengths of our bones, by joint; "trunk" of spine, chest and neck.
        width: of hips and shoulders. arms: degrees below the level at rest. axes: of its bones, along the bone or the
            world. unit: metres of a unit; vrm: version of VRM's extension; missing: joints that it lacks.
    """

    trunk: str
    limbs: str
    form: str
    sides: tuple[str, str]
    shares: dict[str, float] = {}
    width: float = 1.0
    arms: float = 0.0
    along: bool = False
    unit: float = 1.0
    lying: bool = False
    vrm: str = ""
    missing: tuple[str, ...] = ()


_CHIBI = {"knee": 0.42, "ankle": 0.4, "elbow": 0.5, "wrist": 0.5, "trunk": 0.6, "foot": 0.6, "head": 1.1}
KINDS = {
    "VRM 0": Kind("J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest J_Bip_C_Neck J_Bip_C_Head", _VRM,
                  "J_Bip_{side}_{limb}", ("L", "R"), {"knee": 1.05, "ankle": 1.05, "trunk": 0.9}, 0.9, vrm="0"),
    "VRM 1": Kind(_BONES, _VRM, "{side}{limb}", ("left", "right"), {"knee": 0.95, "trunk": 0.95}, 0.95, vrm="1"),
    "VRM 1, small": Kind(_BONES, _VRM, "{side}{limb}", ("left", "right"), _CHIBI, 0.7, 10.0, vrm="1",
                         missing=("spine2",)),
    "Mixamo": Kind("mixamorig:Hips mixamorig:Spine mixamorig:Spine1 mixamorig:Spine2 mixamorig:Neck mixamorig:Head",
                   _MAYA, "mixamorig:{side}{limb}", ("Left", "Right"), {"ankle": 1.1}, unit=0.01, along=True),
    "Mixamo, arms down": Kind("mixamorigHips mixamorigSpine mixamorigSpine1 mixamorigSpine2 mixamorigNeck "
                              "mixamorigHead", _MAYA, "mixamorig{side}{limb}", ("Left", "Right"),
                              {"trunk": 1.15, "knee": 0.9, "elbow": 1.15, "wrist": 1.15}, 1.2, 45.0, True, 0.01, True),
    "Ready Player Me": Kind("Hips Spine Spine1 Spine2 Neck Head", _MAYA, "{side}{limb}", ("Left", "Right"),
                            {"knee": 1.1, "ankle": 1.05}, 0.85, 40.0, True),
    "Unreal": Kind("pelvis spine_01 spine_02 spine_03 neck_01 head", _UNREAL, "{limb}_{side}", ("l", "r"),
                   {"knee": 1.1, "ankle": 1.0, "trunk": 1.1}, 1.05, 50.0, True, 0.01, True),
    "KayKit": Kind("hips spine chest upperchest neck head", _VRM.lower(), "{limb}.{side}", ("l", "r"),
                   {"knee": 0.59, "ankle": 0.37, "trunk": 0.85, "elbow": 0.93, "wrist": 1.04, "foot": 1.2}, 2.4,
                   along=True, missing=("spine2", "neck", "l_collar", "r_collar")),
    "Rigify": Kind("DEF-spine DEF-spine.001 DEF-spine.002 DEF-spine.003 DEF-spine.004 DEF-spine.005", _RIGIFY,
                   "DEF-{limb}.{side}", ("L", "R"), {"knee": 1.05, "ankle": 0.95}, 1.1, 30.0, True),
    "child": Kind("Hips Spine Spine1 Spine2 Neck Head", _MAYA, "{side}{limb}", ("Left", "Right"),
                  {"knee": 0.5, "ankle": 0.5, "trunk": 0.65, "elbow": 0.55, "wrist": 0.55, "foot": 0.6, "head": 1.0},
                  0.65),
}  # fmt: skip


def build(kind: Kind, path: Path) -> Path:
    """Write a character as a .glb (a .vrm where it is one), with a box round every bone."""
    names = dict(zip(_TRUNK, kind.trunk.split(), strict=True))
    for side, word in zip("lr", kind.sides, strict=True):
        limbs = zip(_ORDER, kind.limbs.split(), strict=True)
        names |= {f"{side}_{ours}": kind.form.format(limb=limb, side=word) for ours, limb in limbs}
    joints = [n for n in SMPL22.names if n not in kind.missing]
    parents, places = [], np.zeros((len(joints), 3))
    for j, name in enumerate(joints):
        above, bone = SMPL22.parents[SMPL22.index(name)], _bone(kind, name)
        while above >= 0 and SMPL22.names[above] in kind.missing:  # its bone is added to the one below
            bone, above = bone + _bone(kind, SMPL22.names[above]), SMPL22.parents[above]
        parents.append(joints.index(SMPL22.names[above]) if above >= 0 else -1)
        places[j] = bone + (places[parents[j]] if parents[j] >= 0 else 0)
    places[:, 1] += 0.02 - places[:, 1].min()
    turn = 180.0 if kind.vrm == "0" else 0.0  # VRM 0 looks along -Z
    places = rot.rotate(rot.about_y(np.array(np.radians(turn))), places)
    ends = np.stack([_end(j, joints, parents, places) for j in range(len(joints))])
    axes = _along(ends - places) if kind.along else rot.identity((len(joints),)).astype(np.float64)
    _write(path, kind, [names[n] for n in joints], joints, parents, places, ends, axes)
    return path


def _bone(kind: Kind, name: str) -> np.ndarray:
    bone = SMPL22.offsets[SMPL22.index(name)].astype(np.float64)
    core = name[2:] if name[:2] in ("l_", "r_") else "trunk" if name != "head" else name
    if name == "pelvis":
        return np.zeros(3)
    bone = bone * kind.shares.get(core, 1.0)
    if core in ("hip", "collar", "shoulder"):
        bone = bone * [kind.width, 1, 1]
    if core in ("elbow", "wrist") and kind.arms:
        sign = -1.0 if name[0] == "l" else 1.0
        bone = rot.rotate(rot.from_axis_angle(np.array([0, 0, sign * np.radians(kind.arms)])), bone)
    return np.asarray(bone)


def _end(j: int, joints: list[str], parents: list[int], places: np.ndarray) -> np.ndarray:
    """Where a bone ends: at the middle joint below it, or a little further on."""
    below = [k for k, p in enumerate(parents) if p == j]
    middle = [k for k in below if joints[k][1] != "_"] or below
    if middle:
        return np.asarray(places[middle[0]])
    if joints[j] == "head":
        return np.asarray(places[j] + [0, 1.6 * abs(places[j, 1] - places[parents[j], 1]) + 0.08, 0])
    way = places[j] - places[parents[j]]
    return np.asarray(places[j] + (way * [1, 0, 1] if joints[j].endswith("foot") else way) * 0.4)


def _along(bones: np.ndarray) -> np.ndarray:
    """(J, 4) axes with Y along the bones (J, 3), as Blender has them."""
    y = np.broadcast_to(np.array([0.0, 1, 0]), bones.shape)
    return np.asarray(rot.between(y, bones / np.linalg.norm(bones, axis=1, keepdims=True)))


def _write(
    path: Path, kind: Kind, names: list[str], joints: list[str], parents: list[int], places: np.ndarray,
    ends: np.ndarray, axes: np.ndarray,
) -> None:  # fmt: skip
    """Nodes below an armature that scales and may turn, a skin and its mesh."""
    lie = rot.from_axis_angle(np.array([-np.pi / 2 if kind.lying else 0.0, 0, 0]))
    nodes: list[dict[str, Any]] = [
        {"name": "Armature", "scale": [kind.unit] * 3, "rotation": np.roll(lie, -1).tolist(), "children": [1]}
    ]
    for j, p in enumerate(parents):
        back = rot.conjugate(lie if p < 0 else axes[p])
        place = rot.rotate(back, places[j] - (places[p] if p >= 0 else 0)) / kind.unit
        children = [k + 1 for k, q in enumerate(parents) if q == j]
        turn = np.roll(rot.multiply(back, axes[j]), -1)
        nodes.append({"name": names[j], "translation": place.tolist(), "rotation": turn.tolist()}
                     | ({"children": children} if children else {}))  # fmt: skip
    bind = np.tile(np.eye(4), (len(parents), 1, 1))
    bind[:, :3, :3], bind[:, :3, 3] = rot.to_matrix(axes), places
    points, triangles = _boxes(joints, parents, places, ends)
    weights = np.zeros((len(points), 4), "<f4")
    weights[:, 0] = 1
    bones = np.zeros((len(points), 4), "<u2")
    bones[:, 0] = np.repeat(np.arange(len(parents)), 8)
    # vertices in metres; what the armature scales is in the inverse binds
    inverse = np.linalg.inv(bind @ np.diag([kind.unit] * 3 + [1]))
    arrays = [
        (points.astype("<f4"), "VEC3"), (bones, "VEC4"), (weights, "VEC4"), (triangles.astype("<u2").ravel(), "SCALAR"),
        (inverse.transpose(0, 2, 1).reshape(-1, 16).astype("<f4"), "MAT4"),
    ]  # fmt: skip
    blob, views, accessors = b"", [], []
    for k, (values, form) in enumerate(arrays):
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": values.nbytes})
        bounds = {"min": points.min(0).tolist(), "max": points.max(0).tolist()} if k == 0 else {}
        accessors.append({"bufferView": k, "count": len(values), "type": form, **bounds,
                          "componentType": {"<f4": 5126, "<u2": 5123}[values.dtype.str]})  # fmt: skip
        blob += values.tobytes() + b"\0" * (-values.nbytes % 4)
    attributes = {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}
    nodes.append({"name": "Body", "mesh": 0, "skin": 0})
    gltf: dict[str, Any] = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0, len(nodes) - 1]}], "nodes": nodes,
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3}]}],
        "skins": [{"joints": list(range(1, len(parents) + 1)), "inverseBindMatrices": 4}],
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": len(blob)}],
    }  # fmt: skip
    if kind.vrm:
        gltf |= _humanoid(kind, joints)
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _humanoid(kind: Kind, joints: list[str]) -> dict[str, Any]:
    """VRM's extension: which node is which bone."""
    plain = dict(zip(_TRUNK, _BONES.split(), strict=True))
    for side, word in (("l", "left"), ("r", "right")):
        plain |= {f"{side}_{a}": word + b for a, b in zip(_ORDER, _VRM.split(), strict=True)}
    bones = {plain[n]: j + 1 for j, n in enumerate(joints)}
    if kind.vrm == "0":
        rows = [{"bone": bone, "node": node} for bone, node in bones.items()]
        return {"extensionsUsed": ["VRM"], "extensions": {"VRM": {"humanoid": {"humanBones": rows}}}}
    meta = {"name": "boxes", "authors": ["AvatarGPT"], "licenseUrl": "https://vrm.dev/licenses/1.0/"}
    humanoid = {"humanBones": {bone: {"node": node} for bone, node in bones.items()}}
    extension = {"specVersion": "1.0", "meta": meta, "humanoid": humanoid}
    return {"extensionsUsed": ["VRMC_vrm"], "extensions": {"VRMC_vrm": extension}}


def _boxes(
    joints: list[str], parents: list[int], places: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(8 J, 3) corners and (12 J, 3) triangles."""
    points, triangles = [], []
    sides = np.array([(0, 1, 3), (0, 3, 2), (4, 7, 5), (4, 6, 7), (0, 5, 1), (0, 4, 5), (2, 3, 7), (2, 7, 6),
                      (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)])  # fmt: skip
    wide = np.linalg.norm(places[joints.index("l_shoulder")] - places[joints.index("r_shoulder")])
    for j, name in enumerate(joints):
        bone = ends[j] - places[j]
        length = max(float(np.linalg.norm(bone)), 0.02)
        trunk = name in ("pelvis", "spine1", "spine2", "spine3")
        half = (0.035 + length / 12,) * 2
        if trunk or name == "head":
            half = (0.4 * wide, 0.22 * wide) if trunk else (0.4 * length, 0.4 * length)
        a = _along(bone[None])[0]
        for x in (-1, 1):
            for y in (0.0, length):
                for z in (-1, 1):
                    points.append(places[j] + rot.rotate(a, np.array([x * half[0], y, z * half[1]])))
        triangles.append(sides + 8 * j)
    return np.array(points), np.concatenate(triangles)


class Taken(NamedTuple):
    """A motion on a character, read back.

    Attributes:
        name: of the animation. nodes: names of the joints' nodes.
        places, turns: (T, J, 3) and (T, J, 3, 3) of the file's joints in its world.
    """

    motion: Motion
    name: str
    nodes: list[str]
    rig: Rig
    places: np.ndarray
    turns: np.ndarray


def taken(character: Character, motions: list[Motion], path: Path) -> list[Taken]:
    """Write all motions into one file and read each back."""
    names = []
    for motion in motions:
        export.save(motion, path, character=character)
        character = load_character(path)
        names.append(read_gltf(path).animations[-1].name)
    gltf, out = read_gltf(path), []
    nodes = [gltf.nodes[n].name if n >= 0 else "" for n in GltfSkeleton(gltf, hands=True).nodes]
    for motion, name in zip(motions, names, strict=True):
        rig = read_rig(gltf, path, name)
        places, turns = world(rig)
        out.append(Taken(motion, name, nodes, rig, places, turns))
    return out


def figures(one: Taken, character: Character) -> dict[str, float]:
    """Degrees of limbs (95th percentile, most), centimetres of toes that hold (95th percentile) and the lowest joint's,
    both of a body with legs as long as ours."""
    at, scale, motion = character.reading.joints, character.reading.scale, one.motion
    places = {n: one.places[:, j] * scale for n, j in at.items()}
    ours = {n: motion.joints[:, j].astype(np.float64) for j, n in enumerate(SMPL22.names)}
    off = np.stack([degrees(places[b] - places[a], ours[b] - ours[a]) for a, b in LIMBS])
    ground, slid = support_level(motion.joints, motion.fps), [np.zeros(1)]
    for toe, stands in zip(("l_foot", "r_foot"), standing(motion.joints, motion.fps, ground).T, strict=True):
        for start, stop in runs_of(stands):
            moved = (ours[toe][start:stop] - ours[toe][start:stop].mean(0))[:, [0, 2]]
            if np.linalg.norm(moved, axis=-1).max() <= SLIPS:
                held = places[toe][start:stop][:, [0, 2]]
                slid.append(np.linalg.norm(held - np.median(held, 0), axis=-1))
    lowest = np.min([p[:, 1] for p in places.values()], 0) - ground
    return {
        "limbs_p95": round(float(np.percentile(off, 95)), 2), "limbs_max": round(float(off.max()), 2),
        "skate_p95_cm": round(100 * float(np.percentile(np.concatenate(slid), 95)), 2),
        "lowest_cm": round(100 * float(lowest.min()), 2),
    }  # fmt: skip


BLENDER = """
import bpy, json, sys
request = json.loads(open(sys.argv[sys.argv.index("--") + 1]).read())
rows = []
for path, names, bones, frames in request:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 20
    bpy.ops.import_scene.gltf(filepath=path)
    armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    data = armature.animation_data
    for track in list(data.nla_tracks):
        data.nla_tracks.remove(track)
    file = []
    for name, at in zip(names, frames):
        action = min((a for a in bpy.data.actions if a.name.startswith(name)), key=lambda a: len(a.name))
        data.action, data.action_slot = action, action.slots[0]
        clip = []
        for frame in at:
            bpy.context.scene.frame_set(round(action.frame_range[0]) + frame)
            bpy.context.view_layer.update()
            heads = [armature.matrix_world @ armature.pose.bones[b].head for b in bones]
            clip.append([(v.x, v.z, -v.y) for v in heads])
        file.append(clip)
    rows.append(file)
open(sys.argv[-1], "w").write(json.dumps(rows))
"""
THREE = """
import fs from "node:fs";
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
globalThis.self = globalThis;
const rows = [];
for (const [path, names, bones, frames] of JSON.parse(fs.readFileSync(process.argv[2]))) {
  const gltf = await new GLTFLoader().parseAsync(new Uint8Array(fs.readFileSync(path)).buffer, "");
  const nodes = [];
  for (const bone of bones) {
    const index = gltf.parser.json.nodes.findIndex((n) => n.name === bone);
    nodes.push(await gltf.parser.getDependency("node", index));
  }
  const file = [];
  for (let k = 0; k < names.length; k++) {
    const mixer = new THREE.AnimationMixer(gltf.scene);
    mixer.clipAction(gltf.animations.find((a) => a.name === names[k])).play();
    file.push(frames[k].map((frame) => {
      mixer.setTime(frame / 20); gltf.scene.updateMatrixWorld(true);
      return nodes.map((n) => n.getWorldPosition(new THREE.Vector3()).toArray());
    }));
    mixer.stopAllAction();
  }
  rows.push(file);
}
fs.writeFileSync(process.argv[3], JSON.stringify(rows));
"""


def seen_by(command: list[str], script: Path, clips: dict[Path, list[Taken]], folder: Path) -> dict[str, float]:
    """Millimetres by which a program has joints elsewhere than our reader, at most, by file."""
    request, truth = [], []
    for path, all_taken in clips.items():
        frames = [np.linspace(0, len(t.places) - 1, FRAMES).round().astype(int).tolist() for t in all_taken]
        names = [n for n in all_taken[0].nodes if n]
        index = [all_taken[0].nodes.index(n) for n in names]
        request.append((str(path), [t.name for t in all_taken], names, frames))
        truth.append([t.places[f][:, index] for t, f in zip(all_taken, frames, strict=True)])
    (folder / "request.json").write_text(json.dumps(request))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    arguments = [*command, str(folder / "request.json"), str(folder / "answer.json")]
    run = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, env=environment)
    if run.returncode:
        raise SystemExit(f"error: {script.name}: {run.stderr[-800:]}")
    answer = json.loads((folder / "answer.json").read_text())
    return {
        path.stem: round(1000 * max(float(np.abs(np.array(a) - b).max()) for a, b in zip(file, theirs, strict=True)), 4)
        for path, file, theirs in zip(clips, answer, truth, strict=True)
    }


def draw(clips: dict[Path, list[Taken]], characters: list[Character], sheet: Path) -> None:
    """A row of each character: of every motion the frame that is least like its first one."""
    from PIL import Image, ImageDraw, ImageFont

    wide, high, left, top = 118, 128, 96, 20
    count = len(next(iter(clips.values())))
    picture = Image.new("RGB", (left + wide * count, top + high * len(clips)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    turn = rot.to_matrix(rot.about_y(np.array(-0.6)))
    for row, (path, character) in enumerate(zip(clips, characters, strict=True)):
        pen.text((4, top + row * high + high // 2), path.stem, (40, 44, 52), font)
        boxes, points, sides = _mesh_of(path)
        rest, axes = character.reading.places[0], character.reading.turns[0]
        size = float(np.ptp(points[..., 1]))
        for column, one in enumerate(clips[path]):
            if not row:
                pen.text((left + column * wide + 4, 4), one.motion.caption[9:28], (40, 44, 52), font)
            ours = one.motion.joints - one.motion.joints[:, :1] * [1, 0, 1]
            frame = int(np.linalg.norm(ours - ours[0], axis=-1).mean(-1).argmax())
            order = [one.nodes.index(n) for n in boxes]
            moved = one.turns[frame, order] @ axes[order].swapaxes(-1, -2)
            corners = np.einsum("jab,jkb->jka", moved, points - rest[order][:, None])
            corners += one.places[frame, order][:, None]
            ground = support_level(one.motion.joints, one.motion.fps)[frame] / character.reading.scale
            middle = corners.reshape(-1, 3).mean(0) * [1, 0, 1] + [0, ground, 0]
            seen = ((corners - middle).reshape(-1, 3) @ turn.T)[sides]
            normal = np.cross(seen[:, 1] - seen[:, 0], seen[:, 2] - seen[:, 0])
            normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
            light = 0.55 + 0.45 * np.abs(normal @ np.array([0.3, 0.7, 0.6]))
            scale, x0, y0 = 0.72 * high / size, left + (column + 0.5) * wide, top + (row + 0.92) * high
            pen.line((left + column * wide + 6, y0, left + (column + 1) * wide - 6, y0), (205, 210, 216))
            for k in np.argsort(seen[..., 2].mean(-1)):
                flat = [(x0 + scale * x, y0 - scale * y) for x, y, _ in seen[k]]
                pen.polygon(flat, tuple(int(c * light[k]) for c in (96, 148, 205)))
    if sheet.suffix.lower() == ".jpg":
        picture.save(sheet, quality=85)
    else:
        picture.save(sheet)


def _mesh_of(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of nodes, (J, 8, 3) corners of the boxes and (12 J, 3) triangles of a file of `build`."""
    raw = path.read_bytes()
    length = struct.unpack_from("<I", raw, 12)[0]
    gltf, blob = json.loads(raw[20 : 20 + length]), raw[28 + length :]
    view = gltf["bufferViews"]
    points = np.frombuffer(blob, "<f4", gltf["accessors"][0]["count"] * 3, view[0]["byteOffset"]).reshape(-1, 8, 3)
    sides = np.frombuffer(blob, "<u2", gltf["accessors"][3]["count"], view[3]["byteOffset"]).reshape(-1, 3)
    names = [gltf["nodes"][n]["name"] for n in gltf["skins"][0]["joints"]]
    return names, points.astype(np.float64), sides.astype(int)


def run(motions: list[Path], sheet: Path | None = None, modules: Path | None = None) -> dict[str, Any]:
    """Measure; `sheet`: a picture of all, `modules`: node_modules with three."""
    clips_of = [export.load(path) for path in motions]
    result: dict[str, Any] = {"motions": [m.caption for m in clips_of], "characters": {}}
    with tempfile.TemporaryDirectory() as name:
        folder, clips, characters = Path(name), dict[Path, list[Taken]](), []
        for kind_name, kind in KINDS.items():
            character = load_character(build(kind, folder / f"empty{'.vrm' if kind.vrm else '.glb'}"))
            path = folder / f"{kind_name}.glb"
            clips[path] = taken(character, clips_of, path)
            characters.append(character)
            rows = {t.motion.caption: figures(t, character) for t in clips[path]}
            worst = {key: (min if key == "lowest_cm" else max)(r[key] for r in rows.values())
                     for key in next(iter(rows.values()))}  # fmt: skip
            within = sum(r["limbs_p95"] <= 5 for r in rows.values())
            result["characters"][kind_name] = {"worst": worst, "within_5_degrees": within, "motions": rows}
        if sheet:
            draw(clips, characters, sheet)
        programs: dict[str, list[str]] = {}
        (folder / "open.py").write_text(BLENDER)
        try:
            find = find_blender("a.glb")
            programs["Blender"] = [find[0], str(folder / "open.py"), "--"] if find[1].endswith(".py") else [
                str(folder / "open.py") if a.endswith("blender_convert.py") else a for a in find]  # fmt: skip
        except UserError as e:
            print(f"not opened in Blender: {e}", file=sys.stderr)
        if modules:
            (folder / "open.mjs").write_text(THREE)
            (folder / "node_modules").symlink_to(modules.resolve())
            programs["three.js"] = ["node", str(folder / "open.mjs")]
        for program, command in programs.items():
            result[f"{program}_mm"] = seen_by(command, folder / "open", clips, folder)
    return result

"""Made-up clips as rigs of other programs, and BVH and glTF files of them, written independently of our writers."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.posture import degrees
from vqvae.rig import Rig
from vqvae.skeleton import SMPL22

_LIMBS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
_MAYA = ("UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand")
_VRM = ("UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand")
_OLD = ("Hip", "Knee", "Ankle", "Toe", "Collar", "Shoulder", "Elbow", "Wrist")
_UNREAL = ("thigh", "calf", "foot", "ball", "clavicle", "upperarm", "lowerarm", "hand")
_RIGIFY = ("thigh", "shin", "foot", "toe", "shoulder", "upper_arm", "forearm", "hand")
_WORDS, _LETTERS = ("Left", "Right"), ("L", "R")


def names_of(trunk: str, limbs: tuple[str, ...], form: str, sides: tuple[str, str]) -> dict[str, str]:
    """Our joint -> a rig's name; `form` joins {limb} and {side}."""
    names = dict(zip(_TRUNK, trunk.split(), strict=True))
    for side, word in zip("lr", sides, strict=True):
        names |= {f"{side}_{ours}": form.format(limb=limb, side=word) for ours, limb in zip(_LIMBS, limbs, strict=True)}
    return names


CMU = names_of("Hips LowerBack Spine Spine1 Neck Head", _MAYA, "{side}{limb}", _WORDS)
BANDAI = names_of("Hips Spine Spine2 Chest Neck Head", _VRM, "{limb}_{side}", _LETTERS)
OLD = names_of("Hips Chest Chest2 Chest3 Neck Head", _OLD, "{side}{limb}", _WORDS)
MIXAMO = {k: f"mixamorig:{v}" for k, v in names_of("Hips Spine Spine1 Spine2 Neck Head", _MAYA, "{side}{limb}",
                                                   _WORDS).items()}  # fmt: skip
RIGIFY = names_of("DEF-spine DEF-spine.001 DEF-spine.002 DEF-spine.003 DEF-spine.004 DEF-spine.005", _RIGIFY,
                  "DEF-{limb}.{side}", _LETTERS)  # fmt: skip
VRM_BONES = names_of("hips spine chest upperChest neck head", _VRM, "{side}{limb}", ("left", "right"))
CONVENTIONS = {
    "mixamo": MIXAMO, "mixamo without colons": {k: v.replace(":", "") for k, v in MIXAMO.items()},
    "ready player me": {k: v.removeprefix("mixamorig:") for k, v in MIXAMO.items()}, "rigify": RIGIFY,
    "unreal": names_of("pelvis spine_01 spine_02 spine_03 neck_01 head", _UNREAL, "{limb}_{side}", ("l", "r")),
    "quaternius": names_of("pelvis spine_01 spine_02 spine_03 neck_01 Head", _UNREAL, "{limb}_{side}", ("l", "r")),
    "vroid": names_of("J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest J_Bip_C_Neck J_Bip_C_Head", _VRM,
                      "J_Bip_{side}_{limb}", _LETTERS),
    "arkit": names_of("hips_joint spine_1_joint spine_4_joint spine_7_joint neck_1_joint head_joint",
                      ("upLeg", "leg", "foot", "toes", "shoulder_1", "arm", "forearm", "hand"), "{side}_{limb}_joint",
                      ("left", "right")),
    "kaykit": names_of("hips spine chest upperchest neck head", tuple(n.lower() for n in _VRM), "{limb}.{side}",
                       ("l", "r")),
}  # fmt: skip


def motion(frames: int = 40, seed: int = 0) -> Motion:
    """Random but smooth; upright, hands and feet with no twist of their own."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 2 * np.pi, frames)[:, None, None]
    angles = 0.5 * np.sin(t + rng.uniform(0, 6, (1, 22, 3))) * rng.uniform(0, 1, (1, 22, 3))
    root = np.stack([0.3 * np.sin(t[:, 0, 0]), 0.95 + 0.02 * np.cos(t[:, 0, 0]), 0.2 * t[:, 0, 0]], -1)
    return Motion(rot.from_axis_angle(angles), root, 20.0)


def talking(frames: int = 40, fps: float = 30.0, seed: int = 0) -> Motion:
    """A gesture in which all joints and fingers swing; no frame is like another."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / fps
    swing = np.sin(t * rng.uniform(1, 6, (1, 52, 1)) + rng.uniform(0, 6, (1, 52, 1)))
    q = rot.from_axis_angle(swing * rng.normal(size=(1, 52, 3)) * 0.4)
    root = np.stack([0.1 * t[:, 0, 0], 0.95 + 0 * t[:, 0, 0], 0 * t[:, 0, 0]], -1)
    return Motion(q[:, :22], root, fps, "gesture", "talks", fingers=q[:, 22:])


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Exact for small angles, unlike an arc cosine of float32."""
    difference = rot.multiply(rot.conjugate(a.astype(np.float64)), b.astype(np.float64))
    return np.linalg.norm(rot.to_axis_angle(difference), axis=-1)


def as_rig(
    m: Motion, names: dict[str, str], arms_down: float = 0.0, z_up: bool = False, scale: float = 100.0,
    legs_out: float = 0.0, facing: float = 0.0,
) -> Rig:  # fmt: skip
    """The same movement as another rig would store it: other names, rest pose, axes and unit; angles in degrees."""
    rest = rot.identity((22,))
    for s, sign in (("l", -1), ("r", 1)):
        rest[SMPL22.index(f"{s}_shoulder")] = rot.from_axis_angle(np.array([0, 0, np.radians(arms_down) * sign]))
        rest[SMPL22.index(f"{s}_hip")] = rot.from_axis_angle(np.array([0, 0, -np.radians(legs_out) * sign]))
    turn = rot.from_axis_angle(np.array([np.pi / 2 if z_up else 0.0, 0, 0]))
    turn = rot.multiply(turn, rot.about_y(np.radians(facing)))
    parents = SMPL22.parents
    q = m.rotations.astype(np.float64)
    rest_world, world = [rest[0]], [q[:, 0]]
    for j in range(1, 22):
        rest_world.append(rot.multiply(rest_world[parents[j]], rest[j]))
        world.append(rot.multiply(world[parents[j]], q[:, j]))
    relative = rot.multiply(np.stack(world, 1), rot.conjugate(np.array(rest_world)))
    relative = rot.multiply(rot.multiply(turn, relative), rot.conjugate(turn))
    local, offsets = relative.copy(), np.zeros((22, 3))
    for j in range(1, 22):
        local[:, j] = rot.multiply(rot.conjugate(relative[:, parents[j]]), relative[:, j])
        offsets[j] = rot.rotate(rot.multiply(turn, rest_world[parents[j]]), SMPL22.offsets[j] * scale)
    translations = np.repeat(offsets[None], len(m), 0)
    translations[:, 0] = rot.rotate(turn, m.root * scale)
    return Rig(tuple(names[n] for n in SMPL22.names), parents, offsets, local, translations, m.fps)


def world_of(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Turns (T, J, 4) and places (T, J, 3) in the world, of a rig that may have several roots."""
    turns, places = rig.rotations.copy(), rig.translations.copy()
    for j, p in enumerate(rig.parents):
        if p >= 0:
            turns[:, j] = rot.multiply(turns[:, p], rig.rotations[:, j])
            places[:, j] = places[:, p] + rot.rotate(turns[:, p], rig.translations[:, j])
    return turns, places


LIMBS = [(f"{s}_{a}", f"{s}_{b}") for s in "lr" for a, b in (
    ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))]  # fmt: skip


def places_of(joints: np.ndarray) -> dict[str, np.ndarray]:
    """Our joint -> places (T, 3), of joints (T, 22, 3)."""
    return dict(zip(SMPL22.names, joints.astype(np.float64).transpose(1, 0, 2), strict=True))


def limbs_off(
    got: dict[str, np.ndarray], wanted: dict[str, np.ndarray], limbs: list[tuple[str, str]] = LIMBS
) -> float:
    """The largest angle between the same limb of two bodies, degrees."""
    return max(float(degrees(got[b] - got[a], wanted[b] - wanted[a]).max()) for a, b in limbs)


def distance(a: Motion, b: Motion) -> float:
    """The largest distance in metres between the same joint of two motions."""
    assert len(a) == len(b) and abs(a.fps / b.fps - 1) < 1e-6
    return float(np.linalg.norm(a.joints - b.joints, axis=-1).max())


def reparented(parents: tuple[int, ...], kept: list[int]) -> tuple[int, ...]:
    """The parents of the joints that are kept, each the nearest one above."""
    out = []
    for p in (parents[j] for j in kept):
        while p >= 0 and p not in kept:
            p = parents[p]
        out.append(kept.index(p) if p >= 0 else -1)
    return tuple(out)


def two_rows(matrices: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 6): the first two rows, as PyTorch3D has them."""
    return np.asarray(matrices[..., :2, :].reshape(*matrices.shape[:-2], 6))


def ms272_of(motion: Motion) -> np.ndarray:
    """MotionStreamer's 272 channels (T, 272) of a motion, resampled to 30 fps and made canonical."""
    clip = motion.resampled(30).canonical()
    x = clip.joints.astype(np.float64)
    x = x - [x[0, 0, 0], x[..., 1].min(), x[0, 0, 2]]
    local = rot.to_matrix(clip.rotations.astype(np.float64))
    yaw = -np.arctan2(local[:, 0, 0, 2], local[:, 0, 2, 2])  # what takes the facing away
    level = rot.to_matrix(rot.about_y(yaw))
    flat = np.einsum("tij,tkj->tki", level, x - x[:, :1] * np.array([1, 0, 1]))
    out = np.zeros((len(x), 272))
    out[1:, :2] = np.einsum("tij,tj->ti", level[:-1], np.diff(x[:, 0], axis=0))[:, [0, 2]]
    out[0, 2:8] = two_rows(np.eye(3))
    out[1:, 2:8] = two_rows(rot.to_matrix(rot.about_y(np.diff(yaw))))
    out[:, 8:74] = flat.reshape(len(x), -1)
    out[1:, 74:140] = np.diff(flat, axis=0).reshape(len(x) - 1, -1)
    local[:, 0] = level @ local[:, 0]
    out[:, 140:272] = two_rows(local).reshape(len(x), -1)
    return out.astype(np.float32)


def bvh_text(rig: Rig) -> str:
    """A BVH of a rig: XYZ channels, depth first."""
    lines, order = ["HIERARCHY"], []

    def joint(j: int) -> None:
        order.append(j)
        lines.extend([f"{'JOINT' if j else 'ROOT'} {rig.names[j]}", "{"])
        lines.append("OFFSET " + " ".join(map(str, rig.offsets[j])))
        places = "" if j else "Xposition Yposition Zposition "
        lines.append(f"CHANNELS {3 if j else 6} {places}Xrotation Yrotation Zrotation")
        children = [c for c, p in enumerate(rig.parents) if p == j]
        for c in children:
            joint(c)
        lines.extend([] if children else ["End Site", "{", "OFFSET 0 1 0", "}"])
        lines.append("}")

    joint(0)
    m = rot.to_matrix(rig.rotations)
    y = np.arcsin(np.clip(m[..., 0, 2], -1, 1))
    x, z = np.arctan2(-m[..., 1, 2], m[..., 2, 2]), np.arctan2(-m[..., 0, 1], m[..., 0, 0])
    euler = np.degrees(np.stack([x, y, z], -1))[:, order].reshape(len(m), -1)
    rows = np.concatenate([rig.translations[:, 0], euler], 1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / rig.fps}"]
    return "\n".join(lines + [" ".join(f"{v:.8f}" for v in r) for r in rows]) + "\n"


class GltfFile:
    """A glTF under construction: its JSON, and one buffer.

    Attributes:
        gltf: the JSON. blob: bytes of the buffer. nodes: node of every joint of the rig.
    """

    def __init__(self, rigs: dict[str, Rig], axes: np.ndarray | None = None, armature: np.ndarray | None = None,
                 scale: float = 1.0, skin: bool = True) -> None:  # fmt: skip
        """
        Args:
            rigs: name of the animation -> movement; all of one skeleton, with the rest pose of the first one.
            axes: (J, 4) every bone's axes at rest; the world's if None.
            armature: (4,) turn of the node above the skeleton, `scale` its scale.
        """
        first = next(iter(rigs.values()))
        count = len(first.names)
        self.axes = rot.identity((count,)) if axes is None else axes
        self.turn = rot.identity(()) if armature is None else armature
        self.scale, self.parents = scale, first.parents
        self.blob = bytearray()
        self.gltf: dict[str, Any] = {
            "asset": {"version": "2.0"}, "bufferViews": [], "accessors": [], "animations": [], "scene": 0,
            "scenes": [{"nodes": [0]}],
        }  # fmt: skip
        places = np.zeros((count, 3))
        for j, p in enumerate(first.parents):
            places[j] = first.offsets[j] + (places[p] if p >= 0 else 0)
        self.nodes = [j + 1 for j in range(count)]
        turns, local_places = self._local(np.repeat(rot.identity((count,))[None], 1, 0), places[None])
        joints = [{"name": n, "rotation": _xyzw(turns[0, j]).tolist(), "translation": local_places[0, j].tolist(),
                   "children": [k + 1 for k, p in enumerate(first.parents) if p == j]}
                  for j, n in enumerate(first.names)]  # fmt: skip
        roots = [j + 1 for j, p in enumerate(first.parents) if p < 0]
        top = {"name": "Armature", "rotation": _xyzw(self.turn).tolist(), "scale": [scale] * 3, "children": roots}
        self.gltf["nodes"] = [top, *joints]
        if skin:
            bind = np.tile(np.eye(4), (count, 1, 1))
            back = rot.conjugate(self.turn)
            bind[:, :3, :3] = rot.to_matrix(rot.multiply(back, self.axes))
            bind[:, :3, 3] = rot.rotate(back, places) / scale
            values = np.linalg.inv(bind).transpose(0, 2, 1).reshape(-1, 16)
            self.gltf["skins"] = [{"joints": self.nodes, "inverseBindMatrices": self.add(values)}]
        for name, rig in rigs.items():
            self.animate(name, rig)

    def _local(self, turns: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, J) turns away from rest and places in the world -> those of the nodes below their parents."""
        world = rot.multiply(turns, self.axes)
        local, local_places = np.empty_like(world), np.empty_like(places)
        for j, p in enumerate(self.parents):
            above = np.broadcast_to(self.turn, world[:, 0].shape) if p < 0 else world[:, p]
            local[:, j] = rot.multiply(rot.conjugate(above), world[:, j])
            away = places[:, j] - (places[:, p] if p >= 0 else 0)
            local_places[:, j] = rot.rotate(rot.conjugate(above), away) / self.scale
        return local, local_places

    def add(self, values: np.ndarray, kind: str = "<f4", normalised: bool = False) -> int:
        """The number of a new accessor with values (N, k)."""
        values = np.asarray(values)
        data = values.astype(kind).tobytes()
        self.blob += b"\0" * (-len(self.blob) % 4)
        self.gltf["bufferViews"].append({"buffer": 0, "byteOffset": len(self.blob), "byteLength": len(data)})
        self.blob += data
        width = values.shape[1] if values.ndim > 1 else 1
        self.gltf["accessors"].append({
            "bufferView": len(self.gltf["bufferViews"]) - 1, "count": len(values), "normalized": normalised,
            "componentType": {"<f4": 5126, "<i2": 5122, "<u2": 5123}[kind],
            "type": {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width],
        })  # fmt: skip
        return len(self.gltf["accessors"]) - 1

    def animate(self, name: str, rig: Rig) -> None:
        """Add an animation with a key frame for every frame of the rig."""
        turns, places = self._local(*world_of(rig))
        times = self.add(np.arange(len(turns)) / rig.fps)
        animation: dict[str, Any] = {"name": name, "samplers": [], "channels": []}
        self.gltf["animations"].append(animation)
        for j, node in enumerate(self.nodes):
            tracks = {"rotation": _xyzw(turns[:, j])}
            if self.parents[j] < 0 or j == 0:
                tracks["translation"] = places[:, j]
            for path, values in tracks.items():
                target = {"node": node, "path": path}
                animation["channels"].append({"sampler": len(animation["samplers"]), "target": target})
                animation["samplers"].append({"input": times, "output": self.add(values), "interpolation": "LINEAR"})

    def sampler(self, joint: int) -> dict[str, Any]:
        """The sampler of a joint's rotation in the first animation."""
        animation = self.gltf["animations"][0]
        return next(animation["samplers"][c["sampler"]] for c in animation["channels"]
                    if c["target"] == {"node": self.nodes[joint], "path": "rotation"})  # fmt: skip

    def values(self, accessor: int) -> np.ndarray:
        """(N, k) floats as they were added."""
        entry = self.gltf["accessors"][accessor]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry["type"]]
        start = self.gltf["bufferViews"][entry["bufferView"]]["byteOffset"]
        return np.frombuffer(bytes(self.blob), "<f4", entry["count"] * width, start).reshape(-1, width)

    def save(self, path: Path, uri: str | None = None) -> Path:
        """Write a .glb, or a .gltf whose buffer is a file beside it, or inside where `uri` is ``data:``."""
        blob = bytes(self.blob) + b"\0" * (-len(self.blob) % 4)
        self.gltf["buffers"] = [{"byteLength": len(blob)}]
        if path.suffix == ".glb":
            text = json.dumps(self.gltf).encode()
            text += b" " * (-len(text) % 4)
            head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(blob))
            parts = struct.pack("<I4s", len(text), b"JSON"), text, struct.pack("<I4s", len(blob), b"BIN\0"), blob
            path.write_bytes(head + b"".join(parts))
            return path
        name = path.stem + ".bin" if uri is None else uri
        if uri is None:
            path.with_name(name).write_bytes(blob)
        elif uri == "data:":
            name = "data:application/octet-stream;base64," + base64.b64encode(blob).decode()
        self.gltf["buffers"][0]["uri"] = name
        path.write_text(json.dumps(self.gltf))
        return path


def _xyzw(q: np.ndarray) -> np.ndarray:
    return np.roll(q, -1, axis=-1)


def bone_axes(seed: int = 0) -> np.ndarray:
    """(22, 4) random axes of bones."""
    return rot.normalize(np.random.default_rng(seed).normal(size=(len(SMPL22.names), 4)))


def moving(frames: int = 60, seed: int = 0) -> Motion:
    """Like `motion`, but knees and elbows bend as they can, and the trunk bends deeply forward once."""
    m = motion(frames, seed)
    q, t = m.rotations.astype(np.float64), np.linspace(0, 2 * np.pi, frames)
    bends = {"l_knee": (0.5, 0), "r_knee": (0.5, 0), "l_elbow": (0, -0.7), "r_elbow": (0, 0.7)}
    for k, (name, (x, y)) in enumerate(bends.items()):
        share = 1 + 0.8 * np.sin(t + k)
        q[:, SMPL22.index(name)] = rot.from_axis_angle(np.stack([x * share, y * share, 0 * share], -1))
    for name in ("spine1", "spine2", "spine3"):
        bow = np.clip(np.sin(t), 0, 1) * 0.4
        q[:, SMPL22.index(name)] = rot.from_axis_angle(np.stack([bow, 0.1 * np.sin(2 * t), 0 * t], -1))
    return Motion(q, m.root, m.fps)


def along_bones(axis: int) -> np.ndarray:
    """(22, 4) axes at rest of a skeleton whose bones lie along one axis of their joints, the next one being the left or
    the hinge; joints without children have their parent's."""
    out = np.zeros((22, 4))
    for j, name in enumerate(SMPL22.names):
        children = [k for k, p in enumerate(SMPL22.parents) if p == j]
        if not children and name != "head":
            out[j] = out[SMPL22.parents[j]]
            continue
        middle = [k for k in children if SMPL22.names[k][1] != "_"]
        bone = SMPL22.offsets[(middle or children)[0]] if children else np.array([0.0, 1, 0])
        side = np.array([0.0, 0, 1]) if name[2:] in ("collar", "shoulder", "elbow") else np.array([1.0, 0, 0])
        columns = np.zeros((3, 3))
        columns[:, axis] = bone / np.linalg.norm(bone)
        side = side - columns[:, axis] * (side @ columns[:, axis])
        columns[:, (axis + 1) % 3] = side / np.linalg.norm(side)
        columns[:, (axis + 2) % 3] = np.cross(columns[:, axis], columns[:, (axis + 1) % 3])
        out[j] = rot.from_matrix(columns)
    return out


def with_axes(rig: Rig, axes: np.ndarray) -> Rig:
    """The same movement by joints of other axes (J, 4), whose zero pose is none."""
    world = rot.multiply(world_of(rig)[0], axes)
    local, moved, offsets = world.copy(), rig.translations.copy(), rig.offsets.copy()
    for j, p in enumerate(rig.parents):
        if p >= 0:
            local[:, j] = rot.multiply(rot.conjugate(world[:, p]), world[:, j])
            offsets[j] = rot.rotate(rot.conjugate(axes[p]), rig.offsets[j])
            moved[:, j] = offsets[j]
    return Rig(rig.names, rig.parents, offsets, local, moved, rig.fps)


def elephant(frames: int = 40) -> Rig:
    """Four legs with the names of arms and legs, a level spine, the head before them; metres."""
    places = {
        "Hips": (0, 0.45, 0), "Spine": (0, 0.47, 0.15), "Spine1": (0, 0.48, 0.3), "Spine2": (0, 0.47, 0.42),
        "Neck": (0, 0.42, 0.55), "Head": (0, 0.33, 0.65),
    }  # fmt: skip
    parents = dict(zip(places, [None, *places], strict=False))
    for side, x in (("Left", 0.12), ("Right", -0.12)):
        legs = {"UpLeg": (x, 0.42, 0), "Leg": (x, 0.25, 0.02), "Foot": (x, 0.06, -0.02), "ToeBase": (x, 0.01, 0.05)}
        arms = {"Shoulder": (x / 2, 0.45, 0.4), "Arm": (x, 0.4, 0.42), "ForeArm": (x, 0.22, 0.4), "Hand": (x, 0, 0.4)}
        for limb, above in ((legs, "Hips"), (arms, "Spine2")):
            parents |= dict(zip([side + n for n in limb], [above, *[side + n for n in limb]], strict=False))
            places |= {side + n: v for n, v in limb.items()}
    names = tuple(places)
    offsets = np.array([np.subtract(v, places[parents[n]] if parents[n] else 0) for n, v in places.items()])
    q = rot.identity((frames, len(names)))
    swing = 0.3 * np.sin(np.linspace(0, 4 * np.pi, frames))
    for name, sign in (("LeftUpLeg", 1), ("RightUpLeg", -1), ("LeftArm", -1), ("RightArm", 1)):
        q[:, names.index(name)] = rot.from_axis_angle(swing[:, None] * [sign, 0, 0])
    moved = np.repeat(offsets[None], frames, 0)
    return Rig(names, tuple(names.index(p) if p else -1 for p in parents.values()), offsets, q, moved, 30.0)

"""BVH files: own ones exactly, foreign rigs by retargeting, bad ones by one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.bvh import parse_bvh, read_bvh, write_bvh
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import Rig, joint_map, side_and_core
from vqvae.skeleton import SMPL22

CMU = {"pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck", "head": "Head"}
MIXAMO = {"pelvis": "mixamorig:Hips", "spine1": "mixamorig:Spine", "spine2": "mixamorig:Spine1",
          "spine3": "mixamorig:Spine2", "neck": "mixamorig:Neck", "head": "mixamorig:Head"}  # fmt: skip
BANDAI = {"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine2", "spine3": "Chest", "neck": "Neck", "head": "Head"}
OLD = {"pelvis": "Hips", "spine1": "Chest", "spine2": "Chest2", "spine3": "Chest3", "neck": "Neck", "head": "Head"}
LIMBS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
for side, word in (("l", "Left"), ("r", "Right")):
    for joint, cmu, bandai, old in zip(
        LIMBS,
        ("UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand"),
        ("UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand"),
        ("Hip", "Knee", "Ankle", "Toe", "Collar", "Shoulder", "Elbow", "Wrist"),
        strict=True,
    ):
        CMU[f"{side}_{joint}"] = word + cmu
        MIXAMO[f"{side}_{joint}"] = f"mixamorig:{word}{cmu}"
        BANDAI[f"{side}_{joint}"] = f"{bandai}_{side.upper()}"
        OLD[f"{side}_{joint}"] = word + old


def motion(frames: int = 40, seed: int = 0) -> Motion:
    """Random but smooth; upright, hands and feet with no twist of their own."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 2 * np.pi, frames)[:, None, None]
    angles = 0.5 * np.sin(t + rng.uniform(0, 6, (1, 22, 3))) * rng.uniform(0, 1, (1, 22, 3))
    root = np.stack([0.3 * np.sin(t[:, 0, 0]), 0.95 + 0.02 * np.cos(t[:, 0, 0]), 0.2 * t[:, 0, 0]], -1)
    return Motion(rot.from_axis_angle(angles), root, 20.0)


def as_rig(m: Motion, names: dict[str, str], arms_down: float = 0.0, z_up: bool = False, scale: float = 100.0) -> Rig:
    """The same movement as another rig would store it: other names, rest pose, axes and unit."""
    rest = rot.identity((22,))
    for s, sign in (("l", -1), ("r", 1)):
        rest[SMPL22.index(f"{s}_shoulder")] = rot.from_axis_angle(np.array([0, 0, np.radians(arms_down) * sign]))
    turn = rot.from_axis_angle(np.array([np.pi / 2 if z_up else 0.0, 0, 0]))
    parents = SMPL22.parents
    q = m.rotations.astype(np.float64)
    rest_world, world = [rest[0]], [q[:, 0]]
    for j in range(1, 22):
        rest_world.append(rot.multiply(rest_world[parents[j]], rest[j]))
        world.append(rot.multiply(world[parents[j]], q[:, j]))
    relative = rot.multiply(np.stack(world, 1), rot.conjugate(np.array(rest_world)))
    relative = rot.multiply(rot.multiply(turn, relative), rot.conjugate(turn))
    local = [relative[:, 0]] + [
        rot.multiply(rot.conjugate(relative[:, parents[j]]), relative[:, j]) for j in range(1, 22)
    ]
    offsets = np.array([np.zeros(3)] + [
        rot.rotate(rot.multiply(turn, rest_world[parents[j]]), SMPL22.offsets[j] * scale) for j in range(1, 22)
    ])  # fmt: skip
    translations = np.repeat(offsets[None], len(m), 0)
    translations[:, 0] = rot.rotate(turn, m.root * scale)
    return Rig(tuple(names[n] for n in SMPL22.names), parents, offsets, np.stack(local, 1), translations, 20.0)


def text_of(rig: Rig) -> str:
    """A BVH of a rig, written independently of our writer: XYZ channels, depth first."""
    lines, order = ["HIERARCHY"], []

    def joint(j: int) -> None:
        order.append(j)
        lines.extend(
            [f"{'JOINT' if j else 'ROOT'} {rig.names[j]}", "{", "OFFSET " + " ".join(map(str, rig.offsets[j]))]
        )
        lines.append("CHANNELS 3 Xrotation Yrotation Zrotation" if j else
                     "CHANNELS 6 Xposition Yposition Zposition Xrotation Yrotation Zrotation")  # fmt: skip
        kids = [c for c, p in enumerate(rig.parents) if p == j]
        for c in kids:
            joint(c)
        if not kids:
            lines.extend(["End Site", "{", "OFFSET 0 1 0", "}"])
        lines.append("}")

    joint(0)
    m = rot.to_matrix(rig.rotations)
    y = np.arcsin(np.clip(m[..., 0, 2], -1, 1))
    x, z = np.arctan2(-m[..., 1, 2], m[..., 2, 2]), np.arctan2(-m[..., 0, 1], m[..., 0, 0])
    euler = np.degrees(np.stack([x, y, z], -1))[:, order].reshape(len(m), -1)
    rows = np.concatenate([rig.translations[:, 0], euler], 1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / rig.fps}"]
    return "\n".join(lines + [" ".join(f"{v:.8f}" for v in r) for r in rows]) + "\n"


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_own_round_trip(tmp_path, scale):
    m = motion()
    back = read_bvh(write_bvh(m, tmp_path / "a.bvh", scale))
    assert np.linalg.norm(m.joints - back.joints, axis=-1).max() < 1e-4
    assert rot.angle_between(m.rotations, back.rotations).max() < 1e-3
    assert back.fps == pytest.approx(20, abs=1e-4)


def test_written_poles(tmp_path):
    q = rot.identity((3, 22))
    q[1, 16] = rot.from_axis_angle(np.array([0, np.pi / 2, 0]))
    q[2, 16] = rot.multiply(
        rot.from_axis_angle(np.array([0, -np.pi / 2, 0])), rot.from_axis_angle(np.array([0.7, 0, 0]))
    )
    m = Motion(q, np.zeros((3, 3)))
    back = read_bvh(write_bvh(m, tmp_path / "a.bvh"))
    assert np.linalg.norm(m.joints - back.joints, axis=-1).max() < 1e-5


def test_rest_pose_is_the_t_pose(tmp_path):
    text = write_bvh(motion(), tmp_path / "a.bvh").read_text()
    rig = parse_bvh(text)
    at = {n: rig.offsets[i] for i, n in enumerate(rig.names)}
    assert np.allclose(at["l_elbow"], [0.259966, 0, 0], atol=1e-6) and np.allclose(
        at["r_knee"], [0, -0.391906, 0], atol=1e-6
    )


@pytest.mark.parametrize("names", [CMU, MIXAMO, BANDAI, OLD], ids=["cmu", "mixamo", "bandai", "old"])
@pytest.mark.parametrize(
    "options", [{}, {"arms_down": 45}, {"arms_down": 80, "scale": 39.37}, {"z_up": True, "arms_down": 30}]
)
def test_foreign_rigs(tmp_path, names, options):
    m = motion()
    path = tmp_path / "a.bvh"
    path.write_text(text_of(as_rig(m, names, **options)))
    back = read_bvh(path)
    assert np.linalg.norm(m.joints - back.joints, axis=-1).max() < 1e-3


@pytest.mark.parametrize("above", ["", "root", "Armature"])
def test_rigs_whose_spine_begins_at_the_pelvis(tmp_path, above):
    """As Blender's Rigify names them: the pelvis is where the legs meet, neck and head are counted with the spine."""
    spine = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
    names = {n: f"DEF-spine.{i:03d}" if i else "DEF-spine" for i, n in enumerate(spine)}
    limbs = {"hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "toe", "collar": "shoulder",
             "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand"}  # fmt: skip
    names |= {f"{s}_{n}": f"DEF-{limb}.{s.upper()}" for n, limb in limbs.items() for s in "lr"}
    m = motion()
    text = text_of(as_rig(m, names))
    if above:
        head, rows = text.split("MOTION")
        head = head.replace("ROOT", f"ROOT {above}\n{{\nOFFSET 0 0 0\nCHANNELS 0\nJOINT") + "}\n"
        text = f"{head}MOTION{rows}"
    (tmp_path / "a.bvh").write_text(text)
    assert np.linalg.norm(m.joints - read_bvh(tmp_path / "a.bvh").joints, axis=-1).max() < 1e-3


def test_rigs_with_fewer_joints():
    rig = as_rig(motion(), CMU)
    keep = [
        i
        for i, n in enumerate(rig.names)
        if n not in ("LeftToeBase", "RightToeBase", "LeftHand", "Head", "LowerBack", "Spine")
    ]
    # children of what is left out hang on its parent
    parents = []
    for i in keep:
        p = rig.parents[i]
        while p >= 0 and p not in keep:
            p = rig.parents[p]
        parents.append(keep.index(p) if p >= 0 else -1)
    small = Rig(tuple(rig.names[i] for i in keep), tuple(parents), rig.offsets[keep], rig.rotations[:, keep],
                rig.translations[:, keep], 20.0)  # fmt: skip
    m = retarget(small)
    assert np.isfinite(m.joints).all() and len(m) == 40


def test_names():
    assert side_and_core("mixamorig:LeftUpLeg") == ("l", "upleg")
    assert side_and_core("Hand_R") == ("r", "hand")
    assert side_and_core("rShldr") == ("r", "shldr")
    assert side_and_core("Bip01 L Thigh") == ("l", "thigh")
    assert side_and_core("shoulder.L") == ("l", "shoulder")
    assert side_and_core("Spine1") == ("", "spine1")
    for name in ("leftupleg", "LEFTUPLEG", "mixamorigLeftUpLeg", "mixamorig1leftupleg", "LeftUpLeg.001"):
        assert side_and_core(name) == ("l", "upleg"), name
    assert side_and_core("J_Bip_L_UpperLeg") == ("l", "upperleg") and side_and_core("J_Bip_C_Hips") == ("", "hips")
    m = motion()
    rig = as_rig(m, OLD)
    assert {k: SMPL22.names[i] for k, i in joint_map(rig).items()} == {k: k for k in SMPL22.names}


def broken(text: str, what: str) -> str:
    lines = text.splitlines()
    start = lines.index("MOTION")
    if what == "nan":
        lines[start + 5] = lines[start + 5].replace(lines[start + 5].split()[3], "nan", 1)
    elif what == "word":
        lines[start + 5] = lines[start + 5] + "x"
    elif what == "short":
        lines[start + 5] = " ".join(lines[start + 5].split()[:-1])
    elif what == "zero":
        lines[start + 1 :] = ["Frames: 0", "Frame Time: 0.05"]
    elif what == "one":
        lines[start + 1 :] = ["Frames: 1", "Frame Time: 0.05", lines[start + 3]]
    elif what == "count":
        lines[start + 1] = "Frames: 7"
    elif what == "time":
        lines[start + 2] = "Frame Time: 0"
    elif what == "missing":
        lines = [line.replace("LeftArm", "Gadget") for line in lines]
    elif what == "brace":
        lines.remove("}")
    elif what == "motion":
        lines = lines[:start]
    elif what == "flat":
        lines = ["OFFSET 0 0 0" if line.startswith("OFFSET") else line for line in lines]
    elif what == "roots":
        lines[start:start] = ["ROOT other", "{", "OFFSET 0 0 0", "}"]
    elif what == "channel":
        lines = [line.replace("Xrotation", "Wrotation") for line in lines]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nan", "NaN or infinity in frame 2"), ("word", "not numbers"), ("short", "frame 2: 68 values"),
        ("zero", "0 frames; accepted 2"), ("one", "1 frames; accepted 2"), ("count", "where 7 frames are announced"),
        ("time", "frame time"),
        ("missing", "l_shoulder"), ("brace", "expected"), ("motion", "no MOTION"), ("flat", "no length"),
        ("channel", "'Wrotation'"), ("roots", "accepted one ROOT"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path, what, said):
    path = tmp_path / "bad.bvh"
    path.write_text(broken(text_of(as_rig(motion(), CMU)), what))
    with pytest.raises(UserError, match=said) as e:
        read_bvh(path)
    assert str(e.value).startswith(str(path)) and "\n" not in str(e.value)


def test_not_text_and_not_there(tmp_path):
    (tmp_path / "a.bvh").write_bytes(b"\xff\xfe\x00\x01" * 10)
    with pytest.raises(UserError, match="not UTF-8 text"):
        read_bvh(tmp_path / "a.bvh")
    with pytest.raises(UserError, match="no such file"):
        read_bvh(tmp_path / "none.bvh")
    (tmp_path / "empty.bvh").write_text("")
    with pytest.raises(UserError, match="no HIERARCHY"):
        read_bvh(tmp_path / "empty.bvh")
    with pytest.raises(UserError, match="cannot write"):
        write_bvh(motion(), tmp_path / "a.bvh" / "b.bvh")


@pytest.mark.parametrize("number", ["1_0", "\u0663", "1e30"])
def test_numbers_that_no_program_writes(tmp_path, number):
    lines = text_of(as_rig(motion(), CMU)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 2
    row = lines[start].split()
    for place in (0, len(row) - 1) if number != "1e30" else (0,):
        changed = [*row[:place], number, *row[place + 1 :]]
        (tmp_path / "a.bvh").write_text("\n".join([*lines[:start], " ".join(changed), *lines[start + 1 :]]), "utf-8")
        with pytest.raises(UserError, match=r"a\.bvh: .*(not numbers|too far away)"):
            read_bvh(tmp_path / "a.bvh")
    offset = next(i for i, line in enumerate(lines) if "OFFSET" in line and i > 5)
    words = lines[offset].split()
    (tmp_path / "b.bvh").write_text("\n".join([*lines[:offset], f"OFFSET {number} {words[2]} {words[3]}",
                                               *lines[offset + 1 :]]), "utf-8")  # fmt: skip
    with pytest.raises(UserError, match=r"b\.bvh"):
        read_bvh(tmp_path / "b.bvh")

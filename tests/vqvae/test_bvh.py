"""BVH files: ours exactly, foreign rigs by retargeting, bad ones by one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.vqvae.rigs import BANDAI, CMU, MIXAMO, OLD, RIGIFY, as_rig, bvh_text, motion
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.bvh import parse_bvh, read_bvh, write_bvh
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import Rig, joint_map, side_and_core
from vqvae.skeleton import SMPL22


def distance(a: Motion, b: Motion) -> float:
    return float(np.linalg.norm(a.joints - b.joints, axis=-1).max())


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_round_trip(tmp_path: Path, scale: float) -> None:
    m = motion()
    path = write_bvh(m, tmp_path / "a.bvh", scale)
    back = read_bvh(path)
    assert distance(m, back) < 1e-4 and rot.angle_between(m.rotations, back.rotations).max() < 1e-3
    assert back.fps == pytest.approx(20, abs=1e-4)
    rig = parse_bvh(path.read_text())
    rest = {n: rig.offsets[i] / scale for i, n in enumerate(rig.names)}
    assert np.allclose([rest["l_elbow"], rest["r_knee"]], [[0.259966, 0, 0], [0, -0.391906, 0]], atol=1e-6), "T-pose"


def test_gimbal_lock(tmp_path: Path) -> None:
    q = rot.identity((3, 22))
    q[1, 16] = rot.from_axis_angle(np.array([0, np.pi / 2, 0]))
    back = rot.from_axis_angle(np.array([0, -np.pi / 2, 0]))
    q[2, 16] = rot.multiply(back, rot.from_axis_angle(np.array([0.7, 0, 0])))
    m = Motion(q, np.zeros((3, 3)))
    assert distance(m, read_bvh(write_bvh(m, tmp_path / "a.bvh"))) < 1e-5


@pytest.mark.parametrize("names", [CMU, MIXAMO, BANDAI, OLD], ids=["cmu", "mixamo", "bandai", "old"])
@pytest.mark.parametrize(
    "options", [{}, {"arms_down": 45}, {"arms_down": 80, "scale": 39.37}, {"z_up": True, "arms_down": 30}]
)
def test_foreign_rigs(tmp_path: Path, names: dict[str, str], options: dict) -> None:
    m = motion()
    (tmp_path / "a.bvh").write_text(bvh_text(as_rig(m, names, **options)))
    assert distance(m, read_bvh(tmp_path / "a.bvh")) < 1e-3


@pytest.mark.parametrize("above", ["", "root", "Armature"])
def test_rigs_whose_spine_begins_at_the_pelvis(tmp_path: Path, above: str) -> None:
    """Rigify: the pelvis is where the legs meet, neck and head are counted with the spine."""
    m = motion()
    text = bvh_text(as_rig(m, RIGIFY))
    if above:
        head, rows = text.split("MOTION")
        head = head.replace("ROOT", f"ROOT {above}\n{{\nOFFSET 0 0 0\nCHANNELS 0\nJOINT") + "}\n"
        text = f"{head}MOTION{rows}"
    (tmp_path / "a.bvh").write_text(text)
    assert distance(m, read_bvh(tmp_path / "a.bvh")) < 1e-3


def test_rigs_with_fewer_joints() -> None:
    rig = as_rig(motion(), CMU)
    dropped = ("LeftToeBase", "RightToeBase", "LeftHand", "Head", "LowerBack", "Spine")
    keep = [i for i, n in enumerate(rig.names) if n not in dropped]
    parents = []
    for p in (rig.parents[i] for i in keep):
        while p >= 0 and p not in keep:
            p = rig.parents[p]
        parents.append(keep.index(p) if p >= 0 else -1)
    small = Rig(tuple(rig.names[i] for i in keep), tuple(parents), rig.offsets[keep], rig.rotations[:, keep],
                rig.translations[:, keep], 20.0)  # fmt: skip
    m = retarget(small)
    assert np.isfinite(m.joints).all() and len(m) == 40


@pytest.mark.parametrize(
    ("name", "side", "core"),
    [("mixamorig:LeftUpLeg", "l", "upleg"), ("Hand_R", "r", "hand"), ("rShldr", "r", "shldr"),
     ("Bip01 L Thigh", "l", "thigh"), ("shoulder.L", "l", "shoulder"), ("Spine1", "", "spine1"),
     ("J_Bip_L_UpperLeg", "l", "upperleg"), ("J_Bip_C_Hips", "", "hips"),
     *((n, "l", "upleg") for n in ("leftupleg", "LEFTUPLEG", "mixamorigLeftUpLeg", "mixamorig1leftupleg",
                                   "LeftUpLeg.001"))],
)  # fmt: skip
def test_names(name: str, side: str, core: str) -> None:
    assert side_and_core(name) == (side, core)


def test_every_joint_is_found() -> None:
    found = joint_map(as_rig(motion(), OLD))
    assert {k: SMPL22.names[i] for k, i in found.items()} == {k: k for k in SMPL22.names}


def row(change: Callable[[str], str]) -> Callable[[list[str], int], object]:
    """Changes the third frame."""
    return lambda lines, at: lines.__setitem__(at + 5, change(lines[at + 5]))


BROKEN: dict[str, Callable[[list[str], int], object]] = {
    "NaN or infinity in frame 2": row(lambda r: r.replace(r.split()[3], "nan", 1)),
    "not numbers": row(lambda r: r + "x"),
    "frame 2: 68 values": row(lambda r: " ".join(r.split()[:-1])),
    "0 frames; accepted 2": lambda lines, at: lines.__setitem__(slice(at + 1, None), ["Frames: 0", "Frame Time: 0.05"]),
    "1 frames; accepted 2": lambda lines, at: lines.__setitem__(
        slice(at + 1, None), ["Frames: 1", "Frame Time: 0.05", lines[at + 3]]),
    "where 7 frames are announced": lambda lines, at: lines.__setitem__(at + 1, "Frames: 7"),
    "frame time": lambda lines, at: lines.__setitem__(at + 2, "Frame Time: 0"),
    "l_shoulder": lambda lines, at: lines.__setitem__(slice(None), [r.replace("LeftArm", "Gadget") for r in lines]),
    "expected": lambda lines, at: lines.remove("}"),
    "no MOTION": lambda lines, at: lines.__delitem__(slice(at, None)),
    "no length": lambda lines, at: lines.__setitem__(
        slice(None), ["OFFSET 0 0 0" if r.startswith("OFFSET") else r for r in lines]),
    "accepted one ROOT": lambda lines, at: lines.__setitem__(
        slice(at, at), ["ROOT other", "{", "OFFSET 0 0 0", "}"]),
    "'Wrotation'": lambda lines, at: lines.__setitem__(slice(None), [r.replace("Xrot", "Wrot") for r in lines]),
}  # fmt: skip


@pytest.mark.parametrize("message", BROKEN)
def test_bad_files(tmp_path: Path, message: str) -> None:
    lines = bvh_text(as_rig(motion(), CMU)).splitlines()
    BROKEN[message](lines, lines.index("MOTION"))
    path = tmp_path / "bad.bvh"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=message) as e:
        read_bvh(path)
    assert str(e.value).startswith(str(path)) and "\n" not in str(e.value)


def test_missing_files_and_other_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_bytes(b"\xff\xfe\x00\x01" * 10)
    (tmp_path / "empty.bvh").write_text("")
    for name, message in (("a", "not UTF-8 text"), ("none", "no such file"), ("empty", "no HIERARCHY")):
        with pytest.raises(UserError, match=message):
            read_bvh(tmp_path / f"{name}.bvh")
    with pytest.raises(UserError, match="cannot write"):
        write_bvh(motion(), tmp_path / "a.bvh" / "b.bvh")


@pytest.mark.parametrize("number", ["1_0", "\u0663", "1e30"])
@pytest.mark.parametrize("place", ["first", "last", "offset"])
def test_numbers_that_no_program_writes(tmp_path: Path, number: str, place: str) -> None:
    if (number, place) == ("1e30", "last"):
        pytest.skip("any angle is an angle")
    lines = bvh_text(as_rig(motion(), CMU)).splitlines()
    at = lines.index("MOTION") + 4 if place != "offset" else next(
        i for i, line in enumerate(lines) if "OFFSET" in line and i > 5)  # fmt: skip
    words = lines[at].split()
    words[{"first": 0, "last": -1, "offset": 1}[place]] = number
    lines[at] = " ".join(words)
    (tmp_path / "a.bvh").write_text("\n".join(lines), "utf-8")
    with pytest.raises(UserError, match=r"a\.bvh: "):
        read_bvh(tmp_path / "a.bvh")

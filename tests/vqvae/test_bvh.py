"""BVH and Acclaim files: ours exactly, foreign rigs by retargeting, bad ones by one clear line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.instruct_data import corpus_trees as trees
from tests.vqvae.rigs import BANDAI, CMU, MIXAMO, OLD, RIGIFY, as_rig, bvh_text, distance, motion, reparented
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.asf import parse_amc, parse_asf, read_acclaim, read_amc, read_asf, skeleton_beside
from vqvae.io.bvh import parse_bvh, read_bvh, write_bvh
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import Rig, joint_map, side_and_core, world
from vqvae.skeleton import SMPL22


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
    small = Rig(tuple(rig.names[i] for i in keep), reparented(rig.parents, keep), rig.offsets[keep],
                rig.rotations[:, keep], rig.translations[:, keep], 20.0)  # fmt: skip
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
    for name, message in (("a", "no HIERARCHY"), ("none", "no such file"), ("empty", "no HIERARCHY")):
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


SMALL = """:units
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 1 2 3
   orientation 0 0 0
:bonedata
  begin
     id 1
     name shin
     direction 0 -1 0
     length 4
     axis 0 0 90 XYZ
     dof rx
     limits (-160 20)
  end
  begin
     id 2
     name foot
     direction 0 0 1
     length 1
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root shin
    shin foot
  end
"""


def test_axes_turn_as_the_format_says() -> None:
    """A turn about the bone's own X, which lies along the world's Y, brings its foot from +Z to +X."""
    amc = ":DEGREES\n1\nroot 0 0 0 0 0 0\nshin 0\n2\nroot 5 0 0 0 90 0\nshin 90\n"
    rig = parse_amc(amc, parse_asf(SMALL), 120.0)
    assert rig.names == ("root", "shin", "foot") and rig.parents == (-1, 0, 1) and rig.fps == 120
    places, turns = world(rig)
    assert places[0].tolist() == [[1, 2, 3], [1, 2, 3], [1, -2, 3]]
    assert np.allclose(places[1, 0], [6, 2, 3])
    assert np.allclose(turns[0, 1] @ [0, 0, 1], [0, 0, 1]) and np.allclose(turns[1, 0] @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(turns[1, 1] @ [0, 0, 1], [0, 0, -1], atol=1e-9)  # root's 90 degrees about Y and the shin's


@pytest.mark.parametrize("name", ["01.asf", "01_01.asf", "skeleton.ASF"])
def test_a_motion_is_read_with_the_skeleton_beside_it(tmp_path: Path, name: str) -> None:
    """Comments of either file may be Latin-1."""
    motion = trees.walking(40)
    trees.acclaim(tmp_path, motion)
    (tmp_path / "01.asf").rename(tmp_path / name)
    for path in (tmp_path / name, tmp_path / "01_01.amc"):
        path.write_bytes(b"# \xfc\n" + path.read_bytes())
    got = read_acclaim(tmp_path / "01_01.amc", 20.0)
    assert got.fps == 20.0 and len(got) == 40
    assert read_acclaim(tmp_path / "01_01.amc").fps == 120.0
    loaded = export.load(tmp_path / "01_01.amc", fps=60.0)
    assert loaded.fps == 60.0 and np.array_equal(loaded.rotations, got.rotations)


def test_the_skeleton_of_the_longest_name_is_taken(tmp_path: Path) -> None:
    names = "HDM_bd.asf", "HDM_bd_01-01_01_120.amc", "HDM.asf", "HDM_b.asf"
    for name in names:
        (tmp_path / name).touch()
    assert skeleton_beside(tmp_path / names[1]).name == names[0]


@pytest.mark.parametrize(("others", "words"), [((), "none is there"), (("a", "b"), "2 others are there")])
def test_a_motion_without_its_skeleton_is_refused(tmp_path: Path, others: tuple[str, ...], words: str) -> None:
    trees.acclaim(tmp_path, trees.walking(10))
    skeleton = (tmp_path / "01.asf").read_text()
    (tmp_path / "01.asf").unlink()
    for stem in others:
        trees.text(tmp_path / f"{stem}.asf", skeleton)
    with pytest.raises(UserError, match=rf"01_01.amc: no skeleton .*{words}.*accepted 01_01.asf"):
        read_acclaim(tmp_path / "01_01.amc")


def test_a_body_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    motion = trees.walking(40)
    more = rot.from_axis_angle(rng.uniform(-0.15, 0.15, (1, 22, 3)) * np.ones((40, 1, 1)))
    motion = Motion(rot.multiply(motion.rotations.astype(float), more), motion.root, 20.0)
    trees.acclaim(tmp_path, motion)
    rig = read_amc(tmp_path / "01_01.amc", read_asf(tmp_path / "01.asf"), 20.0)
    assert {"left_femur", "right_hand", "lowerback", "root"} <= set(rig.names)
    got = retarget(rig)
    assert np.abs(got.joints - motion.joints).max() < 0.02 and got.fps == 20


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":hierarchy", ":other", "no :hierarchy section"),
        ("root shin", "root thigh", "names thigh, which is no bone"),
        ("shin foot", "foot shin", "does not lead from root"),
        ("length 4", "length four", "bone shin: length: 'four'"),
        ("axis 0 0 90 XYZ", "axis 0 0 90 XXZ", "axis order 'XXZ'"),
        ("dof rx", "dof rw", "dof 'rw'"),
        ("     direction 0 -1 0", "     direction 0 nan 0", "direction"),
    ],
)
def test_bad_skeletons(tmp_path: Path, old: str, new: str, said: str) -> None:
    trees.text(tmp_path / "a.asf", SMALL.replace(old, new, 1))
    with pytest.raises(UserError, match=said) as e:
        read_asf(tmp_path / "a.asf")
    assert str(tmp_path / "a.asf") in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\nroot 0 0 0 0 0 0\nshin 0\n", "1 frames"),
        ("1\nroot 0 0 0 0 0 0\nshin 0\n2\nroot 0 0 0 0 0 0\n", "frame 2: no values of shin"),
        ("1\nroot 0 0 0\nshin 0\n", "line 2: root"),
        ("1\nroot 0 0 0 0 0 0\nknee 0\n", "line 3: 'knee' is no bone"),
    ],
)
def test_bad_motions(tmp_path: Path, text: str, said: str) -> None:
    trees.text(tmp_path / "a.amc", text)
    with pytest.raises(UserError, match=said) as e:
        read_amc(tmp_path / "a.amc", parse_asf(SMALL), 120.0)
    assert str(tmp_path / "a.amc") in str(e.value)

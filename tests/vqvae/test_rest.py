"""Rest poses by evidence: bound, stored, a T-pose in the clip, the clip itself; and bodies that are none."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.vqvae.rigs import (
    BANDAI,
    CMU,
    CONVENTIONS,
    LIMBS,
    MIXAMO,
    GltfFile,
    along_bones,
    as_rig,
    bone_axes,
    bvh_text,
    distance,
    elephant,
    limbs_off,
    moving,
    places_of,
    with_axes,
)
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.bvh import parse_bvh, read_bvh
from vqvae.io.folders import folder_means
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import Rig, joint_map, world
from vqvae.skeleton import SMPL22

RIGS = Path(__file__).parents[3] / "shared" / "data" / "rigs"


def off(got: Motion, wanted: Motion) -> float:
    """The largest angle between the same bone of two motions, degrees."""
    bones = [(SMPL22.names[p], n) for n, p in zip(SMPL22.names, SMPL22.parents, strict=True) if p > 0 or n == "spine1"]
    return limbs_off(places_of(got.joints), places_of(wanted.joints), bones)


def turned(got: Motion, m: Motion) -> float:
    """The largest mean angle between a joint's rotations in the world but the toes', degrees; twist counts."""
    ours, theirs = (rot.from_matrix(SMPL22.fk_full(x.rotations, x.root)[1]) for x in (got, m))
    differences = np.degrees(rot.angle_between(ours, theirs)).mean(0)
    return float(differences[[not n.endswith("foot") for n in SMPL22.names]].max())


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("names", [CMU, BANDAI, MIXAMO], ids=["cmu", "bandai", "mixamo"])
def test_bones_along_an_axis_of_their_joints(tmp_path: Path, names: dict[str, str], axis: int) -> None:
    """As in LAFAN1 or Rokoko's files: zero is no pose, and every joint has axes of its own."""
    m = moving()
    (tmp_path / "a.bvh").write_text(bvh_text(with_axes(as_rig(m, names), along_bones(axis))))
    got = read_bvh(tmp_path / "a.bvh")
    assert off(got, m) < 8 and turned(got, m) < 12


@pytest.mark.parametrize("axes", [along_bones(1), bone_axes()], ids=["mixamo", "any"])
@pytest.mark.parametrize("frame", [8, 15, 33])
def test_nodes_stored_as_in_a_frame(tmp_path: Path, axes: np.ndarray, frame: int) -> None:
    """Without a mesh, nodes may stand as in any frame: bent forward, one leg before the other."""
    m = moving()
    file = GltfFile({"Dance": as_rig(m, MIXAMO)}, axes, skin=False)
    stand_as_in(file, frame)
    got = export.load(file.save(tmp_path / "a.glb"))
    assert off(got, m) < 8 and turned(got, m) < 20
    assert np.abs(got.joints[..., 1].min(1) - m.joints[..., 1].min(1)).max() < 0.03


def stand_as_in(file: GltfFile, frame: int) -> None:
    """Store the nodes as they are in a frame of the first animation."""
    animation = file.gltf["animations"][0]
    for channel in animation["channels"]:
        accessor = file.gltf["accessors"][animation["samplers"][channel["sampler"]]["output"]]
        view = file.gltf["bufferViews"][accessor["bufferView"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        width = 4 if channel["target"]["path"] == "rotation" else 3
        rows = np.frombuffer(bytes(file.blob), "<f4", accessor["count"] * width, start).reshape(-1, width)
        file.gltf["nodes"][channel["target"]["node"]][channel["target"]["path"]] = rows[frame].tolist()


def test_a_t_pose_among_the_frames() -> None:
    """A clip that begins with a T-pose is read by it, twist included, whatever its zero."""
    m = moving()
    q = m.rotations.copy()
    q[:3] = rot.identity((3, 22))
    m = Motion(q, m.root, m.fps)
    rig = with_axes(as_rig(m, CMU, facing=30), bone_axes())
    assert turned(retarget(rig), retarget(as_rig(m, CMU, facing=30))) < 1


def test_the_movement_says_which_way_is_up() -> None:
    """Data whose up is Z under a rest pose whose up is Y."""
    m = moving()
    rig = as_rig(m, CMU)
    turn = rot.from_axis_angle(np.array([np.pi / 2, 0, 0]))
    q, moved = rig.rotations.copy(), rig.translations.copy()
    q[:, 0], moved[:, 0] = rot.multiply(turn, q[:, 0]), rot.rotate(turn, moved[:, 0])
    got = retarget(replace(rig, rotations=q, translations=moved))
    assert off(got, m) < 1 and "in the movement Z" in got.notes[0]


@pytest.mark.parametrize("skin", [True, False, None], ids=["skin", "no skin", "bvh"])
def test_an_elephant_is_no_person(tmp_path: Path, skin: bool | None) -> None:
    path = tmp_path / ("a.bvh" if skin is None else "a.glb")
    if skin is None:
        path.write_text(bvh_text(elephant()))
    else:
        GltfFile({"Walk": elephant()}, np.tile(rot.identity(()), (len(elephant().names), 1)), skin=skin).save(path)
    with pytest.raises(UserError, match=r"no human body: .*spine is \d+ degrees from upright, the hands reach") as e:
        export.load(path)
    assert "\n" not in str(e.value)


def test_legs_of_other_lengths_are_no_persons() -> None:
    rig = as_rig(moving(), CMU)
    offsets = rig.offsets.copy()
    offsets[[SMPL22.index("l_knee"), SMPL22.index("l_ankle")]] *= 0.5
    with pytest.raises(UserError, match="legs' lengths differ by 50%"):
        retarget(replace(rig, offsets=offsets))


def test_proportions_of_a_child() -> None:
    """A large head, short legs and arms, Unreal's names, Z up."""
    m = moving()
    rig = as_rig(m, CONVENTIONS["unreal"], z_up=True, arms_down=50)
    offsets = rig.offsets.copy()
    for name, share in (("knee", 0.6), ("ankle", 0.6), ("elbow", 0.7), ("wrist", 0.7)):
        offsets[[SMPL22.index(f"{s}_{name}") for s in "lr"]] *= share
    moved = rig.translations.copy()
    moved[:, 1:] = offsets[1:]
    assert off(retarget(replace(rig, offsets=offsets, translations=moved)), m) < 1


BONES = [("pelvis", "neck"), *LIMBS, ("l_ankle", "l_foot"), ("r_ankle", "r_foot")]


@pytest.mark.parametrize(("file", "z_up"), [("rokoko.bvh", False), ("fair1_zombie.bvh", True), ("pybvh3.bvh", True)])
def test_files_of_others(file: str, z_up: bool) -> None:
    """The directions of bones are those of the file's own hierarchy."""
    if not RIGS.is_dir():
        pytest.skip("no ../shared/data/rigs")
    rig: Rig = parse_bvh((RIGS / file).read_text())
    places = world(rig)[0][..., [0, 2, 1]] * [1, 1, -1] if z_up else world(rig)[0]
    theirs = {name: places[:, j] for name, j in joint_map(rig).items()}
    bones = [*BONES, *([("neck", "head")] if file == "rokoko.bvh" else [])]
    bones = [bone for bone in bones if theirs.keys() >= {*bone}]
    assert limbs_off(places_of(read_bvh(RIGS / file).joints), theirs, bones) < 8


def test_clips_of_a_folder_tell_together(tmp_path: Path) -> None:
    """Arms that hardly bend in one clip are turned as the others of the same rig say."""
    m, q = moving(seed=3), moving(seed=3).rotations.astype(float)
    for name in ("l_elbow", "r_elbow"):
        q[:, SMPL22.index(name)] = rot.from_axis_angle(np.tile([0.02, 0, 0.12], (len(m), 1)))
    straight = Motion(q, m.root, m.fps)
    for name, clip in (("a", straight), ("b", moving(seed=4)), ("c", moving(seed=5)), ("d", moving(seed=6))):
        (tmp_path / f"{name}.bvh").write_text(bvh_text(with_axes(as_rig(clip, BANDAI), along_bones(0))))
    path = tmp_path / "a.bvh"
    assert turned(read_bvh(path), straight) > 40
    assert turned(read_bvh(path, means=partial(folder_means, path)), straight) < 15


def test_what_is_stated(tmp_path: Path) -> None:
    """Names of joints, the vertical axis and the unit of places that contradict the skeleton."""
    m = moving()
    rig = as_rig(m, {n: f"bone {k}" for k, n in enumerate(SMPL22.names)}, z_up=True, scale=1.0)
    moved = rig.translations.copy()
    moved[:, 0] *= 100
    (tmp_path / "a.bvh").write_text(bvh_text(replace(rig, translations=moved)))
    with pytest.raises(UserError, match="joints not found: .*or a --map"):
        read_bvh(tmp_path / "a.bvh")
    names = {n: f"bone {k}" for k, n in enumerate(SMPL22.names)}
    got = read_bvh(tmp_path / "a.bvh", joints=names)
    assert distance(got, m) < 1e-3 and "100 times too high" in got.notes[0]
    got = read_bvh(tmp_path / "a.bvh", joints=names, unit=0.01, up="z")
    assert distance(got, m) < 1e-3 and not got.notes
    lying = read_bvh(tmp_path / "a.bvh", joints=names, up="y").joints
    assert np.ptp(lying[0, :, 1]) < 1
    for wrong, message in (({"l_hip": "leg"}, "l_hip: the file has no joint 'leg'"), ({"tail": "bone 1"}, "'tail'")):
        with pytest.raises(UserError, match=message):
            read_bvh(tmp_path / "a.bvh", joints=names | wrong)

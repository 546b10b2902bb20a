"""Animations of other programs' glTF rigs: all conventions of names, any axes, units and trees; else one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.vqvae.gltf_made import CONVENTIONS, VRM_BONES, Made, bone_axes
from tests.vqvae.test_bvh import MIXAMO, as_rig, motion
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.gltf_rigs import read_rigs
from vqvae.motion import Motion
from vqvae.retarget import STANDING, retarget
from vqvae.rig import Rig
from vqvae.skeleton import SMPL22

LYING = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))


def apart(a: Motion, b: Motion) -> float:
    """Metres between joints, at most."""
    assert len(a) == len(b) and a.fps == pytest.approx(b.fps)
    return float(np.linalg.norm(a.joints - b.joints, axis=-1).max())


@pytest.mark.parametrize("names", CONVENTIONS.values(), ids=CONVENTIONS)
@pytest.mark.parametrize("arms_down", [0.0, 45.0])
def test_conventions(tmp_path: Path, names: dict[str, str], arms_down: float) -> None:
    """Bones with axes of their own, in centimetres, below a node that stands them up and takes the unit back."""
    m = motion()
    rig = as_rig(m, names, arms_down, scale=1.0)
    path = Made({"Walk": rig}, bone_axes(), LYING, 0.01).save(tmp_path / "a.glb")
    assert apart(export.load(path), m) < 1e-3


@pytest.mark.parametrize("version", ["VRM", "VRMC_vrm"])
def test_vrm_says_which_node_is_which_bone(tmp_path: Path, version: str) -> None:
    """Whatever the nodes are called; hair that is called like a limb is none."""
    m = motion()
    made = Made({"Dance": as_rig(m, {n: f"node {i}" for i, n in enumerate(SMPL22.names)}, 30.0)}, bone_axes())
    bones = {VRM_BONES[n]: made.nodes[j] for j, n in enumerate(SMPL22.names)}
    made.gltf["nodes"][0]["children"].append(len(made.gltf["nodes"]))
    made.gltf["nodes"].append({"name": "LeftUpLeg"})
    human = {b: {"node": n} for b, n in bones.items()}
    told = human if version != "VRM" else [{"bone": b, "node": n} for b, n in bones.items()]
    made.gltf["extensions"] = {version: {"humanoid": {"humanBones": told}}}
    assert apart(export.load(made.save(tmp_path / "a.glb")), m) < 1e-3


def test_a_file_without_a_skin(tmp_path: Path) -> None:
    """At rest is how the nodes are stored."""
    m = motion()
    path = Made({"Walk": as_rig(m, MIXAMO, 60.0)}, bone_axes(), skin=False).save(tmp_path / "a.glb")
    assert apart(export.load(path), m) < 1e-3


def test_legs_beside_the_spine(tmp_path: Path) -> None:
    """As Rigify's deforming bones are exported: thighs hang on the origin, not on the pelvis."""
    m, rig = motion(), as_rig(motion(), CONVENTIONS["rigify"])
    places, turns = np.zeros((len(m), 22, 3)), np.empty_like(rig.rotations)
    for j, p in enumerate(rig.parents):
        above = rot.identity((len(m),)) if p < 0 else turns[:, p]
        turns[:, j] = rot.multiply(above, rig.rotations[:, j])
        places[:, j] = rig.translations[:, j] if p < 0 else places[:, p] + rot.rotate(above, rig.translations[:, j])
    loose = [SMPL22.index(f"{s}_hip") for s in "lr"]
    local, moved, offsets = rig.rotations.copy(), rig.translations.copy(), rig.offsets.copy()
    local[:, loose], moved[:, loose] = turns[:, loose], places[:, loose]
    high = np.array([0.0, 95, 0])  # the pelvis at rest, cm
    offsets[loose] = high + rig.offsets[loose]
    offsets[0] = high
    parents = tuple(-1 if j in loose else p for j, p in enumerate(rig.parents))
    made = Made({"Walk": Rig(rig.names, parents, offsets, local, moved, rig.fps)}, bone_axes())
    got = export.load(made.save(tmp_path / "a.glb"))
    back = replace(got, root=got.root + (m.root[0] - got.root[0]))  # the floor is known here, see below
    assert apart(back, m) < 1e-3


def test_controls_beside_the_bones(tmp_path: Path) -> None:
    """Rigify's controls have the names of bones, and do not move as these do."""
    m = motion()
    made = Made({"Walk": as_rig(m, CONVENTIONS["rigify"])}, bone_axes())
    extra = [{"name": n} for n in ("shoulder.L", "shoulder.R", "head", "neck", "thigh.L", "hand.R")]
    first = len(made.gltf["nodes"])
    made.gltf["nodes"] += extra
    made.gltf["nodes"][0]["children"] = [*range(first, first + len(extra)), *made.gltf["nodes"][0]["children"]]
    made.gltf["skins"][0]["joints"] = [*made.gltf["skins"][0]["joints"], *range(first, first + len(extra))]
    assert apart(export.load(made.save(tmp_path / "a.glb")), m) < 1e-3


def test_the_floor_is_the_files(tmp_path: Path) -> None:
    """A figure with feet twice as high stands on the floor on ours, as high as ours do."""
    rig = as_rig(motion(), MIXAMO, scale=1.0)
    still = replace(rig, rotations=rot.identity((3, 22)), translations=np.repeat(rig.offsets[None], 3, 0))
    offsets = still.offsets.copy()
    offsets[SMPL22.index("l_foot"), 1] = offsets[SMPL22.index("r_foot"), 1] = -0.12
    leg = 0.086311 + 0.391906 + 0.429038
    offsets[0, 1] = leg + 0.14
    moved = np.repeat(offsets[None], 3, 0)
    got = export.load(Made({"Idle": replace(still, offsets=offsets, translations=moved)}).save(tmp_path / "a.glb"))
    assert got.joints[0, SMPL22.index("l_ankle"), 1] == pytest.approx(STANDING, abs=1e-3)


def test_z_up_in_the_file(tmp_path: Path) -> None:
    """Blender's "+Y Up" off: nothing turns a skeleton that is modelled along Z."""
    m = motion()
    path = Made({"Walk": as_rig(m, MIXAMO, z_up=True)}, bone_axes()).save(tmp_path / "a.glb")
    assert apart(export.load(path), m) < 1e-3


def pack(tmp_path: Path, suffix: str = ".glb") -> tuple[Path, Motion, Motion]:
    """A file of two animations."""
    walk, wave = motion(), motion(24, seed=3)
    made = Made({"Walk": as_rig(walk, MIXAMO), "Big Wave": as_rig(wave, MIXAMO)}, bone_axes())
    return made.save(tmp_path / f"pack{suffix}"), walk, wave


def test_several_animations(tmp_path: Path) -> None:
    path, walk, wave = pack(tmp_path)
    with pytest.raises(UserError, match=r"pack.glb: 2 animations turn the joints \(Walk, Big Wave\).*name one as pack"):
        export.load(path)
    assert apart(export.load(path, animation="Walk"), walk) < 1e-3
    assert apart(export.load(path, animation="big wave"), wave) < 1e-3
    assert apart(export.load(f"{path}#Big Wave"), wave) < 1e-3
    with pytest.raises(UserError, match=r"no animation 'Jump'; accepted: Walk, Big Wave"):
        export.load(f"{path}#Jump")
    with pytest.raises(UserError, match="one of both"):
        export.load(f"{path}#Walk", animation="Big Wave")
    other = tmp_path / "pack.glb#Walk.glb"
    other.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="2 animations"):  # a file that is called so is that file
        export.load(other)


def test_our_own_joints_by_name(tmp_path: Path) -> None:
    walk, wave = motion(), motion(24, seed=3)
    names = {n: n for n in SMPL22.names}
    path = Made({"Walk": as_rig(walk, names), "Wave": as_rig(wave, names)}).save(tmp_path / "a.glb")
    assert apart(export.load(path, animation="Wave"), wave) < 1e-3


@pytest.mark.parametrize("uri", [None, "data:"])
def test_gltf_with_its_buffer(tmp_path: Path, uri: str | None) -> None:
    m = motion()
    path = Made({"Walk": as_rig(m, MIXAMO)}, bone_axes()).save(tmp_path / "a.gltf", uri)
    assert apart(export.load(path), m) < 1e-3


@pytest.mark.parametrize(
    "uri", ["../a.bin", "/etc/hostname", "file:///etc/hostname", "https://example.org/a.bin", "%2e%2e/a.bin",
            "..\\a.bin", "link.bin", "", "."],
)  # fmt: skip
def test_buffers_of_other_folders(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    made = Made({"Walk": as_rig(motion(), MIXAMO)})
    (tmp_path / "a.bin").write_bytes(bytes(made.blob) + b"\0" * 4)
    (folder / "link.bin").symlink_to(tmp_path / "a.bin")
    with pytest.raises(UserError, match="accepted files in the folder of the .gltf, and data: URIs") as e:
        export.load(made.save(folder / "a.gltf", uri))
    assert "\n" not in str(e.value)


def test_numbers_of_other_kinds(tmp_path: Path) -> None:
    """Normalised integers, values between which others lie, and sparse ones are the same values."""
    m = motion()
    made = Made({"Walk": as_rig(m, MIXAMO)}, bone_axes())
    elbow, knee, hip = (SMPL22.index(n) for n in ("l_elbow", "r_knee", "l_hip"))
    shorts = made.sampler(elbow)
    shorts["output"] = made.add(np.round(made.values(shorts["output"]) * 32767), "<i2", normalised=True)
    mixed = made.sampler(knee)
    values = made.values(mixed["output"])
    mixed["output"] = made.add(np.concatenate([values, values[::-1]], 1).reshape(-1, 4))
    made.gltf["bufferViews"][-1]["byteStride"] = 32
    made.gltf["accessors"][-1]["count"] = len(values)
    sparse = made.sampler(hip)
    whole = made.values(sparse["output"]).copy()
    changed = np.arange(3, len(whole))
    index, right = made.add(changed, "<u2"), made.add(whole[changed])
    whole[changed] = [0, 0, 0, 1]
    sparse["output"] = made.add(whole)
    made.gltf["accessors"][-1]["sparse"] = {
        "count": len(changed), "values": {"bufferView": made.gltf["accessors"][right]["bufferView"]},
        "indices": {"bufferView": made.gltf["accessors"][index]["bufferView"], "componentType": 5123},
    }  # fmt: skip
    assert apart(export.load(made.save(tmp_path / "a.glb")), m) < 2e-3


def test_splines_and_steps(tmp_path: Path) -> None:
    """A spline through a turn at even speed is that turn; what is held stays until its next key frame."""
    m = replace(motion(31), fps=30.0)
    still = replace(m, rotations=rot.identity((31, 22)).astype(np.float32), root=np.repeat(m.root[:1], 31, 0))
    made = Made({"Walk": replace(as_rig(still, MIXAMO), fps=30.0)})
    for sampler in made.gltf["animations"][0]["samplers"]:
        sampler["interpolation"] = "STEP"
    elbow, shin = SMPL22.index("l_elbow"), SMPL22.index("r_knee")
    times = made.add(np.array([0.0, 0.5, 1.0]))
    angle = np.array([0.0, 0.4, 0.8])
    keys = np.stack([np.zeros(3), np.sin(angle / 2), np.zeros(3), np.cos(angle / 2)], 1)
    slope = np.stack([np.zeros(3), np.cos(angle / 2), np.zeros(3), -np.sin(angle / 2)], 1) * 0.4
    made.sampler(elbow).update(
        input=times, output=made.add(np.stack([slope, keys, slope], 1).reshape(-1, 4)), interpolation="CUBICSPLINE"
    )
    made.sampler(shin).update(input=times, output=made.add(keys), interpolation="STEP")
    got = export.load(made.save(tmp_path / "a.glb"))
    assert (len(got), got.fps) == (31, pytest.approx(30))
    turned = rot.angle_between(got.rotations[:, elbow], rot.identity(()))
    np.testing.assert_allclose(turned, np.linspace(0, 0.8, 31), atol=2e-3)
    held = rot.angle_between(got.rotations[[0, 14, 15, 29, 30], shin], rot.identity(()))
    np.testing.assert_allclose(held, [0, 0, 0.4, 0.4, 0.8], atol=2e-3)


def test_a_body_with_a_still_face(tmp_path: Path) -> None:
    """Morph targets of a face that nothing moves do not make a body's animation a face's."""
    from vqvae import arkit

    m = motion()
    made = Made({"Walk": as_rig(m, MIXAMO)})
    made.gltf["meshes"] = [{"primitives": [], "extras": {"targetNames": list(arkit.NAMES)}}]
    made.gltf["nodes"].append({"name": "Head Mesh", "mesh": 0})
    assert apart(export.load(made.save(tmp_path / "a.glb")), m) < 1e-3


def test_bodies_of_vrm_animations(tmp_path: Path) -> None:
    m = motion()
    got = export.load(export.save(m, tmp_path / "a.vrma"))
    assert np.abs((got.root - got.root[0]) - (m.root - m.root[0])).max() < 1e-3
    assert apart(replace(got, root=m.root), m) < 1e-3


def test_fingers(tmp_path: Path) -> None:
    """Packs with hands are gestures where fingers are asked for, and bodies else."""
    path, walk, _ = pack(tmp_path)
    assert [r.name for r in read_rigs(path)] == ["Walk", "Big Wave"]
    assert retarget(read_rigs(path)[0](), hands=True).modality == "gesture"
    assert export.load(path, animation="Walk").modality == walk.modality


def changed(tmp_path: Path, change) -> Path:
    made = Made({"Walk": as_rig(motion(), MIXAMO)}, bone_axes())
    change(made)
    return made.save(tmp_path / "bad.glb")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.gltf["nodes"][SMPL22.index("l_elbow") + 1].update(name="x"), "joints not found: l_elbow"),
        (lambda m: m.gltf.update(nodes=[{"name": "Box"}], skins=[], scenes=[]), "joints not found: l_shoulder"),
        (lambda m: m.gltf.update(animations=[]), "no animation of its joints"),
        (lambda m: m.gltf.update(extensionsRequired=["EXT_meshopt_compression"]), "needs EXT_meshopt_compression"),
        (lambda m: m.gltf["asset"].update(version="1.0"), "glTF 1.0"),
        (lambda m: m.gltf["nodes"][3].update(children=[0]), "circle"),
        (lambda m: m.gltf["nodes"][0].update(scale=[1, 2, 1]), "Armature has scale 1 2 1"),
        (lambda m: m.gltf["nodes"][0].update(scale=[-1, -1, -1]), "Armature has scale"),
        (lambda m: m.gltf["nodes"][2].update(scale=[0, 1, 1]), "has scale 0 1 1"),
        (lambda m: m.gltf["nodes"][2].update(rotation=[0, 0, 0, 3]), "unit quaternion"),
        (lambda m: m.gltf["nodes"][2].update(translation=[0, "x", 0]), "nodes.2.translation"),
        (lambda m: m.gltf["nodes"][2].update(children=[-1]), "nodes.2.children.0"),
        (lambda m: m.gltf["accessors"][0].update(count=10**9), "not all there"),
        (lambda m: m.gltf["accessors"][m.sampler(3)["input"]].update(componentType=5123), "floats and normalised"),
        (lambda m: m.gltf["accessors"][m.sampler(3)["output"]].pop("bufferView"), "unit quaternion"),
        (lambda m: m.gltf["accessors"].__setitem__(m.sampler(3)["output"], {
            "componentType": 5126, "count": 10**9, "type": "VEC4"}), "stand nowhere"),
        (lambda m: m.sampler(3).update(output=m.sampler(3)["input"]), "a rotation of 1 numbers"),
        (lambda m: m.sampler(3).update(input=m.add(np.array([0.0, 2, 1]))), "times that do not rise"),
        (lambda m: m.sampler(3).update(input=10**6), "out of range"),
        (lambda m: m.gltf.update(bufferViews=[{"byteLength": 4, "buffer": 9}]), "out of range"),
        (lambda m: m.gltf["skins"][0].update(inverseBindMatrices=m.sampler(3)["input"]), "not a humanoid"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, change, said: str) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(UserError, match=said) as e:
        export.load(path)
    assert str(e.value).startswith(str(path)) and "\n" not in str(e.value)


def test_missing_and_short_buffers(tmp_path: Path) -> None:
    path = Made({"Walk": as_rig(motion(), MIXAMO)}).save(tmp_path / "a.gltf")
    (tmp_path / "a.bin").write_bytes(b"short")
    with pytest.raises(UserError, match="buffer 0 has 5 bytes"):
        export.load(path)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(UserError, match=r"a\.bin: no such file; a\.gltf needs it"):
        export.load(path)
    gltf = json.loads(path.read_text())
    gltf["buffers"][0] = {"byteLength": 1 << 40, "uri": "a.bin"}
    path.write_text(json.dumps(gltf))
    with pytest.raises(UserError, match="buffers of 1048576 MiB; accepted 1024 MiB"):
        export.load(path)

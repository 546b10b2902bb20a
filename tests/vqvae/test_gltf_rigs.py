"""Bodies of glTF files: rigs of many programs, kinds of accessors, and files that are refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.vqvae.rigs import CONVENTIONS, MIXAMO, VRM_BONES, GltfFile, as_rig, bone_axes, distance, motion, world_of
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.gltf_rigs import read_rigs
from vqvae.motion import Motion
from vqvae.retarget import STANDING, retarget
from vqvae.rig import Rig
from vqvae.skeleton import SMPL22

LYING = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))


def mixamo(m: Motion, **options) -> GltfFile:
    return GltfFile({"Walk": as_rig(m, MIXAMO)}, bone_axes(), **options)


@pytest.mark.parametrize("names", CONVENTIONS.values(), ids=CONVENTIONS)
@pytest.mark.parametrize("arms_down", [0.0, 45.0])
def test_conventions(tmp_path: Path, names: dict[str, str], arms_down: float) -> None:
    """Bones with axes of their own, in centimetres, below a node that stands them up and takes the unit back."""
    m = motion()
    rig = as_rig(m, names, arms_down, scale=1.0)
    path = GltfFile({"Walk": rig}, bone_axes(), LYING, 0.01).save(tmp_path / "a.glb")
    assert distance(export.load(path), m) < 1e-3


def without_skin(m: Motion) -> GltfFile:
    """The rest pose is then how the nodes are stored."""
    return GltfFile({"Walk": as_rig(m, MIXAMO, 60.0)}, bone_axes(), skin=False)


def z_up(m: Motion) -> GltfFile:
    """Blender's "+Y Up" off: nothing turns a skeleton that is modelled along Z."""
    return GltfFile({"Walk": as_rig(m, MIXAMO, z_up=True)}, bone_axes())


def own_names(m: Motion) -> GltfFile:
    return GltfFile({"Walk": as_rig(m, {n: n for n in SMPL22.names})})


def controls(m: Motion) -> GltfFile:
    """Rigify's controls have the names of bones, and do not move with them."""
    file = GltfFile({"Walk": as_rig(m, CONVENTIONS["rigify"])}, bone_axes())
    extra = [{"name": n} for n in ("shoulder.L", "shoulder.R", "head", "neck", "thigh.L", "hand.R")]
    first = len(file.gltf["nodes"])
    file.gltf["nodes"] += extra
    added = range(first, first + len(extra))
    file.gltf["nodes"][0]["children"] = [*added, *file.gltf["nodes"][0]["children"]]
    file.gltf["skins"][0]["joints"] = [*file.gltf["skins"][0]["joints"], *added]
    return file


def still_face(m: Motion) -> GltfFile:
    """Morph targets of a face that nothing moves do not make a body's animation a face's."""
    file = mixamo(m)
    file.gltf["meshes"] = [{"primitives": [], "extras": {"targetNames": list(arkit.NAMES)}}]
    file.gltf["nodes"].append({"name": "Head Mesh", "mesh": 0})
    return file


def vrm(m: Motion, version: str) -> GltfFile:
    """The extension names every bone's node, whatever the nodes are called; hair called like a limb is none."""
    file = GltfFile({"Dance": as_rig(m, {n: f"node {i}" for i, n in enumerate(SMPL22.names)}, 30.0)}, bone_axes())
    bones = {VRM_BONES[n]: file.nodes[j] for j, n in enumerate(SMPL22.names)}
    file.gltf["nodes"][0]["children"].append(len(file.gltf["nodes"]))
    file.gltf["nodes"].append({"name": "LeftUpLeg"})
    human = {b: {"node": n} for b, n in bones.items()}
    listed = [{"bone": b, "node": n} for b, n in bones.items()] if version == "VRM" else human
    file.gltf["extensions"] = {version: {"humanoid": {"humanBones": listed}}}
    return file


FILES: dict[str, Callable[[Motion], GltfFile]] = {
    "no skin": without_skin, "z up": z_up, "our joints": own_names, "controls": controls, "still face": still_face,
    "VRM 0": lambda m: vrm(m, "VRM"), "VRM 1": lambda m: vrm(m, "VRMC_vrm"),
}  # fmt: skip


@pytest.mark.parametrize("build", FILES.values(), ids=FILES)
def test_files(tmp_path: Path, build: Callable[[Motion], GltfFile]) -> None:
    m = motion()
    assert distance(export.load(build(m).save(tmp_path / "a.glb")), m) < 1e-3


@pytest.mark.parametrize("uri", [None, "data:"])
def test_gltf_with_its_buffer(tmp_path: Path, uri: str | None) -> None:
    m = motion()
    assert distance(export.load(mixamo(m).save(tmp_path / "a.gltf", uri)), m) < 1e-3


def test_legs_beside_the_spine(tmp_path: Path) -> None:
    """As Rigify's deforming bones are exported: thighs hang on the origin, not on the pelvis."""
    m, rig = motion(), as_rig(motion(), CONVENTIONS["rigify"])
    turns, places = world_of(rig)
    loose = [SMPL22.index(f"{s}_hip") for s in "lr"]
    local, moved, offsets = rig.rotations.copy(), rig.translations.copy(), rig.offsets.copy()
    local[:, loose], moved[:, loose] = turns[:, loose], places[:, loose]
    offsets[0] = [0.0, 95, 0]  # the pelvis at rest, cm
    offsets[loose] += offsets[0]
    parents = tuple(-1 if j in loose else p for j, p in enumerate(rig.parents))
    file = GltfFile({"Walk": Rig(rig.names, parents, offsets, local, moved, rig.fps)}, bone_axes())
    got = export.load(file.save(tmp_path / "a.glb"))
    # This file has a pelvis above the floor, so the root comes back moved by one constant.
    assert distance(replace(got, root=got.root + (m.root[0] - got.root[0])), m) < 1e-3


def test_the_floor_is_the_files(tmp_path: Path) -> None:
    """A figure with feet twice as high stands on the floor on ours, as high as ours do."""
    rig = as_rig(motion(), MIXAMO, scale=1.0)
    offsets = rig.offsets.copy()
    offsets[[SMPL22.index("l_foot"), SMPL22.index("r_foot")], 1] = -0.12
    leg = 0.086311 + 0.391906 + 0.429038
    offsets[0, 1] = leg + 0.14
    moved = np.repeat(offsets[None], 3, 0)
    still = replace(rig, offsets=offsets, rotations=rot.identity((3, 22)), translations=moved)
    got = export.load(GltfFile({"Idle": still}).save(tmp_path / "a.glb"))
    assert got.joints[0, SMPL22.index("l_ankle"), 1] == pytest.approx(STANDING, abs=1e-3)


def test_several_animations(tmp_path: Path) -> None:
    walk, wave = motion(), motion(24, seed=3)
    file = GltfFile({"Walk": as_rig(walk, MIXAMO), "Big Wave": as_rig(wave, MIXAMO)}, bone_axes())
    path = file.save(tmp_path / "pack.glb")
    several = r"pack.glb: 2 animations turn the joints \(Walk, Big Wave\).*name one as .*pack.glb#NAME"
    with pytest.raises(UserError, match=several):
        export.load(path)
    assert distance(export.load(path, animation="Walk"), walk) < 1e-3
    assert distance(export.load(path, animation="big wave"), wave) < 1e-3
    assert distance(export.load(f"{path}#Big Wave"), wave) < 1e-3
    with pytest.raises(UserError, match=r"no animation 'Jump'; accepted: Walk, Big Wave"):
        export.load(f"{path}#Jump")
    with pytest.raises(UserError, match="one of both"):
        export.load(f"{path}#Walk", animation="Big Wave")
    other = tmp_path / "pack.glb#Walk.glb"
    other.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="2 animations"):  # a file that is called so is that file
        export.load(other)
    # Packs with hands are gestures where fingers are asked for, and bodies otherwise.
    assert [r.name for r in read_rigs(path)] == ["Walk", "Big Wave"]
    assert retarget(read_rigs(path)[0](), hands=True).modality == "gesture"
    assert export.load(path, animation="Walk").modality == walk.modality


@pytest.mark.parametrize(
    "uri", ["../a.bin", "/etc/hostname", "file:///etc/hostname", "https://example.org/a.bin", "%2e%2e/a.bin",
            "..\\a.bin", "link.bin", "", "."],
)  # fmt: skip
def test_buffers_of_other_folders(tmp_path: Path, uri: str) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    file = mixamo(motion())
    (tmp_path / "a.bin").write_bytes(bytes(file.blob) + b"\0" * 4)
    (folder / "link.bin").symlink_to(tmp_path / "a.bin")
    with pytest.raises(UserError, match="accepted files in the folder of the .gltf, and data: URIs") as e:
        export.load(file.save(folder / "a.gltf", uri))
    assert "\n" not in str(e.value)


def test_kinds_of_accessors(tmp_path: Path) -> None:
    """Normalised integers, values between which others lie, and sparse ones are the same values."""
    m = motion()
    file = mixamo(m)
    accessors = file.gltf["accessors"]
    shorts, mixed, sparse = (file.sampler(SMPL22.index(n)) for n in ("l_elbow", "r_knee", "l_hip"))
    shorts["output"] = file.add(np.round(file.values(shorts["output"]) * 32767), "<i2", normalised=True)
    values = file.values(mixed["output"])
    mixed["output"] = file.add(np.concatenate([values, values[::-1]], 1).reshape(-1, 4))
    file.gltf["bufferViews"][-1]["byteStride"] = 32
    accessors[-1]["count"] = len(values)
    values = file.values(sparse["output"]).copy()
    rows = np.arange(3, len(values))
    index, right = file.add(rows, "<u2"), file.add(values[rows])
    values[rows] = [0, 0, 0, 1]
    sparse["output"] = file.add(values)
    accessors[-1]["sparse"] = {
        "count": len(rows), "values": {"bufferView": accessors[right]["bufferView"]},
        "indices": {"bufferView": accessors[index]["bufferView"], "componentType": 5123},
    }  # fmt: skip
    assert distance(export.load(file.save(tmp_path / "a.glb")), m) < 2e-3


def test_splines_and_steps(tmp_path: Path) -> None:
    """A spline through a turn at even speed is that turn; a step holds until its next key frame."""
    m = replace(motion(31), fps=30.0)
    still = replace(m, rotations=rot.identity((31, 22)).astype(np.float32), root=np.repeat(m.root[:1], 31, 0))
    file = GltfFile({"Walk": replace(as_rig(still, MIXAMO), fps=30.0)})
    for sampler in file.gltf["animations"][0]["samplers"]:
        sampler["interpolation"] = "STEP"
    elbow, shin = SMPL22.index("l_elbow"), SMPL22.index("r_knee")
    times = file.add(np.array([0.0, 0.5, 1.0]))
    angle, zero = np.array([0.0, 0.4, 0.8]), np.zeros(3)
    keys = np.stack([zero, np.sin(angle / 2), zero, np.cos(angle / 2)], 1)
    slope = np.stack([zero, np.cos(angle / 2), zero, -np.sin(angle / 2)], 1) * 0.4
    spline = file.add(np.stack([slope, keys, slope], 1).reshape(-1, 4))
    file.sampler(elbow).update(input=times, output=spline, interpolation="CUBICSPLINE")
    file.sampler(shin).update(input=times, output=file.add(keys), interpolation="STEP")
    got = export.load(file.save(tmp_path / "a.glb"))
    assert (len(got), got.fps) == (31, pytest.approx(30))
    turned = rot.angle_between(got.rotations[:, elbow], rot.identity(()))
    np.testing.assert_allclose(turned, np.linspace(0, 0.8, 31), atol=2e-3)
    steps = rot.angle_between(got.rotations[[0, 14, 15, 29, 30], shin], rot.identity(()))
    np.testing.assert_allclose(steps, [0, 0, 0.4, 0.4, 0.8], atol=2e-3)


def test_bodies_of_vrm_animations(tmp_path: Path) -> None:
    m = motion()
    got = export.load(export.save(m, tmp_path / "a.vrma"))
    assert np.abs((got.root - got.root[0]) - (m.root - m.root[0])).max() < 1e-3
    assert distance(replace(got, root=m.root), m) < 1e-3


@pytest.mark.parametrize(
    ("change", "error"),
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
def test_bad_files(tmp_path: Path, change: Callable[[GltfFile], object], error: str) -> None:
    file = mixamo(motion())
    change(file)
    path = file.save(tmp_path / "bad.glb")
    with pytest.raises(UserError, match=error) as e:
        export.load(path)
    assert str(e.value).startswith(str(path)) and "\n" not in str(e.value)


def test_bad_buffers(tmp_path: Path) -> None:
    path = mixamo(motion()).save(tmp_path / "a.gltf")
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

"""The table of formats, and array files: our .npz, AMASS and SMPL-X, HumanML3D, positions with quaternions."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export.formats import MAX_FACE_PIXELS, MAX_PIXELS, MIN_PIXELS, check_size
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def test_suffixes() -> None:
    films, files = [".gif", ".mov", ".mp4"], [".bvh", ".csv", ".fbx", ".glb", ".json", ".npy", ".npz", ".png", ".vrma"]
    assert export.writable() == sorted([*films, *files])
    assert export.readable() == [
        ".amc", ".bvh", ".c3d", ".csv", ".fbx", ".glb", ".gltf", ".json", ".npy", ".npz", ".usd", ".usda",
        ".usdc", ".usdz", ".vrm", ".vrma",
    ]  # fmt: skip
    assert set(export.readable(films=True)) - set(export.readable()) > {".gif", ".mp4", ".webm"}


@pytest.mark.parametrize("name", ["a.obj", "a", "a.bvh.gz", ".bvh"])
def test_unknown_suffix_is_refused_both_ways(motion: Motion, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"accepted .*\.bvh .*\.npz"):
        export.save(motion, tmp_path / name)
    with pytest.raises(UserError, match=r"accepted .*\.bvh .*\.npz"):
        export.load(tmp_path / name)


def test_a_gesture_is_written_wherever_a_body_is(motion: Motion, tmp_path: Path) -> None:
    gesture = replace(motion.slice(0, 3), modality="gesture")
    for suffix in set(export.writable("body")) - {".fbx"}:  # which needs Blender
        assert export.save(gesture, tmp_path / f"a{suffix}").is_file()
    assert export.load(tmp_path / "a.npz").modality == "gesture"
    assert export.writable("gesture") == export.writable("body")


def test_check_target(tmp_path: Path) -> None:
    assert export.check_target(tmp_path / "new" / "deep" / "a.glb") == tmp_path / "new" / "deep" / "a.glb"
    assert not (tmp_path / "new").exists()
    (tmp_path / "folder.bvh").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        export.check_target(tmp_path / "folder.bvh")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="not a folder"):
        export.check_target(tmp_path / "file" / "a.bvh")


def test_unwritable_folder(motion: Motion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *a, **k: False)
    with pytest.raises(UserError, match="no permission"):
        export.save(motion, tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("modality", "largest"), [("body", MAX_PIXELS), ("face", MAX_FACE_PIXELS)])
def test_sizes_of_films(modality: str, largest: int) -> None:
    for size in (MIN_PIXELS, largest):
        check_size(Path("a.mp4"), modality, size)
    for size in (MIN_PIXELS - 1, largest + 1, 64.0):
        with pytest.raises(UserError, match=f"accepted {MIN_PIXELS} to {largest} pixels"):
            check_size(Path("a.mp4"), modality, size)


def test_options_files_and_capitals(motion: Motion, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no option 'colour' for .bvh; accepted scale"):
        export.save(motion, tmp_path / "a.bvh", colour=1)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="no such file"):
        export.load(tmp_path / "a.bvh")
    assert len(export.load(export.save(motion, tmp_path / "A.BVH"))) == len(motion)


@pytest.mark.parametrize("suffix", [".bvh", ".gif", ".glb", ".npy", ".npz", ".png"])
def test_a_failed_write_leaves_the_old_file(
    motion: Motion, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / f"a{suffix}"
    target.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="No space left"):
        export.save(motion.slice(0, 4), target)
    assert [p.name for p in tmp_path.iterdir()] == [target.name] and target.read_text() == "old"


def test_importing_the_table_is_light() -> None:
    code = "import sys, avatargpt.export; print([m for m in ('numpy', 'PIL', 'torch', 'scipy') if m in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_smplx_round_trip_and_layout(motion: Motion, tmp_path: Path) -> None:
    path = export.save(motion, tmp_path / "a.npz", layout="smplx")
    with np.load(path, allow_pickle=False) as z:
        assert z["poses"].shape == (len(motion), 165) and z["trans"].shape == (len(motion), 3)
        assert z["betas"].shape == (16,) and str(z["gender"]) == "neutral" and float(z["mocap_frame_rate"]) == 20
        np.testing.assert_array_equal(z["poses"][:, :3], z["root_orient"])
        np.testing.assert_array_equal(z["poses"][:, 3:66], z["pose_body"])
        # Z is up: the height is the third coordinate, our +Z (forward) is -Y
        np.testing.assert_allclose(z["trans"][:, 2], motion.root[:, 1], atol=1e-6)
        np.testing.assert_allclose(z["trans"][:, 1], -motion.root[:, 2], atol=1e-6)
        # SMPL's kinematics by matrices, in the file's own axes, give our joints turned to Z up
        world = [rot.to_matrix(rot.from_axis_angle(z["poses"][:, :3]))]
        at = [z["trans"]]
        for j in range(1, 22):
            p = SMPL22.parents[j]
            at.append(at[p] + world[p] @ SMPL22.offsets[j])
            world.append(world[p] @ rot.to_matrix(rot.from_axis_angle(z["poses"][:, 3 * j : 3 * j + 3])))
    x, y, z_ = np.moveaxis(np.stack(at, 1), -1, 0)
    np.testing.assert_allclose(np.stack([x, z_, -y], -1), motion.joints, atol=1e-5)
    assert np.abs(export.load(path).joints - motion.joints).max() < 1e-5


@pytest.mark.parametrize("rate", ["mocap_framerate", "mocap_frame_rate"])
@pytest.mark.parametrize("split", [False, True])
def test_amass_keys(rate: str, split: bool, tmp_path: Path) -> None:
    poses = np.zeros((5, 156))
    poses[:, 0] = np.pi / 2  # stands upright in a Z-up world
    poses[:, 3 * 18 + 1] = -1.0  # left elbow bent
    pose = {"root_orient": poses[:, :3], "pose_body": poses[:, 3:66]} if split else {"poses": poses}
    np.savez(tmp_path / "m.npz", trans=np.tile([1.0, 2.0, 0.9], (5, 1)), betas=np.zeros(16), **pose, **{rate: 120.0})
    got = export.load(tmp_path / "m.npz")
    assert got.fps == 120
    np.testing.assert_allclose(got.root[0], [1, 0.9, -2], atol=1e-6)
    np.testing.assert_allclose(got.joints[0, 15] - got.joints[0, 0], SMPL22.rest_joints[15], atol=1e-5)
    forearm = got.joints[0, 20] - got.joints[0, 18]
    np.testing.assert_allclose(forearm / np.linalg.norm(forearm), [np.cos(1), 0, np.sin(1)], atol=1e-5)
    y_up = export.load(tmp_path / "m.npz", up="y")
    np.testing.assert_allclose(y_up.root[0], [1, 2, 0.9], atol=1e-6)


@pytest.mark.parametrize(
    ("keys", "says"),
    [({"poses": np.zeros((4, 156))}, "frame rate"),
     ({"mocap_framerate": 60.0}, "without poses"),
     ({"poses": np.zeros((4, 30)), "mocap_framerate": 60.0}, "(4, 30)"),
     ({"poses": np.zeros((3, 156)), "mocap_framerate": 60.0}, "trans (4, 3) beside 3 poses"),
     ({"poses": np.full((4, 156), np.nan), "mocap_framerate": 60.0}, "NaN"),
     ({"poses": np.zeros((4, 156)), "mocap_framerate": 0.0}, "fps")],
)  # fmt: skip
def test_bad_amass(keys: dict[str, np.ndarray], says: str, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, trans=np.zeros((4, 3)), **keys)
    with pytest.raises(UserError) as e:
        export.load(path)
    assert says in str(e.value) and str(path) in str(e.value) and "\n" not in str(e.value)


def test_pos7_round_trip(motion: Motion, tmp_path: Path) -> None:
    path = export.save(motion, tmp_path / "a.npy", layout="pos7")
    array = np.load(path)
    assert array.shape == (len(motion), 22, 7) and array.dtype == np.float32
    np.testing.assert_allclose(array[..., :3], motion.joints, atol=1e-6)
    # world rotations: each joint's turns the child's bone offset onto the bone
    bone = rot.rotate(array[:, 16, 3:].astype(float), SMPL22.offsets[18])
    np.testing.assert_allclose(bone, array[:, 18, :3] - array[:, 16, :3], atol=1e-5)
    got = export.load(path, fps=30.0)
    assert got.fps == 30 and np.abs(got.joints - motion.joints).max() < 1e-5
    single = export.load(export.save(motion.slice(3, 4), path, layout="pos7"))
    assert len(single) == 1 and np.abs(single.joints - motion.joints[3:4]).max() < 1e-5


def test_hml263_round_trip(motion: Motion, tmp_path: Path) -> None:
    path = export.save(motion, tmp_path / "a.npy")
    assert np.load(path).shape == (len(motion) - 1, 263)
    got, want = export.load(path), motion.canonical()
    count = min(len(got), len(want))
    # joints relative to the pelvis do not depend on how the layout places the first frame
    span = [np.linalg.norm(m.joints[:count, 20] - m.joints[:count, 0], axis=-1) for m in (got, want)]
    np.testing.assert_allclose(span[0], span[1], atol=2e-3)
    # the layout puts the lowest joint on the floor
    height = want.joints[..., 1] - want.joints[..., 1].min()
    np.testing.assert_allclose(got.joints[:count, :, 1], height[:count], atol=2e-3)


def test_positions_are_read(motion: Motion, tmp_path: Path) -> None:
    np.save(tmp_path / "joints.npy", motion.joints)
    back = export.load(tmp_path / "joints.npy", fps=25)
    assert back.fps == 25 and np.abs(back.joints - motion.joints).max() < 1e-3
    np.save(tmp_path / "flat.npy", 0 * motion.joints)
    with pytest.raises(UserError, match="lies on"):
        export.load(tmp_path / "flat.npy")


# What turns Y up to another axis: (x, y, z) of the file by ours.
AXIS_TURNS = {
    "z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)), "x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "-y": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
}  # fmt: skip


@pytest.fixture
def walker(motion: Motion) -> np.ndarray:
    """Joints (T, 22, 3) that stand and move away from every axis, metres, Y up."""
    joints = motion.joints.astype(np.float64)
    return joints + np.array([3.0, 0.0, 3.0])


@pytest.mark.parametrize(("unit", "metres"), [("cm", 0.01), ("mm", 0.001), ("in", 0.0254)])
def test_the_unit_of_positions(walker: np.ndarray, tmp_path: Path, unit: str, metres: float) -> None:
    np.save(tmp_path / "a.npy", walker / metres)
    back = export.load(tmp_path / "a.npy")
    assert np.abs(back.joints - walker).max() < 2e-3
    assert back.notes == (f"positions are in {unit}, by the length of the bones; --unit says another",)
    stated = export.load(tmp_path / "a.npy", unit=metres / 2)
    assert np.allclose(stated.root * 2, back.root, atol=1e-4) and stated.notes == ()


@pytest.mark.parametrize("up", AXIS_TURNS)
def test_up_of_positions(walker: np.ndarray, tmp_path: Path, up: str) -> None:
    np.save(tmp_path / "a.npy", walker @ np.array(AXIS_TURNS[up], float).T)
    back, stated = export.load(tmp_path / "a.npy"), export.load(tmp_path / "a.npy", up=up)
    assert back.notes == (f"up is {up.upper()}, along which the body stands; --up says another",)
    assert stated.notes == () and np.array_equal(stated.root, back.root)
    # a turn about the vertical is left open: heights and distances are the body's
    assert np.abs(back.joints[..., 1] - walker[..., 1]).max() < 2e-3
    assert np.allclose(np.linalg.norm(np.diff(back.root, axis=0), axis=1),
                       np.linalg.norm(np.diff(walker[:, 0], axis=0), axis=1), atol=1e-3)  # fmt: skip


def test_positions_as_pictures_have_them(walker: np.ndarray, tmp_path: Path) -> None:
    """Millimetres from a camera 1 m above the floor, Y down."""
    seen = (walker - np.array([0.0, 1.0, -2.0])) @ np.array(AXIS_TURNS["-y"], float).T
    np.save(tmp_path / "a.npy", seen * 1000)
    back = export.load(tmp_path / "a.npy")
    assert len(back.notes) == 2 and np.abs(back.joints[..., 1] - (walker[..., 1] - 1)).max() < 2e-3


def test_positions_that_contradict_themselves(walker: np.ndarray, tmp_path: Path) -> None:
    turned = walker @ np.array(AXIS_TURNS["z"], float).T
    flying = turned + np.array([0.0, 9.0, 9.0])
    lying_or_standing = turned - np.array([0.0, turned[..., 1].min(), 0.0])
    for array in (flying, lying_or_standing):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(UserError, match=r"a\.npy: the body is upright along Z.*--up z or --up y$"):
            export.load(tmp_path / "a.npy")
        assert export.load(tmp_path / "a.npy", up="y").joints[0, 15, 2] > walker[0, 15, 1] - 0.1
    np.save(tmp_path / "a.npy", walker * 7)
    with pytest.raises(UserError, match=r"a\.npy: bones 7 times .* accepted m, in, cm, mm, or --unit"):
        export.load(tmp_path / "a.npy")
    assert np.abs(export.load(tmp_path / "a.npy", unit=1 / 7).joints - walker).max() < 2e-3


def test_positions_with_y_up_stay(motion: Motion, walker: np.ndarray, tmp_path: Path) -> None:
    """Also of a body that lies on the floor, and of one that stands somewhere else than at 0."""
    lying = walker @ np.array(AXIS_TURNS["z"], float).T
    lying = lying + np.array([0.0, 0.1 - lying[..., 1].min(), 2.0])
    for array in (motion.joints, walker + np.array([0.0, 5.0, 0.0]), walker - walker[:, :1], lying):
        np.save(tmp_path / "a.npy", array)
        back = export.load(tmp_path / "a.npy")
        assert back.notes == () and np.abs(back.joints - array).max() < 2e-3


@pytest.mark.parametrize("option", [{"up": "z"}, {"unit": 0.01}])
def test_what_other_npy_say_themselves(motion: Motion, tmp_path: Path, option: dict[str, object]) -> None:
    for layout in ("hml263", "pos7"):
        path = export.save(motion, tmp_path / "a.npy", layout=layout)
        with pytest.raises(UserError, match=r"a\.npy: (up|unit) goes with positions \(T, 22, 3\)"):
            export.load(path, **option)
    np.save(tmp_path / "a.npy", motion.joints)
    with pytest.raises(UserError, match="up 'w'; accepted x, y, z"):
        export.load(tmp_path / "a.npy", up="w")


@pytest.mark.parametrize(
    ("array", "says"),
    [*((np.zeros(shape), "accepted") for shape in ((10, 22, 3), (10, 262), (0, 263), (0, 22, 7), (10,), ())),
     (np.where(np.arange(6)[:, None] == 3, np.inf, np.zeros((6, 263))), "frame 3"),
     (np.zeros((6, 22, 7)), "quaternions"), (np.array([{"a": 1}]), "not a SkeletonMotion"), (b"", "not a readable")],
)  # fmt: skip
def test_bad_npy(tmp_path: Path, array: np.ndarray | bytes, says: str) -> None:
    if isinstance(array, bytes):
        (tmp_path / "a.npy").write_bytes(array)
    else:
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=says):
        export.load(tmp_path / "a.npy")


@pytest.mark.parametrize("scale", [0.0, 1e300])
def test_hml263_without_bones(motion: Motion, tmp_path: Path, scale: float) -> None:
    array = np.load(export.save(motion, tmp_path / "a.npy")).astype(float) * scale
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=r"a\.npy: hml263: joint 1 is .* at frame 0; accepted"):
        export.load(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("shape", "says"),
    [("(", "not a readable .npy"), ("(2000000000, 263)", "not a readable .npy"), ("(9, 9)", "shape")],
)
def test_bad_npy_header(tmp_path: Path, shape: str, says: str) -> None:
    """One that stops in the middle, and one that announces far more rows than there are."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}" if shape != "(" else "{'shape': ("
    raw = header.encode().ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw + bytes(9 * 9 * 8))
    with pytest.raises(UserError, match=says):
        export.load(tmp_path / "a.npy")

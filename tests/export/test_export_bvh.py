"""BVH: our files seen by another reader; our reader on our own files and on foreign skeletons."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.vqvae.rigs import BANDAI, CMU, MIXAMO, OLD, as_rig, bvh_text, distance
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.bvh import euler_angles, parse_bvh
from vqvae.motion import Motion
from vqvae.rig import Rig, joint_map
from vqvae.skeleton import SMPL22


def read_independently(path: Path) -> tuple[list[str], np.ndarray, float]:
    """A reader that shares nothing with ours: a recursive text parser and 4x4 matrices per frame.

    Returns names, positions (T, J, 3) and the frame time.
    """
    words = iter(path.read_text().split())
    nodes: list[dict] = []

    def block(parent: int) -> None:
        node = {"parent": parent, "name": next(words), "channels": []}
        nodes.append(node)
        mine = len(nodes) - 1
        assert next(words) == "{"
        for word in words:
            if word == "OFFSET":
                node["offset"] = [float(next(words)) for _ in range(3)]
            elif word == "CHANNELS":
                node["channels"] = [next(words) for _ in range(int(next(words)))]
            elif word == "JOINT":
                block(mine)
            elif word == "End":
                for _ in range(7):  # Site { OFFSET x y z }
                    next(words)
            else:
                assert word == "}"
                return

    assert [next(words), next(words)] == ["HIERARCHY", "ROOT"]
    block(-1)
    assert [next(words), next(words)] == ["MOTION", "Frames:"]
    count = int(next(words))
    assert [next(words), next(words)] == ["Frame", "Time:"]
    step = float(next(words))
    values = np.array(list(words), float).reshape(count, -1)
    positions = np.zeros((count, len(nodes), 3))
    for t in range(count):
        row, world = iter(values[t]), []
        for node in nodes:
            m = np.eye(4)
            m[:3, 3] = node["offset"]
            for channel in node["channels"]:
                x, axis = next(row), "XYZ".index(channel[0])
                if channel.endswith("position"):
                    m[axis, 3] += x
                else:
                    c, s = np.cos(np.radians(x)), np.sin(np.radians(x))
                    turn, i, j = np.eye(4), (axis + 1) % 3, (axis + 2) % 3
                    turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
                    m = m @ turn
            world.append(m if node["parent"] < 0 else world[node["parent"]] @ m)
            positions[t, len(world) - 1] = world[-1][:3, 3]
    return [n["name"] for n in nodes], positions, step


def independent_error(motion: Motion, path: Path, scale: float = 1.0) -> float:
    """Largest joint error in metres of the written file under the other reader."""
    names, positions, step = read_independently(path)
    assert step == pytest.approx(1 / motion.fps, rel=1e-6)
    order = [names.index(n) for n in SMPL22.names]
    return float(np.linalg.norm(positions[:, order] / scale - motion.joints, axis=-1).max())


@pytest.mark.parametrize("scale", [1.0, 100.0, 0.01])
def test_written_file_is_within_a_tenth_of_a_millimetre(motion: Motion, tmp_path: Path, scale: float) -> None:
    path = export.save(motion, tmp_path / "a.bvh", scale=scale)
    assert independent_error(motion, path, scale) < 1e-4
    assert np.abs(export.load(path).joints - motion.joints).max() < 1e-4


def test_real_clips_are_within_a_tenth_of_a_millimetre(real_clips: list[Motion], tmp_path: Path) -> None:
    for clip in real_clips:
        short = clip.slice(0, min(len(clip), 60))
        path = export.save(short, tmp_path / "a.bvh")
        assert independent_error(short, path) < 1e-4
        assert np.abs(export.load(path).joints - short.joints).max() < 1e-4


def test_rest_pose_is_the_t_pose(motion: Motion, tmp_path: Path) -> None:
    bvh = parse_bvh(export.save(motion, tmp_path / "a.bvh").read_text())
    assert set(bvh.names) == set(SMPL22.names) and bvh.names[0] == "pelvis"
    order = [bvh.names.index(n) for n in SMPL22.names]
    np.testing.assert_allclose(bvh.offsets[order], SMPL22.offsets, atol=1e-6)
    text = (tmp_path / "a.bvh").read_text()
    assert "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation" in text
    assert text.count("End Site") == 5


def test_angles_do_not_jump_where_the_motion_is_smooth() -> None:
    """A knee bent through 150 degrees crosses the middle angle's limit of 90."""
    bend = rot.from_axis_angle(np.radians(np.linspace(0, 150, 60))[:, None, None] * np.array([1.0, 0, 0]))
    assert np.abs(np.diff(euler_angles(bend), axis=0)).max() < 4


def reordered(text: str) -> str:
    """The same motion as our writer's, with children in the opposite order and root channels rearranged."""
    head, tail = text.split("MOTION")
    parts = head.split("Xposition Yposition Zposition Zrotation Xrotation Yrotation")
    rows = tail.strip().split("\n")
    body = [r.split() for r in rows[2:]]
    moved = [" ".join([r[3], r[4], r[5], r[2], r[0], r[1], *r[6:]]) for r in body]
    head = "Zrotation Xrotation Yrotation Zposition Xposition Yposition".join(parts)
    return head + "MOTION\n" + "\n".join(rows[:2] + moved) + "\n"


def test_channel_order_is_read_from_the_file(motion: Motion, tmp_path: Path) -> None:
    path = export.save(motion, tmp_path / "a.bvh")
    path.write_text(reordered(path.read_text()))
    assert np.abs(export.load(path).joints - motion.joints).max() < 1e-4


def read_error(motion: Motion, rig: Rig, path: Path, tips: str = "0 1 0") -> float:
    """Largest joint error in metres of a rig that is written, with `tips` at the ends of limbs, and read."""
    path.write_text(bvh_text(rig).replace("OFFSET 0 1 0\n", f"OFFSET {tips}\n"))
    return distance(export.load(path), motion)


def test_a_spine_with_fewer_joints(step: Motion, tmp_path: Path) -> None:
    """The missing joint's turn is spread over the spine, which moves nothing but the spine's own joints."""
    rig = as_rig(step, BANDAI)
    j, child = SMPL22.index("spine2"), SMPL22.index("spine3")
    rig.offsets[child] += rig.offsets[j]
    rig.rotations[:, child] = rot.multiply(rig.rotations[:, j], rig.rotations[:, child])
    left = [k for k in range(22) if k != j]
    parents = tuple(left.index(SMPL22.index("spine1") if k == child else rig.parents[k]) if k else -1 for k in left)
    names = tuple(rig.names[k] for k in left)
    short = Rig(names, parents, rig.offsets[left], rig.rotations[:, left], rig.translations[:, left], rig.fps)
    assert read_error(step, short, tmp_path / "f.bvh") < 0.012


def test_feet_that_are_spread_with_the_legs(step: Motion, tmp_path: Path) -> None:
    """Feet of our shape that are turned with their shins at rest are no feet that stand flat there."""
    assert read_error(step, as_rig(step, MIXAMO, legs_out=20), tmp_path / "f.bvh") < 1e-3


@pytest.mark.parametrize("z_up", [False, True])
def test_a_rest_pose_that_faces_between_two_axes(step: Motion, tmp_path: Path, z_up: bool) -> None:
    turned = step.moved(np.radians(45), np.zeros(3))
    assert read_error(turned, as_rig(step, MIXAMO, 30, z_up, facing=45), tmp_path / "f.bvh") < 1e-3


def test_bones_along_an_axis_of_their_joints(step: Motion, tmp_path: Path) -> None:
    """Zero rotations are no pose: each joint's X axis lies along its bone, as in the Bandai-Namco files."""
    turns = step.rotations.astype(float)
    for j, angles in ((18, [0, -40.0, 0]), (19, [0, 40.0, 0]), (4, [30.0, 0, 0])):  # bent elbows and a knee
        turns[:, j] = rot.from_axis_angle(np.radians(angles))
    clip = Motion(turns, step.root, step.fps).moved(0.5, np.zeros(3))  # out of the gimbal lock of the written angles
    axes = np.tile(np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]), (22, 1, 1))  # columns X up, Y forward, Z left
    for side, sign in (("l", 1), ("r", -1)):
        legs, arms = ("hip", "knee", "ankle", "foot"), ("shoulder", "elbow", "wrist")
        for names, hinge in ((legs, (1, 0, 0)), (arms, (0, 1, 0))):
            for a, b in pairwise(names):
                bone = sign * SMPL22.offsets[SMPL22.index(f"{side}_{b}")]
                bone = bone / np.linalg.norm(bone)
                axes[SMPL22.index(f"{side}_{a}")] = np.stack([bone, hinge, np.cross(bone, hinge)], -1)
        axes[SMPL22.index(f"{side}_wrist")] = axes[SMPL22.index(f"{side}_elbow")]
    world = SMPL22.fk_full(clip.rotations, clip.root)[1] @ axes
    local, offsets = world.copy(), np.zeros((22, 3))
    for j, p in enumerate(SMPL22.parents[1:], 1):
        local[:, j] = world[:, p].transpose(0, 2, 1) @ world[:, j]
        offsets[j] = axes[p].T @ SMPL22.offsets[j] * 100
    translations = np.repeat(offsets[None], len(clip), 0)
    translations[:, 0] = clip.root * 100
    joints = tuple(CMU[n] for n in SMPL22.names)
    rig = Rig(joints, SMPL22.parents, offsets, rot.from_matrix(local), translations, clip.fps)
    # the chest is taken to be straight above the pelvis; on our skeleton it is half a degree in front
    assert read_error(clip, rig, tmp_path / "f.bvh", tips="0 0 0") < 5e-3


def test_left_shoulder_means_the_collar_only_beside_an_arm(step: Motion) -> None:
    for names in (CMU, OLD):
        rig = parse_bvh(bvh_text(as_rig(step, names)))
        assert {k: rig.names[j] for k, j in joint_map(rig).items()} == names


@pytest.mark.parametrize(("z_up", "angles"), [(True, "-90 0"), (False, "90 0"), (True, "-90 30"), (False, "0 30")])
def test_an_armature_that_stands_the_skeleton_up(step: Motion, tmp_path: Path, z_up: bool, angles: str) -> None:
    """A joint above the hips that never moves: about X to another way up, about the way up to where the body looks."""
    head, rows = bvh_text(as_rig(step, MIXAMO, 20, z_up)).split("MOTION\n")
    head = head.replace("ROOT", "ROOT Armature { OFFSET 0 0 0 CHANNELS 2 Yrotation Xrotation\nJOINT")
    count, interval, *values = rows.splitlines()
    tilt, yaw = angles.split()
    lines = [f"{yaw} {tilt} {row}" for row in values]
    (tmp_path / "f.bvh").write_text("\n".join([head + "}", "MOTION", count, interval, *lines]))
    truth = step.moved(np.radians(float(yaw)), np.zeros(3))
    assert np.abs(export.load(tmp_path / "f.bvh").joints - truth.joints).max() < 1e-3


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_bad_scale(motion: Motion, tmp_path: Path, scale: float) -> None:
    with pytest.raises(UserError, match="scale"):
        export.save(motion, tmp_path / "a.bvh", scale=scale)
    assert not list(tmp_path.iterdir())

"""BVH: our files seen by another reader; our reader on our own files and on foreign skeletons."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from vqvae import rotations as rot
from vqvae.io.bvh import euler_angles, parse_bvh
from vqvae.motion import Motion
from vqvae.rig import joint_map
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


CMU = {
    "pelvis": "Hips", "l_hip": "LeftUpLeg", "l_knee": "LeftLeg", "l_ankle": "LeftFoot", "l_foot": "LeftToeBase",
    "r_hip": "RightUpLeg", "r_knee": "RightLeg", "r_ankle": "RightFoot", "r_foot": "RightToeBase",
    "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck1", "head": "Head",
    "l_collar": "LeftShoulder", "l_shoulder": "LeftArm", "l_elbow": "LeftForeArm", "l_wrist": "LeftHand",
    "r_collar": "RightShoulder", "r_shoulder": "RightArm", "r_elbow": "RightForeArm", "r_wrist": "RightHand",
}  # fmt: skip
BANDAI = {
    "pelvis": "Hips", "spine1": "Spine", "spine3": "Chest", "neck": "Neck", "head": "Head",
    **{f"{s}_{a}": f"{b}_{s.upper()}" for s in "lr" for a, b in (
        ("collar", "Shoulder"), ("shoulder", "UpperArm"), ("elbow", "LowerArm"), ("wrist", "Hand"),
        ("hip", "UpperLeg"), ("knee", "LowerLeg"), ("ankle", "Foot"), ("foot", "Toes"))},
}  # fmt: skip
PLAIN = {
    "pelvis": "Hips", "spine1": "Chest", "spine2": "Chest2", "spine3": "Chest3", "neck": "Neck", "head": "Head",
    **{f"{s}_{a}": w + b for s, w in (("l", "Left"), ("r", "Right")) for a, b in (
        ("collar", "Collar"), ("shoulder", "Shoulder"), ("elbow", "Elbow"), ("wrist", "Wrist"),
        ("hip", "Hip"), ("knee", "Knee"), ("ankle", "Ankle"), ("foot", "Toe"))},
}  # fmt: skip
MIXAMO = {k: "mixamorig:" + {"LowerBack": "Spine", "Spine": "Spine1", "Spine1": "Spine2", "Neck1": "Neck"}.get(v, v)
          for k, v in CMU.items()}  # fmt: skip


def foreign(
    motion: Motion, names: dict[str, str], path: Path, arms_down: float, unit: float, z_up: bool, legs_out: float = 0,
    facing: float = 0,
) -> None:  # fmt: skip
    """Write the clip on a skeleton with other names, units, up axis and arms lowered and legs spread by so many degrees
    at rest, in a world turned by `facing` degrees about Y.

    A global rotation G of a joint with rest rotation R becomes G R^-1 relative to that rest pose.
    """
    rest = rot.identity((22,))
    for side, sign in (("l", -1), ("r", 1)):
        rest[SMPL22.index(f"{side}_shoulder")] = rot.from_axis_angle(np.radians([0, 0, sign * arms_down]))
        rest[SMPL22.index(f"{side}_hip")] = rot.from_axis_angle(np.radians([0, 0, -sign * legs_out]))
    rest_pos, rest_rot = SMPL22.fk_full(rest, np.zeros(3))
    _, moving = SMPL22.fk_full(motion.rotations, motion.root)
    world = rot.to_matrix(rot.from_axis_angle(np.array([np.pi / 2 if z_up else 0.0, 0, 0])))
    world = world @ rot.to_matrix(rot.about_y(np.radians(facing)))
    glob = world @ moving @ rest_rot.transpose(0, 2, 1) @ world.T
    rest_pos, root = rest_pos @ world.T * unit, motion.root @ world.T * unit
    kept = [n for n in SMPL22.names if n in names]
    up = {}
    for n in kept:
        p = SMPL22.parents[SMPL22.index(n)]
        while p >= 0 and SMPL22.names[p] not in names:
            p = SMPL22.parents[p]
        up[n] = SMPL22.names[p] if p >= 0 else ""
    lines, order = ["HIERARCHY"], []

    def write(n: str) -> None:
        order.append(n)
        j = SMPL22.index(n)
        offset = rest_pos[j] - (rest_pos[SMPL22.index(up[n])] if up[n] else 0)
        lines.append(f"{'JOINT' if up[n] else 'ROOT'} {names[n]} {{ OFFSET " + " ".join(f"{x:.7f}" for x in offset))
        kinds = "3 " if up[n] else "6 Xposition Yposition Zposition "
        lines.append(f"CHANNELS {kinds}Zrotation Xrotation Yrotation")
        below = [k for k in kept if up[k] == n]
        for k in below:
            write(k)
        lines.append("}" if below else "End Site { OFFSET 0 1 0 } }")

    write("pelvis")
    local = np.stack([
        rot.from_matrix(glob[:, SMPL22.index(up[n])].transpose(0, 2, 1) @ glob[:, SMPL22.index(n)] if up[n]
                        else glob[:, 0]) for n in order], 1)  # fmt: skip
    rows = np.concatenate([root, euler_angles(local).reshape(len(root), -1)], 1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / motion.fps:.8f}"]
    lines += [" ".join(f"{x:.7f}" for x in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("names", "arms_down", "unit", "z_up"),
    [(CMU, 0, 17.8, False), (MIXAMO, 0, 100, False), (CMU, 45, 1, False), (PLAIN, 0, 39.37, False),
     (BANDAI, 30, 100, False), (MIXAMO, 0, 100, True)],
    ids=["cmu", "mixamo", "a-pose", "plain", "bandai", "z-up"],
)  # fmt: skip
def test_foreign_skeletons(
    step: Motion, names: dict[str, str], arms_down: float, unit: float, z_up: bool, tmp_path: Path
) -> None:
    clip = step
    foreign(clip, names, tmp_path / "f.bvh", arms_down, unit, z_up)
    got = export.load(tmp_path / "f.bvh")
    assert got.fps == pytest.approx(30, rel=1e-6) and len(got) == len(clip)
    # without spine2 its turn is spread over the spine, which moves nothing but the spine's own joints
    error = np.linalg.norm(got.joints - clip.joints, axis=-1).max(0)
    assert error.max() < (0.012 if "spine2" not in names else 1e-3), dict(zip(SMPL22.names, error, strict=True))


def test_feet_that_are_spread_with_the_legs(step: Motion, tmp_path: Path) -> None:
    """Feet of our shape that are turned with their shins at rest are no feet that stand flat there."""
    foreign(step, MIXAMO, tmp_path / "f.bvh", 0, 100, False, legs_out=20)
    assert np.abs(export.load(tmp_path / "f.bvh").joints - step.joints).max() < 1e-3


@pytest.mark.parametrize("z_up", [False, True])
def test_a_rest_pose_that_faces_between_two_axes(step: Motion, tmp_path: Path, z_up: bool) -> None:
    foreign(step, MIXAMO, tmp_path / "f.bvh", 30, 100, z_up, facing=45)
    turned = rot.rotate(rot.about_y(np.radians(45)), step.joints)
    assert np.abs(export.load(tmp_path / "f.bvh").joints - turned).max() < 1e-3


def test_bones_along_an_axis_of_their_joints(step: Motion, tmp_path: Path) -> None:
    """Zero rotations are no pose: each joint's X axis lies along its bone, as in the Bandai-Namco files."""
    both = rot.from_axis_angle(np.radians([0, -40.0, 0])), rot.from_axis_angle(np.radians([0, 40.0, 0]))
    local = step.rotations.astype(float)
    local[:, [18, 19]] = np.stack(both)  # bent elbows
    local[:, 4] = rot.from_axis_angle(np.radians([30.0, 0, 0]))
    clip = Motion(local, step.root, step.fps)
    _, moving = SMPL22.fk_full(clip.rotations, clip.root)
    own = np.tile(np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]), (22, 1, 1))  # columns X up, Y forward, Z left
    for side, sign in (("l", 1), ("r", -1)):
        legs, arms = ("hip", "knee", "ankle", "foot"), ("shoulder", "elbow", "wrist")
        for names, hinge in ((legs, (1, 0, 0)), (arms, (0, 1, 0))):
            for a, b in zip(names, names[1:], strict=False):
                bone = sign * SMPL22.offsets[SMPL22.index(f"{side}_{b}")]
                bone = bone / np.linalg.norm(bone)
                j = SMPL22.index(f"{side}_{a}")
                own[j] = np.stack([bone, hinge, np.cross(bone, hinge)], -1)
        own[SMPL22.index(f"{side}_wrist")] = own[SMPL22.index(f"{side}_elbow")]
    glob = moving @ own
    lines, order = ["HIERARCHY"], []

    def write(j: int) -> None:
        p = SMPL22.parents[j]
        order.append(j)
        offset = own[p].T @ SMPL22.offsets[j] * 100 if p >= 0 else np.zeros(3)
        lines.append(f"{'JOINT' if p >= 0 else 'ROOT'} {CMU[SMPL22.names[j]]} {{ OFFSET {' '.join(map(str, offset))}")
        lines.append(f"CHANNELS {'3' if p >= 0 else '6 Xposition Yposition Zposition'} Zrotation Xrotation Yrotation")
        below = [k for k in range(22) if SMPL22.parents[k] == j]
        for k in below:
            write(k)
        lines.append("}" if below else "End Site { OFFSET 0 0 0 } }")

    write(0)
    above = {j: glob[:, SMPL22.parents[j]].transpose(0, 2, 1) if j else np.eye(3) for j in order}
    turned = np.stack([above[j] @ glob[:, j] for j in order], 1)
    rows = np.concatenate([clip.root * 100, euler_angles(rot.from_matrix(turned)).reshape(len(clip), -1)], 1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / clip.fps:.8f}"]
    lines += [" ".join(f"{x:.7f}" for x in row) for row in rows]
    (tmp_path / "f.bvh").write_text("\n".join(lines))
    error = np.linalg.norm(export.load(tmp_path / "f.bvh").joints - clip.joints, axis=-1).max(0)
    # the chest is taken to be straight above the pelvis; on our skeleton it is half a degree in front
    assert error.max() < 5e-3, dict(zip(SMPL22.names, error, strict=True))


def test_left_shoulder_means_the_collar_only_beside_an_arm(step: Motion, tmp_path: Path) -> None:
    for names in (CMU, PLAIN):
        foreign(step, names, tmp_path / "f.bvh", 0, 1, False)
        bvh = parse_bvh((tmp_path / "f.bvh").read_text())
        assert {k: bvh.names[j] for k, j in joint_map(bvh).items()} == names


@pytest.mark.parametrize(("z_up", "angles"), [(True, "-90 0"), (False, "90 0"), (True, "-90 30"), (False, "0 30")])
def test_an_armature_that_stands_the_skeleton_up(step: Motion, tmp_path: Path, z_up: bool, angles: str) -> None:
    """A joint above the hips that never moves: about X to another way up, about the way up to where the body looks."""
    foreign(step, MIXAMO, tmp_path / "f.bvh", 20, 100, z_up)
    head, rows = (tmp_path / "f.bvh").read_text().split("MOTION\n")
    head = head.replace("ROOT", "ROOT Armature { OFFSET 0 0 0 CHANNELS 2 Yrotation Xrotation\nJOINT")
    count, step_line, *values = rows.splitlines()
    tilt, yaw = angles.split()
    lines = [f"{yaw} {tilt} {row}" for row in values]
    (tmp_path / "f.bvh").write_text("\n".join([head + "}", "MOTION", count, step_line, *lines]))
    got = export.load(tmp_path / "f.bvh")
    truth = rot.rotate(rot.about_y(np.array(np.radians(float(yaw)))), step.joints)
    assert np.abs(got.joints - truth).max() < 1e-3

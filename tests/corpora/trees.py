"""Small corpora in their published layouts, of movements made by formulas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.io.bvh import write_bvh
from vqvae.io.smplx import write_smplx
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

J = SMPL22.index


def walking(frames: int = 60, fps: float = 20.0, speed: float = 1.0) -> Motion:
    """Walks along +Z with hanging, swinging arms; knees and elbows bend."""
    t = np.arange(frames) / fps
    q, swing = rot.identity((frames, 22)), np.sin(6 * t)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        q[:, J(f"{side}_hip")] = rot.from_axis_angle(np.outer(-0.4 * sign * swing, [1.0, 0, 0]))
        q[:, J(f"{side}_knee")] = rot.from_axis_angle(np.outer(0.4 + 0.3 * swing, [1.0, 0, 0]))
        q[:, J(f"{side}_shoulder")] = rot.from_axis_angle(np.outer(1.1 + 0.1 * sign * swing, [0, 0, -sign]))
        q[:, J(f"{side}_elbow")] = rot.from_axis_angle(np.outer(0.4 + 0.2 * swing, [0, -sign, 0]))
    root = np.stack([0 * t, 0 * t + 0.9, speed * t], -1)
    return Motion(q, root, fps)


def text(path: Path, words: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(words, encoding="utf-8")
    return path


def bvh(path: Path, fps: float = 30.0, seconds: float = 2.0, lead: int = 0) -> Path:
    """A walk in centimetres, after `lead` frames of the T-pose."""
    motion = walking(round(fps * seconds), fps)
    if lead:
        still = Motion(rot.identity((lead, 22)), np.tile(motion.root[:1], (lead, 1)), fps)
        motion = Motion(
            np.concatenate([still.rotations, motion.rotations]), np.concatenate([still.root, motion.root]), fps
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bvh(motion, path, 100)


def amass(path: Path, fps: float = 120.0, seconds: float = 3.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_smplx(walking(round(fps * seconds), fps), path)


def bandai_namco(folder: Path) -> Path:
    data = folder / "dataset" / "Bandai-Namco-Research-Motiondataset-2" / "data"
    for name in ("dataset-2_walk_active_001", "dataset-2_walk-back_normal_012", "readme"):
        bvh(data / f"{name}.bvh")
    return folder


CMU_NAMES = {
    "pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax", "neck": "lowerneck",
    "head": "head", **{f"{s}_{ours}": f"{s}{theirs}" for s in "lr" for ours, theirs in (
        ("hip", "femur"), ("knee", "tibia"), ("ankle", "foot"), ("foot", "toes"), ("collar", "clavicle"),
        ("shoulder", "humerus"), ("elbow", "radius"), ("wrist", "hand"))},
}  # fmt: skip
UNIT = 0.45 / 0.0254  # of CMU's files in a metre


def acclaim(folder: Path, motion: Motion, name: str = "01") -> None:
    """``NAME.asf`` and ``NAME_01.amc`` of a motion; bones' axes lie askew, links without values join the rest."""
    rng = np.random.default_rng(3)
    children = {j: [c for c, p in enumerate(SMPL22.parents) if p == j] for j in range(22)}
    axes = {j: rng.uniform(-90, 90, 3) if j else np.zeros(3) for j in range(22)}
    bones: list[str] = []
    tree: dict[str, list[str]] = {}

    def bone(name: str, vector: np.ndarray, axis: np.ndarray, dof: str) -> None:
        length = float(np.linalg.norm(vector))
        direction = vector / length if length else np.array([0.0, 1, 0])
        bones.extend([
            "  begin", f"     id {len(bones)}", f"     name {name}",
            "     direction " + " ".join(f"{v:.12g}" for v in direction), f"     length {length * UNIT:.12g}",
            "     axis " + " ".join(f"{v:.12g}" for v in axis) + " XYZ",
            *([f"     dof {dof}", "     limits (-180 180)", "            (-180 180)"] if dof else []), "  end",
        ])  # fmt: skip

    for j in range(22):
        own, one = CMU_NAMES[SMPL22.names[j]], len(children[j]) == 1 and j > 0
        if j:
            vector = SMPL22.offsets[children[j][0]] if one else np.zeros(3)
            bone(own, vector, axes[j], "rx ry rz")
        for child in children[j]:
            called = CMU_NAMES[SMPL22.names[child]]
            if one:
                tree.setdefault(own, []).append(called)
                continue
            bone(f"{called}joint", SMPL22.offsets[child], np.zeros(3), "")
            tree.setdefault(own, []).append(f"{called}joint")
            tree[f"{called}joint"] = [called]
    lines = [
        "# made by a test", ":version 1.10", ":name made", ":units", "  mass 1.0", "  length 0.45", "  angle deg",
        ":documentation", "  none", ":root", "   order TX TY TZ RX RY RZ", "   axis XYZ", "   position 0 0 0",
        "   orientation 0 0 0", ":bonedata", *bones, ":hierarchy", "  begin",
        *(f"    {parent} {' '.join(below)}" for parent, below in tree.items()), "  end",
    ]  # fmt: skip
    text(folder / f"{name}.asf", "\n".join(lines))
    frames = ["#!OML:ASF made", ":FULLY-SPECIFIED", ":DEGREES"]
    values = {j: xyz_degrees(motion.rotations[:, j], axes[j]) for j in range(22)}
    for k in range(len(motion)):
        frames.append(str(k + 1))
        frames.append("root " + " ".join(f"{v:.9g}" for v in (*motion.root[k] * UNIT, *values[0][k])))
        frames += [f"{CMU_NAMES[SMPL22.names[j]]} " + " ".join(f"{v:.9g}" for v in values[j][k]) for j in range(1, 22)]
    text(folder / f"{name}_01.amc", "\n".join(frames))


def xyz_degrees(turns: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """(T, 4) turns -> (T, 3) angles of M = C^-1 turn C, about fixed X, then Y, then Z, by scipy."""
    from scipy.spatial.transform import Rotation

    frame = Rotation.from_euler("xyz", axis, degrees=True)
    whole = Rotation.from_quat(turns[:, [1, 2, 3, 0]].astype(np.float64))
    return np.asarray((frame.inv() * whole * frame).as_euler("xyz", degrees=True))


def cmu(folder: Path) -> Path:
    acclaim(folder / "subjects" / "01", walking(240, 120.0))
    bvh(folder / "02" / "02_01.bvh", 120.0, lead=1)
    text(folder / "cmu-mocap-index-text.txt", "Subject #1 (walks)\n01_01\tplayground - walks  on\n02_01 jog\n")
    return folder


def humanml3d(folder: Path) -> Path:
    rows = ["./pose_data/KIT/3/kick_poses.npy,10,50,000000.npy", "./pose_data/MPI_HDM05/a/b_poses.npy,0,-0,000001.npy",
            "./pose_data/humanact12/humanact12/P01.npy,0,40,000002.npy",
            "./pose_data/BioMotionLab_NTroje/x/y_poses.npy,0,40,000003.npy"]  # fmt: skip
    rows[1] = "./pose_data/MPI_HDM05/a/b_poses.npy,0,40,000001.npy"
    text(folder / "index.csv", "source_path,start_frame,end_frame,new_name\n" + "\n".join(rows))
    text(folder / "HumanML3D" / "train.txt", "000000\nM000000\n000001\n000002\n000003\n000009\n")
    for k in range(4):
        spans = f"a person walks#a/DET#0.0#0.0\nsomeone steps#a/DET#{0.5 if k == 0 else 0.0}#{1.5 if k == 0 else 0.0}\n"
        text(folder / "HumanML3D" / "texts" / f"{k:06d}.txt", spans)
    amass(folder / "amass_data" / "KIT" / "3" / "kick_poses.npz")
    amass(folder / "amass_data" / "HDM05" / "MPI_HDM05" / "a" / "b_stageii.npz", seconds=6.0)
    return folder


KIT_SIDES = {"l": (16, 17, 18, 19, 20, 8, 9, 10), "r": (11, 12, 13, 14, 15, 5, 6, 7)}


def kit_vectors(motion: Motion, unit: float = 1300.0) -> np.ndarray:
    """(T - 1, 251) of a body: only yaw, velocity, height and positions, which are what a position is made of."""
    own = motion.joints.astype(np.float64) * unit
    x = np.zeros((len(motion), 21, 3))
    for place, name in enumerate(("pelvis", "spine1", "spine3", "neck", "head")):
        x[:, place] = own[:, J(name)]
    limbs = ("hip", "knee", "ankle", "ankle", "foot", "shoulder", "elbow", "wrist")
    for side, places in KIT_SIDES.items():
        for limb, place in zip(limbs, places, strict=True):
            x[:, place] = own[:, J(f"{side}_{limb}")]
    rows = np.zeros((len(x) - 1, 251))
    rows[:, 1:3] = np.diff(x[:, 0], axis=0)[:, [0, 2]]
    rows[:, 3] = x[:-1, 0, 1]
    local = x[:-1, 1:] - x[:-1, :1] * [1, 0, 1]
    rows[:, 4:64] = local.reshape(len(rows), -1)
    return rows.astype(np.float32)


def kit_ml(folder: Path) -> Path:
    (folder / "new_joint_vecs").mkdir(parents=True)
    for name in ("00001", "00002"):
        np.save(folder / "new_joint_vecs" / f"{name}.npy", kit_vectors(walking(41, 12.5)))
        text(folder / "texts" / f"{name}.txt", "a person walks#a/DET#0.0#0.0\n")
    text(folder / "train.txt", "00001\nM00001\n00003\n")
    text(folder / "val.txt", "00002\n")
    return folder


def babel(folder: Path) -> Path:
    def label(words: str, *span: float, category: str = "walk") -> dict:
        times = dict(zip(("start_t", "end_t"), span, strict=True)) if span else {}
        return {"raw_label": words, "proc_label": words, "act_cat": [category], **times}

    parts = [label("walk forward", 0.5, 2.0), label("transition", 2.0, 2.5), label("nod", 2.5, 2.6)]
    rows = {
        "7": {"feat_p": "BMLrub/BioMotionLab_NTroje/rub001/0001_walk_poses.npz", "dur": 3.0,
              "seq_ann": {"labels": [label("a man walks")]}, "frame_ann": {"labels": parts}},
        "8": {"feat_p": "KIT/KIT/3/gone_poses.npz", "dur": 1.0, "seq_ann": {"labels": [label("x")]}, "frame_ann": None},
    }  # fmt: skip
    extra = {"9": {"feat_p": rows["7"]["feat_p"], "seq_anns": [{"labels": [label("strolls")]}], "frame_anns": None}}
    home = folder / "babel_v1.0_release"
    text(home / "train.json", json.dumps(rows))
    text(home / "extra_val.json", json.dumps(extra))
    amass(folder / "amass_data" / "BioMotionLab_NTroje" / "rub001" / "0001_walk_poses.npz")
    return folder


def motion_x(folder: Path) -> Path:
    motion = walking(60, 30.0)
    row = np.zeros((60, 322))
    row[:, :66] = rot.to_axis_angle(motion.rotations.astype(float)).reshape(60, -1)
    row[:, 309:312] = motion.root
    for name in ("idea400/subset_0001/Walk_clip_1", "idea400/subset_0001/Walk_clip_2", "humanml/M000001"):
        path = folder / "motion_data" / "smplx_322" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, row)
        text(folder / "texts" / "semantic_labels" / f"{name}.txt", "a person walks\n")
    text(folder / "train.txt", "idea400/subset_0001/Walk_clip_1\nhumanml/M000001\n")
    return folder


def style100(folder: Path) -> Path:
    for name in ("FW", "ID", "XX"):
        bvh(folder / "ArmsFolded" / f"ArmsFolded_{name}.bvh", 60.0, 2.0, lead=30)
    text(folder / "Frame_Cuts.csv", "STYLE_NAME,FW_START,FW_STOP,ID_START,ID_STOP\nArmsFolded,30,150,N/A,N/A\n")
    return folder


def lafan1(folder: Path) -> Path:
    for name in ("walk1_subject1", "fallAndGetUp2_subject5"):
        bvh(folder / "lafan1" / f"{name}.bvh")
    return folder


def mead(folder: Path) -> Path:
    for name, tracked in (("angry/level_3/001", True), ("neutral/level_1/002", True), ("happy/level_2/003", False)):
        text(folder / "M003" / "video" / "front" / f"{name}.mp4", "film")
        text(folder / "M003" / "audio" / f"{name}.m4a", "sound")
        if tracked:
            np.savez(folder / "M003" / "video" / "front" / f"{name}.npz", blendshapes=np.full((30, 52), 0.25))
    return folder

"""Small corpora in their published layouts, of movements computed by formulas."""

import json
from pathlib import Path

import numpy as np
import soundfile

from avatargpt.speech import word_files
from avatargpt.speech.words import Word, Words
from vqvae import rotations as rot
from vqvae.io import pos7
from vqvae.io.bvh import write_bvh
from vqvae.io.hml263 import HML263Features
from vqvae.io.smplx import write_smplx
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22

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


def quantised(folder: Path, motions: list[Motion]) -> Path:
    """Shards of two motions each, the second of validation."""
    folder.mkdir(parents=True, exist_ok=True)
    skeleton = {"joint_names": SMPL22.names, "parents": SMPL22.parents, "offsets": SMPL22.offsets.tolist()}
    text(folder / "skeleton.json", json.dumps(skeleton))
    rows = []
    for first in range(0, len(motions), 2):
        part, shard = motions[first : first + 2], f"motions_{first // 2:02d}.npz"
        np.savez(
            folder / shard, root=np.concatenate([m.root for m in part]),
            rot=np.round(np.concatenate([m.rotations for m in part]) * 32767).astype(np.int16),
            offsets=np.cumsum([0, *map(len, part)]),
        )  # fmt: skip
        rows += [
            {"id": f"m{first + i}", "shard": shard, "index": i, "trial": "07", "action": "walk",
             "captions": [f"clip {first + i}"], "split": "val" if i else "train", "style": None,
             "source": "bandai2" if first else "mine"}
            for i in range(len(part))
        ]  # fmt: skip
    text(folder / "captions.jsonl", "\n".join(map(json.dumps, rows)))
    return folder


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
        bone_name, single = CMU_NAMES[SMPL22.names[j]], len(children[j]) == 1 and j > 0
        if j:
            vector = SMPL22.offsets[children[j][0]] if single else np.zeros(3)
            bone(bone_name, vector, axes[j], "rx ry rz")
        for child in children[j]:
            called = CMU_NAMES[SMPL22.names[child]]
            if single:
                tree.setdefault(bone_name, []).append(called)
                continue
            bone(f"{called}joint", SMPL22.offsets[child], np.zeros(3), "")
            tree.setdefault(bone_name, []).append(f"{called}joint")
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
    turns_ = Rotation.from_quat(turns[:, [1, 2, 3, 0]].astype(np.float64))
    return np.asarray((frame.inv() * turns_ * frame).as_euler("xyz", degrees=True))


def cmu(folder: Path) -> Path:
    acclaim(folder / "subjects" / "01", walking(240, 120.0))
    bvh(folder / "02" / "02_01.bvh", 120.0, lead=1)
    text(folder / "cmu-mocap-index-text.txt", "Subject #1 (walks)\n01_01\tplayground - walks  on\n02_01 jog\n")
    return folder


def humanml3d(folder: Path) -> Path:
    rows = ["./pose_data/KIT/3/kick_poses.npy,10,50,000000.npy", "./pose_data/MPI_HDM05/a/b_poses.npy,0,40,000001.npy",
            "./pose_data/humanact12/humanact12/P01.npy,0,40,000002.npy",
            "./pose_data/BioMotionLab_NTroje/x/y_poses.npy,0,40,000003.npy",
            "./pose_data/KIT/3/kick_poses.npy,0,80,000004.npy"]  # fmt: skip
    text(folder / "index.csv", "source_path,start_frame,end_frame,new_name\n" + "\n".join(rows))
    text(folder / "HumanML3D" / "train.txt", "000000\nM000000\n000001\n000002\n000003\n000004\n000009\n")
    for k in range(5):
        spans = f"a person walks#a/DET#0.0#0.0\nsomeone steps#a/DET#{0.5 if k == 0 else 0.0}#{1.5 if k == 0 else 0.0}\n"
        text(folder / "HumanML3D" / "texts" / f"{k:06d}.txt", spans)
    amass(folder / "amass_data" / "KIT" / "3" / "kick_poses.npz")
    amass(folder / "amass_data" / "HDM05" / "MPI_HDM05" / "a" / "b_stageii.npz", seconds=6.0)
    return folder


KIT_SIDES = {"l": (16, 17, 18, 19, 20, 8, 9, 10), "r": (11, 12, 13, 14, 15, 5, 6, 7)}


def kit_vectors(motion: Motion, unit: float = 1300.0) -> np.ndarray:
    """(T - 1, 251) of a body: only yaw, velocity, height and positions, which are what a position is made of."""
    joints = motion.joints.astype(np.float64) * unit
    x = np.zeros((len(motion), 21, 3))
    for place, name in enumerate(("pelvis", "spine1", "spine3", "neck", "head")):
        x[:, place] = joints[:, J(name)]
    limbs = ("hip", "knee", "ankle", "ankle", "foot", "shoulder", "elbow", "wrist")
    for side, places in KIT_SIDES.items():
        for limb, place in zip(limbs, places, strict=True):
            x[:, place] = joints[:, J(f"{side}_{limb}")]
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
        "10": {"feat_p": "MPIHDM05/MPIHDM05/a/bow_poses.npz", "dur": 3.0, "seq_ann": {"labels": [label("bows")]}},
        "11": {"feat_p": "MPIHDM05/MPI_HDM05/a/slow_poses.npz", "dur": 3.0, "seq_ann": {"labels": [label("x")]}},
    }  # fmt: skip
    extra = {"9": {"feat_p": rows["7"]["feat_p"], "seq_anns": [{"labels": [label("strolls")]}], "frame_anns": None}}
    home = folder / "babel_v1.0_release"
    text(home / "train.json", json.dumps(rows))
    text(home / "extra_val.json", json.dumps(extra))
    amass(folder / "amass_data" / "BioMotionLab_NTroje" / "rub001" / "0001_walk_poses.npz")
    amass(folder / "amass_data" / "HDM05" / "a" / "bow_stageii.npz")
    amass(folder / "amass_data" / "HDM05" / "a" / "slow_stageii.npz", 60.0, 6.0)  # by its rate twice as long as it is
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


def hdtf(folder: Path) -> Path:
    """Cut films as the site names them, as its script does, and a whole one; a stretch without film, a wrong one."""
    rows = "Radio11.mp4 00:30-01:00 01:30-02:30\nRadio12.mp4 00:01-00:02"
    text(folder / "HDTF_dataset" / "RD_annotion_time.txt", rows)
    text(folder / "HDTF_dataset" / "WDA_annotion_time.txt", "Whole0.mp4 00:02-00:04 1:00:05-01:00:09 5-9 \n\n")
    for name in ("clips/Radio11_0", "clips/RD_Radio11_001", "raw/Whole0"):
        text(folder / f"{name}.mp4", "film")
    return folder


def talkinghead1kh(folder: Path) -> Path:
    frames = "S2_E9_L0_T1_R2_B3"
    for name in (f"train/cropped_clips/ab_cdefgh-1_0003_{frames}", f"val/cropped_clips/xbcdefgh-12_0000_{frames}",
                 "train/cropped_clips/odd"):  # fmt: skip
        text(folder / f"{name}.mp4", "film")
    return folder


def casual_conversations(folder: Path) -> Path:
    first = "CasualConversationsA/1140"
    files = [f"{first}/1140_00.MP4", f"{first}/1140_13.MP4", "CasualConversationsB/x.MP4"]
    label = {"age": "32", "gender": "Female", "skin-type": "3"}
    table = {"1140": {"files": files, "dark_files": files[1:2], "label": label}}
    text(folder / "CC_annotations" / "CasualConversations.json", json.dumps(table))
    for name in files[:2]:
        text(folder / name, "film")
    return folder


def humanml3d_features(folder: Path) -> Path:
    """The form with new_joint_vecs: a clip with captions of spans, and clips with bad features or missing files."""
    data = folder / "HumanML3D"
    (data / "new_joint_vecs").mkdir(parents=True)
    arrays = {"000001": HML263Features().encode(walking(80)), "000002": np.zeros((10, 251)),
              "000003": np.full((10, 263), np.nan), "000004": np.zeros((10, 263))}  # fmt: skip
    for name, array in arrays.items():
        np.save(data / f"new_joint_vecs/{name}.npy", array)
    words = {"000001": "walks#x#0.0#0.0\nturns#x#1.0#2.0\nlate#x#9.0#9.5\nshort#x#0.0#0.02\n", "000002": "x#x#0#0",
             "000003": "x#x#0#0", "000005": "x#x#0#0"}  # fmt: skip
    for name, content in words.items():
        text(data / f"texts/{name}.txt", content)
    text(data / "train.txt", "000001\nM000001\n" + "".join(f"00000{k}\n" for k in range(2, 6)))
    return folder


def talking(frames: int = 30, fps: float = 30.0, bend: float = 0.4) -> Motion:
    """Stands with hanging arms, of which the left one gestures; fingers bend."""
    t, q = np.arange(frames) / fps, rot.identity((frames, 22))
    q[:, 16] = rot.from_axis_angle(np.outer(1.2 - 0.4 * np.sin(3 * t), [0, 0, -1.0]))
    q[:, 17] = rot.from_axis_angle(np.array([0, 0, 1.3]))
    q[:, 18] = rot.from_axis_angle(np.outer(0.8 + 0.3 * np.sin(5 * t), [0, -1.0, 0]))
    fingers = rot.identity((frames, 30))
    fingers[:, 3:15] = rot.from_axis_angle(np.array([0, 0, -bend]))
    fingers[:, 18:] = rot.from_axis_angle(np.array([0, 0, bend]))
    return Motion(q, np.tile([0.0, 0.97, 0.0], (frames, 1)), fps, "gesture", fingers=fingers)


def talk_bvh(path: Path, fps: float = 60.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bvh(talking(round(fps), fps), path, 100)


def wav(path: Path, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(16000 * seconds), np.float32), 16000)
    return path


def word_times(path: Path) -> Path:
    words = (Word("well", 0.1, 0.3), Word("hello", 0.4, 0.9))
    path.parent.mkdir(parents=True, exist_ok=True)
    return word_files.write(Words(words, 1.0), path)


def beat(folder: Path) -> Path:
    talk_bvh(folder / "2" / "2_scott_0_1_1.bvh", 120)
    wav(folder / "2" / "2_scott_0_1_1.wav")
    word_times(folder / "2" / "2_scott_0_1_1.TextGrid")
    return folder


def smplx(path: Path, motion: Motion) -> None:
    """SMPL-X's poses (T, 165) of a gesture, Y up."""
    poses = np.zeros((len(motion), 165))
    poses[:, :66] = rot.to_axis_angle(motion.rotations.astype(float)).reshape(len(motion), -1)
    for side in "lr":
        for k, finger in enumerate(("index", "middle", "pinky", "ring", "thumb")):
            for n in (1, 2, 3):
                at = 3 * (25 + 15 * (side == "r") + 3 * k + n - 1)
                q = motion.fingers[:, FINGER_NAMES.index(f"{side}_{finger}{n}")]
                poses[:, at : at + 3] = rot.to_axis_angle(q.astype(float))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, poses=poses, trans=motion.root, betas=np.zeros(300), mocap_frame_rate=30, gender="neutral")


def beat2(folder: Path) -> Path:
    smplx(folder / "smplxflame_30" / "2_scott_0_1_1.npz", talking())
    wav(folder / "wave16k" / "2_scott_0_1_1.wav")
    word_times(folder / "textgrid" / "2_scott_0_1_1.TextGrid")
    text(folder / "train_test_split.csv", "id,type\n2_scott_0_1_1,additional\n1_wayne_0_1_1,test\n")
    return folder


def zeroeggs(folder: Path) -> Path:
    for name in ("clean/001_Neutral_0_x_1_0", "clean/001_Neutral_0_mirror_x_1_0", "clean/005_Neutral_4_x_1_0",
                 "original/001_Neutral_0"):  # fmt: skip
        talk_bvh(folder / f"{name}.bvh")
        wav(folder / f"{name}.wav")
    text(folder / "clean" / "001_Neutral_0_x_1_0.csv", "Begin,End,Label,Type,Speaker\n0.1,0.4,well,words,\n")
    text(folder / "info.csv", "audio_filename,style,validation\n001_Neutral_0.wav,Neutral,FALSE\n"
                              "005_Neutral_4.wav,Neutral,TRUE\n")  # fmt: skip
    return folder


def genea(folder: Path) -> Path:
    for role in ("main-agent", "interloctr"):
        name = f"trn_2023_v0_000_{role}"
        talk_bvh(folder / "trn" / role / "bvh" / f"{name}.bvh", 30)
        wav(folder / "trn" / role / "wav" / f"{name}.wav")
        text(folder / "trn" / role / "tsv" / f"{name}.tsv", "0.100\t0.300\tWell,\n0.300\t0.800\tI think so\n")
    text(folder / "trn" / "metadata.csv", "prefix,main-agent_id,main-agent_has_fingers,interloctr_id,"
         "interloctr_has_fingers\ntrn_2023_v0_000,03,fingers_incl,11,fingers_excl\n")  # fmt: skip
    return folder


def hands_bvh(path: Path, left_arm: float = -70.0, index: float = -40.0) -> Path:
    """Ten frames of the skeleton of Talking With Hands and GENEA, by its published joints; degrees about Z."""
    bones: dict[str, tuple[str, tuple[float, float, float]]] = {
        "b_root": ("body_world", (0, 92, 0)), "b_spine0": ("b_root", (0, 8, 0)), "b_spine1": ("b_spine0", (0, 11, 0)),
        "b_spine2": ("b_spine1", (0, 11, 0)), "b_spine3": ("b_spine2", (0, 11, 0)),
        "b_neck0": ("b_spine3", (0, 14, 0)), "b_head": ("b_neck0", (0, 10, 2)),
    }  # fmt: skip
    for side, x in (("l", 1.0), ("r", -1.0)):
        limbs = {"upleg": ("b_root", (9 * x, -4, 0)), "leg": ("upleg", (0, -42, 0)), "foot": ("leg", (0, -43, 0)),
                 "shoulder": ("b_spine3", (3 * x, 9, 0)), "arm": ("shoulder", (14 * x, 0, 0)),
                 "arm_twist": ("arm", (13 * x, 0, 0)), "forearm": ("arm", (28 * x, 0, 0)),
                 "wrist_twist": ("forearm", (12 * x, 0, 0)), "wrist": ("forearm", (25 * x, 0, 0)),
                 "thumb0": ("wrist", (2 * x, 0, 2))}  # fmt: skip
        limbs |= {f"thumb{k}": (f"thumb{k - 1}", (2.5 * x, 0, 1.5)) for k in (1, 2, 3)}
        for name, z in (("pinky", -3), ("ring", -1), ("middle", 1), ("index", 3)):
            limbs[f"{name}1"] = ("wrist", (9 * x, 0, z))
            limbs |= {f"{name}{k}": (f"{name}{k - 1}", (3 * x, 0, 0)) for k in (2, 3)}
        for name, (parent, offset) in limbs.items():
            bones[f"b_{side}_{name}"] = (parent if parent in bones else f"b_{side}_{parent}", offset)
    channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    values: list[float] = []

    def joint(name: str, offset: tuple[float, float, float]) -> str:
        values.extend([*offset, {"b_l_arm": left_arm, "b_r_arm": 70.0, "b_l_index1": index}.get(name, 0.0), 0, 0])
        below = [joint(child, at) for child, (parent, at) in bones.items() if parent == name]
        end = "End Site { OFFSET 0 0 0 }".replace(" {", "\n{\n").replace(" }", "\n}\n")
        kind = "ROOT" if name == "body_world" else "JOINT"
        return f"{kind} {name}\n{{\nOFFSET {' '.join(map(str, offset))}\n{channels}\n{''.join(below) or end}}}\n"

    tree, row = joint("body_world", (0, 0, 0)), " ".join(map(str, values))
    rows = f"{row}\n" * 10
    return text(path, f"HIERARCHY\n{tree}MOTION\nFrames: 10\nFrame Time: 0.0333333\n{rows}")


def talking_with_hands(folder: Path) -> Path:
    for person in ("deep2", "shallow7"):
        talk_bvh(folder / "mocap_data" / "session1" / "take3" / f"session1_take3_{person}_scale_local.bvh", 90)
        wav(folder / "audio_data" / "session1" / "take3" / f"take3_{person}.wav")
    return folder


def llavataros(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "a.npy", pos7.to_array(talking(60, 60.0)))
    wav(folder / "a.wav")
    return folder


def llavataros_data(folder: Path) -> Path:
    """Its repository: sounds and motions, word times apart, a generated motion."""
    llavataros(folder / "data" / "datasets" / "zaos1")
    llavataros(folder / "data" / "animations")
    word_times(folder / "data" / "alignments" / "a.TextGrid")
    return folder


def smartbody(folder: Path, **changed: object) -> Path:
    """Two clips, of a performer whose hand rests straight and one whose does not; `changed` fields of the first."""
    m = talking()
    halves = {"rot": m.rotations, "fingers": m.fingers}
    ints = {k: np.round(32767 * np.concatenate([v, v])).astype(np.int16) for k, v in halves.items()}
    np.savez(folder / "motions.npz", root=np.concatenate([m.root, m.root]), offsets=np.array([0, 30, 60]), **ints)
    row = {"id": "a", "set": "MaleGestures", "name": "x", "performer_skeleton": "ChrGarza", "posture": "Idle",
           "index": 0, "gesture": "Chop", "hand": "right", "sync": {"emphasis": 0.5, "other": 1},
           "max_step_deg": 20.0}  # fmt: skip
    rows = [row | changed, row | {"id": "b", "index": 1, "performer_skeleton": "ChrBackovic"}]
    text(folder / "clips.jsonl", "\n".join(map(json.dumps, rows)))
    text(folder / "joints.json", json.dumps({"body": SMPL22.names, "fingers": FINGER_NAMES, "fps": 30}))
    return folder

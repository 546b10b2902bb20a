"""Readers of talking people, on tiny corpora in the published layouts, and on the real ones where these are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile

from instruct_data.clip import Clip
from instruct_data.sources import beat_talk, foreign, genea, smartbody, zeroeggs
from instruct_data.sources.report import Report
from instruct_data.store import Store
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io import pos7
from vqvae.io.bvh import write_bvh
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22

Read = Callable[..., Iterator[Clip]]


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


def bvh(path: Path, fps: float = 60.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bvh(talking(round(fps), fps), path, 100)


def wav(path: Path, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(16000 * seconds), np.float32), 16000)
    return path


def text(path: Path, words: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(words)
    return path


def the_same(motion: Motion, other: Motion | None = None) -> None:
    other = talking() if other is None else other
    assert motion.modality == "gesture" and motion.fps == 30
    assert motion.fingers is not None and len(motion) == len(other)
    assert np.abs(motion.finger_joints[0] - motion.root[0] - (other.finger_joints[0] - other.root[0])).max() < 5e-3


def beat(folder: Path) -> Path:
    bvh(folder / "2" / "2_scott_0_1_1.bvh", 120)
    wav(folder / "2" / "2_scott_0_1_1.wav")
    text(folder / "2" / "2_scott_0_1_1.TextGrid")
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
    text(folder / "textgrid" / "2_scott_0_1_1.TextGrid")
    text(folder / "train_test_split.csv", "id,type\n2_scott_0_1_1,additional\n1_wayne_0_1_1,test\n")
    return folder


def eggs(folder: Path) -> Path:
    bvh(folder / "clean" / "001_Neutral_0_x_1_0.bvh")
    wav(folder / "clean" / "001_Neutral_0_x_1_0.wav")
    text(folder / "clean" / "001_Neutral_0_x_1_0.csv")
    return folder


def pairs(folder: Path) -> Path:
    for role in ("main-agent", "interloctr"):
        name = f"trn_2023_v0_000_{role}"
        bvh(folder / "trn" / role / "bvh" / f"{name}.bvh", 30)
        wav(folder / "trn" / role / "wav" / f"{name}.wav")
        text(folder / "trn" / role / "tsv" / f"{name}.tsv")
    return folder


def hands(folder: Path) -> Path:
    for person in ("deep2", "shallow7"):
        bvh(folder / "mocap_data" / "session1" / "take3" / f"session1_take3_{person}_scale_local.bvh", 90)
        wav(folder / "audio_data" / "session1" / "take3" / f"take3_{person}.wav")
    return folder


def nine(folder: Path) -> Path:
    np.save(folder / "a.npy", pos7.to_array(talking(60, 60.0)))
    wav(folder / "a.wav")
    return folder


@pytest.mark.parametrize(
    ("read", "make", "name", "extra"),
    [
        (beat_talk.read_beat, beat, "2_scott_0_1_1", {"speaker": "2_scott", "kind": "speech"}),
        (beat_talk.read_beat2, beat2, "2_scott_0_1_1", {"speaker": "2_scott", "kind": "speech"}),
        (zeroeggs.read_zeroeggs, eggs, "001_Neutral_0_x_1_0", {"style": "Neutral", "mirrored": False}),
        (genea.read_genea, pairs, "trn_2023_v0_000_main-agent", {}),
        (genea.read_talking_with_hands, hands, "session1_take3_deep2", {"speaker": "deep2"}),
    ],
)
def test_published_layouts(tmp_path: Path, read: Read, make: Callable[[Path], Path], name: str, extra: dict) -> None:
    folder, report = make(tmp_path), Report()
    clip = next(iter(read(folder)))
    assert clip.id == name and clip.split == "train" and extra.items() <= clip.extra.items() and clip.licence
    assert Path(clip.extra["audio"]).is_file() and "transcript" in clip.extra or read is genea.read_talking_with_hands
    the_same(clip.load())
    assert len(list(read(folder, report=report))) == report.read >= 1
    Path(clip.extra["audio"]).unlink()
    with pytest.raises(UserError, match=f"{Path(clip.extra['audio']).name}: no such file"):
        list(read(folder))
    report = Report()
    left = list(read(folder, report=report))
    assert name not in [c.id for c in left] and report.skipped == [(name, "no wav beside it")]


@pytest.mark.parametrize(
    "read",
    [beat_talk.read_beat, beat_talk.read_beat2, zeroeggs.read_zeroeggs, zeroeggs.read_llavataros, genea.read_genea,
     genea.read_talking_with_hands, smartbody.read_smartbody, foreign.read_glb_folder, foreign.read_anim_folder],
)  # fmt: skip
def test_another_tree_is_said_in_one_line(tmp_path: Path, read: Read) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(UserError, match="accepted") as e:
            list(read(folder))
        assert "\n" not in str(e.value)


def test_a_listener_belongs_to_a_conversation(tmp_path: Path) -> None:
    (clip,) = genea.read_genea(pairs(tmp_path))
    assert {Path(p).name for p in clip.extra["interlocutor"].values()} == {
        f"trn_2023_v0_000_interloctr.{s}" for s in ("wav", "tsv", "bvh")
    }
    Path(clip.extra["interlocutor"]["transcript"]).unlink()
    with pytest.raises(UserError, match=r"interloctr\.tsv: no such file, which belongs to trn_2023_v0_000_main-agent"):
        list(genea.read_genea(tmp_path))
    first, second = genea.read_talking_with_hands(hands(tmp_path))
    assert first.extra["interlocutor"] == {"speaker": "shallow7", "audio": second.extra["audio"]}


def test_beat2_says_its_split_itself(tmp_path: Path) -> None:
    folder = beat2(tmp_path)
    text(folder / "train_test_split.csv", "id,type\n2_scott_0_1_1,test\n")
    assert next(beat_talk.read_beat2(folder)).split == "test"
    for table, said in (("id,type\nx,test\n", "no 2_scott_0_1_1"), ("id,type\nx,dev\n", "line 2: 'x,dev'")):
        text(folder / "train_test_split.csv", table)
        with pytest.raises(UserError, match=said):
            list(beat_talk.read_beat2(folder))
    np.savez(folder / "a.npz", poses=np.zeros((4, 66)), trans=np.zeros((4, 3)), mocap_frame_rate=30)
    with pytest.raises(UserError, match=r"poses \(4, 66\); accepted \(T, 165\)"):
        read_smplx(folder / "a.npz", "y", hands=True)


def test_arrays_are_as_long_as_their_sound(tmp_path: Path) -> None:
    (clip,) = zeroeggs.read_llavataros(nine(tmp_path))
    motion = clip.load()
    assert motion.fps == 30 and len(motion) == 30 and motion.fingers is None
    seen, wanted = (m.joints[:, pos7.JOINTS] - m.joints[:1, [3]] for m in (motion, talking(60, 60.0).resampled(30)))
    assert np.abs(seen - wanted).max() < 1e-3
    wav(tmp_path / "a.wav", 2.0)
    assert len(next(zeroeggs.read_llavataros(tmp_path)).load()) == 60
    wav(tmp_path / "a.wav", 9.0)
    with pytest.raises(UserError, match=r"60 frames beside 9.0 s of sound; accepted 30 or 60"):
        next(zeroeggs.read_llavataros(tmp_path)).load()
    np.save(tmp_path / "a.npy", np.zeros((60, 8, 7)))
    with pytest.raises(UserError, match=r"shape \(60, 8, 7\); accepted \(frames, 9, 7\)"):
        next(zeroeggs.read_llavataros(tmp_path)).load()


def named(folder: Path, **changed: object) -> Path:
    """Two clips as SmartBody's folder has them, of a performer whose hand rests straight and one whose does not."""
    m = talking()
    halves = {"rot": m.rotations, "fingers": m.fingers}
    ints = {k: np.round(32767 * np.concatenate([v, v])).astype(np.int16) for k, v in halves.items()}
    np.savez(folder / "motions.npz", root=np.concatenate([m.root, m.root]), offsets=np.array([0, 30, 60]), **ints)
    row = {"id": "a", "set": "MaleGestures", "name": "x", "performer_skeleton": "ChrGarza", "posture": "Idle",
           "index": 0, "gesture": "Chop", "hand": "right", "sync": {"emphasis": 0.5, "other": 1},
           "max_step_deg": 20.0}  # fmt: skip
    rows = [row | changed, row | {"id": "b", "index": 1, "performer_skeleton": "ChrBackovic"}]
    text(folder / "clips.jsonl", "\n".join(map(json.dumps, rows)))
    names = {"body": SMPL22.names, "fingers": FINGER_NAMES, "fps": 30}
    text(folder / "joints.json", json.dumps(names))
    return folder


def test_named_gestures(tmp_path: Path) -> None:
    a, b = smartbody.read_smartbody(named(tmp_path))
    assert a.action == "Chop" and a.extra["hand"] == "right" and a.extra["sync"] == {"emphasis": 0.5}
    assert a.extra["speaker"] == "ChrGarza" and "LGPL" in a.licence
    assert b.load().fingers is None  # a hand that nobody knows at rest
    bent = rot.to_axis_angle(a.load().fingers[0].astype(float))
    assert np.abs(bent[3:15] - [0, 0, -0.4]).max() < 0.06  # of a hand that rests as ours, but for the palm's width
    report = Report()
    assert [c.id for c in smartbody.read_smartbody(named(tmp_path, max_step_deg=61), report=report)] == ["b"]
    assert report.skipped == [("a", "jumps by more than 60 degrees from frame to frame")]


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"index": 2}, "line 1: no clip 2 in motions.npz"), ({"hand": "third"}, "hand 'third'"),
     ({"sync": {"emphasis": "x"}}, "line 1: not a clip"), ({"max_step_deg": None}, "line 1: not a clip")],
)  # fmt: skip
def test_damaged_named_gestures(tmp_path: Path, changed: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        list(smartbody.read_smartbody(named(tmp_path, **changed)))


def test_a_store_takes_gestures(tmp_path: Path) -> None:
    clips = list(beat_talk.read_beat(beat(tmp_path / "beat")))
    Store.write(clips, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert (store.kind, store.modality) == ("features", "gesture")
    (back,) = store.clips()
    the_same(back.load(), clips[0].load())
    assert back.extra["speaker"] == "2_scott"


def test_real_gestures(shared: Path) -> None:
    folder = shared / "data" / "gesture"
    clips = {c.id: c for c in smartbody.read_smartbody(folder / "smartbody")}
    assert len(clips) == 375 and sum(c.action.startswith("Beat") for c in clips.values()) > 40
    stop = clips["sb_FemaleGestures_ChrConnor@IdleStand01_StopForwardRt01"]
    motion = stop.load()
    frame = round(stop.extra["sync"]["emphasis"] * 30)
    wrist, tip = motion.joints[frame, 21], motion.finger_joints[frame, FINGER_NAMES.index("r_middle3")]
    assert (tip - wrist)[1] > 0.08 and wrist[2] > motion.joints[frame, 17, 2] + 0.2  # fingers up, hand in front
    hanging = motion.finger_joints[0, FINGER_NAMES.index("r_middle3")] - motion.joints[0, 21]
    assert hanging[1] < -0.08
    paired = folder / "paired" / "beat2_scott"
    ours = read_smplx(paired / "2_scott_0_1_1.npz", "y", hands=True)
    theirs = beat_talk.read_quantised_take(paired / "body22.npz")
    (take,) = beat_talk.read_validation_take(paired)
    assert take.id == "2_scott_0_1_1" and take.split == "val" and take.extra["audio"].endswith("2_scott_0_1_1.flac")
    assert rot.angle_between(ours.fingers.astype(float), theirs.fingers.astype(float)).max() < 1e-2
    name, *_ = (c.id for c in islice(foreign.read_glb_folder(folder / "mesh2motion_cc0"), 1))
    assert name == "human-addon-animations/Angry"

"""Readers of talking people, on tiny corpora in the published layouts, and on the real ones where these are."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from instruct_data.clip import Clip
from instruct_data.sources.corpus import Report
from instruct_data.sources.registry import read_corpus
from instruct_data.sources.talks import read_quantised_take
from instruct_data.store import Store
from tests.instruct_data import corpus_trees as trees
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io import pos7
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22


def read(name: str, folder: Path) -> list[Clip]:
    return list(read_corpus(name, folder, Report()))


def check_talking(motion: Motion) -> None:
    expected = trees.talking()
    assert motion.modality == "gesture" and motion.fps == 30
    assert motion.fingers is not None and len(motion) == len(expected)
    offset = motion.finger_joints[0] - motion.root[0] - (expected.finger_joints[0] - expected.root[0])
    assert np.abs(offset).max() < 5e-3


@pytest.mark.parametrize(
    ("name", "make", "first", "extra"),
    [
        ("beat", trees.beat, "2_scott_0_1_1", {"speaker": "2_scott", "kind": "speech"}),
        ("beat2", trees.beat2, "2_scott_0_1_1", {"speaker": "2_scott", "kind": "speech"}),
        ("zeroeggs", trees.zeroeggs, "001_Neutral_0_mirror_x_1_0", {"style": "Neutral", "mirrored": True}),
        ("genea2023", trees.genea, "trn_2023_v0_000_main-agent", {"speaker": "genea_03"}),
        ("twh", trees.talking_with_hands, "session1_take3_deep2", {"speaker": "deep2"}),
    ],
)
def test_published_layouts(tmp_path: Path, name: str, make: Callable[[Path], Path], first: str, extra: dict) -> None:
    folder, report = make(tmp_path), Report()
    clips = list(read_corpus(name, folder, report))
    clip = clips[0]
    assert clip.id == first and clip.split == "train" and extra.items() <= clip.extra.items()
    assert len(clips) == report.read and not report.skipped
    assert Path(clip.extra["audio"]).is_file() and ("transcript" in clip.extra) == (name not in ("twh", "zeroeggs"))
    check_talking(clip.load())
    if name != "beat2":  # whose needs name the sound
        Path(clip.extra["audio"]).unlink()
        report = Report()
        assert first not in [c.id for c in read_corpus(name, folder, report)]
        assert report.skipped == [(first, "no wav beside it")]


def test_a_listener_belongs_to_a_conversation(tmp_path: Path) -> None:
    (clip,) = read("genea2023", trees.genea(tmp_path / "genea"))
    other, name = clip.extra["interlocutor"], "trn_2023_v0_000_interloctr"
    assert (other["name"], other["speaker"]) == (name, "genea_11")
    files = {Path(other[key]).name for key in ("audio", "transcript", "motion")}
    assert files == {f"{name}.{s}" for s in ("wav", "tsv", "bvh")}
    Path(clip.extra["interlocutor"]["transcript"]).unlink()
    assert not read("genea2023", tmp_path / "genea")
    first, second = read("twh", trees.talking_with_hands(tmp_path / "hands"))
    about = {"name": "session1_take3_shallow7", "speaker": "shallow7", "audio": second.extra["audio"]}
    assert first.extra["interlocutor"] == about
    words = trees.word_times(Path(second.extra["audio"]).with_suffix(".TextGrid"))
    first, second = read("twh", tmp_path / "hands")
    assert second.extra["transcript"] == first.extra["interlocutor"]["transcript"] == str(words)


def test_the_skeleton_of_talking_with_hands(tmp_path: Path) -> None:
    folder = trees.genea(tmp_path)
    trees.hands_bvh(folder / "trn/main-agent/bvh/trn_2023_v0_000_main-agent.bvh")
    motion = read("genea2023", folder)[0].load()
    left, right = (motion.joints[0, SMPL22.index(f"{s}_wrist")] - motion.root[0] for s in "lr")
    assert 0.3 < left[0] < 0.5 and abs(left[0] + right[0]) < 1e-3 and abs(left[1]) < 0.1  # arms hang, 20 degrees off
    bent = np.degrees(np.linalg.norm(rot.to_axis_angle(motion.fingers[0].astype(float)).reshape(30, 3), axis=1))
    assert bent[FINGER_NAMES.index("l_index1")] > 30 > 10 > bent[FINGER_NAMES.index("r_index1")]
    table = (folder / "trn/metadata.csv").read_text()
    trees.text(folder / "trn/metadata.csv", table.replace("03,fingers_incl", "03,fingers_excl"))
    (clip,) = read("genea2023", folder)
    assert clip.load().fingers is None and clip.extra["fingers"] is False


def test_only_clean_takes_of_zeroeggs(tmp_path: Path) -> None:
    clips = {c.id: c for c in read("zeroeggs", trees.zeroeggs(tmp_path))}
    assert {name: c.split for name, c in clips.items()} == {
        "001_Neutral_0_mirror_x_1_0": "train", "001_Neutral_0_x_1_0": "train", "005_Neutral_4_x_1_0": "val",
    }  # fmt: skip
    assert clips["001_Neutral_0_x_1_0"].extra["transcript"].endswith("clean/001_Neutral_0_x_1_0.csv")
    assert {c.split for c in read_corpus("zeroeggs", tmp_path / "clean", Report(), split="test")} == {"test"}
    trees.text(tmp_path / "info.csv", "audio_filename,style\n001_Neutral_0.wav,Neutral\n")
    with pytest.raises(UserError, match="not the list of ZeroEGGS"):
        read("zeroeggs", tmp_path)


def test_word_times_of_llavataros_lie_apart(tmp_path: Path) -> None:
    (clip,) = read("llavataros", trees.llavataros_data(tmp_path))
    assert "zaos1" in clip.extra["audio"] and clip.extra["transcript"].endswith("alignments/a.TextGrid")


def test_beat2_states_its_splits(tmp_path: Path) -> None:
    folder = trees.beat2(tmp_path)
    trees.text(folder / "train_test_split.csv", "id,type\n2_scott_0_1_1,test\n")
    assert read("beat2", folder)[0].split == "test"
    for table, message in (("id,type\nx,test\n", "no 2_scott_0_1_1"), ("id,type\nx,dev\n", "line 2: 'x,dev'")):
        trees.text(folder / "train_test_split.csv", table)
        with pytest.raises(UserError, match=message):
            read("beat2", folder)
    np.savez(folder / "a.npz", poses=np.zeros((4, 66)), trans=np.zeros((4, 3)), mocap_frame_rate=30)
    with pytest.raises(UserError, match=r"poses \(4, 66\); accepted \(T, 165\)"):
        read_smplx(folder / "a.npz", "y", hands=True)


def test_arrays_are_as_long_as_their_sound(tmp_path: Path) -> None:
    (clip,) = read("llavataros", trees.llavataros(tmp_path))
    motion = clip.load()
    assert motion.fps == 30 and len(motion) == 30 and motion.fingers is None
    expected = trees.talking(60, 60.0).resampled(30)
    here, there = (m.joints[:, pos7.JOINTS] - m.joints[:1, [3]] for m in (motion, expected))
    assert np.abs(here - there).max() < 1e-3
    trees.wav(tmp_path / "a.wav", 2.0)
    assert len(read("llavataros", tmp_path)[0].load()) == 60
    trees.wav(tmp_path / "a.wav", 9.0)
    report = Report()
    assert not list(read_corpus("llavataros", tmp_path, report))
    np.save(tmp_path / "a.npy", np.zeros((60, 8, 7)))
    assert not list(read_corpus("llavataros", tmp_path, report))
    assert [why for _, why in report.skipped] == [
        "a.npy: 60 frames beside 9.0 s of sound; accepted 30 or 60 frames a second",
        "a.npy: shape (60, 8, 7); accepted (frames, 9, 7)",
    ]


def test_named_gestures(tmp_path: Path) -> None:
    a, b = read("smartbody", trees.smartbody(tmp_path))
    assert a.action == "Chop" and a.extra["hand"] == "right" and a.extra["sync"] == {"emphasis": 0.5}
    assert a.extra["speaker"] == "ChrGarza" and "LGPL" in a.licence
    assert b.load().fingers is None  # a hand whose rest pose is unknown
    bent = rot.to_axis_angle(a.load().fingers[0].astype(float))
    assert np.abs(bent[3:15] - [0, 0, -0.4]).max() < 0.06  # of a hand that rests as ours, but for the palm's width
    report = Report()
    assert [c.id for c in read_corpus("smartbody", trees.smartbody(tmp_path, max_step_deg=61), report)] == ["b"]
    assert report.skipped == [("a", "jumps by more than 60 degrees from frame to frame")]


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"index": 2}, "line 1: no clip 2 in motions.npz"), ({"hand": "third"}, "hand 'third'"),
     ({"sync": {"emphasis": "x"}}, "line 1: not a clip"), ({"max_step_deg": None}, "line 1: not a clip")],
)  # fmt: skip
def test_damaged_named_gestures(tmp_path: Path, changed: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read("smartbody", trees.smartbody(tmp_path, **changed))


def test_a_store_takes_gestures(tmp_path: Path) -> None:
    clips = read("beat", trees.beat(tmp_path / "beat"))
    Store.write(clips, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert (store.kind, store.modality) == ("features", "gesture")
    (back,) = store.clips()
    check_talking(back.load())
    assert back.extra["speaker"] == "2_scott"


def test_real_gestures(shared: Path) -> None:
    folder = shared / "data" / "gesture"
    clips = {c.id: c for c in read("smartbody", folder / "smartbody")}
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
    quantised = read_quantised_take(paired / "body22.npz")
    (take,) = read("beat2-take", paired)
    assert take.id == "2_scott_0_1_1" and take.split == "val" and take.extra["audio"].endswith("2_scott_0_1_1.flac")
    assert rot.angle_between(ours.fingers.astype(float), quantised.fingers.astype(float)).max() < 1e-2
    name, *_ = (c.id for c in islice(read_corpus("mesh2motion", folder / "mesh2motion_cc0", Report()), 1))
    assert name == "human-addon-animations/Angry"

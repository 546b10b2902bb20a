"""`avatargpt data build`: every layout on disk becomes a store; every other folder one exact line."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avatargpt.__main__ import main
from avatargpt.video import corpora
from avatargpt.video.capture import NobodyError
from instruct_data.sources.amass import amass_key
from instruct_data.sources.corpus import Report
from instruct_data.sources.films import FilmFace
from instruct_data.sources.registry import CORPORA, read_corpus
from instruct_data.store import Store
from tests.instruct_data import corpus_trees as trees
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion

Expected = dict[str, tuple[str, float, str]]  # id -> split, seconds, a caption
WALK = "a person walks"
EXPECTED: dict[str, tuple[Callable[[Path], Path], Expected, tuple[str, ...]]] = {
    "bandai-namco": (
        trees.bandai_namco,
        {"dataset-2_walk_active_001": ("train", 2, ""), "dataset-2_walk-back_normal_012": ("train", 2, "")},
        ("readme", "another form"),
    ),
    "cmu": (
        trees.cmu,
        {"01_01": ("train", 2, "playground - walks on"), "02_01": ("train", 2, "jog")},
        (),
    ),
    "humanml3d": (
        trees.humanml3d,
        {"000000": ("train", 2, WALK), "000000_0.5_1.5": ("train", 1, "someone steps"), "000001": ("train", 2, WALK)},
        ("HumanAct12", "the sub-set BioMotionLab_NTroje", "kick_poses.npz: 3.0 s at 120 frames a second",
         "not in index.csv", "mirrored clip", "no val.txt"),
    ),
    "kit-ml": (
        trees.kit_ml,
        {"00001": ("train", 3.2, WALK), "00002": ("val", 3.2, WALK)},
        ("no new_joint_vecs/00003.npy", "mirrored clip", "no test.txt"),
    ),
    "babel": (
        trees.babel,
        {"train_7": ("train", 3, "a man walks"), "train_7_0.5_2": ("train", 1.5, "walk forward"),
         "train_10": ("train", 3, "bows"), "extra_val_9": ("val", 3, "strolls")},
        ("slow_stageii.npz: 6.0 s at 60 frames a second; 3.0 s by the annotation",
         "shorter than 0.4 s", "the sub-set KIT", "between two actions"),
    ),
    "motion-x": (
        trees.motion_x,
        {"idea400/subset_0001/Walk_clip_1": ("train", 2, WALK)},
        ("in none of train.txt", "mirrored clip"),
    ),
    "100style": (
        trees.style100,
        {"ArmsFolded_FW": ("train", 2, "a person walks forward in arms folded style")},
        ("no cut of it", "kind XX"),
    ),
    "lafan1": (
        trees.lafan1,
        {"walk1_subject1": ("train", 2, ""), "fallAndGetUp2_subject5": ("test", 2, "")},
        (),
    ),
}  # fmt: skip


def built(name: str, folder: Path, out: Path, *options: str) -> tuple[int, Path]:
    return main(["data", "build", name, str(folder), "-o", str(out), "--quiet", *options]), out


@pytest.mark.parametrize("name", EXPECTED)
def test_every_layout_of_bodies(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    make, expected, notes = EXPECTED[name]
    code, out = built(name, make(tmp_path / "corpus"), tmp_path / "store")
    output = capsys.readouterr()
    assert code == 0, output.err
    assert f"{len(expected)} clips read" in output.err and all(note in output.err for note in notes), output.err
    assert f"motion, {len(expected)} clips" in output.out
    clips = {c.id: c for c in Store.open(out).clips()}
    assert set(clips) == set(expected)
    want = trees.walking(120).canonical()
    for key, (split, seconds, caption) in expected.items():
        clip, motion = clips[key], clips[key].load()
        assert clip.split == split and motion.seconds == pytest.approx(seconds, abs=0.15)
        assert (caption in clip.captions) if caption else (not clip.captions or name == "bandai-namco")
        assert np.abs(motion.root[0, [0, 2]]).max() < 1e-5 and abs(motion.joints[..., 1].min()) < 0.12
        assert motion.root[-1, 2] == pytest.approx(seconds, rel=0.1), "walks one metre a second, to +Z"
        phase = min(
            float(np.abs(pose(want)[k : k + 10] - pose(motion)[:10]).max()) for k in range(len(want) - 10)
        )  # where in the walk the clip begins
        assert phase < (0.12 if name == "kit-ml" else 0.06), (key, phase)


def pose(motion: Motion) -> np.ndarray:
    """(T, 22, 3) joints about the pelvis, each frame facing +Z, of a person who walks straight on."""
    return np.asarray(motion.joints - motion.joints[:, :1])


def test_actions_styles_and_sentences(tmp_path: Path) -> None:
    clips = {c.id: c for c in read_corpus("bandai-namco", trees.bandai_namco(tmp_path), Report())}
    active, back = clips["dataset-2_walk_active_001"], clips["dataset-2_walk-back_normal_012"]
    assert (active.source, active.action, active.style) == ("bandai2", "walk", "active")
    assert back.action == "walk_back" and back.captions and active.captions
    assert all(text.startswith("a person ") for text in back.captions)
    again = {c.id: c for c in read_corpus("bandai-namco", tmp_path, Report())}
    assert again["dataset-2_walk_active_001"].captions == active.captions


def test_faces_of_mead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = built("mead", trees.mead(tmp_path / "corpus"), tmp_path / "store")
    output = capsys.readouterr()
    assert code == 0 and "2 clips read, 1 skipped" in output.err and "M003_happy_level_2_003" in output.err, output.err
    clips = {c.id: c for c in Store.open(out).clips()}
    angry = clips["M003_angry_level_3_001"]
    assert angry.captions == ["a person speaks and looks very angry"] and angry.extra["emotion"]["intensity"] == 1.0
    assert Path(angry.extra["audio"]).is_file() and angry.load().weights.max() == pytest.approx(0.25, abs=1e-4)
    assert clips["M003_neutral_level_1_002"].captions == ["a person speaks with a neutral face"]


class Faces:
    """A capture that notes what it is asked for; the face begins half a second late."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float, float | None]] = []

    def __call__(self, path: Path, start: float = 0.0, end: float | None = None) -> FilmFace:
        self.asked.append((path.name, start, end))
        if "whole" in path.stem.lower() and start > 100:
            raise UserError(f"{path}: no face in 12 frames")
        motion = FaceMotion(np.full((60, 52), 0.5), np.zeros((60, 3)))
        return FilmFace(motion, start + 0.5, (1.0,) * 51 + (0.0,))


def test_films_of_corpora_are_captured(tmp_path: Path) -> None:
    capture, report = Faces(), Report()
    clips = {c.id: c for c in read_corpus("hdtf", trees.hdtf(tmp_path / "hdtf"), report, capture=capture)}
    assert set(clips) == {"RD_Radio11_0", "RD_Radio11_1", "WDA_Whole0_0"} and report.read == 3
    assert ("Whole0.mp4", 2, 4) in capture.asked and ("Radio11_0.mp4", 0, None) in capture.asked
    whole = clips["WDA_Whole0_0"]
    assert whole.extra["speaker"] == "Whole" and "speaker" not in clips["RD_Radio11_0"].extra
    assert whole.extra["seconds"] == [2.5, 4.5]
    assert whole.extra["reliability"][50:] == [1.0, 0.0] and whole.extra["film"].endswith("raw/Whole0.mp4")
    reasons = dict(report.skipped)
    assert reasons["WDA_Whole0_1"].endswith("no face in 12 frames") and "accepted MM:SS" in reasons["WDA_Whole0_2"]
    assert reasons["RD_Radio12_0"].startswith("no film of it")

    tree, report = trees.talkinghead1kh(tmp_path / "th"), Report()
    clips = {c.extra["speaker"]: c for c in read_corpus("talkinghead1kh", tree, report, capture=capture)}
    assert {k: c.split for k, c in clips.items()} == {"ab_cdefgh-1": "train", "xbcdefgh-12": "val"}
    assert dict(report.skipped)["odd"].startswith("its name")
    only = list(read_corpus("talkinghead1kh", tree, Report(), capture=capture, split="val"))
    assert [c.extra["speaker"] for c in only] == ["xbcdefgh-12"]

    tree, report = trees.casual_conversations(tmp_path / "cc"), Report()
    bright, dark = read_corpus("cc-v1", tree, report, capture=capture)
    labels = {k: v for k, v in bright.extra.items() if k not in ("film", "seconds", "reliability")}
    assert labels == {"speaker": "1140", "age": "32", "gender": "Female", "lighting": "bright"}
    assert dark.extra["lighting"] == "dark" and dict(report.skipped) == {"CasualConversationsB/x": "no film of it"}

    report = Report()
    clips = {c.id: c for c in read_corpus("mead", trees.mead(tmp_path / "mead"), report, capture=capture)}
    assert len(clips) == 3 and capture.asked[-1] == ("003.mp4", 0, None)  # the one without a track
    happy = clips["M003_happy_level_2_003"]
    assert happy.captions == ["a person speaks and looks happy"] and happy.load().caption == happy.captions[0]
    with pytest.raises(UserError, match="films alone; accepted with capture="):
        list(read_corpus("hdtf", tmp_path / "hdtf", Report()))


def test_what_was_read_of_films_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films = {name: trees.text(tmp_path / f"{name}.mp4", name) for name in ("talk", "empty", "damaged")}
    asked: list[str] = []

    def capture(path: Path, start: float, end: float | None) -> SimpleNamespace:
        asked.append(path.stem)
        if path.stem != "talk":
            raise {"empty": NobodyError, "damaged": UserError}[path.stem](f"{path}: no face in it")
        return SimpleNamespace(motion=FaceMotion(np.full((60, 52), 0.5), np.zeros((60, 3))), start=start + 0.25)

    monkeypatch.setattr(corpora, "capture_face", capture)
    for _ in range(2):
        faces = corpora.FilmFaces(tmp_path / "work")
        face = faces(films["talk"], 1.0, 3.0)
        assert face.start == 1.25 and len(face.motion) == 60 and 0 in face.reliability
        for name in ("empty", "damaged"):
            with pytest.raises(UserError, match=f"{name}.mp4: no face in it"):
                faces(films[name])
    assert asked == ["talk", "empty", "damaged", "damaged"]  # what may be mended is tried again
    faces(films["talk"], 1.0, 2.0)
    assert len(asked) == 5


def test_a_film_of_a_corpus_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command captures; films that are none are left out with their reason, and nothing is written."""
    pytest.importorskip("av")
    code, out = built("hdtf", trees.hdtf(tmp_path / "hdtf"), tmp_path / "store")
    assert code == 2 and not out.exists()
    assert "no clip in it could be used" in (error := capsys.readouterr().err) and "not a film" in error


def test_talks_become_stores_of_gestures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, make in (("beat2", trees.beat2), ("genea2023", trees.genea)):
        code, out = built(name, make(tmp_path / name), tmp_path / f"{name}_store")
        assert code == 0, capsys.readouterr().err
        assert Store.open(out).modality == "gesture" and len(Store.open(out)) == 1


def test_humanml3d_without_amass(tmp_path: Path) -> None:
    """The same name reads the features where there are no rotations."""
    report = Report()
    clips = list(read_corpus("humanml3d", trees.humanml3d_features(tmp_path), report, split="train"))
    assert [(c.id, c.captions) for c in clips] == [("000001", ["walks"]), ("000001_1_2", ["turns"])]
    assert len(clips[0].load()) == 79 and len(clips[1].load()) == 20 and report.read == 2
    joints = clips[0].load().joints - trees.walking(80).canonical().joints[:79]
    assert np.abs(joints - joints[:1, :1]).max() < 5e-3
    reasons = dict(report.skipped)
    assert list(reasons) == ["000001_9_9.5", "000001_0_0.02", "000002", "000003", "000004", "000005"]
    assert "accepted (T, 263)" in reasons["000002"] and "NaN" in reasons["000003"]
    assert reasons["000004"] == "no texts/000004.txt" and reasons["000005"] == "no new_joint_vecs/000005.npy"
    assert report.notes == {"mirrored clip, which training makes by itself": 1}
    with pytest.raises(UserError, match=r"val\.txt: no such file"):
        list(read_corpus("humanml3d", tmp_path, Report(), split="val"))


def test_own_clips_with_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    for name in ("a", "sub/b", "c"):
        trees.bvh(folder / f"{name}.bvh")
    trees.text(folder / "c.txt", "someone strolls\n")
    table = trees.text(tmp_path / "captions.csv", 'animation,caption\nA,a person walks\nb,"steps, then stops"\nz,x\n')
    code, out = built("bvh", folder, tmp_path / "store", "--captions", str(table), "--licence", "mine")
    output = capsys.readouterr()
    assert code == 0 and "captions of no clip" in output.err, output.err
    clips = {c.id: c for c in Store.open(out).clips()}
    assert {k: c.captions for k, c in clips.items()} == {
        "a": ["a person walks"], "sub/b": ["steps, then stops"], "c": ["someone strolls"],
    }  # fmt: skip
    assert clips["a"].licence == "mine" and clips["a"].load().caption == "a person walks"


@pytest.mark.parametrize("name", CORPORA)
def test_an_odd_folder_is_one_exact_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    folder = tmp_path / "odd"
    for key in ("notes.txt", "pictures/a.png"):
        trees.text(folder / key, "x")
    code, out = built(name, folder, tmp_path / "store")
    output = capsys.readouterr()
    assert code == 2 and not out.exists() and output.out == "" and len(output.err.splitlines()) == 1
    layout = CORPORA[name]
    assert f"{folder}: no {layout.needs[0]}" in output.err and layout.tree in output.err
    assert "found notes.txt, pictures/ (2)" in output.err
    assert layout.licence and layout.gives
    assert built(name, tmp_path / "nowhere", out)[0] == 2
    assert f"nowhere: no such folder; {name} expects" in capsys.readouterr().err


def test_one_missing_part_is_named(tmp_path: Path) -> None:
    folder = trees.kit_ml(tmp_path / "KIT-ML")
    assert CORPORA["kit-ml"].locate(tmp_path) == folder  # the folder around it will do
    (folder / "train.txt").unlink()
    with pytest.raises(UserError, match=r"KIT-ML: no train\.txt; kit-ml expects .*; found new_joint_vecs/, texts/"):
        list(read_corpus("kit-ml", folder, Report()))
    folder = trees.humanml3d(tmp_path / "h")
    with pytest.raises(UserError, match="none: no such folder; humanml3d expects there: AMASS as unpacked"):
        list(read_corpus("humanml3d", folder, Report(), amass=tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "file", "words", "message"),
    [
        ("humanml3d", "index.csv", "source,start\n", "the columns source, start; accepted source_path"),
        ("humanml3d", "index.csv", "source_path,start_frame,end_frame,new_name\na,x,3,b.npy\n", "line 2: frames 'x'"),
        ("100style", "Frame_Cuts.csv", "A,B\n", "the columns A, B; accepted STYLE_NAME"),
        ("100style", "Frame_Cuts.csv", "STYLE_NAME,FW_START,FW_STOP\nX,9,3\n", "line 2: FW 9 to 3"),
        ("babel", "babel_v1.0_release/train.json", '{"7": {"dur": 1}}', "train.json: not a file of BABEL"),
    ],
)
def test_malformed_tables(tmp_path: Path, name: str, file: str, words: str, message: str) -> None:
    folder = EXPECTED[name][0](tmp_path / "corpus")
    trees.text(folder / file, words)
    with pytest.raises(UserError, match=message) as e:
        list(read_corpus(name, folder, Report()))
    assert "\n" not in str(e.value)


def test_recordings_that_are_too_short_or_long_are_told(tmp_path: Path) -> None:
    for name, seconds in (("short", 2 / 20), ("usual", 1.0), ("long", 31.0)):
        trees.bvh(tmp_path / f"{name}.bvh", 20.0, seconds)
        trees.text(tmp_path / f"{name}.txt", "a person walks\n")
    report = Report()
    assert {c.id for c in read_corpus("bvh", tmp_path, report)} == {"usual", "long"}
    assert "0.1 s; accepted at least 0.2" in str(report)
    assert "clip of more than 30 s under one caption" in str(report)


def test_cuts_beyond_the_end_are_skipped(tmp_path: Path) -> None:
    folder = trees.style100(tmp_path)
    trees.text(folder / "Frame_Cuts.csv", "STYLE_NAME,FW_START,FW_STOP\nArmsFolded,30,9000\n")
    report = Report()
    assert not list(read_corpus("100style", folder, report))
    assert "frames 30 to 9000 of 150; accepted those there" in str(report)


def test_bad_motions_are_skipped_with_their_reason(tmp_path: Path) -> None:
    folder = trees.motion_x(tmp_path)
    place = folder / "motion_data/smplx_322/idea400/subset_0001"
    np.save(place / "Walk_clip_1.npy", np.zeros((5, 300)))
    report = Report()
    assert not list(read_corpus("motion-x", folder, report))
    assert "(5, 300); accepted finite (frames, 322)" in str(report)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tapes", ".", "-o", "s"], "tapes: no such corpus; accepted: bandai-namco, cmu"),
        (["cmu", ".", "-o", "s", "--amass", "."], "--amass: not for cmu; accepted for: humanml3d, babel"),
        (["lafan1"], "lafan1: DIR is missing"),
        (["lafan1", "."], "lafan1: -o STORE is missing"),
        (["lafan1", ".", "-o", "s", "--split", "dev"], "split 'dev'"),
    ],
)
def test_bad_commands(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["data", "build", *arguments]) == 2
    output = capsys.readouterr()
    assert message in output.err and len(output.err.splitlines()) == 1


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "build"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == list(CORPORA)
    assert main(["data", "build", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["corpora"]) == set(CORPORA)


def test_names_of_amass() -> None:
    keys = {
        amass_key(path.split("/")) for path in (
            "BMLrub/BioMotionLab_NTroje/rub001/0001_walk_poses.npz", "BioMotionLab_NTroje/rub001/0001_walk_poses.npz",
            "BMLrub/rub001/0001_walk_stageii.npz", "./BMLrub/rub001/0001_walk_poses.npy",
            "BMLrub/BioMotionLabNTroje/rub001/0001_walk_poses.npz",
        )
    }  # fmt: skip
    assert keys == {"bmlrub/rub001/0001_walk"}


def test_frames_of_humanml3d_begin_where_the_original_does(tmp_path: Path) -> None:
    """Frame 10 of 20 a second is half a second in; of HDM05 three more seconds are dropped."""
    clips = {c.id: c.load() for c in read_corpus("humanml3d", trees.humanml3d(tmp_path), Report())}
    want = trees.walking(120)
    for name, first in (("000000", 10), ("000001", 60)):
        assert np.abs(pose(clips[name])[:30] - pose(want)[first : first + 30]).max() < 5e-3
    assert rot.angle_between(clips["000000"].rotations[0, 4], want.rotations[10, 4]) < 1e-2

"""Readers of quantised clips, BVH and AMASS folders, caption files and HumanML3D's texts and evaluation pairs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instruct_data.sources.amass import read_amass
from instruct_data.sources.corpus import Report
from instruct_data.sources.humanml3d import parse_caption, parse_texts, read_pairs
from instruct_data.sources.quantised import read_quantised
from instruct_data.sources.registry import read_corpus
from tests.clips import swaying
from tests.instruct_data.corpus_trees import quantised
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.bvh import write_bvh
from vqvae.motion import Motion

LINE = "a person walks.#a/DET person/NOUN walk/VERB#0.0#0.0"


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, list[Motion]]:
    motions = [swaying(20 + i, seed=i) for i in range(4)]
    quantised(tmp_path, motions)
    return tmp_path, motions


def test_quantised_clips(corpus: tuple[Path, list[Motion]]) -> None:
    folder, motions = corpus
    clips = list(read_quantised(folder))
    assert [c.id for c in clips] == ["m0", "m1", "m2", "m3"]
    for clip, motion in zip(clips, motions, strict=True):
        assert len(clip.load()) == len(motion) and clip.load().caption == clip.captions[0]
        assert np.abs(clip.load().joints - motion.joints).max() < 5e-4
    assert clips[2].licence == "CC BY-NC 4.0" and clips[0].licence == "not stated"
    assert clips[0].extra == {"trial": "07"} and clips[0].style == ""
    assert [c.id for c in read_corpus("quantised", folder, Report(), split="val")] == ["m1", "m3"]


def test_damaged_quantised_clips(corpus: tuple[Path, list[Motion]]) -> None:
    folder, _ = corpus
    with pytest.raises(UserError, match="split 'dev'"):
        list(read_quantised(folder, "dev"))
    with pytest.raises(UserError, match="no such file"):
        list(read_quantised(folder / "none"))
    clips = list(read_quantised(folder))
    (folder / "motions_01.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="motions_01.npz: not a readable"):
        clips[2].load()
    text = (folder / "captions.jsonl").read_text()
    for changed, message in ((text + '\n{"id": "x"}', "line 5: not a clip row"),
                             (text.replace('"train"', '"trian"'), "line 1: split 'trian'")):  # fmt: skip
        (folder / "captions.jsonl").write_text(changed)
        with pytest.raises(UserError, match=message):
            list(read_quantised(folder))
    skeleton = json.loads((folder / "skeleton.json").read_text())
    skeleton["offsets"][4][1] *= 1.1
    (folder / "skeleton.json").write_text(json.dumps(skeleton))
    with pytest.raises(UserError, match="another skeleton"):
        list(read_quantised(folder))


def test_bvh_folder(tmp_path: Path) -> None:
    m = swaying().moved(1.0, np.array([2.0, 0, 0]))
    write_bvh(m.resampled(60), tmp_path / "sub" / "a.bvh", 100)
    (tmp_path / "sub" / "a.txt").write_text("a person walks.\n\n  someone   strolls\n")
    (tmp_path / "b.BVH").write_text("HIERARCHY\n")
    report = Report()
    clips = list(read_corpus("bvh", tmp_path, report, source="studio", licence="CC0", split="val"))
    assert [(c.id, c.captions, c.source, c.licence, c.split) for c in clips] == [
        ("sub/a", ["a person walks.", "someone strolls"], "studio", "CC0", "val")]  # fmt: skip
    motion = clips[0].load()
    assert motion.fps == 20 and len(motion) == 60 and abs(motion.heading[0]) < 1e-3
    assert np.abs(motion.root[0, [0, 2]]).max() < 1e-6
    assert np.abs(motion.joints - swaying().canonical().joints).max() < 2e-2
    assert report.read == 1 and report.skipped[0][0] == "b" and "no MOTION" in str(report)


def test_bvh_clips_are_set_on_the_floor(tmp_path: Path) -> None:
    low = swaying().canonical()
    for name, height in (("hips", -0.95), ("jump", 0.1), ("stage", 2.5)):
        write_bvh(replace(low, root=low.root + np.float32([0, height, 0])), tmp_path / f"{name}.bvh")
    clips = read_corpus("bvh", tmp_path, Report())
    lowest = {c.id: np.percentile(c.load().joints[..., 1].min(1), 2) for c in clips}
    assert lowest["hips"] == pytest.approx(0, abs=1e-3) and lowest["stage"] == pytest.approx(0, abs=1e-3)
    assert lowest["jump"] == pytest.approx(np.percentile(low.joints[..., 1].min(1), 2) + 0.1, abs=1e-3)


def amass_arrays(m: Motion, rate_key: str, split_poses: bool) -> dict[str, np.ndarray]:
    up = rot.from_axis_angle(np.array([np.pi / 2, 0, 0]))
    q = m.rotations.astype(np.float64).copy()
    q[:, 0] = rot.multiply(up, q[:, 0])
    vectors = rot.to_axis_angle(q).reshape(len(m), -1)
    data = {rate_key: np.array(m.fps), "trans": rot.rotate(up, m.root.astype(np.float64)), "betas": np.zeros(16)}
    if split_poses:
        return data | {"root_orient": vectors[:, :3], "pose_body": vectors[:, 3:]}
    return data | {"poses": np.concatenate([vectors, np.zeros((len(m), 156 - 66))], 1)}


@pytest.mark.parametrize(("rate_key", "split_poses"), [("mocap_framerate", False), ("mocap_frame_rate", True)])
def test_amass(tmp_path: Path, rate_key: str, split_poses: bool) -> None:
    m = swaying().resampled(60)
    np.savez(tmp_path / "a.npz", **amass_arrays(m, rate_key, split_poses))
    motion = read_amass(tmp_path / "a.npz")
    assert motion.fps == 60 and len(motion) == len(m)
    assert np.abs((motion.joints - motion.joints[:, :1]) - (m.joints - m.joints[:, :1])).max() < 1e-4
    assert np.ptp(motion.root - m.root, axis=0).max() < 1e-4
    assert np.percentile(motion.joints[:, [10, 11], 1].min(1), 2) == pytest.approx(0.02, abs=1e-4)


def test_amass_folder(tmp_path: Path) -> None:
    (tmp_path / "CMU/01").mkdir(parents=True)
    good = amass_arrays(swaying(), "mocap_framerate", False)
    np.savez(tmp_path / "CMU/01/a.npz", **good)
    (tmp_path / "CMU/01/a.txt").write_text("a person walks")
    np.savez(tmp_path / "CMU/01/shape.npz", betas=np.zeros(16))
    np.savez(tmp_path / "CMU/01/rate.npz", **{k: v for k, v in good.items() if "rate" not in k})
    np.savez(tmp_path / "CMU/01/nan.npz", **(good | {"trans": good["trans"] * np.nan}))
    (tmp_path / "CMU/01/junk.npz").write_bytes(b"junk")
    report = Report()
    clips = list(read_corpus("amass", tmp_path, report, licence="theirs"))
    assert [(c.id, c.source, c.captions, c.licence) for c in clips] == [
        ("CMU/01/a", "CMU", ["a person walks"], "theirs")]  # fmt: skip
    reasons = dict(report.skipped)
    assert set(reasons) == {f"CMU/01/{n}" for n in ("shape", "rate", "nan", "junk")}
    assert "frame rate" in reasons["CMU/01/rate"] and "NaN" in reasons["CMU/01/nan"]
    assert "1 clips read, 4 skipped" in str(report)
    with pytest.raises(UserError, match="rate.npz: no frame rate"):
        read_amass(tmp_path / "CMU/01/rate.npz")
    with pytest.raises(UserError, match="accepted z or y"):
        read_amass(tmp_path / "CMU/01/a.npz", up="x")


@pytest.mark.parametrize("name", ["bvh", "amass"])
def test_caption_files(tmp_path: Path, name: str) -> None:
    """As other programs write them: a byte order mark is no part of a caption, other encodings are reported."""
    for stem, text in (("a", b"\xef\xbb\xbfwalks\r\nwaves\r\n"), ("b", "geht \u00fcber".encode("latin-1"))):
        if name == "bvh":
            write_bvh(swaying(), tmp_path / f"{stem}.bvh")
        else:
            np.savez(tmp_path / f"{stem}.npz", **amass_arrays(swaying(), "mocap_framerate", False))
        (tmp_path / f"{stem}.txt").write_bytes(text)
    report = Report()
    assert [(c.id, c.captions) for c in read_corpus(name, tmp_path, report)] == [("a", ["walks", "waves"])]
    assert [clip for clip, _ in report.skipped] == ["b"] and "accepted UTF-8" in str(report)


def test_humanml3d_texts() -> None:
    report = Report()
    text = (
        "a man walks.#a/DET man/NOUN#0.0#0.0\nhe turns#he/PRON#1.0#2.5\nhe waits#x#nan#nan\n"
        "broken line\nlate#x#3.0#1.0\n#x#0#0\n"
    )
    assert parse_texts(text, report) == {(0.0, 0.0): ["a man walks.", "he waits"], (1.0, 2.5): ["he turns"]}
    assert sum(report.notes.values()) == 4


def pair_folder(folder: Path, clips: dict[str, int], texts: dict[str, list[str]] | None = None) -> Path:
    """Clips of so many frames; frame t of each is t in all channels."""
    for name in ("new_joint_vecs", "texts"):
        (folder / name).mkdir(parents=True)
    for name, frames in clips.items():
        np.save(folder / f"new_joint_vecs/{name}.npy", np.tile(np.arange(frames, dtype=np.float32)[:, None], (1, 263)))
        (folder / f"texts/{name}.txt").write_text("\n".join((texts or {}).get(name, [LINE])) + "\n")
    (folder / "test.txt").write_text("\n".join(clips) + "\n")
    return folder


def test_pairs_have_forty_to_199_frames(tmp_path: Path) -> None:
    report = Report()
    pairs = read_pairs(pair_folder(tmp_path, {"d": 39, "b": 199, "a": 40, "c": 200}), "test", report)
    assert [(p.id, len(p)) for p in pairs] == [("a", 40), ("b", 199)]
    assert report.read == 2 and [name for name, _ in report.skipped] == ["c", "d"]


def test_captions_of_parts_are_pairs_of_their_own(tmp_path: Path) -> None:
    lines = [LINE, "he stops.#he/PRON stop/VERB#nan#nan", "he turns.#he/PRON turn/VERB#1.0#4.05",
             "too short.#too/ADV short/ADJ#1.0#2.0", "past the end.#past/ADP end/NOUN#3.0#100.0"]  # fmt: skip
    report = Report()
    pairs = read_pairs(pair_folder(tmp_path, {"a": 120}, {"a": lines}), "test", report)
    assert [(p.id, p.start, p.stop) for p in pairs] == [("a_2", 20, 81), ("a_4", 60, 120), ("a", 0, 120)]
    assert [c.text for c in pairs[2].captions] == ["a person walks.", "he stops."]
    assert pairs[2].captions[1].tokens == ("he/PRON", "stop/VERB")
    assert pairs[0].features()[:, 0].tolist() == list(range(20, 81))
    assert pairs[0].features(5, 10)[:, 7].tolist() == list(range(25, 35))
    assert report.notes == {"caption of a part that is not 40 to 199 frames": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [("a person walks.", "not caption#tokens"), ("x#x/NOUN#0.0#soon", "could not convert"),
     ("x##0.0#0.0", "not word/TAG"), ("x#x y#0.0#0.0", "not word/TAG"), ("x#x/NOUN#3.0#1.0", "before its start")],
)  # fmt: skip
def test_lines_of_another_form(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_caption(line)


def test_damaged_pairs_are_reported(tmp_path: Path) -> None:
    pair_folder(tmp_path, dict.fromkeys("abcde", 50), {"e": ["nothing of it"]})
    np.save(tmp_path / "new_joint_vecs/b.npy", np.full((50, 263), np.nan, np.float32))
    np.save(tmp_path / "new_joint_vecs/c.npy", np.zeros((50, 251), np.float32))
    (tmp_path / "texts/d.txt").unlink()
    report = Report()
    assert [p.id for p in read_pairs(tmp_path, "test", report)] == ["a"]
    assert [name for name, _ in report.skipped] == ["b", "c", "d"] and sum(report.notes.values()) == 1
    assert any("not finite" in line for line in report.reasons())


def test_folders_without_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; accepted: a HumanML3D folder"):
        read_pairs(tmp_path)
    pair_folder(tmp_path, {"a": 10})
    for split, message in (("test", "none of its 1 clips takes part .*not 40 to 199"), ("val", "no such file"),
                           ("most", "accepted train")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            read_pairs(tmp_path, split)


def test_real_corpus(shared: Path) -> None:
    clips = list(read_quantised(shared / "data/body"))
    assert len(clips) == 3271 and sum(c.split == "val" for c in clips) == 127
    assert all(c.licence != "not stated" for c in clips)
    assert all(abs(len(c.load()) - c.extra["n_frames"]) == 0 for c in clips[::400])

"""Corpus readers, on made-up corpora in the real layouts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from instruct_data.sources.amass import read_amass, read_amass_folder
from instruct_data.sources.bvh import read_bvh_folder
from instruct_data.sources.corpus import read_corpus
from instruct_data.sources.humanml3d import parse_texts, read_humanml3d
from instruct_data.sources.report import Report
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.bvh import write_bvh
from vqvae.io.hml263 import HML263Features
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def walk(frames=60, seed=0) -> Motion:
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / 20
    q = rot.from_axis_angle(0.3 * np.sin(3 * t + rng.uniform(0, 6, (1, 22, 3))) * rng.uniform(0, 1, (1, 22, 3)))
    root = np.stack([0 * t[:, 0, 0], 0 * t[:, 0, 0] + 0.95, t[:, 0, 0]], -1)
    return Motion(q, root)


@pytest.fixture
def corpus(tmp_path):
    motions = [walk(20 + i, i) for i in range(4)]
    (tmp_path / "skeleton.json").write_text(
        json.dumps({"joint_names": SMPL22.names, "parents": SMPL22.parents, "offsets": SMPL22.offsets.tolist()})
    )
    rows = []
    for shard in range(2):
        part = motions[2 * shard : 2 * shard + 2]
        np.savez(
            tmp_path / f"motions_{shard:02d}.npz", root=np.concatenate([m.root for m in part]),
            rot=np.round(np.concatenate([m.rotations for m in part]) * 32767).astype(np.int16),
            offsets=np.cumsum([0, *map(len, part)]),
        )  # fmt: skip
        rows += [
            {"id": f"m{2 * shard + i}", "shard": f"motions_{shard:02d}.npz", "index": i, "trial": "07",
             "action": "walk", "captions": [f"clip {2 * shard + i}"], "split": "val" if i else "train", "style": None,
             "source": "bandai2" if shard else "mine"}
            for i in range(2)
        ]  # fmt: skip
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path, motions


def test_corpus(corpus):
    folder, motions = corpus
    clips = list(read_corpus(folder))
    assert [c.id for c in clips] == ["m0", "m1", "m2", "m3"]
    for clip, motion in zip(clips, motions, strict=True):
        assert len(clip.load()) == len(motion)
        assert np.abs(clip.load().joints - motion.joints).max() < 5e-4
        assert clip.load().caption == clip.captions[0]
    assert clips[2].licence == "CC BY-NC 4.0" and clips[0].licence == "not stated"
    assert clips[0].extra == {"trial": "07"} and clips[0].style == ""
    assert [c.id for c in read_corpus(folder, "val")] == ["m1", "m3"]
    assert [c.id for c in read_corpus(folder, sources={"mine"})] == ["m0", "m1"]


def test_corpus_errors(corpus):
    folder, _ = corpus
    with pytest.raises(UserError, match="split 'dev'"):
        list(read_corpus(folder, "dev"))
    with pytest.raises(UserError, match="no such file"):
        list(read_corpus(folder / "none"))
    clips = list(read_corpus(folder))
    (folder / "motions_01.npz").write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="motions_01.npz: not a readable"):
        clips[2].load()
    text = (folder / "captions.jsonl").read_text()
    (folder / "captions.jsonl").write_text(text + '\n{"id": "x"}')
    with pytest.raises(UserError, match="line 5: not a clip row"):
        list(read_corpus(folder))
    (folder / "captions.jsonl").write_text(text.replace('"train"', '"trian"'))
    with pytest.raises(UserError, match="line 1: split 'trian'"):
        list(read_corpus(folder))
    skeleton = json.loads((folder / "skeleton.json").read_text())
    skeleton["offsets"][4][1] *= 1.1
    (folder / "skeleton.json").write_text(json.dumps(skeleton))
    with pytest.raises(UserError, match="another skeleton"):
        list(read_corpus(folder))


def test_bvh_folder(tmp_path):
    m = walk().moved(1.0, np.array([2.0, 0, 0]))
    write_bvh(m.resampled(60), tmp_path / "sub" / "a.bvh", 100)
    (tmp_path / "sub" / "a.txt").write_text("a person walks.\n\n  someone   strolls\n")
    (tmp_path / "b.BVH").write_text("HIERARCHY\n")
    with pytest.raises(UserError, match="b.BVH"):
        [c.load() for c in read_bvh_folder(tmp_path)]
    report = Report()
    clips = list(read_bvh_folder(tmp_path, "studio", "CC0", "val", report))
    assert [(c.id, c.captions, c.source, c.licence, c.split) for c in clips] == [
        ("sub/a", ["a person walks.", "someone strolls"], "studio", "CC0", "val")]  # fmt: skip
    got = clips[0].load()
    assert got.fps == 20 and len(got) == 60 and abs(got.heading[0]) < 1e-3 and np.abs(got.root[0, [0, 2]]).max() < 1e-6
    assert np.abs(got.joints - walk().canonical().joints).max() < 2e-2
    assert report.read == 1 and report.skipped[0][0] == "b" and "no MOTION" in str(report)
    with pytest.raises(UserError, match="no .bvh files"):
        list(read_bvh_folder(tmp_path / "sub" / "none"))


def test_bvh_clips_are_set_on_the_floor(tmp_path):
    low = walk().canonical()
    for name, height in (("hips", -0.95), ("jump", 0.1), ("stage", 2.5)):
        write_bvh(replace(low, root=low.root + np.float32([0, height, 0])), tmp_path / f"{name}.bvh")
    lowest = {c.id: np.percentile(c.load().joints[..., 1].min(1), 2) for c in read_bvh_folder(tmp_path)}
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


@pytest.mark.parametrize("rate_key", ["mocap_framerate", "mocap_frame_rate"])
@pytest.mark.parametrize("split_poses", [False, True])
def test_amass(tmp_path, rate_key, split_poses):
    m = walk().resampled(60)
    np.savez(tmp_path / "a.npz", **amass_arrays(m, rate_key, split_poses))
    got = read_amass(tmp_path / "a.npz")
    assert got.fps == 60 and len(got) == len(m)
    assert np.abs((got.joints - got.joints[:, :1]) - (m.joints - m.joints[:, :1])).max() < 1e-4
    assert np.ptp(got.root - m.root, axis=0).max() < 1e-4
    assert np.percentile(got.joints[:, [10, 11], 1].min(1), 2) == pytest.approx(0.02, abs=1e-4)


def test_amass_folder_and_errors(tmp_path):
    (tmp_path / "CMU/01").mkdir(parents=True)
    good = amass_arrays(walk(), "mocap_framerate", False)
    np.savez(tmp_path / "CMU/01/a.npz", **good)
    (tmp_path / "CMU/01/a.txt").write_text("a person walks")
    np.savez(tmp_path / "CMU/01/shape.npz", betas=np.zeros(16))
    np.savez(tmp_path / "CMU/01/rate.npz", **{k: v for k, v in good.items() if "rate" not in k})
    np.savez(tmp_path / "CMU/01/nan.npz", **(good | {"trans": good["trans"] * np.nan}))
    (tmp_path / "CMU/01/junk.npz").write_bytes(b"junk")
    report = Report()
    clips = list(read_amass_folder(tmp_path, report=report))
    assert [(c.id, c.source, c.captions) for c in clips] == [("CMU/01/a", "CMU", ["a person walks"])]
    reasons = dict(report.skipped)
    assert set(reasons) == {f"CMU/01/{n}" for n in ("shape", "rate", "nan", "junk")}
    assert "frame rate" in reasons["CMU/01/rate"] and "NaN" in reasons["CMU/01/nan"]
    assert "1 clips read, 4 skipped" in str(report)
    with pytest.raises(UserError, match="rate.npz: no frame rate"):
        read_amass(tmp_path / "CMU/01/rate.npz")
    with pytest.raises(UserError, match="accepted z or y"):
        read_amass(tmp_path / "CMU/01/a.npz", up="x")


@pytest.mark.parametrize("suffix", [".bvh", ".npz"])
def test_caption_files(tmp_path, suffix):
    """As other programs write them: a byte order mark is no part of a caption, and other encodings are told of."""
    for name, text in (("a", b"\xef\xbb\xbfwalks\r\nwaves\r\n"), ("b", "geht \u00fcber".encode("latin-1"))):
        if suffix == ".bvh":
            write_bvh(walk(), tmp_path / f"{name}.bvh")
        else:
            np.savez(tmp_path / f"{name}.npz", **amass_arrays(walk(), "mocap_framerate", False))
        (tmp_path / f"{name}.txt").write_bytes(text)
    read, report = read_bvh_folder if suffix == ".bvh" else read_amass_folder, Report()
    assert [(c.id, c.captions) for c in read(tmp_path, report=report)] == [("a", ["walks", "waves"])]
    assert [clip for clip, _ in report.skipped] == ["b"] and "accepted UTF-8" in str(report)
    with pytest.raises(UserError, match="b.txt: not UTF-8 text"):
        list(read(tmp_path))


def test_humanml3d_texts():
    report = Report()
    text = (
        "a man walks.#a/DET man/NOUN#0.0#0.0\nhe turns#he/PRON#1.0#2.5\nhe waits#x#nan#nan\n"
        "broken line\nlate#x#3.0#1.0\n#x#0#0\n"
    )
    assert parse_texts(text, report) == {(0.0, 0.0): ["a man walks.", "he waits"], (1.0, 2.5): ["he turns"]}
    assert sum(report.notes.values()) == 4


def test_humanml3d_folder(tmp_path):
    for name in ("new_joint_vecs", "texts"):
        (tmp_path / name).mkdir()
    motion = walk(80)
    np.save(tmp_path / "new_joint_vecs/000001.npy", HML263Features().encode(motion))
    (tmp_path / "texts/000001.txt").write_text("walks#x#0.0#0.0\nturns#x#1.0#2.0\nearly#x#9.0#9.5\n")
    np.save(tmp_path / "new_joint_vecs/000002.npy", np.zeros((10, 251)))
    (tmp_path / "texts/000002.txt").write_text("x#x#0#0")
    np.save(tmp_path / "new_joint_vecs/000003.npy", np.zeros((10, 263)))
    (tmp_path / "train.txt").write_text("000001\n000002\n000003\n000004\n")
    (tmp_path / "val.txt").write_text("")
    with pytest.raises(UserError, match="test.txt"):
        list(read_humanml3d(tmp_path))
    report = Report()
    clips = list(read_humanml3d(tmp_path, "train", report))
    assert [(c.id, c.captions) for c in clips] == [("000001", ["walks"]), ("000001_1_2", ["turns"])]
    assert len(clips[0].load()) == 79 and len(clips[1].load()) == 20
    joints = clips[0].load().joints - motion.canonical().joints[:79]
    assert np.abs(joints - joints[:1, :1]).max() < 5e-3
    assert {i for i, _ in report.skipped} == {"000001_9_9.5", "000002", "000003", "000004"}
    assert report.read == 2
    with pytest.raises(UserError, match="no such folder"):
        list(read_humanml3d(tmp_path / "texts"))


def test_real_corpus(shared):
    clips = list(read_corpus(shared / "data/body"))
    assert len(clips) == 3271 and sum(c.split == "val" for c in clips) == 127
    assert all(c.licence != "not stated" for c in clips)
    assert all(abs(len(c.load()) - c.extra["n_frames"]) == 0 for c in clips[::400])

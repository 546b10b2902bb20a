"""``avatargpt data`` over a small corpus of its own."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig, motion
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22

FRAMES = (20, 40)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two clips, 1 s and 2 s."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    total = sum(FRAMES)
    quaternions = np.broadcast_to(rot.identity((22,)), (total, 22, 4))
    root = np.stack([np.zeros(total), np.full(total, 0.95), np.arange(total) / 20], -1).astype(np.float32)
    offsets = np.array([0, FRAMES[0], total], np.int64)
    np.savez(folder / "motions_00.npz", root=root, rot=np.round(quaternions * 32767).astype(np.int16), offsets=offsets)
    skeleton = {"joint_names": list(SMPL22.names), "offsets": SMPL22.offsets.tolist()}
    (folder / "skeleton.json").write_text(json.dumps(skeleton), encoding="utf-8")
    rows = [
        {"id": f"c{i}", "shard": "motions_00.npz", "index": i, "source": "cmu_amc", "captions": ["a person walks"],
         "split": split}
        for i, split in enumerate(("train", "val"))
    ]  # fmt: skip
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def test_build_ls_check(cli, corpus, tmp_path):
    store = tmp_path / "store"
    r = cli("data", "build", "quantised", corpus, "-o", store, "--json")
    facts = json.loads(r.out)
    assert r.code == 0 and (facts["clips"], facts["captions"], facts["splits"]) == (2, 2, {"train": 1, "val": 1})
    assert facts["sources"]["cmu_amc"]["licence"].startswith("CMU")
    for command in ("ls", "check"):
        assert json.loads(cli("data", command, store, "--json").out) == facts
    assert cli("data", "ls", store).lines[1] == "splits: train 1, val 1"


def test_stores_of_faces_are_checked_too(cli, tmp_path):
    from instruct_data.clip import Clip
    from instruct_data.store import Store
    from vqvae.face import FaceMotion

    face = FaceMotion(np.zeros((9, 52)), np.zeros((9, 3)))
    clips = [Clip("a", face, ["rests"], "own", "ours"), Clip("b", lambda: face, ["rests"], "own", "ours")]
    Store.write(clips, tmp_path / "store")
    r = cli("data", "check", tmp_path / "store", "--json")
    assert r.code == 0 and json.loads(r.out)["clips"] == 2, r.err


def test_ls_names_the_corpora(cli):
    assert cli("data", "ls").out == cli("data", "build").out and cli("data", "ls").code == 0


def test_build_says_what_it_left_out(cli, clip, tmp_path):
    takes = tmp_path / "takes"
    assert cli("export", clip, takes / "good.bvh").code == 0
    (takes / "good.txt").write_text("a person walks\n", encoding="utf-8")
    (takes / "bad.bvh").write_text("HIERARCHY", encoding="utf-8")
    r = cli("data", "build", "bvh", takes, "--licence", "ours", "-o", tmp_path / "store", "--json")
    facts = json.loads(r.out)
    assert r.code == 0 and facts["clips"] == 1 and facts["sources"]["own"]["licence"] == "ours"
    assert "1 clips read, 1 skipped" in r.err and "bad" in r.err


def test_build_takes_packs(cli, tmp_path):
    rigs = {name: as_rig(motion(n), CONVENTIONS["unreal"]) for name, n in (("Walk", 40), ("Hop/High", 30))}
    pack = GltfFile(rigs).save(tmp_path / "pack.glb")
    (tmp_path / "words.csv").write_text("animation,caption\nWalk,a person walks\nRun,a person runs\n")
    options = ["--captions", tmp_path / "words.csv", "--source", "mine", "--licence", "ours"]
    r = cli("data", "build", "pack", pack, *options, "-o", tmp_path / "store", "--json")
    facts = json.loads(r.out)
    assert r.code == 0 and (facts["clips"], facts["captions"]) == (2, 1)
    assert facts["sources"]["mine"]["licence"] == "ours"
    assert "captions of no animation" in r.err and "as run" in r.err


def test_reasons_are_counted_and_name_clips():
    from instruct_data.sources.corpus import Report

    report = Report()
    for clip, reason in (("a", "too short"), *((str(i), "no captions") for i in range(5))):
        report.skip(clip, reason)
    assert report.reasons() == ["no captions (5x: 0, 1, 2, ...)", "too short (1x: a)"]
    assert "  skipped: too short (1x: a)" in str(report).splitlines()


def test_check_finds_a_changed_shard(cli, corpus, tmp_path):
    store = tmp_path / "store"
    assert cli("data", "build", "quantised", corpus, "-o", store).code == 0
    shard = next(store.glob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    cli("data", "check", store).refused(str(shard))

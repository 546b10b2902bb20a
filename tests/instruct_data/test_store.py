"""The clip store, and stores as data sets of the Hugging Face hub."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt.__main__ import main
from instruct_data.clip import Clip
from instruct_data.store import ClipCodes, Store
from tests.instruct_data.corpus_trees import walking
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion


def make_motion(seed: int = 0, frames: int = 30) -> Motion:
    rng = np.random.default_rng(seed)
    angles = np.cumsum(rng.normal(0, 0.03, (frames, 22, 3)), 0)
    root = np.cumsum(rng.normal(0, 0.02, (frames, 3)), 0) + [0, 0.9, 0]
    return Motion(rot.from_axis_angle(angles), root, 20.0, "body", "made up")


def clips(n: int = 5) -> list[Clip]:
    return [
        Clip(f"c{i}", make_motion(i, 20 + i), [f"caption {i}", "ä second"], "lab", "MIT", ("train", "val")[i % 2],
             "walk", "sad", {"take": i})
        for i in range(n)
    ]  # fmt: skip


def test_round_trip(tmp_path):
    written = clips()
    Store.write(written, tmp_path / "s")
    back = list(Store.open(tmp_path / "s").clips())
    assert [c.id for c in back] == [c.id for c in written]
    for a, b in zip(written, back, strict=True):
        assert (a.captions, a.split, a.action, a.style, a.source, a.licence, a.extra) == (
            b.captions, b.split, b.action, b.style, b.source, b.licence, b.extra)  # fmt: skip
        assert np.abs(a.load().joints - b.load().joints).max() < 5e-4
        assert rot.angle_between(a.load().rotations, b.load().rotations).max() < 1e-3
        assert np.array_equal(a.load().root, b.load().root)
    assert [c.id for c in Store.open(tmp_path / "s").clips("val")] == ["c1", "c3"]


def test_manifest_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("instruct_data.store.ROWS_PER_SHARD", 2)
    store = Store.write(iter(clips(5)), tmp_path / "s")
    m = json.loads((tmp_path / "s/manifest.json").read_text())
    assert m == store.manifest and len(list(store.clips())) == 5
    assert (m["clips"], m["captions"], m["splits"]) == (5, 10, {"train": 3, "val": 2})
    assert [s["rows"] for s in m["shards"]] == [2, 2, 1]
    assert m["hours"] == pytest.approx(sum(20 + i for i in range(5)) / 20 / 3600, abs=1e-4)
    assert m["sources"]["lab"]["licence"] == "MIT" and m["sources"]["lab"]["clips"] == 5


def test_changed_shard_is_refused(tmp_path):
    store = Store.write(clips(), tmp_path / "s")
    shard = tmp_path / "s" / store.manifest["shards"][0]["file"]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match="differs from its SHA-256"):
        Store.open(tmp_path / "s")
    shard.unlink()
    with pytest.raises(UserError, match="shard is missing"):
        Store.open(tmp_path / "s")


def test_a_store_of_another_kind_is_not_replaced(tmp_path):
    Store.write(clips(3), tmp_path / "s")
    item = ClipCodes("a", np.zeros((3, 2), np.int64), ["x"], "train", "lab", "MIT")
    with pytest.raises(UserError, match="a store of motion, not of codes; accepted: a new folder"):
        Store.write_codes([item], tmp_path / "s", "0" * 64)
    assert len(list(Store.open(tmp_path / "s").clips())) == 3
    (tmp_path / "s" / "manifest.json").write_text("[]")
    with pytest.raises(UserError, match="manifest.json: not a JSON object"):
        Store.write(clips(3), tmp_path / "s")


def test_failure_leaves_the_old_store(tmp_path):
    Store.write(clips(3), tmp_path / "s")

    def broken():
        yield clips(1)[0]
        raise UserError("clip 2 is bad")

    with pytest.raises(UserError, match="clip 2"):
        Store.write(broken(), tmp_path / "s")
    assert len(Store.open(tmp_path / "s")) == 3 and [p.name for p in tmp_path.iterdir()] == ["s"]
    Store.write(clips(2), tmp_path / "s")
    assert len(Store.open(tmp_path / "s")) == 2 and [p.name for p in tmp_path.iterdir()] == ["s"]


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="no clips"):
        Store.write([], tmp_path / "s")
    assert not (tmp_path / "s").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/precious.txt").write_text("x")
    with pytest.raises(UserError, match="no clip store"):
        Store.write(clips(), tmp_path / "mine")
    with pytest.raises(UserError, match="no clip store"):
        Store.open(tmp_path / "mine")
    assert (tmp_path / "mine/precious.txt").read_text() == "x"
    second = Clip("d", make_motion(), ["x"], "lab", "GPL")
    with pytest.raises(UserError, match="two licences"):
        Store.write([*clips(1), second], tmp_path / "s")
    store = Store.write(clips(), tmp_path / "s")
    with pytest.raises(UserError, match="codes wanted"):
        list(store.codes())
    with pytest.raises(UserError, match="split 'dev'"):
        list(store.clips("dev"))
    (tmp_path / "s/manifest.json").write_text('{"format": 99, "kind": "motion", "shards": []}')
    with pytest.raises(UserError, match="format 99"):
        Store.open(tmp_path / "s")


def test_codes(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        ClipCodes(f"c{i}", rng.integers(0, 512, (5 + i, 4)), ["a"], "train", "lab", "MIT", frames=20 + i,
                  mirrored=bool(i % 2)) for i in range(4)
    ]  # fmt: skip
    Store.write_codes(rows, tmp_path / "k", "abc123")
    store = Store.open(tmp_path / "k")
    assert store.manifest["fingerprint"] == "abc123" and store.kind == "codes"
    for a, b in zip(rows, store.codes("train"), strict=True):
        assert np.array_equal(a.codes, b.codes) and (a.id, a.mirrored, a.frames) == (b.id, b.mirrored, b.frames)
    with pytest.raises(UserError, match="codes"):
        Store.write_codes([ClipCodes("x", np.array([[40000]]), [], "train", "lab", "MIT")], tmp_path / "k2", "f")


@pytest.mark.parametrize("field", ["id", "licence", "captions"])
def test_texts_that_no_store_can_hold(tmp_path, field):
    bad = ["half \ud800"] if field == "captions" else "half \ud800"
    with pytest.raises(UserError, match=f"clip .*: {field} .* is not UTF-8 text"):
        Store.write([replace(clips(1)[0], **{field: bad})], tmp_path / "s")
    assert not (tmp_path / "s").exists()


DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def hf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The library with its cache in a folder of the test."""
    library = pytest.importorskip("datasets", reason='needs pip install "avatargpt[datasets]"')
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    library.disable_progress_bars()
    return library


@pytest.fixture
def store(tmp_path: Path) -> Store:
    clips = [
        Clip(f"c{k}", walking(20 + k), [f"clip {k}"], "own", "ours", "val" if k == 6 else "train") for k in range(7)
    ]
    return Store.write(clips, tmp_path / "store")


def test_a_store_is_a_data_set(hf, store: Store) -> None:
    from instruct_data.hub import as_dataset

    rows = as_dataset(store, "train").with_format("numpy")
    assert len(rows) == 6 and rows.cache_files, "memory-mapped"
    for row, clip in zip(rows, store.clips("train"), strict=True):
        motion = clip.load()
        assert row["id"] == clip.id and list(row["captions"]) == clip.captions
        assert row["rotations"].shape == (len(motion), 22, 4) and row["rotations"].dtype == np.float32
        assert np.abs(row["rotations"] - motion.rotations).max() < 1e-4
        assert np.array_equal(row["root"], motion.root)
    packed = as_dataset(store, arrays=False)
    assert len(packed) == 7 and isinstance(packed[0]["rotations"], bytes)


def test_an_exported_folder_opens_without_us(hf, store: Store, tmp_path: Path) -> None:
    assert main(["data", "export-datasets", str(store.path), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    library = hf.load_dataset(str(tmp_path / "out"))
    assert {name: len(rows) for name, rows in library.items()} == {"train": 6, "val": 1}
    motion = next(store.clips("val")).load()
    assert np.abs(np.array(library["val"][0]["rotations"]) - motion.rotations).max() < 1e-4
    assert "| own | 7 |" in (tmp_path / "out" / "README.md").read_text()
    streamed = hf.load_dataset(str(tmp_path / "out"), split="train", streaming=True)
    assert [row["id"] for row in streamed] == [f"c{k}" for k in range(6)]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    assert main(["data", "export-datasets", str(store.path), "-o", str(tmp_path / "out")]) == 2


def test_other_kinds_of_stores(hf, tmp_path: Path) -> None:
    from instruct_data.hub import as_dataset

    face = FaceMotion(np.full((9, 52), 0.5), np.full((9, 3), 0.1))
    row = as_dataset(Store.write([Clip("f", face, ["rests"], "own", "ours")], tmp_path / "faces"))[0]
    assert np.allclose(row["weights"], 0.5, atol=1e-4) and np.allclose(row["head"], 0.1)
    item = ClipCodes("k", np.arange(12).reshape(4, 3), ["x"], "train", "own", "ours", frames=16)
    row = as_dataset(Store.write_codes([item], tmp_path / "codes", "abc"))[0]
    assert np.array_equal(row["codes"], item.codes)


def test_bad_wishes(hf, store: Store, tmp_path: Path) -> None:
    from instruct_data.hub import as_dataset

    for split, message in (("dev", "split 'dev'"), ("test", "no clips of split test; it has train")):
        with pytest.raises(UserError, match=message):
            as_dataset(store, split)
    with pytest.raises(UserError, match="no clip store"):
        as_dataset(tmp_path)


def test_without_the_library(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from instruct_data.hub import as_dataset

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r'pip install "avatargpt\[datasets\]"'):
        as_dataset(store)


def test_the_page_runs(hf, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "data.md").read_text(encoding="utf-8").split("## Data sets")[1].split("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    monkeypatch.chdir(store.path.parent)
    exec(compile(code, "data.md", "exec"), {})

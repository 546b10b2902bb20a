"""Stores as data sets of `datasets`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from avatargpt.__main__ import main
from instruct_data.clip import Clip
from instruct_data.store import ClipCodes, Store
from tests.instruct_data.corpus_trees import walking
from vqvae.errors import UserError
from vqvae.face import FaceMotion

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

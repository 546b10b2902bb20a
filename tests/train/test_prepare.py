"""Derived clips of the prepare stage: counts, origins, splits, reproducibility; corpora and packs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from avatargpt.train.data import prepare as stage
from avatargpt.train.data.prepare import Preparation, prepare, read_corpora, read_packs
from instruct_data.sources.quantised import read_quantised
from instruct_data.store import Store
from instruct_data.text.captions import CaptionBank
from instruct_data.text.rewrites import Rewrites
from tests.train.conftest import Mini
from vqvae.errors import UserError


def test_options_out_of_range() -> None:
    for key, value in (("layered", -1), ("four", 1.5), ("keyframed_share", -0.1)):
        with pytest.raises(UserError, match=f"{key}: {value}"):
            Preparation.read({key: value}, "prepare")
    with pytest.raises(UserError, match="three 0.7 and four 0.6"):
        Preparation.read({"three": 0.7, "four": 0.6}, "prepare")


def test_every_kind_is_made_and_made_again(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {n: f for n, f in stage.families().items() if n in ("sit_down", "stand_up", "clap", "nod")}
    monkeypatch.setattr(stage, "families", lambda: few)
    texts = shared / "data/text"
    bank = CaptionBank(texts / "body_captions.json")
    rewrites = Rewrites(texts / "rewrites_train.jsonl", bank)
    clips = [c for c in read_quantised(shared / "data/body") if c.split in ("train", "val")][::25]
    options = Preparation(keyframed=3, keyframed_val=2, layered=4, styled=4, looped=4, composed=10, four=0.1, seed=5)

    first, again = (list(prepare(clips, bank, rewrites, options)) for _ in range(2))
    train = sum(c.split == "train" for c in clips)
    counts = Counter((c.source, c.split) for c in first)
    assert counts["synthetic", "train"] == 3 * len(few) and counts["synthetic", "val"] == 2 * len(few)
    assert [counts[s, "train"] for s in ("layered", "styled", "looped", "composed")] == [4, 4, 4, 10]
    assert len(first) == len(clips) + train + 5 * len(few) + 22
    assert len({c.id for c in first}) == len(first)
    assert {c.licence for c in first if c.source == "synthetic"} == {"same as the project"}
    assert {c.licence for c in first if c.source in ("layered", "styled", "looped", "composed")} == {"as its sources"}
    val = {c.id for c in first if c.split == "val"}
    assert not any(val & set(c.extra.get("parts", [])) for c in first)
    for c in first:
        assert bool(c.extra.get("prompts")) == (c.split == "train"), c.id
        assert len(c.load()) <= 240 or c.source not in ("layered", "styled", "looped", "composed")
    with_keyframed = [c for c in first if c.source == "composed" and any("-" in p for p in c.extra["parts"])]
    assert 2 <= len(with_keyframed) <= 9
    for a, b in zip(first, again, strict=True):
        assert (a.id, a.captions, a.extra) == (b.id, b.captions, b.extra)
        np.testing.assert_array_equal(a.load().rotations, b.load().rotations)


def test_packs_beside_the_corpus(tmp_path: Path) -> None:
    """Their captions and licences come along; the folder's name is the source."""
    from tests.vqvae.rigs import CONVENTIONS, GltfFile, as_rig, motion

    folder = tmp_path / "moves"
    folder.mkdir()
    GltfFile({"Walk": as_rig(motion(), CONVENTIONS["unreal"])}).save(folder / "all.glb")
    (folder / "captions.csv").write_text("animation,caption\nWalk,a person walks\n")
    clips = read_packs(None, None, str(folder))
    assert [(c.source, c.captions, c.licence) for c in clips] == [("moves", ["a person walks"], "not stated")]
    assert read_packs(None, None, None) == []


def test_corpora_are_folders_of_quantised_clips_or_stores(mini: Mini, shared: Path) -> None:
    ids = [c.id for folder in (mini.corpus, mini.store) for c in Store.open(folder).clips()]
    clips = list(read_corpora(f"{mini.corpus},{mini.store}"))
    assert [c.id for c in clips] == ids and {c.split for c in clips} == {"train", "val"}
    quantised = next(iter(read_corpora(f"{shared / 'data/body'},{mini.store}")))
    assert quantised.captions and quantised.id not in ids

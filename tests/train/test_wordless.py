"""Training clips without captions: kept for what needs no words, asked for by their action, left out of the rest."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest

from avatargpt.lm.model import AvatarGPTConfig
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.data.corpus import Folders, text_corpus
from avatargpt.train.data.examples import ExampleOptions, Examples
from instruct_data.clip import Clip
from instruct_data.mixture import Draw
from instruct_data.store import ClipCodes, Store

NAMELESS, NAMED = ("clip00", "clip04"), ("clip01", "clip02")  # walks without an action, a bow and a wave


@pytest.fixture(scope="module")
def clips(mini: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Training clips of the prepared corpus, four of whose clips have no captions."""
    corpus, store = (tmp_path_factory.mktemp("wordless") / name for name in ("corpus", "store"))
    shutil.copytree(mini.corpus, corpus)
    rows = [json.loads(line) for line in (corpus / "captions.jsonl").read_text().splitlines()]
    for row in rows:
        if row["id"] in (*NAMELESS, *NAMED):
            row["captions"] = []
        if row["id"] in NAMELESS:
            row["action"] = ""
    (corpus / "captions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    config = f"{mini.configs / 'prepare.yaml'}:debug"
    mini.run("prepare", "--corpus", corpus, "--texts", mini.texts, "--config", config, "-o", store)
    return list(Store.open(store).clips("train"))


def test_prepared_clips_are_asked_for_by_their_action(clips: list[Clip]) -> None:
    known = {c.id: c for c in clips}
    for name in NAMELESS:
        assert known[name].captions == [] and known[name].extra["prompts"] == []
    assert known["clip02_m"].extra["prompts"] == []  # the small bank has no words for the other hand
    for name, said in (("clip01", "bow"), ("clip01_m", "bow"), ("clip02", "right")):
        asked = known[name].extra["prompts"]
        assert known[name].captions == [] and len(asked) >= 2 and any(said in a.lower() for a in asked), asked
    assert not {*NAMELESS, *NAMED} & {p for c in clips for p in c.extra.get("parts", [])}


def test_streams_leave_out_what_has_no_words(mini: Any, clips: list[Clip]) -> None:
    items = [
        ClipCodes(c.id, np.arange(24).reshape(12, 2), c.captions, c.split, c.source, c.licence, c.action, extra=c.extra)
        for c in clips
    ]
    lines, pairs = text_corpus(Folders(mini.texts), items)
    assert all(target for _, target in pairs["rewrite"])
    text = TextTokenizer.train(lines, 300)
    config = AvatarGPTConfig(vocab_size=text.size, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
                             modalities={"body": {"codebook_size": 32, "levels": 2, "code_dim": 4}})  # fmt: skip
    weights = {"text_to_motion": 1.0, "motion_to_text": 1.0, "in_between": 1.0, "continuation": 1.0}
    examples = Examples(items, lines, pairs, text, config, ExampleOptions(weights=weights))
    there = {name: {i.id for i in examples.pools(name)} & {*NAMELESS, *NAMED} for name in weights}
    assert there == {"text_to_motion": {*NAMED}, "motion_to_text": set(),
                     "in_between": {*NAMELESS, *NAMED}, "continuation": {*NAMELESS, *NAMED}}  # fmt: skip
    for stream in examples.streams():
        for index in range(len(stream.classes)):
            assert len(examples.make(Draw(stream.task, index, index)).labels)

"""Captioned clips of takes, and the language model's examples of gestures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.lm.model import AvatarGPTConfig
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.data.examples import ExampleOptions, Examples
from avatargpt.train.gesture.takes import MAX_CLIP, captions, clip_spans, clips, transcript
from instruct_data.gesture.bank import keyed_strokes
from instruct_data.gesture.classes import word_classes
from instruct_data.gesture.strokes import motion_of
from instruct_data.mixture import Draw
from instruct_data.store import ClipCodes
from vqvae.features import GestureFeatures

WORDS = [("No", 0.5, 0.8), ("that", 0.8, 1.0), ("was", 1.0, 1.2), ("tiny", 1.2, 1.9), ("But", 2.8, 3.0),
         ("you", 3.0, 3.3)]  # fmt: skip


def test_clips_end_in_pauses_within_the_limit() -> None:
    assert clip_spans(WORDS, 6.0) == [(0, 6)]  # the first pause comes too early
    slow = [(w, 3 * a, 3 * b) for w, a, b in WORDS]
    assert clip_spans(slow, 12.0) == [(0, 4), (4, 6)] and clip_spans([], 3.0) == []
    endless = [("word", 0.5 * i, 0.5 * i + 0.5) for i in range(60)]
    spans = clip_spans(endless, 30.0)
    assert [a for a, _ in spans[1:]] == [b for _, b in spans[:-1]] and spans[-1][1] == 60
    assert all(endless[b - 1][2] - endless[a][1] <= MAX_CLIP for a, b in spans)


def test_transcripts_and_captions() -> None:
    assert transcript(WORDS) == "no that was tiny (0.9) but you"
    classes, rng = word_classes().classes, np.random.default_rng(0)
    assert all(kind.captions for kind in classes.values()) and captions([], word_classes(), rng) == []
    for text in captions(["beat", "negation", "size_small"], word_classes(), rng):
        first, second = text.removeprefix("a person ").split(", then ", 1)
        assert any(t.startswith(first) for t in classes["negation"].captions)
        assert not any(t in second for t in classes["beat"].captions)


@pytest.fixture(scope="module")
def items() -> list[ClipCodes]:
    turns = keyed_strokes(0, 1)[0].turns
    features = GestureFeatures().encode(motion_of(np.resize(turns, (180, *turns.shape[1:]))))
    about = {"words": WORDS, "strokes": [[30, "Negative", "negation", 0, "lr", "x"]], "speaker": "ada"}
    (clip,) = clips([("00000", features, about, "train")], word_classes(), "made", "ours")
    assert clip.extra["speech"]["text"] == transcript(WORDS) and clip.captions
    motion = clip.load()
    assert motion.fingers is not None and len(motion) == round((3.3 + 0.4 - 0.1) * 30)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 16, (len(motion) // 3, 2)).astype(np.int16)
    return [ClipCodes(clip.id, codes, clip.captions, "train", clip.source, clip.licence, clip.action,
                      frames=len(motion), fps=30.0, modality="gesture", extra=clip.extra)]  # fmt: skip


def test_examples_of_every_gesture_task(items: list[ClipCodes]) -> None:
    text = TextTokenizer.train(["no that was tiny but you", "waves it away, says no"] * 5, 300)
    config = AvatarGPTConfig(
        vocab_size=text.size, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0,
        modalities={"gesture": {"codebook_size": 16, "levels": 2, "code_dim": 4}},
    )  # fmt: skip
    options = ExampleOptions(announce=1.0, say_seconds=1.0, only_ground=0, only_words=0, unconditional=0)
    examples = Examples(items, [], {}, text, config, options, {"gesture": 10.0})
    for task, head in (("speech_to_gesture", "gesture"), ("text_to_gesture", "gesture"), ("gesture_to_text", "text")):
        assert len(examples.pools(task)) == 1
        for k in range(4):
            row = examples.make(Draw(task, 0, k))
            assert row.head == head and row.labels[-1] == config.end_id(head)
            if task == "speech_to_gesture":
                assert row.prompt.grounded and transcript(WORDS) in row.prompt.grounded
    without = [replace(item, extra={}) for item in items]
    assert Examples(without, [], {}, text, config, options, {"gesture": 10.0}).pools("speech_to_gesture") == []

"""Texts of synthetic voices, expression clips, aligned sentences, and the shares of sources."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.face.audio_model.driver import Driver
from avatargpt.metrics.face_events import count_peaks
from avatargpt.speech.audio import RATE
from avatargpt.train.speech_data import clips
from avatargpt.train.speech_data.batches import Batches, Sampling
from avatargpt.train.speech_data.expressions import counted_clips, drawn_clips
from avatargpt.train.speech_data.recordings import Sentence
from tests.factories import PHONES, speech_clip, voice
from vqvae.arkit import INDEX
from vqvae.errors import UserError


def test_utterances_have_a_sensible_length() -> None:
    lines = clips.utterances(clips.own_texts(None), np.random.default_rng(0), 50)
    assert len(set(lines)) == 50 and all(20 <= len(t) <= 110 for t in lines)
    with pytest.raises(UserError):
        clips.utterances([], np.random.default_rng(0), 3)


def test_validation_texts_do_not_depend_on_the_other_texts() -> None:
    texts = clips.own_texts(None)
    training, validation = clips.split_texts(texts)
    assert 0.03 < len(validation) / len(texts) < 0.07 and sorted(training + validation) == sorted(texts)
    assert not {" ".join(t.lower().split()) for t in training} & {" ".join(t.lower().split()) for t in validation}
    assert clips.split_texts(["x", validation[0].upper(), training[0]])[1][-1:] == [validation[0].upper()]
    with pytest.raises(UserError, match="held_out: 2; accepted up to 1"):
        options = clips.SpeechData(clips=0, held_out=2)
        next(clips.synthetic_clips(training, validation[:1], options, None))  # type: ignore[arg-type]


def test_drawn_clips_show_their_clauses() -> None:
    drawn = list(drawn_clips(6, 0, "train"))
    assert any(c.clauses for c in drawn) and any(c.feelings for c in drawn)
    for c in drawn:
        if c.clauses and not c.feelings:
            clause = c.clauses[0]
            inside = c.curves[round(clause.start * 30) : round(clause.end * 30)]
            before = c.curves[: max(1, round((clause.start - 0.3) * 30))]
            assert np.abs(inside).max() > np.abs(before).max()


def test_counted_clips_repeat_as_often_as_they_say() -> None:
    counted = list(counted_clips(30, 0, "train"))
    assert {c.clauses[0].repeat for c in counted} >= {2, 3, 4, 5} and any(len(c.clauses) == 2 for c in counted)
    assert any(c.feelings for c in counted)
    for c in counted:
        clause = next(x for x in c.clauses if x.repeat > 1)
        if len(c.clauses) > 1 or c.feelings or clause.action not in ("blink", "wink_left", "wink_right"):
            continue
        inside = c.curves[round(30 * clause.start) : round(30 * clause.end)]
        lid = inside[:, INDEX["eyeBlinkRight" if clause.action.endswith("right") else "eyeBlinkLeft"]]
        assert count_peaks(lid, 0.6 * lid.max(), 0.75 * lid.max()) == clause.repeat


def test_short_sentences_are_joined() -> None:
    def joined(*names: str) -> list[clips.AlignedSentence]:
        splits = ["val" if "val" in name else "train" for name in names]
        sentences = [clips.AlignedSentence(n, voice(2.0), list(PHONES), s) for n, s in zip(names, splits, strict=True)]
        return list(clips.joined_sentences(sentences, np.random.default_rng(0)))

    out = joined("a/fr/1", "a/fr/2", "a/fr/3", "a/fr/4", "a/es/1", "a/es/2")
    assert [s.name for s in out] == ["a/fr/1", "a/fr/4", "a/es/1"]
    long = out[0]
    assert len(long.audio) >= clips.MIN_SECONDS * RATE and len(long.phones) == 3 * len(PHONES)
    assert all(a.end <= b.start + 1e-6 for a, b in zip(long.phones, long.phones[1:], strict=False))
    at = round((long.phones[len(PHONES)].start - PHONES[0].start) * RATE)
    assert np.array_equal(long.audio[at : at + 2 * RATE], voice(2.0))
    assert [s.split for s in joined("x/1", "x/2val")] == ["train", "val"]


def test_texts_that_do_not_fit_are_left_out(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [Sentence("a/1", voice(2.0), ("AA", "P"), "train"), Sentence("a/2", voice(0.1), ("P",) * 30, "train")]
    monkeypatch.setattr(clips, "MIN_FIT", -1e9)
    assert [s.name for s in clips.aligned_sentences(sentences, driver)] == ["a/1"]
    monkeypatch.setattr(clips, "MIN_FIT", 0.0)
    assert not list(clips.aligned_sentences(sentences, driver))


def test_shares_of_sources() -> None:
    sources = ("espeak", "espeak", "espeak", "espeak", "lj", "stamps")
    cache = [speech_clip(seed=i) for i in range(6)]
    for c, source in zip(cache, sources, strict=True):
        c.name = f"{source}/x"
    weights = Batches(cache, sampling=Sampling(paired=0.0, shares={"stamps": 0.5, "lj": 0.2}))._weights[False]
    assert weights is not None
    assert weights[5] == pytest.approx(0.5) and weights[4] == pytest.approx(0.2)
    assert weights[:4].sum() == pytest.approx(0.3)
    for shares, message in (
        ({"stamps": 0.8, "lj": 0.4}, "parts of 1"), ({"nobody": 0.1}, "no clips of 'nobody'.* espeak, lj, stamps"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            Batches(cache, sampling=Sampling(shares=shares))

"""Voices built from recordings, and real recordings with their texts."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatargpt.face.audio_model.driver import Driver
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import extract
from avatargpt.speech.phone_times import with_closures, with_onsets, with_visemes
from avatargpt.speech.phones import ARPABET, INDEX, VISEMES, Phone
from avatargpt.train.speech_data import clips as relabel
from avatargpt.train.speech_data.augment import CODECS, any_coded, coded
from avatargpt.train.speech_data.batches import Batches, Sampling
from avatargpt.train.speech_data.clips import SpeechData, flite_clips
from avatargpt.train.speech_data.recordings import Spoken, stamps
from avatargpt.train.speech_data.synthesizers import Flite, phones_of
from tests.speech.conftest import PHONES, clip, voice
from vqvae.errors import UserError


def test_phones_as_flite_prints_them() -> None:
    found = phones_of("pau:0.220 dh:0.254 ax:0.304 b:0.394 el:0.5 el:0.5 pau:0.6\n")
    assert [p.name for p in found] == ["SIL", "DH", "AH", "B", "L", "SIL"]
    assert found[3] == Phone("B", 0.304, 0.394) and found[-1].end == 0.6
    for wrong in ("pau", "pau:x", "qq:0.3", "pau:0.5 b:0.4"):
        with pytest.raises(UserError, match="no phone"):
            phones_of(wrong)


@pytest.mark.skipif(shutil.which("flite") is None, reason="only building data needs flite")
def test_flite_speaks_in_time() -> None:
    flite = Flite()
    sound, rate, phones = flite.speak("Bob's map.", "slt")
    assert [p.name for p in phones if p.name != "SIL"][:3] == ["B", "AA", "B"]
    assert phones[-1].end == pytest.approx(len(sound) / rate, abs=0.2)
    slow = flite.speak("Bob's map.", "slt", 1.3)[2]
    assert slow[-1].end > 1.15 * phones[-1].end
    with pytest.raises(UserError, match="accepted: awb, rms, slt, kal16"):
        flite.speak("a", "nobody")
    options = SpeechData(flite=2)
    made, again = (list(flite_clips(["Papa made a map."], options, flite)) for _ in range(2))
    assert len(made) == 2 and all(c.source == "flite" and c.curves.max() > 0.2 for c in made)
    assert np.array_equal(made[1].features, again[1].features)


def test_without_flite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="apt install flite"):
        Flite()


def test_spoken_descriptions(tmp_path: Path) -> None:
    folder = tmp_path / "stamps" / "animals"
    folder.mkdir(parents=True)
    (folder / "cat.txt").write_text("A cat.\nfr.utf8=Un chat.\nzh_TW.utf8=貓\n", encoding="utf-8")
    for name in ("cat_desc_fr.ogg", "cat_desc.ogg", "cat_desc_zh.ogg", "cat_desc_es.ogg", "dog_desc_fr.ogg"):
        soundfile.write(folder / name, voice(0.5), RATE, format="OGG", subtype="VORBIS")
    asked = []

    def pronounce(text: str, name: str) -> tuple[str, ...]:
        asked.append((text, name))
        return ("K", "AE", "T")

    found = {s.name: s for s in stamps(tmp_path, pronounce)}
    assert sorted(asked) == [("A cat.", "en-us"), ("Un chat.", "fr")]
    assert {n: s.split for n, s in found.items()} == {"stamps/en/cat": "val", "stamps/fr/cat": "train"}
    assert len(found["stamps/fr/cat"].audio) == RATE // 2
    (folder / "ant.txt").write_text("An ant.\nfr.utf8=Une fourmi.\n", encoding="utf-8")
    shutil.copy(folder / "cat_desc_fr.ogg", folder / "ant_desc_fr.ogg")
    assert [s.name[7:9] for s in stamps(tmp_path, pronounce)] == ["en", "fr", "fr"]  # speaker by speaker
    with pytest.raises(UserError, match="no spoken descriptions"):
        next(stamps(folder / "cat.txt", pronounce))


def test_looking_alike_counts_half() -> None:
    assert sorted(p for g in VISEMES for p in g) == sorted(ARPABET)
    p = np.full((1, len(ARPABET)), 1e-6)
    p[0, INDEX["P"]] = 1.0
    seen = np.exp(with_visemes(np.log(p)))[0]
    assert seen[INDEX["P"]] == pytest.approx(1.0, abs=1e-3) and seen[INDEX["M"]] == pytest.approx(0.5, abs=1e-3)
    assert seen[INDEX["T"]] < 1e-3


def test_the_silence_before_a_burst_is_its_closure() -> None:
    heard = [Phone("SIL", 0.0, 0.5), Phone("P", 0.5, 0.53), Phone("AA", 0.53, 0.7), Phone("SIL", 0.7, 0.78),
             Phone("T", 0.78, 0.8), Phone("SIL", 0.8, 0.9), Phone("M", 0.9, 1.0)]  # fmt: skip
    found = with_closures(heard)
    assert [(p.name, round(p.start, 2), round(p.end, 2)) for p in found] == [
        ("SIL", 0.0, 0.43), ("P", 0.43, 0.53), ("AA", 0.53, 0.7), ("T", 0.7, 0.8), ("SIL", 0.8, 0.9), ("M", 0.9, 1.0),
    ]  # fmt: skip


def test_soft_sounds_after_a_pause_begin_where_the_sound_rises() -> None:
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 1e-4, RATE).astype(np.float32)
    audio[RATE // 2 :] += rng.normal(0, 0.03, RATE // 2).astype(np.float32)

    def times(phones: list[Phone]) -> list[tuple[str, float, float]]:
        return [(p.name, p.start, p.end) for p in with_onsets(phones, extract(audio, RATE))]

    heard = [Phone("SIL", 0.0, 0.58), Phone("HH", 0.58, 0.6), Phone("AH", 0.6, 0.62), Phone("L", 0.62, 0.7)]
    found = times(heard)
    start = found[0][2]
    assert start == pytest.approx(0.5, abs=0.02)  # a window of 25 ms hears it half before it ends
    middle = (start + 0.62) / 2
    assert found == [("SIL", 0.0, start), ("HH", start, middle), ("AH", middle, 0.62), ("L", 0.62, 0.7)]
    one = times([Phone("SIL", 0.0, 0.58), Phone("AA", 0.58, 0.7)])
    assert one == [("SIL", 0.0, start), ("AA", start, 0.7)]
    for same in (
        [Phone("SIL", 0.0, 0.58), Phone("P", 0.58, 0.7)],  # a closure is silent
        [Phone("SIL", 0.0, 0.05), Phone("AA", 0.05, 0.4), Phone("SIL", 0.4, 0.45), Phone("AA", 0.45, 0.7)],  # no pauses
        [Phone("SIL", 0.0, 0.3), Phone("AA", 0.3, 0.7)],  # quiet before it
    ):
        assert times(same) == [(p.name, p.start, p.end) for p in same]
    late = [Phone("SIL", 0.0, 0.9), Phone("AA", 0.9, 1.0)]
    assert times(late)[0][2] >= 0.9 - 0.12 - 1e-6


def test_short_sentences_are_put_together() -> None:
    def said(name: str, split: str = "train") -> relabel.Timed:
        return relabel.Timed(name, voice(2.0), list(PHONES), split)

    names = ["a/fr/1", "a/fr/2", "a/fr/3", "a/fr/4", "a/es/1", "a/es/2"]
    made = list(relabel.joined([said(n) for n in names], np.random.default_rng(0)))
    assert [m.name for m in made] == ["a/fr/1", "a/fr/4", "a/es/1"]
    long = made[0]
    assert len(long.audio) >= relabel.LONG * RATE and len(long.phones) == 3 * len(PHONES)
    assert all(a.end <= b.start + 1e-6 for a, b in zip(long.phones, long.phones[1:], strict=False))
    second = long.phones[len(PHONES)]
    at = round((second.start - PHONES[0].start) * RATE)
    assert np.array_equal(long.audio[at : at + 2 * RATE], voice(2.0))
    assert [m.split for m in relabel.joined([said("x/1"), said("x/2", "val")], np.random.default_rng(0))] == [
        "train", "val",
    ]  # fmt: skip


def test_texts_that_do_not_fit_are_left_out(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = [Spoken("a/1", voice(2.0), ("AA", "P"), "train"), Spoken("a/2", voice(0.1), ("P",) * 30, "train")]
    monkeypatch.setattr(relabel, "MISFIT", -1e9)
    assert [t.name for t in relabel.timed(spoken, driver)] == ["a/1"]
    monkeypatch.setattr(relabel, "MISFIT", 0.0)
    assert not list(relabel.timed(spoken, driver))


def test_sources_have_their_shares() -> None:
    clips = [clip(seed=i) for i in range(6)]
    for c, source in zip(clips, ("espeak", "espeak", "espeak", "espeak", "lj", "stamps"), strict=True):
        c.name = f"{source}/x"
    drawn = Batches(clips, sampling=Sampling(paired=0.0, shares={"stamps": 0.5, "lj": 0.2}))
    weights = drawn._weights[False]
    assert weights is not None
    assert weights[5] == pytest.approx(0.5) and weights[4] == pytest.approx(0.2)
    assert weights[:4].sum() == pytest.approx(0.3)
    with pytest.raises(UserError, match="parts of 1"):
        Batches(clips, sampling=Sampling(shares={"stamps": 0.8, "lj": 0.4}))
    with pytest.raises(UserError, match="no clips of 'nobody'.* espeak, lj, stamps"):
        Batches(clips, sampling=Sampling(shares={"nobody": 0.1}))


def test_encoders_keep_the_time() -> None:
    pytest.importorskip("av")
    sound = voice(2.0)
    for codec, (_, rates) in CODECS.items():
        heard = coded(sound, codec, rates[-1])
        assert len(heard) == len(sound) and not np.array_equal(heard, sound)
        moved = [heard[200 + k : len(heard) - 200 + k] for k in range(-64, 65)]
        lags = [float(np.corrcoef(sound[200:-200], m)[0, 1]) for m in moved]
        assert abs(int(np.argmax(lags)) - 64) <= 4 and max(lags) > 0.85
    some = [any_coded(sound[:8000], np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(some[0], some[1]) and not np.array_equal(some[0], some[2])

"""The word_times suite: onsets of words against aligned recordings, and transcripts of other recordings refused."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.face.audio_model.driver import Driver
from avatargpt.speech import alignment
from avatargpt.speech.alignment import MIN_FIT, Aligner, align, align_words, score_sound
from avatargpt.speech.audio import load, resample
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.word_files import read
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data.recordings import lj_texts
from vqvae.errors import UserError

ALIGNED = {"mfa": "mfa", "librivox": "librivox_pocketsphinx"}
"""Part of the figures -> its folder of recordings with word times."""
NOT_A_WORD = ("<unk>", "spn")


@dataclass(frozen=True)
class Timed:
    """A recording (n,) at 16 kHz with what is said, and when, where that is known."""

    name: str
    audio: np.ndarray
    text: str
    words: tuple[Word, ...] = ()


def score(
    suite: Suite, driver: Driver, data: Path | None, whisper: Path | None, parts: Parts = UNKEPT
) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``word_times``; option ``others``: how many other transcripts each recording is tried with.
        driver: whose phone head aligns.
        data: folder with aligned_speech_misc, and ljspeech_sample for `fit`.
        whisper: folder of a Whisper model for faster-whisper; None leaves its rows out.

    Raises:
        UserError: no such recordings.
    """
    timed = [] if data is None else list(_aligned(data / "aligned_speech_misc"))
    if data is None or not timed:
        raise UserError("word_times needs --data, a folder with aligned_speech_misc (recordings with word times)")
    aligners: list[Aligner] = ["network", "pocketsphinx"] if alignment.has_pocketsphinx() else ["network"]
    ways: dict[str, Callable[[Timed], Words]] = {aligner: _by(aligner, driver) for aligner in aligners}
    if whisper is not None:
        from avatargpt.speech import transcripts as recogniser

        model = recogniser.load_whisper(str(whisper), "cpu")
        ways["whisper"] = lambda one: recogniser.recognise(model, one.audio, one.name)
        ways["whisper_aligned"] = lambda one: recogniser.transcribe(one.audio, model, driver)
    results: dict[str, Any] = {}
    for way, find in ways.items():
        words_of = parts.remembering(f"words by {way}", find)
        for name, errors, missed, by_network in (_errors(one, words_of(one)) for one in timed):
            results[f"onset/{name}/{way}"] = {**plain(float(np.median(errors))), "n": len(errors)}
            results[f"onset_p90/{name}/{way}"] = {**plain(float(np.percentile(errors, 90))), "n": len(errors)}
            if missed:
                results[f"missed/{name}/{way}"] = plain(missed)
            if way != "network" and by_network:
                results[f"by_network/{name}/{way}"] = plain(by_network)
    return {"results": results | _fits(suite, driver, [*timed, *_transcribed(data)], parts)}


def _by(aligner: Aligner, driver: Driver) -> Callable[[Timed], Words]:
    return lambda one: align(one.audio, one.text, driver, aligner=aligner)


def _aligned(folder: Path) -> Iterator[Timed]:
    for part, inside in ALIGNED.items():
        for path in sorted([*(folder / inside).glob("*.TextGrid"), *(folder / inside).glob("*.phone.json")]):
            stem = path.name.partition(".")[0]
            words = tuple(w for w in read(path).words if w.text not in NOT_A_WORD)
            audio = resample(*load(path.with_name(f"{stem}.wav")))
            yield Timed(f"{part}_{stem.rpartition('-')[2]}", audio, " ".join(w.text for w in words), words)


def _transcribed(data: Path) -> Iterator[Timed]:
    folder = data / "ljspeech_sample"
    texts = lj_texts(folder) if folder.is_dir() else {}
    for path in sorted((folder / "wavs").glob("*.wav")) if texts else []:
        yield Timed(f"lj_{path.stem}", resample(*load(path)), texts[path.stem])


def _errors(one: Timed, found: Words) -> tuple[str, list[float], float, float]:
    """ms between onsets of the words that both have, the share of words that `found` lacks, and the share of words
    whose times the phone head gave where it was not asked to."""
    def plain_text(words: tuple[Word, ...]) -> list[str]:
        return ["".join(c for c in w.text.lower() if c.isalnum()) for w in words]

    same = difflib.SequenceMatcher(None, plain_text(one.words), plain_text(found.words), autojunk=False)
    pairs = [(b.a + k, b.b + k) for b in same.get_matching_blocks() for k in range(b.size)]
    errors = [1000 * abs(one.words[a].start - found.words[b].start) for a, b in pairs]
    words = found.source.partition("network for ")[2].split()
    by_network = int(words[0]) / len(found) if words else float(found.source.endswith("network"))
    return one.name, errors, 1 - len(pairs) / len(one.words), by_network


def _fits(suite: Suite, driver: Driver, recordings: list[Timed], parts: Parts) -> dict[str, Any]:
    """How well recordings fit their own transcripts and others', and how many are refused."""
    rng = np.random.default_rng(suite.seeds[0])

    def fits(one: Timed, texts: list[str]) -> list[float]:
        """How well a recording fits its own transcript, then some others."""
        heard = score_sound(driver, one.audio)
        out = [float(align_words(heard, transcript_words(one.text)).fit)]
        for text in texts:
            try:
                out.append(float(align_words(heard, transcript_words(text)).fit))
            except UserError:  # more words than there is time for
                out.append(0.0)
        return out

    fits_of = parts.remembering("fits", fits)
    own, others = [], []
    for k, one in enumerate(recordings):
        chosen = rng.permutation([j for j in range(len(recordings)) if j != k])[: int(suite.options["others"])]
        mine, *strange = fits_of(one, [recordings[j].text for j in chosen])
        own.append(mine)
        others += strange
    return {
        "fit/own": figure(own), "fit/others": figure(others), "fit_extreme/own": plain(min(own)),
        "fit_extreme/others": plain(max(others, default=float("nan"))),
        "refused/own": figure([float(f < MIN_FIT) for f in own]),
        "refused/others": figure([float(f < MIN_FIT) for f in others]),
    }  # fmt: skip

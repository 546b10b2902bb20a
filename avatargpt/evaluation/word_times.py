"""The suite `word_times`: onsets of words against aligned recordings, and transcripts of other recordings refused."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.face.audio_model.driver import Driver
from avatargpt.speech import alignment
from avatargpt.speech.alignment import MIN_FIT, Aligner, align, align_words, score_sound
from avatargpt.speech.audio import load, resample
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.word_files import read
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data.recordings import lj_texts
from vqvae.errors import UserError

# Part of the figures -> its folder of recordings with word times.
ALIGNED = {"mfa": "mfa", "librivox": "librivox_pocketsphinx"}
NOT_A_WORD = ("<unk>", "spn")


@dataclass(frozen=True)
class Timed:
    """A recording (n,) at 16 kHz with its text, and word times where they are known."""

    name: str
    audio: np.ndarray
    text: str
    words: tuple[Word, ...] = ()


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a run's driver; ``store`` is the folder of a Whisper model."""
    return score(run.suite, Driver.load(Path(run.model.source) / "driver"), run.data, run.store, run.cache)


def score(
    suite: Suite, driver: Driver, data: Path | None, whisper: Path | None, cache: AnswerCache = NO_CACHE
) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``word_times``; option ``others``: how many other transcripts each recording is tried with.
        driver: whose phone head aligns.
        data: folder with aligned_speech_misc, and ljspeech_sample for `fit`.
        whisper: folder of a Whisper model for faster-whisper; None leaves its rows out.
    """
    timed = [] if data is None else list(_aligned(data / "aligned_speech_misc"))
    if data is None or not timed:
        raise UserError("word_times needs --data, a folder with aligned_speech_misc (recordings with word times)")
    aligners: list[Aligner] = ["network", "pocketsphinx"] if alignment.has_pocketsphinx() else ["network"]
    ways: dict[str, Callable[[Timed], Words]] = {aligner: _by(aligner, driver) for aligner in aligners}
    if whisper is not None:
        from avatargpt.speech import transcripts as recogniser

        model = recogniser.load_whisper(str(whisper), "cpu")
        ways["whisper"] = lambda recording: recogniser.recognise(model, recording.audio, recording.name)
        ways["whisper_aligned"] = lambda recording: recogniser.transcribe(recording.audio, model, driver)
    results: dict[str, Any] = {}
    for way, find in ways.items():
        words_of = cache.wrap(f"words by {way}", find)
        for name, errors, missed, by_network in (_errors(recording, words_of(recording)) for recording in timed):
            results[f"onset/{name}/{way}"] = {**plain(float(np.median(errors))), "n": len(errors)}
            results[f"onset_p90/{name}/{way}"] = {**plain(float(np.percentile(errors, 90))), "n": len(errors)}
            if missed:
                results[f"missed/{name}/{way}"] = plain(missed)
            if way != "network" and by_network:
                results[f"by_network/{name}/{way}"] = plain(by_network)
    return {"results": results | _fits(suite, driver, [*timed, *_transcribed(data)], cache)}


def _by(aligner: Aligner, driver: Driver) -> Callable[[Timed], Words]:
    return lambda recording: align(recording.audio, recording.text, driver, aligner=aligner)


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


# Name, differences of onsets in ms, share of words missing, and share of words timed by the phone head instead.
def _errors(recording: Timed, result: Words) -> tuple[str, list[float], float, float]:
    def plain_text(words: tuple[Word, ...]) -> list[str]:
        return ["".join(c for c in w.text.lower() if c.isalnum()) for w in words]

    # Whisper may hear other words: only common ones have comparable onsets.
    matcher = difflib.SequenceMatcher(None, plain_text(recording.words), plain_text(result.words), autojunk=False)
    pairs = [(b.a + k, b.b + k) for b in matcher.get_matching_blocks() for k in range(b.size)]
    errors = [1000 * abs(recording.words[a].start - result.words[b].start) for a, b in pairs]
    count = result.source.partition("network for ")[2].split()
    by_network = int(count[0]) / len(result) if count else float(result.source.endswith("network"))
    return recording.name, errors, 1 - len(pairs) / len(recording.words), by_network


# How well recordings fit their transcripts and those of other recordings, and how many are refused.
def _fits(suite: Suite, driver: Driver, recordings: list[Timed], cache: AnswerCache) -> dict[str, Any]:
    rng = np.random.default_rng(suite.seeds[0])

    def fits(recording: Timed, texts: list[str]) -> list[float]:
        posteriors = score_sound(driver, recording.audio)
        out = [float(align_words(posteriors, transcript_words(recording.text)).fit)]
        for text in texts:
            try:
                out.append(float(align_words(posteriors, transcript_words(text)).fit))
            except UserError:  # more words than there is time for
                out.append(0.0)
        return out

    fits_of = cache.wrap("fits", fits)
    matching, strange = [], []
    for k, recording in enumerate(recordings):
        chosen = rng.permutation([j for j in range(len(recordings)) if j != k])[: int(suite.options["others"])]
        fit, *fits_of_others = fits_of(recording, [recordings[j].text for j in chosen])
        matching.append(fit)
        strange += fits_of_others
    return {
        "fit/own": figure(matching), "fit/others": figure(strange), "fit_extreme/own": plain(min(matching)),
        "fit_extreme/others": plain(max(strange, default=float("nan"))),
        "refused/own": figure([float(f < MIN_FIT) for f in matching]),
        "refused/others": figure([float(f < MIN_FIT) for f in strange]),
    }  # fmt: skip

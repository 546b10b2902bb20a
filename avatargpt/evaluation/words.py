"""The suites `word_times` (onsets of words, transcripts refused) and `gesture_words` (words that get a gesture)."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite, folder
from avatargpt.face.audio_model.driver import Driver
from avatargpt.gesture.bank import GestureBank
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.gesture.semantics import ClassGuesser, Manner, packaged_guesser, stress_time
from avatargpt.speech import alignment
from avatargpt.speech.alignment import MIN_FIT, Aligner, align, align_words, score_sound
from avatargpt.speech.audio import RATE, load, resample
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.word_files import read
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data.recordings import lj_texts
from instruct_data.gesture.plan import MARKS, WordClasses, word_classes
from instruct_data.gesture.strokes import FPS, HAND, SIDES, turns_of, wrists
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.motion import Motion

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


GUESSES, SENTENCES = "gesture_guesses.jsonl", "gesture_words.jsonl"
LEAD, TAIL = 1.5, 1.0  # s of silence before and after: hands set out before a word
# Row -> share of words that get a gesture of the bank.
ROWS = {"words on": None, "network alone": 0.0, "words off": None}
BEFORE, AFTER = 10, 5  # frames of a stroke about its emphasis that are compared
WITHIN = 0.3  # s about the time in which a gesture counts
FINGERS = 0.1  # m that count as much as one radian of the mean finger


@dataclass(frozen=True, eq=False)
class _Track:
    """Where hands are, (T, 2, 3) m from the chest, and how fingers are bent, (T, 2, 15, 3) radians."""

    hands: np.ndarray
    bent: np.ndarray

    @classmethod
    def of(cls, turns: np.ndarray) -> _Track:
        return cls(wrists(turns), np.stack([rot.to_axis_angle(turns[:, HAND[s]]) for s in SIDES], 1))

    def cut(self, first: int, stop: int) -> _Track:
        """Frames [first, stop), ends held."""
        at = np.clip(np.arange(first, stop), 0, len(self.hands) - 1)
        return _Track(self.hands[at], self.bent[at])


class StrokeMatcher:
    """Compares motions with every stroke of a bank and its mirror image."""

    def __init__(self, bank: GestureBank) -> None:
        self._strokes: list[tuple[str, tuple[int, ...], _Track]] = []
        for name in bank.names:
            for s in bank.strokes(name):
                part = _Track.of(s.turns).cut(s.emphasis - BEFORE, s.emphasis + AFTER + 1)
                self._strokes.append((name, tuple(SIDES.index(x) for x in s.sides), part))

    def nearest(self, motion: Motion, seconds: float) -> str:
        """The gesture whose stroke is nearest to what hands do about a time."""
        track = _Track.of(turns_of(motion.resampled(FPS)))
        centre, tolerance = round(seconds * FPS), round(WITHIN * FPS)
        best = (np.inf, "")
        for shift in range(-tolerance, tolerance + 1):
            window = track.cut(centre + shift - BEFORE, centre + shift + AFTER + 1)
            for name, sides, part in self._strokes:
                hands = np.linalg.norm(window.hands[:, sides] - part.hands[:, sides], axis=-1).mean()
                # Fingers are costly to compare; wrists alone already exclude most strokes.
                if hands >= best[0]:
                    continue
                bent = np.linalg.norm(window.bent[:, sides] - part.bent[:, sides], axis=-1).mean()
                best = min(best, (float(hands + FINGERS * bent), name))
        return best[1]


def guesses(path: Path, guess: ClassGuesser | None = None, classes: WordClasses | None = None) -> dict[str, Any]:
    """Precision over words with a guessed class, recall over words with a class, false guesses over words without.

    Args:
        path: rows of a ``word``, a ``text`` that has it, and its ``class``, empty = none.
        guess, classes: default: those of run time.
    """
    table, guess = classes or word_classes(), guess or packaged_guesser()
    right: list[bool] = []
    recall: list[bool] = []
    false: list[bool] = []
    for line, row in json_rows(path):
        word, accepted = row["word"], row["class"]
        if (word,) in table.words or (accepted and accepted not in table.classes):
            raise UserError(f"{path}: line {line}: {word}, {accepted or 'none'}; accepted: a word that the table "
                            "lacks, with a class of it or none")  # fmt: skip
        guess_class = guess(word)
        if guess_class:
            right.append(guess_class == accepted)
        (recall if accepted else false).append(guess_class == accepted if accepted else bool(guess_class))
    return {
        "guess_precision": figure(np.array(right, float)), "guess_recall": figure(np.array(recall, float)),
        "guess_false": figure(np.array(false, float)),
    }  # fmt: skip


def evaluate_gestures(run: Run) -> dict[str, Any]:
    """The suite on a run's gesture network and bank."""
    return score_gestures(run.suite, run.model.source, run.cache)


def score_gestures(suite: Suite, model: str | Path, cache: AnswerCache = NO_CACHE) -> dict[str, Any]:
    """Share of the sentences whose gesture is performed, with words and without; and the scores of guesses.

    espeak-ng speaks them, so that times are exact. A gesture belongs to all classes of the table that ask for it.
    """
    from avatargpt.train.gesture.talks import Voices

    performer = GesturePipeline.load(model)
    if performer.bank is None:
        raise UserError(f"{model}: no bank of gestures; accepted: a model folder with one")
    matcher, classes = StrokeMatcher(performer.bank), word_classes().classes
    perform = cache.wrap("perform", performer.perform)
    voices, rows = Voices(0.0), list(json_rows(folder() / SENTENCES))
    hits: dict[str, list[bool]] = {name: [] for name in ROWS}
    chance = []
    for number, (_, row) in enumerate(rows):
        rng = np.random.default_rng([suite.seeds[0], 75, number])
        speech = voices.voice(rng).say(row["text"], rng)
        words = speech.words.words
        at = next(k for k, w in enumerate(words) if w.text.strip(MARKS).lower() == row["word"].lower())
        # Hands start before a word and end after it.
        audio = np.concatenate([np.zeros(round(LEAD * RATE), np.float32), speech.audio,
                                np.zeros(round(TAIL * RATE), np.float32)])  # fmt: skip
        shifted = [_later(w, LEAD) for w in words]
        accepted = set(classes[row["class"]].gestures)
        for name, share in ROWS.items():
            manner = Manner(semantic=share)
            timed_words = None if name == "words off" else shifted
            motion = perform(audio, RATE, timed_words, semantics=manner, seed=suite.seeds[0])
            hits[name].append(matcher.nearest(motion, stress_time(shifted[at])) in accepted)
        gestures = [classes[r["class"]].gestures for _, r in rows]
        chance.append(float(np.mean([bool(accepted & set(g)) for g in gestures])))
    results: dict[str, Any] = {f"shown/{name}": figure(np.array(v, float)) for name, v in hits.items()}
    results["shown/chance"] = figure(chance)
    return {"sentences": len(rows), "results": results | guesses(folder() / GUESSES), "misses": json.loads(json.dumps(
        [rows[k][1]["text"] for k, hit in enumerate(hits["words on"]) if not hit]))}  # fmt: skip


def _later(word: Any, seconds: float) -> Any:
    phones = tuple(replace(p, start=p.start + seconds, end=p.end + seconds) for p in word.phones)
    return replace(word, start=word.start + seconds, end=word.end + seconds, phones=phones)

"""The suites `word_times` (onsets of words, refused transcripts), `gesture_words` and `speech_face`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.evaluation.cache import NO_CACHE, RunCache
from avatargpt.evaluation.face_distances import measure_recordings
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite, folder
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.visemes import viseme_curves
from avatargpt.gesture.features import stress_time
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.gesture.semantics import ClassGuesser, GestureBank, Manner, load_guesser
from avatargpt.metrics import face as metrics
from avatargpt.speech import alignment
from avatargpt.speech.alignment import MIN_FIT, Aligner, align, align_words, score_sound
from avatargpt.speech.audio import FPS, RATE, frames_in, load, resample
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS
from avatargpt.speech.phone_times import align_phones, spectral_changes
from avatargpt.speech.phones import Phone
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.word_files import read
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data.augment import noise
from avatargpt.train.speech_data.clips import SOUNDS, loudness
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.corpus import load as load_clips
from avatargpt.train.speech_data.recordings import (
    CHOSEN_ON,
    lj_sentences,
    lj_texts,
    load_paired_clips,
    load_timed_speech,
)
from instruct_data.gesture.plan import MARKS, WordClasses, word_classes
from instruct_data.gesture.strokes import HAND, SIDES, turns_of, wrists
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


def evaluate_words(run: Run) -> dict[str, Any]:
    """The suite `word_times` on a run's driver; ``store`` is the folder of a Whisper model."""
    driver, data, timed = Driver.load(Path(run.model.source) / "driver"), run.data, []
    parts = {} if data is None else {part: data / "aligned_speech_misc" / inside for part, inside in ALIGNED.items()}
    for part, place in parts.items():
        for path in sorted([*place.glob("*.TextGrid"), *place.glob("*.phone.json")]):
            stem = path.name.partition(".")[0]
            words = tuple(w for w in read(path).words if w.text not in NOT_A_WORD)
            audio = resample(*load(path.with_name(f"{stem}.wav")))
            timed.append(Timed(f"{part}_{stem.rpartition('-')[2]}", audio, " ".join(w.text for w in words), words))
    if data is None or not timed:
        raise UserError("word_times needs --data, a folder with aligned_speech_misc (recordings with word times)")
    aligners: list[Aligner] = ["network", "pocketsphinx"] if alignment.has_pocketsphinx() else ["network"]
    ways: dict[str, Callable[[Timed], Words]] = {
        aligner: partial(lambda how, recording: align(recording.audio, recording.text, driver, aligner=how), aligner)
        for aligner in aligners
    }  # fmt: skip
    if run.store is not None:
        from avatargpt.speech import transcripts as recogniser

        model = recogniser.load_whisper(str(run.store), "cpu")
        ways["whisper"] = lambda recording: recogniser.recognise(model, recording.audio, recording.name)
        ways["whisper_aligned"] = lambda recording: recogniser.transcribe(recording.audio, model, driver)
    results: dict[str, Any] = {}
    for way, find in ways.items():
        words_of = run.cache.wrap(f"words by {way}", find)
        for name, errors, missed, by_network in (_errors(recording, words_of(recording)) for recording in timed):
            results[f"onset/{name}/{way}"] = {**plain(float(np.median(errors))), "n": len(errors)}
            results[f"onset_p90/{name}/{way}"] = {**plain(float(np.percentile(errors, 90))), "n": len(errors)}
            if missed:
                results[f"missed/{name}/{way}"] = plain(missed)
            if way != "network" and by_network:
                results[f"by_network/{name}/{way}"] = plain(by_network)
    sample = data / "ljspeech_sample"
    texts = lj_texts(sample) if sample.is_dir() else {}
    for path in sorted((sample / "wavs").glob("*.wav")) if texts else []:
        timed.append(Timed(f"lj_{path.stem}", resample(*load(path)), texts[path.stem]))
    return {"results": results | _fits(run.suite, driver, timed, run.cache)}


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
def _fits(suite: Suite, driver: Driver, recordings: list[Timed], cache: RunCache) -> dict[str, Any]:
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
class _HandTrack:
    """Where hands are, (T, 2, 3) m from the chest, and how fingers are bent, (T, 2, 15, 3) radians."""

    hands: np.ndarray
    bent: np.ndarray

    @classmethod
    def of(cls, turns: np.ndarray) -> _HandTrack:
        return cls(wrists(turns), np.stack([rot.to_axis_angle(turns[:, HAND[s]]) for s in SIDES], 1))

    def cut(self, first: int, stop: int) -> _HandTrack:
        """Frames [first, stop), ends held."""
        at = np.clip(np.arange(first, stop), 0, len(self.hands) - 1)
        return _HandTrack(self.hands[at], self.bent[at])


class StrokeMatcher:
    """Compares motions with every stroke of a bank and its mirror image."""

    def __init__(self, bank: GestureBank) -> None:
        self._strokes: list[tuple[str, tuple[int, ...], _HandTrack]] = []
        for name in bank.names:
            for s in bank.strokes(name):
                part = _HandTrack.of(s.turns).cut(s.emphasis - BEFORE, s.emphasis + AFTER + 1)
                self._strokes.append((name, tuple(SIDES.index(x) for x in s.sides), part))

    def nearest(self, motion: Motion, seconds: float) -> str:
        """The gesture whose stroke is nearest to what hands do about a time."""
        track = _HandTrack.of(turns_of(motion.resampled(FPS)))
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
    """Precision over words with a guessed class, recall over words with a class, false guesses over words without."""
    table, guess = classes or word_classes(), guess or load_guesser()
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
    """The suite `gesture_words`: share of the sentences whose gesture is performed, with words and without; and the
    scores of guesses.

    espeak-ng speaks them, so that times are exact. A gesture belongs to all classes of the table that ask for it.
    """
    from avatargpt.train.gesture.talks import Voices

    suite, performer = run.suite, GesturePipeline.load(run.model.source)
    if performer.bank is None:
        raise UserError(f"{run.model.source}: no bank of gestures; accepted: a model folder with one")
    matcher, classes = StrokeMatcher(performer.bank), word_classes().classes
    perform = run.cache.wrap("perform", performer.perform)
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
        shifted = [replace(w, start=w.start + LEAD, end=w.end + LEAD, phones=tuple(
            replace(p, start=p.start + LEAD, end=p.end + LEAD) for p in w.phones)) for w in words]  # fmt: skip
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
    return {"sentences": len(rows), "results": results | guesses(folder() / GUESSES), 
            "misses": [rows[k][1]["text"] for k, hit in enumerate(hits["words on"]) if not hit]}  # fmt: skip


# The suite `speech_face`: lips against phones, silence, onsets, drift, and recorded faces against two baselines.

RIDGE, CONTEXT = 300.0, (-4, 2)  # penalty, frames before and after
MOVED, EACH_SOUND = 0.05, 6  # weight from which a mouth visibly moves; clips of each kind of sound
NOISES = 14  # of each colour
MIN_ROUNDING = 0.02  # standard deviation of the teacher's rounding below which there is nothing to correlate with


# (T, 55) curves, the times of phones, and the teacher's (T, 55) curves.
Spoken = tuple[np.ndarray, list[Phone], np.ndarray]


def evaluate_face(run: Run) -> dict[str, Any]:
    """The suite on a run's driver."""
    driver = run.cache.wrap_model(Driver.load(Path(run.model.source) / "driver"), "drive")
    return score_face(run.suite, driver, run.data, run.store, run.cache)


def score_face(
    suite: Suite, driver: Driver, data: Path | None, store: Path | None, cache: RunCache = NO_CACHE
) -> dict[str, Any]:
    """All figures.

    Args:
        data: folder with facegood, aligned_speech_misc, ljspeech_sample; parts that are missing are left out.
        store: a cache of the speech stage, for held-out synthetic voices; None leaves them out.
    """
    from avatargpt.train.speech_data.validation import predict

    results: dict[str, Any] = {}
    if store is not None:
        clips = [c for c in load_clips(store) if c.split == "val" and c.kind == "taught"]
        for source in dict.fromkeys(c.source for c in clips):
            results |= lips(source, [
                (predict(driver.network, c.features, torch.device("cpu")), [Phone(*p) for p in c.phone_times],
                 c.curves.astype(np.float32)) for c in clips if c.source == source
            ])  # fmt: skip
    if data is not None:
        results |= _real(driver, data, cache)
        if (data / "facegood").is_dir():
            results |= score_recorded_faces(driver, list(load_paired_clips(data / "facegood")))
    if not results:
        raise UserError("speech_face needs --data (a folder with real speech) or --store (a cache of speech data)")
    results |= _still(driver) | _sounds(driver)
    cached_drift = cache.wrap("drift", lambda minutes: drift(driver, minutes))
    results["drift"] = plain(cached_drift(float(suite.options.get("drift_minutes", 60))))
    return {"results": results}


def _drive_spoken(driver: Driver, audio: np.ndarray, phones: list[Phone]) -> Spoken:
    motion = driver.drive(audio, RATE)
    frames = frames_in(len(audio), RATE)
    taught = viseme_curves(phones, frames, loudness(audio, frames))
    return motion.curves, phones, taught.curves


def lips(source: str, clips: list[Spoken]) -> dict[str, Any]:
    """Lips against phones, ``FIGURE/source``."""
    measured, r, jaw = metrics.Lips(), [], []
    for curves, phones, taught in clips:
        measured.add(curves, phones, taught)
        rounded = metrics.measure_rounding(taught)
        if rounded.std() >= MIN_ROUNDING:
            r.append(metrics.correlation(metrics.measure_rounding(curves), rounded))
        jaw.append(metrics.correlation(metrics.channel(curves, "jawOpen"), metrics.channel(taught, "jawOpen")))
    values = {
        "closure": measured.closure, "false_closure_vowel": measured.closure_vowel,
        "false_closure_consonant": measured.closure_consonant, "contact": measured.contact,
        "false_contact_vowel": measured.contact_vowel, "false_contact_consonant": measured.contact_consonant,
        "open_vowels": measured.opened, "rounding": r, "jaw": jaw, "silence": measured.silence,
    }  # fmt: skip
    out = {f"{name}/{source}": figure(v) for name, v in values.items() if len(v)}
    for name, lags in (("onset_lag", measured.onset), ("closure_lag", measured.closure_lag)):
        if lags:
            out[f"{name}/{source}"] = {**plain(float(np.median(lags))), "n": len(lags)}  # the median
    return out


def _real(driver: Driver, data: Path, cache: RunCache) -> dict[str, Any]:
    lay = cache.wrap("aligned", lambda audio, phones: list(align_phones(driver, audio, phones)[0]))
    out: dict[str, Any] = {}
    librivox = data / "aligned_speech_misc" / "librivox_pocketsphinx"
    if librivox.is_dir():
        read = [(audio, phones) for _, audio, phones in load_timed_speech(librivox)]
        again = [(audio, lay(audio, [p.name for p in phones])) for audio, phones in read]
        for source, timed in (("librivox", read), ("librivox_aligned", again)):
            out |= lips(source, [_drive_spoken(driver, audio, phones) for audio, phones in timed])
            out[f"change/{source}"] = figure([v for audio, phones in timed for v in spectral_changes(audio, phones)])
    if (data / "ljspeech_sample").is_dir():
        clips = []
        for sentence in lj_sentences(data / "ljspeech_sample"):
            if sentence.split == "val":
                clips.append(_drive_spoken(driver, sentence.audio, lay(sentence.audio, list(sentence.phones))))
        out |= lips("lj", clips)
    return out


# Largest mouth channel over 10 s of silence and of noise at -30 dB full scale, from 150 ms on.
def _still(driver: Driver) -> dict[str, Any]:
    rng, level = np.random.default_rng(0), np.float32(10 ** (-30 / 20))
    sounds = {"silence": [np.zeros(10 * RATE, np.float32)]}
    sounds["noise"] = [noise(10 * RATE, rng, slope) * level for _ in range(NOISES) for slope in (0.0, 1.0, 2.0)]
    # The mouth may settle before it counts as moving.
    first = round(metrics.SETTLE * FPS)
    return {
        f"still/{name}{'' if head == 'rule' else '_paired'}": figure(
            [float(driver.drive(x, head=head).weights[first:, metrics.MOUTH].max()) for x in clips]
        )
        for name, clips in sounds.items()
        for head in driver.heads
    }  # fmt: skip


# Share of frames in which a mouth channel passes `MOVED` during sounds of keys, knocks, breath and the like.
def _sounds(driver: Driver) -> dict[str, Any]:
    first, out = round(metrics.SETTLE * FPS), {}
    for number, kind in enumerate(SOUNDS):
        moved: list[float] = []
        for i in range(EACH_SOUND):
            rng = np.random.default_rng([12, number, i])
            sound = kind(10.0, rng)
            sound = sound / np.abs(sound).max() * 10 ** (-float(rng.uniform(3, 25)) / 20)
            sound = sound + noise(len(sound), rng) * 10 ** (-55 / 20)
            weights = driver.drive(np.asarray(sound, np.float32)).weights[first:, metrics.MOUTH]
            moved += (weights.max(1) > MOVED).astype(float).tolist()
        out[f"moved/{kind.__name__}"] = figure(moved)
    return out | {"moved": plain(float(np.mean([row["mean"] for row in out.values()])))}


def drift(driver: Driver, minutes: float) -> float:
    """ms between the frames for a phrase at the start of a long stream and for the same phrase at its end."""
    rng = np.random.default_rng(1)
    t = np.arange(10 * 44_100) / 44_100
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t + 2 * np.sin(2 * np.pi * 0.4 * t)), 0, 1)
    phrase = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 20)) * syllables * 0.05
    phrase = np.asarray(phrase + 1e-4 * rng.standard_normal(len(t)), np.float32)
    stream = driver.stream(44_100)
    rounds = max(3, round(minutes * 6))
    curves = [stream.push(phrase) for _ in range(rounds)]
    every = np.concatenate([*curves, stream.finish()])
    early, late = every[300:600], every[(rounds - 1) * 300 :][:300]
    moving = int(early.std(0).argmax())  # usually jawOpen
    return metrics.best_lag(late[:, moving], early[:, moving])


def score_recorded_faces(driver: Driver, clips: list[SpeechClip]) -> dict[str, Any]:
    """Correlation and amplitude (ratio of standard deviations) on held-out recorded pairs, beside two baselines:
    log energy alone, and ridge regression from the features around a frame, fitted to the training pairs; and the
    distances of `measure_recordings`. Parts of takes on which numbers were chosen (`CHOSEN_ON`) do not count.
    """
    from avatargpt.train.speech_data.validation import as_recorded, predict

    held_out, training = [c for c in clips if c.split == "val"], [c for c in clips if c.split == "train"]
    heads = {"paired": [as_recorded(driver, c.features) for c in held_out]} if "recorded" in driver.heads else {}
    heads["taught"] = [predict(driver.network, c.features, torch.device("cpu")) for c in held_out]
    x = np.concatenate([_around(c.features) for c in training])
    y = np.concatenate([metrics.movements(c.curves) for c in training])
    mean, std = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / std
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean(0)))
    out: dict[str, Any] = {}
    for k, name in enumerate(("jaw", "rounding", "press")):
        values: dict[str, list[float]] = {}
        for i, clip in enumerate(held_out):
            first = round(CHOSEN_ON.get((clip.name.rpartition("/")[2], name), 0.0) * len(clip))
            real = metrics.movements(clip.curves)[first:, k]
            if real.std() < 0.01:
                continue
            predictions = {head: metrics.movements(heads[head][i])[:, k] for head in heads}
            predictions["ridge"] = ((_around(clip.features) - mean) / std @ weights + y.mean(0))[:, k]
            predictions["log_energy"] = _quarters(clip.features)[:, BANDS]
            for who, prediction in predictions.items():
                curve = prediction[first:]
                values.setdefault(f"paired_{name}/{who}", []).append(metrics.correlation(curve, real))
                if who != "log_energy":
                    ratio = float(curve.std() / real.std())
                    values.setdefault(f"paired_{name}_amplitude/{who}", []).append(ratio)
        out |= {key: figure(v) for key, v in values.items()}
    begin = [round(max((v for (take, _), v in CHOSEN_ON.items() if take == c.name.rpartition("/")[2]), default=0.0)
                   * len(c)) for c in held_out]  # fmt: skip
    faces = {head: [x[i:] for x, i in zip(takes, begin, strict=True)] for head, takes in heads.items()}
    recorded = [c.curves[i:] for c, i in zip(held_out, begin, strict=True)]
    return out | measure_recordings(faces, recorded, [c.curves for c in training])


# (T, 332) -> (T, 83) means over the quarter frames.
def _quarters(features: np.ndarray) -> np.ndarray:
    return np.asarray(features.astype(np.float64).reshape(len(features), QUARTERS, PER_QUARTER).mean(1))


def _around(features: np.ndarray) -> np.ndarray:
    rows = _quarters(features)
    padded = np.pad(rows, ((-CONTEXT[0], CONTEXT[1]), (0, 0)), mode="edge")
    width = CONTEXT[1] - CONTEXT[0] + 1
    return np.concatenate([padded[i : i + len(rows)] for i in range(width)], 1)

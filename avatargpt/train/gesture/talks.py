"""Talks of the gesture corpus: configuration, voices, monologues and conversations, files of the validation split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import model_validator

from avatargpt.face.audio_model.driver import Driver
from avatargpt.gesture.features import SENTENCE
from avatargpt.resources import weights
from avatargpt.speech import word_files
from avatargpt.speech.alignment import align
from avatargpt.speech.audio import FPS, RATE, load, resample
from avatargpt.speech.phones import VOWELS, Phone
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.words import Word, Words, check_words
from avatargpt.train.speech_data.augment import simulate_recording
from avatargpt.train.speech_data.clips import BASES, VARIANTS
from avatargpt.train.speech_data.recordings import lj_texts
from avatargpt.train.speech_data.synthesizers import VOICES, Espeak, Flite
from instruct_data.gesture.plan import Style, sentences
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.io.data_files import read_object
from vqvae.motion import atomic_write
from vqvae.strict import NonNegativeInt, Rate, Share, Strict

ENGLISH = tuple(b for b in BASES if b.startswith(("en", "gmw")))
MARGIN = 0.02  # s of silence before and after an utterance
LEVEL = 0.08  # RMS of an utterance
GAP_COST = 0.7  # of an inserted or missing phone
SAME_KIND_COST, SUBSTITUTION_COST = 0.5, 1.2  # of a substituted phone: vowel for vowel or consonant for consonant; else
MAX_MEAN_COST = 0.45  # above it the phones are not those of the text


def words_from_phones(text: str, phones: Sequence[Phone], seconds: float, source: str) -> Words:
    """The words of a text from its phones as spoken, each with its phones and their stress.

    The dictionary's phones are aligned to the spoken ones at minimum cost (Wagner and Fischer 1974). Words without a
    phone are left out.
    """
    entries = transcript_words(text)
    expected = [(p, k) for k, entry in enumerate(entries) for p in entry.pronunciations[0]]
    voiced = [p for p in phones if p.name != "SIL"]
    pairs, cost = _align([p.rstrip("012") for p, _ in expected], [p.name for p in voiced])
    if not voiced or cost > MAX_MEAN_COST * max(len(expected), len(voiced)):
        raise UserError(f"{text[:40]!r}: the phones of its sound are not its own")
    by_word: dict[int, list[Phone]] = {}
    word = 0
    for phone, at in zip(voiced, pairs, strict=True):
        mark = expected[at][0][-1] if at >= 0 else ""
        word = expected[at][1] if at >= 0 else word
        stress = int(mark) if mark.isdigit() and phone.name in VOWELS else None
        by_word.setdefault(word, []).append(Phone(phone.name, phone.start, min(phone.end, seconds), stress))
    words = [Word(entries[k].text, ps[0].start, ps[-1].end, tuple(ps)) for k, ps in sorted(by_word.items())]
    return Words(tuple(words), seconds, source)


def _align(expected: Sequence[str], actual: Sequence[str]) -> tuple[list[int], float]:
    # For each actual phone the number of the expected one, -1 = none; and the total cost.
    n, m = len(expected), len(actual)
    cost = np.zeros((n + 1, m + 1))
    cost[:, 0], cost[0] = GAP_COST * np.arange(n + 1), GAP_COST * np.arange(m + 1)
    vowel = [p in VOWELS for p in actual]

    def substitution(i: int, j: int) -> float:
        if expected[i] == actual[j]:
            return 0.0
        return SAME_KIND_COST if (expected[i] in VOWELS) == vowel[j] else SUBSTITUTION_COST

    for i in range(n):
        for j in range(m):
            cost[i + 1, j + 1] = min(
                cost[i, j] + substitution(i, j), cost[i, j + 1] + GAP_COST, cost[i + 1, j] + GAP_COST
            )
    pairs = [-1] * m
    i, j = n, m
    while j:
        if i and np.isclose(cost[i, j], cost[i - 1, j - 1] + substitution(i - 1, j - 1)):
            pairs[j - 1] = i - 1
            i, j = i - 1, j - 1
        elif np.isclose(cost[i, j], cost[i, j - 1] + GAP_COST):
            j -= 1
        else:
            i -= 1
    return pairs, float(cost[n, m])


@dataclass(frozen=True, eq=False)
class Utterance:
    """Sound, (n,) float32 at 16 kHz without silence around it, and its words."""

    audio: np.ndarray
    words: Words

    @property
    def seconds(self) -> float:
        return len(self.audio) / RATE


class Voices:
    """Synthetic voices; one instance per process, as espeak-ng keeps global state."""

    def __init__(self, flite: float) -> None:
        self.espeak, self._share = Espeak(), flite
        self.flite = Flite() if flite > 0 else None

    def voice(self, rng: np.random.Generator) -> Voice:
        """A random voice with a constant speed and pitch."""
        if self.flite is not None and rng.random() < self._share:
            pitch = float(rng.uniform(85, 220)) if rng.random() < 0.6 else None
            return Voice(self, str(VOICES[int(rng.integers(len(VOICES)))]), float(rng.uniform(0.85, 1.25)), pitch)
        name = f"{ENGLISH[int(rng.integers(len(ENGLISH)))]}+{VARIANTS[int(rng.integers(len(VARIANTS)))]}"
        return Voice(self, name, float(rng.uniform(130, 205)), float(rng.uniform(25, 75)))


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice; `speed` in words a minute (espeak-ng) or as a stretch of durations (flite)."""

    of: Voices
    name: str
    speed: float
    pitch: float | None

    def say(self, text: str, rng: np.random.Generator) -> Utterance:
        """An utterance at a random level."""
        level = float(rng.uniform(0.3, 1.5))
        if self.name in ENGLISH or "+" in self.name:
            speed, pitch, span = int(self.speed), int(self.pitch or 50), int(np.clip(30 + 40 * level, 0, 99))
            (audio, phones), rate = self.of.espeak.speak(text, self.name, speed, pitch, span), self.of.espeak.rate
        else:
            assert self.of.flite is not None
            audio, rate, phones = self.of.flite.speak(text, self.name, self.speed, self.pitch)
        sound = resample(audio, rate)
        words = words_from_phones(text, phones, len(sound) / RATE, self.name.split("+")[0])
        return normalise_level(trim_utterance(Utterance(sound, words)), level)


def trim_utterance(utterance: Utterance) -> Utterance:
    """Without the silence before the first word and after the last, except for `MARGIN`."""
    words = utterance.words.words
    start = max(0, round((words[0].start - MARGIN) * RATE))
    stop = min(len(utterance.audio), round((words[-1].end + MARGIN) * RATE))
    return Utterance(utterance.audio[start:stop], shift_words(utterance.words, -start / RATE, (stop - start) / RATE))


def normalise_level(utterance: Utterance, level: float) -> Utterance:
    """At `level` times the usual RMS."""
    rms = float(np.sqrt(np.mean(utterance.audio.astype(np.float64) ** 2))) + 1e-9
    return replace(utterance, audio=np.clip(utterance.audio * (LEVEL * level / rms), -1, 1).astype(np.float32))


def shift_words(words: Words, by: float, seconds: float) -> Words:
    """The same words `by` seconds later, in a sound of `seconds`."""
    def at(t: float) -> float:
        return min(max(t + by, 0.0), seconds)

    moved = tuple(
        Word(w.text, at(w.start), at(w.end),
             tuple(Phone(p.name, at(p.start), at(p.end), p.stress) for p in w.phones), w.confidence)
        for w in words.words
    )  # fmt: skip
    return Words(moved, seconds, words.source)


def recordings(faces: Path) -> list[tuple[str, Utterance]]:
    """Names and utterances of LJ's and other transcribed recordings, without those that the aligner refuses."""
    if not faces.is_dir():
        raise UserError(f"{faces}: no such folder; one with ljspeech_sample, aligned_speech_misc is needed")
    driver = Driver.load(weights() / "driver")
    utterances = []
    for name, wave, text in _transcripts(faces):
        try:
            aligned = align(wave, text, driver)
        except UserError:
            continue
        words = tuple(w for w in aligned.words if w.end > w.start)
        if len(words) > 1:
            audio = resample(*load(wave))
            utterance = Utterance(audio, Words(words, len(audio) / RATE, aligned.source))
            utterances.append((name, normalise_level(trim_utterance(utterance), 1.0)))
    return utterances


def _transcripts(faces: Path) -> Iterator[tuple[str, Path, str]]:
    lj = faces / "ljspeech_sample"
    if lj.is_dir():
        texts = lj_texts(lj)
        yield from ((f"lj/{p.stem}", p, texts[p.stem]) for p in sorted((lj / "wavs").glob("*.wav")) if p.stem in texts)
    misc = faces / "aligned_speech_misc"
    for path in sorted(misc.rglob("*.phone.json")):
        wave = path.with_name(path.name.replace(".phone.json", ".wav"))
        yield f"librivox/{wave.stem}", wave, str(read_object(path)["t"])
    for wave in sorted(misc.rglob("*.wav")):
        text = next((t for s in (".lab", ".txt") if (t := wave.with_suffix(s)).is_file()), None)
        if text is not None:
            yield f"misc/{wave.stem}", wave, text.read_text(encoding="utf-8").strip()


def mix_utterances(utterances: Sequence[tuple[float, Utterance]], seconds: float) -> tuple[np.ndarray, list[Word]]:
    """Utterances with their starting seconds in one sound of `seconds`: (n,) float32 and all words."""
    out = np.zeros(round(seconds * RATE), np.float32)
    words: list[Word] = []
    for start, utterance in utterances:
        first = round(start * RATE)
        part = utterance.audio[: len(out) - first]
        out[first : first + len(part)] += part
        words += [w for w in shift_words(utterance.words, first / RATE, seconds).words if w.start < seconds]
    return out, words


PERFORMERS = ("ChrBrad", "ChrBrad2", "ChrGarza", "ChrConnor", "keyed")
MIN_SECONDS, MAX_SECONDS = 24.0, 60.0  # of a talk
BRIEF = (5.0, 11.0)  # s of a brief one
FRAME_MULTIPLE = 12  # frames of a talk: whole tokens of 2, 3, 4 or 6 frames
TRIES = 8  # sentences until a voice says one as it is written
INTERLOCUTOR = ".interlocutor"


class Speaker(Strict):
    """The style of a speaker, see `instruct_data.gesture.plan.Style`."""

    performers: list[str] = list(PERFORMERS)
    rate: Share = 1.0
    semantic: Share = 1.0
    size: Rate = 1.0
    tempo: Rate = 1.1
    left: Share = 0.25
    both: Share = 0.5
    head: Rate = 1.0
    drift: Rate = 1.0
    rest: NonNegativeInt = 0
    poses: list[NonNegativeInt] = [10, 8, 14]

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = sorted(set(self.performers) - set(PERFORMERS))
        if unknown:
            raise UserError(f"performers: {', '.join(unknown)}; accepted: {', '.join(PERFORMERS)}")
        if not 0.5 <= self.size <= 1.1 or not 0.7 <= self.tempo <= 1.6:
            raise UserError(f"size {self.size:g}, tempo {self.tempo:g}; accepted: 0.5 to 1.1, 0.7 to 1.6")
        return self

    def style(self, name: str) -> Style:
        """As the style of a plan."""
        return Style(**{**self.model_dump(), "name": name, "performers": tuple(self.performers),
                        "poses": tuple(self.poses)})  # fmt: skip


class CorpusData(Strict):
    """The section `data`."""

    minutes: Rate = 120.0  # of motion in all
    brief: Rate = 0.0  # minutes of further talks of one to three sentences from rest to rest, as clips of sentences are
    dyadic: Share = 0.4  # share of it that is one side of a conversation; both sides are stored
    # Share of the monologues with recorded speech; a recording is reused with other speakers' gestures
    recorded: Share = 0.25
    flite: Share = 0.5  # share of flite among the synthetic voices
    ours: Share = 0.7  # share of our own sentences
    situated: Share = 0.5  # share of the sounds with a simulated recording situation (noise, echo, telephone)
    val: Share = 0.06  # share of the talks for validation; their sentences also occur in training
    store: Rate = 60.0  # minutes of motion for a tokenizer
    held: list[str] = []  # recordings that are left out, as ``lj/LJ001-0001``
    words: str = SENTENCE  # encoder of words, as in `avatargpt.gesture.features`
    seed: NonNegativeInt = 0


class CorpusRecipe(Strict):
    """A configuration of the gesture-corpus stage."""

    data: CorpusData = CorpusData()
    speakers: dict[str, Speaker] = {"usual": Speaker()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.speakers:
            raise UserError("speakers: none; accepted: at least one")
        return self


@dataclass(frozen=True, eq=False)
class VoiceTrack:
    """One person's sound, (n,) float32 at 16 kHz, and words in order."""

    voice: str
    audio: np.ndarray
    words: tuple[Word, ...]


@dataclass(frozen=True, eq=False)
class SpokenTalk:
    """A talk of T frames by one person, or by two on one clock."""

    frames: int
    tracks: tuple[VoiceTrack, ...]


_Speaker = tuple[str, Voice | list[Utterance]]


def long_talks(data: CorpusData) -> int:
    """The number of talks that are not brief; they are the first ones."""
    return max(1, round(data.minutes * 60 / ((MIN_SECONDS + MAX_SECONDS) / 2 * (1 + data.dyadic))))


def all_talks(data: CorpusData) -> int:
    """The number of talks."""
    return long_talks(data) + round(data.brief * 60 / (sum(BRIEF) / 2))


class Talks:
    """Generates talks; equal numbers and seeds give equal talks."""

    def __init__(
        self, data: CorpusData, voices: Voices, texts: Sequence[str], recordings: Sequence[tuple[str, Utterance]] = ()
    ) -> None:
        self._data, self._voices, self._texts = data, voices, texts
        self._recordings: dict[str, list[Utterance]] = {}
        for name, utterance in recordings:
            self._recordings.setdefault(name.split("/")[0], []).append(utterance)

    def talk(self, number: int, seed: int) -> SpokenTalk:
        """Talk `number`; its kind and speakers are random."""
        rng = np.random.default_rng([seed, 61, number])
        if number >= long_talks(self._data):
            return self._monologue(self._speaker(rng), float(rng.uniform(*BRIEF)), rng)
        seconds = float(rng.uniform(MIN_SECONDS, MAX_SECONDS))
        if rng.random() < self._data.dyadic:
            return self._conversation(seconds, rng)
        return self._monologue(self._speaker(rng), seconds, rng)

    def _text(self, rng: np.random.Generator) -> str:
        if not self._texts or rng.random() < self._data.ours:
            return sentences().draw(rng)
        return self._texts[int(rng.integers(len(self._texts)))]

    def _speaker(self, rng: np.random.Generator, synthetic: bool = False) -> _Speaker:
        # Name, and a synthetic voice or the unused recordings of a person.
        # Recordings serve monologues alone, so their share of these is larger than that of all talks.
        if self._recordings and not synthetic and rng.random() < self._data.recorded / max(1 - self._data.dyadic, 0.01):
            names = list(self._recordings)
            sizes = np.array([len(self._recordings[n]) for n in names], float)
            name = names[int(rng.choice(len(names), p=sizes / sizes.sum()))]
            utterances = self._recordings[name]
            return name, [utterances[i] for i in rng.permutation(len(utterances))]
        voice = self._voices.voice(rng)
        return voice.name, voice

    def _next(self, speaker: _Speaker, rng: np.random.Generator) -> Utterance | None:
        name, voice = speaker
        if isinstance(voice, list):
            return voice.pop() if voice else None
        for _ in range(TRIES):
            try:
                return voice.say(self._text(rng), rng)
            except UserError:  # numbers or names that are not spoken as they are written
                continue
        raise UserError(f"{name}: says none of {TRIES} sentences as they are written")

    def _monologue(self, speaker: _Speaker, seconds: float, rng: np.random.Generator) -> SpokenTalk:
        utterances: list[tuple[float, Utterance]] = []
        now = _margin(rng)
        while now < seconds - 1.5 and (utterance := self._next(speaker, rng)) is not None:
            utterances.append((now, utterance))
            now += utterance.seconds + _pause(rng)
        end = utterances[-1][0] + utterances[-1][1].seconds
        return self._mix([(speaker[0], utterances)], end + _margin(rng), rng)

    def _conversation(self, seconds: float, rng: np.random.Generator) -> SpokenTalk:
        speakers = (self._speaker(rng, True), self._speaker(rng, True))
        turns: tuple[list[tuple[float, Utterance]], list[tuple[float, Utterance]]] = ([], [])
        now, who = _margin(rng), int(rng.integers(2))
        while now < seconds - 1.5:
            for k in range(int(rng.integers(1, 4))):
                utterance = self._next(speakers[who], rng)
                assert utterance is not None
                now += float(rng.uniform(0.3, 0.9)) if k else 0.0
                turns[who].append((now, utterance))
                now += utterance.seconds
            now += float(np.clip(rng.normal(0.35, 0.3), -0.15, 1.5))  # turns may overlap a little
            who = 1 - who
        pairs = [(s[0], t) for s, t in zip(speakers, turns, strict=True)]
        return self._mix(pairs, now + _margin(rng), rng)

    def _mix(
        self, pairs: Sequence[tuple[str, list[tuple[float, Utterance]]]], seconds: float, rng: np.random.Generator
    ) -> SpokenTalk:
        frames = max(FRAME_MULTIPLE, round(seconds * FPS) // FRAME_MULTIPLE * FRAME_MULTIPLE)
        tracks = []
        for name, utterances in pairs:
            audio, words = mix_utterances(utterances, frames / FPS)
            if rng.random() < self._data.situated:
                audio = simulate_recording(audio, rng)
            ordered: list[Word] = []  # without words of zero length, or that begin before the previous one ends
            for word in words:
                if word.end > word.start and (not ordered or word.start >= ordered[-1].end - 1e-6):
                    ordered.append(word)
            tracks.append(VoiceTrack(name, audio.astype(np.float32), tuple(ordered)))
        return SpokenTalk(frames, tuple(tracks))


def _margin(rng: np.random.Generator) -> float:
    # Seconds before the first word or after the last: half of all recordings are cut close.
    return float(rng.uniform(0.05, 0.4) if rng.random() < 0.5 else rng.uniform(0.5, 2.2))


def _pause(rng: np.random.Generator) -> float:
    kind = rng.random()
    low, high = (0.25, 0.7) if kind < 0.5 else (0.7, 1.5) if kind < 0.82 else (1.8, 4.0)
    return float(rng.uniform(low, high))


def write_talk(talk: SpokenTalk, features: dict[str, np.ndarray], folder: Path) -> None:
    """Write sound, motion (T, 270) and words of both sides, as the suite `gesture` reads them."""
    for k, (name, rows) in enumerate(features.items()):
        _write_track(talk.tracks[k], folder / name)
        if len(talk.tracks) == 2:
            _write_track(talk.tracks[1 - k], folder / f"{name}{INTERLOCUTOR}")
        GestureFeatures().decode(rows).save(folder / f"{name}.npz")


def _write_track(track: VoiceTrack, path: Path) -> None:
    import soundfile

    def write(target: Path) -> None:
        soundfile.write(target, track.audio, RATE, subtype="PCM_16", format="FLAC")

    atomic_write(path.with_name(f"{path.name}.flac"), write)
    if track.words:
        seconds = len(track.audio) / RATE
        words = check_words(path.name, list(track.words), track.voice, seconds)
        word_files.write(words, path.with_name(f"{path.name}.json"))

"""Speech of the gesture corpus: synthetic voices with exact phone times, and recordings with transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avatargpt.face.audio_model.driver import Driver
from avatargpt.resources import weights
from avatargpt.speech.alignment import align
from avatargpt.speech.audio import RATE, load, resample
from avatargpt.speech.phones import VOWELS, Phone
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data.clips import BASES, VARIANTS
from avatargpt.train.speech_data.recordings import lj_texts
from avatargpt.train.speech_data.synthesizers import VOICES, Espeak, Flite
from vqvae.errors import UserError
from vqvae.io.data_files import read_object

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
        self._espeak, self._share = Espeak(), flite
        self._flite = Flite() if flite > 0 else None

    def voice(self, rng: np.random.Generator) -> Voice:
        """A random voice with a constant speed and pitch."""
        if self._flite is not None and rng.random() < self._share:
            pitch = float(rng.uniform(85, 220)) if rng.random() < 0.6 else None
            return Voice(self, str(VOICES[int(rng.integers(len(VOICES)))]), float(rng.uniform(0.85, 1.25)), pitch)
        name = f"{ENGLISH[int(rng.integers(len(ENGLISH)))]}+{VARIANTS[int(rng.integers(len(VARIANTS)))]}"
        return Voice(self, name, float(rng.uniform(130, 205)), float(rng.uniform(25, 75)))

    def synthesize(self, voice: Voice, text: str, level: float) -> tuple[np.ndarray, int, list[Phone]]:
        """Sound, rate and phones."""
        if voice.name in ENGLISH or "+" in voice.name:
            pitch_range = int(np.clip(30 + 40 * level, 0, 99))
            audio, phones = self._espeak.speak(text, voice.name, int(voice.speed), int(voice.pitch or 50), pitch_range)
            return audio, self._espeak.rate, phones
        assert self._flite is not None
        return self._flite.speak(text, voice.name, voice.speed, voice.pitch)


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
        audio, rate, phones = self.of.synthesize(self, text, level)
        sound = resample(audio, rate)
        words = words_from_phones(text, phones, len(sound) / RATE, self.name.split("+")[0])
        return normalised(trimmed(Utterance(sound, words)), level)


def trimmed(utterance: Utterance) -> Utterance:
    """Without the silence before the first word and after the last, except for `MARGIN`."""
    words = utterance.words.words
    start = max(0, round((words[0].start - MARGIN) * RATE))
    stop = min(len(utterance.audio), round((words[-1].end + MARGIN) * RATE))
    return Utterance(utterance.audio[start:stop], shifted(utterance.words, -start / RATE, (stop - start) / RATE))


def normalised(utterance: Utterance, level: float) -> Utterance:
    """At `level` times the usual RMS."""
    rms = float(np.sqrt(np.mean(utterance.audio.astype(np.float64) ** 2))) + 1e-9
    return replace(utterance, audio=np.clip(utterance.audio * (LEVEL * level / rms), -1, 1).astype(np.float32))


def shifted(words: Words, by: float, seconds: float) -> Words:
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
            utterances.append((name, normalised(trimmed(utterance), 1.0)))
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


def mixed(utterances: Sequence[tuple[float, Utterance]], seconds: float) -> tuple[np.ndarray, list[Word]]:
    """Utterances with their starting seconds in one sound of `seconds`: (n,) float32 and all words."""
    out = np.zeros(round(seconds * RATE), np.float32)
    words: list[Word] = []
    for start, utterance in utterances:
        first = round(start * RATE)
        part = utterance.audio[: len(out) - first]
        out[first : first + len(part)] += part
        words += [w for w in shifted(utterance.words, first / RATE, seconds).words if w.start < seconds]
    return out, words

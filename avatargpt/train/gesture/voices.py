"""Speech of the gesture corpus: synthetic voices with exact phone times, and recordings with transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import RATE, load, resample
from avatargpt.speech.phones import VOWELS, Phone
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.words import Word, Words
from avatargpt.train.speech_data.clips import BASES, VARIANTS
from vqvae.errors import UserError

GAP = 0.7  # of a phone that is said and not expected, or the other way round
ALIKE, OTHER = 0.5, 1.2  # of a phone in place of another: both vowels or both consonants, or not
FIT = 0.45  # mean cost of a phone from which on the phones are not those of the text


def worded(text: str, phones: Sequence[Phone], seconds: float, source: str) -> Words:
    """The words of a text from the phones that were said of it, each with its phones and their stress.

    The phones that a dictionary expects are laid along those that were said at least cost (Wagner and Fischer 1974).
    Words of which nothing was said are left out.

    Args:
        seconds: of the sound.

    Raises:
        UserError: no words, or phones of another text.
    """
    said = transcript_words(text)
    expected = [(p, k) for k, word in enumerate(said) for p in word.pronunciations[0]]
    heard = [p for p in phones if p.name != "SIL"]
    pairs, cost = _laid([p.rstrip("012") for p, _ in expected], [p.name for p in heard])
    if not heard or cost > FIT * max(len(expected), len(heard)):
        raise UserError(f"{text[:40]!r}: the phones of its sound are not its own")
    found: dict[int, list[Phone]] = {}
    last = 0
    for phone, at in zip(heard, pairs, strict=True):
        mark = expected[at][0][-1] if at >= 0 else ""
        last = expected[at][1] if at >= 0 else last
        stress = int(mark) if mark.isdigit() and phone.name in VOWELS else None
        found.setdefault(last, []).append(Phone(phone.name, phone.start, min(phone.end, seconds), stress))
    words = [Word(said[k].text, own[0].start, own[-1].end, tuple(own)) for k, own in sorted(found.items())]
    return Words(tuple(words), seconds, source)


def _laid(expected: Sequence[str], said: Sequence[str]) -> tuple[list[int], float]:
    """For each phone that was said the number of the one expected, -1 = none; and the cost of it all."""
    n, m = len(expected), len(said)
    cost = np.zeros((n + 1, m + 1))
    cost[:, 0], cost[0] = GAP * np.arange(n + 1), GAP * np.arange(m + 1)
    vowel = [p in VOWELS for p in said]
    for i in range(1, n + 1):
        own, is_vowel, row, above = expected[i - 1], expected[i - 1] in VOWELS, cost[i], cost[i - 1]
        for j in range(1, m + 1):
            swap = 0.0 if own == said[j - 1] else ALIKE if is_vowel == vowel[j - 1] else OTHER
            row[j] = min(above[j - 1] + swap, above[j] + GAP, row[j - 1] + GAP)
    pairs = [-1] * m
    i, j = n, m
    while j:
        same = i and expected[i - 1] == said[j - 1]
        alike = i and (expected[i - 1] in VOWELS) == vowel[j - 1]
        swap = 0.0 if same else ALIKE if alike else OTHER
        if i and np.isclose(cost[i, j], cost[i - 1, j - 1] + swap):
            pairs[j - 1] = i - 1
            i, j = i - 1, j - 1
        elif np.isclose(cost[i, j], cost[i, j - 1] + GAP):
            j -= 1
        else:
            i -= 1
    return pairs, float(cost[n, m])


ENGLISH = tuple(b for b in BASES if b.startswith(("en", "gmw")))
EDGE = 0.02  # s of silence that is kept before and after speech
LOUD = 0.08  # RMS of an utterance


@dataclass(frozen=True, eq=False)
class Said:
    """An utterance: (n,) float32 at 16 kHz without silence around it, and its words."""

    audio: np.ndarray
    words: Words

    @property
    def seconds(self) -> float:
        return len(self.audio) / RATE


class Voices:
    """Synthetic voices; one per process, as espeak-ng keeps global state.

    Args:
        flite: share of the utterances that flite's voices say.

    Raises:
        UserError: espeak-ng or flite is not installed.
    """

    def __init__(self, flite: float) -> None:
        from avatargpt.train.speech_data.synthesizers import Espeak, Flite

        self._espeak, self._share = Espeak(), flite
        self._flite = Flite() if flite > 0 else None

    def voice(self, rng: np.random.Generator) -> Voice:
        """Somebody who talks at one speed and pitch."""
        from avatargpt.train.speech_data.synthesizers import VOICES

        if self._flite is not None and rng.random() < self._share:
            pitch = float(rng.uniform(85, 220)) if rng.random() < 0.6 else None
            return Voice(self, str(VOICES[int(rng.integers(len(VOICES)))]), float(rng.uniform(0.85, 1.25)), pitch)
        name = f"{ENGLISH[int(rng.integers(len(ENGLISH)))]}+{VARIANTS[int(rng.integers(len(VARIANTS)))]}"
        return Voice(self, name, float(rng.uniform(130, 205)), float(rng.uniform(25, 75)))

    def speak(self, voice: Voice, text: str, loud: float) -> tuple[np.ndarray, int, list[Phone]]:
        """Sound, rate and phones."""
        if voice.name in ENGLISH or "+" in voice.name:
            span = int(np.clip(30 + 40 * loud, 0, 99))
            audio, phones = self._espeak.speak(text, voice.name, int(voice.speed), int(voice.pitch or 50), span)
            return audio, self._espeak.rate, phones
        assert self._flite is not None
        return self._flite.speak(text, voice.name, voice.speed, voice.pitch)


@dataclass(frozen=True, eq=False)
class Voice:
    """Somebody who talks: `speed` in words a minute (espeak-ng) or as a stretch (flite)."""

    of: Voices
    name: str
    speed: float
    pitch: float | None

    def say(self, text: str, rng: np.random.Generator) -> Said:
        """One utterance, its loudness drawn.

        Raises:
            UserError: a text that is not said as it is written.
        """
        loud = float(rng.uniform(0.3, 1.5))
        audio, rate, phones = self.of.speak(self, text, loud)
        sound = resample(audio, rate)
        said = Said(sound, worded(text, phones, len(sound) / RATE, self.name.split("+")[0]))
        return levelled(trimmed(said), loud)


def trimmed(said: Said) -> Said:
    """Without what is before the first word and after the last, but for `EDGE`."""
    words = said.words.words
    start = max(0, round((words[0].start - EDGE) * RATE))
    stop = min(len(said.audio), round((words[-1].end + EDGE) * RATE))
    return Said(said.audio[start:stop], moved(said.words, -start / RATE, (stop - start) / RATE))


def levelled(said: Said, loud: float) -> Said:
    """At `loud` times the usual level."""
    rms = float(np.sqrt(np.mean(said.audio.astype(np.float64) ** 2))) + 1e-9
    return replace(said, audio=np.clip(said.audio * (LOUD * loud / rms), -1, 1).astype(np.float32))


def moved(words: Words, by: float, seconds: float) -> Words:
    """The same words `by` seconds later, in a sound of `seconds`."""
    def at(t: float) -> float:
        return min(max(t + by, 0.0), seconds)

    shifted = tuple(
        Word(w.text, at(w.start), at(w.end),
             tuple(Phone(p.name, at(p.start), at(p.end), p.stress) for p in w.phones), w.confidence)
        for w in words.words
    )  # fmt: skip
    return Words(shifted, seconds, words.source)


def recordings(faces: Path) -> list[tuple[str, Said]]:
    """Real speech with word times: LJ's sentences and what else has a transcript, aligned; names and utterances.

    Recordings whose transcript the aligner refuses are left out.

    Raises:
        UserError: no such folder.
    """
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.resources import weights
    from avatargpt.speech.alignment import align

    if not faces.is_dir():
        raise UserError(f"{faces}: no such folder; one with ljspeech_sample, aligned_speech_misc is needed")
    driver, found = Driver.load(weights() / "driver"), []
    for name, wave, text in _transcripts(faces):
        try:
            words = align(wave, text, driver)
        except UserError:
            continue
        kept = tuple(w for w in words.words if w.end > w.start)
        if len(kept) > 1:
            audio = resample(*load(wave))
            said = Said(audio, Words(kept, len(audio) / RATE, words.source))
            found.append((name, levelled(trimmed(said), 1.0)))
    return found


def _transcripts(faces: Path) -> Iterator[tuple[str, Path, str]]:
    from avatargpt.train.speech_data.recordings import lj_texts
    from vqvae.io.data_files import read_object

    lj = faces / "ljspeech_sample"
    if lj.is_dir():
        texts = lj_texts(lj)
        yield from ((f"lj/{p.stem}", p, texts[p.stem]) for p in sorted((lj / "wavs").glob("*.wav")) if p.stem in texts)
    misc = faces / "aligned_speech_misc"
    for path in sorted(misc.rglob("*.phone.json")):
        wave = path.with_name(path.name.replace(".phone.json", ".wav"))
        yield f"librivox/{wave.stem}", wave, str(read_object(path)["t"])
    for wave in sorted(misc.rglob("*.wav")):
        beside = next((b for s in (".lab", ".txt") if (b := wave.with_suffix(s)).is_file()), None)
        if beside is not None:
            yield f"misc/{wave.stem}", wave, beside.read_text(encoding="utf-8").strip()


def spread(said: Sequence[tuple[float, Said]], seconds: float) -> tuple[np.ndarray, list[Word]]:
    """Utterances from given seconds on in one sound of `seconds`: (n,) float32 and all words."""
    out = np.zeros(round(seconds * RATE), np.float32)
    words: list[Word] = []
    for start, one in said:
        first = round(start * RATE)
        part = one.audio[: len(out) - first]
        out[first : first + len(part)] += part
        words += [w for w in moved(one.words, first / RATE, seconds).words if w.start < seconds]
    return out, words

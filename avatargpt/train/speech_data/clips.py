"""Training clips with rule-based curves: synthetic voices, sounds without speech, and labelled recordings."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.audio_model.visemes import STYLE, WIDTH, viseme_curves
from avatargpt.speech.audio import FPS, RATE, frames_in, resample
from avatargpt.speech.features import extract
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.augment import (
    any_coded,
    articulate,
    band,
    insert_pauses,
    noise,
    replay,
    simulate_recording,
)
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.labels import Labeller
from avatargpt.train.speech_data.recordings import ARCHIVE, TRANSCRIBED, Sentence, dialogue, load_transcribed, stamps
from avatargpt.train.speech_data.steel_sky import INDEX, steel_sky
from avatargpt.train.speech_data.synthesizers import VOICES
from avatargpt.train.speech_data.telephone import DIGIT, TEXTS, announcements, spoken_digits
from instruct_data.factory.text.everyday import everyday_requests
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.strict import NonNegativeInt, Share, Strict

if TYPE_CHECKING:
    from avatargpt.train.speech_data.synthesizers import Espeak, Flite

Draw = np.random.Generator
SHARES = np.array([0.26, 0.16, 0.2, 0.12, 0.09, 0.1, 0.07])


def _put(into: np.ndarray, sound: np.ndarray, second: float) -> None:
    # Add a sound at a second, cut at the end.
    start = round(second * RATE)
    part = sound[: max(0, len(into) - start)]
    into[start : start + len(part)] += part


def _times(seconds: float, rng: Draw, min_gap: float, max_gap: float) -> np.ndarray:
    # Seconds of events with random gaps, in groups with pauses between them.
    gaps = rng.uniform(min_gap, max_gap, int(seconds / min_gap) + 2)
    pause = rng.random(len(gaps)) < 0.15
    at = np.cumsum(gaps + pause * rng.uniform(0.3, 1.5, len(gaps)))
    return np.asarray(at[at < seconds])


def _decay(length: float, fall: float) -> np.ndarray:
    # (n,) exponential decay with a time constant of `fall` s, over `length` s, with an attack of 0.7 ms.
    t = np.arange(round(length * RATE)) / RATE
    return np.asarray(np.exp(-t / fall) * np.minimum(t / 0.0007, 1))


def click(rng: Draw) -> np.ndarray:
    """One key or button: a short coloured burst, at times with a resonance."""
    fall = float(np.exp(rng.uniform(np.log(0.001), np.log(0.012))))
    envelope = _decay(8 * fall + 0.01, fall)
    low = float(rng.uniform(100, 2500))
    burst = band(rng.standard_normal(len(envelope)), low, low + float(rng.uniform(1000, 6000))) * envelope
    if rng.random() < 0.5:
        hz = float(rng.uniform(300, 4000))
        burst = burst + 0.5 * np.sin(2 * np.pi * hz * np.arange(len(envelope)) / RATE) * envelope
    return np.asarray(burst / (np.abs(burst).max() + 1e-9))


def keys(seconds: float, rng: Draw) -> np.ndarray:
    """Typing, or a mouse: each key is pressed and, more quietly, released."""
    out = np.zeros(round(seconds * RATE))
    fast = float(rng.uniform(0.08, 0.4))
    for at in _times(seconds, rng, fast, 3 * fast):
        loud = float(rng.uniform(0.3, 1))
        _put(out, click(rng) * loud, at)
        if rng.random() < 0.7:
            _put(out, click(rng) * loud * float(rng.uniform(0.1, 0.8)), at + float(rng.uniform(0.05, 0.14)))
    return out


def knock(rng: Draw) -> np.ndarray:
    """One impact: decaying modes and a burst of noise."""
    fall = float(rng.uniform(0.01, 0.15))
    envelope = _decay(5 * fall, fall)
    t = np.arange(len(envelope)) / RATE
    base = float(np.exp(rng.uniform(np.log(50), np.log(900))))
    modes = sum(rng.uniform(0.2, 1) * np.sin(2 * np.pi * base * m * t + rng.uniform(0, 6))
                for m in np.cumprod(rng.uniform(1.3, 2.4, int(rng.integers(2, 6)))))  # fmt: skip
    blow = band(rng.standard_normal(len(t)), 50, float(rng.uniform(800, 6000))) * _decay(5 * fall, fall / 5)
    sound = np.asarray(modes) * envelope + blow[: len(envelope)] * float(rng.uniform(0.2, 2))
    return np.asarray(sound / (np.abs(sound).max() + 1e-9))


def knocks(seconds: float, rng: Draw) -> np.ndarray:
    """Steps, taps on a desk, objects put down."""
    out = np.zeros(round(seconds * RATE))
    slow = float(rng.uniform(0.15, 1.0))
    for at in _times(seconds, rng, slow, 2.5 * slow):
        _put(out, knock(rng) * float(rng.uniform(0.3, 1)), at)
    return out


def breaths(seconds: float, rng: Draw) -> np.ndarray:
    """Breathing: noise in a few broad bands that swells and ebbs, without the edges of consonants."""
    out = np.zeros(round(seconds * RATE))
    for at in _times(seconds, rng, 0.8, 2.5):
        n = round(float(rng.uniform(0.25, 1.4)) * RATE)
        air = noise(n, rng, float(rng.uniform(0, 1.2)))
        for _ in range(int(rng.integers(1, 4))):
            low = float(rng.uniform(300, 4000))
            air = air + band(air, low, low + float(rng.uniform(300, 2000))) * float(rng.uniform(0, 3))
        swell = np.interp(np.linspace(0, 1, n), [0, float(rng.uniform(0.2, 0.8)), 1], [0, 1, 0])
        _put(out, air * swell * float(rng.uniform(0.3, 1)), at)
    return out


def wind(seconds: float, rng: Draw) -> np.ndarray:
    """Wind on a microphone, or a hand that touches it: low noise in gusts."""
    n = round(seconds * RATE)
    points = rng.uniform(0, 1, max(3, int(seconds * rng.uniform(0.5, 6)))) ** 2
    gusts = np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points)
    return np.asarray(noise(n, rng, float(rng.uniform(1, 2))) * gusts)


def rustle(seconds: float, rng: Draw) -> np.ndarray:
    """Paper, clothes, crackling: many small clicks, in bursts."""
    n = round(seconds * RATE)
    points = np.clip(rng.normal(0, 1, int(seconds * 3) + 2), 0, None)
    often = np.interp(np.linspace(0, len(points) - 1, n), np.arange(len(points)), points)
    hits = (rng.random(n) < 0.004 * often) * rng.exponential(1.0, n)
    low = float(rng.uniform(300, 3000))
    return np.asarray(band(np.convolve(hits, rng.standard_normal(40) * np.exp(-np.arange(40) / 8), "same"), low, 7500))


def tones(seconds: float, rng: Draw) -> np.ndarray:
    """Beeps, bells and chords: one to four inharmonic partials."""
    out = np.zeros(round(seconds * RATE))
    lasts = float(rng.uniform(0.08, 1.2))
    for at in _times(seconds, rng, lasts, 2 * lasts):
        t = np.arange(round(lasts * RATE * float(rng.uniform(0.7, 2)))) / RATE
        base = float(np.exp(rng.uniform(np.log(220), np.log(3000))))
        parts = np.cumprod(np.append(1.0, rng.uniform(1.2, 2.9, int(rng.integers(0, 4)))))
        sound = sum(rng.uniform(0.2, 1) * np.sin(2 * np.pi * base * p * t) for p in parts if base * p < 7500)
        ends = np.minimum(np.minimum(t / 0.005, (t[-1] - t) / 0.02), 1)
        fades = np.exp(-t / float(rng.uniform(0.05, 1))) if rng.random() < 0.6 else 1.0
        _put(out, np.asarray(sound) * ends * fades * float(rng.uniform(0.3, 1)), at)
    return out


def squeaks(seconds: float, rng: Draw) -> np.ndarray:
    """Chairs and doors: a rough sliding tone."""
    out = np.zeros(round(seconds * RATE))
    for at in _times(seconds, rng, 0.5, 2.0):
        n = round(float(rng.uniform(0.08, 0.6)) * RATE)
        first, last = (float(v) for v in np.exp(rng.uniform(np.log(500), np.log(4000), 2)))
        rough = 1 + float(rng.uniform(0, 1)) * noise(n, rng, 2.0)
        hz = np.linspace(first, last, n) * (1 + 0.01 * noise(n, rng, 2.0))
        _put(out, np.sin(2 * np.pi * np.cumsum(hz) / RATE) * rough * np.hanning(n), at)
    return out


SOUNDS: tuple[Callable[[float, Draw], np.ndarray], ...] = (keys, knocks, breaths, wind, rustle, tones, squeaks)


def sounds(seconds: float, rng: Draw) -> np.ndarray:
    """(n,) float32 at 16 kHz: one or two kinds of sounds over a quiet background, at a random level."""
    n = round(seconds * RATE)
    out = np.zeros(n)
    for _ in range(1 if rng.random() < 0.75 else 2):
        sound = SOUNDS[int(rng.choice(len(SOUNDS), p=SHARES))](seconds, rng)[:n]
        out[: len(sound)] += sound / (np.abs(sound).max() + 1e-9) * float(rng.uniform(0.3, 1))
    out = out / (np.abs(out).max() + 1e-9) * 10 ** (-float(rng.uniform(1, 34)) / 20)
    return np.asarray(out + noise(n, rng) * 10 ** (-float(rng.uniform(40, 75)) / 20), np.float32)


MIN_CHARACTERS, MAX_CHARACTERS = 40, 110  # of an utterance
VALIDATION_TEXTS = 20  # every n-th text is reserved for validation voices
# Base voices; those of other languages read English with an accent, but exact phones.
BASES = (
    "en-us", "gmw/en", "gmw/en-GB-scotland", "gmw/en-GB-x-gbclan", "gmw/en-GB-x-rp", "gmw/en-US-nyc", "en-us", "gmw/en",
    "de", "es", "fr", "it", "nl", "pl", "sv",
)  # fmt: skip
VARIANTS = (
    "f1 f2 f3 f5 m1 m2 m3 m4 m5 m6 m8 Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo Jacky Lee Marco "
    "Mario Michael Mike Nguyen Storm adam anika antonio aunty belinda benjamin boris caleb david ed edward grandpa "
    "gustave iven iven3 john kaukovalta klatt klatt2 klatt3 klatt4 linda max michel miguel norbert pablo pedro "
    "quincy rob robert sandro shelby steph travis victor zac"
).split()
# Of the validation clips; most have neither their base nor their variant in training.
VALIDATION_VOICES = (
    "en-029+f4", "en-029+m7", "en-us+steph2", "gmw/en+marcelo", "en-us+grandma", "gmw/en-GB-x-gbcwmd+paul",
)  # fmt: skip
# Recent utterances that serve as voices in the background.
MAX_BACKGROUND = 21
# Length up to which short sentences of one speaker are joined.
MIN_SECONDS = 4.5


def own_texts(texts: Path | None) -> list[str]:
    """The package's requests and, from a folder of planning and facial texts, their sentences."""
    requests = everyday_requests()
    out = [t for name in requests.classes() for t in requests.requests(name)]
    if texts is None:
        return out
    for path in sorted(p for name in ("planning", "face_text") for p in (texts / name).glob("*.jsonl")):
        for _, row in json_rows(path):
            out += [v for k in ("scene", "text") if isinstance(v := row.get(k), str)]
    return out


def line_texts(path: Path) -> list[str]:
    """The last field of each ``a|b|text`` line of a (gzipped) file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; lines of text are needed")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [line.rsplit("|", 1)[-1] for line in data.decode("utf-8").splitlines() if line.strip()]


def split_texts(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts for training and for validation voices: the same in every stage and seed, whatever the case."""
    sides: tuple[list[str], list[str]] = ([], [])
    for text in texts:
        sides[zlib.crc32(" ".join(text.lower().split()).encode()) % VALIDATION_TEXTS == 0].append(text)
    return sides


def utterances(texts: Sequence[str], rng: np.random.Generator, count: int) -> list[str]:
    """`count` different utterances of about 40 to 110 characters: short texts joined, long ones cut at a word."""
    order = [texts[i] for i in rng.permutation(len(texts))]
    out: list[str] = []
    utterance = ""
    for text in order:
        utterance = f"{utterance}. {text}" if utterance else text
        if len(utterance) >= MIN_CHARACTERS:
            if len(utterance) > MAX_CHARACTERS:
                utterance = utterance[:MAX_CHARACTERS].rsplit(" ", 1)[0]
            out.append(utterance)
            utterance = ""
        if len(out) == count:
            break
    if not out:
        raise UserError("no text to speak; sentences are needed")
    return out


class SpeechData(Strict):
    """The section `data` of `configs/driver/*.yaml`."""

    clips: NonNegativeInt = 700  # synthetic clips for training, about 6 s each
    flite: NonNegativeInt = 0  # clips by flite's voices, which are built from recordings of people
    held_out: NonNegativeInt = 40  # validation sentences; each is stored clean and in a recording situation
    still: NonNegativeInt = 40  # clips of noise, hum and silence with a resting mouth
    sounds: NonNegativeInt = 0  # the same with sounds of `avatargpt.train.speech_data.clips`
    clean: Share = 0.3  # share of training clips without a recording situation
    paused: Share = 0.35  # share of clips with inserted pauses
    articulated: Share = 0.6  # share of clips with varied articulation
    copies: NonNegativeInt = 6  # recording situations added for each clip of recorded speech and each recorded pair
    further_copies: NonNegativeInt = 1  # the same for clips of further recordings, which are many
    coded: Share = 0.0  # share of these copies that pass through an mp3 or Opus encoder; needs PyAV
    seed: NonNegativeInt = 0


def loudness(audio: np.ndarray, frames: int) -> np.ndarray:
    """(T,) dB of the 50 ms around each frame's time."""
    padded = np.pad(audio, (400, 400 + RATE))
    total = np.concatenate([[0.0], np.cumsum(padded.astype(np.float64) ** 2)])
    at = np.arange(frames) * RATE // FPS
    at = np.minimum(at, len(padded) - 800)
    return np.asarray(10 * np.log10((total[at + 800] - total[at]) / 800 + 1e-9))


def synthesize_utterance(
    espeak: Espeak, text: str, voice: str, rng: np.random.Generator, warp: bool = True
) -> tuple[np.ndarray, list[Phone]]:
    """One utterance at 16 kHz with silence around it, and its phones.

    Replaying it at 0.86 to 1.16 times the speed moves pitch and formants together, as another speaker would.
    """
    speed, pitch = int(rng.uniform(120, 240)), int(rng.uniform(20, 80))
    audio, phones = espeak.speak(text, voice, speed, pitch, int(rng.uniform(20, 80)))
    return play_utterance(audio, espeak.rate, phones, rng, float(rng.uniform(0.86, 1.16)) if warp else 1.0)


def play_utterance(
    audio: np.ndarray, rate: int, phones: Sequence[Phone], rng: np.random.Generator, factor: float
) -> tuple[np.ndarray, list[Phone]]:
    """An utterance played `factor` times as fast, at 16 kHz, with silence around it, and its phones."""
    audio = resample(audio, round(rate * factor / 10) * 10)
    factor = round(rate * factor / 10) * 10 / rate
    before, after = float(rng.uniform(0.15, 0.9)), float(rng.uniform(0.2, 1.0))
    sound = np.concatenate(
        [np.zeros(round(before * RATE), np.float32), audio, np.zeros(round(after * RATE), np.float32)]
    )
    before = round(before * RATE) / RATE
    moved = [Phone(p.name, p.start / factor + before, p.end / factor + before) for p in phones]
    return sound, moved


def rule_clip(
    sound: np.ndarray, phones: Sequence[Phone], clean: np.ndarray, style: np.ndarray, split: str, name: str
) -> SpeechClip:
    """Features of `sound` with rule-based curves of `phones` and the loudness of `clean`."""
    frames = frames_in(len(sound), RATE)
    taught = viseme_curves(phones, frames, loudness(clean, frames), style)
    # Validation measures closures of the lips at these times.
    times = [[p.name, round(p.start, 4), round(p.end, 4)] for p in phones] if split == "val" else []
    return SpeechClip(extract(sound, RATE), taught.curves, taught.phones, style.astype(np.float32), "taught", split,
                      name, times)  # fmt: skip


def random_style(rng: np.random.Generator) -> np.ndarray:
    """(8,) zero in a third of the clips, else uniform between -1 and 1."""
    return np.zeros(len(STYLE)) if rng.random() < 0.33 else rng.uniform(-1, 1, len(STYLE))


def synthetic_clips(
    texts: Sequence[str], validation_texts: Sequence[str], options: SpeechData, espeak: Espeak
) -> Iterator[SpeechClip]:  # fmt: skip
    """Training, validation and still clips in that order; equal seeds give equal clips."""
    if len(validation_texts) < options.held_out:
        raise UserError(f"data: held_out: {options.held_out}; accepted up to {len(validation_texts)}, as there are "
                        "texts kept back")  # fmt: skip
    background: list[np.ndarray] = []
    for i in range(options.clips):
        # A generator for each clip: their number does not change them.
        rng = np.random.default_rng([options.seed, 1, i])
        voice = f"{BASES[rng.integers(len(BASES))]}+{VARIANTS[rng.integers(len(VARIANTS))]}"
        sound, phones = synthesize_utterance(espeak, texts[int(rng.integers(len(texts)))], voice, rng)
        if not phones:
            continue
        yield _situate_clip(sound, phones, options, rng, background, f"espeak/{voice}/{i}")
    for i in range(options.held_out):
        rng = np.random.default_rng([options.seed, 2, i])
        voice = VALIDATION_VOICES[i % len(VALIDATION_VOICES)]
        sound, phones = synthesize_utterance(espeak, validation_texts[i], voice, rng, warp=False)
        if phones:
            neutral = np.zeros(len(STYLE))
            yield rule_clip(sound, phones, sound, neutral, "val", f"clean/{voice}/{i}")
            yield rule_clip(simulate_recording(sound, rng), phones, sound, neutral, "val", f"recorded/{voice}/{i}")
    yield from still_clips(options.still, options.seed)
    yield from sound_clips(options.sounds, options.seed)


def _situate_clip(
    sound: np.ndarray, phones: list[Phone], options: SpeechData, rng: np.random.Generator, background: list[np.ndarray],
    name: str,
) -> SpeechClip:  # fmt: skip
    """A training clip with varied articulation, pauses and a recording situation; it is added to `background`."""
    if rng.random() < options.articulated:
        sound = articulate(sound, phones, rng)
    if rng.random() < options.paused:
        sound, phones = insert_pauses(sound, phones, rng, int(rng.integers(1, 4)))
    clean = sound
    if rng.random() > options.clean:
        sound = simulate_recording(sound, rng, background)
    # Voices in the background are clean, so that recording situations do not pile up.
    background.append(clean)
    del background[:-MAX_BACKGROUND]
    return rule_clip(sound, phones, clean, random_style(rng), "train", name)


def flite_clips(texts: Sequence[str], options: SpeechData, flite: Flite) -> Iterator[SpeechClip]:
    """Training clips by flite's voices at various speeds and pitches; equal seeds give equal clips."""
    background: list[np.ndarray] = []
    for i in range(options.flite):
        rng = np.random.default_rng([options.seed, 7, i])
        voice = VOICES[int(rng.integers(len(VOICES)))]
        text = texts[int(rng.integers(len(texts)))]
        pitch = float(rng.uniform(80, 240)) if rng.random() < 0.6 else None
        audio, rate, phones = flite.speak(text, voice, float(rng.uniform(0.75, 1.35)), pitch)
        sound, phones = play_utterance(audio, rate, phones, rng, float(rng.uniform(0.84, 1.2)))
        yield _situate_clip(sound, phones, options, rng, background, f"flite/{voice}/{i}")


def still_clips(count: int, seed: int) -> Iterator[SpeechClip]:
    """Silence, noise of every colour and level, bursts of it, hum; the mouth rests."""
    for i in range(count):
        rng = np.random.default_rng([seed, 3, i])
        seconds = float(rng.uniform(3, 8))
        n = round(seconds * RATE)
        sound = noise(n, rng) * 10 ** (-float(rng.uniform(12, 70)) / 20)
        if rng.random() < 0.5:
            edges = np.sort(rng.uniform(0, seconds, int(rng.integers(1, 5))))
            level = rng.uniform(0, 1, len(edges) + 1) ** 2
            sound *= level[np.searchsorted(edges, np.arange(n) / RATE)]
        if i % 10 == 0:
            sound *= 0
        yield _make_resting_clip(sound.astype(np.float32), f"still/{i}")


def sound_clips(count: int, seed: int) -> Iterator[SpeechClip]:
    """Sounds of `avatargpt.train.speech_data.clips`; the mouth rests."""
    for i in range(count):
        rng = np.random.default_rng([seed, 9, i])
        yield _make_resting_clip(sounds(float(rng.uniform(3, 8)), rng), f"sound/{i}")


def _make_resting_clip(sound: np.ndarray, name: str) -> SpeechClip:
    frames = frames_in(len(sound), RATE)
    curves = np.zeros((frames, WIDTH), np.float32)
    return SpeechClip(extract(sound, RATE), curves, np.zeros((frames, 2), np.uint8), name=name)


@dataclass(frozen=True)
class AlignedSentence:
    """Recorded speech with the times of its phones; samples at 16 kHz."""

    name: str
    audio: np.ndarray
    phones: list[Phone]
    split: str

    @property
    def speaker(self) -> str:
        return self.name.rsplit("/", 1)[0]


def align_sentences(sentences: Iterable[Sentence], labeller: Labeller) -> Iterator[AlignedSentence]:
    """Sentences with the times of their phones; those that the labeller finds doubtful are left out."""
    for sentence in sentences:
        phones = labeller(sentence)
        if phones is not None:
            yield AlignedSentence(sentence.name, sentence.audio, phones, sentence.split)


def join_sentences(
    sentences: Iterable[AlignedSentence], rng: np.random.Generator
) -> Iterator[AlignedSentence]:
    """Short consecutive sentences of one speaker, joined with pauses until they last `MIN_SECONDS`."""
    pending: AlignedSentence | None = None
    for sentence in sentences:
        if pending is not None and (pending.speaker != sentence.speaker or pending.split != sentence.split):
            yield pending
            pending = None
        if pending is not None:
            pause = np.zeros(round(float(rng.uniform(0.1, 0.5)) * RATE), np.float32)
            at = (len(pending.audio) + len(pause)) / RATE
            moved = [Phone(p.name, p.start + at, p.end + at) for p in sentence.phones]
            audio = np.concatenate([pending.audio, pause, sentence.audio])
            sentence = AlignedSentence(pending.name, audio, pending.phones + moved, sentence.split)
        pending = sentence
        if len(pending.audio) >= MIN_SECONDS * RATE:
            yield pending
            pending = None
    if pending is not None:
        yield pending


# Pattern of a file -> what reads a folder with such a file; all others are sounds with transcripts.
READERS: dict[str, Callable[[Path, Any], Iterator[Sentence]]] = {
    "*_desc*.ogg": stamps, ARCHIVE: dialogue, INDEX: steel_sky, DIGIT: spoken_digits, TEXTS: announcements,
}  # fmt: skip


def sentences_of(folder: Path, pronounce: Callable[..., tuple[str, ...]]) -> Iterator[Sentence]:
    """The sentences of a folder of recorded speech. `pronounce` maps a text (for stamps with a voice) to phones.

    Raises UserError where there are none.
    """
    found = (read for pattern, read in READERS.items() if next(folder.rglob(pattern), None) is not None)
    sentences = next(found, load_transcribed)(folder, pronounce)
    first = next(sentences, None)
    if first is None:
        raise UserError(f"{folder}: no recordings with their words; accepted: {TRANSCRIBED}")
    yield first
    yield from sentences


def label_sentences(
    sentences: Iterable[Sentence], labeller: Labeller, copies: int, seed: int, coded_share: float = 0.0
) -> Iterator[SpeechClip]:
    """Clips of recorded speech with rule-based curves, and for training `copies` more of each.

    Copies are replayed at other speeds and in simulated recording situations, so that one speaker stands for several; a
    share of them passes through an encoder.
    """
    clips = join_sentences(align_sentences(sentences, labeller), np.random.default_rng([seed, 9]))
    for i, sentence in enumerate(clips):
        neutral = np.zeros(len(STYLE))
        yield rule_clip(sentence.audio, sentence.phones, sentence.audio, neutral, sentence.split, sentence.name)
        if sentence.split != "train":
            continue
        for k in range(copies):
            rng = np.random.default_rng([seed, 5, i, k])
            sound, factor = replay(sentence.audio, rng)
            moved = [Phone(p.name, p.start / factor, p.end / factor) for p in sentence.phones]
            situated = simulate_recording(sound, rng) if rng.random() < 0.75 else sound
            if coded_share and rng.random() < coded_share:
                situated = any_coded(situated, rng)
            yield rule_clip(situated, moved, sound, random_style(rng), "train", f"{sentence.name}/{k}")

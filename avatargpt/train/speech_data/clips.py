"""Training clips with rule-based curves: synthetic voices, sounds without speech, and labelled recordings."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.visemes import STYLE, WIDTH, viseme_curves
from avatargpt.speech.audio import FPS, RATE, frames_in, resample
from avatargpt.speech.features import extract
from avatargpt.speech.phone_times import align_phones
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.augment import any_coded, articulate, insert_pauses, noise, recorded, replayed
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.recordings import Spoken
from avatargpt.train.speech_data.sounds import sounds
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.strict import NonNegativeInt, Share, Strict

if TYPE_CHECKING:
    from avatargpt.train.speech_data.synthesizers import Espeak, Flite


LONGEST = 110  # characters of one utterance
KEPT_BACK = 20  # every so manieth text is only ever said by validation voices


def own_texts(texts: Path | None) -> list[str]:
    """Requests that ship with the package and, from a folder of planning and facial texts, their sentences."""
    from instruct_data.text.everyday import everyday_requests

    asked = everyday_requests()
    out = [t for name in asked.classes() for t in asked.requests(name)]
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


def parted(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts that training voices say, and those kept back for validation: the same ones in every stage and seed, in
    capitals or not."""
    sides: tuple[list[str], list[str]] = ([], [])
    for text in texts:
        sides[zlib.crc32(" ".join(text.lower().split()).encode()) % KEPT_BACK == 0].append(text)
    return sides


def utterances(texts: Sequence[str], rng: np.random.Generator, count: int) -> list[str]:
    """`count` different utterances of about 40 to 110 characters: short texts joined, long ones cut at a word."""
    order = [texts[i] for i in rng.permutation(len(texts))]
    out: list[str] = []
    held = ""
    for text in order:
        held = f"{held}. {text}" if held else text
        if len(held) >= 40:
            if len(held) > LONGEST:
                held = held[:LONGEST].rsplit(" ", 1)[0]
            out.append(held)
            held = ""
        if len(out) == count:
            break
    if not out:
        raise UserError("no text to speak; sentences are needed")
    return out


BASES = (
    "en-us", "gmw/en", "gmw/en-GB-scotland", "gmw/en-GB-x-gbclan", "gmw/en-GB-x-rp", "gmw/en-US-nyc", "en-us", "gmw/en",
    "de", "es", "fr", "it", "nl", "pl", "sv",
)  # fmt: skip
"""Voices of other languages read English with an accent: their phones are what counts."""
VARIANTS = (
    "f1 f2 f3 f5 m1 m2 m3 m4 m5 m6 m8 Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo Jacky Lee Marco "
    "Mario Michael Mike Nguyen Storm adam anika antonio aunty belinda benjamin boris caleb david ed edward grandpa "
    "gustave iven iven3 john kaukovalta klatt klatt2 klatt3 klatt4 linda max michel miguel norbert pablo pedro "
    "quincy rob robert sandro shelby steph travis victor zac"
).split()
HELD_OUT = ("en-029+f4", "en-029+m7", "en-us+steph2", "gmw/en+marcelo", "en-us+grandma", "gmw/en-GB-x-gbcwmd+paul")
"""Voices of the validation clips; neither the base nor the variant of most of them is heard in training."""


OTHERS = 21
"""Utterances that are kept to be voices in the background."""


class SpeechData(Strict):
    """What `configs/driver/*.yaml` may set under `data`.

    Attributes:
        clips: synthetic clips for training, about 6 s each.
        flite: further ones by voices built from recordings of people, as flite has them.
        held_out: validation sentences; each is stored clean and as recorded.
        still: clips of noise, hum and silence whose mouth rests.
        sounds: the same of keys, knocks, breath and the like (`avatargpt.train.speech_data.sounds`).
        clean: share of training clips without a recording situation.
        paused: share of clips with inserted pauses.
        articulated: share of clips with other habits of articulation.
        copies: recording situations added for each clip of real speech and each recorded pair.
        further_copies: the same for clips of further recordings, which are many.
        coded: share of these copies that went through an mp3 or Opus encoder; needs PyAV.
    """

    clips: NonNegativeInt = 700
    flite: NonNegativeInt = 0
    held_out: NonNegativeInt = 40
    still: NonNegativeInt = 40
    sounds: NonNegativeInt = 0
    clean: Share = 0.3
    paused: Share = 0.35
    articulated: Share = 0.6
    copies: NonNegativeInt = 6
    further_copies: NonNegativeInt = 1
    coded: Share = 0.0
    seed: NonNegativeInt = 0


def loudness(audio: np.ndarray, frames: int) -> np.ndarray:
    """(T,) dB of the 50 ms around each frame's time."""
    padded = np.pad(audio, (400, 400 + RATE))
    total = np.concatenate([[0.0], np.cumsum(padded.astype(np.float64) ** 2)])
    at = np.arange(frames) * RATE // FPS
    at = np.minimum(at, len(padded) - 800)
    return np.asarray(10 * np.log10((total[at + 800] - total[at]) / 800 + 1e-9))


def spoken(
    espeak: Espeak, text: str, voice: str, rng: np.random.Generator, warp: bool = True
) -> tuple[np.ndarray, list[Phone]]:
    """One utterance at 16 kHz with silence around it, and its phones.

    Playing it 0.86 to 1.16 times as fast moves pitch and formants together, as another speaker would.
    """
    speed, pitch = int(rng.uniform(120, 240)), int(rng.uniform(20, 80))
    audio, phones = espeak.speak(text, voice, speed, pitch, int(rng.uniform(20, 80)))
    return played(audio, espeak.rate, phones, rng, float(rng.uniform(0.86, 1.16)) if warp else 1.0)


def played(
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
    """Features of `sound` with curves taught from `phones` and the loudness of `clean`."""
    frames = frames_in(len(sound), RATE)
    taught = viseme_curves(phones, frames, loudness(clean, frames), style)
    times = [[p.name, round(p.start, 4), round(p.end, 4)] for p in phones] if split == "val" else []
    return SpeechClip(extract(sound, RATE), taught.curves, taught.phones, style.astype(np.float32), "taught", split,
                      name, times)  # fmt: skip


def random_style(rng: np.random.Generator) -> np.ndarray:
    """(8,) usual in a third of the clips, else even between -1 and 1."""
    return np.zeros(len(STYLE)) if rng.random() < 0.33 else rng.uniform(-1, 1, len(STYLE))


def synthetic_clips(
    texts: Sequence[str], kept: Sequence[str], options: SpeechData, espeak: Espeak
) -> Iterator[SpeechClip]:  # fmt: skip
    """Training, validation and still clips in that order; equal seeds give equal clips.

    Args:
        texts: what training voices say. kept: what validation voices say, one each.

    Raises:
        UserError: fewer texts kept than validation clips wanted.
    """
    if len(kept) < options.held_out:
        raise UserError(f"data: held_out: {options.held_out}; accepted up to {len(kept)}, as there are texts kept back")
    others: list[np.ndarray] = []
    for i in range(options.clips):
        rng = np.random.default_rng([options.seed, 1, i])
        voice = f"{BASES[rng.integers(len(BASES))]}+{VARIANTS[rng.integers(len(VARIANTS))]}"
        sound, phones = spoken(espeak, texts[int(rng.integers(len(texts)))], voice, rng)
        if not phones:
            continue
        yield _situated(sound, phones, options, rng, others, f"espeak/{voice}/{i}")
    for i in range(options.held_out):
        rng = np.random.default_rng([options.seed, 2, i])
        voice = HELD_OUT[i % len(HELD_OUT)]
        sound, phones = spoken(espeak, kept[i], voice, rng, warp=False)
        if phones:
            usual = np.zeros(len(STYLE))
            yield rule_clip(sound, phones, sound, usual, "val", f"clean/{voice}/{i}")
            yield rule_clip(recorded(sound, rng), phones, sound, usual, "val", f"recorded/{voice}/{i}")
    yield from still_clips(options.still, options.seed)
    yield from sound_clips(options.sounds, options.seed)


def _situated(
    sound: np.ndarray, phones: list[Phone], options: SpeechData, rng: np.random.Generator, others: list[np.ndarray],
    name: str,
) -> SpeechClip:  # fmt: skip
    """A training clip with habits of articulation, pauses and a recording situation, each at its share.

    Args:
        others: what was said before, for voices in the background; the clip is added to it.
    """
    if rng.random() < options.articulated:
        sound = articulate(sound, phones, rng)
    if rng.random() < options.paused:
        sound, phones = insert_pauses(sound, phones, rng, int(rng.integers(1, 4)))
    clean = sound
    if rng.random() > options.clean:
        sound = recorded(sound, rng, others)
    others.append(clean)
    del others[:-OTHERS]
    return rule_clip(sound, phones, clean, random_style(rng), "train", name)


def flite_clips(texts: Sequence[str], options: SpeechData, flite: Flite) -> Iterator[SpeechClip]:
    """Training clips by flite's voices, slower and faster, higher and lower; equal seeds give equal clips."""
    from avatargpt.train.speech_data.synthesizers import VOICES

    others: list[np.ndarray] = []
    for i in range(options.flite):
        rng = np.random.default_rng([options.seed, 7, i])
        voice = VOICES[int(rng.integers(len(VOICES)))]
        text = texts[int(rng.integers(len(texts)))]
        pitch = float(rng.uniform(80, 240)) if rng.random() < 0.6 else None
        audio, rate, phones = flite.speak(text, voice, float(rng.uniform(0.75, 1.35)), pitch)
        sound, phones = played(audio, rate, phones, rng, float(rng.uniform(0.84, 1.2)))
        yield _situated(sound, phones, options, rng, others, f"flite/{voice}/{i}")


def still_clips(count: int, seed: int) -> Iterator[SpeechClip]:
    """Sounds that are no speech: silence, noise of every colour and level, bursts of it, a hum; the mouth rests."""
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
        yield _resting(sound.astype(np.float32), f"still/{i}")


def sound_clips(count: int, seed: int) -> Iterator[SpeechClip]:
    """Sounds that are no speech and stand out of the noise (`avatargpt.train.speech_data.sounds`); the mouth rests."""
    for i in range(count):
        rng = np.random.default_rng([seed, 9, i])
        yield _resting(sounds(float(rng.uniform(3, 8)), rng), f"sound/{i}")


def _resting(sound: np.ndarray, name: str) -> SpeechClip:
    frames = frames_in(len(sound), RATE)
    rest = np.zeros((frames, WIDTH), np.float32)
    return SpeechClip(extract(sound, RATE), rest, np.zeros((frames, 2), np.uint8), name=name)


MISFIT = -1.9
"""Fit of `aligned` below which a sentence is left out: of sentences laid along the text of another
of like length nine tenths score less, of right ones in eleven languages a third, in English hardly any."""
LONG = 4.5
"""Seconds of a clip up to which short sentences of one speaker are put one after the other."""


@dataclass(frozen=True)
class Timed:
    """Real speech with the times of its phones; samples at 16 kHz."""

    name: str
    audio: np.ndarray
    phones: list[Phone]
    split: str

    @property
    def speaker(self) -> str:
        return self.name.rsplit("/", 1)[0]


def timed(spoken: Iterable[Spoken], driver: Driver) -> Iterator[Timed]:
    """Sentences whose text fits their sound, laid along the driver's phone head."""
    for said in spoken:
        if len(said.phones) > len(said.audio) / RATE * 40:
            continue  # nobody speaks 40 sounds a second: text and sound do not belong together
        phones, fit = align_phones(driver, said.audio, said.phones)
        if fit >= MISFIT:
            yield Timed(said.name, said.audio, phones, said.split)


def joined(sentences: Iterable[Timed], rng: np.random.Generator) -> Iterator[Timed]:
    """Short sentences of one speaker, as they come, put one after the other with pauses until they last `LONG`."""
    held: Timed | None = None
    for said in sentences:
        if held is not None and (held.speaker != said.speaker or held.split != said.split):
            yield held
            held = None
        if held is not None:
            pause = np.zeros(round(float(rng.uniform(0.1, 0.5)) * RATE), np.float32)
            at = (len(held.audio) + len(pause)) / RATE
            moved = [Phone(p.name, p.start + at, p.end + at) for p in said.phones]
            said = Timed(held.name, np.concatenate([held.audio, pause, said.audio]), held.phones + moved, said.split)
        held = said
        if len(held.audio) >= LONG * RATE:
            yield held
            held = None
    if held is not None:
        yield held


def labelled_clips(
    spoken: Iterable[Spoken], driver: Driver, copies: int, seed: int, through: float = 0.0
) -> Iterator[SpeechClip]:
    """Clips with taught curves: as they are, and for training `copies` more, played faster or slower and as recorded
    in other places, so that one speaker stands for several; a share `through` of these went through an encoder.
    """
    for i, said in enumerate(joined(timed(spoken, driver), np.random.default_rng([seed, 9]))):
        usual = np.zeros(len(STYLE))
        yield rule_clip(said.audio, said.phones, said.audio, usual, said.split, said.name)
        if said.split != "train":
            continue
        for k in range(copies):
            rng = np.random.default_rng([seed, 5, i, k])
            sound, factor = replayed(said.audio, rng)
            moved = [Phone(p.name, p.start / factor, p.end / factor) for p in said.phones]
            heard = recorded(sound, rng) if rng.random() < 0.75 else sound
            if through and rng.random() < through:
                heard = any_coded(heard, rng)
            yield rule_clip(heard, moved, sound, random_style(rng), "train", f"{said.name}/{k}")

"""Lips on real voices: p, b, m closed, f, v at the teeth and not pressed, and false ones, speaker by speaker.

VOICES has a folder for each speaker, with sounds. Phone times are those of NAME.TextGrid or NAME.phone.json beside
NAME.wav; without them pocketsphinx (extra ``align``) aligns NAME.txt, and words on which it fails do not count.
`borne_out` is the share of labials next to a vowel that are at least 6 dB weaker than it between 400 and 3,500 Hz: how
far the times can be trusted. Labials that are not borne out count all the same. `--curve` shows what the gate of the
lips could do: p, b, m that it closes where it is set to so many false closures, in a frame of theirs or up to so many
beside it (one counts above: a closure that is early or late shows with more), and what the driver hears in the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverOutput
from avatargpt.metrics.face import Lips, channel, find_closed_lips
from avatargpt.speech.alignment import align_words, refine, score_sound
from avatargpt.speech.audio import FPS, RATE, load, resample
from avatargpt.speech.features import extract
from avatargpt.speech.phones import ARPABET, CLOSED, LABIODENTAL, Phone
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.word_files import read
from avatargpt.train.speech_data.labels import MIN_DIP, dips
from vqvae.errors import UserError

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
FALSE = (0.03, 0.05, 0.07, 0.1)
BESIDE = (1, 2, 3)  # frames
CERTAIN = 0.5  # of the gate: above it the lips are nearly closed, and more certainty would close them
LOUD = 15  # frames over which loudness and jaw are averaged, where songs are compared


@dataclass
class Voice:
    """What is counted of one speaker."""

    lips: Lips = field(default_factory=Lips)
    pressed: list[float] = field(default_factory=list)  # f, v away from p, b, m with pressed lips
    borne_out: list[float] = field(default_factory=list)
    loudness: list[float] = field(default_factory=list)  # r of jaw and level, both smoothed, of each sound
    misses: list[str] = field(default_factory=list)
    # Largest logit of the gate in other phones away from p, b, m; in each of these, by frames beside it; of those that
    # fail the gate's largest value and whether the phone heard most is another one than p, b, m
    gate_false: list[float] = field(default_factory=list)
    gate: dict[int, list[float]] = field(default_factory=lambda: {k: [] for k in BESIDE})
    failed: list[tuple[float, bool]] = field(default_factory=list)
    seconds: float = 0.0


def timed(path: Path, audio: np.ndarray, driver: Driver) -> list[Phone]:
    """The phones of a sound, from the file beside it or of pocketsphinx."""
    for suffix in (".TextGrid", ".phone.json"):
        if (file := path.with_name(path.stem + suffix)).is_file():
            phones = [p for word in read(file).words for p in word.phones]
            if phones:
                return phones
    text = path.with_suffix(".txt")
    if not text.is_file():
        return []
    words = transcript_words(text.read_text(encoding="utf-8").lower())
    refined, refused = refine(audio, words, align_words(score_sound(driver, audio), words))
    lost = {k for passage in refused for k in range(passage.first, passage.stop)}
    return [p for k, word in enumerate(refined) if k not in lost for p in word.phones]


def count_gate(voice: Voice, phones: list[Phone], output: DriverOutput) -> None:
    """Add what the gate does in the phones of a sound. Raises UserError where the driver has none."""
    if output.seal is None:
        raise UserError("--curve: a driver with a gate of the lips (model: seal) is needed")
    logits, heard = output.seal[0].numpy(), output.phones[0].softmax(-1).mean(1).numpy()
    shut = find_closed_lips(output.curves[0].numpy())
    lips = [p for p in phones if p.name in CLOSED]
    for p in phones:
        a, b = int(np.ceil(p.start * FPS - 1e-6)), int(np.ceil(p.end * FPS - 1e-6))
        if b <= a or a >= len(logits):
            continue
        if p.name in CLOSED:
            for k in BESIDE:
                voice.gate[k].append(float(logits[max(a - k, 0) : b + k].max()))
            if not shut[max(a - 1, 0) : b + 1].any():
                other = ARPABET[int(heard[a:b].mean(0).argmax())] not in CLOSED
                voice.failed.append((1 / (1 + float(np.exp(-voice.gate[1][-1]))), other))
        elif p.name != "SIL" and all(o.start - p.end > 0.1 or p.start - o.end > 0.1 for o in lips):
            voice.gate_false.append(float(logits[a:b].max()))


def curve_lines(voices: list[Voice]) -> str:
    """Share of p, b, m that the gate closes at some shares of false closures, and what the others are."""
    false = [x for v in voices for x in v.gate_false]
    rows = [f"{'false closures':16s}" + "".join(f"{x:>8.2f}" for x in FALSE)]
    for k in BESIDE:
        hits = np.array([x for v in voices for x in v.gate[k]])
        shares = [float((hits > np.quantile(false, 1 - x)).mean()) for x in FALSE]
        rows.append(f"{f'closed, {k} beside':16s}" + "".join(f"{x:8.3f}" for x in shares))
    failed = [x for v in voices for x in v.failed]
    shallow, other = sum(g > CERTAIN for g, _ in failed), sum(o for _, o in failed)
    rows.append(f"not closed: {len(failed)}, gate above {CERTAIN}: {shallow}, heard as other phones: {other}")
    return "\n".join(rows)


def count(voice: Voice, name: str, audio: np.ndarray, phones: list[Phone], curves: np.ndarray) -> None:
    """Add a sound (n,) at 16 kHz with its phones and curves (T, 55)."""
    voice.seconds += len(audio) / RATE
    voice.lips.add(curves, phones)
    shut = find_closed_lips(curves)
    lips = [p for p in phones if p.name in CLOSED]
    for p in phones:
        a, b = int(np.ceil(p.start * FPS - 1e-6)), int(np.ceil(p.end * FPS - 1e-6))
        if p.name in LABIODENTAL and all(o.start - p.end > 0.1 or p.start - o.end > 0.1 for o in lips):
            voice.pressed.append(float(shut[a:b].any()))
        if p.name in CLOSED | LABIODENTAL:
            one = Lips()
            one.add(curves, [p])
            if not (one.closure + one.contact)[0]:
                voice.misses.append(f"{name} {p.start:.2f} {p.name}")
    voice.borne_out += [float(dip >= MIN_DIP) for _, dip in dips(audio, phones)]
    hop = RATE // FPS
    power = (audio[: len(audio) // hop * hop].reshape(-1, hop) ** 2).mean(1)
    jaw = channel(curves, "jawOpen")[: len(power)]
    if len(jaw) >= 4 * LOUD:
        kernel = np.ones(LOUD) / LOUD
        smooth = [np.convolve(x, kernel, "valid") for x in (jaw, 10 * np.log10(power[: len(jaw)] + 1e-8))]
        voice.loudness.append(float(np.corrcoef(*smooth)[0, 1]))


def measured(folder: Path, driver: Driver, aligner: Driver, gate: bool = False) -> Iterator[tuple[str, Voice]]:
    """Speaker by speaker."""
    for speaker in sorted(p for p in folder.iterdir() if p.is_dir()):
        voice = Voice()
        for path in sorted(p for p in speaker.iterdir() if p.suffix in SOUNDS):
            audio = resample(*load(path))
            if phones := timed(path, audio, aligner):
                count(voice, path.stem, audio, phones, driver.drive(audio, RATE).curves)
                if gate:
                    count_gate(voice, phones, driver.network.clip_output(extract(audio, RATE)))
        if voice.seconds:
            yield speaker.name, voice


def figures(voices: list[Voice]) -> dict[str, tuple[float, int]]:
    """Mean and number of each share, over some speakers."""
    def joined(name: str) -> list[float]:
        return [x for v in voices for x in getattr(v.lips if hasattr(v.lips, name) else v, name)]

    values = {
        "closure": joined("closure"), "contact": joined("contact"), "f, v pressed": joined("pressed"),
        "false closure": joined("closure_vowel") + joined("closure_consonant"),
        "in vowels": joined("closure_vowel"), "in consonants": joined("closure_consonant"),
        "false contact": joined("contact_vowel") + joined("contact_consonant"), "borne_out": joined("borne_out"),
        "jaw, loudness": joined("loudness"),
    }  # fmt: skip
    return {name: (float(np.mean(v)) if v else float("nan"), len(v)) for name, v in values.items()}


def voices_of(folder: Path, model: str | None, gate: bool = False) -> dict[str, Voice]:
    """Speaker -> what is counted. Raises UserError where there is nothing to measure."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; one with a folder of sounds for each speaker is needed")
    voices = dict(measured(folder, Driver.load(model), Driver.load(), gate))
    if not voices:
        raise UserError(f"{folder}: no sound with phone times or a text beside it")
    return voices


def run(voices: Path, model: str | None = None, misses: bool = False, curve: bool = False) -> dict[str, Any]:
    """Measure; `misses`: list the labials that fail (sound, second, phone), `curve`: what the gate could do."""
    counted = voices_of(voices, model, curve)
    shares = {name: figures([voice]) for name, voice in counted.items()} | {"all": figures(list(counted.values()))}
    rows: dict[str, Any] = {w: {n: {"mean": m, "n": k} for n, (m, k) in r.items()} for w, r in shares.items()}
    if misses:
        rows["misses"] = [f"{who}: {miss}" for who, voice in counted.items() for miss in voice.misses]
    if curve:
        print(curve_lines(list(counted.values())))
    return rows

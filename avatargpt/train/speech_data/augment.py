"""Augmentation of speech: rooms, microphones, codecs and noise, on waveforms and on features."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avatargpt.speech.audio import FPS, RATE, resample
from avatargpt.speech.features import BANDS, ENERGY_FLOOR, FLOOR, PER_QUARTER, QUARTERS, extract
from avatargpt.speech.phones import Phone
from vqvae.errors import UserError

_FADE = 96  # samples, 6 ms
_GROUPS = {
    "lips": "B V M".split(), "breath": "F P HH TH".split(), "nasal": "N NG L".split(), "stop": "T K D G".split(),
    "hiss": "S Z SH ZH CH JH DH".split(), "glide": "W R Y".split(),
}  # fmt: skip
# Encoder -> container, bits a second.
CODECS = {"libmp3lame": ("mp3", (16_000, 24_000, 32_000, 48_000, 64_000)), "libopus": ("ogg", (8_000, 12_000, 16_000))}
NEPER = np.log(10) / 10  # of power in a decibel
FLOORS = np.append(np.full(BANDS, FLOOR), ENERGY_FLOOR)
SLOPES = (0.0, 0.5, 1.0, 1.5, 2.0)
NOISE_SECONDS = 60  # of each slope
ROOM_GAIN = (-9.0, 0.5)  # nepers of power, of that noise (-20 dB full scale) without speech
MAX_STRETCH = 0.16  # of frequencies, as their logarithm: between the mouths of a child and of a tall man
DIGITAL_SILENCE = -13.0  # log energy below which a frame holds no recording


def insert_pauses(
    audio: np.ndarray, phones: Sequence[Phone], rng: np.random.Generator, count: int
) -> tuple[np.ndarray, list[Phone]]:
    """Insert silences of 0.2 to 1.2 s at the ends of random phones; later phones are shifted."""
    cuts = sorted({float(phones[i].end) for i in rng.integers(0, len(phones), count)}) if phones else []
    pieces, moved, position, shift = [], list(phones), 0, 0.0
    for cut in cuts:
        at, length = min(len(audio), round(cut * RATE)), round(float(rng.uniform(0.2, 1.2)) * RATE) / RATE
        fade = min(80, at - position)
        piece = audio[position:at].copy()
        if fade > 0:
            piece[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        pieces += [piece, np.zeros(round(length * RATE), np.float32)]
        moved = [
            Phone(p.name, p.start + length, p.end + length) if p.start >= cut + shift - 1e-6 else p for p in moved
        ]
        shift += length
        position = at
    return np.concatenate([*pieces, audio[position:]]), moved


def articulate(audio: np.ndarray, phones: Sequence[Phone], rng: np.random.Generator) -> np.ndarray:
    """Vary articulation: a level and spectrum for each group of phones in a clip, and muffled closures of voiced stops.
    """
    # A synthesizer produces every b alike, with a strong voice behind closed lips.
    out = audio.copy()
    variants = {name: colour(audio, rng, 6.0) * 10 ** (float(rng.normal(0, 4)) / 20) for name in _GROUPS}
    hollow = band(audio, 60, float(rng.uniform(200, 700))) * 10 ** (-float(rng.uniform(0, 18)) / 20)
    for p in phones:
        group = next((name for name, members in _GROUPS.items() if p.name in members), None)
        if group is None:
            continue
        a, b = round(p.start * RATE), min(round(p.end * RATE), len(audio))
        if b - a > 2 * _FADE:
            share = _ramp_ends(b - a)
            out[a:b] += share * (variants[group][a:b] - audio[a:b])
            if p.name in ("B", "D", "G"):
                shut = a + round(float(rng.uniform(0.5, 0.8)) * (b - a))
                if shut - a > 2 * _FADE:
                    out[a:shut] += _ramp_ends(shut - a) * (hollow[a:shut] - out[a:shut])
    return out


def _ramp_ends(samples: int) -> np.ndarray:
    # (n,) weights that rise from 0 to 1 and fall back within 6 ms at both ends.
    edge = np.minimum(np.arange(samples), np.arange(samples)[::-1]) / _FADE
    return np.minimum(edge, 1).astype(np.float32)


def noise(samples: int, rng: np.random.Generator, slope: float | None = None) -> np.ndarray:
    """Noise of unit power whose spectrum falls by `slope` x 10 dB a decade (1 pink, 2 brown); a fifth have hum."""
    slope = float(rng.uniform(0, 2)) if slope is None else slope
    size = 1 << (max(samples, 2) - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / RATE)
    shape = np.maximum(hz, 40.0) ** (-slope / 2)
    white = rng.standard_normal(len(hz)) + 1j * rng.standard_normal(len(hz))
    x = np.fft.irfft(white * shape)[:samples]
    x /= x.std() + 1e-9
    if rng.random() < 0.2:
        t = np.arange(samples) / RATE
        base = float(rng.choice([50.0, 60.0, 100.0, 120.0]))
        for k in range(1, 6):
            x += float(rng.uniform(0, 0.8)) * np.sin(2 * np.pi * (base * k * t + rng.random()))
    return (x / (x.std() + 1e-9)).astype(np.float32)


def echo(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reverberation: an exponential tail of 0.08 to 0.6 s after the direct sound, which keeps its time."""
    length = float(rng.uniform(0.08, 0.6))
    n = round(length * RATE)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    start = round(float(rng.uniform(0.001, 0.012)) * RATE)
    tail[:start] = 0
    tail *= 10 ** (-float(rng.uniform(-2, 16)) / 20) / (np.sqrt((tail**2).sum()) + 1e-9)
    # Direct sound without delay, so that phones keep their times.
    tail[0] = 1.0
    return _filter(audio, tail)


def colour(audio: np.ndarray, rng: np.random.Generator, strength: float = 8.0) -> np.ndarray:
    """A microphone's colour: a smooth random frequency response of +-`strength` dB."""
    points = rng.normal(0, strength / 2, 9)
    hz = np.fft.rfftfreq(512)
    db = np.interp(np.sqrt(hz * 2), np.linspace(0, 1, len(points)), points)
    impulse = np.roll(np.fft.irfft(10 ** (db / 20)), 64)[:128] * np.hanning(128)
    return _filter(audio, impulse, 64)


def band(audio: np.ndarray, low: float, high: float) -> np.ndarray:
    """A band-pass from `low` to `high` Hz."""
    hz = np.fft.rfftfreq(1024, 1 / RATE)
    gain = 1 / (1 + (low / np.maximum(hz, 1)) ** 8) / (1 + (hz / high) ** 16)
    impulse = np.roll(np.fft.irfft(np.sqrt(gain)), 256)[:512] * np.hanning(512)
    return _filter(audio, impulse, 256)


def telephone(audio: np.ndarray) -> np.ndarray:
    """300 to 3400 Hz in 8-bit mu-law."""
    x = np.clip(band(audio, 300, 3400), -1, 1)
    coded = np.round(np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256) * 127) / 127
    return (np.sign(coded) * (256 ** np.abs(coded) - 1) / 255).astype(np.float32)


def _filter(audio: np.ndarray, impulse: np.ndarray, delay: int = 0) -> np.ndarray:
    from scipy.signal import fftconvolve

    out = fftconvolve(audio, impulse)[delay : delay + len(audio)]
    return np.asarray(out, np.float32)


def replay(audio: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Sound at 16 kHz replayed at a random speed, pitch included, and the speed: simulates another speaker."""
    rate = round(RATE * float(rng.uniform(0.84, 1.22)) / 10) * 10
    return resample(audio, rate), rate / RATE


def simulate_recording(
    audio: np.ndarray, rng: np.random.Generator, background: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """A random recording situation of (n,) samples at 16 kHz, each part of it by chance.

    Colour, echo, noise, babble of the `background` speakers, a narrow band, gain and clipping.
    """
    x = audio
    if rng.random() < 0.6:
        x = colour(x, rng)
    if rng.random() < 0.45:
        x = echo(x, rng)
    # The level of speech, pauses left out.
    loud = np.abs(x) > 0.1 * np.abs(x).max(initial=1e-9)
    power = float(np.sqrt((x[loud] ** 2).mean())) if loud.any() else 1e-3
    if rng.random() < 0.75:
        x = x + noise(len(x), rng) * power * 10 ** (-float(rng.uniform(8, 40)) / 20)
    if background and rng.random() < 0.15:
        babble = np.zeros(len(x), np.float32)
        for i in rng.integers(0, len(background), int(rng.integers(2, 6))):
            babble += np.resize(np.roll(background[i], int(rng.integers(len(background[i])))), len(x))
        x = x + babble / (babble.std() + 1e-9) * power * 10 ** (-float(rng.uniform(14, 30)) / 20)
    kind = rng.random()
    if kind < 0.1:
        x = telephone(x / (np.abs(x).max() + 1e-9) * 0.9)
    elif kind < 0.3:
        x = band(x, float(rng.uniform(30, 250)), float(rng.uniform(3500, 8000)))
    x = x / (np.abs(x).max() + 1e-9) * 10 ** (-float(rng.uniform(1, 30)) / 20)
    if rng.random() < 0.08:
        x = np.clip(x * float(rng.uniform(2, 6)), -0.5, 0.5)
    return np.asarray(x, np.float32)


def encode_and_decode(audio: np.ndarray, codec: str, bits: int) -> np.ndarray:
    """(n,) 16 kHz encoded and decoded, without a delay."""
    try:
        import av
    except ImportError:
        raise UserError('coded speech needs PyAV: pip install "avatargpt[video]"') from None
    container, _ = CODECS[codec]
    if codec not in av.codecs_available:
        raise UserError(f"PyAV was built without the encoder {codec}; set the share of coded clips to 0")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(np.asarray(audio, np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        to_stream = av.AudioResampler(format=stream.format, layout="mono", rate=RATE)
        for part in (*to_stream.resample(frame), *to_stream.resample(None)):
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    file.seek(0)
    # Encoders pad at the end.
    sound = decode_file(file, RATE)[0][: len(audio)]
    return np.asarray(np.pad(sound, (0, len(audio) - len(sound))), np.float32)


def decode_file(file: io.BytesIO, rate: int | None = None) -> tuple[np.ndarray, int]:
    """An encoded file -> its sound (n,) mono float32, and its rate; `rate` None = the file's."""
    import av

    pieces = [np.zeros(0, np.float32)]
    container: Any = av.open(file)
    with container as stream:
        rate = rate or int(stream.streams.audio[0].codec_context.sample_rate)
        back = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for part in stream.decode(audio=0):
            pieces += [p.to_ndarray()[0] for p in back.resample(part)]
        pieces += [p.to_ndarray()[0] for p in back.resample(None)]
    return np.concatenate(pieces), rate


def any_coded(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) 16 kHz through a random codec at one of its rates."""
    codec = sorted(CODECS)[int(rng.integers(len(CODECS)))]
    rates = CODECS[codec][1]
    return encode_and_decode(audio, codec, rates[int(rng.integers(len(rates)))])


def _loop_rows(rows: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    return np.take(rows, int(rng.integers(len(rows))) + np.arange(frames), 0, mode="wrap")


def _noises() -> np.ndarray:
    # (slopes, T, 4, 83) features of noise.
    rows = []
    for i, slope in enumerate(SLOPES):
        sound = 0.1 * noise(NOISE_SECONDS * RATE, np.random.default_rng([11, i]), slope)
        rows.append(extract(sound, RATE)[30:].reshape(-1, QUARTERS, PER_QUARTER))
    return np.stack(rows)


@dataclass
class Disturber:
    """Recording situations applied to features (B, T, 4, 83), so that every draw of a window differs at little cost.

    Powers are added band by band, as those of independent sounds are on average. Equal generators give equal results.
    """

    # formants: share of rows whose spectrum is stretched, as a shorter or longer mouth would
    formants: float = 0.0
    # colour, echo: shares of rows with another frequency response, with reverberation
    colour: float = 0.0
    echo: float = 0.0
    # noise, sounds: shares of rows with noise or another row's voice, or with a sound of `bank`, in the background
    noise: float = 0.0
    sounds: float = 0.0
    bank: Sequence[np.ndarray] = field(default=(), repr=False)  # features (T, 4, 83) of sounds without speech
    _noise_rows: np.ndarray | None = field(default=None, repr=False)

    def __call__(self, parts: np.ndarray, rng: np.random.Generator) -> None:
        """Change the rows in place."""
        voices = parts.copy() if self.noise else parts
        for row in range(len(parts)):
            if self.formants and rng.random() < self.formants:
                _move_formants(parts[row], rng)
            if rng.random() < self.colour:
                _colour_features(parts[row], rng)
            if rng.random() < self.echo:
                _echo_features(parts[row], rng)
            if rng.random() < self.noise:
                self._add_noise(parts[row], voices[int(rng.integers(len(parts)))], rng)
            if self.sounds and rng.random() < self.sounds:
                self._add_sound(parts[row], rng)

    def _add_sound(self, part: np.ndarray, rng: np.random.Generator) -> None:
        # Keys, a breath and the like behind speech, at most as loud as the voice.
        loud = float(np.quantile(part[..., BANDS], 0.95))
        if loud < DIGITAL_SILENCE:
            return
        sound = self._random_sound(len(part), rng)
        add_background(part, sound, loud - float(rng.uniform(0, 30)) * NEPER - float(sound[..., BANDS].max()))

    def _random_sound(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        return _loop_rows(self.bank[int(rng.integers(len(self.bank)))], frames, rng).astype(np.float32)

    def room(self, frames: int, rng: np.random.Generator) -> np.ndarray | None:
        """(T, 4, 83) features without speech; None = silence.

        A share `sounds` of the draws is a sound of `bank`, a share `noise` of the rest is noise.
        """
        if self.sounds and rng.random() < self.sounds:
            return self._random_sound(frames, rng)
        if not self.noise or rng.random() >= self.noise:
            return None
        part = np.zeros((frames, QUARTERS, PER_QUARTER), np.float32)
        part[..., : BANDS + 1] = np.log(FLOORS)
        add_background(part, self._stretch(frames, rng), float(rng.uniform(*ROOM_GAIN)))
        return part

    def _stretch(self, frames: int, rng: np.random.Generator) -> np.ndarray:
        if self._noise_rows is None:
            self._noise_rows = _noises()
        return _loop_rows(self._noise_rows[int(rng.integers(len(SLOPES)))], frames, rng)

    def _add_noise(self, part: np.ndarray, voice: np.ndarray, rng: np.random.Generator) -> None:
        if rng.random() < 0.15:
            background, above = np.roll(voice, int(rng.integers(len(voice))), 0), float(rng.uniform(14, 30))
        else:
            background, above = self._stretch(len(part), rng), float(rng.uniform(5, 45))
        loud = float(np.quantile(part[..., BANDS], 0.95))
        if loud < DIGITAL_SILENCE:
            return  # silence has no level that the noise could be related to
        add_background(part, background, loud - above * NEPER - float(np.quantile(background[..., BANDS], 0.95)))


def add_background(part: np.ndarray, background: np.ndarray, gain: float) -> None:
    """Add a background to `part`, both (T, 4, 83), in place; `gain` in nepers of power."""
    front, back = part[..., BANDS].copy(), background[..., BANDS] + gain
    part[..., :BANDS] = np.logaddexp(part[..., :BANDS], background[..., :BANDS] + gain)
    part[..., BANDS] = np.logaddexp(front, back)
    # Autocorrelations of independent sounds add up, too: voicing and pitch are weighted by power.
    share = 1 / (1 + np.exp(np.clip(back - front, -30, 30)))[..., None]
    part[..., BANDS + 1 :] = share * part[..., BANDS + 1 :] + (1 - share) * background[..., BANDS + 1 :]


def _move_formants(part: np.ndarray, rng: np.random.Generator) -> None:
    # Another speaker: frequencies times a factor; pitch stays.
    lowest, highest = 2595 * np.log10(1 + np.array([20.0, 7600.0]) / 700)
    hz = 700 * (10 ** (np.linspace(float(lowest), float(highest), BANDS + 2)[1:-1] / 2595) - 1)
    at = np.interp(hz / np.exp(float(rng.uniform(-MAX_STRETCH, MAX_STRETCH))), hz, np.arange(BANDS))
    low = np.minimum(at.astype(int), BANDS - 2)
    share = (at - low).astype(part.dtype)
    bands = part[..., :BANDS]
    part[..., :BANDS] = (1 - share) * bands[..., low] + share * bands[..., low + 1]


def _colour_features(part: np.ndarray, rng: np.random.Generator) -> None:
    # A smooth random frequency response, at times with a cut-off.
    points = rng.normal(0, 4.0, 9)
    db = np.interp(np.linspace(0, 8, BANDS), np.arange(9), points)
    if rng.random() < 0.25:
        db -= 4.0 * np.clip(np.arange(BANDS) - int(rng.integers(BANDS // 2, BANDS)), 0, None)
    if rng.random() < 0.15:
        db -= 3.0 * np.clip(int(rng.integers(2, 16)) - np.arange(BANDS), 0, None)
    power = np.maximum(np.exp(part[..., :BANDS]) - FLOOR, 0)
    part[..., :BANDS] = np.log(power * np.exp(db * NEPER) + FLOOR)


def _echo_features(part: np.ndarray, rng: np.random.Generator) -> None:
    # A tail that falls by 60 dB within 0.08 to 0.6 s, as in `echo`.
    from scipy.signal import lfilter

    decay = 10 ** (-6 / (FPS * QUARTERS * float(rng.uniform(0.08, 0.6))))
    gain = (1 - decay) * 10 ** (-float(rng.uniform(-2, 16)) / 10)
    flat = part[..., : BANDS + 1].reshape(-1, BANDS + 1)
    power = np.maximum(np.exp(flat) - FLOORS, 0)
    flat = np.log(power + lfilter([0.0, gain], [1.0, -decay], power, axis=0) + FLOORS)
    part[..., : BANDS + 1] = flat.reshape(*part.shape[:2], BANDS + 1)

"""Speech as it comes out of an encoder: mp3 and Opus at low rates, which most recordings went through once."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from avatargpt.speech.audio import RATE
from vqvae.errors import UserError

CODECS = {"libmp3lame": ("mp3", (16_000, 24_000, 32_000, 48_000, 64_000)), "libopus": ("ogg", (8_000, 12_000, 16_000))}
"""Encoder -> container, bits a second."""


def coded(audio: np.ndarray, codec: str, bits: int) -> np.ndarray:
    """(n,) 16 kHz through an encoder and back; nothing moves in time.

    Raises:
        UserError: PyAV is not installed, or the encoder is not in it.
    """
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
    heard = decoded(file, RATE)[0][: len(audio)]
    return np.asarray(np.pad(heard, (0, len(audio) - len(heard))), np.float32)


def decoded(file: io.BytesIO, rate: int | None = None) -> tuple[np.ndarray, int]:
    """What an encoder wrote -> its sound (n,) mono float32, and its rate; that of the file where none is wanted.

    Raises:
        av.FFmpegError, IndexError: it cannot be decoded, or has no sound.
    """
    import av

    pieces = [np.zeros(0, np.float32)]
    opened: Any = av.open(file)
    with opened as heard:
        rate = rate or int(heard.streams.audio[0].codec_context.sample_rate)
        back = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for part in heard.decode(audio=0):
            pieces += [p.to_ndarray()[0] for p in back.resample(part)]
        pieces += [p.to_ndarray()[0] for p in back.resample(None)]
    return np.concatenate(pieces), rate


def any_coded(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) 16 kHz through one of `CODECS` at one of its rates."""
    codec = sorted(CODECS)[int(rng.integers(len(CODECS)))]
    rates = CODECS[codec][1]
    return coded(audio, codec, rates[int(rng.integers(len(rates)))])

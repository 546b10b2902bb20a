"""`Driver`: speech (and text) to face, from the packaged or a trained folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.speech.folder import load_network, save_network
from vqvae.errors import UserError

if TYPE_CHECKING:
    import torch

    from avatargpt.speech.direction import Direction
    from avatargpt.speech.network import DriverNetwork
    from avatargpt.speech.stream import FaceStream
    from vqvae.face import FaceMotion

NAME = "driver"  # of the files
VERSION = 2  # of the folder's layout


class Driver:
    """A trained driver network with what it needs to listen.

    Attributes:
        network: `avatargpt.speech.network.DriverNetwork` in evaluation mode, float32, on the CPU.
    """

    def __init__(self, network: DriverNetwork) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Driver:
        """Read ``driver.json`` and ``driver.safetensors``.

        Raises:
            UserError: missing, damaged, or of another version.
        """
        from avatargpt.speech.network import DriverConfig, DriverNetwork

        return cls(load_network(folder, NAME, VERSION, lambda about: DriverNetwork(DriverConfig(**about))))

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder; `dtype` bfloat16 halves it (feature statistics stay float32)."""
        return save_network(self.network, folder, NAME, VERSION, dtype)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        from avatargpt.evaluation.report import fingerprint

        return fingerprint(self.network)

    def stream(self, rate: int = 16_000, **options: Any) -> FaceStream:
        """A live stream, see `avatargpt.speech.stream.FaceStream`."""
        from avatargpt.speech.stream import FaceStream

        return FaceStream(self, rate, **options)

    def drive(
        self, audio: str | os.PathLike[str] | np.ndarray | None = None, rate: int = 16_000,
        direction: Direction | None = None, style: np.ndarray | None = None, seconds: float | None = None,
        head: str = "taught", progress: Callable[[int], None] | None = None,
    ) -> FaceMotion:  # fmt: skip
        """A whole clip, by the same frames as a stream.

        Args:
            audio: a sound file, samples (n,) or (n, channels) at `rate`, or None: no speech, `seconds` of it.
            direction: emotion and facial instructions over time.
            style: (8,) see `avatargpt.speech.teacher.STYLE`.
            head: ``taught`` or ``paired``.
            progress: called with the frames made so far.

        Raises:
            UserError: a file that is no sound, samples that are not finite, neither sound nor seconds, more than 2 h.
        """
        from avatargpt.speech import audio as sound
        from vqvae.face import FaceMotion

        parts: Iterable[np.ndarray]
        if audio is None:
            if not seconds or not 0 < seconds <= sound.MAX_SECONDS:
                raise UserError(f"without sound a length is needed: {seconds!r}; accepted: seconds above 0, up to 2 h")
            rate, parts = sound.RATE, [np.zeros(round(seconds * sound.RATE), np.float32)]
        elif isinstance(audio, np.ndarray):
            if audio.size == 0:
                raise UserError("the sound is 0 s long; at least one sample is needed")
            sound.check_rate(rate, 1, "sound")
            mono = sound.to_mono(audio)
            if not np.isfinite(mono).all():
                raise UserError("sound with samples that are not numbers (NaN or infinite)")
            if len(mono) > sound.MAX_SECONDS * rate:
                hours = f"{len(mono) / rate / 3600:.1f} h of sound"
                raise UserError(f"{hours}; accepted: up to {sound.MAX_SECONDS // 3600} h, cut it into parts")
            parts = np.array_split(mono, max(1, len(mono) // sound.BLOCK))
        else:
            rate, parts = sound.inspect(audio).rate, sound.blocks(audio)
        stream = self.stream(rate, direction=direction, style=style, head=head)
        frames = []
        for part in parts:
            frames.append(stream.push(part))
            if progress is not None:
                progress(stream.frames)
        curves = np.concatenate([*frames, stream.finish()])
        return FaceMotion.from_curves(curves, float(sound.FPS))

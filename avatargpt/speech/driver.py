"""`Driver`: speech (and text) to face, from the packaged or a trained folder."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vqvae.errors import UserError
from vqvae.motion import atomic_write

if TYPE_CHECKING:
    import torch

    from avatargpt.speech.direction import Direction
    from avatargpt.speech.network import DriverNetwork
    from avatargpt.speech.stream import FaceStream
    from vqvae.face import FaceMotion

CONFIG, WEIGHTS = "driver.json", "driver.safetensors"
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
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from avatargpt.speech.network import DriverConfig, DriverNetwork

        folder = Path(folder)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise UserError(f"{folder}: no {name} in it; a folder of the driver stage is needed")
        try:
            about = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            if about.pop("version") != VERSION:
                raise ValueError("another version")
            network = DriverNetwork(DriverConfig(**about))
            state = load_file(folder / WEIGHTS)
            network.load_state_dict({k: v.float() for k, v in state.items()})
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, OSError) as e:
            raise UserError(f"{folder}: not a driver of this version ({str(e).splitlines()[0]})") from None
        return cls(network.to(torch.float32))

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder; `dtype` bfloat16 halves it (feature statistics stay float32)."""
        from safetensors.torch import save_file

        folder = Path(folder)
        state = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        if dtype is not None:
            state = {k: v if k in ("mean", "std") else v.to(dtype) for k, v in state.items()}
        text = json.dumps({"version": VERSION, **dataclasses.asdict(self.network.config)}, indent=1) + "\n"
        atomic_write(folder / WEIGHTS, lambda p: save_file(state, p))
        return atomic_write(folder / CONFIG, lambda p: p.write_text(text, encoding="utf-8")).parent

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
        return FaceMotion(curves[:, :52], curves[:, 52:], float(sound.FPS))

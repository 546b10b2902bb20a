"""`Driver`: speech (and text) to face, from the packaged or a trained folder."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.audio_model.conditioning import HEADS
from avatargpt.lm.checkpoint import driver_folder, in_eight_bits, load_part, remove_part, save_part
from vqvae.errors import UserError

if TYPE_CHECKING:
    import torch

    from avatargpt.face.audio_model.conditioning import Direction
    from avatargpt.face.audio_model.network import DriverNetwork
    from avatargpt.face.audio_model.stream import FaceStream
    from vqvae.face import FaceMotion

NAME, NAME_OF_PAIRS = "driver", "paired"  # of the files
VERSION = 2  # of the folder's layout


class Driver:
    """A trained driver network.

    Attributes:
        network: `avatargpt.face.audio_model.network.DriverNetwork` in evaluation mode, float32, on the CPU.
        paired: the one whose `paired` head has the mouth as in recorded pairs: a network of its own, which may look
            further ahead, or `network`.
        eight_bits: whether streams multiply with weights of eight bits, as they are stored in the folder.
        source: where it comes from, for messages.

    Raises:
        UserError: a network of pairs that looks ahead less far than the other.
    """

    def __init__(
        self, network: DriverNetwork, paired: DriverNetwork | None = None, eight_bits: bool = False,
        source: str = "this driver",
    ) -> None:  # fmt: skip
        self.network, self.paired, self.eight_bits = network.eval(), (paired or network).eval(), eight_bits
        self.source = source
        # One stream of features serves both networks, with the delay of the one of pairs.
        ahead = [net.config.look_ahead for net in (self.network, self.paired)]
        if ahead[0] > ahead[1]:
            raise UserError(f"a driver that looks {ahead[0]} frames ahead, and one of pairs that looks only {ahead[1]}")

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> Driver:
        """Read ``driver.json`` and ``driver.safetensors``, and the two files called ``paired`` where they exist.

        Args:
            folder: of a driver; None = the packaged one.

        Raises:
            UserError: missing, damaged, or of another version.
        """
        from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork

        folder = driver_folder() if folder is None else folder

        def build(about: dict[str, Any]) -> DriverNetwork:
            return DriverNetwork(DriverConfig.read(about, "shape"))

        separate = (Path(folder) / f"{NAME_OF_PAIRS}.json").exists()
        paired = load_part(folder, NAME_OF_PAIRS, VERSION, build) if separate else None
        return cls(load_part(folder, NAME, VERSION, build), paired, in_eight_bits(folder, NAME), str(folder))

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder, in place of a driver that is there; `dtype` bfloat16 halves all but feature statistics."""
        if self.paired is not self.network:
            self.save_paired(folder, dtype)
        else:
            remove_part(folder, NAME_OF_PAIRS)
        return save_part(self.network, folder, NAME, VERSION, dtype)

    def save_paired(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the network of recorded pairs alone, beside a driver that is or will be there."""
        return save_part(self.paired, folder, NAME_OF_PAIRS, VERSION, dtype)

    @property
    def heads(self) -> tuple[str, ...]:
        """Those of `HEADS` that were trained: the bias of the recorded one is zero before."""
        return HEADS if bool(self.paired.paired.bias.any()) else HEADS[:1]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        from torch import nn

        from avatargpt.lm.checkpoint import fingerprint

        separate = self.paired is not self.network
        return fingerprint(nn.ModuleList([self.network, self.paired]) if separate else self.network)

    @property
    def look_ahead(self) -> int:
        """Feature frames beyond a frame that its output needs."""
        return self.network.config.look_ahead

    def phone_scores(self, features: np.ndarray) -> np.ndarray:
        """Features (T, 332) of a complete sound -> (2 T, 40) log-probabilities of the phones in each half frame."""
        import torch

        out = self.network.clip_output(features)
        return np.asarray(torch.log_softmax(out.phones[0], -1).flatten(0, 1).numpy())

    def stream(self, rate: int = 16_000, **options: Any) -> FaceStream:
        """A live stream, see `avatargpt.face.audio_model.stream.FaceStream`."""
        from avatargpt.face.audio_model.stream import FaceStream

        return FaceStream(self, rate, **options)

    def drive(
        self, audio: str | os.PathLike[str] | np.ndarray | None = None, rate: int = 16_000,
        direction: Direction | None = None, style: np.ndarray | None = None, seconds: float | None = None,
        head: str = "rule", progress: Callable[[int], None] | None = None,
    ) -> FaceMotion:  # fmt: skip
        """A complete clip, with the same frames as a stream.

        Args:
            audio: a sound file, samples (n,) or (n, channels) at `rate`, or None: no speech, `seconds` of it.
            direction: emotion and facial instructions over time.
            style: (8,) see `avatargpt.face.audio_model.visemes.STYLE`.
            head: ``rule`` or ``recorded``.
            progress: called with the number of frames so far.

        Raises:
            UserError: a file that is no sound, samples that are not finite, neither sound nor seconds, more than 2 h.
        """
        from avatargpt.speech import audio as sound
        from vqvae.face import FaceMotion

        parts: Iterable[np.ndarray]
        if audio is None:
            if not seconds or not 0 < seconds <= sound.MAX_SECONDS:
                raise UserError(f"without sound a length is needed: {seconds!r}; accepted: seconds above 0, up to 2 h")
            # Rounded before the ceiling: 31 / 30 s are a hair more than 31 frames of samples.
            rate, parts = sound.RATE, [np.zeros(math.ceil(round(seconds * sound.RATE, 3)), np.float32)]
        else:
            source = sound.open_sound(audio, rate)
            rate, parts = source.about.rate, source.parts
        stream = self.stream(rate, direction=direction, style=style, head=head)
        frames = []
        for part in parts:
            frames.append(stream.push(part))
            if progress is not None:
                progress(stream.frames)
        curves = np.concatenate([*frames, stream.finish()])
        return FaceMotion.from_curves(curves, float(sound.FPS))

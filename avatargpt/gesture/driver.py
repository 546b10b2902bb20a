"""`GestureDriver`: speech, words and the other speaker to gesture features, from a trained folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.lm.checkpoint import fingerprint, load_part, save_part
from vqvae.errors import UserError

if TYPE_CHECKING:
    import torch

    from avatargpt.gesture.decoding import Decodes
    from avatargpt.gesture.network import GestureNetwork
    from avatargpt.gesture.stream import Gestures, GestureStream

NAME = "gesture"  # of the files
VERSION = 1  # of the folder's layout


class GestureDriver:
    """A trained gesture network, and the tokenizer whose codes it speaks.

    Attributes:
        network: `avatargpt.gesture.network.GestureNetwork` in evaluation mode, float32, on the CPU.
        source: where it comes from, for messages.
    """

    def __init__(
        self, network: GestureNetwork, source: str = "this gesture network", tokenizer: Decodes | None = None
    ) -> None:
        self.network, self.source, self._tokenizer = network.eval(), source, tokenizer

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> GestureDriver:
        """Read ``gesture.json`` and ``gesture.safetensors``, and the tokenizer beside them, if there is one.

        Raises:
            UserError: missing, damaged, of another version, or the tokenizer of another network.
        """
        from avatargpt.gesture.config import GestureConfig
        from avatargpt.gesture.network import GestureNetwork
        from vqvae.tokenizer import MotionTokenizer

        def made(about: dict[str, Any]) -> GestureNetwork:
            return GestureNetwork(GestureConfig.read(about, "shape"))

        driver = cls(load_part(folder, NAME, VERSION, made), str(folder))
        if (Path(folder) / "tokenizer.json").is_file():
            tokenizer = MotionTokenizer.load(folder)
            driver.check_tokenizer(tokenizer.fingerprint)
            driver._tokenizer = tokenizer
        return driver

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder; `dtype` bfloat16 halves all but feature statistics."""
        return save_part(self.network, folder, NAME, VERSION, dtype)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        return fingerprint(self.network)

    @property
    def tokenizer(self) -> Decodes:
        """Decodes the codes that the network speaks.

        Raises:
            UserError: it does not lie beside the network.
        """
        if self._tokenizer is None:
            raise UserError(f"{self.source}: no tokenizer.json beside the network, so its tokens cannot be decoded; "
                            "accepted: its tokenizer in the same folder, or the head 'features'")  # fmt: skip
        return self._tokenizer

    def check_tokenizer(self, fingerprint: str) -> None:
        """Raises UserError for another tokenizer than the one whose codes this network speaks."""
        own = self.network.config.tokenizer
        if own != fingerprint:
            raise UserError(f"{self.source}: speaks the codes of tokenizer {own[:12] or 'unknown'}, not of "
                            f"{fingerprint[:12]}; accepted: the tokenizer that it was trained with")  # fmt: skip

    def style(self, speaker: str | int | Sequence[float] | np.ndarray | None) -> np.ndarray:
        """(8,) float32: of a speaker by name or number, as given in numbers, or zero (nobody's own) for None.

        Raises:
            UserError: a speaker that is not in the table, or another shape.
        """
        from avatargpt.gesture.config import STYLE

        names = self.network.config.speakers
        if speaker is None:
            return np.zeros(STYLE, np.float32)
        if isinstance(speaker, str):
            if speaker not in names and not (speaker.isdecimal() and int(speaker) < len(names)):
                known = ", ".join(names) if names else "none, it knows no speakers"
                raise UserError(f"{self.source}: no speaker {speaker!r}; accepted: {known}")
            speaker = names.index(speaker) if speaker in names else int(speaker)
        if isinstance(speaker, int):
            if not 0 <= speaker < len(names):
                raise UserError(f"{self.source}: no speaker {speaker}; accepted: 0 to below {len(names)}, their number")
            return np.asarray(self.network.speakers.weight[speaker].detach().numpy(), np.float32)
        given = np.asarray(speaker, np.float32)
        if given.shape != (STYLE,) or not np.isfinite(given).all():
            raise UserError(f"a style of shape {given.shape}; accepted: {STYLE} finite numbers")
        return given

    def stream(self, **options: Any) -> GestureStream:
        """A live stream, see `avatargpt.gesture.stream.GestureStream`."""
        from avatargpt.gesture.stream import GestureStream

        return GestureStream(self, **options)

    def perform(
        self, audio: np.ndarray, words: np.ndarray | None = None, other_audio: np.ndarray | None = None,
        other_words: np.ndarray | None = None, **options: Any,
    ) -> Gestures:  # fmt: skip
        """A whole clip from its rows, by the same steps as a stream.

        Args:
            audio: (T, A) features. words: (T, V), None = off. other_audio, other_words: the interlocutor's.
            options: of `GestureStream`.

        Raises:
            UserError: rows of another shape, or of a different number of frames.
        """
        from avatargpt.gesture.stream import Gestures

        if not len(audio):
            raise UserError("speech features without a frame; accepted: at least one")
        given = {"words": words, "other_audio": other_audio, "other_words": other_words}
        for name, rows in given.items():
            if rows is not None and len(rows) != len(audio):
                raise UserError(f"{name}: {len(rows)} frames beside {len(audio)} of audio; accepted: as many")
        stream = self.stream(words=words is not None, other=other_audio is not None,
                             other_words=other_words is not None, **options)  # fmt: skip
        return Gestures.joined([stream.push(audio, words, other_audio, other_words), stream.finish()])

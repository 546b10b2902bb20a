"""`GestureDriver`: a trained gesture network with its tokenizer, loaded from a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.gesture.config import STYLE, GestureConfig, Speaker
from avatargpt.lm.checkpoint import fingerprint, load_part, save_part
from vqvae.errors import UserError

if TYPE_CHECKING:
    import torch

    from avatargpt.gesture.network import GestureNetwork
    from vqvae.tokenizer import MotionTokenizer

NAME = "gesture"  # of the files
VERSION = 1  # of the folder's layout


class GestureDriver:
    """A trained gesture network, and the tokenizer whose codes it predicts."""

    def __init__(
        self, network: GestureNetwork, source: str = "this gesture network", tokenizer: MotionTokenizer | None = None
    ) -> None:
        # network: `avatargpt.gesture.network.GestureNetwork` in evaluation mode, float32, on the CPU
        # source: where it was loaded from, for messages
        self.network, self.source, self._tokenizer = network.eval(), source, tokenizer

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> GestureDriver:
        """Read ``gesture.json`` and ``gesture.safetensors``, and the tokenizer in the same folder, if there is one.

        Raises UserError: missing, damaged, of another version, or the tokenizer of another network.
        """
        from avatargpt.gesture.network import GestureNetwork
        from vqvae.tokenizer import MotionTokenizer

        def build(shape: dict[str, Any]) -> GestureNetwork:
            return GestureNetwork(GestureConfig.read(shape, "shape"))

        driver = cls(load_part(folder, NAME, VERSION, build), str(folder))
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
    def tokenizer(self) -> MotionTokenizer:
        """The decoder of the network's codes. Raises UserError where the folder has none."""
        if self._tokenizer is None:
            raise UserError(f"{self.source}: no tokenizer.json beside the network, so its tokens cannot be decoded; "
                            "accepted: its tokenizer in the same folder, or the head 'features'")  # fmt: skip
        return self._tokenizer

    def check_tokenizer(self, fingerprint: str) -> None:
        """Raises UserError for another tokenizer than the one whose codes this network predicts."""
        expected = self.network.config.tokenizer
        if expected != fingerprint:
            raise UserError(f"{self.source}: speaks the codes of tokenizer {expected[:12] or 'unknown'}, not of "
                            f"{fingerprint[:12]}; accepted: the tokenizer that it was trained with")  # fmt: skip

    def style(self, speaker: Speaker) -> np.ndarray:
        """(8,) float32 style of a speaker."""
        names = self.network.config.speakers
        if speaker is None:
            return np.zeros(STYLE, np.float32)
        if isinstance(speaker, str):
            if speaker not in names and not (speaker.isdecimal() and int(speaker) < len(names)):
                accepted = ", ".join(names) if names else "none, it knows no speakers"
                raise UserError(f"{self.source}: no speaker {speaker!r}; accepted: {accepted}")
            speaker = names.index(speaker) if speaker in names else int(speaker)
        if isinstance(speaker, int):
            if not 0 <= speaker < len(names):
                raise UserError(f"{self.source}: no speaker {speaker}; accepted: 0 to below {len(names)}, their number")
            return np.asarray(self.network.speakers.weight[speaker].detach().numpy(), np.float32)
        style = np.asarray(speaker, np.float32)
        if style.shape != (STYLE,) or not np.isfinite(style).all():
            raise UserError(f"a style of shape {style.shape}; accepted: {STYLE} finite numbers")
        return style

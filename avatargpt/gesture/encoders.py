"""Speech encoders of Hugging Face (wav2vec 2.0, HuBERT, WavLM) as features of the gesture network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from avatargpt.gesture.features import interpolated
from avatargpt.gesture.pretrained import check_layer, frozen
from avatargpt.speech.audio import FPS, RATE, frames_in, resample
from vqvae.errors import UserError

CORE, AROUND = 20, 2  # s that one pass gives, and s that it hears before and after them
ACCEPTED = "a folder or the Hugging Face name of a wav2vec 2.0, HuBERT, WavLM or like encoder"


class SpeechEncoder:
    """A frozen encoder of 16 kHz sound, read in windows of fixed length so that hours need no more memory than seconds.

    It hears up to two seconds ahead and is therefore not for live use.

    Args:
        name: folder or Hugging Face name. layer: whose hidden states are given; -1 = the last.

    Attributes:
        width: of a row.

    Raises:
        UserError: no such model, or one that does not hear raw sound.
    """

    def __init__(self, name: str, layer: int = -1, device: str = "cpu") -> None:
        import torch

        self._model = frozen(name, name, "speech encoder", ACCEPTED).to(device)
        c = self._model.config
        if not hasattr(c, "conv_stride") or not hasattr(c, "conv_kernel"):
            raise UserError(f"{name}: does not hear raw sound; accepted: {ACCEPTED}")
        check_layer(self._model, layer, name)
        self.name, self.layer, self.width = name, layer, int(c.hidden_size)
        self._torch, self._device = torch, device
        self._normal = self._normalises(name)
        self._stride, self._field = 1, 1  # samples between states, and that a state sees
        for kernel, stride in zip(c.conv_kernel, c.conv_stride, strict=True):
            self._field += (kernel - 1) * self._stride
            self._stride *= stride

    @staticmethod
    def _normalises(name: str) -> bool:
        """Whether the sound is brought to zero mean and unit variance before it is heard, as the model's files say."""
        from transformers import AutoFeatureExtractor

        try:
            return bool(getattr(AutoFeatureExtractor.from_pretrained(name), "do_normalize", True))
        except (OSError, ValueError):  # none beside the weights: the library's own default
            return True

    def rows(self, audio: np.ndarray, rate: int) -> Iterator[np.ndarray]:
        """A signal (n,) -> its frames' rows (k, width) float32, part after part: `frames_in(n, rate)` in all."""
        wave = resample(audio, rate)
        total = frames_in(len(audio), rate)
        size = (CORE + 2 * AROUND) * RATE
        for start in range(0, total, CORE * FPS):
            begin = (start // FPS - AROUND) * RATE
            window = np.zeros(size, np.float32)
            low, high = max(begin, 0), min(begin + size, len(wave))
            window[low - begin : max(high, low) - begin] = wave[low:high]
            states = self._states(window, low - begin, max(high, low) - begin)
            frames = np.arange(start, min(start + CORE * FPS, total))
            middle = (frames + 0.5) / FPS * RATE - begin
            yield interpolated(states, (middle - (self._field - 1) / 2) / self._stride)

    def _states(self, window: np.ndarray, low: int, high: int) -> np.ndarray:
        """(samples,) -> (states, width). Mean and variance are those of [low, high), where there is sound."""
        torch = self._torch
        if self._normal and high > low:
            heard = window[low:high]
            window[low:high] = (heard - heard.mean()) / np.sqrt(heard.var() + 1e-7)
        with torch.inference_mode():
            said = self._model(torch.from_numpy(window)[None].to(self._device), output_hidden_states=True)
        return np.asarray(said.hidden_states[self.layer][0].float().cpu().numpy())

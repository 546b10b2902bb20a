"""A code stream decoded as it grows, equal to decoding all of it at the end."""

from __future__ import annotations

import numpy as np

from vqvae.tokenizer import MotionTokenizer


class StreamDecoder:
    """Decodes windows of the stream with the decoder's whole receptive field around them.

    Features come out as soon as nothing that follows can change them: `tokenizer.decoder_context` tokens later than
    their codes. Kept are at most twice that many tokens besides what was pushed last.

    Args:
        tokenizer: of the stream's modality.
    """

    def __init__(self, tokenizer: MotionTokenizer) -> None:
        self.tokenizer, self.context = tokenizer, tokenizer.decoder_context
        self.codes = np.zeros((0, tokenizer.config.levels), np.int64)
        self.start = 0  # index within `codes` of the first token whose features are still to come

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Add (N, R) codes; returns the features (M * downsample, D) that are final now, M >= 0 tokens."""
        self.codes = np.concatenate([self.codes, codes])
        return self._features(len(self.codes) - self.context)

    def finish(self) -> np.ndarray:
        """The stream ends here: the remaining features."""
        return self._features(len(self.codes))

    def _features(self, stop: int) -> np.ndarray:
        """Features up to token `stop` of `codes`; forgets the codes that no window needs any more."""
        if stop <= self.start:
            return np.zeros((0, self.tokenizer.spec.dim), np.float32)
        step = self.tokenizer.downsample
        out = self.tokenizer.decode_features(self.codes[: stop + self.context])[self.start * step : stop * step]
        drop = max(0, stop - self.context)
        self.codes, self.start = self.codes[drop:], stop - drop
        return out

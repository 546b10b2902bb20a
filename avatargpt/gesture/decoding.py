"""From logits to frames of motion features: sampling of codes, windowed decoding, smoothing."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from vqvae.errors import UserError

# Tokens of context on both sides of a decoded one. With two after it, frames are within 0.005 standard deviations of
# those of a whole talk, and jerk is a third higher (docs/experiments.md).
BEFORE, AFTER = 8, 2
BATCH = 2  # tokens decoded in one call: most of the time is call overhead
# Further tokens that may be needed before a token's frames are decoded.
DECODING_DELAY = AFTER + BATCH - 1
SMOOTHING_WINDOW, SMOOTHING_DEGREE = 9, 2
# Frames by which a smoothed stream lags.
SMOOTHING_DELAY = SMOOTHING_WINDOW // 2


class Sampler:
    """Nucleus sampling (Holtzman et al. 2020) of codes, one after the other; equal seeds draw equal codes.

    Args:
        temperature: 0 = always the likeliest code.
        top_p: share of the probability, from the likeliest code down, that may be drawn.
    """

    def __init__(self, temperature: float = 1.0, top_p: float = 0.95, seed: int = 0) -> None:
        if not (np.isfinite(temperature) and temperature >= 0):
            raise UserError(f"temperature {temperature}; accepted: 0 or above")
        if not 0 < top_p <= 1:
            raise UserError(f"top_p {top_p}; accepted: above 0, up to 1")
        self.temperature, self.top_p = temperature, top_p
        self._rng = np.random.default_rng([seed, 30])

    def __call__(self, logits: np.ndarray) -> int:
        """(K,) logits -> a code."""
        chance = float(self._rng.random())  # one draw a code, at every temperature
        if self.temperature == 0:
            return int(logits.argmax())
        scaled = (logits.astype(np.float64) - logits.max()) / self.temperature
        likelihood = np.exp(scaled)
        order = np.argsort(-likelihood)
        total = np.cumsum(likelihood[order])
        last = int(np.searchsorted(total, self.top_p * total[-1]))  # the code that reaches top_p is still in
        at = np.searchsorted(total[: last + 1], chance * total[min(last, len(total) - 1)], side="right")
        return int(order[min(int(at), last)])


class CodeDecoder(Protocol):
    """The part of `vqvae.tokenizer.MotionTokenizer` that streams use."""

    def decode_features(self, codes: np.ndarray) -> np.ndarray:
        """(N, R) codes -> (N * n, F) features."""
        ...


class WindowedDecoder:
    """Streaming decoder: codes (k, R) in, frames of the tokens whose window is complete out.

    Args:
        decoder: the tokenizer. downsample: n, frames of a token. levels, features: R, F.
    """

    def __init__(self, decoder: CodeDecoder, downsample: int, levels: int, features: int) -> None:
        self._decoder, self._frames, self._features = decoder, downsample, features
        self._codes = np.zeros((0, levels), np.int64)  # the last ones
        self._first = 0  # number of the first token in `_codes`
        self._decoded = 0  # tokens whose frames are out

    def push(self, codes: np.ndarray) -> np.ndarray:
        """(k, R) -> (j * n, F)."""
        self._codes = np.concatenate([self._codes, codes])
        return self._decode_until((self._first + len(self._codes) - AFTER) // BATCH * BATCH)

    def end(self) -> np.ndarray:
        """The frames of the last tokens, which have no context after them."""
        return self._decode_until(self._first + len(self._codes))

    def _decode_until(self, stop: int) -> np.ndarray:
        out = [np.zeros((0, self._features), np.float32)]
        for token in range(self._decoded, stop, BATCH):
            start, after = max(token - BEFORE, 0), min(token + BATCH, stop)
            window = self._codes[start - self._first : after + AFTER - self._first]
            at = slice((token - start) * self._frames, (after - start) * self._frames)
            out.append(self._decoder.decode_features(window)[at])
        self._decoded = max(self._decoded, stop)
        drop = max(self._decoded - BEFORE, 0) - self._first
        if drop > 0:
            self._codes, self._first = self._codes[drop:].copy(), self._first + drop
        return np.concatenate(out)


def savitzky_golay(window: int, degree: int = SMOOTHING_DEGREE) -> np.ndarray:
    """(window, window) float32: row i gives the fitted polynomial's value at frame i as a sum over all frames."""
    place = np.linspace(-1.0, 1.0, window) if window > 1 else np.zeros(1)
    basis, _ = np.linalg.qr(np.vander(place, min(degree, window - 1) + 1))
    return np.asarray(basis @ basis.T, np.float32)


class Smoothing:
    """Streaming Savitzky-Golay filter (1964): the parabola through nine frames, evaluated at its middle.

    Window 9 and degree 2 as in LLAniMation (arXiv 2405.08042). The last four frames are evaluated on the parabola of
    the last nine, as ``scipy.signal.savgol_filter(mode="interp")`` does; the first four on those of the frames up to
    four later, so that their delay is no longer.
    """

    def __init__(self) -> None:
        self._filter = savitzky_golay(SMOOTHING_WINDOW)
        self._window: list[np.ndarray] = []  # the last nine frames at most
        self._count = 0

    def push(self, frames: np.ndarray) -> np.ndarray:
        """(k, F) -> (j, F) frames that are due."""
        out = []
        for frame in frames:
            self._window = [*self._window[-(SMOOTHING_WINDOW - 1) :], frame]
            self._count += 1
            if self._count > SMOOTHING_DELAY:
                window, row = np.stack(self._window), len(self._window) - 1 - SMOOTHING_DELAY
                weights = self._filter if len(window) == SMOOTHING_WINDOW else savitzky_golay(len(window))
                out.append(weights[row] @ window)
        return np.stack(out) if out else frames[:0]

    def end(self) -> np.ndarray:
        """The frames still due, (j, F)."""
        frames, self._window = self._window, []
        if not frames:
            return np.zeros((0, 0), np.float32)
        window, due = np.stack(frames), min(len(frames), SMOOTHING_DELAY)
        return np.stack([row @ window for row in savitzky_golay(len(window))[-due:]])

"""From logits to frames of motion features: sampling of codes, windowed decoding, smoothing."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from vqvae.errors import UserError


class Sampler:
    """Draws codes one after the other; equal seeds draw equal codes.

    Args:
        temperature: 0 = always the likeliest. share: of the probability, from the likeliest code down, that may be
            drawn (nucleus sampling, Holtzman et al. 2020). seed: of the draws.

    Raises:
        UserError: values out of bounds.
    """

    def __init__(self, temperature: float = 1.0, share: float = 0.95, seed: int = 0) -> None:
        if not (np.isfinite(temperature) and temperature >= 0):
            raise UserError(f"temperature {temperature}; accepted: 0 or above")
        if not 0 < share <= 1:
            raise UserError(f"share {share}; accepted: above 0, up to 1")
        self.temperature, self.share = temperature, share
        self._rng = np.random.default_rng([seed, 30])

    def __call__(self, logits: np.ndarray) -> int:
        """(K,) logits -> a code."""
        chance = float(self._rng.random())  # one draw a code, at every temperature
        if self.temperature == 0:
            return int(logits.argmax())
        scaled = (logits.astype(np.float64) - logits.max()) / self.temperature
        likely = np.exp(scaled)
        order = np.argsort(-likely)
        upto = np.cumsum(likely[order])
        last = int(np.searchsorted(upto, self.share * upto[-1]))  # the code that reaches the share is still in
        at = np.searchsorted(upto[: last + 1], chance * upto[min(last, len(upto) - 1)], side="right")
        return int(order[min(int(at), last)])


BEFORE, AFTER = 8, 2
"""Tokens that are decoded with one, before and after it: with two after, frames are within 0.005 standard deviations of
those of a whole talk, and jerk is a third higher (docs/experiments.md)."""


TOGETHER = 2  # tokens that are decoded in one go: most of the time is spent on calling
WAIT = AFTER + TOGETHER - 1
"""Tokens after one that may have to be known before its frames are out."""


class Decodes(Protocol):
    """What a stream needs of a `vqvae.tokenizer.MotionTokenizer`."""

    def decode_features(self, codes: np.ndarray) -> np.ndarray:
        """(N, R) codes -> (N * n, F) features."""
        ...


class Decoding:
    """Codes (k, R) in, the frames of those whose window is complete out; every token by the same operations.

    Args:
        decodes: the tokenizer. downsample: n, frames of a token. levels, features: R, F.
    """

    def __init__(self, decodes: Decodes, downsample: int, levels: int, features: int) -> None:
        self._decodes, self._frames, self._features = decodes, downsample, features
        self._kept = np.zeros((0, levels), np.int64)  # the last codes
        self._first = 0  # number of the first one kept
        self._made = 0  # tokens whose frames are out

    def push(self, codes: np.ndarray) -> np.ndarray:
        """(k, R) -> (j * n, F)."""
        self._kept = np.concatenate([self._kept, codes])
        return self._until((self._first + len(self._kept) - AFTER) // TOGETHER * TOGETHER)

    def end(self) -> np.ndarray:
        """The frames of the last tokens, which have nothing after them."""
        return self._until(self._first + len(self._kept))

    def _until(self, stop: int) -> np.ndarray:
        out = [np.zeros((0, self._features), np.float32)]
        for token in range(self._made, stop, TOGETHER):
            start, after = max(token - BEFORE, 0), min(token + TOGETHER, stop)
            window = self._kept[start - self._first : after + AFTER - self._first]
            at = slice((token - start) * self._frames, (after - start) * self._frames)
            out.append(self._decodes.decode_features(window)[at])
        self._made = max(self._made, stop)
        drop = max(self._made - BEFORE, 0) - self._first
        if drop > 0:
            self._kept, self._first = self._kept[drop:].copy(), self._first + drop
        return np.concatenate(out)


WINDOW, DEGREE = 9, 2
HALF = WINDOW // 2
"""Frames by which a smoothed stream is behind."""


def fitted(window: int, degree: int = DEGREE) -> np.ndarray:
    """(window, window) float32: row i gives the value of the fitted polynomial at frame i as a sum over all frames."""
    place = np.linspace(-1.0, 1.0, window) if window > 1 else np.zeros(1)
    basis, _ = np.linalg.qr(np.vander(place, min(degree, window - 1) + 1))
    return np.asarray(basis @ basis.T, np.float32)


class Smoothing:
    """Frames (k, F) in, the smoothed ones that are known so far out; every frame by the same operations."""

    def __init__(self) -> None:
        self._fit = fitted(WINDOW)
        self._held: list[np.ndarray] = []  # the last nine frames at most
        self._seen = 0

    def push(self, frames: np.ndarray) -> np.ndarray:
        """(k, F) -> (j, F) frames that are due."""
        out = []
        for frame in frames:
            self._held = [*self._held[-(WINDOW - 1) :], frame]
            self._seen += 1
            if self._seen > HALF:  # of the first frames the parabola goes through as many as are there
                window, row = np.stack(self._held), len(self._held) - 1 - HALF
                out.append(fitted(len(window))[row] @ window if len(window) < WINDOW else self._fit[row] @ window)
        return np.stack(out) if out else frames[:0]

    def end(self) -> np.ndarray:
        """The frames still due, (j, F)."""
        held, self._held = self._held, []
        if not held:
            return np.zeros((0, 0), np.float32)
        window, due = np.stack(held), min(len(held), HALF)
        return np.stack([row @ window for row in fitted(len(window))[-due:]])


def smoothed(frames: np.ndarray) -> np.ndarray:
    """A whole clip (T, F), the same as from a stream of it."""
    smoothing = Smoothing()
    first = smoothing.push(frames)
    return np.concatenate([first, smoothing.end()]) if len(frames) else frames

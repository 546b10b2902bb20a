"""How a gesture token is drawn from its logits."""

from __future__ import annotations

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

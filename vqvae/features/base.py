"""What every feature layout offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from vqvae.motion import Motion


class FeatureSpec(ABC):
    """Converts Motion <-> the (T, D) float32 array that networks see.

    Attributes:
        name: identifies the layout in checkpoints.
        fps: frame rate of the features.
        dim: D.
    """

    name: str
    fps: float
    dim: int

    @abstractmethod
    def encode(self, motion: Motion) -> np.ndarray:
        """Motion (resampled to `fps`, made canonical) -> (T, D) float32."""

    @abstractmethod
    def decode(self, features: np.ndarray, caption: str = "") -> Motion:
        """(T, D) -> canonical Motion."""

    @abstractmethod
    def slices(self) -> dict[str, slice]:
        """Name of every group of channels -> its slice of D."""

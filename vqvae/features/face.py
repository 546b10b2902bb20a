"""The `face` layout: 52 ARKit weights and the head's rotation, 30 frames per second.

| channels | what | unit |
|---|---|---|
| 0:52 | blendshape weights, Apple's order (`vqvae.arkit.NAMES`) | 0 to 1 |
| 52:55 | head yaw (+ left), pitch (+ up), roll (+ to the right shoulder) | radians |

All channels are absolute, so any stretch of frames stands alone and no error adds up.
"""

from __future__ import annotations

import numpy as np

from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.features.base import FeatureSpec
from vqvae.motion import Motion

_STARTS = {"eyes": 0, "jaw": 14, "mouth": 18, "brows": 41, "cheeks": 46, "nose": 49, "tongue": 51, "head": 52}


class FaceFeatures(FeatureSpec):
    """See the module's table. Exactly invertible."""

    name, fps, dim = "face", 30.0, arkit.COUNT + 3

    def slices(self) -> dict[str, slice]:
        stops = [*list(_STARTS.values())[1:], self.dim]
        return {name: slice(start, stop) for (name, start), stop in zip(_STARTS.items(), stops, strict=True)}

    def encode(self, motion: FaceMotion | Motion) -> np.ndarray:
        """FaceMotion (resampled to 30 fps) -> (T, 55) float32.

        Raises:
            UserError: the motion is not a face's.
        """
        if not isinstance(motion, FaceMotion):
            raise UserError(f"a {motion.modality} motion where a face is needed")
        motion = motion.resampled(self.fps)
        return motion.curves

    # A face is no Motion; tokenizers and exporters use only what both offer.
    def decode(self, features: np.ndarray, caption: str = "") -> FaceMotion:  # type: ignore[override]
        """(T, 55) -> FaceMotion; weights outside [0, 1] are clipped, angles to half a turn."""
        x = np.asarray(features, np.float32)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise UserError(f"face: features {x.shape}; accepted (T, {self.dim})")
        head = np.clip(x[:, arkit.COUNT :], -np.pi, np.pi)
        return FaceMotion(x[:, : arkit.COUNT], head, self.fps, caption)

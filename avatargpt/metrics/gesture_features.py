"""FGD: Frechet distance of the codes that a small auto-encoder gives to rotations of the upper body."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from avatargpt import resources
from avatargpt.lm.checkpoint import read_optional
from avatargpt.metrics.gesture_motion import UPPER, at_30
from avatargpt.metrics.statistics import fid
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.tensors import load_tensors
from vqvae.motion import Motion, atomic_write

FILE = "gesture_features.safetensors"
FRAMES, STEP = 64, 8  # of a window at 30 fps (2.1 s), and from one to the next
CHANNELS = 6 * len(UPPER)
MIN_SPREAD = 0.1  # of a channel: what hardly moves must not weigh like what does


class GestureAutoEncoder(nn.Module):
    """Windows of rotations to a vector and back."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 48, latent: int = 32) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("std", torch.ones(CHANNELS))
        self.encoder = nn.Sequential(
            nn.Conv1d(CHANNELS, width, 4, 2, 1), nn.GELU(), nn.Conv1d(width, width, 4, 2, 1), nn.GELU(),
            nn.Conv1d(width, width, 4, 2, 1), nn.GELU(), nn.Flatten(), nn.Linear(width * FRAMES // 8, latent),
        )  # fmt: skip
        self.widen = nn.Linear(latent, width * FRAMES // 8)
        self.decoder = nn.Sequential(
            nn.GELU(), nn.ConvTranspose1d(width, width, 4, 2, 1), nn.GELU(), nn.ConvTranspose1d(width, width, 4, 2, 1),
            nn.GELU(), nn.ConvTranspose1d(width, CHANNELS, 4, 2, 1),
        )  # fmt: skip

    def normal(self, windows: Tensor) -> Tensor:
        """(B, 64, 78) rotations -> the same in standard deviations of the training data."""
        return (windows - self.mean) / self.std

    def encode(self, normal: Tensor) -> Tensor:
        """(B, 64, 78) standard deviations -> (B, latent)."""
        return torch.as_tensor(self.encoder(normal.transpose(1, 2)))

    def decode(self, latent: Tensor) -> Tensor:
        """(B, latent) -> (B, 64, 78) standard deviations."""
        wide = self.widen(latent).view(len(latent), self.width, -1)
        return torch.as_tensor(self.decoder(wide)).transpose(1, 2)


def windows(motion: Motion, step: int = STEP) -> np.ndarray:
    """(N, 64, 78) float32: local rotations (6-d, Zhou et al. 2019) of the upper body's 13 joints at 30 fps."""
    q = at_30(motion, FRAMES).rotations[:, UPPER].astype(np.float64)
    x = rot.to_6d(q).reshape(len(q), CHANNELS).astype(np.float32)
    return np.stack([x[i : i + FRAMES] for i in range(0, len(x) - FRAMES + 1, step)])


class GestureFeatureEncoder:
    """The trained encoder: motion -> vectors that FGD compares."""

    def __init__(self, network: GestureAutoEncoder) -> None:
        self.network = network.eval()

    @torch.inference_mode()
    def __call__(self, motion: Motion) -> np.ndarray:
        """(N, latent) of a clip's `windows`. Raises UserError for clips below 64 frames."""
        inputs = self.network.normal(torch.from_numpy(windows(motion)))
        return np.asarray(self.network.encode(inputs).numpy())

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> Path:
        """Write ``gesture_features.safetensors``: the encoder alone; bfloat16 changes FGD by some thousandths."""
        from safetensors.torch import save_file

        prefixes = ("mean", "std", "encoder.")
        weights = {k: v for k, v in self.network.state_dict().items() if k.startswith(prefixes)}
        state = {k: v.detach().cpu().contiguous().to(dtype) for k, v in weights.items()}
        return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> GestureFeatureEncoder:
        """The encoder of a folder; None = of the packaged weights."""
        def make(state: dict[str, Tensor]) -> GestureFeatureEncoder:
            latent = len(state["encoder.7.bias"])
            network = GestureAutoEncoder(len(state["encoder.0.bias"]), latent)
            missing = {k: v for k, v in network.state_dict().items() if k not in state}
            if any(k.startswith(("encoder.", "mean", "std")) for k in missing):
                raise ValueError("tensors of the encoder are missing")
            network.load_state_dict(missing | state)
            return cls(network)

        folder = resources.weights() / "gesture" if folder is None else folder
        features = read_optional(Path(folder) / FILE, "encoder of gestures", load_tensors, make)
        if features is None:
            raise UserError(f"{folder}: no {FILE} in it; accepted: a folder of the fgd stage")
        return features


def fgd(generated: Sequence[Motion], real: Sequence[Motion], features: GestureFeatureEncoder) -> float:
    """Frechet distance of the `features` of two sets of motions, in their units squared; 0 for the same set.

    Source: Yoon et al. 2020 (Speech Gesture Generation from the Trimodal Context). Comparable only under the same
    weights and at similar numbers of windows: few windows raise it.
    """
    a, b = (
        np.concatenate([features(m) for m in motions]) if motions else np.zeros((0, 1))
        for motions in (generated, real)
    )
    if min(len(a), len(b)) < 2:
        raise UserError(f"FGD of {len(a)} and {len(b)} windows; at least two of each are needed: longer motions")
    return fid(a, b)

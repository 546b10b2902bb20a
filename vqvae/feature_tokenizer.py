"""The residual VQ-VAE of a tokenizer: features <-> latents <-> discrete codes, in pieces of any length."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import nn

from vqvae import modalities
from vqvae.errors import UserError
from vqvae.networks import Decoder, Encoder, context_tokens
from vqvae.quantizers import FrozenVQ, codebooks, residual_vq
from vqvae.strict import Flag, NonNegativeInt, Number, PositiveInt, Strict


class TokenizerConfig(Strict):
    """Everything that defines a tokenizer but its weights.

    Attributes:
        downsample: frames per token. code_dim: C. codebook_size: K. levels: R.
        width, fine_width: channels at the token rate and at the frame rate.
        direct: a straight linear path beside the convolutions, which begins as principal components.
    """

    modality: str = "body"
    downsample: PositiveInt = 4
    code_dim: PositiveInt = 128
    codebook_size: PositiveInt = 512
    levels: PositiveInt = 6
    width: PositiveInt = 384
    fine_width: PositiveInt = 128
    encoder_dilations: list[PositiveInt] = [1, 3, 1]
    decoder_dilations: list[PositiveInt] = [1, 3, 9, 3, 1]
    encoder_fine: list[NonNegativeInt] = [1]
    decoder_fine: list[NonNegativeInt] = [1, 3]
    ema_decay: Number = 0.97
    commitment: Number = 0.25
    dead_below: Number = 0.5
    direct: Flag = False


class FeatureTokenizer(nn.Module):
    """Residual VQ-VAE over one modality's features, with its normaliser.

    Shapes: T frames, D features, N = ceil(T / downsample) tokens, R levels, K codes a level, C code size.

    Args:
        trainable: False leaves out what only training needs (`quantizers.FrozenVQ`); the weights are the same.

    Attributes:
        mean, std: (D,) normaliser of the features.
    """

    mean: torch.Tensor
    std: torch.Tensor
    vq: Any

    def __init__(self, config: TokenizerConfig, trainable: bool = True) -> None:
        super().__init__()
        self.config = config
        self.spec = modalities.get(config.modality).features()
        c = config
        self.encoder = Encoder(
            self.spec.dim, c.code_dim, c.width, c.fine_width, c.encoder_dilations, c.encoder_fine, c.downsample,
            c.direct,
        )  # fmt: skip
        self.decoder = Decoder(
            self.spec.dim, c.code_dim, c.width, c.fine_width, c.decoder_dilations, c.decoder_fine, c.downsample,
            c.direct,
        )  # fmt: skip
        if trainable:
            self.vq = residual_vq(c.code_dim, c.levels, c.codebook_size, c.ema_decay, c.commitment, c.dead_below)
        else:
            self.vq = FrozenVQ(c.code_dim, c.levels, c.codebook_size)
        self.register_buffer("mean", torch.zeros(self.spec.dim))
        self.register_buffer("std", torch.ones(self.spec.dim))
        self._encoder_context = context_tokens(c.encoder_dilations, c.encoder_fine, c.downsample)
        self.decoder_context = context_tokens(c.decoder_dilations, c.decoder_fine, c.downsample)

    @property
    def downsample(self) -> int:
        return self.config.downsample

    @property
    def tokens_per_second(self) -> float:
        return self.spec.fps / self.config.downsample

    @property
    def codebooks(self) -> torch.Tensor:
        """(R, K, C) float32."""
        return codebooks(self.vq)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of layout, codebooks and feature statistics: what a language model's codes mean depends on these."""
        digest = hashlib.sha256(f"{self.spec.name}:{self.spec.dim}:{self.config.downsample}".encode())
        for tensor in (self.codebooks, self.mean, self.std):
            digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).tobytes())
        return digest.hexdigest()

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Training pass on normalised features (B, T, D).

        Returns:
            reconstruction (B, T, D) normalised, codes (B, N, R), commitment loss (scalar).
        """
        z = self.encoder(features.transpose(1, 2)).transpose(1, 2)
        with torch.autocast(z.device.type, enabled=False):
            quantised, codes, commit = self.vq(z.float())
        out = self.decoder(quantised.transpose(1, 2)).transpose(1, 2)
        return out, codes, commit.sum()

    def normalise(self, features: np.ndarray) -> torch.Tensor:
        return (torch.as_tensor(features, dtype=torch.float32, device=self.mean.device) - self.mean) / self.std

    def pad(self, features: np.ndarray) -> np.ndarray:
        """Lengthen (T, D) to a multiple of `downsample` by holding the last pose (velocities zero)."""
        missing = -len(features) % self.downsample
        if not missing:
            return features
        last = features[-1:].copy()
        groups = self.spec.slices()
        for name in ("velocity", "yaw", "joint_velocity"):
            if name in groups:
                last[:, groups[name]] = 0
        return np.concatenate([features, np.repeat(last, missing, 0)])

    @torch.inference_mode()
    def encode_features(self, features: np.ndarray, chunk: int = 256) -> np.ndarray:
        """(T, D) features -> codes (N, R) int64, in overlapping chunks of `chunk` tokens (same as in one piece)."""
        x = self.normalise(self.pad(features))
        total, context, step = len(x) // self.downsample, self._encoder_context, self.downsample
        parts = []
        for start in range(0, total, chunk):
            a, b = max(0, start - context), min(total, start + chunk + context)
            z = self.encoder(x[None, a * step : b * step].transpose(1, 2)).transpose(1, 2)
            parts.append(self.vq(z[:, start - a : min(start + chunk, total) - a])[1][0])
        return torch.cat(parts).cpu().numpy().astype(np.int64)

    @torch.inference_mode()
    def decode_features(self, codes: np.ndarray, chunk: int = 256) -> np.ndarray:
        """Codes to features in overlapping chunks of `chunk` tokens (same as in one piece).

        Args:
            codes: (N, R') with 1 <= R' <= R levels, (N,) level 0 only, or (B, N, R') several of one length.

        Returns:
            (N * downsample, D) float32, or (B, N * downsample, D).
        """
        c = np.asarray(codes)
        z = self.latents(c.reshape(-1, c.shape[-1])).unflatten(0, c.shape[:2]) if c.ndim == 3 else self.latents(c)[None]
        total, context, step = z.shape[1], self.decoder_context, self.downsample
        parts = []
        for start in range(0, total, chunk):
            a, b, stop = max(0, start - context), min(total, start + chunk + context), min(start + chunk, total)
            y = self.decoder(z[:, a:b].transpose(1, 2)).transpose(1, 2)
            parts.append(y[:, (start - a) * step : (stop - a) * step])
        out = (torch.cat(parts, 1) * self.std + self.mean).cpu().numpy()
        return out if c.ndim == 3 else out[0]

    def latents(self, codes: np.ndarray) -> torch.Tensor:
        """Sum of the code vectors of all given levels: (N, R') or (N,) -> (N, C)."""
        c = np.asarray(codes)
        c = c[:, None] if c.ndim == 1 else c
        if not len(c) or c.ndim != 2 or c.shape[1] > self.config.levels:
            raise UserError(f"codes of shape {c.shape}; accepted (tokens, 1..{self.config.levels}), at least one token")
        if c.min() < 0 or c.max() >= self.config.codebook_size:
            raise UserError(f"codes {c.min()}..{c.max()}; accepted 0..{self.config.codebook_size - 1}")
        index = torch.as_tensor(c, device=self.mean.device)
        books = self.codebooks
        return torch.stack([books[r][index[:, r]] for r in range(c.shape[1])]).sum(0)

    @torch.inference_mode()
    def encode_latents(self, features: np.ndarray, start: int, stop: int) -> torch.Tensor:
        """The encoder's output before quantisation for tokens [start, stop) of (T, D) features: (stop - start, C)."""
        x, step = self.normalise(features), self.downsample
        a, b = max(0, start - self._encoder_context), min(len(x) // step, stop + self._encoder_context)
        z = self.encoder(x[None, a * step : b * step].transpose(1, 2)).transpose(1, 2)[0]
        return z[start - a : stop - a].clone()

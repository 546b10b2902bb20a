"""Encoder and decoder of the motion tokenizer.

Both work mostly at the token rate (a quarter of the frame rate): a light stage at full rate, one strided convolution,
then residual blocks on which nearly all the arithmetic is spent. For equal quality that is several times cheaper on
a CPU than the classic stack that stays at full rate (T2M-GPT, arXiv 2301.06052). All receptive fields are finite, so
long motion can be processed in overlapping chunks with the same result as in one piece.
"""

from __future__ import annotations

import torch
from torch import nn


class ResidualBlock(nn.Module):
    """Pre-activation residual block: dilated 3-tap convolution, then a 1-tap one."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        # Starts as the identity, so that depth does not slow the first steps.
        nn.init.zeros_(self.mix.weight)
        if self.mix.bias is not None:
            nn.init.zeros_(self.mix.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv(nn.functional.silu(x))
        return x + self.mix(nn.functional.silu(h))


def _stack(width: int, dilations: list[int]) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width, d) for d in dilations))


class Encoder(nn.Module):
    """(B, D, T) features -> (B, C, T / downsample) latents; T is a multiple of `downsample`."""

    def __init__(
        self, dim: int, code_dim: int, width: int, fine_width: int, dilations: list[int], fine: list[int],
        downsample: int, direct: bool = False,
    ) -> None:
        super().__init__()
        self.inp = nn.Conv1d(dim, fine_width, 3, padding=1)
        self.fine = _stack(fine_width, fine)
        self.down = nn.Conv1d(fine_width, width, downsample, stride=downsample)
        self.coarse = _stack(width, dilations)
        self.out = nn.Conv1d(width, code_dim, 1)
        self.direct = nn.Conv1d(dim, code_dim, downsample, stride=downsample) if direct else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.down(nn.functional.silu(self.fine(self.inp(x))))
        z: torch.Tensor = self.out(nn.functional.silu(self.coarse(h)))
        return z if self.direct is None else z + self.direct(x)


class Decoder(nn.Module):
    """(B, C, N) quantised latents -> (B, D, N * downsample) features."""

    def __init__(
        self, dim: int, code_dim: int, width: int, fine_width: int, dilations: list[int], fine: list[int],
        downsample: int, direct: bool = False,
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.inp = nn.Conv1d(code_dim, width, 3, padding=1)
        self.coarse = _stack(width, dilations)
        self.up = nn.Conv1d(width, fine_width * downsample, 1)
        self.fine = _stack(fine_width, fine)
        self.out = nn.Conv1d(fine_width, dim, 3, padding=1)
        self.direct = nn.Conv1d(code_dim, dim * downsample, 1) if direct else None

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        h = self._frames(self.up(nn.functional.silu(self.coarse(self.inp(z)))))
        x: torch.Tensor = self.out(nn.functional.silu(self.fine(h)))
        return x if self.direct is None else x + self._frames(self.direct(z))

    def _frames(self, h: torch.Tensor) -> torch.Tensor:
        """(B, C * downsample, N) -> (B, C, N * downsample), channel by channel."""
        batch, _, tokens = h.shape
        h = h.view(batch, -1, self.downsample, tokens).transpose(2, 3)
        return h.reshape(batch, -1, tokens * self.downsample)


@torch.no_grad()
def begin_direct(encoder: Encoder, decoder: Decoder, frames: torch.Tensor) -> None:
    """Let encoder and decoder begin as the principal components of the data, the convolutions adding nothing.

    A convolutional auto-encoder learns what is common first and takes very long over what is rare (a turned head, the
    tongue); components hold every channel from the first step.

    Args:
        frames: (N, downsample, D) normalised features of N tokens.
    """
    if encoder.direct is None or decoder.direct is None:
        raise ValueError("networks without a direct path")
    count, downsample, dim = frames.shape
    flat = frames.reshape(count, -1).double()
    size = encoder.out.out_channels
    _, directions = torch.linalg.eigh(flat.T @ flat / count)
    basis = directions.flip(1)[:, :size].float()  # (downsample * D, at most C), largest first
    size = basis.shape[1]
    per_frame = basis.reshape(downsample, dim, size)
    for layer in (encoder.direct, encoder.out, decoder.direct, decoder.out):
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()
    encoder.direct.weight[:size] = per_frame.permute(2, 1, 0)  # (C, D, downsample)
    decoder.direct.weight[:, :size, 0] = per_frame.permute(1, 0, 2).reshape(dim * downsample, size)


def context_tokens(dilations: list[int], fine: list[int], downsample: int) -> int:
    """Tokens on each side that can influence a token's output, for encoder and decoder alike."""
    return sum(dilations) + 1 + -(-(sum(fine) + 1) // downsample) + 1

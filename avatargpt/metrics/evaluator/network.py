"""The networks of the evaluator: a convolutional motion encoder and a small head on frozen sentence vectors.

Contrastive matching as in TMR (Petrovich et al. 2023, arXiv 2305.00976), small enough to be shipped. It is another
network on other features than the scorer that chooses among candidates (`avatargpt.lm.scorer`), which must not judge
them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.metrics.evaluator.features import CHANNELS

SENTENCE = 384
LOUD = 8.0  # unit sentence vectors times this have entries of about the size that layers expect
LIMIT = 6.0  # standard deviations beyond which a number is cut off
STRIDE = 4  # frames of a position of the blocks


class _Block(nn.Module):
    """A residual convolution over time, (B, width, L) -> same."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        # Normalised at each position alone: what pads a row must not change it.
        h = F.layer_norm(x.transpose(1, 2), x.shape[1:2]).transpose(1, 2) * mask
        return (x + self.drop(self.mix(F.gelu(self.wide(h))))) * mask


class EvaluatorNetwork(nn.Module):
    """Frames and sentence vectors to unit vectors of one space.

    Args:
        width: channels of the convolutions. hidden: of the text's head. dim: of the space. blocks: residual ones, each
            of twice the reach of the one before. dropout: in training.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, width: int = 128, hidden: int = 160, dim: int = 128, blocks: int = 3, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("std", torch.ones(CHANNELS))
        self.first = nn.Conv1d(CHANNELS, width, 5, 2, 2)
        self.second = nn.Conv1d(width, width, 5, 2, 2)
        self.blocks = nn.ModuleList(_Block(width, 2**i, dropout) for i in range(blocks))
        self.out = nn.Linear(4 * width, dim)
        self.text = nn.Sequential(
            nn.Linear(SENTENCE, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )  # fmt: skip
        self.drop = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.tensor(2.5))  # log of the inverse temperature

    def see(self, frames: Tensor, lengths: Tensor, noise: float = 0.0) -> Tensor:
        """Motions as unit vectors; what pads a row does not change its vector.

        Args:
            frames: (B, T, 137) of `joint_features`, padded behind. lengths: (B,) frames of each.
            noise: standard deviation of what is added in training, in those of the channels.

        Returns:
            (B, dim).
        """
        x = ((frames - self.mean) / self.std).clamp(-LIMIT, LIMIT)
        if noise:
            x = x + noise * torch.randn_like(x)
        at = torch.arange(x.shape[1], device=x.device)
        x = (x * (at < lengths[:, None])[..., None]).transpose(1, 2)
        half = -(-lengths // 2)
        x = F.gelu(self.first(x)) * (at[: -(-x.shape[2] // 2)] < half[:, None])[:, None]
        count = -(-half // 2)
        inside = at[: -(-x.shape[2] // 2)] < count[:, None]
        mask = inside[:, None].to(x.dtype)
        x = F.gelu(self.second(x)) * mask
        for block in self.blocks:
            x = block(x, mask)
        early = (at[: x.shape[2]] < -(-count[:, None] // 2))[:, None] * mask
        late = (at[: x.shape[2]] >= (count[:, None] // 2))[:, None] * mask
        pooled = [(x * part).sum(2) / part.sum(2).clamp(min=1) for part in (mask, early, late)]
        highest = x.masked_fill(~inside[:, None], -torch.inf).amax(2)
        return F.normalize(self.out(self.drop(torch.cat([*pooled, highest], 1))), dim=-1)

    def hear(self, sentences: Tensor) -> Tensor:
        """(B, 384) unit sentence vectors -> (B, dim)."""
        return F.normalize(self.text(LOUD * sentences), dim=-1)

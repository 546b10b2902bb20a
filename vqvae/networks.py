"""Encoder, decoder and residual vector quantiser of the motion tokenizer.

Encoder and decoder work mostly at the token rate (a quarter of the frame rate): a light stage at full rate, one strided
convolution, then residual blocks with nearly all the arithmetic. For equal quality that is several times cheaper on a
CPU than the classic stack that stays at full rate (T2M-GPT, arXiv 2301.06052). All receptive fields are finite, so long
motion can be processed in overlapping chunks with the same result as in one piece.

The quantiser is vector-quantize-pytorch for training and its codebooks alone for use: the library loads torch's
compiler, which takes longer than generating a clip, while use needs only a nearest neighbour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vqvae.strict import Flag, NonNegativeInt, Number, PositiveInt, Strict

if TYPE_CHECKING:
    from vector_quantize_pytorch import ResidualVQ


class TokenizerConfig(Strict):
    """Everything that defines a tokenizer but its weights.

    `downsample` frames make a token; `levels` of `codebook_size` codes of `code_dim` numbers; `width` and
    `fine_width` are channels at token and frame rate; `direct`: a linear path beside the convolutions, begun as
    principal components.
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
    rise: Flag = False  # of bodies: whether features are above the ground, whose rise is a channel (`BodyFeatures`)

    def adopt_training(self, other: TokenizerConfig) -> TokenizerConfig:
        """This shape with the values of another one that only training reads."""
        return self.model_copy(update={name: getattr(other, name) for name in _TRAINING})


_TRAINING = ("ema_decay", "commitment", "dead_below")


class ResidualBlock(nn.Module):
    """Pre-activation residual block: dilated 3-tap convolution, then a 1-tap one."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        # starts as the identity, so that depth does not slow the first steps
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

    def __init__(self, dim: int, config: TokenizerConfig) -> None:
        super().__init__()
        c, step = config, config.downsample
        self.inp = nn.Conv1d(dim, c.fine_width, 3, padding=1)
        self.fine = _stack(c.fine_width, c.encoder_fine)
        self.down = nn.Conv1d(c.fine_width, c.width, step, stride=step)
        self.coarse = _stack(c.width, c.encoder_dilations)
        self.out = nn.Conv1d(c.width, c.code_dim, 1)
        self.direct = nn.Conv1d(dim, c.code_dim, step, stride=step) if c.direct else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.down(nn.functional.silu(self.fine(self.inp(x))))
        z: torch.Tensor = self.out(nn.functional.silu(self.coarse(h)))
        return z if self.direct is None else z + self.direct(x)


class Decoder(nn.Module):
    """(B, C, N) quantised latents -> (B, D, N * downsample) features."""

    def __init__(self, dim: int, config: TokenizerConfig) -> None:
        super().__init__()
        c, self.downsample = config, config.downsample
        self.inp = nn.Conv1d(c.code_dim, c.width, 3, padding=1)
        self.coarse = _stack(c.width, c.decoder_dilations)
        self.up = nn.Conv1d(c.width, c.fine_width * c.downsample, 1)
        self.fine = _stack(c.fine_width, c.decoder_fine)
        self.out = nn.Conv1d(c.fine_width, dim, 3, padding=1)
        self.direct = nn.Conv1d(c.code_dim, dim * c.downsample, 1) if c.direct else None

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
# A convolutional auto-encoder learns common movements first and takes very long over rare ones (a turned head, the
# tongue); components hold every channel from the first step.
def begin_direct(encoder: Encoder, decoder: Decoder, frames: torch.Tensor) -> None:
    """Initialise encoder and decoder as the principal components of the data, the convolutions adding nothing.

    `frames`: (N, downsample, D) normalised features of N tokens.
    """
    if encoder.direct is None or decoder.direct is None:
        raise ValueError("networks without a direct path")
    count, downsample, dim = frames.shape
    flat = frames.reshape(count, -1).double()
    size = encoder.out.out_channels
    _, directions = torch.linalg.eigh(flat.T @ flat / count)
    # eigenvectors come in ascending order
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
    """Tokens on each side that can influence a token's output, of encoder or decoder."""
    return sum(dilations) + 1 + -(-(sum(fine) + 1) // downsample) + 1


def residual_vq(config: TokenizerConfig) -> ResidualVQ:
    """R codebooks of K entries with k-means start, exponential-moving-average updates and dead-code reset."""
    from vector_quantize_pytorch import ResidualVQ

    return ResidualVQ(
        dim=config.code_dim, num_quantizers=config.levels, codebook_size=config.codebook_size, decay=config.ema_decay,
        commitment_weight=config.commitment, kmeans_init=True, kmeans_iters=10,
        threshold_ema_dead_code=config.dead_below, quantize_dropout=True, quantize_dropout_cutoff_index=0,
        rotation_trick=True,
    )  # fmt: skip


class _Codebook(nn.Module):
    """One level's entries (1, K, C) and the buffers of training, under the library's names."""

    embed: torch.Tensor

    def __init__(self, dim: int, codebook_size: int) -> None:
        super().__init__()
        self.register_buffer("initted", torch.tensor(False))
        self.register_buffer("cluster_size", torch.zeros(1, codebook_size))
        self.register_buffer("embed_avg", torch.zeros(1, codebook_size, dim))
        self.register_buffer("embed", torch.zeros(1, codebook_size, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(M, C) -> indices (M,) of the nearest entries; distances as the library computes them, to the bit."""
        flat, entries = x[None], self.embed
        squares = (flat**2).sum(-1)[..., None] + (entries**2).sum(-1)[:, None]
        products = torch.einsum("bid,bjd->bij", flat, entries) * -2
        return (-(squares + products).clamp(min=1e-8).sqrt()).argmax(-1)[0]


class _Level(nn.Module):
    def __init__(self, dim: int, codebook_size: int) -> None:
        super().__init__()
        self._codebook = _Codebook(dim, codebook_size)

    @property
    def codebook(self) -> torch.Tensor:
        """(K, C)."""
        return self._codebook.embed[0]


class FrozenVQ(nn.Module):
    """`residual_vq` in evaluation mode, from the same state. Raises RuntimeError in training mode."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Level(config.code_dim, config.codebook_size) for _ in range(config.levels))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, N, C) -> quantised (B, N, C), indices (B, N, R), losses (R,), which are zero."""
        if self.training:
            raise RuntimeError("a tokenizer that was loaded for use cannot be trained; load it with trainable=True")
        residual, total, indices = x, torch.zeros_like(x), []
        layers: Any = self.layers
        for level in layers:
            index = level._codebook(residual.reshape(-1, x.shape[-1])).view(x.shape[:-1])
            nearest = level.codebook[index]
            residual, total = residual - nearest, total + nearest
            indices.append(index)
        return total, torch.stack(indices, -1), x.new_zeros(len(indices))

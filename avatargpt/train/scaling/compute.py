"""Arithmetic of a step: floating-point operations of the matrix products, two for a multiplication with its addition.

A forward pass of a linear layer takes two operations per weight and token (Kaplan et al., arXiv 2001.08361, section
2.1); scores and weighted sums of attention take 4 L d_inner more per token and layer, L the length attended to (PaLM,
arXiv 2204.02311, appendix B). The backward pass takes twice the forward one; where weights are frozen, once. With
activation checkpointing the forward pass runs once more (Chen et al., arXiv 1604.06174).
"""

from __future__ import annotations

from dataclasses import dataclass

from avatargpt.lm.shape import TEXT, Shape
from avatargpt.train.scaling.shapes import Planned


@dataclass(frozen=True)
class Lengths:
    """A typical example. source: tokens that the encoder reads. target: that the decoder speaks."""

    source: int
    target: int

    @property
    def tokens(self) -> int:
        return self.source + self.target


TYPICAL = Lengths(64, 40)
"""An assumption, for clips of 6 to 8 s; the short clips of `benchmarks/train.py` have 58 tokens an example."""


def _feed_forward(c: Shape) -> int:
    return (3 if c.is_gated_act else 2) * c.d_model * c.d_ff


def encoder_token(c: Shape, source: int) -> float:
    """Forward operations of the encoder per token of `source`."""
    inner = c.num_heads * c.d_kv
    return float(c.num_layers * (2 * (4 * c.d_model * inner + _feed_forward(c)) + 4 * source * inner))


def decoder_token(c: Shape, lengths: Lengths) -> float:
    """Forward operations of the decoder per token spoken, with its share of the keys and values of what was read."""
    inner, layers = c.num_heads * c.d_kv, c.num_decoder_layers or c.num_layers
    own = 2 * (4 * c.d_model * inner + _feed_forward(c)) + 4 * lengths.target * inner
    across = 2 * 2 * c.d_model * inner * (1 + lengths.source / lengths.target) + 4 * lengths.source * inner
    return float(layers * (own + across))


def head_token(c: Shape, head: str) -> float:
    """Forward operations of a head per token spoken."""
    return 2.0 * c.d_model * c.size(head)


def example(c: Shape, lengths: Lengths, head: str = TEXT) -> float:
    """Forward operations of an example; residual decoders are trained apart, and code adapters are tables."""
    spoken = decoder_token(c, lengths) + head_token(c, head)
    return lengths.source * encoder_token(c, lengths.source) + lengths.target * spoken


def training_token(plan: Planned, lengths: Lengths = TYPICAL, checkpointing: bool = False) -> float:
    """Operations of forward and backward pass per token, read or spoken; half of the examples answer in words."""
    heads = plan.shape.heads
    motion = [example(plan.shape, lengths, h) for h in heads if h != TEXT]
    words = example(plan.shape, lengths)
    mean = (words + sum(motion) / len(motion)) / 2 if motion else words
    times = 2.0 if plan.recipe.lora is not None else 3.0
    times = 1.0 if plan.recipe.train.refiner_only else times + checkpointing
    return times * mean / lengths.tokens

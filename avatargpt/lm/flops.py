"""How much arithmetic a language model's rows need, for telling how well a device is used."""

from __future__ import annotations

import numpy as np

from avatargpt.lm.shape import TEXT, Shape


def forward_flops(config: Shape, read: np.ndarray, spoken: np.ndarray, heads: list[str]) -> float:
    """Operations of one forward pass over B rows, two for every multiplication with its addition.

    Counted are the matrix products of T5's stacks, with attention's own (arXiv 2204.02311, appendix B), and of the
    head that each row speaks through; padding is not, and neither are the residual decoder, norms and adapters.

    Args:
        read: (B,) states of the encoder. spoken: (B,) tokens of the answer. heads: who answers, B names.
    """
    d, inner = config.d_model, config.num_heads * config.d_kv
    forward = (3 if config.is_gated_act else 2) * d * config.d_ff
    own = 4 * d * inner + forward  # weights that a state meets in a layer without cross-attention
    s, t = read.astype(np.float64), spoken.astype(np.float64)
    encoder = config.num_layers * (own * s + 2 * inner * s * s)
    layers = config.num_decoder_layers or config.num_layers
    decoder = layers * ((own + 2 * d * inner) * t + 2 * d * inner * s + 2 * inner * t * (t + s))
    said = np.array([config.vocab_size if h == TEXT else config.size(h) for h in heads]) * d * t
    return float(2 * (encoder + decoder + said).sum())

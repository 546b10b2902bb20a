"""Memory of a training on one accelerator: weights, gradients, optimiser, activations.

The trainer keeps weights in float32 and multiplies in bfloat16 (autocast, which copies the matrices once per step).
AdamW keeps two float32 numbers per weight, Muon one. ZeRO (arXiv 1910.02054, figure 1) shares the optimiser's state
over N processes at stage 1, gradients too at stage 2, weights too at stage 3; DeepSpeed adds a float32 copy of the
weights to the shared state, and at stages 1 and 2 this trainer holds all gradients once more while it hands them over.
Offloading (arXiv 2101.06840) puts the shared state into host memory, at stage 3 the weights too.
"""

from __future__ import annotations

from dataclasses import dataclass

from avatargpt.lm.shape import Shape
from avatargpt.train.scaling.compute import TYPICAL, Lengths
from avatargpt.train.scaling.parameters import Parameters
from avatargpt.train.scaling.shapes import Planned

FLOAT, HALF = 4, 2  # bytes
LOGITS = 2 * HALF + 2 * FLOAT  # logits and their gradient in bfloat16, their logarithms and the gradient in float32
SPLITS = ((0, False), (1, False), (2, False), (2, True), (3, False), (3, True))
"""ZeRO stage, whether offloaded; stage 0 = plain, or torchrun."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one process.

    Attributes:
        weights, gradients, optimizer: on the accelerator. host: in the host's memory.
    """

    weights: float
    gradients: float
    optimizer: float
    host: float = 0.0

    @property
    def accelerator(self) -> float:
        return self.weights + self.gradients + self.optimizer


def states(plan: Planned, found: Parameters, stage: int, gpus: int, offload: bool = False) -> Memory:
    """What does not depend on the batch.

    Args:
        stage: of ZeRO, 0 to 3. gpus: processes that share. offload: the shared state lies in host memory.
    """
    whole = float(FLOAT * (found.total + found.lora))
    copies = HALF * found.matrices
    gradients = float(FLOAT * found.trained)
    adam = FLOAT * (2 * found.trained - found.muon)
    if stage == 0:
        return Memory(whole + copies, gradients, adam)
    shared = (adam + gradients) / gpus  # with a float32 copy of what is trained
    weights, handed = whole + copies, gradients
    if stage == 1:
        handed += gradients
    if stage == 2:
        handed += gradients / gpus
    if stage == 3:
        weights, handed = whole / gpus + copies, gradients / gpus
    if not offload:
        return Memory(weights, handed, shared)
    moved = whole / gpus if stage == 3 else 0.0
    return Memory(weights - moved, handed, 0.0, shared + moved)


def encoder_layer(c: Shape, source: int, dropout: bool) -> float:
    """Bytes per token that a layer of the encoder keeps for the backward pass, in bfloat16 autocast without fused
    attention: what autograd saves of transformers' T5, checked by `tests/train/test_scaling.py`."""
    inner, gated = c.num_heads * c.d_kv, c.is_gated_act
    wide = (4 + 10 * gated + 2 * dropout) * c.d_ff
    return (24 + 2 * gated + 4 * dropout) * c.d_model + 8 * inner + wide + (6 + 4 * dropout) * c.num_heads * source


def decoder_layer(c: Shape, lengths: Lengths, dropout: bool) -> float:
    """The same of the decoder, per token spoken, with the keys and values of what was read."""
    inner, gated, per = c.num_heads * c.d_kv, c.is_gated_act, lengths.source / lengths.target
    wide = (4 + 10 * gated + 2 * dropout) * c.d_ff
    scores = (6 + 4 * dropout) * c.num_heads * lengths.target + (2 + 4 * dropout) * c.num_heads * lengths.source
    return (34 + 2 * gated + 6 * dropout) * c.d_model + 12 * inner + wide + scores + 4 * (inner + c.d_model) * per


def activations(plan: Planned, rows: int, lengths: Lengths = TYPICAL, checkpointing: bool = False) -> float:
    """Bytes that a step of so many rows keeps for the backward pass, and the logits, half of them of words.

    With `checkpointing`, the inputs of the layers in float32 and one layer whole.
    """
    c, drops = plan.shape, plan.dropout > 0
    layers = c.num_decoder_layers or c.num_layers
    one = lengths.source * encoder_layer(c, lengths.source, drops), lengths.target * decoder_layer(c, lengths, drops)
    kept = c.num_layers * one[0] + layers * one[1]
    if checkpointing:
        inputs = FLOAT * c.d_model * (c.num_layers * lengths.source + layers * lengths.target)
        kept = inputs + max(one)
    return rows * (kept + LOGITS * lengths.target * c.vocab_size / 2)

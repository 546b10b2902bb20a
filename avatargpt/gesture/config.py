"""The shape of a gesture network, and what the rows and tokens are that it was trained on."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from vqvae.errors import UserError
from vqvae.strict import Dropout, NonNegativeInt, PositiveInt, Strict

STYLE = 8  # numbers of a speaker's style
HEADS = ("codes", "features")
"""``codes``: tokens are sampled, and frames follow them; ``features``: the mean motion, without tokens."""
TEMPERATURE = 0.9  # of the tokens, unless told: hands as fast as in real talk (docs/experiments.md)
UNKNOWN = -1
"""A code that is not told: before the first token, and where tokens are off."""


class Material(Strict):
    """What the rows are; the cache that a network is trained on says it.

    Attributes:
        audio, words: what hears and what reads: ``prosody`` and ``sentence``, or the name of an encoder or a model.
        audio_width, word_width: A, V. features: F. levels, codebook_size: R, K of the tokenizer.
        downsample: n, frames of a token.
        rotations, positions: columns [start, stop) of F with rotations (6D, first two columns) and with metres.
        speakers: names of those in the table of styles.
        tokenizer: fingerprint of the tokenizer whose tokens are spoken.
    """

    audio: str
    words: str
    audio_width: PositiveInt
    word_width: PositiveInt
    features: PositiveInt
    levels: PositiveInt
    codebook_size: PositiveInt
    downsample: PositiveInt
    rotations: list[list[NonNegativeInt]] = []
    positions: list[list[NonNegativeInt]] = []
    speakers: list[str] = []
    tokenizer: str = ""

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        for name, spans, unit in (("rotations", self.rotations, 6), ("positions", self.positions, 3)):
            for span in spans:
                if len(span) != 2 or not span[0] < span[1] <= self.features or (span[1] - span[0]) % unit:
                    raise UserError(f"{name}: {span}; accepted: [start, stop] within the {self.features} features, a "
                                    f"multiple of {unit} apart")  # fmt: skip
        return self


class GestureShape(Strict):
    """What `configs/gesture/*.yaml` may set under `model`.

    Attributes:
        width, heads, hidden: of the layers.
        layers: self-attention and words, for agent and interlocutor alike. joint: self-attention and interlocutor.
        reach: W, frames that an attention looks back; a segment of training is as long.
        look_ahead: tokens of sound beyond those that are spoken for; 1 of 4 frames = 133 ms.
        dropout: in the layers.
    """

    width: PositiveInt = 160
    heads: PositiveInt = 4
    hidden: PositiveInt = 384
    layers: PositiveInt = 2
    joint: PositiveInt = 2
    reach: PositiveInt = 128
    look_ahead: NonNegativeInt = 1
    dropout: Dropout = 0.1

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % (2 * self.heads):
            raise UserError(f"width: {self.width}; accepted: a multiple of twice the heads ({2 * self.heads})")
        return self


class GestureConfig(GestureShape, Material):
    """Everything that defines a gesture network but its weights."""

    @property
    def ahead(self) -> int:
        """Frames of sound beyond the frame that is spoken for."""
        return self.look_ahead * self.downsample

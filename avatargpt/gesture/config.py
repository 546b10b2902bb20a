"""Configuration of a gesture network: its shape, and the features and tokens that it was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import model_validator

from vqvae.errors import UserError
from vqvae.strict import Dropout, NonNegativeInt, PositiveInt, Strict

STYLE = 8  # size of a style vector
# `codes`: tokens are sampled and decoded; `features`: the mean motion, without tokens.
HEADS = ("codes", "features")
TEMPERATURE = 0.9  # default: hands as fast as in real talk (docs/experiments.md)
# An unknown code: before the first token, and where tokens are off.
UNKNOWN = -1


class Material(Strict):
    """What the rows of a training cache hold."""

    # audio, words: their encoders: ``prosody`` and ``sentence``, or the name of a model
    audio: str
    words: str
    # audio_width, word_width: A, V
    audio_width: PositiveInt
    word_width: PositiveInt
    features: PositiveInt  # F
    # levels, codebook_size: R, K of the tokenizer
    levels: PositiveInt
    codebook_size: PositiveInt
    downsample: PositiveInt  # n, frames of a token
    # rotations, positions: columns [start, stop) of F with rotations (6D, first two columns) and with metres
    rotations: list[list[NonNegativeInt]] = []
    positions: list[list[NonNegativeInt]] = []
    speakers: list[str] = []  # names in the table of styles
    tokenizer: str = ""  # fingerprint of the tokenizer whose codes are predicted

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        for name, spans, unit in (("rotations", self.rotations, 6), ("positions", self.positions, 3)):
            for span in spans:
                if len(span) != 2 or not span[0] < span[1] <= self.features or (span[1] - span[0]) % unit:
                    raise UserError(f"{name}: {span}; accepted: [start, stop] within the {self.features} features, a "
                                    f"multiple of {unit} apart")  # fmt: skip
        return self


class GestureShape(Strict):
    """The section `model` of `configs/gesture/*.yaml`."""

    # width, heads, hidden: of the layers
    width: PositiveInt = 160
    heads: PositiveInt = 4
    hidden: PositiveInt = 384
    layers: PositiveInt = 2  # blocks with attention to words, shared by agent and interlocutor
    joint: PositiveInt = 2  # blocks with attention to the interlocutor
    reach: PositiveInt = 128  # W, frames that an attention looks back; also the length of a training segment
    look_ahead: NonNegativeInt = 1  # tokens of sound beyond the predicted one; 1 of 4 frames = 133 ms
    dropout: Dropout = 0.1  # in the layers

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % (2 * self.heads):
            raise UserError(f"width: {self.width}; accepted: a multiple of twice the heads ({2 * self.heads})")
        return self


class GestureConfig(GestureShape, Material):
    """The complete configuration of a gesture network."""

    @property
    def ahead(self) -> int:
        """Frames of sound beyond the predicted frame."""
        return self.look_ahead * self.downsample


# A name or number in the network's table of styles, eight numbers, or None: the zero style.
Speaker = str | int | Sequence[float] | np.ndarray | None


@dataclass(frozen=True)
class GestureOptions:
    """Options of generation."""

    speaker: Speaker = None  # whose style
    head: str = "codes"  # one of `HEADS`
    # seed, temperature: of the tokens; temperature 0 = always the likeliest
    seed: int = 0
    temperature: float = TEMPERATURE
    smooth: bool = True  # Savitzky-Golay smoothing over nine frames


DEFAULT_OPTIONS = GestureOptions()

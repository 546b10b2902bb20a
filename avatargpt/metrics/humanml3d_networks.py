"""The networks of HumanML3D's evaluator, named as in its published checkpoints, and the frames they take.

Source: Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions from Text", and its code
(github.com/EricGuo5513/text-to-motion, networks/modules.py and data/dataset.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

UNIT = 4  # frames of one step of the movement encoder
MAX_FRAMES = 196  # of a motion; shorter ones are padded to it


class Crop(NamedTuple):
    """Frames `start` to `start + frames` of a clip."""

    start: int
    frames: int


def drawn_crop(frames: int, rng: np.random.Generator) -> Crop:
    """A random part of a clip: whole units of 4 frames, in one of three draws one less, at a random place.

    Args:
        frames: of the clip, 8 or more.
    """
    if frames < 2 * UNIT:
        raise ValueError(f"{frames} frames; accepted {2 * UNIT} or more")
    units = frames // UNIT - int(rng.integers(3) == 2)
    length = units * UNIT
    return Crop(int(rng.integers(frames - length + 1)), length)


def whole_units(frames: int) -> int:
    """Frames of a generated motion that count: at most 196, in whole units."""
    if frames < UNIT:
        raise ValueError(f"{frames} frames; accepted {UNIT} or more")
    return min(frames, MAX_FRAMES) // UNIT * UNIT


POSE = 259  # HumanML3D's 263 features without the contacts of the feet
DROPOUT, SLOPE = 0.2, 0.2


class EvaluatorShape(NamedTuple):
    """Sizes of the networks; the defaults are those published.

    Attributes:
        word: of a word's vector. tags: classes of words. width, movement: channels and output of the movement encoder.
        text, motion: of the two recurrent layers. joint: of the common embedding.
    """

    word: int = 300
    tags: int = 15
    width: int = 512
    movement: int = 512
    text: int = 512
    motion: int = 1024
    joint: int = 512


class MovementEncoder(nn.Module):
    """(B, T, 259) normalised features -> (B, T / 4, movement): two convolutions that halve the frames."""

    def __init__(self, width: int, out: int, pose: int = POSE) -> None:
        super().__init__()
        self.width, self.out = width, out
        self.main = nn.Sequential(
            nn.Conv1d(pose, width, 4, 2, 1), nn.Dropout(DROPOUT), nn.LeakyReLU(SLOPE),
            nn.Conv1d(width, out, 4, 2, 1), nn.Dropout(DROPOUT), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.out_net = nn.Linear(out, out)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.out_net(self.main(features.transpose(1, 2)).transpose(1, 2))
        return out


class _Recurrent(nn.Module):
    """The last states of a recurrent layer in both directions, through two linear layers."""

    def __init__(self, width: int, joint: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * width, width), nn.LayerNorm(width), nn.LeakyReLU(SLOPE), nn.Linear(width, joint)
        )
        self.hidden = nn.Parameter(torch.randn(2, 1, width))

    def summary(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, width), of which row b counts up to `lengths[b]` >= 1 -> (B, joint), in the order of the rows."""
        packed = pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        begin = self.hidden.expand(-1, len(rows), -1).contiguous()
        _, last = self.gru(packed, begin)
        out: Tensor = self.output_net(torch.cat([last[0], last[1]], -1))
        return out


class TextEncoder(_Recurrent):
    """Words with their classes -> the common embedding."""

    def __init__(self, shape: EvaluatorShape) -> None:
        super().__init__(shape.text, shape.joint)
        self.pos_emb = nn.Linear(shape.tags, shape.word)
        self.input_emb = nn.Linear(shape.word, shape.text)

    def forward(self, words: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, word) vectors, (B, L, tags) one-hot classes, (B,) words that count -> (B, joint)."""
        return self.summary(self.input_emb(words + self.pos_emb(tags)), lengths)


class MotionEncoder(_Recurrent):
    """Movements -> the common embedding."""

    def __init__(self, shape: EvaluatorShape) -> None:
        super().__init__(shape.motion, shape.joint)
        self.input_emb = nn.Linear(shape.movement, shape.motion)

    def forward(self, movements: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, movement), (B,) movements that count -> (B, joint)."""
        return self.summary(self.input_emb(movements), lengths)


class MatchingNetwork(nn.Module):
    """The three encoders."""

    def __init__(self, shape: EvaluatorShape) -> None:
        super().__init__()
        self.shape = shape
        self.movement_encoder = MovementEncoder(shape.width, shape.movement)
        self.text_encoder = TextEncoder(shape)
        self.motion_encoder = MotionEncoder(shape)

    def of_text(self, words: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """See `TextEncoder.forward`."""
        out: Tensor = self.text_encoder(words, tags, lengths)
        return out

    def of_motion(self, features: Tensor, frames: Tensor) -> Tensor:
        """(B, 196, 263) normalised features, zero behind their end, and (B,) frames that count -> (B, joint)."""
        movements = self.movement_encoder(features[..., :POSE])
        out: Tensor = self.motion_encoder(movements, frames // UNIT)
        return out

    def forward(
        self, words: Tensor, tags: Tensor, lengths: Tensor, features: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both embeddings, see `of_text` and `of_motion`."""
        return self.of_text(words, tags, lengths), self.of_motion(features, frames)


def shape_of(state: Mapping[str, Tensor]) -> EvaluatorShape:
    """The sizes that the weights of a `MatchingNetwork` were made with."""
    text, motion = state["text_encoder.input_emb.weight"], state["motion_encoder.input_emb.weight"]
    return EvaluatorShape(
        text.shape[1], state["text_encoder.pos_emb.weight"].shape[1], len(state["movement_encoder.main.0.bias"]),
        motion.shape[1], text.shape[0], motion.shape[0], len(state["text_encoder.output_net.3.bias"]),
    )  # fmt: skip

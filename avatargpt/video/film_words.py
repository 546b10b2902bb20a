"""What somebody in a film does, in words: the likeliest caption, by a network for motion that was read off films.

People in films mostly stand, walk and turn, partly hidden, and are read with errors. So this network has learnt, of
captioned clips as simulated films show them, how likely each caption of the phrase index is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from avatargpt.body.model import BodyModel
from avatargpt.kinematics.measures import SIZE, motion_signature
from avatargpt.lm.checkpoint import load_part, save_part
from avatargpt.lm.scorer import CLIP, SENTENCE, SENTENCE_SCALE, make_layers
from avatargpt.options import then
from avatargpt.resources import PACKAGE
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.rates import BODY_FPS
from vqvae.strict import Dropout, PositiveInt, Strict

NAME, VERSION = "film_words", 1
LONGEST = 10.0  # s that a sentence is about


class WordsShape(Strict):
    """See `WordsNet`."""

    width: PositiveInt = 256
    dim: PositiveInt = 96
    dropout: Dropout = 0.3


class WordsNet(nn.Module):
    """Signatures (B, `SIZE`) of motions, unit vectors (N, 384) of sentences -> (B, N) logits, which is said of each."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, shape: WordsShape) -> None:
        super().__init__()
        self.config = shape
        self.register_buffer("mean", torch.zeros(SIZE))
        self.register_buffer("std", torch.ones(SIZE))
        self.motion = make_layers(SIZE, shape.width, shape.dim, shape.dropout)
        self.sentence = nn.Linear(SENTENCE, shape.dim, bias=False)

    def forward(self, signatures: torch.Tensor, sentences: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = ((signatures - self.mean) / self.std).clamp(-CLIP, CLIP)
        return torch.as_tensor(self.motion(x) @ self.sentence(SENTENCE_SCALE * sentences).T)


class FilmWords:
    """The network at run time."""

    def __init__(self, network: WordsNet) -> None:
        self.network = network.eval()

    def describe(self, motions: Sequence[Motion], model: BodyModel, num: int = 1) -> list[Any]:
        """A sentence for each motion that was read off a film; one beyond 10 s is described in parts, joined by "then".

        Args:
            model: whose phrase index has the sentences.
            num: sentences per motion, the best first.

        Returns:
            One sentence per motion, or with num > 1 one list of sentences per motion.

        Raises:
            UserError: a model without a phrase index.
        """
        if (index := model.phrase_index) is None:
            raise UserError("films are described in the words of a phrase index, which this model folder has not")
        captions, vectors = [index.keys[i] for i in index.caption_rows], index.index.vectors_of(index.caption_rows)
        out: list[Any] = []
        for motion in motions:
            joints = motion.resampled(BODY_FPS).joints
            parts = np.array_split(joints, max(1, int(np.ceil(len(joints) / BODY_FPS / LONGEST))))
            chosen = self.choose(np.stack([motion_signature(p) for p in parts]), vectors, num)
            texts = [then([captions[k] for k in row]) for row in chosen.T]
            out.append(texts[0] if num == 1 else texts)
        return out

    @torch.inference_mode()
    def choose(self, signatures: np.ndarray, vectors: np.ndarray, num: int = 1) -> np.ndarray:
        """(B, num) the likeliest of sentences with unit vectors (N, 384), of motions with signatures (B, `SIZE`)."""
        sentences = torch.from_numpy(np.asarray(vectors, np.float32))
        return np.asarray(self.network(torch.from_numpy(signatures), sentences).topk(num, -1).indices)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``film_words.json`` and ``.safetensors`` into a folder, in 8 bits (`checkpoint.save_part`)."""
        return save_part(self.network, folder, NAME, VERSION, torch.int8)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FilmWords:
        """That of a folder. Raises UserError: not there, or damaged."""
        return cls(load_part(folder, NAME, VERSION, lambda f: WordsNet(WordsShape(**f))))


@cache
def packaged_words() -> FilmWords:
    """The packaged network."""
    return FilmWords.load(PACKAGE / "weights")

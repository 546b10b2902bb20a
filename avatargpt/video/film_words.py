"""What somebody in a film does, in words: the likeliest caption, by a network for motion that was read off films.

`MotionDescription` has learnt from recorded and key-framed motion, in which hundreds of actions are as frequent. People
in films mostly stand, walk and turn, partly hidden, and are read with errors. So this network has learnt, of captioned
clips as simulated films show them, how likely each caption of the phrase index is.
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
from avatargpt.lm.checkpoint import read_optional, store_tensors
from avatargpt.lm.scorer import CLIP, SENTENCE, SENTENCE_SCALE, make_layers
from avatargpt.options import then
from avatargpt.resources import PACKAGE
from vqvae.errors import UserError
from vqvae.io.files import atomic_write
from vqvae.io.tensors import load_tensors, raise_weights
from vqvae.motion import Motion
from vqvae.rates import BODY_FPS
from vqvae.strict import Dropout, PositiveInt, Strict

FILE = "film_words.safetensors"
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
        rows = index.caption_rows
        captions, vectors = [index.keys[i] for i in rows], index.index.vectors_of(rows)
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
        """Write ``film_words.safetensors`` into a folder, in 8 bits (`vqvae.io.tensors.lower_weight`)."""
        from safetensors.torch import save_file

        state = store_tensors(self.network, torch.int8)
        return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FilmWords:
        """That of a model folder. Raises UserError: not there, or damaged."""
        path = Path(folder) / FILE
        if (words := read_optional(path, "words of films", load_tensors, cls._from)) is None:
            raise UserError(f"{path}: films are described by this network; it comes with the packaged weights")
        return words

    @classmethod
    def _from(cls, state: dict[str, torch.Tensor]) -> FilmWords:
        raised = raise_weights(state)
        network = WordsNet(WordsShape(width=len(raised["motion.0.bias"]), dim=len(raised["motion.6.bias"])))
        network.load_state_dict(raised)
        return cls(network)


@cache
def packaged_words() -> FilmWords:
    """The packaged network."""
    return FilmWords.load(PACKAGE / "weights")

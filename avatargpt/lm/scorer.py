"""`TextMotionScorer`: the fit of a motion and a sentence, by two small networks trained on pairs of both.

Best-of-n ranks candidates with it: the language model's motion-to-text shares the model's mistakes, a network on the
finished motion does not. Contrastive matching as in TMR (arXiv 2305.00976), on `motion_signature`, the frozen sentence
encoder and typed attributes (`instruct_data.attributes`), for sentence vectors hardly tell left from right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.checkpoint import read_optional, store_tensors
from instruct_data.attributes import symbols, write_attributes
from vqvae.io.tensors import load_tensors, raise_weights
from vqvae.motion import atomic_write

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

FILE = "matcher.safetensors"
SENTENCE = 384
SENTENCE_SCALE = 8.0  # of unit sentence vectors, whose entries are small
CLIP = 6.0  # standard deviations
READINGS = 8  # of each attribute in a motion, between which the words choose: of a clap and a squat, "times" differs
READING_SCALE = 0.25  # cosine that an attribute makes up at most
COLUMNS = {symbol: i for i, symbol in enumerate(symbols(()))}  # of attributes; the action is in the sentence


def attribute_vectors(rows: Sequence[Mapping[str, str]]) -> np.ndarray:
    """(B, A) float32: 1 for each attribute that a row has, 0 elsewhere."""
    out = np.zeros((len(rows), len(COLUMNS)), np.float32)
    for i, row in enumerate(rows):
        out[i, [COLUMNS[s] for s in write_attributes(row) if s in COLUMNS]] = 1
    return out


def make_layers(into: int, width: int, out: int, dropout: float) -> nn.Sequential:
    """Two hidden layers of a width between numbers of two sizes."""
    return nn.Sequential(
        nn.Linear(into, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width), nn.GELU(),
        nn.Dropout(dropout), nn.Linear(width, out),
    )  # fmt: skip


class ScorerNetwork(nn.Module):
    """Signatures of `size`, and sentence vectors with `attributes`, to vectors of one space.

    A motion's vector begins with a unit vector of `dim`; how well it shows each attribute follows, in `READINGS` ways.
    Of a text the attributes follow, times the weights of the ways. Without attributes the scalar product of both is a
    cosine. Text has half the dropout. A network of 0 `attributes` ignores them.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, size: int, width: int = 384, dim: int = 128, dropout: float = 0.2, attributes: int = len(COLUMNS)
    ) -> None:
        super().__init__()
        self.attributes, self.dim = attributes, dim
        readings = READINGS * bool(attributes)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.motion = make_layers(size, width, dim + readings * attributes, dropout)
        self.text = make_layers(SENTENCE + attributes, width, dim + readings, dropout / 2)
        self.scale = nn.Parameter(torch.tensor(2.5))  # log of the inverse temperature

    def embed_motion(self, signatures: Tensor, noise: float = 0.0) -> Tensor:
        """(B, size) -> (B, dim + READINGS * attributes)."""
        # Broken candidates have signatures far outside of what was trained on.
        x = ((signatures - self.mean) / self.std).clamp(-CLIP, CLIP)
        if noise:
            x = x + noise * torch.randn_like(x)
        x = self.motion(x)
        return torch.cat([F.normalize(x[:, : self.dim], dim=-1), READING_SCALE * x[:, self.dim :].tanh()], -1)

    def embed_text(self, sentences: Tensor, attributes: Tensor | None = None) -> Tensor:
        """(B, 384) unit vectors, or zeros = no words, and (B, A) of `attribute_vectors`, None = none -> as motions."""
        x = SENTENCE_SCALE * sentences
        if not self.attributes:
            return F.normalize(self.text(x), dim=-1)
        typed = x.new_zeros(len(x), self.attributes) if attributes is None else attributes
        x = self.text(torch.cat([x, typed], -1))
        weights = x[:, self.dim :].softmax(-1)
        return torch.cat([F.normalize(x[:, : self.dim], dim=-1), (weights[:, :, None] * typed[:, None]).flatten(1)], -1)


class TextMotionScorer:
    """A trained scorer."""

    def __init__(self, network: ScorerNetwork) -> None:
        self.network = network.eval()

    def to(self, device: str | torch.device) -> None:
        """Compute there from now on."""
        self.network.to(device)

    @torch.inference_mode()
    def motions(self, joints: Sequence[np.ndarray], fps: float = 20.0) -> np.ndarray:
        """(T, 22, 3) metres each -> (B, V) vectors."""
        from avatargpt.kinematics.measures import motion_signature

        size = len(self.network.mean)
        signatures = torch.from_numpy(np.stack([motion_signature(j, fps)[:size] for j in joints]))
        return np.asarray(self.network.embed_motion(signatures.to(self.network.mean.device)).cpu().numpy())

    def texts(
        self, texts: Sequence[str], grounder: SentenceGrounder, attributes: Sequence[Mapping[str, str]] = ()
    ) -> np.ndarray:
        """Sentences, and typed attributes of each -> (B, V) vectors; times those of motions they say the fit."""
        return self.sentences(grounder.sentence(list(texts)), attributes)

    @torch.inference_mode()
    def sentences(self, vectors: np.ndarray, attributes: Sequence[Mapping[str, str]] = ()) -> np.ndarray:
        """Sentence vectors (B, 384), and typed attributes of each -> (B, V) vectors."""
        sentences = torch.from_numpy(vectors).to(self.network.mean.device)
        typed = torch.from_numpy(attribute_vectors(attributes)).to(sentences.device) if attributes else None
        return np.asarray(self.network.embed_text(sentences, typed).cpu().numpy())

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write ``matcher.safetensors`` (`checkpoint.store_tensors`): bfloat16 halves it, int8 once more."""
        from safetensors.torch import save_file

        state = store_tensors(self.network, dtype)
        return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TextMotionScorer | None:
        """The scorer of a model folder, or None."""
        from avatargpt.kinematics.measures import POSE_SIZE, SIZE

        def make(state: dict[str, Tensor]) -> TextMotionScorer:
            # The file has no configuration: its shapes say the sizes.
            width, size = state["motion.0.weight"].shape
            attributes = state["text.0.weight"].shape[1] - SENTENCE
            # Files written before attributes were read know neither them nor what tells them apart.
            if (size, attributes) not in ((SIZE, len(COLUMNS)), (POSE_SIZE, 0)):
                raise ValueError(f"signatures of {size} numbers, {attributes} attributes, not {SIZE}, {len(COLUMNS)}")
            dim = len(state["text.6.bias"]) - READINGS * bool(attributes)
            network = ScorerNetwork(size, width, dim, attributes=attributes)
            network.load_state_dict(raise_weights(state))
            return cls(network)

        return read_optional(Path(folder) / FILE, "matcher", load_tensors, make)

"""`KindReader`: which kind of scene a situation is, by a tuned sentence encoder that strangers' wordings taught."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from avatargpt.lm.text_encoder import WIDTH, TunedSentences
from avatargpt.requests.vector_index import StoredVectors, read_file, write_file, xz

FILE = "kinds.safetensors"


class KindNet(nn.Module):
    """Texts -> logits of kinds, by cosines to a vector of each.

    Args:
        kinds: K, number of them.
    """

    def __init__(self, kinds: int, rank: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.reader = TunedSentences(rank, dropout)
        self.vectors = nn.Parameter(torch.zeros(kinds, WIDTH))
        self.sharpness = nn.Parameter(torch.tensor(3.0))  # logarithm

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, K) logits."""
        logits: torch.Tensor = self.reader(texts) @ nn.functional.normalize(self.vectors, dim=-1).T
        return logits * self.sharpness.exp()


class KindReader:
    """The network with the names of its kinds."""

    def __init__(self, network: KindNet, names: Sequence[str]) -> None:
        self.network, self.names = network.eval(), list(names)

    @torch.inference_mode()
    def shares(self, scene: str) -> np.ndarray:
        """(K,) probabilities of the kinds."""
        return np.asarray(self.network([scene]).softmax(-1)[0].numpy())

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``kinds.safetensors`` into a folder."""
        state = {k: v.detach().numpy().astype(np.float16) for k, v in self.network.state_dict().items()}
        return write_file(Path(folder) / FILE, {"names": self.names}, state, xz)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> KindReader | None:
        """That of a model folder, None where it has none; raises UserError for a damaged file."""
        return read_file(Path(folder) / FILE, "reader of kinds of scenes", cls._from)

    @classmethod
    def _from(cls, stored: StoredVectors) -> KindReader:
        names = [str(n) for n in stored.about["names"]]
        state = {k: torch.from_numpy(v.astype(np.float32)) for k, v in stored.arrays.items() if k != "about"}
        network = KindNet(len(names), len(state["reader.layers.layers.0.query.down"]))
        network.load_state_dict(state)
        return cls(network, names)

"""`TextMotionScorer`: the fit of a motion and a sentence, by two small networks trained on pairs of both.

Best-of-n ranks candidates with it: the language model's motion-to-text shares the model's mistakes, a network on the
finished motion does not. Contrastive matching as in TMR (arXiv 2305.00976), on `motion_signature` and the frozen
sentence encoder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.lm.checkpoint import read_optional, stored
from vqvae.io.tensors import raised
from vqvae.motion import atomic_write

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

FILE = "matcher.safetensors"
SENTENCE = 384
SENTENCE_SCALE = 8.0  # of unit sentence vectors, whose entries are small
CLIP = 6.0  # standard deviations


def _layers(into: int, width: int, out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(into, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width), nn.GELU(),
        nn.Dropout(dropout), nn.Linear(width, out),
    )  # fmt: skip


class ScorerNetwork(nn.Module):
    """Signatures of `size` and sentence vectors to unit vectors of one space of `dim`; text has half the dropout."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, width: int = 384, dim: int = 128, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.motion = _layers(size, width, dim, dropout)
        self.text = _layers(SENTENCE, width, dim, dropout / 2)
        self.scale = nn.Parameter(torch.tensor(2.5))  # log of the inverse temperature

    def embed_motion(self, signatures: Tensor, noise: float = 0.0) -> Tensor:
        """(B, size) -> (B, dim)."""
        # Broken candidates have signatures far outside of what was trained on.
        x = ((signatures - self.mean) / self.std).clamp(-CLIP, CLIP)
        if noise:
            x = x + noise * torch.randn_like(x)
        return F.normalize(self.motion(x), dim=-1)

    def embed_text(self, sentences: Tensor) -> Tensor:
        """(B, 384) unit vectors -> (B, dim)."""
        return F.normalize(self.text(SENTENCE_SCALE * sentences), dim=-1)


class TextMotionScorer:
    """A trained scorer."""

    def __init__(self, network: ScorerNetwork) -> None:
        self.network = network.eval()

    def to(self, device: str | torch.device) -> None:
        """Compute there from now on."""
        self.network.to(device)

    @torch.inference_mode()
    def motions(self, joints: Sequence[np.ndarray], fps: float = 20.0) -> np.ndarray:
        """(T, 22, 3) metres each -> (B, dim) unit vectors."""
        from avatargpt.kinematics.measures import motion_signature

        signatures = torch.from_numpy(np.stack([motion_signature(j, fps) for j in joints]))
        return np.asarray(self.network.embed_motion(signatures.to(self.network.mean.device)).cpu().numpy())

    def texts(self, texts: Sequence[str], grounder: SentenceGrounder) -> np.ndarray:
        """Sentences -> (B, dim) unit vectors."""
        return self.sentences(grounder.sentence(list(texts)))

    @torch.inference_mode()
    def sentences(self, vectors: np.ndarray) -> np.ndarray:
        """Sentence vectors (B, 384) -> (B, dim) unit vectors."""
        sentences = torch.from_numpy(vectors).to(self.network.mean.device)
        return np.asarray(self.network.embed_text(sentences).cpu().numpy())

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write ``matcher.safetensors`` (`checkpoint.stored`): bfloat16 halves it, int8 once more."""
        from safetensors.torch import save_file

        state = stored(self.network, dtype)
        return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TextMotionScorer | None:
        """The scorer of a model folder, or None."""
        from safetensors.torch import load_file

        from avatargpt.kinematics.measures import SIZE

        def make(state: dict[str, Tensor]) -> TextMotionScorer:
            # The file has no configuration: its shapes say the sizes.
            width, size = state["motion.0.weight"].shape
            if size != SIZE:
                raise ValueError(f"signatures of {size} numbers, not {SIZE}")
            network = ScorerNetwork(size, width, len(state["motion.6.bias"]))
            network.load_state_dict(raised(state))
            return cls(network)

        return read_optional(Path(folder) / FILE, "matcher", load_file, make)

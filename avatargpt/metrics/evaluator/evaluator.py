"""`MotionEvaluator`: the trained evaluator, its file and its vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from avatargpt import resources
from avatargpt.lm.checkpoint import fingerprint, read_optional, stored
from avatargpt.metrics.evaluator.features import CHANNELS, FPS, joint_features
from avatargpt.metrics.evaluator.network import EvaluatorNetwork
from vqvae.errors import UserError
from vqvae.io.files import atomic_write
from vqvae.io.tensors import no_larger_than, raised

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from vqvae.motion import Motion

FILE = "evaluator.safetensors"
BATCH = 64  # clips that are looked at together


def padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(T, 137) each -> (B, longest, 137) with zeros behind, and (B,) lengths."""
    lengths = torch.tensor([len(r) for r in rows])
    out = torch.zeros(len(rows), int(lengths.max()), CHANNELS)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.from_numpy(np.asarray(row, np.float32))
    return out, lengths


class MotionEvaluator:
    """Motions and sentences as unit vectors of one space.

    Args:
        network: trained. It is put into evaluation mode.
    """

    def __init__(self, network: EvaluatorNetwork) -> None:
        self.network = network.eval()

    @property
    def fingerprint(self) -> str:
        """Of the weights: figures of two evaluators do not compare."""
        return fingerprint(self.network)

    @torch.inference_mode()
    def frames(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """`joint_features` (T, 137) each -> (B, dim) unit vectors; (0, dim) of none."""
        out = np.zeros((len(rows), self.network.out.out_features), np.float32)
        order = np.argsort([len(r) for r in rows], kind="stable")
        for start in range(0, len(rows), BATCH):
            some = order[start : start + BATCH]
            out[some] = self.network.see(*padded([rows[i] for i in some])).numpy()
        return out

    def joints(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """(T, 22, 3) metres at 20 fps each -> (B, dim) unit vectors.

        Raises:
            UserError: other shapes, see `joint_features`.
        """
        return self.frames([joint_features(j) for j in clips])

    def motions(self, motions: Sequence[Motion]) -> np.ndarray:
        """Bodies at any frame rate -> (B, dim) unit vectors."""
        return self.joints([m.resampled(FPS).joints for m in motions])

    @torch.inference_mode()
    def sentences(self, vectors: np.ndarray) -> np.ndarray:
        """(B, 384) unit vectors of the frozen sentence encoder -> (B, dim) unit vectors."""
        return np.asarray(self.network.hear(torch.from_numpy(np.asarray(vectors, np.float32))).numpy())

    def texts(self, texts: Sequence[str], grounder: SentenceGrounder) -> np.ndarray:
        """Sentences -> (B, dim) unit vectors."""
        return self.sentences(grounder.sentence(list(texts)))

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = torch.int8) -> Path:
        """Write ``evaluator.safetensors``: matrices as 8-bit integers, unless `dtype` says otherwise."""
        from safetensors.torch import save_file

        state = stored(self.network, dtype)
        return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> MotionEvaluator:
        """The evaluator of a folder of the text-motion stage; None = of the packaged weights.

        Raises:
            UserError: no such file, or a damaged one.
        """
        from safetensors.torch import load_file

        def make(stored: dict[str, Tensor]) -> MotionEvaluator:
            state = raised(stored)
            width = len(state["first.bias"])
            hidden, dim = len(state["text.0.bias"]), len(state["out.bias"])
            blocks = sum(k.endswith("wide.bias") for k in state)
            with no_larger_than(state):
                network = EvaluatorNetwork(width, hidden, dim, blocks)
            network.load_state_dict(state)
            return cls(network)

        folder = resources.weights() if folder is None else folder
        found = read_optional(Path(folder) / FILE, "evaluator of text and motion", load_file, make)
        if found is None:
            raise UserError(f"{folder}: no {FILE} in it; accepted: a folder of the text-motion stage")
        return found

"""The evaluator as one thing: texts and motions to vectors of one space, and its file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from avatargpt.metrics.humanml3d.lengths import MOST, UNIT
from avatargpt.metrics.humanml3d.networks import POSE, MatchingNetwork, shape_of
from avatargpt.metrics.humanml3d.words import TAGS, Vocabulary
from vqvae.errors import UserError
from vqvae.io.files import parsing
from vqvae.io.tensors import load_tensors, no_larger_than
from vqvae.motion import atomic_write

FILE = "evaluator.safetensors"
T = TypeVar("T")
DIM = POSE + 4  # of the features that motions come in
BATCH = 128


class Evaluator:
    """Trained networks with what their inputs are normalised by.

    Args:
        network: put into evaluation mode. mean, std: (263,) of the features. vocabulary: of the texts.
        device: that networks compute on.

    Raises:
        UserError: sizes that do not fit, or a mean or deviation that is not finite and above zero.
    """

    def __init__(
        self, network: MatchingNetwork, mean: np.ndarray, std: np.ndarray, vocabulary: Vocabulary,
        device: str | torch.device = "cpu", where: str = "evaluator",
    ) -> None:  # fmt: skip
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        if self.mean.shape != (DIM,) or self.std.shape != (DIM,):
            raise UserError(f"{where}: mean {self.mean.shape} and std {self.std.shape}; accepted ({DIM},) both")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise UserError(f"{where}: a mean or deviation that is no number, or none above zero; accepted: those")
        if network.shape.word != vocabulary.vectors.shape[1] or network.shape.tags != len(TAGS):
            raise UserError(f"{where}: vectors of {vocabulary.vectors.shape[1]} numbers and {len(TAGS)} classes; "
                            f"accepted: {network.shape.word} and {network.shape.tags}")  # fmt: skip
        self.network, self.vocabulary = network.to(device).eval(), vocabulary
        self.device = torch.device(device)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[Sequence[str]], batch: int = BATCH) -> np.ndarray:
        """Texts as ``word/TAG`` tokens -> (N, joint) float32, in their order; `batch` at a time."""
        out = [np.zeros((0, self.network.shape.joint), np.float32)]
        for some in _batched(texts, batch):
            words = self.vocabulary.encode(some)
            rows = (torch.from_numpy(x).to(self.device) for x in words)
            out.append(self.network.of_text(*rows).cpu().numpy())
        return np.concatenate(out)

    @torch.inference_mode()
    def embed_motions(self, motions: Iterable[np.ndarray], batch: int = BATCH) -> np.ndarray:
        """Motions as (T, 263) features of HumanML3D, T 4 to 196 -> (N, joint) float32, in their order.

        Each is padded to 196 frames, as published, whatever stands beside it: the convolutions look one frame beyond a
        motion's end, so that another padding would give other vectors.

        Raises:
            ValueError: other shapes, or numbers that are not finite.
        """
        out = [np.zeros((0, self.network.shape.joint), np.float32)]
        for some in _batched(motions, batch):
            features, frames = padded([self.normalised(x) for x in some])
            out.append(self.network.of_motion(features.to(self.device), frames.to(self.device)).cpu().numpy())
        return np.concatenate(out)

    def normalised(self, features: np.ndarray) -> np.ndarray:
        """(T, 263) features in deviations from the mean, float32."""
        return normalised(features, self.mean, self.std)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that embeddings depend on."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._tensors().items()):
            digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def _tensors(self) -> dict[str, Tensor]:
        state = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        text = "\n".join(self.vocabulary.words).encode()
        return {
            **state, "mean": torch.from_numpy(self.mean), "std": torch.from_numpy(self.std),
            "vectors": torch.from_numpy(self.vocabulary.vectors),
            "words": torch.from_numpy(np.frombuffer(text, np.uint8).copy()),
        }  # fmt: skip

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``evaluator.safetensors``: networks, mean and std, words (UTF-8, a line each) and their vectors."""
        from safetensors.torch import save_file

        return atomic_write(Path(folder) / FILE, lambda p: save_file(self._tensors(), p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> Evaluator:
        """What `save` wrote.

        Raises:
            UserError: no such file, or a damaged one.
        """
        path = Path(folder) / FILE
        state = load_tensors(path, "an evaluator")
        with parsing(path, "an evaluator"):
            mean, std, vectors = (state.pop(k).numpy() for k in ("mean", "std", "vectors"))
            words = state.pop("words").numpy().tobytes().decode().split("\n")
            return cls(network_of(state), mean, std, Vocabulary(words, vectors, str(path)), device, str(path))


def network_of(state: dict[str, Tensor]) -> MatchingNetwork:
    """The network of these weights.

    Raises:
        KeyError, ValueError, RuntimeError: tensors that are missing, too many, or do not fit together.
    """
    with no_larger_than(state):
        network = MatchingNetwork(shape_of(state))
    network.load_state_dict(state)
    return network


def normalised(features: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """(T, 263) features in deviations from the mean, float32.

    Raises:
        ValueError: another shape, or numbers that are not finite.
    """
    x = np.asarray(features, np.float64)
    if x.ndim != 2 or x.shape[1] != DIM or not np.isfinite(x).all():
        raise ValueError(f"features {x.shape}; accepted (T, {DIM}), finite")
    return ((x - mean) / std).astype(np.float32)


def padded(motions: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Normalised motions -> (B, 196, 263) with zeros behind each, and (B,) frames.

    Raises:
        ValueError: a motion of fewer than 4 or more than 196 frames.
    """
    out = torch.zeros(len(motions), MOST, DIM)
    for row, motion in zip(out, motions, strict=True):
        if not UNIT <= len(motion) <= MOST:
            raise ValueError(f"{len(motion)} frames; accepted {UNIT} to {MOST}")
        row[: len(motion)] = torch.from_numpy(motion)
    return out, torch.tensor([len(m) for m in motions])


def _batched(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` rows (Python 3.12 has its own)."""
    left = iter(rows)
    while some := list(islice(left, size)):
        yield some

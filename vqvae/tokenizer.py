"""`MotionTokenizer`: Motion <-> discrete codes, and the folder that holds one."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from vqvae import synthesis
from vqvae.errors import UserError
from vqvae.feature_tokenizer import FeatureTokenizer, TokenizerConfig
from vqvae.io.guard import regular, understanding
from vqvae.io.json_file import read_object
from vqvae.io.tensors import load_tensors, no_larger_than
from vqvae.motion import Motion, atomic_write
from vqvae.precision import lowered, raised
from vqvae.unfilled import unfilled

__all__ = ["MotionTokenizer", "TokenizerConfig"]
CONFIG, WEIGHTS = "tokenizer.json", "tokenizer.safetensors"
ACCEPTED = f"a tokenizer folder holds {CONFIG} and {WEIGHTS}"
_SUMS = "embed_avg"  # of codebook entries while training
_ENTRIES = "_codebook.embed"


class MotionTokenizer(FeatureTokenizer):
    """A tokenizer that takes and gives motions, and is saved and loaded."""

    def encode(self, motion: Motion, refine: int = 0) -> np.ndarray:
        """Motion (any fps) -> codes (N, R) int64.

        Args:
            refine: steps of analysis-by-synthesis per window (`vqvae.synthesis`); 0 = the encoder's own codes. 40 cuts
                the drift of the path to a fifth at about 0.1 s per second of motion.
        """
        features = self.spec.encode(motion)
        return synthesis.encode(self, features, refine) if refine > 0 else self.encode_features(features)

    def decode(self, codes: np.ndarray, caption: str = "") -> Motion:
        """codes (N, R'), R' <= R, or (N,) -> Motion of N * downsample frames, canonical."""
        return self.spec.decode(self.decode_features(codes), caption)

    def decode_each(self, codes: Sequence[np.ndarray]) -> list[Motion]:
        """Several codes (N, R') -> their motions; those of one length go through the decoder together.

        A batch rounds otherwise than one clip does: the motions are those of `decode` but for some 1e-6, which is for
        comparing candidates, not for what is given out.
        """
        alike: dict[tuple[int, ...], list[int]] = {}
        for i, c in enumerate(codes):
            alike.setdefault(np.shape(c), []).append(i)
        out: dict[int, Motion] = {}
        for rows in alike.values():
            features = self.decode_features(np.stack([codes[i] for i in rows]))
            out |= {i: self.spec.decode(f, "") for i, f in zip(rows, features, strict=True)}
        return [out[i] for i in range(len(codes))]

    def reconstruct(self, motion: Motion, refine: int = 0) -> Motion:
        """Through the tokens and back, same number of frames (at the modality's fps), canonical."""
        motion = motion.resampled(self.spec.fps)
        return self.decode(self.encode(motion, refine), motion.caption).slice(0, len(motion))

    @torch.no_grad()
    def round_codebooks(self) -> None:
        """Codebooks to the nearest bfloat16 numbers, so that files hold them in half; the fingerprint changes."""
        for name, value in self.state_dict().items():
            if name.endswith(_ENTRIES):
                value.copy_(value.bfloat16().float())

    @torch.no_grad()
    def settle(self) -> None:
        """Round the code vectors to what bfloat16 holds, so that files of either kind are the same tokenizer."""
        for name, value in self.named_buffers():
            if name.endswith(_ENTRIES):
                value.copy_(value.bfloat16().float())

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
        """Write config and weights.

        `dtype` (`vqvae.precision.lowered`) applies to encoder and decoder; codebooks stay as they are (bfloat16 where
        that is exact), but their running sums, which only training needs and `load` makes anew (entry times count), are
        left out.
        """
        from safetensors.torch import save_file

        whole = {k: v.detach() for k, v in self.state_dict().items() if dtype is None or not k.endswith(_SUMS)}
        state: dict[str, torch.Tensor] = {}
        for k, v in whole.items():
            exact = dtype is not None and k.endswith(_ENTRIES) and torch.equal(v, v.bfloat16().float())
            kind = dtype if k.startswith(("encoder.", "decoder.")) else torch.bfloat16 if exact else None
            state |= lowered(k, v, kind)
        state = {k: v.contiguous().cpu() for k, v in state.items()}
        atomic_write(Path(folder) / WEIGHTS, lambda p: save_file(state, p))
        text = json.dumps({**self.config.model_dump(), "fingerprint": self.fingerprint}, indent=1)
        atomic_write(Path(folder) / CONFIG, lambda p: p.write_text(text + "\n"))

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu", trainable: bool = False
    ) -> MotionTokenizer:
        """Read a folder written by :meth:`save`, in eval mode.

        Args:
            trainable: with what only training needs.

        Raises:
            UserError: missing or truncated files, or weights that do not match the stored fingerprint.
        """
        folder = Path(folder)
        raw = read_object(folder / CONFIG, accepted=ACCEPTED)
        weights = load_tensors(regular(folder / WEIGHTS, ACCEPTED))
        with understanding(folder, "a readable tokenizer"):
            fingerprint = raw.pop("fingerprint")
            with no_larger_than(weights), nullcontext() if trainable else unfilled():
                model = cls(TokenizerConfig.model_validate(raw), trainable)
            state = raised(weights)
            for key in [k for k in model.state_dict() if k.endswith(_SUMS) and k not in state]:
                entries, counts = (state[key.removesuffix(_SUMS) + end] for end in ("embed", "cluster_size"))
                state[key] = entries * counts[..., None]
            model.load_state_dict(state, assign=not trainable)
        if model.fingerprint != fingerprint:
            raise UserError(f"{folder}: weights do not match {CONFIG} (fingerprint {model.fingerprint[:12]})")
        return model.to(device).eval()

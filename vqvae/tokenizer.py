"""`MotionTokenizer`: motion <-> features <-> latents <-> discrete codes, by a residual VQ-VAE."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vqvae import modalities
from vqvae.errors import UserError
from vqvae.features import BodyFeatures, FeatureSpec
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing, regular_file
from vqvae.io.tensors import build_unfilled, load_tensors, lower_weight, no_larger_than, raise_weights
from vqvae.losses import body_joints
from vqvae.motion import Motion, atomic_write
from vqvae.networks import Decoder, Encoder, FrozenVQ, TokenizerConfig, context_tokens, residual_vq

CONFIG, WEIGHTS = "tokenizer.json", "tokenizer.safetensors"
ACCEPTED = f"a tokenizer folder holds {CONFIG} and {WEIGHTS}"
_SUMS = "embed_avg"  # of codebook entries in training
_ENTRIES = "_codebook.embed"
# First and last layers. 8 bits in all layers change 4 to 6 first codes in a thousand, 8 bits in all but these 2.
_ENDS = ("encoder.inp.", "encoder.out.", "decoder.inp.", "decoder.out.")
WINDOW = 50  # tokens optimised together by `encode_by_synthesis`
PATH, YAW, FEATURES = 0.3, 0.1, 0.03  # weights against the mean joint distance in metres


def layout(config: TokenizerConfig) -> FeatureSpec:
    """The features that a tokenizer sees."""
    if config.modality == "body":
        return BodyFeatures(config.rise)
    return modalities.get(config.modality).features()


class MotionTokenizer(nn.Module):
    """Residual VQ-VAE over one modality's features, with its normaliser `mean`, `std` (D,).

    Shapes: T frames, D features, N = ceil(T / downsample) tokens, R levels, K codes a level, C code size. `trainable`
    False omits the parts that only training needs (`networks.FrozenVQ`); the weights are the same.
    """

    mean: torch.Tensor
    std: torch.Tensor
    vq: Any

    def __init__(self, config: TokenizerConfig, trainable: bool = True) -> None:
        super().__init__()
        self.config = config
        self.spec = layout(config)
        self.encoder, self.decoder = Encoder(self.spec.dim, config), Decoder(self.spec.dim, config)
        self.vq = residual_vq(config) if trainable else FrozenVQ(config)
        self.register_buffer("mean", torch.zeros(self.spec.dim))
        self.register_buffer("std", torch.ones(self.spec.dim))
        step = config.downsample
        self._encoder_context = context_tokens(config.encoder_dilations, config.encoder_fine, step)
        self.decoder_context = context_tokens(config.decoder_dilations, config.decoder_fine, step)

    @property
    def downsample(self) -> int:
        return self.config.downsample

    @property
    def tokens_per_second(self) -> float:
        return self.spec.fps / self.config.downsample

    @property
    def codebooks(self) -> torch.Tensor:
        """(R, K, C) float32."""
        return torch.stack([layer.codebook.detach().float() for layer in self.vq.layers])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of layout, codebooks and feature statistics, on which the meaning of codes depends."""
        digest = hashlib.sha256(f"{self.spec.name}:{self.spec.dim}:{self.config.downsample}".encode())
        for tensor in (self.codebooks, self.mean, self.std):
            digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy()).tobytes())
        return digest.hexdigest()

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Training pass on normalised features (B, T, D): reconstruction, codes (B, N, R), commitment loss."""
        z = self.encoder(features.transpose(1, 2)).transpose(1, 2)
        with torch.autocast(z.device.type, enabled=False):
            quantised, codes, commit = self.vq(z.float())
        out = self.decoder(quantised.transpose(1, 2)).transpose(1, 2)
        return out, codes, commit.sum()

    def normalise(self, features: np.ndarray) -> torch.Tensor:
        return (torch.as_tensor(features, dtype=torch.float32, device=self.mean.device) - self.mean) / self.std

    def pad(self, features: np.ndarray) -> np.ndarray:
        """Lengthen (T, D) to a multiple of `downsample` by holding the last pose (velocities zero)."""
        missing = -len(features) % self.downsample
        if not missing:
            return features
        last = features[-1:].copy()
        groups = self.spec.slices()
        # a held pose does not move
        for name in ("velocity", "yaw", "joint_velocity"):
            if name in groups:
                last[:, groups[name]] = 0
        return np.concatenate([features, np.repeat(last, missing, 0)])

    @torch.inference_mode()
    def encode_features(self, features: np.ndarray, chunk: int = 256) -> np.ndarray:
        """(T, D) features -> codes (N, R) int64, in overlapping chunks of `chunk` tokens (same as in one piece)."""
        x = self.normalise(self.pad(features))
        total, context, step = len(x) // self.downsample, self._encoder_context, self.downsample
        parts = []
        for start in range(0, total, chunk):
            # context on both sides makes a chunk equal to the whole
            a, b = max(0, start - context), min(total, start + chunk + context)
            z = self.encoder(x[None, a * step : b * step].transpose(1, 2)).transpose(1, 2)
            parts.append(self.vq(z[:, start - a : min(start + chunk, total) - a])[1][0])
        return torch.cat(parts).cpu().numpy().astype(np.int64)

    @torch.inference_mode()
    def decode_features(self, codes: np.ndarray, chunk: int = 256) -> np.ndarray:
        """Codes to features (N * downsample, D) float32, in overlapping chunks with the result of one piece.

        Args:
            codes: (N, R') with 1 <= R' <= R levels, (N,) level 0 only, or (B, N, R') several of one length.
        """
        c = np.asarray(codes)
        z = self.latents(c.reshape(-1, c.shape[-1])).unflatten(0, c.shape[:2]) if c.ndim == 3 else self.latents(c)[None]
        total, context, step = z.shape[1], self.decoder_context, self.downsample
        parts = []
        for start in range(0, total, chunk):
            a, b, stop = max(0, start - context), min(total, start + chunk + context), min(start + chunk, total)
            y = self.decoder(z[:, a:b].transpose(1, 2)).transpose(1, 2)
            parts.append(y[:, (start - a) * step : (stop - a) * step])
        out = (torch.cat(parts, 1) * self.std + self.mean).cpu().numpy()
        return out if c.ndim == 3 else out[0]

    def latents(self, codes: np.ndarray) -> torch.Tensor:
        """Sum of the code vectors over levels: (N, R') or (N,) -> (N, C)."""
        c = np.asarray(codes)
        c = c[:, None] if c.ndim == 1 else c
        if not len(c) or c.ndim != 2 or c.shape[1] > self.config.levels:
            raise UserError(f"codes of shape {c.shape}; accepted (tokens, 1..{self.config.levels}), at least one token")
        if c.min() < 0 or c.max() >= self.config.codebook_size:
            raise UserError(f"codes {c.min()}..{c.max()}; accepted 0..{self.config.codebook_size - 1}")
        index = torch.as_tensor(c, device=self.mean.device)
        codebooks = self.codebooks
        return torch.stack([codebooks[r][index[:, r]] for r in range(c.shape[1])]).sum(0)

    @torch.inference_mode()
    def encode_latents(self, features: np.ndarray, start: int, stop: int) -> torch.Tensor:
        """The encoder's output before quantisation for tokens [start, stop) of (T, D) features: (stop - start, C)."""
        x, step = self.normalise(features), self.downsample
        a, b = max(0, start - self._encoder_context), min(len(x) // step, stop + self._encoder_context)
        z = self.encoder(x[None, a * step : b * step].transpose(1, 2)).transpose(1, 2)[0]
        return z[start - a : stop - a].clone()

    def encode(self, motion: Motion, refine: int = 0) -> np.ndarray:
        """Motion (any fps) -> codes (N, R) int64; `refine` steps of `encode_by_synthesis` per window.

        40 steps cut the drift of the path to a fifth at about 0.1 s per second of motion.
        """
        features = self.spec.encode(motion)
        return encode_by_synthesis(self, features, refine) if refine > 0 else self.encode_features(features)

    def decode(self, codes: np.ndarray, caption: str = "") -> Motion:
        """codes (N, R'), R' <= R, or (N,) -> Motion of N * downsample frames, canonical."""
        return self.spec.decode(self.decode_features(codes), caption)

    def decode_each(self, codes: Sequence[np.ndarray]) -> list[Motion]:
        """Several codes (N, R') -> their motions, equal to those of `decode` up to 1e-6, for comparing candidates."""
        return [self.spec.decode(f, "") for f in self.features_of_each(codes)]

    def features_of_each(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Several codes (N, R') -> features (N * downsample, D) of each, those of one length in one pass."""
        rows_by_shape: dict[tuple[int, ...], list[int]] = {}
        for i, c in enumerate(codes):
            rows_by_shape.setdefault(np.shape(c), []).append(i)
        out: dict[int, np.ndarray] = {}
        for rows in rows_by_shape.values():
            out |= zip(rows, self.decode_features(np.stack([codes[i] for i in rows])), strict=True)
        return [out[i] for i in range(len(codes))]

    def reconstruct(self, motion: Motion, refine: int = 0) -> Motion:
        """Through the tokens and back, same number of frames (at the modality's fps), canonical."""
        motion = motion.resampled(self.spec.fps)
        return self.decode(self.encode(motion, refine), motion.caption).slice(0, len(motion))

    @torch.no_grad()
    def round_codebooks(self) -> None:
        """Round the code vectors to bfloat16, so that files hold them in half; the fingerprint changes."""
        for name, value in self.named_buffers():
            if name.endswith(_ENTRIES):
                value.copy_(value.bfloat16().float())

    def save(
        self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None, ends: torch.dtype = torch.bfloat16
    ) -> None:
        """Write config and weights; `dtype` (`vqvae.io.tensors.lower_weight`) applies to encoder and decoder.

        With ``torch.int8`` their first and last layers are in `ends`. Codebooks stay exact (in bfloat16 where that is
        exact), without their running sums, which `load` computes again.
        """
        from safetensors.torch import save_file

        tensors = {k: v.detach() for k, v in self.state_dict().items() if dtype is None or not k.endswith(_SUMS)}
        state: dict[str, torch.Tensor] = {}
        for k, v in tensors.items():
            exact = dtype is not None and k.endswith(_ENTRIES) and torch.equal(v, v.bfloat16().float())
            kind = dtype if k.startswith(("encoder.", "decoder.")) else torch.bfloat16 if exact else None
            kind = ends if kind == torch.int8 and k.startswith(_ENDS) else kind
            state |= lower_weight(k, v, kind)
        state = {k: v.contiguous().cpu() for k, v in state.items()}
        atomic_write(Path(folder) / WEIGHTS, lambda p: save_file(state, p))
        text = json.dumps({**self.config.model_dump(), "fingerprint": self.fingerprint}, indent=1)
        atomic_write(Path(folder) / CONFIG, lambda p: p.write_text(text + "\n"))

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu", trainable: bool = False,
        training: TokenizerConfig | None = None,
    ) -> MotionTokenizer:  # fmt: skip
        """Read a folder of :meth:`save`, in eval mode; `trainable`: with the parts that only training needs, and the
        values of `training` for them.

        Raises:
            UserError: missing or truncated files, or weights that do not match the stored fingerprint.
        """
        folder = Path(folder)
        raw = read_object(folder / CONFIG, accepted=ACCEPTED)
        weights = load_tensors(regular_file(folder / WEIGHTS, ACCEPTED))
        with parsing(folder, "a readable tokenizer"):
            fingerprint = raw.pop("fingerprint")
            with no_larger_than(weights), nullcontext() if trainable else build_unfilled():
                config = TokenizerConfig.model_validate(raw)
                model = cls(config if training is None else config.adopt_training(training), trainable)
            state = raise_weights(weights)
            # running sums are not stored: entry times count
            for key in [k for k in model.state_dict() if k.endswith(_SUMS) and k not in state]:
                entries, counts = (state[key.removesuffix(_SUMS) + end] for end in ("embed", "cluster_size"))
                state[key] = entries * counts[..., None]
            model.load_state_dict(state, assign=not trainable)
        if model.fingerprint != fingerprint:
            raise UserError(f"{folder}: weights do not match {CONFIG} (fingerprint {model.fingerprint[:12]})")
        return model.to(device).eval()


def _path(features: torch.Tensor, position: torch.Tensor, yaw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Root path of unnormalised features (T, D) going on from a state: planar positions (T, 2) metres, yaw (T,)."""
    angle = yaw + features[:, 3].cumsum(0)
    before = torch.cat([yaw[None], angle[:-1]])
    vx, vz = features[:, 1], features[:, 2]
    step = torch.stack([before.cos() * vx + before.sin() * vz, before.cos() * vz - before.sin() * vx], -1)
    return position + step.cumsum(0), angle


# Velocities that are a few percent off hardly show in a pose, but add up to metres. Each window starts from the end of
# the decoded path before it, so errors do not add up.
def encode_by_synthesis(
    tokenizer: MotionTokenizer, features: np.ndarray, steps: int = 40, rate: float = 0.03
) -> np.ndarray:
    """Codes (N, R) int64 of body features (T, 270) whose decoded path stays close to the source's.

    The encoder's latents are moved by gradient descent through the frozen decoder (analysis by synthesis,
    straight-through past the quantiser, Bengio et al. 2013, arXiv 1308.3432). Codebooks, decoder and fingerprint are
    untouched.

    Args:
        features: unnormalised, in the `body` layout. steps: of Adam per window. rate: its step size.
    """
    x = tokenizer.pad(features)
    step = tokenizer.downsample
    codes = tokenizer.encode_features(x)
    total, context = len(codes), tokenizer.decoder_context
    raw = torch.as_tensor(x, device=tokenizer.mean.device)
    raw = raw.clone()
    raw[0, 1:4] = 0  # the first frame's step has no meaning
    zero = raw.new_zeros(())
    truth_position, truth_yaw = raw.new_zeros(2), zero
    position, yaw = raw.new_zeros(2), zero
    for start in range(0, total, WINDOW):
        stop = min(start + WINDOW, total)
        window = raw[start * step : stop * step]
        target_path = _path(window, truth_position, truth_yaw)
        joints = body_joints(window[None])[0]
        a, b = max(0, start - context), min(total, stop + context)
        around = tokenizer.latents(codes[a:b])
        with torch.no_grad():
            encoded = tokenizer.encode_latents(x, start, stop)
        state = position, yaw
        best = _optimise(tokenizer, encoded, around, start - a, window, joints, target_path, state, steps, rate)
        codes[start:stop], position, yaw = best
        truth_position, truth_yaw = target_path[0][-1], target_path[1][-1]
    return codes


def _optimise(
    tokenizer: MotionTokenizer, encoded: torch.Tensor, around: torch.Tensor, left: int, window: torch.Tensor,
    joints: torch.Tensor, target_path: tuple[torch.Tensor, torch.Tensor], state: tuple[torch.Tensor, torch.Tensor],
    steps: int, rate: float,
) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:  # fmt: skip
    """The best codes of one window (n, R), and the path state after it."""
    count, scale = len(encoded), tokenizer.downsample
    # gradients are for the latents alone
    frozen = [p for p in tokenizer.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    z = encoded.clone().requires_grad_(True)
    adam = torch.optim.Adam([z], lr=rate)
    best: tuple[float, np.ndarray, torch.Tensor, torch.Tensor] | None = None
    try:
        for _ in range(max(1, steps)):
            quantised, codes, _ = tokenizer.vq(z.detach()[None])
            # straight through: the gradient passes the quantiser unchanged
            straight = z + (quantised[0] - z).detach()
            full = torch.cat([around[:left], straight, around[left + count :]])
            out = tokenizer.decoder(full[None].transpose(1, 2)).transpose(1, 2)[0]
            out = out[left * scale : (left + count) * scale] * tokenizer.std + tokenizer.mean
            if left == 0:  # a stream's first step is ignored by the decoder of features
                out = torch.cat([torch.cat([out[:1, :1], out.new_zeros(1, 3), out[:1, 4:]], 1), out[1:]])
            place, angle = _path(out, *state)
            pose = (body_joints(out[None])[0] - joints).norm(dim=-1).mean()
            drift = (place - target_path[0]).norm(dim=-1)
            loss = pose + PATH * drift.mean() + YAW * (angle - target_path[1]).abs().mean()
            loss = loss + FEATURES * torch.nn.functional.smooth_l1_loss(
                (out - window) / tokenizer.std, torch.zeros_like(out), beta=0.5
            )
            # the codes that are kept are judged by joints and path, not by the loss
            score = float((pose + 0.05 * drift.mean() + 0.05 * drift[-1]).detach())
            if best is None or score < best[0]:
                best = (score, codes[0].cpu().numpy(), place[-1].detach(), angle[-1].detach())
            adam.zero_grad()
            loss.backward()
            adam.step()
    finally:
        for p in frozen:
            p.requires_grad_(True)
    assert best is not None
    return best[1], best[2], best[3]

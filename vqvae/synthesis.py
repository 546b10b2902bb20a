"""Encoding by analysis-by-synthesis: codes chosen for what they decode to, not only for what the encoder says.

The encoder's latents are moved by gradient descent through the frozen decoder (straight-through past the quantiser,
Bengio et al. 2013, arXiv 1308.3432) so that the decoded joints and above all the *integrated* root path match the
source: velocities that are a few percent off hardly show in a pose, but add up to metres. Codebooks, decoder and
fingerprint are untouched; any model reads the codes. About 0.1 s per second of motion on one CPU core.
"""

from __future__ import annotations

import numpy as np
import torch

from vqvae.feature_tokenizer import FeatureTokenizer
from vqvae.losses import body_joints

WINDOW = 50  # tokens optimised together
PATH, YAW, FEATURES = 0.3, 0.1, 0.03  # weights against the mean joint distance in metres


def _path(features: torch.Tensor, position: torch.Tensor, yaw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Root path of unnormalised features (T, D) going on from a state: planar positions (T, 2) metres, yaw (T,)."""
    angle = yaw + features[:, 3].cumsum(0)
    before = torch.cat([yaw[None], angle[:-1]])
    vx, vz = features[:, 1], features[:, 2]
    step = torch.stack([before.cos() * vx + before.sin() * vz, before.cos() * vz - before.sin() * vx], -1)
    return position + step.cumsum(0), angle


def encode(tokenizer: FeatureTokenizer, features: np.ndarray, steps: int = 40, rate: float = 0.03) -> np.ndarray:
    """Codes of body features whose decoded path stays with the source's.

    Motion is treated window by window; each starts from where the decoded path of the last one ended, so errors are
    taken back rather than carried on. Memory per second of motion is constant.

    Args:
        tokenizer: of a modality with the `body` layout.
        features: (T, 269) unnormalised. steps: of Adam per window. rate: its step size.

    Returns:
        (N, R) int64 codes.
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
        wanted = _path(window, truth_position, truth_yaw)
        joints = body_joints(window[None])[0]
        a, b = max(0, start - context), min(total, stop + context)
        around = tokenizer.latents(codes[a:b])
        with torch.no_grad():
            encoded = tokenizer.encode_latents(x, start, stop)
        best = _optimise(tokenizer, encoded, around, start - a, window, joints, wanted, (position, yaw), steps, rate)
        codes[start:stop], position, yaw = best
        truth_position, truth_yaw = wanted[0][-1], wanted[1][-1]
    return codes


def _optimise(
    tokenizer: FeatureTokenizer, encoded: torch.Tensor, around: torch.Tensor, left: int, window: torch.Tensor,
    joints: torch.Tensor, wanted: tuple[torch.Tensor, torch.Tensor], state: tuple[torch.Tensor, torch.Tensor],
    steps: int, rate: float,
) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:  # fmt: skip
    """The best codes of one window (n, R), and the path state after it."""
    count, scale = len(encoded), tokenizer.downsample
    frozen = [p for p in tokenizer.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    z = encoded.clone().requires_grad_(True)
    adam = torch.optim.Adam([z], lr=rate)
    best: tuple[float, np.ndarray, torch.Tensor, torch.Tensor] | None = None
    try:
        for _ in range(max(1, steps)):
            quantised, codes, _ = tokenizer.vq(z.detach()[None])
            straight = z + (quantised[0] - z).detach()
            full = torch.cat([around[:left], straight, around[left + count :]])
            out = tokenizer.decoder(full[None].transpose(1, 2)).transpose(1, 2)[0]
            out = out[left * scale : (left + count) * scale] * tokenizer.std + tokenizer.mean
            if left == 0:  # a stream's first step is ignored by the decoder of features
                out = torch.cat([torch.cat([out[:1, :1], out.new_zeros(1, 3), out[:1, 4:]], 1), out[1:]])
            place, angle = _path(out, *state)
            pose = (body_joints(out[None])[0] - joints).norm(dim=-1).mean()
            drift = (place - wanted[0]).norm(dim=-1)
            loss = pose + PATH * drift.mean() + YAW * (angle - wanted[1]).abs().mean()
            loss = loss + FEATURES * torch.nn.functional.smooth_l1_loss(
                (out - window) / tokenizer.std, torch.zeros_like(out), beta=0.5
            )
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

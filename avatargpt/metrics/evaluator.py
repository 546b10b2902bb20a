"""The learnt evaluator of text and motion: joints and sentences as vectors of one space, and figures in it."""
# Contrastive matching as in TMR (Petrovich et al. 2023, arXiv 2305.00976), small enough to be shipped: a convolutional
# motion encoder over joints alone, so that motion of any origin is judged alike, and a small head on frozen sentence
# vectors. The scorer that chooses among candidates (`avatargpt.lm.scorer`) must not judge them and is another network
# on other features.

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt import resources
from avatargpt.lm.checkpoint import fingerprint, read_optional, store_tensors
from instruct_data.text.english import side_of
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import smooth_heading
from vqvae.io.files import atomic_write
from vqvae.io.tensors import load_tensors, no_larger_than, raise_weights

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder
    from vqvae.motion import Motion

POOL = 32
MIN_COSINE = 0.8  # cosine of two sentence vectors that say nearly the same (Petrovich et al. 2023)


def _rows(texts: np.ndarray, motions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(texts, np.float64), np.asarray(motions, np.float64)
    if a.ndim != 2 or a.shape != b.shape or not len(a):
        raise ValueError(f"texts {a.shape} and motions {b.shape}; accepted (N, D) of both, N >= 1")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("texts or motions that are not finite; accepted numbers")
    return a, b


def sides_of(texts: Sequence[str]) -> np.ndarray:
    """(N,) -1 for a sentence about the left, 1 for one about the right, 0 for both or neither."""
    signs = {"left": -1, "right": 1}
    return np.array([signs.get(side_of(t) or "", 0) for t in texts], int)


def similar_pairs(sentences: np.ndarray, sides: np.ndarray, min_cosine: float = MIN_COSINE) -> np.ndarray:
    """Pairs of sentences that say nearly the same, each with itself among them.

    Args:
        sentences: (N, D) unit vectors. sides: (N,) of `sides_of`: opposite sides are never the same, although the
            vectors of "the left hand" and "the right hand" have a cosine of 0.98.

    Returns:
        (N, N) bool.
    """
    x = np.asarray(sentences, np.float32)
    out = (x @ x.T > min_cosine) & (np.multiply.outer(sides, sides) >= 0)
    np.fill_diagonal(out, True)
    return np.asarray(out)


def retrieval_precision(
    texts: np.ndarray, motions: np.ndarray, same: np.ndarray | None = None, tops: Sequence[int] = (1, 2, 3),
    pool: int = POOL, repeats: int = 20, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """How often the motions nearest to a text are right, in random pools.

    In every repetition all rows are shuffled into pools; rows that do not fill one sit out.

    Args:
        texts, motions: (N, D), N >= pool; row i of both belong together.
        same: (N, N) bool, which rows' texts say the same (`similar_pairs`); None = each only itself.
        tops: k of the R-precision@k. pool: motions among which a text is ranked. repeats: shuffles.

    Returns:
        (N, len(tops)): share of a row's pools in which a right motion is among the k nearest; NaN for a row that sat
        out of all.
    """
    a, b = _rows(texts, motions)
    if len(a) < pool or pool < 2 or repeats < 1 or any(not 1 <= k <= pool for k in tops):
        raise ValueError(f"{len(a)} rows, pools of {pool}, tops {list(tops)}; accepted: no fewer rows than a pool, "
                         "tops from 1 to the pool's size, at least one repetition")  # fmt: skip
    right = np.eye(len(a), dtype=bool) if same is None else np.asarray(same, bool)
    if right.shape != (len(a), len(a)):
        raise ValueError(f"same {right.shape}; accepted ({len(a)}, {len(a)})")
    rng = np.random.default_rng(seed)
    hits, tried = np.zeros((len(a), len(tops))), np.zeros(len(a))
    for _ in range(repeats):
        order = rng.permutation(len(a))
        for start in range(0, len(a) - pool + 1, pool):
            rows = order[start : start + pool]
            # Stable order: of equal distances the earlier row counts as nearer.
            far = ((a[rows][:, None] - b[rows][None]) ** 2).sum(-1)
            hit_rows = np.take_along_axis(right[np.ix_(rows, rows)], far.argsort(1, kind="stable"), 1)
            hits[rows] += np.stack([hit_rows[:, :k].any(1) for k in tops], 1)
            tried[rows] += 1
    with np.errstate(invalid="ignore"):
        return np.asarray(hits / tried[:, None])


def pair_distances(texts: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """(N,) Euclidean distance of every text to its own motion, (N, D) both (MM-Dist is their mean)."""
    a, b = _rows(texts, motions)
    return np.asarray(np.linalg.norm(a - b, axis=1))


def r_precision(texts: np.ndarray, motions: np.ndarray, pool: int = POOL, top: int = 3) -> np.ndarray:
    """Share of texts whose own motion is among the `k` nearest of its pool, for k = 1 to `top`.

    Source: Guo et al. 2022 (HumanML3D), pools of 32; rows are pooled as they come, so shuffle them before. Of motions
    at one distance the earlier counts as nearer.

    Args:
        texts, motions: (N, D), N a multiple of `pool`; rows i belong together.

    Returns:
        (top,) shares, 0..1, rising.
    """
    a, b = _rows(texts, motions)
    if pool < 1 or len(a) % pool:
        raise ValueError(f"embeddings {a.shape} and {b.shape}; accepted (N, D) both, N a multiple of {pool}")
    pools = zip(a.reshape(-1, pool, a.shape[1]), b.reshape(-1, pool, b.shape[1]), strict=True)
    distances = np.stack([np.linalg.norm(x[:, None] - y[None], axis=-1) for x, y in pools])
    order = np.argsort(distances, axis=-1, kind="stable")
    rank = np.argmax(order == np.arange(pool)[None, :, None], axis=-1)
    return np.array([(rank < k + 1).mean() for k in range(top)])


def mm_dist(texts: np.ndarray, motions: np.ndarray) -> float:
    """Mean L2 distance of each text to its motion, (N, D) both ("matching score"; Guo et al. 2022)."""
    return float(pair_distances(texts, motions).mean())


FPS = 20.0
CHANNELS = 137
MIN_FRAMES, MAX_FRAMES = 2, 6000
SENTENCE = 384
LOUD = 8.0  # unit sentence vectors times this have entries of about the size that layers expect
LIMIT = 6.0  # standard deviations beyond which a number is cut off
STRIDE = 4  # frames of a position of the blocks
FILE = "evaluator.safetensors"
BATCH = 64  # clips that are embedded together
TOPS = (1, 2, 3)


def joint_features(joints: np.ndarray) -> np.ndarray:
    """One row per frame, in the frame of the body's heading (`smooth_heading`) unless said otherwise.

    0 root height (m); 1:3 planar velocity of the root (m/s); 3 yaw rate (rad/s); 4:67 positions of the 21 other joints
    from the root (m); 67:133 velocities of the 22 joints, root motion included (m/s); 133:135 where the root stands as
    seen from the first frame (m); 135:137 sine and cosine of the yaw since then. After the layout of Guo et al. 2022
    (HumanML3D), without its rotations, which joints do not give.

    Args:
        joints: (T, 22, 3) metres at 20 frames per second, Y up.

    Returns:
        (T, 137) float32.
    """
    x = np.asarray(joints, np.float64)
    if x.ndim != 3 or x.shape[1:] != (22, 3) or not MIN_FRAMES <= len(x) <= MAX_FRAMES:
        raise UserError(f"joints {x.shape}; accepted (T, 22, 3) with T from {MIN_FRAMES} to {MAX_FRAMES}")
    if not np.isfinite(x).all():
        raise UserError("joints with numbers that are not finite; accepted: metres")
    yaw = smooth_heading(x)
    back = rot.about_y(-yaw)
    moved = np.diff(x, axis=0) * FPS
    moved = rot.rotate(back[:, None], np.concatenate([moved[:1], moved]))
    rate = np.diff(yaw) * FPS
    place = rot.rotate(back[:1], x[:, 0] - x[0, 0])
    turned = yaw - yaw[0]
    n = len(x)
    return np.concatenate([
        x[:, 0, 1:2], moved[:, 0][:, [0, 2]], np.concatenate([rate[:1], rate])[:, None],
        rot.rotate(back[:, None], x[:, 1:] - x[:, :1]).reshape(n, -1), moved.reshape(n, -1),
        place[:, [0, 2]], np.stack([np.sin(turned), np.cos(turned)], -1),
    ], -1).astype(np.float32)  # fmt: skip


class _ConvBlock(nn.Module):
    """A residual convolution over time, (B, width, L) -> same."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        # Normalised at each position alone: what pads a row must not change it.
        h = F.layer_norm(x.transpose(1, 2), x.shape[1:2]).transpose(1, 2) * mask
        return (x + self.drop(self.mix(F.gelu(self.wide(h))))) * mask


class EvaluatorNetwork(nn.Module):
    """Frames and sentence vectors to unit vectors of one space."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, width: int = 128, hidden: int = 160, dim: int = 128, blocks: int = 3, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("std", torch.ones(CHANNELS))
        self.first = nn.Conv1d(CHANNELS, width, 5, 2, 2)
        self.second = nn.Conv1d(width, width, 5, 2, 2)
        self.blocks = nn.ModuleList(_ConvBlock(width, 2**i, dropout) for i in range(blocks))
        self.out = nn.Linear(4 * width, dim)
        self.text = nn.Sequential(nn.Linear(SENTENCE, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))
        self.drop = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.tensor(2.5))  # log of the inverse temperature

    def encode_motions(self, frames: Tensor, lengths: Tensor, noise: float = 0.0) -> Tensor:
        """Motions as unit vectors; what pads a row does not change its vector.

        Args:
            frames: (B, T, 137) of `joint_features`, padded behind. lengths: (B,) frames of each.
            noise: standard deviation of what is added in training, in those of the channels.

        Returns:
            (B, dim).
        """
        x = ((frames - self.mean) / self.std).clamp(-LIMIT, LIMIT)
        if noise:
            x = x + noise * torch.randn_like(x)
        at = torch.arange(x.shape[1], device=x.device)
        x = (x * (at < lengths[:, None])[..., None]).transpose(1, 2)
        half = -(-lengths // 2)
        x = F.gelu(self.first(x)) * (at[: -(-x.shape[2] // 2)] < half[:, None])[:, None]
        count = -(-half // 2)
        inside = at[: -(-x.shape[2] // 2)] < count[:, None]
        mask = inside[:, None].to(x.dtype)
        x = F.gelu(self.second(x)) * mask
        for block in self.blocks:
            x = block(x, mask)
        # Means of both halves keep the order of what happens.
        early = (at[: x.shape[2]] < -(-count[:, None] // 2))[:, None] * mask
        late = (at[: x.shape[2]] >= (count[:, None] // 2))[:, None] * mask
        pooled = [(x * part).sum(2) / part.sum(2).clamp(min=1) for part in (mask, early, late)]
        highest = x.masked_fill(~inside[:, None], -torch.inf).amax(2)
        return F.normalize(self.out(self.drop(torch.cat([*pooled, highest], 1))), dim=-1)

    def encode_texts(self, sentences: Tensor) -> Tensor:
        """(B, 384) unit sentence vectors -> (B, dim)."""
        return F.normalize(self.text(LOUD * sentences), dim=-1)


def pad_rows(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(T, 137) each -> (B, longest, 137) with zeros behind, and (B,) lengths."""
    lengths = torch.tensor([len(r) for r in rows])
    out = torch.zeros(len(rows), int(lengths.max()), CHANNELS)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.from_numpy(np.asarray(row, np.float32))
    return out, lengths


class MotionEvaluator:
    """Motions and sentences as unit vectors of one space. `network`: trained. It is put into evaluation mode."""

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
            batch = order[start : start + BATCH]
            out[batch] = self.network.encode_motions(*pad_rows([rows[i] for i in batch])).numpy()
        return out

    def joints(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        """(T, 22, 3) metres at 20 fps each -> (B, dim) unit vectors."""
        return self.frames([joint_features(j) for j in clips])

    def motions(self, motions: Sequence[Motion]) -> np.ndarray:
        """Bodies at any frame rate -> (B, dim) unit vectors."""
        return self.joints([m.resampled(FPS).joints for m in motions])

    @torch.inference_mode()
    def sentences(self, vectors: np.ndarray) -> np.ndarray:
        """(B, 384) unit vectors of the frozen sentence encoder -> (B, dim) unit vectors."""
        return np.asarray(self.network.encode_texts(torch.from_numpy(np.asarray(vectors, np.float32))).numpy())

    def texts(self, texts: Sequence[str], grounder: SentenceGrounder) -> np.ndarray:
        """Sentences -> (B, dim) unit vectors."""
        return self.sentences(grounder.sentence(list(texts)))

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = torch.int8) -> Path:
        """Write ``evaluator.safetensors``: matrices as 8-bit integers, unless `dtype` says otherwise."""
        from safetensors.torch import save_file

        state = store_tensors(self.network, dtype)
        return atomic_write(Path(folder) / FILE, lambda p: save_file(state, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> MotionEvaluator:
        """The evaluator of a folder of the text-motion stage; None = of the packaged weights."""
        def make(stored: dict[str, Tensor]) -> MotionEvaluator:
            state = raise_weights(stored)
            width = len(state["first.bias"])
            hidden, dim = len(state["text.0.bias"]), len(state["out.bias"])
            blocks = sum(k.endswith("wide.bias") for k in state)
            with no_larger_than(state):
                network = EvaluatorNetwork(width, hidden, dim, blocks)
            network.load_state_dict(state)
            return cls(network)

        folder = resources.weights() if folder is None else folder
        evaluator = read_optional(Path(folder) / FILE, "evaluator of text and motion", load_tensors, make)
        if evaluator is None:
            raise UserError(f"{folder}: no {FILE} in it; accepted: a folder of the text-motion stage")
        return evaluator


def fits(
    evaluator: MotionEvaluator, captions: Sequence[np.ndarray], sides: Sequence[np.ndarray], motions: np.ndarray,
    pool: int = POOL, repeats: int = 20, max_captions: int = 3, seed: int = 0,
) -> dict[str, np.ndarray]:  # fmt: skip
    """How well motions fit their captions.

    Args:
        evaluator: whose space `motions` are in.
        captions: (K, 384) unit sentence vectors of each clip, K >= 1. sides: (K,) of each, see `sides_of`.
        motions: (N, D) vectors of the clips, N >= pool.
        pool, repeats, seed: see `retrieval_precision`.
        max_captions: of a clip, used one after another; the values are means over them.

    Returns:
        ``top1``, ``top2``, ``top3`` (share of pools) and ``mm_dist`` (units of the space, 0 to 2): (N,) each.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in (*(f"top{k}" for k in TOPS), "mm_dist")}
    for k in range(max_captions):
        vectors = np.stack([c[k % len(c)] for c in captions])
        side = np.array([s[k % len(s)] for s in sides])
        texts = evaluator.sentences(vectors)
        hits = retrieval_precision(texts, motions, similar_pairs(vectors, side), TOPS, pool, repeats, seed + k)
        for k_nearest, column in zip(TOPS, hits.T, strict=True):
            values[f"top{k_nearest}"].append(column)
        values["mm_dist"].append(pair_distances(texts, motions))
    return {name: np.mean(rows, 0) for name, rows in values.items()}

"""Answers of a model with geometry's verdicts, as the matcher learns from them and is measured by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.lm.scorer import ScorerNetwork
from avatargpt.train.data.codes import read_codes
from avatargpt.train.data.lessons import SIGNATURES
from instruct_data.store import ClipCodes
from vqvae.io.guard import understanding
from vqvae.io.tensors import load_arrays


@dataclass
class Judged:
    """A model's answers to captions with geometry's verdicts (the practice stage).

    Attributes:
        signatures: (n, 437). caption: (n,) rows of `vectors`. passed: (n,) bool. vectors: (m, 384).
    """

    signatures: np.ndarray
    caption: np.ndarray
    passed: np.ndarray
    vectors: np.ndarray

    def split(self, held: int) -> tuple[Judged, Judged]:
        """Answers to most captions, and those to every `held`-th."""
        out = (self.caption % held == held - 1)[:, None] == [[False, True]]
        a, b = (Judged(self.signatures[m], self.caption[m], self.passed[m], self.vectors) for m in out.T)
        return a, b

    def groups(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Passing and failing rows of every caption that has both."""
        order = np.argsort(self.caption, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.caption[order])) + 1)
        both = [(p[self.passed[p]], p[~self.passed[p]]) for p in parts]
        return [(good, bad) for good, bad in both if len(good) and len(bad)]


def judged_answers(folders: str, tokenizer: Any, grounder: Any) -> Judged:
    """What runs of the practice stage left.

    Args:
        folders: with commas between.

    Raises:
        UserError: not such a folder, or of another tokenizer.
    """
    wanted = "--self-training takes the self-training stage's result"
    clips: list[ClipCodes] = []
    parts: list[np.ndarray] = []
    for folder in folders.split(","):
        clips += read_codes(folder, [tokenizer])[0]
        with understanding(folder, f"a folder with a readable {SIGNATURES}", wanted):
            parts.append(load_arrays(Path(folder) / SIGNATURES)["signatures"].astype(np.float32))
    signatures = np.concatenate(parts)
    rows: dict[str, int] = {}
    caption = np.array([rows.setdefault(c.captions[0], len(rows)) for c in clips])
    texts = list(rows)
    vectors = grounder.sentence(texts)
    return Judged(signatures, caption, np.array([bool(c.extra["passed"]) for c in clips]), vectors.astype(np.float32))


def picked(network: ScorerNetwork, held: Judged) -> dict[str, float]:
    """Of each held-out caption with several answers: share that pass if the best-ranked, any, or the best is taken."""
    with torch.inference_mode():
        a = network.see(torch.from_numpy(held.signatures)).numpy()
        b = network.hear(torch.from_numpy(held.vectors)).numpy()
    fit = (a * b[held.caption]).sum(1)
    chosen, mean, oracle = [], [], []
    for one in np.unique(held.caption):
        rows = np.flatnonzero(held.caption == one)
        chosen.append(held.passed[rows[fit[rows].argmax()]])
        mean.append(held.passed[rows].mean())
        oracle.append(held.passed[rows].any())
    return {"picked": float(np.mean(chosen)), "single": float(np.mean(mean)), "oracle": float(np.mean(oracle))}


def judged_loss(
    network: ScorerNetwork, judged: Judged, groups: Sequence[tuple[np.ndarray, np.ndarray]], count: int, noise: float,
    seed: Sequence[int], device: torch.device,
) -> torch.Tensor:
    """Passing answers shall fit their caption better than failing ones (Bradley-Terry)."""
    rng = np.random.default_rng(list(seed))
    drawn = [groups[i] for i in rng.integers(len(groups), size=count)]
    good = np.array([g[int(rng.integers(len(g)))] for g, _ in drawn])
    bad = np.array([b[int(rng.integers(len(b)))] for _, b in drawn])
    seen = torch.from_numpy(judged.signatures[np.concatenate([good, bad])]).to(device)
    said = torch.from_numpy(judged.vectors[judged.caption[good]]).to(device)
    better, worse = network.see(seen, noise).chunk(2)
    wanted = network.hear(said)
    margin = ((better - worse) * wanted).sum(1) * network.scale.exp()
    return F.softplus(-margin).mean()

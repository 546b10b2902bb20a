"""What is learnt from self-training: answers that passed, clips where hardly any did, and how often captions pass."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.lm.scorer import ScorerNetwork
from avatargpt.train.data.corpus import read_codes
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes, Store
from vqvae.io.files import parsing
from vqvae.io.tensors import load_arrays

SOURCE, SHOWN = "practised", "shown"
SIGNATURES = "signatures.safetensors"
PRIOR = 6  # answers that the class's share counts for


def usual(clip: ClipCodes) -> bool:
    """Whether the plain words for the clip's class mean such a clip: "a kick" is no kick to the back."""
    return bool((clip.extra.get("params") or {}).get("usual", True))


def lessons(
    folders: str, tokenizers: Sequence[Any], clips: Sequence[ClipCodes], most: int = 3, hard: float = 0.3,
    shown: int = 10,
) -> list[ClipCodes]:
    """What is learnt from practice: answers that passed and, for captions that hardly anything passed for, the clips.

    Without the clips a class would be learnt from what the model already does: the more stairs it walks down when
    asked to climb them, the fewer of its answers that go up.

    Args:
        folders: of the practice stage, with commas between, the latest last.
        clips: training clips. most: answers of a caption, the latest first.
        hard: share of a caption's answers of which fewer must pass for clips that carry the caption to be shown.
        shown: so many of them at most, where no answer passed; fewer the more did.

    Returns:
        Clips with one caption each, of the source ``practised`` (answers) or ``shown``.
    """
    kept: dict[str, list[ClipCodes]] = defaultdict(list)
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for folder in reversed(folders.split(",")):
        for clip in read_codes(folder, tokenizers)[0]:
            some, passed = kept[clip.captions[0]], bool(clip.extra.get("passed"))
            verdicts[clip.captions[0]].append(passed)
            if passed and len(some) < most:
                some.append(clip)
    rates = {c: sum(v) / len(v) for c, v in verdicts.items()}
    room = {c: math.ceil(shown * (1 - r / hard)) for c, r in rates.items() if r < hard}
    unusual = set()
    for i in np.random.default_rng(0).permutation(len(clips)):
        clip = clips[i]
        for caption in dict.fromkeys(clip.captions):
            if not usual(clip):
                unusual.add(caption)
            if room.get(caption, 0) > 0:
                room[caption] -= 1
                extra = {k: v for k, v in clip.extra.items() if k != "prompts"}
                kept[caption].append(replace(clip, source=SHOWN, captions=[caption], extra=extra))
    for caption in unusual & kept.keys():
        kept[caption] = [replace(c, extra={**c.extra, "params": {"usual": 0}}) for c in kept[caption]]
    return [clip for some in kept.values() for clip in some]


def pass_rates(folders: str) -> dict[str, float]:
    """Caption (lower case, without its full stop) -> share of a model's answers that passed.

    Drawn to the class's own share by `PRIOR` answers, for eight answers are few.

    Args:
        folders: of the practice stage, with commas between.
    """
    passed: dict[str, list[bool]] = defaultdict(list)
    classes: dict[str, list[bool]] = defaultdict(list)
    of: dict[str, str] = {}
    for folder in folders.split(","):
        for clip in Store.open(folder).codes("train"):
            text = clip.captions[0].lower().rstrip(".")
            of[text] = clip_class(clip)
            for some in (passed[text], classes[of[text]]):
                some.append(bool(clip.extra.get("passed")))
    usual = {k: sum(v) / len(v) for k, v in classes.items()}
    return {t: (sum(v) + PRIOR * usual[of[t]]) / (len(v) + PRIOR) for t, v in passed.items()}


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
        with parsing(folder, f"a folder with a readable {SIGNATURES}", wanted):
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
        a = network.embed_motion(torch.from_numpy(held.signatures)).numpy()
        b = network.embed_text(torch.from_numpy(held.vectors)).numpy()
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
    better, worse = network.embed_motion(seen, noise).chunk(2)
    wanted = network.embed_text(said)
    margin = ((better - worse) * wanted).sum(1) * network.scale.exp()
    return F.softplus(-margin).mean()

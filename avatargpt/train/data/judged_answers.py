"""Answers of self-training with geometry's verdicts, as language model, phrase index and scorer learn from them."""

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

from avatargpt.kinematics.measures import SIZE
from avatargpt.lm.scorer import ScorerNetwork
from avatargpt.train.data.corpus import read_codes
from instruct_data.factory.mixture import clip_class
from instruct_data.store import ClipCodes, Store
from vqvae.io.files import parsing
from vqvae.io.tensors import load_arrays

SOURCE, SHOWN = "practised", "shown"
SIGNATURES = "signatures.safetensors"
PRIOR = 6  # answers that the pass rate of the class counts for


def usual(clip: ClipCodes) -> bool:
    """Whether the plain words for the clip's class mean such a clip: "a kick" does not mean a kick to the back."""
    return bool((clip.extra.get("params") or {}).get("usual", True))


def lessons(
    folder: str, tokenizers: Sequence[Any], clips: Sequence[ClipCodes], max_answers: int = 3,
    hard: float = 0.3, max_clips: int = 10,
) -> list[ClipCodes]:
    """Answers that passed and, for captions with few such answers, training clips: without these the model would learn
    a class from its present answers alone, and the more often it walks down stairs that it should climb, the fewer of
    them go up.

    Args:
        folder: of the self-training stage.
        clips: training clips. max_answers: of a caption.
        hard: pass rate of a caption below which clips with the caption are added.
        max_clips: of a caption without a passing answer; fewer, the more answers passed.

    Returns:
        Clips with one caption each, of the source ``practised`` (answers) or ``shown`` (clips).
    """
    chosen: dict[str, list[ClipCodes]] = defaultdict(list)
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for clip in read_codes(folder, tokenizers)[0]:
        answers, passed = chosen[clip.captions[0]], bool(clip.extra.get("passed"))
        verdicts[clip.captions[0]].append(passed)
        if passed and len(answers) < max_answers:
            answers.append(clip)
    rates = {c: sum(v) / len(v) for c, v in verdicts.items()}
    # Fewer passing answers, more clips: at a pass rate of `hard` none, at 0 `max_clips`.
    missing = {c: math.ceil(max_clips * (1 - r / hard)) for c, r in rates.items() if r < hard}
    unusual = set()
    for i in np.random.default_rng(0).permutation(len(clips)):
        clip = clips[i]
        for caption in dict.fromkeys(clip.captions):
            if not usual(clip):
                unusual.add(caption)
            if missing.get(caption, 0) > 0:
                missing[caption] -= 1
                extra = {k: v for k, v in clip.extra.items() if k != "prompts"}
                chosen[caption].append(replace(clip, source=SHOWN, captions=[caption], extra=extra))
    # A caption that also describes an unusual clip is not what plain requests mean.
    for caption in unusual & chosen.keys():
        chosen[caption] = [replace(c, extra={**c.extra, "params": {"usual": 0}}) for c in chosen[caption]]
    return [clip for group in chosen.values() for clip in group]


def pass_rates(folder: str) -> dict[str, float]:
    """Caption (lower case, without its full stop) -> share of a model's answers that passed, shrunk towards that of its
    class by `PRIOR` answers.
    """
    passed: dict[str, list[bool]] = defaultdict(list)
    classes: dict[str, list[bool]] = defaultdict(list)
    class_of: dict[str, str] = {}
    for clip in Store.open(folder).codes("train"):
        text = clip.captions[0].lower().rstrip(".")
        class_of[text] = clip_class(clip)
        for verdicts in (passed[text], classes[class_of[text]]):
            verdicts.append(bool(clip.extra.get("passed")))
    rates = {k: sum(v) / len(v) for k, v in classes.items()}
    return {t: (sum(v) + PRIOR * rates[class_of[t]]) / (len(v) + PRIOR) for t, v in passed.items()}


@dataclass
class Judged:
    """A model's answers to captions with geometry's verdicts."""

    signatures: np.ndarray  # (n, SIZE)
    caption: np.ndarray  # (n,) rows of `vectors`
    passed: np.ndarray  # (n,) bool
    vectors: np.ndarray  # (m, 384)

    def split(self, every: int) -> tuple[Judged, Judged]:
        """Answers to training captions, and those to every `every`-th caption."""
        # By caption, not by answer: answers to one caption are alike.
        out = (self.caption % every == every - 1)[:, None] == [[False, True]]
        a, b = (Judged(self.signatures[m], self.caption[m], self.passed[m], self.vectors) for m in out.T)
        return a, b

    def groups(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Passing and failing rows of every caption that has both."""
        order = np.argsort(self.caption, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.caption[order])) + 1)
        both = [(p[self.passed[p]], p[~self.passed[p]]) for p in parts]
        return [(good, bad) for good, bad in both if len(good) and len(bad)]


def load_judged_answers(folder: str, tokenizer: Any, grounder: Any) -> Judged:
    """The result of the self-training stage."""
    accepted = "--self-training takes the self-training stage's result"
    clips, _ = read_codes(folder, [tokenizer])
    with parsing(folder, f"a folder with a readable {SIGNATURES}", accepted):
        signatures = load_arrays(Path(folder) / SIGNATURES)["signatures"].astype(np.float32)
        if signatures.shape[1:] != (SIZE,):
            raise ValueError(f"signatures {signatures.shape}, of {SIZE} numbers each")
    rows: dict[str, int] = {}
    caption = np.array([rows.setdefault(c.captions[0], len(rows)) for c in clips])
    texts = list(rows)
    vectors = grounder.sentence(texts)
    return Judged(signatures, caption, np.array([bool(c.extra["passed"]) for c in clips]), vectors.astype(np.float32))


def measure_picked(network: ScorerNetwork, val: Judged) -> dict[str, float]:
    """Pass rate of held-out captions if the best-ranked answer (``picked``), any, or the best one is taken."""
    with torch.inference_mode():
        a = network.embed_motion(torch.from_numpy(val.signatures)).numpy()
        b = network.embed_text(torch.from_numpy(val.vectors)).numpy()
    fit = (a * b[val.caption]).sum(1)
    chosen, mean, oracle = [], [], []
    for caption in np.unique(val.caption):
        rows = np.flatnonzero(val.caption == caption)
        chosen.append(val.passed[rows[fit[rows].argmax()]])
        mean.append(val.passed[rows].mean())
        oracle.append(val.passed[rows].any())
    return {"picked": float(np.mean(chosen)), "single": float(np.mean(mean)), "oracle": float(np.mean(oracle))}


def compute_judged_loss(
    network: ScorerNetwork, judged: Judged, groups: Sequence[tuple[np.ndarray, np.ndarray]], count: int, noise: float,
    seed: Sequence[int], device: torch.device,
) -> torch.Tensor:
    """Bradley-Terry loss: passing answers fit their caption better than failing ones."""
    rng = np.random.default_rng(list(seed))
    drawn = [groups[i] for i in rng.integers(len(groups), size=count)]
    good = np.array([g[int(rng.integers(len(g)))] for g, _ in drawn])
    bad = np.array([b[int(rng.integers(len(b)))] for _, b in drawn])
    signatures = torch.from_numpy(judged.signatures[np.concatenate([good, bad])]).to(device)
    captions = torch.from_numpy(judged.vectors[judged.caption[good]]).to(device)
    better, worse = network.embed_motion(signatures, noise).chunk(2)
    # The caption's part cancels out: only the difference of the two answers counts.
    margin = ((better - worse) * network.embed_text(captions)).sum(1) * network.scale.exp()
    return F.softplus(-margin).mean()

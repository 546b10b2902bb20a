"""Figures that compare ways in which codes enter the language model: losses and answers on held-out recordings.

Motion is compared as level 0 alone makes it, on either side: no residual decoder is trained for an ablation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.evaluation.body.corpus import load_clips
from avatargpt.lm.checkpoint import load_network
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.network import IGNORED
from avatargpt.lm.text_encoder import SentenceGrounder, TextTokenizer
from avatargpt.metrics.distribution import fid, kinematic_fid
from avatargpt.metrics.evaluator.evaluator import MotionEvaluator
from avatargpt.metrics.evaluator.figures import fits
from avatargpt.metrics.retrieval_metrics import sides_of
from avatargpt.train.data.batches import Batch
from avatargpt.train.data.examples import CONTEXT, LONGEST, Example, ExampleOptions, Examples
from avatargpt.train.language_run import validation
from instruct_data.prompts import Prompt
from instruct_data.registry import get_task
from instruct_data.store import ClipCodes, Store
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer

FPS = 20.0
SAMPLES = 10  # answers to every caption: a single wild clip moves the FID of 127
ROWS = 64
ASKED = ExampleOptions(unconditional=0.0, only_ground=0.0, only_words=0.0, everyday=0.0, asked=0.0, crop=0.0)
"""How held-out examples vary: the words are always there, and they are the captions."""


@dataclass
class Material:
    """What every training is asked, the same for all.

    Attributes:
        clips: held-out clips as codes. real: (T, 22, 3) joints of the same, 20 fps, at most `LONGEST` tokens long.
        evaluator: of text and motion, None = without its figures.
    """

    clips: Sequence[ClipCodes]
    real: Sequence[np.ndarray]
    tokenizer: MotionTokenizer
    evaluator: MotionEvaluator | None = None

    @classmethod
    def load(
        cls, data: Path, codes: Path, tokenizer: MotionTokenizer, evaluator: MotionEvaluator | None = None
    ) -> Material:
        """The held-out clips with captions of the body corpus that a tokenised cache has, too.

        Raises:
            UserError: a missing folder, or fewer than two such clips.
        """
        held = {c.id: c for c in load_clips(data, "val") if c.captions}
        clips = [c for c in Store.open(codes).codes("val") if c.id in held and not c.mirrored]
        if len(clips) < 2:
            raise UserError(f"{codes}: {len(clips)} of the held-out clips of {data}; accepted: at least 2")
        frames = LONGEST * tokenizer.config.downsample
        real = [held[c.id].load().resampled(FPS).canonical().joints[:frames] for c in clips]
        return cls(clips, real, tokenizer, evaluator)

    @property
    def captions(self) -> list[str]:
        """The first of each clip."""
        return [c.captions[0] for c in self.clips]

    @cached_property
    def level0(self) -> list[np.ndarray]:
        """(N,) level-0 codes of each clip, at most `LONGEST`."""
        return [c.codes[:LONGEST, 0] for c in self.clips]

    def joints(self, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(T, 22, 3) of level-0 codes (N,) each."""
        return [m.joints for m in self.tokenizer.decode_each([c[:, None] for c in codes])]

    def against_real(self, made: Sequence[np.ndarray]) -> dict[str, float]:
        """Distances of clips (T, 22, 3), one for each caption, from the recordings."""
        out = {"kinematic_fid": kinematic_fid(list(made), list(self.real), FPS)}
        if self.evaluator is not None:
            vectors, real = self.evaluator.joints(made), self.evaluator.joints(self.real)
            out |= {"evaluator_fid": fid(vectors, real, shrink=True), **self._fit(self.evaluator, vectors)}
        return out

    def _fit(self, evaluator: MotionEvaluator, vectors: np.ndarray) -> dict[str, float]:
        sides = list(sides_of(self.captions)[:, None])
        found = fits(evaluator, [s[None] for s in self._sentences], sides, vectors, most=1)
        return {name: float(found[name].mean()) for name in ("top1", "top3", "mm_dist")}

    @cached_property
    def _sentences(self) -> np.ndarray:
        return SentenceGrounder().sentence(self.captions)

    def limits(self) -> dict[str, dict[str, float]]:
        """What the figures of answers are of motion that needs no model: true codes, level 0 alone, and recordings."""
        out = {"level 0 of the recordings": self.against_real(self.joints(self.level0))}
        return out | ({"recordings": self.against_real(self.real)} if self.evaluator is not None else {})


def load_trained(folder: Path, tokenizer: MotionTokenizer) -> LoadedModel:
    """The model of a language run's folder."""
    return LoadedModel(load_network(folder), TextTokenizer.load(folder), {"body": tokenizer})


def measured(loaded: LoadedModel, material: Material) -> dict[str, float]:
    """Figures of one training.

    Returns:
        ``loss/TASK`` in nats per token of held-out answers; figures of `Material.against_real` for answers to the
        captions, of their recordings' lengths, means over `SAMPLES`, and ``kinematic_fid/median``;
        ``joint_error/TASK`` in metres: mean distance of joints from what the true level-0 codes decode to, both in the
        frame of the first given pose.
    """
    held = Examples([], [], {}, loaded.text, loaded.model.config, ASKED)
    rows = validation(held, material.clips, ASKED)
    out = {f"loss/{task}": loss(loaded, some) for task, some in rows.items()}
    prompts = [loaded.prompt("text_to_motion", {"caption": c}) for c in material.captions]
    found = [
        material.against_real(material.joints(answers(loaded, prompts, [len(c) for c in material.level0], seed)))
        for seed in range(SAMPLES)
    ]
    out |= {name: float(np.mean([f[name] for f in found])) for name in found[0]}
    out["kinematic_fid/median"] = float(np.median([f["kinematic_fid"] for f in found]))
    return out | {f"joint_error/{task}": joint_error(loaded, material, task) for task in ("continuation", "in_between")}


@torch.inference_mode()
def loss(loaded: LoadedModel, rows: Sequence[Example]) -> float:
    """Cross-entropy of the rows' answers, nats per token."""
    config, total, count = loaded.model.config, 0.0, 0
    levels = max(m["levels"] for m in config.modalities.values())
    for i in range(0, len(rows), ROWS):
        batch = Batch.of(rows[i : i + ROWS], loaded.grounder, config.pad_token_id or 0, levels, loaded.device)
        prompt = loaded.generator.encode(**_encoder(batch.inputs))
        found = loaded.model.likelihood(prompt.states, prompt.mask, batch.labels, batch.heads[0], batch.length)
        total, count = total + float(found.sum()), count + int((batch.labels != IGNORED).sum())
    return total / max(count, 1)


def _encoder(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"ids": inputs["input_ids"], "mask": inputs["attention_mask"],
            **{k: inputs.get(k) for k in ("residual_codes", "extra_embeddings")}}  # fmt: skip


def answers(loaded: LoadedModel, prompts: Sequence[Prompt], lengths: Sequence[int], seed: int) -> list[np.ndarray]:
    """Level-0 codes (N,) of wanted lengths N, drawn as the task says; the same seeds for every model."""
    how, out = get_task(prompts[0].task).decoding, []
    for i in range(0, len(prompts), ROWS):
        some = prompts[i : i + ROWS]
        empty = loaded.encode(some, words=False, ground=False) if how.guidance != 1.0 else None
        decoded = loaded.generator.decode(
            loaded.encode(some), prompts[0].head, max_tokens=LONGEST, length=list(lengths[i : i + ROWS]),
            temperature=how.temperature, top_k=how.top_k, uncond=empty, guidance=how.guidance,
            seed=[(seed << 16) + i + k for k in range(len(some))],
        )  # fmt: skip
        counts = decoded.lengths.tolist()
        out += [c[:n].cpu().numpy() for c, n in zip(decoded.codes, counts, strict=True)]
    return out


def joint_error(loaded: LoadedModel, material: Material, task: str) -> float:
    """Metres, see `measured`: the first third of a clip is given, in-between the last third as well."""
    whole, prompts, spans = [], [], []
    names = [s.name for s in get_task(task).of_kind("motion")]
    for clip in material.clips:
        codes = clip.codes[:LONGEST]
        third = min(len(codes) // 3, CONTEXT)
        if not third:
            continue
        first, last = third, len(codes) - (third if len(names) > 1 else 0)
        whole.append(codes[:, 0])
        spans.append((first, last))
        prompts.append(loaded.prompt(task, dict(zip(names, (codes[:first], codes[last:]), strict=False))))
    made = answers(loaded, prompts, [last - first for first, last in spans], 0)
    filled = [np.concatenate([w[:a], m, w[b:]]) for w, m, (a, b) in zip(whole, made, spans, strict=True)]
    step, found = material.tokenizer.config.downsample, []
    for one, true, (first, last) in zip(material.joints(filled), material.joints(whole), spans, strict=True):
        off = np.linalg.norm(one - true, axis=-1)[first * step : last * step]
        found.append(float(off.mean()))
    return float(np.mean(found))

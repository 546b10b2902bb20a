"""The self-training stage of `scripts/train.py`: a model's answers to training captions, judged by geometry.

Training on own answers that pass a check is rejection-sampling fine-tuning (RAFT, arXiv 2304.06767; STaR, arXiv
2203.14465). The language model is trained on those that pass (source ``practised``), and on the training clips where
few do; the scorer on passing beside failing ones of the same caption. Captions of suites are never used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.numpy import save_file

from avatargpt import AvatarGPT
from avatargpt.config import save_resolved
from avatargpt.kinematics.joints import Signals
from avatargpt.kinematics.measures import motion_signature
from avatargpt.metrics.checks import CaptionChecks, manners, set_side, tells_count
from avatargpt.metrics.geometry import predicates
from avatargpt.train.data.corpus import read_codes
from avatargpt.train.data.judged_answers import SIGNATURES, SOURCE
from avatargpt.train.data.prepare import LICENCE_JOINED
from avatargpt.train.phrase_index import measure_attributes
from avatargpt.train.reporting import Log
from avatargpt.train.runtime import Runtime
from instruct_data.factory.mixture import clip_class
from instruct_data.store import ClipCodes, Store
from instruct_data.text.english import side_of
from vqvae.errors import UserError
from vqvae.motion import Motion, atomic_write
from vqvae.strict import NonNegativeInt, PositiveInt, Rate, Share, Strict

if TYPE_CHECKING:
    from avatargpt.metrics.checks import StyledAction

SHORTEST, LONGEST = 6, 49  # motion tokens
CHUNK = 64  # captions of a call


class SelfTraining(Strict):
    """Options of the stage."""

    captions: PositiveInt = 40  # of each class, at most; captions with a number and styles count as separate classes
    samples: PositiveInt = 8  # answers to each
    again: NonNegativeInt = 0  # further rounds for captions of whose answers a share below `enough` passed
    enough: Share = 0.3
    # guidance, temperature: of sampling
    guidance: Rate = 1.5
    temperature: Rate = 0.9
    stretch: Share = 0.15  # the clip's length is multiplied by a factor drawn from 1 - stretch to 1 + stretch
    seed: NonNegativeInt = 0


class SelfTrainingRecipe(Strict):
    """A configuration of the self-training stage."""

    self_training: SelfTraining = SelfTraining()


@dataclass(frozen=True)
class Exercise:
    """A caption, the length of its answers, the training clip it is from, and the criteria: `checks` and `manner`."""

    caption: str
    tokens: int
    checks: list[Any]
    clip: ClipCodes
    manner: StyledAction | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)  # of clips with the caption, as the network is told

    def is_passed(self, motion: Motion) -> bool:
        """Whether a motion meets the criteria."""
        s = Signals(motion)
        return predicates.judge_all(self.checks, s).passed and (self.manner is None or self.manner.matches(s))


def exercises(
    clips: Sequence[ClipCodes], options: SelfTraining, decode: Callable[[Any], Motion] | None = None
) -> list[Exercise]:
    """Captions of every class that geometry can judge, drawn from the training clips. `decode`: codes -> motion, to
    measure styles; None = captions of plain clips only.
    """
    truths, rng = CaptionChecks(), np.random.default_rng(options.seed)
    attributes = measure_attributes(clips)
    styles = manners(clips, truths.of_class, decode, options.seed) if decode else {}
    groups: dict[str, dict[str, list[Exercise]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        manner = styles.get((clip.source, clip.action, clip.style))
        for caption in dict.fromkeys(clip.captions):
            checks = truths.checks(clip, caption)
            if manner:
                checks = [set_side(c, side_of(caption)) for c in manner.passing]
            if checks or manner:
                exercise = Exercise(caption, len(clip.codes), checks, clip, manner)
                counted = tells_count(caption)
                style = clip.style if manner else ""
                # Captions with a count and styles are drawn as classes of their own, or few of them would come up.
                groups[f"{clip_class(clip)}|{clip.source == 'synthetic'}|{style}|{counted}"][caption].append(exercise)
    out = []
    for by_caption in groups.values():
        names = list(by_caption)
        for i in rng.permutation(len(names))[: options.captions]:
            candidates = by_caption[names[i]]
            exercise = candidates[int(rng.integers(len(candidates)))]
            # Other lengths than the clip's: the model must perform the caption at any usual length.
            factor = 1 + options.stretch * float(rng.uniform(-1, 1))
            tokens = int(np.clip(round(exercise.tokens * factor), SHORTEST, LONGEST))
            typed = attributes.get(exercise.caption.lower().rstrip("."), {})
            out.append(replace(exercise, tokens=tokens, attributes=typed))
    if not out:
        raise UserError("self-training: geometry has no check for any class of these clips")
    return out


def play_answers(
    model: Any, selected: Sequence[Exercise], options: SelfTraining, log: Log
) -> Iterator[tuple[ClipCodes, np.ndarray]]:
    """Every answer as codes (``extra["passed"]``: the verdict) with its signature (SIZE,)."""
    tokenizer = model.tokenizers["body"]
    right = total = count = 0
    open_exercises = list(selected)
    for _ in range(1 + options.again):
        order, hard = sorted(open_exercises, key=lambda e: e.tokens), []  # rows of one batch end together
        for i in range(0, len(order), CHUNK):
            part = order[i : i + CHUNK]
            seeds = range(count, count + len(part))
            answers = model.sample_candidates(
                [e.caption for e in part], [e.tokens for e in part], seeds, options.samples,
                options.guidance, options.temperature, [e.attributes for e in part],
            )  # fmt: skip
            for exercise, place, codes in zip(part, seeds, answers, strict=True):
                clip, good = exercise.clip, 0
                for k, row in enumerate(codes):
                    motion = tokenizer.decode(row)
                    passed = exercise.is_passed(motion)
                    good += passed
                    extra = {"passed": passed, "side": clip.extra.get("side")}
                    yield (
                        ClipCodes(
                            f"{SOURCE}-{place:06d}-{k}", row, [exercise.caption], "train", SOURCE, LICENCE_JOINED,
                            clip.action, clip.style, len(motion), motion.fps, clip.mirrored, "body", extra,
                        ),
                        motion_signature(motion.joints, motion.fps),
                    )  # fmt: skip
                right, total = right + good, total + len(codes)
                if good < options.enough * len(codes):
                    hard.append(exercise)
                log.advance(torch.tensor(right / total))
            count += len(part)
            log(step=count, passed=right / total, answers=total)
        open_exercises = hard


def self_training_stage(recipe: SelfTrainingRecipe, args: SimpleNamespace) -> None:
    """A model's answers to training captions, judged -> a tokenised store and their signatures."""
    options = recipe.self_training
    runtime = Runtime.start(args.threads, args.device)
    kind = "bfloat16" if runtime.device.type == "cpu" and runtime.bf16 else "float32"
    model = AvatarGPT.from_pretrained(args.start, device=str(runtime.device), dtype=kind)
    tokenizer = model.tokenizers["body"]
    clips, _ = read_codes(args.codes, [tokenizer])
    selected = exercises(clips, options, tokenizer.decode)
    out = Path(args.output)
    log = Log(out.with_name(out.name + ".log.jsonl"), runtime.main, len(selected))
    signatures: list[np.ndarray] = []

    def answers() -> Iterator[ClipCodes]:
        for clip, signature in play_answers(model, selected, options, log):
            signatures.append(signature.astype(np.float16))
            yield clip

    store = Store.write_codes(answers(), out, tokenizer.fingerprint)
    log.close()
    atomic_write(out / SIGNATURES, lambda p: save_file({"signatures": np.stack(signatures)}, p))
    save_resolved(recipe, out)
    print(f"{out}: {len(store)} answers to {len(selected)} captions")

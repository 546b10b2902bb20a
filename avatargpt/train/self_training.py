"""The practice stage of `scripts/train.py`: the model plays the training captions, geometry judges what it made.

Learning from own answers that pass a check is rejection-sampling fine-tuning (RAFT, arXiv 2304.06767; STaR, arXiv
2203.14465). Two things learn from it: the language model from those that pass (source ``practised``), and from the
training clips themselves where hardly any does; the matcher from passing beside failing ones of the same caption. Only
training captions are played, never those of a suite.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatargpt.train.data.prepare import LICENCE_JOINED
from avatargpt.train.runtime import Log, Runtime, check_keys, from_mapping, load_yaml
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes, Store
from instruct_data.text.mirror import side_of
from vqvae.errors import UserError
from vqvae.motion import Motion, atomic_write

if TYPE_CHECKING:
    from avatargpt.metrics.traits import Manner

SOURCE, SHOWN = "practised", "shown"
SIGNATURES = "signatures.safetensors"
SHORTEST, LONGEST = 6, 49  # motion tokens
CHUNK = 64  # captions handed over at once
PRIOR = 6  # answers that the class's share counts for


@dataclass
class SelfTraining:
    """What `configs/train/practice.yaml` may set under `self_training`.

    Attributes:
        captions: of each class, at most; captions that tell a number and styles count as classes of their own.
        samples: answers to each.
        again: further times that captions are played of whose answers less than `enough` of a kind passed.
        guidance, temperature: as the product samples.
        stretch: lengths are the clip's own, times a factor drawn from 1 - stretch to 1 + stretch.
    """

    captions: int = 40
    samples: int = 8
    again: int = 0
    enough: float = 0.3
    guidance: float = 1.5
    temperature: float = 0.9
    stretch: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class Exercise:
    """A caption to play: `tokens` long, after a training clip; `checks` must hold, and the `manner` be shown."""

    caption: str
    tokens: int
    checks: list[Any]
    clip: ClipCodes
    manner: Manner | None = None

    def passed(self, motion: Motion) -> bool:
        """Whether geometry finds what the caption tells."""
        from avatargpt.metrics.geometry import predicates
        from avatargpt.signals.joints import Signals

        s = Signals(motion)
        return predicates.judge_all(self.checks, s).passed and (self.manner is None or self.manner.shown(s))


def exercises(
    clips: Sequence[ClipCodes], options: SelfTraining, decode: Callable[[Any], Motion] | None = None
) -> list[Exercise]:
    """Captions of every class that geometry knows something of, drawn from the training clips.

    Args:
        decode: codes -> motion, to find out what styles look like; None = captions of plain clips only.
    """
    from avatargpt.language.captions import tells_count
    from avatargpt.metrics.traits import manners
    from avatargpt.metrics.truths import Truths, sided

    truths, rng = Truths(), np.random.default_rng(options.seed)
    styles = manners(clips, truths.of_class, decode, options.seed) if decode else {}
    found: dict[str, dict[str, list[Exercise]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        manner = styles.get((clip.source, clip.action, clip.style))
        for caption in dict.fromkeys(clip.captions):
            checks = truths.checks(clip, caption)
            if manner:
                checks = [sided(c, side_of(caption)) for c in manner.passing]
            if checks or manner:
                made = Exercise(caption, len(clip.codes), checks, clip, manner)
                counted = tells_count(caption)
                style = clip.style if manner else ""
                found[f"{clip_class(clip)}|{clip.source == 'synthetic'}|{style}|{counted}"][caption].append(made)
    out = []
    for by_caption in found.values():
        names = list(by_caption)
        for i in rng.permutation(len(names))[: options.captions]:
            some = by_caption[names[i]]
            one = some[int(rng.integers(len(some)))]
            factor = 1 + options.stretch * float(rng.uniform(-1, 1))
            tokens = int(np.clip(round(one.tokens * factor), SHORTEST, LONGEST))
            out.append(replace(one, tokens=tokens))
    if not out:
        raise UserError("practice: geometry has no check for any class of these clips")
    return out


def played(
    model: Any, some: Sequence[Exercise], options: SelfTraining, log: Log
) -> Iterator[tuple[ClipCodes, np.ndarray]]:
    """Every answer as codes (``extra["passed"]``: the verdict) with its signature (437,)."""
    from avatargpt.signals.signature import motion_signature

    tokenizer = model.tokenizers["body"]
    right = total = done = 0
    rest = list(some)
    for _ in range(1 + options.again):
        order, hard = sorted(rest, key=lambda e: e.tokens), []  # rows of one batch end together
        for i in range(0, len(order), CHUNK):
            part = order[i : i + CHUNK]
            seeds = range(done, done + len(part))
            answers = model.answers(
                [e.caption for e in part], [e.tokens for e in part], seeds, options.samples,
                options.guidance, options.temperature,
            )  # fmt: skip
            for exercise, place, codes in zip(part, seeds, answers, strict=True):
                clip, good = exercise.clip, 0
                for k, one in enumerate(codes):
                    motion = tokenizer.decode(one)
                    passed = exercise.passed(motion)
                    good += passed
                    extra = {"passed": passed, "side": clip.extra.get("side")}
                    yield (
                        ClipCodes(
                            f"{SOURCE}-{place:06d}-{k}", one, [exercise.caption], "train", SOURCE, LICENCE_JOINED,
                            clip.action, clip.style, len(motion), motion.fps, clip.mirrored, "body", extra,
                        ),
                        motion_signature(motion.joints, motion.fps),
                    )  # fmt: skip
                right, total = right + good, total + len(codes)
                if good < options.enough * len(codes):
                    hard.append(exercise)
                log.advance(torch.tensor(right / total))
            done += len(part)
            log(step=done, passed=right / total, answers=total)
        rest = hard


def self_training_stage(args: argparse.Namespace) -> None:
    """A model's answers to training captions, judged -> a tokenised store and their signatures."""
    from safetensors.numpy import save_file

    from avatargpt import AvatarGPT
    from avatargpt.train.data.build import read_codes

    runtime = Runtime.start(args.threads, args.device)
    config = check_keys(load_yaml(args.config) if args.config else {}, ("practice",), str(args.config))
    options = from_mapping(SelfTraining, config.get("practice"), f"{args.config}: practice")
    kind = "bfloat16" if runtime.device.type == "cpu" and runtime.bf16 else "float32"
    model = AvatarGPT.from_pretrained(args.start, device=str(runtime.device), dtype=kind)
    tokenizer = model.tokenizers["body"]
    clips, _ = read_codes(args.codes, [tokenizer])
    some = exercises(clips, options, tokenizer.decode)
    out = Path(args.output)
    log = Log(out.with_name(out.name + ".log.jsonl"), runtime.main, len(some))
    signatures: list[np.ndarray] = []

    def answers() -> Iterator[ClipCodes]:
        for clip, signature in played(model, some, options, log):
            signatures.append(signature.astype(np.float16))
            yield clip

    store = Store.write_codes(answers(), out, tokenizer.fingerprint)
    log.close()
    atomic_write(out / SIGNATURES, lambda p: save_file({"signatures": np.stack(signatures)}, p))
    print(f"{out}: {len(store)} answers to {len(some)} captions")


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
    from avatargpt.train.data.build import read_codes

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

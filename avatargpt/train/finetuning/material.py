"""What a fine-tuned model learns from: the user's clips as codes, and the package's, so that it forgets nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from avatargpt.requests.exemplars import ExemplarBank
from avatargpt.train.data.corpus import Folders, text_corpus
from avatargpt.train.data.prepare import keyframed_clips
from instruct_data.clip import Clip
from instruct_data.planning import Pair
from instruct_data.store import ClipCodes
from instruct_data.synth.families import VALIDATION
from instruct_data.synth.phrases import mirrored
from instruct_data.text.captions import CaptionBank, vary
from instruct_data.text.english import side_of
from instruct_data.texts import unpacked

PROMPTS = 8  # wordings of a clip beside its captions
KEPT = 48  # packaged clips that validation watches
MADE = "synthetic"
FIRST = 500_000  # seed of the first packaged clip that is made


def coded(clip: Clip, tokenizer: Any, extra: dict[str, Any] | None = None) -> ClipCodes:
    """A clip as codes of a `MotionTokenizer`."""
    motion = clip.load()
    return ClipCodes(
        clip.id, np.asarray(tokenizer.encode(motion)), clip.captions, clip.split, clip.source, clip.licence,
        clip.action, clip.style, len(motion), motion.fps, False, tokenizer.config.modality,
        clip.extra if extra is None else extra,
    )  # fmt: skip


def own_codes(clips: Sequence[Clip], tokenizer: Any, seed: int = 0) -> Iterator[ClipCodes]:
    """The user's clips; those of training with further wordings, and once more mirrored where their captions name a
    side: what names none may be meant for one all the same.
    """
    for number, clip in enumerate(clips):
        if clip.split != "train":
            yield coded(clip, tokenizer)
            continue
        sided = any(side_of(text) in ("left", "right") for text in clip.captions)
        copies = [clip, replace(mirrored(clip), id=f"{clip.id}_m", action=clip.action)] if sided else [clip]
        for copy in copies:
            rng = np.random.default_rng([seed, number, len(copy.id)])
            drawn = [vary(str(rng.choice(copy.captions)), rng) for _ in range(PROMPTS)]
            yield coded(copy, tokenizer, {"prompts": list(dict.fromkeys([*copy.captions, *drawn]))})


def exemplar_codes(bank: ExemplarBank | None) -> Iterator[ClipCodes]:
    """The clips of the exemplar bank of the model folder."""
    for entry in bank.entries if bank is not None else ():
        action = entry.name.rpartition("-")[0] or entry.name
        codes = np.asarray(entry.codes, np.int64)
        yield ClipCodes(entry.name, codes, list(entry.captions), "train", MADE, entry.licence, action)


def packaged_codes(tokenizer: Any, bank: ExemplarBank | None, count: int, held: int = KEPT) -> Iterator[ClipCodes]:
    """Clips of the exemplar bank, `count` new ones of every keyframed action, about `held` others to validate on."""
    texts = CaptionBank(unpacked("text") / "body_captions.json")
    no_stances = np.zeros(0)
    yield from exemplar_codes(bank)
    for clip in keyframed_clips(texts, no_stances, count, first=FIRST):
        yield coded(clip, tokenizer, {**clip.extra, "prompts": [*clip.captions, *clip.extra["requests"]]})
    watched = list(keyframed_clips(texts, no_stances, 1, first=VALIDATION)) if held else []
    for clip in watched[:: max(1, len(watched) // max(1, held))]:
        yield coded(clip, tokenizer)


def words(items: Sequence[ClipCodes]) -> tuple[list[str], dict[str, list[Pair]]]:
    """Lines and pairs of the package's texts: requests, conversations, plans."""
    return text_corpus(Folders(unpacked("text"), unpacked("planning"), unpacked("chat")), items)

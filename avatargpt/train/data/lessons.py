"""What is learnt from self-training: answers that passed, clips where hardly any did, and how often captions pass."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from avatargpt.train.data.codes import read_codes
from instruct_data.mixture import clip_class
from instruct_data.store import ClipCodes, Store

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

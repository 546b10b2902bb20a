"""Makes the library of `avatargpt.requests.exemplars` from clips of this project's own making."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.requests.exemplars import EXAMPLE_TOKENS, Entry, ExemplarBank
from avatargpt.train.data.neighbours import caption_side
from instruct_data.clip import Clip
from instruct_data.mixture import clip_class
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

OWN = ("synthetic",)  # sources that may be shipped: nothing recorded by others
KEPT = 3  # captions of a clip: a short one, a long one and one between
CHOICE = 4  # clips made for each one that is taken


def keyframed_clips(count: int, seed: int) -> Iterable[Clip]:
    """`CHOICE` times `count` clips of every keyframed family, family by family."""
    from instruct_data.synth import families, keyframed

    for n, family in enumerate(families().values()):
        first = seed + n * CHOICE * count
        yield from keyframed(family, range(first, first + CHOICE * count))


def varied(clips: Sequence[Clip], grounder: SentenceGrounder, count: int) -> list[Clip]:
    """Clips of one class that say as different things as possible: both sides first, then the farthest captions.

    Raises:
        UserError: a clip without a caption.
    """
    if bad := [c.id for c in clips if not c.captions]:
        raise UserError(f"library: clip {bad[0]}: no caption; every clip of the library needs one")
    sides = [caption_side(c.captions) for c in clips]
    vectors = np.stack([grounder.sentence(c.captions).mean(0) for c in clips])
    chosen: list[int] = []
    while len(chosen) < min(count, len(clips)):
        taken = [sides[i] for i in chosen]
        distance = 1 - (vectors @ vectors[chosen].T).max(1) if chosen else np.zeros(len(clips))
        score = distance - np.array([float(taken.count(s)) for s in sides])
        score[chosen] = -np.inf
        chosen.append(int(score.argmax()))
    return [clips[i] for i in sorted(chosen)]


def spread(captions: Sequence[str]) -> tuple[str, ...]:
    """Three captions, from the plainest (shortest) to the one that says most."""
    ordered = sorted(dict.fromkeys(captions), key=len)
    at = np.linspace(0, len(ordered) - 1, min(KEPT, len(ordered))).round().astype(int)
    return tuple(ordered[i] for i in at)


def make_exemplars(clips: Iterable[Clip], tokenizer: Any, grounder: SentenceGrounder, count: int) -> ExemplarBank:
    """Tokenise `count` clips of every class.

    Args:
        clips: of our own making; those of other sources, and those of no training split, are left out.
        tokenizer: a `MotionTokenizer`. count: clips per class.

    Raises:
        UserError: no such clips.
    """
    classes: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.source in OWN and clip.split == "train":
            classes[clip_class(clip)].append(clip)
    if not classes:
        raise UserError(f"library: no training clips of our own making (source {', '.join(OWN)})")
    entries = []
    for some in classes.values():
        for clip in varied(some, grounder, count):
            captions = [c.strip().rstrip(".").lower() for c in clip.captions]
            codes = np.asarray(tokenizer.encode(clip.load()))[:EXAMPLE_TOKENS].astype(np.uint16)
            entries.append(Entry(clip.id, codes, spread(captions), clip.licence))
    said = list(dict.fromkeys(c for e in entries for c in e.captions))
    vectors = dict(zip(said, grounder.sentence(said), strict=True))
    return ExemplarBank(entries, vectors, tokenizer.fingerprint)

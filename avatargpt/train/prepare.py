"""From corpora to the motion store of every training stage: clips, composed clips, and many ways to ask for them.

The store holds, per clip, its captions (what `motion_to_text` should say) and, under ``extra["prompts"]``, a wider pool
of truthful requests (what `text_to_motion` should understand). Composed clips join two or three real ones with an
inertialised seam. Validation and test clips are stored as they are, never composed, never in a prompt pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from instruct_data.augment import CaptionBank, side_of, vary
from instruct_data.clip import Clip
from instruct_data.joining import join_best
from instruct_data.mixture import balanced_weights, clip_class
from instruct_data.rewrites import Rewrites
from vqvae.errors import UserError
from vqvae.motion import Motion

# Classes whose motion repeats: any stretch of at least two seconds still shows the caption.
CYCLIC = {
    "walk", "run", "dash", "walk-back", "walk-left", "walk-right", "jog", "zombie_walk", "sneak", "salsa_dance",
    "indian_dance", "martial_arts", "crawl", "direct_traffic", "basketball_signal", "dance-short", "basketball_dribble",
    "wave-left-hand", "wave-right-hand", "wave-both-hands",
}  # fmt: skip
LICENCE_JOINED = "as its sources"


@dataclass(frozen=True)
class Preparation:
    """Options of :func:`prepare`.

    Attributes:
        composed: how many two- and three-action clips to make.
        three: share of them with three actions.
        prompts: size of a clip's prompt pool.
        balance: class balance of the composed clips' parts, 0 = as they come, 1 = all classes alike.
        longest: most frames of a composed clip.
    """

    composed: int = 5000
    three: float = 0.15
    prompts: int = 12
    composed_prompts: int = 5
    balance: float = 0.6
    longest: int = 240
    seed: int = 0


def prompt_pool(clip: Clip, bank: CaptionBank, rewrites: Rewrites, rng: np.random.Generator, size: int) -> list[str]:
    """Requests that the clip answers: its captions, variations, paraphrases of its action, and how users put it."""
    side = side_of(clip.action.replace("-", " ")) if clip.action else None
    pool = list(clip.captions)
    asked = rewrites.for_action(clip.action, clip.style, side) if clip.action else []
    if not clip.action and (key := bank.action_key("", clip.captions)):
        asked = rewrites.for_action(key)
    if asked:
        pool += [str(t) for t in rng.choice(asked, min(len(asked), max(2, size // 4)), replace=False)]
    for _ in range(2 * size):
        if len(set(pool)) >= size + len(clip.captions):
            break
        text = bank.paraphrase(clip.action, clip.style, rng, side) if clip.action and rng.random() < 0.35 else None
        text = text or str(rng.choice(clip.captions))
        pool.append(vary(text, rng) if rng.random() < 0.8 else text)
    return list(dict.fromkeys(pool))


def _part(clip: Clip, rng: np.random.Generator) -> Motion:
    """A clip, or a stretch of it when it shows the same all along, to be joined with others."""
    motion = clip.load()
    if clip_class(clip) in CYCLIC and len(motion) > 50:
        length = int(rng.integers(36, min(len(motion), 90) + 1))
        start = int(rng.integers(len(motion) - length + 1))
        return motion.slice(start, start + length).canonical()
    return motion


def composed_clips(
    clips: Sequence[Clip], bank: CaptionBank, rewrites: Rewrites, options: Preparation
) -> Iterator[Clip]:
    """Two or three training clips in a row, with captions joined as people join them."""
    rng = np.random.default_rng([options.seed, 1])
    usable = [c for c in clips if c.captions]
    weights = balanced_weights([clip_class(c) for c in usable], options.balance)
    made = refused = 0
    while made < options.composed:
        count = 3 if rng.random() < options.three else 2
        chosen = [usable[int(i)] for i in rng.choice(len(usable), count, p=weights)]
        chosen = [_mirrored(c) if rng.random() < 0.5 else c for c in chosen]
        parts = [_part(c, rng) for c in chosen]
        if sum(map(len, parts)) > options.longest:
            refused += 1
            if refused > 1000 + 100 * made:
                raise UserError(f"prepare: longest: {options.longest} frames; hardly any clips in a row are that short")
            continue
        motion = parts[0]
        for part in parts[1:]:
            motion, _ = join_best(motion, part)
        pool = [prompt_pool(c, bank, rewrites, rng, 6) for c in chosen]
        prompts = [bank.compose([str(rng.choice(p)) for p in pool], rng) for _ in range(options.composed_prompts)]
        plain = bank.compose([str(rng.choice(c.captions)) for c in chosen], rng)
        yield Clip(
            f"join_{made:05d}", motion.canonical().with_caption(plain), [plain], "composed", LICENCE_JOINED, "train",
            "+".join(clip_class(c) for c in chosen), "",
            {"prompts": [plain, *prompts], "parts": [c.id for c in chosen]},
        )  # fmt: skip
        made += 1


def _mirrored(clip: Clip) -> Clip:
    """The clip with left and right exchanged, in motion and words."""
    from instruct_data.mirror import mirror_action, mirror_text

    captions = [mirror_text(c) for c in clip.captions]
    return replace(clip, motion=clip.load().mirrored(), captions=captions, action=mirror_action(clip.action))


def prepare(clips: Sequence[Clip], bank: CaptionBank, rewrites: Rewrites, options: Preparation) -> Iterator[Clip]:
    """All clips with prompt pools (training clips also mirrored, words too), then the composed ones."""
    rng = np.random.default_rng([options.seed, 0])
    for clip in clips:
        if clip.split != "train":
            yield replace(clip, extra={})
            continue
        yield replace(clip, extra={"prompts": prompt_pool(clip, bank, rewrites, rng, options.prompts)})
        other = replace(_mirrored(clip), id=f"{clip.id}_m")
        yield replace(other, extra={"prompts": prompt_pool(other, bank, rewrites, rng, options.prompts)})
    yield from composed_clips([c for c in clips if c.split == "train"], bank, rewrites, options)

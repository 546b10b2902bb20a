"""Layered clips: pairs of clips that go together, and their captions ("a person walks while waving the left hand")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from instruct_data.clip import Clip
from instruct_data.cycles import extend, find_cycle
from instruct_data.factory.mixture import balance_weights
from instruct_data.factory.synth import phrases
from instruct_data.factory.text.captions import CaptionBank, bank_style
from instruct_data.layering import UpperActivity, active_span, activity, layer
from instruct_data.resting import ARMS_ACT, GAITS, HEAD_ACTS, RESTS, hold_pose, rests
from instruct_data.text.english import CaptionParts, mirror_action, side_of
from vqvae.errors import UserError
from vqvae.motion import Motion

CYCLIC_GAITS = {"walk", "run", "dash", "jog", "walk_back", "walk_left", "walk_right", "sneak", "stealthy_walk"}
# actions of one hand: they also go with an action of the other hand while standing
ONE_HANDED = {
    "wave_left_hand", "wave_right_hand", "raise_up_left_hand", "raise_up_right_hand", "raise_hand", "salute", "point",
    "beckon", "wave", "phone", "drink",
}  # fmt: skip
# actions of arms without an end: they may be cut at the end of the steps
ENDLESS = {
    "wave_left_hand", "wave_right_hand", "wave_both_hands", "wave", "direct_traffic", "basketball_signal", "clap",
    "conduct", "circle_arms", "play_guitar", "play_violin", "phone", "look_around", "swing_arms", "hands_on_hips",
    "cross_arms", "pray",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class LayerTake:
    """A clip that may be the lower or upper part of a layered one."""

    clip: Clip

    @cached_property
    def motion(self) -> Motion:
        return self.clip.load()

    @cached_property
    def acts(self) -> UpperActivity:
        return activity(self.motion)


@dataclass(frozen=True, eq=False)
class _LayerPart(LayerTake):
    name: str
    resting: bool = False

    @property
    def cyclic(self) -> bool:
        """Whether the steps may be cut or prolonged and the captions stay true."""
        return self.name in CYCLIC_GAITS and self.clip.source != "synthetic"

    def flip(self) -> _LayerPart:
        return _LayerPart(phrases.mirror_clip(self.clip), mirror_action(self.name), self.resting)

    @property
    def style(self) -> str:
        return bank_style(self.clip.style)

    @cached_property
    def parts(self) -> tuple[str, ...]:
        return ("head",) if self.name in HEAD_ACTS else self.acts.arms()


def _fits(lower: _LayerPart, upper: _LayerPart) -> bool:
    if not upper.parts or upper.style not in (lower.style, "normal"):
        return False
    if lower.name in GAITS or lower.resting:
        return True
    if upper.parts == ("head",):
        return lower.acts.head.mean() < 0.3
    return {lower.name, upper.name} <= ONE_HANDED and not set(upper.parts) & set(lower.acts.arms())


def _place_parts(
    lower: _LayerPart, upper: _LayerPart, longest: int, rng: np.random.Generator
) -> tuple[Motion, Motion, int, bool] | None:
    """The two motions cut or looped to fit, the frame at which the upper one begins, and whether its end is cut."""
    below, above = lower.motion, upper.motion
    try:
        first, last = active_span(above, upper.parts)
    except UserError:  # a nod too small to be visible
        return None
    above = above.slice(first, last)
    if lower.resting:
        below = hold_pose(below, min(longest, len(above) + int(rng.integers(10, 30))), rng).canonical()
    elif len(above) + 6 > len(below) and lower.cyclic:
        cycle = find_cycle(below, straight=True)
        length = min(longest, len(above) + int(rng.integers(6, 30)))
        if cycle is not None and length > len(below):
            below = extend(below, cycle, length / below.fps)
    if len(below) > longest:
        if not lower.cyclic and not lower.resting:
            return None
        below = below.slice(0, longest)
    room = len(below) - len(above)
    if room < 0 and upper.name not in ENDLESS:
        return None
    start = int(rng.integers(0, room + 1)) if room > 0 else 0
    if len(below) > len(above) + 70:  # "while" should hold for a good part of the clip
        from_, to = max(0, start - 35), min(len(below), start + len(above) + 35)
        if not lower.cyclic:
            return None
        below, start = below.slice(from_, to).canonical(), start - from_
    return below, above, start, room < 0


def layer_clips(
    clips: Sequence[Clip], bank: CaptionBank, count: int, seed: int = 0, longest: int = 200
) -> Iterator[Clip]:
    """Clips of two actions at once, drawn from training clips and keyframed ones.

    Args:
        clips: source clips; classes that this module does not name are ignored.
        bank: paraphrases of the corpus' classes.
        longest: most frames.

    Yields:
        Clips with source ``layered`` and action ``LOWER+UPPER``.
    """
    if not count:
        return
    rng = np.random.default_rng([seed, 2])
    groups: dict[str, list[_LayerPart]] = defaultdict(list)
    for clip in clips:
        name = phrases.sure_class(clip)
        if clip.captions and name in GAITS | ARMS_ACT | HEAD_ACTS:
            groups["lower" if name in GAITS else "upper"].append(_LayerPart(clip, name))
        elif clip.source == "synthetic" and name in RESTS and rests(clip.load()):
            pose, texts = RESTS[name]  # that the clip ends in
            groups["rest"].append(_LayerPart(replace(clip, action=pose, captions=texts), pose, True))
    if not groups["upper"]:
        raise UserError("layering: no clip whose arms or head do something")
    lowers = groups["lower"] + groups["rest"] + [p for p in groups["upper"] if p.name in ARMS_ACT]
    uppers = groups["upper"]
    gait = np.array([p.name in GAITS or p.resting for p in lowers])
    below = balance_weights([p.name for p in lowers], 0.8) * [3 if p.resting else 1 for p in lowers]
    below = below / below.sum()
    if gait.any() and not gait.all():
        below = np.where(gait, 0.75 * below / below[gait].sum(), 0.25 * below / below[~gait].sum())
    above = balance_weights([p.name for p in uppers], 0.7)
    drawn = refused = 0
    while drawn < count:
        refused += 1
        if refused > 1000 + 60 * (drawn + 1):
            raise UserError(f"layering: only {drawn} of {count} clips go together; accepted: more clips")
        lower = lowers[int(rng.choice(len(lowers), p=below))]
        upper = uppers[int(rng.choice(len(uppers), p=above))]
        flip = rng.random(2) < 0.5
        if upper.style not in (lower.style, "normal"):
            continue
        lower, upper = lower.flip() if flip[0] else lower, upper.flip() if flip[1] else upper
        result = _layer_parts(lower, upper, bank, rng, longest)
        if result is not None:
            yield replace(result, id=f"layer_{drawn:05d}")
            drawn += 1


def _pick(items: Sequence[CaptionParts], rng: np.random.Generator) -> CaptionParts:
    return items[int(rng.integers(len(items)))]


def _layer_parts(
    lower: _LayerPart, upper: _LayerPart, bank: CaptionBank, rng: np.random.Generator, longest: int
) -> Clip | None:
    if lower.name == upper.name or not _fits(lower, upper):
        return None
    placed = _place_parts(lower, upper, longest, rng)
    if placed is None or len(placed[0]) < 24:
        return None
    below, above, start, cut = placed
    avoid_low = [phrases.ASIDE] + ([phrases.ABOUT_HEAD] if "head" in upper.parts else [])
    avoid_low += [phrases.ABOUT_ARMS] if (lower.name in GAITS or lower.resting) and "head" not in upper.parts else []
    avoid_up = [phrases.ABOUT_LEGS] + ([phrases.ABOUT_ENDS] if cut else [])
    if upper.style == "normal" and lower.style != "normal":
        normal = bank.styles["normal"]
        avoid_up += [phrases.MANNER, phrases.any_of(tuple(normal["adverbs"] + normal["phrases"]))]
    lower_clauses = phrases.clauses(lower.clip, bank, rng, avoid_low)
    upper_clauses = phrases.clauses(upper.clip, bank, rng, avoid_up)
    if len(upper.parts) == 1 and upper.parts[0] != "head":  # the other arm of the upper clip is not used
        upper_clauses = [c for c in upper_clauses if side_of(c.predicate) in (None, upper.parts[0])]
    if not lower_clauses or not upper_clauses:
        return None
    motion = layer(below, above, upper.parts, start).canonical()
    tries = range(3 * phrases.MAX_CAPTIONS)
    texts = [phrases.combine(_pick(lower_clauses, rng), _pick(upper_clauses, rng), rng) for _ in tries]
    texts = list(dict.fromkeys(texts))[:phrases.MAX_CAPTIONS]
    return Clip(
        "", motion.with_caption(texts[0]), texts, "layered", phrases.LICENCE, "train", f"{lower.name}+{upper.name}",
        lower.clip.style, {"parts": [lower.clip.id, upper.clip.id]},
    )  # fmt: skip

"""Cyclic clips made longer ("a person keeps walking for nine seconds"), and chains of two to four clips."""

# A cycle may begin at any frame whose pose and speed come back later in the clip. The seam is inertialised
# (:func:`instruct_data.joining.join_motions`); the feet count more than the other joints when it is chosen, because a
# foot that stands on one side of the seam has to stand on the other.
#
# In chains the poses at the seam decide which clip may follow which, so that real, keyframed and layered clips mix.

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from instruct_data.clip import Clip
from instruct_data.cycles import Cycle, extend, find_cycle
from instruct_data.factory.mixture import balance_weights
from instruct_data.factory.synth.phrases import LICENCE, MAX_CAPTIONS, clauses, mirror_clip, sure_class
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.joining import join_best, posture
from instruct_data.text.english import CaptionParts
from vqvae.errors import UserError
from vqvae.motion import Motion

# paths along which the body keeps its heading: loops that turn would no longer go straight
STRAIGHT = {"walk", "run", "dash", "jog", "walk_back", "walk_left", "walk_right", "crawl"}
_GOING_ON = re.compile(r"\b(?:keeps?|continu\w+|goes on|stops?|starts?|begins?|once|suddenly)\b", re.I)
_NUMBERS = {4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}
_ON = ["for a while", "for a long time", "on and on", "without stopping", "continuously", "for some time"]


def _longer(clause: CaptionParts, seconds: float, rng: np.random.Generator) -> str:
    """The caption with its duration; whole seconds only where they are true within a quarter."""
    rounded = round(seconds)
    kind = rng.random()
    if kind < 0.3 and abs(seconds - rounded) <= 0.25 and rounded in _NUMBERS:
        count = str(rng.choice([str(rounded), _NUMBERS[rounded]]))
        return f"{clause.subject} {clause.predicate} for {count} seconds"
    if kind < 0.6:
        going = clause.verb_phrase("gerund")
        verb = str(rng.choice(["keeps", "goes on", "continues"]))
        return f"{clause.subject} {verb} {going}"
    return f"{clause.subject} {clause.predicate} {rng.choice(_ON)}"


def loop_cyclic_clips(
    clips: Sequence[Clip], bank: CaptionBank, cyclic: Collection[str], count: int, seed: int = 0, longest: int = 240
) -> Iterator[Clip]:
    """Training clips of cyclic classes, half as long again at least.

    Args:
        clips: real clips. bank: paraphrases of the corpus' classes.
        cyclic: classes whose motion repeats; those that turn are ignored.
        longest: most frames.

    Yields:
        Clips with source ``looped`` and action ``CLASS+long``.
    """
    if not count:
        return
    rng = np.random.default_rng([seed, 4])
    candidates = [(c, sure_class(c)) for c in clips if c.captions]
    candidates = [(c, n) for c, n in candidates if n in cyclic]
    if not candidates:
        raise UserError("loops: no clip of a cyclic class")
    weights = balance_weights([n for _, n in candidates], 0.6)
    cycles: dict[str, Cycle | None] = {}
    drawn = tried = 0
    while drawn < count:
        tried += 1
        if tried > 1000 + 30 * count:
            raise UserError(f"loops: only {drawn} of {count} clips close; accepted: more clips")
        clip, name = candidates[int(rng.choice(len(candidates), p=weights))]
        motion = clip.load()
        if clip.id not in cycles:
            cycles[clip.id] = find_cycle(motion, straight=name in STRAIGHT)
        cycle = cycles[clip.id]
        shortest = max(100, int(1.5 * len(motion)))
        if cycle is None or shortest > longest:
            continue
        looped = extend(motion, cycle, int(rng.integers(shortest, longest + 1)) / motion.fps)
        ways = clauses(clip, bank, rng, [_GOING_ON])
        if len(looped) > longest or not ways:
            continue
        texts = [_longer(ways[int(rng.integers(len(ways)))], looped.seconds, rng) for _ in range(MAX_CAPTIONS)]
        recorded = [clip.captions[int(i)] for i in rng.permutation(len(clip.captions))[: MAX_CAPTIONS // 2]]
        texts = list(dict.fromkeys([*recorded, *texts]))[:MAX_CAPTIONS]
        out = Clip(
            f"loop_{drawn:05d}", looped.canonical().with_caption(texts[0]), texts, "looped", LICENCE, "train",
            f"{name}+long", clip.style, {"parts": [clip.id]},
        )  # fmt: skip
        yield mirror_clip(out) if rng.random() < 0.5 else out
        drawn += 1


_MAX_HEIGHT_DIFFERENCE = 0.16  # metres, of the pelvis at a seam
_MAX_COST = 0.42  # metres, of a seam
_COST_SCALE = 0.2  # metres: seams of this cost are chosen e times less often than perfect ones
_SEAM_VELOCITY_SECONDS = 0.1
MIN_PART, MAX_PART = 36, 90  # frames of a stretch of a cyclic clip


@dataclass(frozen=True, eq=False)
class Chain:
    """Clips that follow one another."""

    motion: Motion  # all of them joined, canonical
    items: tuple[int, ...]  # index of every clip among those given
    mirrored: tuple[bool, ...]  # whether it is the mirrored one
    starts: tuple[int, ...]  # frame at which each begins


Ends = tuple[np.ndarray, np.ndarray]  # (J, 6) posture of the first and of the last frame


def ends_of(clip: Clip) -> Ends:
    """How a clip begins and ends, joints and velocities; see `posture`."""
    motion = clip.load()
    n = len(motion)
    first, last = (np.concatenate([x[0] for x in posture(motion, i, i + 1)], -1) for i in (0, n - 1))
    return first, last


class Sequencer:
    """Draws chains of clips.

    Args:
        clips: the parts; every one may also be drawn mirrored.
        names: class of each, for balance; two parts of one class never follow one another.
        cyclic: per clip, whether any stretch shows all of it; then one of 1.8 to 4.5 s is taken.
        balance: 0 = as they come, 1 = all classes alike.
        mirror: whether mirrored clips are drawn too.
        ends: of every clip, where they are known.
    """

    def __init__(
        self, clips: Sequence[Clip], names: Sequence[str], cyclic: Sequence[bool], balance: float, mirror: bool = True,
        ends: Sequence[Ends] | None = None,
    ) -> None:  # fmt: skip
        self.clips, self.names = list(clips), np.array(names)
        self.cyclic = np.array(cyclic, bool)
        self.weights = balance_weights(list(names), balance)
        self.mirror = mirror
        first, last = zip(*(ends_of(c) for c in self.clips) if ends is None else ends, strict=True)
        frames, pairs = [len(c.load()) for c in self.clips], self.clips[-1].load().skeleton.mirror
        self.frames = np.where(self.cyclic, np.minimum(frames, MAX_PART), frames)
        flip = np.tile([-1.0, 1, 1], 2)
        begin, end = np.stack(first).astype(np.float32), np.stack(last).astype(np.float32)
        self.begin = np.stack([begin, begin[:, pairs] * flip.astype(np.float32)])
        self.end = np.stack([end, end[:, pairs] * flip.astype(np.float32)])

    def costs(self, item: int, mirrored: bool) -> np.ndarray:
        """Cost of every clip (row 0 as it is, row 1 mirrored) after the end of one; infinite where levels differ."""
        difference = self.begin - self.end[int(mirrored), item]
        cost = np.linalg.norm(difference[..., :3], axis=-1).mean(-1)
        cost = cost + _SEAM_VELOCITY_SECONDS * np.linalg.norm(difference[..., 3:], axis=-1).mean(-1)
        level = np.abs(difference[..., 0, 1])
        return np.where((level > _MAX_HEIGHT_DIFFERENCE) | (cost > _MAX_COST), np.inf, cost)

    def draw(self, rng: np.random.Generator, allowed: Sequence[np.ndarray], longest: int) -> Chain | None:
        """One chain.

        Args:
            allowed: for every place, which clips may stand there: (N,) bool.
            longest: most frames altogether.

        Returns:
            None when nothing fits this time.
        """
        left = longest
        items: list[int] = []
        flips: list[bool] = []
        for place, mask in enumerate(allowed):
            room = left - MIN_PART * (len(allowed) - 1 - place)
            p = self.weights * (mask & (self.frames <= room))
            if place:
                p = p * (self.names != self.names[items[-1]])
                both = np.exp(-self.costs(items[-1], flips[-1]) / _COST_SCALE) * p
                both = both if self.mirror else both[:1]
            else:
                both = np.stack([p, p]) if self.mirror else p[None]
            total = both.sum()
            if not total > 0:
                return None
            k = int(rng.choice(both.size, p=(both / total).ravel()))
            flips.append(k >= len(self.clips))
            items.append(k % len(self.clips))
            left -= int(self.frames[items[-1]])
        motion, starts = self._join(items, flips, rng)
        if len(motion) > longest:
            return None
        return Chain(motion.canonical(), tuple(items), tuple(flips), tuple(starts))

    def _join(self, items: list[int], flips: list[bool], rng: np.random.Generator) -> tuple[Motion, list[int]]:
        out: Motion | None = None
        starts = [0]
        for item, flip in zip(items, flips, strict=True):
            part = self.clips[item].load()
            part = part.mirrored() if flip else part
            if self.cyclic[item] and len(part) > MIN_PART + 8:
                part = stretch(part, out, rng)
            if out is None:
                out = part
            else:
                out, seam = join_best(out, part)
                starts.append(seam)
        if out is None:
            raise UserError("compose: no clips to join")
        return out, starts


def stretch(motion: Motion, before: Motion | None, rng: np.random.Generator) -> Motion:
    """Part of a cyclic clip, 1.8 to 4.5 s, beginning at the pose that `before` ends with as nearly as it can."""
    length = int(rng.integers(MIN_PART, min(len(motion), MAX_PART) + 1))
    last = len(motion) - length
    if before is None:
        start = int(rng.integers(last + 1))
    else:
        pose, speed = posture(motion, 0, last + 1)
        pose_a, speed_a = posture(before, len(before) - 1, len(before))
        cost = np.linalg.norm(pose - pose_a, axis=-1).mean(-1)
        start = int(np.argmin(cost + _SEAM_VELOCITY_SECONDS * np.linalg.norm(speed - speed_a, axis=-1).mean(-1)))
    return motion.slice(start, start + length).canonical()

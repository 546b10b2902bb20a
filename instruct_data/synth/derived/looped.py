"""Cyclic clips made longer, and how one says so: "a person keeps walking for nine seconds"."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from instruct_data.clip import Clip
from instruct_data.mixture import balanced_weights
from instruct_data.synth.derived.layered import LICENCE
from instruct_data.synth.derived.loops import Cycle, extend, find_cycle
from instruct_data.synth.derived.phrases import clauses, mirrored, sure_class
from instruct_data.text.captions import CaptionBank
from instruct_data.text.english import Clause
from vqvae.errors import UserError

# Ways along which the body keeps facing: loops that turn would no longer go straight.
STRAIGHT = {"walk", "run", "dash", "jog", "walk_back", "walk_left", "walk_right", "crawl"}
_GOING_ON = re.compile(r"\b(?:keeps?|continu\w+|goes on|stops?|starts?|begins?|once|suddenly)\b", re.I)
_NUMBERS = {4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}
_ON = ["for a while", "for a long time", "on and on", "without stopping", "continuously", "for some time"]


def _longer(clause: Clause, seconds: float, rng: np.random.Generator) -> str:
    """The caption with what it lasts; whole seconds only where they are true within a quarter."""
    whole = round(seconds)
    kind = rng.random()
    if kind < 0.3 and abs(seconds - whole) <= 0.25 and whole in _NUMBERS:
        count = str(rng.choice([str(whole), _NUMBERS[whole]]))
        return f"{clause.subject} {clause.predicate} for {count} seconds"
    if kind < 0.6:
        going = clause.verb_phrase("gerund")
        verb = str(rng.choice(["keeps", "goes on", "continues"]))
        return f"{clause.subject} {verb} {going}"
    return f"{clause.subject} {clause.predicate} {rng.choice(_ON)}"


def looped_clips(
    clips: Sequence[Clip], bank: CaptionBank, cyclic: Collection[str], count: int, seed: int = 0, longest: int = 240,
    captions: int = 6,
) -> Iterator[Clip]:  # fmt: skip
    """Training clips of cyclic classes, half as long again at least.

    Args:
        clips: real clips.
        bank: paraphrases of the corpus' classes.
        cyclic: classes whose motion repeats; those that turn are passed over.
        count: how many to make.
        seed: decides everything.
        longest: most frames.
        captions: most sentences per clip; about half of them are the clip's own.

    Yields:
        Clips with source ``looped`` and action ``CLASS+long``.

    Raises:
        UserError: hardly any clip closes.
    """
    if not count:
        return
    rng = np.random.default_rng([seed, 4])
    known = [(c, sure_class(c)) for c in clips if c.captions]
    known = [(c, n) for c, n in known if n in cyclic]
    if not known:
        raise UserError("loops: no clip of a cyclic class")
    weights = balanced_weights([n for _, n in known], 0.6)
    cycles: dict[str, Cycle | None] = {}
    made = tried = 0
    while made < count:
        tried += 1
        if tried > 1000 + 30 * count:
            raise UserError(f"loops: only {made} of {count} clips close; accepted: more clips")
        clip, name = known[int(rng.choice(len(known), p=weights))]
        motion = clip.load()
        if clip.id not in cycles:
            cycles[clip.id] = find_cycle(motion, straight=name in STRAIGHT)
        cycle = cycles[clip.id]
        least = max(100, int(1.5 * len(motion)))
        if cycle is None or least > longest:
            continue
        looped = extend(motion, cycle, int(rng.integers(least, longest + 1)) / motion.fps)
        ways = clauses(clip, bank, rng, [_GOING_ON])
        if len(looped) > longest or not ways:
            continue
        texts = [_longer(ways[int(rng.integers(len(ways)))], looped.seconds, rng) for _ in range(captions)]
        own = [clip.captions[int(i)] for i in rng.permutation(len(clip.captions))[: captions // 2]]
        texts = list(dict.fromkeys([*own, *texts]))[:captions]
        out = Clip(
            f"loop_{made:05d}", looped.canonical().with_caption(texts[0]), texts, "looped", LICENCE, "train",
            f"{name}+long", clip.style, {"parts": [clip.id]},
        )  # fmt: skip
        yield mirrored(out) if rng.random() < 0.5 else out
        made += 1

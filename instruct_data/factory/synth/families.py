"""The packaged action families, and clips made from them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.clip import Clip
from instruct_data.factory.synth.format import Family
from instruct_data.factory.synth.loading import load_family, load_lexicon, load_schema
from instruct_data.factory.synth.solver import solve
from instruct_data.factory.synth.stances import prepare
from instruct_data.factory.synth.timeline import KeyTimeline, draw
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.text.english import mirror_text
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.rates import BODY_FPS

ACTIONS, SCHEMAS, LEXICON = (Path(__file__).with_name(n) for n in ("actions", "schemas", "lexicon"))
SOURCE, LICENCE = "synthetic", "same as the project"
VALIDATION = 1_000_000
_TIMES = {1: "once", 2: "twice"}
_COUNT = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def _by_name(items: Iterable[Family]) -> dict[str, Family]:
    out: dict[str, Family] = {}
    for family in items:
        if family.name in out:
            files = [Path(f.path).name for f in (family, out[family.name])]
            raise UserError(f"{files[0]}: the name {family.name!r} is there already, in {files[1]}")
        out[family.name] = family
    return out


@cache
def actions() -> dict[str, Family]:
    """The packaged families that have a file of their own, by name."""
    return _by_name(load_family(path) for path in sorted(ACTIONS.glob("*.yaml")))


@cache
def schemas() -> dict[str, Family]:
    """The schemas of the lexicon by name: no families themselves, without captions."""
    return _by_name(load_schema(path) for path in sorted(SCHEMAS.glob("*.yaml")))


@cache
def families() -> dict[str, Family]:
    """All packaged families by name: the actions, then the entries of the lexicon."""
    entries = (e for path in sorted(LEXICON.glob("*.yaml")) for e in load_lexicon(path, schemas()))
    return _by_name((*actions().values(), *entries))


def _caption_words(params: Mapping[str, Any], side: str) -> dict[str, str]:
    words = {"side": side, "other": "left" if side == "right" else "right"}
    for name, value in params.items():
        if isinstance(value, str):
            words[name] = value
            continue
        is_integer = abs(float(value) - round(value)) < 1e-9
        words[name] = str(round(value)) if is_integer else f"{value:.1f}"
        if is_integer and 0 <= value <= 12:
            words[f"{name}_word"] = _COUNT[round(value)]
            words[f"{name}_times"] = _TIMES.get(round(value), f"{_COUNT[round(value)]} times")
    return words


@cache
def _counts(texts: tuple[str, ...]) -> str:
    """The parameter that captions state as a number of times, or empty."""
    names = {m for t in texts for m in re.findall(r"\{(\w+)_times\}", t)}
    return names.pop() if len(names) == 1 else ""


def captions_of(
    family: Family, timeline: KeyTimeline, mirrored: bool, rng: np.random.Generator, bank: CaptionBank | None = None
) -> list[str]:
    """4 to 8 true sentences of the family's own, and up to 3 of the bank's.

    Both are written for the right side; left and right are exchanged in the words of a mirrored clip.
    """
    words = _caption_words({n: timeline.scope[n] for n, _ in family.derived} | timeline.params, "right")
    true = [c for c in family.captions if c.when is None or c.when(timeline.scope)]
    if not true:
        raise UserError(f"{family.name}: no caption holds for {timeline.params}; write one without a condition")
    out: list[str] = []
    for i in rng.permutation(len(true))[: int(rng.integers(4, 9))]:
        try:
            text = re.sub(r"\{(\w+)\}", lambda m: words[m[1]], true[i].text.replace("{manner}", ""))
        except KeyError as e:
            raise UserError(f"{family.name}: {true[i].text!r}: no word for {e} with {timeline.params}") from None
        text = " ".join(text.split())
        if text not in out:
            out.append(text)
    if bank is not None:
        out += [t for t in _from_bank(family, timeline, rng, bank) if t not in out]
    return [_mirrored(t) for t in out] if mirrored else out


_mirrored = lru_cache(20_000)(mirror_text)


def _from_bank(family: Family, timeline: KeyTimeline, rng: np.random.Generator, bank: CaptionBank) -> list[str]:
    """Up to three of the bank's sentences that are true of the clip before it is mirrored."""
    rules = [r for r in family.bank if r.when is None or r.when(timeline.scope)]
    texts = list(dict.fromkeys(t for r in rules for t in bank.actions.get(r.key, []) if any(h in t for h in r.has)))
    people = ["a person", "someone", "somebody", "the person", "a figure", "the figure"]
    out = []
    for i in rng.permutation(len(texts))[:3]:
        text = texts[i].replace("{person}", str(rng.choice(people))).replace("{manner}", "")
        out.append(re.sub(r"\s+([,;.])", r"\1", " ".join(text.split())))
    return out


def keyframed(
    family: Family,
    seeds: Sequence[int],
    stances: np.ndarray | None = None,
    bank: CaptionBank | None = None,
) -> list[Clip]:
    """Clips of a family, one per seed; the same seed gives the same bytes whatever else is in the batch.

    Args:
        family: see :func:`load_family`.
        seeds: below 1,000,000 for training, from there on for validation.
        stances: (S, 22, 4) local rotations of real idle standing poses, of which one is blended in over the first and
            last 0.4 s of clips that start or end standing; None = the family's own stand pose.
        bank: adds its paraphrases of the action.

    Returns:
        Clips at 20 fps in the canonical frame (start above the origin, facing +Z). Of one that goes down,
        ``extra["lowest"]`` is the height of the lowest foothold, below 0.
    """
    if len(seeds) == 0:
        return []
    key = zlib.crc32(family.name.encode())
    rngs = [np.random.default_rng([key, int(s)]) for s in seeds]
    available = prepare(stances) if stances is not None else []
    chosen = [available[int(r.integers(len(available)))] if available else None for r in rngs]
    timelines = [draw(family, r, s) for r, s in zip(rngs, chosen, strict=True)]
    left = [bool(r.random() < 0.5) for r in rngs]
    words = [captions_of(family, t, m, r, bank) for t, m, r in zip(timelines, left, rngs, strict=True)]
    solved = solve(timelines, rngs, left, chosen)
    out = []
    for seed, timeline, mirror, captions, (rotations, root) in zip(seeds, timelines, left, words, solved, strict=True):
        motion = Motion(rotations, root, BODY_FPS, caption=captions[0])
        params = {k: mirror_text(v) if mirror and isinstance(v, str) else v for k, v in timeline.params.items()}
        extra: dict[str, Any] = {"params": params, "seed": int(seed), "group": family.group}
        counted = _counts(tuple(c.text for c in family.captions))
        if counted and isinstance(timeline.params.get(counted), (int, float)):
            extra["times"] = round(float(timeline.params[counted]))
        if family.handed == "right":
            extra["side"] = "left" if mirror else "right"
        if timeline.lifted > 0:
            extra["lowest"] = -timeline.lifted
        split = "train" if seed < VALIDATION else "val"
        clip = Clip(f"{family.name}-{seed}", motion, captions, SOURCE, LICENCE, split, family.name, "", extra)
        out.append(clip)
    return out

"""The describe suite: is the action named, is the side right, how near are the words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from avatargpt.evaluation.body import rivals
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.metrics import text
from avatargpt.requests import captions
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.motion import Motion

Describe = Callable[[list[Motion]], Sequence[str]]
OWN = "own caption"
SIDED = ("wave", "raise", "turn", "walk sideways")
WORDING: dict[str, Callable[..., float]] = {
    "bleu1": partial(text.bleu, order=1), "bleu4": partial(text.bleu, order=4), "rouge_l": text.rouge_l,
    "cider": text.cider,
}  # fmt: skip
CLASSES = {
    "bow": "bow", "bye": "wave", "byebye": "wave", "call": "call", "dance-short": "dance", "dash": "run",
    "guide": "guide", "kick": "kick", "punch": "punch", "respond": "raise", "run": "run", "slash": "sword",
    "walk": "walk", "walk-back": "walk back", "walk-left": "walk sideways", "walk-right": "walk sideways",
    "raise-up-both-hands": "raise", "raise-up-left-hand": "raise", "raise-up-right-hand": "raise",
    "walk-turn-left": "turn", "walk-turn-right": "turn", "wave-both-hands": "wave", "wave-left-hand": "wave",
    "wave-right-hand": "wave",
}  # fmt: skip
"""The corpus' own action names -> the action a sentence about it should name."""


def expected(action: str) -> tuple[str, str]:
    """Corpus action name -> (action, side); side is "" where none matters."""
    name = CLASSES[action]
    side = next((s for s in ("left", "right", "both") if s in action.split("-")), "")
    return name, {"byebye": "both", "respond": "left"}.get(action, side) if name in SIDED else ""


def reference(clip: Clip) -> tuple[set[str], str]:
    """Actions that count as right for a clip, and the side (or "").

    The corpus' class decides where there is one; else whatever at least a third of its captions name.
    """
    if clip.action in CLASSES:
        name, side = expected(clip.action)
        return {name}, side
    named = Counter(captions.action_of(c) for c in clip.captions)
    named.pop("", None)
    return {a for a, n in named.items() if 3 * n >= len(clip.captions)}, ""


def descriptions(describe: Describe, clips: Sequence[Clip], batch: int, parts: Parts = UNKEPT) -> list[str]:
    """One sentence for each clip, `batch` clips asked at once.

    Raises:
        UserError: another number of sentences than clips.
    """
    def said(motions: list[Motion]) -> list[str]:
        found = [str(text) for text in describe(motions)]
        if len(found) != len(motions):
            raise UserError(f"describe gave {len(found)} sentences for {len(motions)} motions")
        return found

    asked = [([c.load() for c in clips[i : i + batch]],) for i in range(0, len(clips), batch)]
    return [text for some in parts.each("describe", said, asked) for text in some]


def score(
    suite: Suite, clips: list[Clip], describe: Describe, known: Sequence[Clip] = (), parts: Parts = UNKEPT
) -> dict[str, Any]:
    """All figures of the describe suite.

    Args:
        suite: of kind ``describe``.
        clips: held-out clips with captions.
        describe: motions -> one sentence each.
        known: training clips, for the baselines (`rivals.sentences`).

    Returns:
        results, the confusion counts ``{reference: {named: count}}`` and a random sample of descriptions. With `known`
        also ``FIGURE/BASELINE``; ``own caption`` is one of a clip's captions against its others: what people reach.
    """
    text.needs_packages()
    said = descriptions(describe, clips, int(suite.options.get("batch", 32)), parts)
    results, confusion = _judged(clips, said)
    rng = np.random.default_rng(suite.seeds[0])
    chosen = rng.choice(len(clips), min(int(suite.options.get("samples", 30)), len(clips)), replace=False)
    sample = [{"clip": clips[i].id, "said": said[i], "reference": clips[i].captions[0]} for i in chosen]
    baselines: dict[str, dict[str, Any]] = {}
    if others := rivals.sentences(clips, known, suite.seeds[0]):
        baselines[OWN] = _judged(*_own(clips, suite.seeds[0]))[0]
        baselines |= {name: _judged(clips, told)[0] for name, told in others.items()}
    # A clip without one of its captions may be of another class: only what stands beside a figure of the model's.
    results |= {f"{k}/{name}": found[k] for name, found in baselines.items() for k in results if k in found}
    return {"results": results, "confusion": confusion, "sample": sample, "clips": len(clips),
            **({"baselines": [*baselines]} if baselines else {})}  # fmt: skip


def _own(clips: Sequence[Clip], seed: int) -> tuple[list[Clip], list[str]]:
    """Clips of several captions without one of them, and that one."""
    rng = np.random.default_rng([seed, 3])
    rest, taken = [], []
    for clip in (c for c in clips if len(c.captions) > 1):
        i = int(rng.integers(len(clip.captions)))
        rest.append(replace(clip, captions=[*clip.captions[:i], *clip.captions[i + 1 :]]))
        taken.append(clip.captions[i])
    return rest, taken


def _judged(clips: Sequence[Clip], said: Sequence[str]) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    """The figures of one sentence per clip, and what was named in place of what."""
    right, side_right = [], []
    by_class: dict[str, list[float]] = defaultdict(list)
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for clip, sentence in zip(clips, said, strict=True):
        wanted, side = reference(clip)
        if not wanted:
            continue
        named = captions.action_of(sentence)
        ok = named in wanted
        name = clip.action or " or ".join(sorted(wanted))
        right.append(float(ok))
        by_class[name].append(float(ok))
        confusion[name][named or "(none)"] += 1
        if side and ok:
            # A wrong action is counted once, above; here only whether the side of a right one is right.
            side_right.append(float(captions.side_of(sentence) == side))
    references = [c.captions for c in clips]
    results = {
        "action": figure(right),
        "action_class_mean": figure([float(np.mean(v)) for v in by_class.values()]),
        "side": figure(side_right),
    }
    for name, measure in WORDING.items():
        results[name] = plain(measure(said, references, tokens=text.raw_tokens))
        results[f"{name}/lemma"] = plain(measure(said, references, tokens=text.lemma_tokens))
    results.update({f"action/{k}": figure(v) for k, v in sorted(by_class.items())})
    return results, {k: dict(v.most_common()) for k, v in sorted(confusion.items())}


def markdown(result: dict[str, Any]) -> str:
    """The sample as a Markdown table, as it is."""
    rows = [f"| {r['clip']} | {r['said']} | {r['reference']} |" for r in result["sample"]]
    return "\n".join(["| clip | described as | one of its captions |", "|---|---|---|", *rows]) + "\n"

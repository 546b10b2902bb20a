"""Does `describe` name the family of a held-out synthetic clip, and the side?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from avatargpt.evaluation.body import rivals
from avatargpt.evaluation.body.describe import Describe, descriptions
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite, load
from avatargpt.metrics import checks
from avatargpt.requests import captions
from instruct_data.clip import Clip
from vqvae.errors import UserError

Table = dict[str, checks.Family]


def reference_side(clip: Clip) -> str:
    """The side that at least half of a clip's captions mention, or ""."""
    if not clip.captions:
        return ""
    sides = Counter(captions.side_of(c) for c in clip.captions)
    best = max(("left", "right"), key=lambda s: sides[s])
    return best if 2 * sides[best] >= len(clip.captions) and not sides["left" if best == "right" else "right"] else ""


def score(
    suite: Suite, clips: list[Clip], describe: Describe, known: Sequence[Clip] = (), parts: Parts = UNKEPT
) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``describe_synthetic``; its option ``families`` names the suite with the table of families.
        clips: held-out keyframed clips; those of no family in the table are left out and counted.
        describe: motions -> one sentence each.
        known: keyframed training clips, for the baselines (`rivals.sentences`).

    Returns:
        ``family``: share of clips whose description names their family (or one of its ``also``), ``family/NAME`` and
        their mean; ``only``: names it and none besides; ``side`` of the right ones; ``captions``: share of the clips'
        own captions that the words of their family recognise, the ceiling of ``family``; ``chance``: how often the
        description of another clip would have been right. With `known` also ``FIGURE/BASELINE``.
    """
    families_of = load(str(suite.options.get("families", "families")))
    table = checks.read_families(families_of.classes, families_of.name)
    used = [c for c in clips if c.action in table]
    if not used:
        raise UserError(f"suite {suite.name}: no clips of a keyframed family")
    said = descriptions(describe, used, int(suite.options.get("batch", 32)), parts)
    results, confusion = _judged(table, used, said)
    own_words = [float(bool(checks.families_named(table, s) & _wanted(table, c))) for c in used for s in c.captions]
    own = {k: results.pop(k) for k in [k for k in results if k.startswith("family/")]}
    order = np.random.default_rng(suite.seeds[0]).permutation(len(used))
    chance = [
        float(bool(checks.families_named(table, said[int(i)]) & _wanted(table, used[j]))) for j, i in enumerate(order)
    ]
    results |= {"captions": figure(own_words), "chance": figure(chance), **own}
    others = rivals.sentences(used, known, suite.seeds[0])
    for name, told in others.items():
        results |= {f"{k}/{name}": v for k, v in _judged(table, used, told)[0].items()}
    sample = [
        {"clip": used[int(i)].id, "said": said[int(i)], "reference": (used[int(i)].captions or [""])[0]}
        for i in order[: int(suite.options.get("samples", 40))]
    ]
    return {
        "results": results, "confusion": confusion, "sample": sample, "clips": len(used),
        "clips_of_no_family": len(clips) - len(used), **({"baselines": [*others]} if others else {}),
    }  # fmt: skip


def _wanted(table: Table, clip: Clip) -> set[str]:
    return {clip.action, *table[clip.action].also}


def _judged(
    table: Table, clips: Sequence[Clip], said: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    """The figures of one sentence per clip, and what was named in place of what."""
    right, only, side_right = [], [], []
    by_family: dict[str, list[float]] = defaultdict(list)
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    for clip, sentence in zip(clips, said, strict=True):
        wanted = _wanted(table, clip)
        found = checks.families_named(table, sentence)
        ok = bool(found & wanted)
        right.append(float(ok))
        only.append(float(ok and not found - wanted))
        by_family[clip.action].append(float(ok))
        if not ok:
            confusion[clip.action][" or ".join(sorted(found)) or "(none)"] += 1
        side = reference_side(clip)
        if side and ok:
            side_right.append(float(captions.side_of(sentence) == side))
    results = {
        "family": figure(right), "family_mean": figure([float(np.mean(v)) for v in by_family.values()]),
        "only": figure(only), "side": figure(side_right),
        **{f"family/{k}": figure(v) for k, v in sorted(by_family.items())},
    }  # fmt: skip
    return results, {k: dict(v.most_common()) for k, v in sorted(confusion.items())}

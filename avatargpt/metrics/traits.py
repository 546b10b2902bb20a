"""What a manner looks like: how recorded or styled clips of an action differ from its plain rendition.

Nothing is written down by hand: a trait counts where geometry finds it in nearly all training clips of an action in a
style, beside plain clips of the same action (`avatargpt/metrics/geometry/style.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates
from instruct_data.store import ClipCodes
from vqvae.motion import Motion

TRAITS: tuple[Any, ...] = ("slower", "faster", "stooped", "erect", {"wider_stance": {"factor": 1.2}}, "wider_arms")
PLAIN = ("", "normal")
SHARE = 0.8  # of the pairs of a styled and a plain clip that must show a trait or pass a check
CLIPS = 8  # of each kind that are looked at

Kind = tuple[str, str, str]
"""(source, action, style)"""


@dataclass(frozen=True)
class Manner:
    """One action in one style.

    Attributes:
        traits: checks that compare with a plain rendition. passing: of the action's own checks those that still hold.
        plain: plain renditions.
    """

    traits: list[Any]
    passing: list[Any]
    plain: list[Signals]

    def shown(self, motion: Signals) -> bool:
        """Whether `motion` passes and shows every trait beside most of the plain renditions."""
        if not predicates.judge_all(self.passing, motion).passed:
            return False
        return all(np.mean([predicates.judge(t, motion, p).passed for p in self.plain]) > 0.5 for t in self.traits)


def manners(
    clips: Sequence[ClipCodes], checks: Callable[[ClipCodes], list[Any]], decode: Callable[[Any], Motion], seed: int = 0
) -> Mapping[Kind, Manner]:
    """Every action in every style of which something is known.

    Args:
        clips: training clips. checks: what geometry asks of a clip's action whatever its style.
        decode: codes -> motion.
    """
    rng = np.random.default_rng(seed)
    kinds: dict[Kind, list[ClipCodes]] = defaultdict(list)
    plain: dict[str, list[ClipCodes]] = defaultdict(list)
    for clip in clips:
        if not clip.action or clip.source in ("synthetic", "composed", "layered", "looped"):
            continue
        if clip.style not in PLAIN:
            kinds[clip.source, clip.action, clip.style].append(clip)
        elif clip.source != "styled":
            plain[clip.action].append(clip)

    def some(of: list[ClipCodes]) -> list[Signals]:
        return [Signals(decode(of[i].codes)) for i in rng.permutation(len(of))[:CLIPS]]

    usual = {action: some(of) for action, of in plain.items() if action in {k[1] for k in kinds}}
    out: dict[Kind, Manner] = {}
    for kind, of in kinds.items():
        if not (beside := usual.get(kind[1])):
            continue
        shown = some(of)
        traits = [
            t for t in TRAITS
            if np.mean([predicates.judge(t, s, p).passed for s in shown for p in beside]) >= SHARE
        ]  # fmt: skip
        asked = checks(of[0])
        passing = [c for c in asked if np.mean([predicates.judge(c, s).passed for s in shown]) >= SHARE]
        if traits and (passing or not asked):
            out[kind] = Manner(traits, passing, beside)
    return out

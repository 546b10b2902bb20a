"""Whether a motion shows what a clip is known to show, by the geometry predicates."""

from __future__ import annotations

from typing import Any

from avatargpt import resources
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.families import holds, read
from avatargpt.metrics.geometry import predicates
from avatargpt.requests.captions import pattern
from instruct_data.clip import Clip
from instruct_data.synth.families import SOURCE
from vqvae.io.data_files import read_yaml
from vqvae.motion import Motion

MADE = (SOURCE, "keyframed")
"""Sources of keyframed clips, in stores and made on the spot."""


def belongs(clip: Clip, about: dict[str, Any]) -> bool:
    """Whether a clip is of the class: its action is among ``actions``, or a caption of it matches ``captions``."""
    if clip.action and clip.action in about.get("actions", ()):
        return True
    if not about.get("captions") or clip.action:
        return False
    words = pattern(str(about["captions"]), "suite predicates")
    return any(words.search(c) for c in clip.captions)


class Geometry:
    """Judges clips by the checks of the suites `predicates` (recorded ones) and `families` (keyframed ones)."""

    def __init__(self) -> None:
        folder = resources.suites()
        self.classes: list[dict[str, Any]] = read_yaml(folder / "predicates.yaml")["classes"]
        self.families = read(read_yaml(folder / "families.yaml")["classes"], "families")

    def verdict(self, clip: Clip, motion: Motion) -> float:
        """1.0 where `motion` shows what `clip` is known to show, 0.0 where not, NaN where no check is about it."""
        if clip.source in MADE:
            entry = self.families.get(clip.action)
            return float("nan") if entry is None else float(holds(entry, clip, Signals(motion)))
        checks = [c["check"] for c in self.classes if belongs(clip, c)]
        return float(predicates.judge_all(checks, Signals(motion)).passed) if checks else float("nan")

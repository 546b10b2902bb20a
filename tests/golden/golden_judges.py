"""Goldens of the judge: verdicts on keyframed clips whose movement is smaller, or that end earlier.

A threshold that moves changes the share of a movement, or of a clip's length, from which on a predicate holds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from golden_store import Rows

from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry.predicates import judge, predicates
from instruct_data.synth.families import families, keyframed
from vqvae import rotations as rot
from vqvae.motion import Motion

SEED = 1_000_000  # of validation, as in the labels of predicates
SHARES = np.arange(1, 16) / 15  # of the movement, and of the length
# Nearly every predicate holds for one of these, most for two.
CLIPS = """
applaud_overhead bow cast_fishing_rod chop_overhead_with_sword clap climb_over_wall climb_stairs crawl dance_step
die_fall_sideways downward_dog fence handstand hop hula_dance jump kick lie_down play_table_tennis pray
pull_blind_up raise_knees reload_rifle shiver side_split sit_down sneak squat stretch_thigh_standing turn_around
turn_full_with_steps turn_page twirl use_slingshot wave
""".split()


def judges() -> Rows:
    """By family: predicates that its clip passes, with their verdicts."""
    return {name: partial(_verdicts, name) for name in CLIPS}


def _verdicts(name: str) -> dict[str, str]:
    """Predicate -> ``001..1``: verdicts at the shares of the movement, then at those of the length."""
    clip = keyframed(families()[name], [SEED])[0].load()
    weaker = [Signals(_weaker(clip, float(share))) for share in SHARES]
    shorter = [Signals(clip.slice(0, max(2, round(float(share) * len(clip))))) for share in SHARES]
    passed = {key: check for key, check in _checks().items() if judge(check, shorter[-1]).passed}
    return {k: "".join(str(int(judge(c, s).passed)) for s in (*weaker, *shorter)) for k, c in passed.items()}


def _checks() -> dict[str, Any]:
    """Predicates that need no parameter, and those that need a side alone."""
    out: dict[str, Any] = {}
    for name, function in sorted(predicates().items()):
        needed = [k for k, p in signature(function).parameters.items() if p.default is p.empty and k != "s"]
        if not needed:
            out[name] = name
        elif needed == ["side"]:
            out |= {f"{name} {side}": {name: {"side": side}} for side in ("left", "right")}
    return out


def _weaker(clip: Motion, share: float) -> Motion:
    """A clip whose poses are so much of the way from its first pose."""
    first = np.broadcast_to(clip.rotations[:1], clip.rotations.shape)
    root = clip.root[:1] + share * (clip.root - clip.root[:1])
    return replace(clip, rotations=rot.slerp(first, clip.rotations, share).astype(np.float32), root=root)

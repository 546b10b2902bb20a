"""Goldens of the judge: verdicts on keyframed clips whose movement is smaller, or that end earlier.

A threshold that moves changes the share of a movement, or of a clip's length, from which on a predicate holds.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from golden_store import Rows

from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry.predicates import PREDICATES, judge
from instruct_data.factory.synth.families import families, keyframed
from vqvae import rotations as rot
from vqvae.io.data_files import read_yaml
from vqvae.motion import Motion

SUITES = Path(__file__).resolve().parents[2] / "eval" / "suites"
SEED = 1_000_000  # of validation, as in the labels of predicates
SHARES = np.arange(1, 16) / 15  # of the movement, and of the length
HALF = len(SHARES) // 2
# Nearly every predicate holds for one of these, most for two.
CLIPS = """
applaud_overhead bow cast_fishing_rod chop_overhead_with_sword clap climb_over_wall climb_stairs crawl dance_step
die_fall_sideways downward_dog fence handstand hop hula_dance jump kick lie_down play_table_tennis pray
pull_blind_up raise_knees reload_rifle shiver side_split sit_down sneak squat stretch_thigh_standing turn_around
turn_full_with_steps turn_page twirl use_slingshot wave
""".split()


def judges() -> Rows:
    """By family: predicates that its clip passes, or one that moves less or ends earlier, with their verdicts."""
    return {name: partial(_verdicts, name) for name in CLIPS}


def _verdicts(name: str) -> dict[str, str]:
    """Predicate -> ``001..1``: verdicts at the shares of the movement, then at those of the length."""
    clip = keyframed(families()[name], [SEED])[0].load()
    weaker = [Signals(_weaker(clip, float(share))) for share in SHARES]
    shorter = [Signals(clip.slice(0, max(2, round(float(share) * len(clip))))) for share in SHARES]
    # what compares with another motion compares with the one that moves half as much
    verdicts = {
        key: "".join(str(int(judge(check, s, weaker[HALF]).passed)) for s in (*weaker, *shorter))
        for key, check in _checks().items()
        if key in _of_suites() or judge(check, shorter[-1]).passed
    }
    return {key: verdict for key, verdict in verdicts.items() if "1" in verdict}


def _checks() -> dict[str, Any]:
    """Predicates that need no parameter, those that need a side alone, and others as the suites use them."""
    out = {check: json.loads(check) for check in _of_suites()}
    for name, function in sorted(PREDICATES.items()):
        needed = [k for k, p in signature(function).parameters.items() if p.default is p.empty and k != "s"]
        if not needed:
            out[name] = name
        elif needed == ["side"]:
            out |= {f"{name} {side}": {name: {"side": side}} for side in ("left", "right")}
    return out


@cache
def _of_suites() -> list[str]:
    """Checks of the suites by predicates that need more than a side, as JSON."""
    needing = {
        name for name, function in PREDICATES.items()
        if {k for k, p in signature(function).parameters.items() if p.default is p.empty} - {"s", "side"}
    }  # fmt: skip
    used: set[str] = set()

    def collect(value: Any) -> None:
        for name, inside in value.items() if isinstance(value, dict) else ():
            # "$name" stands for a parameter of a clip
            if name in needing and isinstance(inside, dict) and not any(str(v)[:1] == "$" for v in inside.values()):
                used.add(json.dumps({name: inside}, sort_keys=True))
        for inside in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            collect(inside)

    for path in sorted(SUITES.glob("*.yaml")):
        collect(read_yaml(path))
    return sorted(used)


def _weaker(clip: Motion, share: float) -> Motion:
    """A clip whose poses are so much of the way from its first pose."""
    first = np.broadcast_to(clip.rotations[:1], clip.rotations.shape)
    root = clip.root[:1] + share * (clip.root - clip.root[:1])
    return replace(clip, rotations=rot.slerp(first, clip.rotations, share).astype(np.float32), root=root)

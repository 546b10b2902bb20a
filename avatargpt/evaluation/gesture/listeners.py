"""What a row of the gesture table does while the other one speaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from avatargpt.evaluation.gesture.rows import Made
from avatargpt.evaluation.report import figure, plain
from avatargpt.metrics.gesture.beats import hand_speeds
from avatargpt.metrics.gesture.turns import listening, nod_timing, speaking, still_share
from avatargpt.speech.audio import FPS


def attention(name: str, row: Sequence[Made]) -> dict[str, Any]:
    """Stillness, speed against that of talking, and nods at the other's pauses, of the talks in which one listens.

    ``nods_at_pauses`` stands beside what nods at random times score (``by chance``) and what the same nods score
    against the other's voice turned around by half its length (``swapped``).
    """
    still, nods, swapped, chance, quiet, loud, minutes = [], [], [], [], [], [], 0.0
    for made in row:
        if made.talk.interlocutor is None:
            continue
        own, other = speaking(made.talk.audio), speaking(made.talk.interlocutor)
        speeds = hand_speeds(made.motion).mean(1)
        when = listening(own, other)[: len(speeds)]
        talking = own[: len(speeds)]
        loud += speeds[: len(talking)][talking].tolist()
        if not when.any():
            continue
        still.append(still_share(made.motion, when))
        quiet += speeds[: len(when)][when].tolist()
        minutes += when.sum() / FPS / 60
        timing = nod_timing(made.motion, own, other)
        nods += timing.hits
        chance.append(timing.chance)
        turned = np.roll(other, len(other) // 2)
        if listening(own, turned)[: len(speeds)].any():
            swapped += nod_timing(made.motion, own, turned).hits
    if not still:
        return {}
    resting = np.mean(quiet) / np.mean(loud) if loud and np.mean(loud) > 0 else float("nan")
    return {
        f"still_listening/{name}": figure(still),
        f"listening_speed_ratio/{name}": plain(float(resting)),
        f"nods_a_minute/{name}": plain(len(nods) / minutes),
        f"nods_at_pauses/{name}": figure(nods),
        f"nods_at_pauses/{name} by chance": figure(chance),
        f"nods_at_pauses/{name} swapped": figure(swapped),
    }  # fmt: skip

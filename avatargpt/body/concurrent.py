"""Two things at once: arms or head of one motion on the body of another (`avatargpt.requests.concurrent` reads which).

The network makes each by itself; a rule puts them together as in the layered clips of the training material
(`instruct_data.synth.derived.layering`): pelvis, legs and path stay what they were.
"""

from __future__ import annotations

import numpy as np

from instruct_data.synth.derived.layered import held_pose, rests
from instruct_data.synth.derived.layering import FADE_SECONDS, RAISED, active_span, activity, layer
from vqvae.errors import UserError
from vqvae.motion import Motion

NEAR = 0.09  # metres from where it hangs at which a hand does something, where none goes farther: hands on the hips


def together(lower: Motion, upper: Motion) -> Motion:
    """The arms of `upper` that do something, else its head, on the body of `lower`; as long as `lower`."""
    raised = next((r for r in (RAISED, NEAR) if activity(upper, r).arms()), RAISED)
    parts = activity(upper, raised).arms() or ("head",)
    try:
        first, last = active_span(upper, parts, raised=raised)
    except UserError:  # it does nothing that could be seen
        return lower
    start = max(first, round(FADE_SECONDS * lower.fps))  # hands are on their way before anything begins
    return layer(lower, upper.slice(first, last), parts, min(start, len(lower) - 1), raised)


def at_rest(before: Motion, made: Motion, seed: int, longer: bool = True) -> Motion | None:
    """`made` by the body that `before` leaves sitting or kneeling, which follows it; None where it stands.

    Args:
        longer: by the time that hands take to come and go.
    """
    if not rests(before):
        return None
    frames = len(made) + (2 * round(FADE_SECONDS * made.fps) if longer else 0)
    return together(held_pose(before, frames, np.random.default_rng([seed % 2**32, 5])), made)

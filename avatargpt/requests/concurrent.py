"""Which actions go together: "walk while waving", "jog with the hands on the hips", "sit down, then drink".

The network makes each of both by itself; a rule puts the arms or the head of the one on the steps of the other, or on
the body that sits or kneels, as in the layered clips of the training material (`synth.layering`): pelvis,
legs and path stay what they were.
"""

from __future__ import annotations

import re

from avatargpt.requests.lemmas import lemma

STEPS = frozenset("walk run jog sprint stroll march stride hike pace step".split())
UPRIGHT = frozenset((
    "stand_idle", "stand_up", "get_up_face_up", "get_up_face_down", "a person gets up from the ground",
))  # what somebody who sits stands up for


def is_above(action: str) -> bool:
    """Whether arms or the head alone do an action."""
    from instruct_data.synth.layered import ARMS_ACT, HEAD_ACTS

    return action in ARMS_ACT or action in HEAD_ACTS


def is_rest(action: str) -> bool:
    """Whether an action ends in a rest: sitting or kneeling."""
    from instruct_data.synth.layered import RESTS

    return action in RESTS


def which_is_below(one: str, other: str) -> int | None:
    """Of two actions that which gives the legs: 0 or 1, or None where they do not go together.

    The other one has to be something that arms or the head do alone.
    """
    from instruct_data.synth.layered import GAITS

    for i, (low, up) in enumerate(((one, other), (other, one))):
        if (low in GAITS or (goes(low) and not is_above(low))) and is_above(up):
            return i
    return None


def goes(action: str) -> bool:
    """Whether an action is one of steps: "walk_left", "a person runs or jogs"."""
    return any(lemma(w) in STEPS for w in re.findall("[a-z]+", action))

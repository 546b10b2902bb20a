"""A body that sits or kneels while its arms act, and poses that are held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from instruct_data.layering import FADE_SECONDS, HEAD, RAISED, SPINE, active_span, activity, find_stance, layer
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

# actions of the legs: whatever the arms do leaves the caption true
GAITS = {
    "walk", "run", "dash", "jog", "walk_back", "walk_left", "walk_right", "walk_turn_left", "walk_turn_right", "sneak",
    "stealthy_walk", "march", "walk_on_the_spot", "jog_on_the_spot", "sidestep", "tiptoe", "limp", "skip",
    "skate_glide", "step_over", "squat", "lunge", "balance_on_one_leg", "hop",
}  # fmt: skip
# actions of the arms
ARMS_ACT = {
    "wave_left_hand", "wave_right_hand", "wave_both_hands", "raise_up_left_hand", "raise_up_right_hand",
    "raise_up_both_hands", "bye", "byebye", "call", "guide", "direct_traffic", "basketball_signal", "clap", "drink",
    "eat", "point", "beckon", "salute", "shrug", "raise_hand", "wave", "phone", "conduct", "circle_arms", "pray",
    "cross_arms", "hands_on_hips", "play_guitar", "play_violin", "punch", "boxing", "swing_arms", "block",
}  # fmt: skip
HEAD_ACTS = {"look_around", "nod", "shake_head"}
# pose at the end of a class of clips, which can be held as long as the arms act
RESTS: dict[str, tuple[str, list[str]]] = {
    "sit_down": ("sit", ["a person sits", "someone sits on a chair", "somebody sits on a seat", "someone sits",
                         "a person sits on a bench", "the person sits on a stool"]),
    "kneel": ("kneel", ["a person kneels", "someone kneels on the floor", "somebody kneels on the ground",
                        "the person kneels down low"]),
}  # fmt: skip
_UPRIGHT = 0.5  # metres from the pelvis up to the neck, of 0.55 when the back is straight
_RESTING = (0.3, 0.72)  # metres: height of the pelvis of a body that sits or kneels


def hold_pose(motion: Motion, frames: int, rng: np.random.Generator) -> Motion:
    """The last pose for some time, breathing: trunk and head sway by less than a degree."""
    last = motion.slice(len(motion) - 1, len(motion))
    q = np.repeat(last.rotations.astype(np.float64), frames, 0)
    for j in (*SPINE, *HEAD):
        noise = gaussian(rng.normal(size=(frames, 3)), 0.5 * motion.fps, "wrap")
        noise *= np.radians(0.5) / max(float(noise.std()), 1e-9)
        q[:, j] = rot.multiply(rot.from_axis_angle(noise), q[:, j])
    return replace(last, rotations=q, root=np.repeat(last.root, frames, 0))


def rests(motion: Motion) -> bool:
    """Whether the last frame sits or kneels with the trunk upright."""
    joints = motion.slice(len(motion) - 1, len(motion)).joints[0]
    return bool(joints[12, 1] - joints[0, 1] > _UPRIGHT and _RESTING[0] < motion.root[-1, 1] < _RESTING[1])


# of a motion that can be laid over another one: share of its time on both feet, metres that its pelvis goes down
STANDS, SINKS = 0.9, 0.12
# metres from where it hangs at which a hand acts, where none goes farther: hands on the hips
HANDS_NEAR = 0.09


def layer_arms(lower: Motion, upper: Motion) -> Motion:
    """The arms of `upper` that act, else its head, on the body of `lower`; as long as `lower`."""
    raised = next((r for r in (RAISED, HANDS_NEAR) if activity(upper, r).arms()), RAISED)
    limbs = activity(upper, raised).arms() or ("head",)
    try:
        first, last = active_span(upper, limbs, raised=raised)
    except UserError:  # it does nothing that could be seen
        return lower
    start = max(first, round(FADE_SECONDS * lower.fps))  # hands are on their way before anything begins
    return layer(lower, upper.slice(first, last), limbs, min(start, len(lower) - 1), raised)


def lay_beside(first: Motion, second: Motion) -> Motion | None:
    """Two motions at once, one of which keeps its feet in place; None where both step, or both need the same arm."""
    still = [_keeps_feet(m) for m in (first, second)]
    if not any(still) or (all(still) and {*activity(first).arms()} & {*activity(second).arms()}):
        return None
    return layer_arms(first, second) if still[1] else layer_arms(second, first)


def _keeps_feet(motion: Motion) -> bool:
    height = motion.root[:, 1]
    return bool(find_stance(motion).mean() > STANDS and np.ptp(height) < SINKS and height.min() > _RESTING[1])


def at_rest(before: Motion, motion: Motion, rng: np.random.Generator, longer: bool = True) -> Motion | None:
    """`motion` by the body that `before` leaves sitting or kneeling, which follows it; None where it stands.

    Args:
        longer: by the time of hands to come and go.
    """
    if not rests(before):
        return None
    frames = len(motion) + (2 * round(FADE_SECONDS * motion.fps) if longer else 0)
    return layer_arms(hold_pose(before, frames, rng), motion)

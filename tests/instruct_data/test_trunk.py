"""Chest and head of layered clips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from instruct_data.synth.layering import HEAD, SPINE, bend, chain, layer, standing, turns
from vqvae import rotations as rot
from vqvae.motion import Motion


def bowing(made: Any, when: int, side: str = "left", tilt: float = 0.0) -> Motion:
    """Waves, and bends forward by 0.3 radians around frame `when`; the chest is tilted besides."""
    motion = made.waving(side=side, quiet=12)
    q = motion.rotations.astype(np.float64)
    bump = 0.1 * np.exp(-(((np.arange(len(q)) - when) / 6) ** 2))
    for j in SPINE:
        q[:, j] = rot.from_axis_angle(np.outer(bump, [1.0, 0, 0]) + [0, 0, tilt / 3])
    return replace(motion, rotations=q)


def forward(motion: Motion, joints: tuple[int, ...] = SPINE) -> np.ndarray:
    """(T,) how far a part is bent forward, radians."""
    up = rot.rotate(chain(motion.rotations.astype(np.float64), joints), np.array([0.0, 1, 0]))
    return np.arctan2(up[:, 2], up[:, 1])


def test_standing_and_stepping(made: Any) -> None:
    assert standing(made.waving()).min() > 0.99
    assert standing(made.walking()).max() < 0.01


def test_a_standing_body_makes_room_for_the_arms_that_come(made: Any) -> None:
    lower, upper = bowing(made, 22), bowing(made, 36)
    out = forward(layer(lower, upper, ("left",), 0))
    assert forward(lower)[22] > 0.28 and out[36] > 0.28
    assert out[22] < 0.06  # the bow of the arm that went is gone, not added


def test_what_the_other_arm_does_stays(made: Any) -> None:
    lower, upper = bowing(made, 22, "right"), bowing(made, 36, "left")
    out = forward(layer(lower, upper, ("left",), 0))
    assert out[22] > 0.28 and out[36] > 0.28


def test_steps_keep_their_posture(made: Any) -> None:
    lower = made.walking()
    q = lower.rotations.astype(np.float64)
    q[:, 3] = rot.from_axis_angle(np.array([0.2, 0, 0]))  # walks bent
    lower = replace(lower, rotations=q)
    out = layer(lower, bowing(made, 30), ("left",), 10)
    assert np.allclose(forward(out)[40] - forward(lower)[40], 0.3, atol=0.05)
    # the sway of the chest with the steps is all there
    assert np.allclose(forward(out)[72:], forward(lower)[72:], atol=1e-3)
    np.testing.assert_array_equal(out.rotations[80:], lower.rotations[80:])


def test_what_a_stepping_upper_clip_does_with_its_chest_stays_with_its_steps(made: Any) -> None:
    upper = bowing(made, 30)
    ahead = replace(upper, root=upper.root + np.outer(np.arange(len(upper)) * 0.06, [0, 0, 1.0]))
    lower = made.walking()
    out = layer(lower, ahead, ("left",), 10)
    assert np.allclose(forward(out), forward(lower), atol=1e-6)


def test_the_head_comes_with_the_chest(made: Any) -> None:
    upper = bowing(made, 30)
    q = upper.rotations.astype(np.float64)
    level = rot.conjugate(chain(q, SPINE))  # the gaze stays where it was
    q[:, 12], q[:, 15] = rot.slerp(np.broadcast_to(rot.identity(()), level.shape), level, 0.5), rot.identity(())
    q[:, 15] = rot.multiply(rot.conjugate(q[:, 12]), level)
    out = layer(made.walking(), replace(upper, rotations=q), ("left",), 10)
    assert forward(out)[40] > 0.28
    assert np.abs(forward(out, (*SPINE, *HEAD))).max() < 0.02


def test_the_spine_bends_evenly_as_recordings_do(made: Any) -> None:
    out = layer(bowing(made, 22, tilt=0.1), bowing(made, 36, tilt=-0.1), ("left",), 0).rotations
    assert np.allclose(out[:, 3], out[:, 6], atol=1e-5) and np.allclose(out[:, 6], out[:, 9], atol=1e-5)
    goal = rot.from_axis_angle(np.array([[0.3, 0.1, -0.4]]))
    bent = bend(made.hanging(1), SPINE, rot.about_y(np.array([0.7])), goal)
    whole = rot.multiply(rot.multiply(bent[:, 0], bent[:, 1]), bent[:, 2])
    assert rot.angle_between(rot.multiply(rot.about_y(np.array([0.7])), whole), goal)[0] < 1e-6


def test_somebody_bent_is_not_straightened(made: Any) -> None:
    def lean(tilt: float) -> float:
        lower = bowing(made, 200, tilt=tilt)  # never bows
        out = layer(lower, bowing(made, 200), ("left",), 0)
        busy = np.zeros(len(out), bool)
        return float(turns(out.slice(28, 32), SPINE, busy[28:32])[1][3])

    assert abs(lean(0.15)) < 0.01  # stands much like the other: takes over the other's stance
    assert abs(lean(0.8) - np.sin(0.4)) < 0.02  # is bent far: stays so

"""Motions that begin or end in a given pose."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.body import stitch
from avatargpt.body.edit import frame_of, posed
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate


def clip(frames: int, bend: float) -> Motion:
    """Somebody who goes forward with an arm bent so far."""
    q = np.broadcast_to(rot.identity((22,)), (frames, 22, 4)).copy()
    q[:, 18] = rot.from_axis_angle(np.tile([bend, 0.0, 0.0], (frames, 1)))
    t = np.arange(frames) / 20
    return Motion(q, np.stack([0 * t, 0 * t + 0.95, t], -1), caption="goes")


def between(start: Motion, end: Motion, seconds: float) -> Motion:
    return concatenate([start, stitch.interpolated(start, end, round(seconds * 20)), end])


def test_the_first_and_the_last_frame_are_the_poses() -> None:
    walk, bent = clip(60, 0.0), clip(30, 1.2)
    pose = frame_of(bent, 0.5, "x")
    for start, end, at in ((pose, None, 0), (None, pose, -1)):
        made = posed(walk, between, start, end)
        assert len(made) == len(walk) and made.caption == "goes"
        np.testing.assert_allclose(made.rotations[at, 18], pose.rotations[0, 18], atol=1e-5)
        np.testing.assert_allclose(made.rotations[30], walk.rotations[30], atol=1e-5)


def test_what_cannot_be() -> None:
    pose = clip(1, 1.0)
    with pytest.raises(UserError, match=r"0\.5 s with a pose.*accepted: 1\.2 s"):
        posed(clip(10, 0.0), between, pose, None)
    with pytest.raises(UserError, match="second 9; accepted 0 to 3"):
        frame_of(clip(60, 0.0), 9.0, "walk.npz:9")

"""Chains of clips at matching poses."""

from __future__ import annotations

from typing import Any

import numpy as np

from instruct_data.synth.composing import Sequencer, stretch
from vqvae.motion import Motion


def lowering(made: Any, frames: int = 40, up: bool = False) -> Motion:
    """Sinks from standing to sitting height with bending hips, or rises again."""
    t = np.linspace(0, 1, frames)
    t = t * t * (3 - 2 * t)
    t = 1 - t if up else t
    return Motion(made.hanging(frames), np.stack([0 * t, 0.93 - 0.4 * t, 0 * t], -1))


def test_what_ends_low_is_followed_by_what_begins_low(made: Any) -> None:
    clips = [
        made.clip("sit", lowering(made), "sit_down", ["a person sits down"]),
        made.clip("rise", lowering(made, up=True), "stand_up", ["a person stands up"]),
        made.clip("wave", made.waving(), "wave_left_hand", ["a person waves the left hand"]),
    ]
    sequencer = Sequencer(clips, [c.action for c in clips], [False] * 3, 0.5)
    assert np.isinf(sequencer.costs(0, False)[:, [0, 2]]).all() and np.isfinite(sequencer.costs(0, False)[:, 1]).all()
    rng = np.random.default_rng(0)
    anything = np.ones(3, bool)
    found = set()
    for _ in range(60):
        chain = sequencer.draw(rng, [anything] * 3, 240)
        if chain is None:
            continue
        found.add(chain.items)
        for a, b in zip(chain.items, chain.items[1:], strict=False):
            assert (a, b) in {(0, 1), (1, 0), (1, 2), (2, 0)}  # after the wave somebody stands
        assert np.abs(np.diff(chain.motion.root[:, 1])).max() < 0.05
        assert chain.starts[0] == 0 and list(chain.starts) == sorted(chain.starts)
    assert (0, 1, 2) in found and (2, 0, 1) in found


def test_places_can_be_restricted_and_lengths_are_kept(made: Any) -> None:
    clips = [made.clip("walk", made.walking(100), "walk", ["x"]), made.clip("wave", made.waving(), "wave", ["x"])]
    sequencer = Sequencer(clips, ["walk", "wave"], [True, False], 0.0)
    rng = np.random.default_rng(1)
    first, second = np.array([True, False]), np.array([False, True])
    lengths = []
    for _ in range(20):
        chain = sequencer.draw(rng, [first, second], 160)
        if chain is not None:
            assert chain.items == (0, 1) and len(chain.motion) <= 160
            lengths.append(chain.starts[1])
    assert lengths and min(lengths) >= 20 and max(lengths) <= 90  # a stretch of the walk
    assert sequencer.draw(rng, [first, second], 80) is None


def test_a_stretch_begins_where_the_clip_before_ended(made: Any) -> None:
    walk = made.walking(100, period=22)
    before = made.walking(50, period=22)  # ends at frame 49, the phase of frames 5 and 27
    part = stretch(walk, before, np.random.default_rng(0))
    phase = min(
        range(60), key=lambda i: float(np.abs(part.rotations[:20] - walk.rotations[i : i + 20]).max())
    )  # fmt: skip
    assert phase % 22 == 5

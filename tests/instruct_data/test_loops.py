"""Cyclic clips closed and clips_made longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instruct_data.sources.quantised import read_quantised
from instruct_data.synth.loops import Cycle, extend, find_cycle, looped_clips
from instruct_data.text.captions import CaptionBank
from vqvae.errors import UserError
from vqvae.motion import Motion


def test_the_cycle_is_whole_periods(made: Any) -> None:
    cycle = find_cycle(made.walking(period=22))
    assert cycle is not None
    assert (cycle.stop - cycle.start) % 22 == 0 and cycle.cost < 1e-3 and abs(cycle.turn) < 1e-3


def test_nothing_comes_back_or_nothing_moves(made: Any) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(60)
    q = made.hanging(60)
    root = np.stack([0 * t, 0.9 - 0.012 * t, 0.0 * t], -1)  # sinks all the time
    assert find_cycle(Motion(q, root)) is None
    assert find_cycle(made.walking(10)) is None
    still = Motion(made.hanging(60), np.tile([0, 0.93, 0], (60, 1)) + rng.normal(0, 1e-4, (60, 3)))
    walk = made.walking(44)
    mixed = Motion(np.concatenate([still.rotations, walk.rotations]), np.concatenate([still.root, walk.root]))
    cycle = find_cycle(mixed)
    assert cycle is None or cycle.start >= 50  # standing still is no cycle of a walk


def test_extended_walk_is_the_longer_walk(made: Any) -> None:
    short, long = made.walking(70), made.walking(400)
    cycle = find_cycle(short)
    assert cycle is not None
    out = extend(short, cycle, 9.0)
    assert 180 <= len(out) <= 180 + cycle.stop - cycle.start
    np.testing.assert_allclose(out.joints, long.joints[: len(out)], atol=0.03)
    assert extend(short, cycle, 1.0) is short
    with pytest.raises(UserError, match="loop"):
        extend(short, Cycle(10, 400, 0.0, 0.0), 9.0)


def test_looped_clips_of_the_corpus(shared: Path) -> None:
    bank = CaptionBank(shared / "data/text/body_captions.json")
    clips = [c for c in read_quantised(shared / "data/body", "train") if c.action in ("run", "walk-back")][::6]
    clips_made = list(looped_clips(clips, bank, {"run", "walk_back"}, 8, seed=1, longest=200))
    lengths = {c.id: len(c.load()) for c in clips}
    for c in clips_made:
        motion = c.load()
        assert 1.5 * lengths[c.extra["parts"][0]] <= len(motion) <= 200
        turned = np.degrees(abs(motion.heading[-10:].mean() - motion.heading[:10].mean()))
        assert turned < 45 and c.source == "looped"
        for text in c.captions:
            said = [w for w in text.split() if w.isdigit()]
            assert not said or abs(float(said[0]) - motion.seconds) <= 0.25

"""Clips made of clips: chains at matching poses, cycles made longer, styles, speeds and postures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instruct_data.cycles import Cycle, extend, find_cycle
from instruct_data.factory.synth.loops import Sequencer, loop_cyclic_clips, stretch
from instruct_data.factory.synth.styling import (
    StyleChange,
    lean_body,
    learn_styles,
    make_styled_clips,
    put_style,
    stretch_time,
    with_amplitude,
)
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.sources.quantised import read_quantised
from tests.instruct_data.synthetic import J, clip_of, hanging, walking, waving
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion


def lowering(frames: int = 40, up: bool = False) -> Motion:
    """Sinks from standing to sitting height with bending hips, or rises again."""
    t = np.linspace(0, 1, frames)
    t = t * t * (3 - 2 * t)
    t = 1 - t if up else t
    return Motion(hanging(frames), np.stack([0 * t, 0.93 - 0.4 * t, 0 * t], -1))


def test_what_ends_low_is_followed_by_what_begins_low() -> None:
    clips = [
        clip_of("sit", lowering(), "sit_down", ["a person sits down"]),
        clip_of("rise", lowering(up=True), "stand_up", ["a person stands up"]),
        clip_of("wave", waving(), "wave_left_hand", ["a person waves the left hand"]),
    ]
    sequencer = Sequencer(clips, [c.action for c in clips], [False] * 3, 0.5)
    assert np.isinf(sequencer.costs(0, False)[:, [0, 2]]).all() and np.isfinite(sequencer.costs(0, False)[:, 1]).all()
    rng = np.random.default_rng(0)
    anything = np.ones(3, bool)
    orders = set()
    for _ in range(60):
        chain = sequencer.draw(rng, [anything] * 3, 240)
        if chain is None:
            continue
        orders.add(chain.items)
        for a, b in zip(chain.items, chain.items[1:], strict=False):
            assert (a, b) in {(0, 1), (1, 0), (1, 2), (2, 0)}  # after the wave somebody stands
        assert np.abs(np.diff(chain.motion.root[:, 1])).max() < 0.05
        assert chain.starts[0] == 0 and list(chain.starts) == sorted(chain.starts)
    assert (0, 1, 2) in orders and (2, 0, 1) in orders


def test_places_can_be_restricted_and_lengths_are_kept() -> None:
    clips = [clip_of("walk", walking(100), "walk", ["x"]), clip_of("wave", waving(), "wave", ["x"])]
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


def test_a_stretch_begins_where_the_clip_before_ended() -> None:
    walk = walking(100, period=22)
    before = walking(50, period=22)  # ends at frame 49, the phase of frames 5 and 27
    part = stretch(walk, before, np.random.default_rng(0))
    phase = min(
        range(60), key=lambda i: float(np.abs(part.rotations[:20] - walk.rotations[i : i + 20]).max())
    )  # fmt: skip
    assert phase % 22 == 5


def test_the_cycle_is_whole_periods() -> None:
    cycle = find_cycle(walking(period=22))
    assert cycle is not None
    assert (cycle.stop - cycle.start) % 22 == 0 and cycle.cost < 1e-3 and abs(cycle.turn) < 1e-3


def test_nothing_comes_back_or_nothing_moves() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(60)
    q = hanging(60)
    root = np.stack([0 * t, 0.9 - 0.012 * t, 0.0 * t], -1)  # sinks all the time
    assert find_cycle(Motion(q, root)) is None
    assert find_cycle(walking(10)) is None
    still = Motion(hanging(60), np.tile([0, 0.93, 0], (60, 1)) + rng.normal(0, 1e-4, (60, 3)))
    walk = walking(44)
    mixed = Motion(np.concatenate([still.rotations, walk.rotations]), np.concatenate([still.root, walk.root]))
    cycle = find_cycle(mixed)
    assert cycle is None or cycle.start >= 50  # standing still is no cycle of a walk


def test_extended_walk_is_the_longer_walk() -> None:
    short, long = walking(70), walking(400)
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
    clips_made = list(loop_cyclic_clips(clips, bank, {"run", "walk_back"}, 8, seed=1, longest=200))
    lengths = {c.id: len(c.load()) for c in clips}
    for c in clips_made:
        motion = c.load()
        assert 1.5 * lengths[c.extra["parts"][0]] <= len(motion) <= 200
        turned = np.degrees(abs(motion.heading[-10:].mean() - motion.heading[:10].mean()))
        assert turned < 45 and c.source == "looped"
        for text in c.captions:
            numbers = [w for w in text.split() if w.isdigit()]
            assert not numbers or abs(float(numbers[0]) - motion.seconds) <= 0.25


LEGS = [0, 1, 2, 4, 5, 7, 8, 10, 11]


def test_retimed() -> None:
    walk = walking(80)
    slow = stretch_time(walk, 1.5)
    assert len(slow) == 120 and slow.fps == 20
    np.testing.assert_allclose(slow.root[90], walk.root[60], atol=1e-5)
    with pytest.raises(UserError, match="times 9"):
        stretch_time(walk, 9)


def test_amplitude_of_the_arms_alone() -> None:
    walk = walking(88, arms=0.4)

    def reach(m: Any) -> float:
        return float(np.ptp((m.joints[:, J("l_wrist")] - m.joints[:, J("l_shoulder")])[:, 2]))

    still, wide = with_amplitude(walk, ["left"], 0.0), with_amplitude(walk, ["left"], 2.0)
    assert reach(still) < 0.35 * reach(walk) and reach(wide) > 1.4 * reach(walk)  # the chest's own turning stays
    unchanged = [j for j in range(22) if j not in (16, 18, 20)]
    np.testing.assert_allclose(wide.rotations[:, unchanged], walk.rotations[:, unchanged], atol=1e-6)


def test_leaning_and_looking() -> None:
    walk = walking(60)
    bent = lean_body(walk, forward=20, head=(0, 50, 0))
    np.testing.assert_array_equal(bent.rotations[:, LEGS], walk.rotations[:, LEGS])
    _, before = walk.skeleton.fk_full(walk.rotations, walk.root)
    _, after = bent.skeleton.fk_full(bent.rotations, bent.root)
    pitch = np.degrees(np.arcsin(after[0, 9, 2, 1])) - np.degrees(np.arcsin(before[0, 9, 2, 1]))
    assert 17 < pitch < 21
    looks = np.degrees(np.arctan2(after[0, 15, 0, 2], after[0, 15, 2, 2]))
    assert 40 < looks < 60  # +X is the left
    left = lean_body(walk, left=15)
    shift = (left.joints[0, 12] - walk.joints[0, 12])[0]
    assert shift > 0.05


def test_a_style_is_learnt_from_pairs_and_put_on_another_action() -> None:
    walk = walking(88)
    stooped = stretch_time(lean_body(walk, forward=30), 1.25)
    clips = [clip_of("a", walk, "walk", ["x"], "normal"), clip_of("b", stooped, "walk", ["x"], "sad")]
    styles = learn_styles(clips)
    assert list(styles) == ["sad"] and styles["sad"].tempo <= 0.9
    np.testing.assert_allclose(np.degrees(styles["sad"].offset[[3, 6, 9], 0]), 10, atol=1)
    wave = waving()
    out = put_style(wave, styles["sad"])
    assert len(out) > 1.05 * len(wave)
    _, turned = out.skeleton.fk_full(out.rotations, out.root)
    assert 25 < np.degrees(np.arcsin(turned[0, 9, 2, 1])) < 34
    np.testing.assert_allclose(out.rotations[0, LEGS], wave.rotations[0, LEGS], atol=1e-6)
    lying = wave.moved(0.0, np.zeros(3))
    q = lying.rotations.astype(np.float64)
    q[:, 0] = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))
    flat = type(lying)(q, lying.root)
    unchanged = put_style(flat, StyleChange("sad", styles["sad"].offset, 1.0, 1.0))
    np.testing.assert_allclose(unchanged.rotations, flat.rotations, atol=1e-5)  # nobody stoops lying down
    assert learn_styles(clips[:1]) == {}


def test_styled_clips_of_the_corpus(shared: Path) -> None:
    bank = CaptionBank(shared / "data/text/body_captions.json")
    clips = [c for c in read_quantised(shared / "data/body", "train") if c.source == "bandai1"]
    plain = [c for c in read_quantised(shared / "data/body", "train") if c.action == "wave-left-hand"][::8]
    varied = list(make_styled_clips([*clips, *plain], bank, 25, seed=2))
    assert [c.captions for c in varied] == [c.captions for c in make_styled_clips([*clips, *plain], bank, 25, seed=2)]
    by_name = {c.id: c for c in (*clips, *plain)}
    recorded = {(c.action, c.style) for c in by_name.values()}
    for c in varied:
        parent = by_name[c.extra["parts"][0]]
        assert c.source == "styled" and c.captions
        if c.style:
            assert (parent.action, c.style) not in recorded
        elif c.action.endswith("+slowly"):
            assert len(c.load()) > 1.3 * len(parent.load())
        elif c.action.endswith("+quickly"):
            assert len(c.load()) < 0.75 * len(parent.load())
        if c.action.endswith("_left"):
            assert all("left" in t for t in c.captions)

"""Variations of clips: what changes, what does not, and the words for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instruct_data.sources.quantised import read_quantised
from instruct_data.synth.styling import Style, leaned, learn_styles, retimed, styled, styled_clips, with_amplitude
from instruct_data.text.captions import CaptionBank
from vqvae import rotations as rot
from vqvae.errors import UserError

LEGS = [0, 1, 2, 4, 5, 7, 8, 10, 11]


def test_retimed(made: Any) -> None:
    walk = made.walking(80)
    slow = retimed(walk, 1.5)
    assert len(slow) == 120 and slow.fps == 20
    np.testing.assert_allclose(slow.root[90], walk.root[60], atol=1e-5)
    with pytest.raises(UserError, match="times 9"):
        retimed(walk, 9)


def test_amplitude_of_the_arms_alone(made: Any) -> None:
    walk = made.walking(88, arms=0.4)

    def reach(m: Any) -> float:
        return float(np.ptp((m.joints[:, made.J("l_wrist")] - m.joints[:, made.J("l_shoulder")])[:, 2]))

    still, wide = with_amplitude(walk, ["left"], 0.0), with_amplitude(walk, ["left"], 2.0)
    assert reach(still) < 0.35 * reach(walk) and reach(wide) > 1.4 * reach(walk)  # the chest's own turning stays
    others = [j for j in range(22) if j not in (16, 18, 20)]
    np.testing.assert_allclose(wide.rotations[:, others], walk.rotations[:, others], atol=1e-6)


def test_leaning_and_looking(made: Any) -> None:
    walk = made.walking(60)
    bent = leaned(walk, forward=20, head=(0, 50, 0))
    np.testing.assert_array_equal(bent.rotations[:, LEGS], walk.rotations[:, LEGS])
    _, before = walk.skeleton.fk_full(walk.rotations, walk.root)
    _, after = bent.skeleton.fk_full(bent.rotations, bent.root)
    pitch = np.degrees(np.arcsin(after[0, 9, 2, 1])) - np.degrees(np.arcsin(before[0, 9, 2, 1]))
    assert 17 < pitch < 21
    looks = np.degrees(np.arctan2(after[0, 15, 0, 2], after[0, 15, 2, 2]))
    assert 40 < looks < 60  # +X is the left
    left = leaned(walk, left=15)
    shift = (left.joints[0, 12] - walk.joints[0, 12])[0]
    assert shift > 0.05


def test_a_style_is_learnt_from_pairs_and_put_on_another_action(made: Any) -> None:
    walk = made.walking(88)
    stooped = retimed(leaned(walk, forward=30), 1.25)
    clips = [made.clip("a", walk, "walk", ["x"], "normal"), made.clip("b", stooped, "walk", ["x"], "sad")]
    styles = learn_styles(clips)
    assert list(styles) == ["sad"] and styles["sad"].tempo <= 0.9
    np.testing.assert_allclose(np.degrees(styles["sad"].offset[[3, 6, 9], 0]), 10, atol=1)
    wave = made.waving()
    out = styled(wave, styles["sad"])
    assert len(out) > 1.05 * len(wave)
    _, turned = out.skeleton.fk_full(out.rotations, out.root)
    assert 25 < np.degrees(np.arcsin(turned[0, 9, 2, 1])) < 34
    np.testing.assert_allclose(out.rotations[0, LEGS], wave.rotations[0, LEGS], atol=1e-6)
    lying = wave.moved(0.0, np.zeros(3))
    q = lying.rotations.astype(np.float64)
    q[:, 0] = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))
    flat = type(lying)(q, lying.root)
    unchanged = styled(flat, Style("sad", styles["sad"].offset, 1.0, 1.0))
    np.testing.assert_allclose(unchanged.rotations, flat.rotations, atol=1e-5)  # nobody stoops lying down
    assert learn_styles(clips[:1]) == {}


def test_styled_clips_of_the_corpus(shared: Path) -> None:
    bank = CaptionBank(shared / "data/text/body_captions.json")
    clips = [c for c in read_quantised(shared / "data/body", "train") if c.source == "bandai1"]
    plain = [c for c in read_quantised(shared / "data/body", "train") if c.action == "wave-left-hand"][::8]
    made = list(styled_clips([*clips, *plain], bank, 25, seed=2))
    assert [c.captions for c in made] == [c.captions for c in styled_clips([*clips, *plain], bank, 25, seed=2)]
    known = {c.id: c for c in (*clips, *plain)}
    recorded = {(c.action, c.style) for c in known.values()}
    for c in made:
        parent = known[c.extra["parts"][0]]
        assert c.source == "styled" and c.captions
        if c.style:
            assert (parent.action, c.style) not in recorded
        elif c.action.endswith("+slowly"):
            assert len(c.load()) > 1.3 * len(parent.load())
        elif c.action.endswith("+quickly"):
            assert len(c.load()) < 0.75 * len(parent.load())
        if c.action.endswith("_left"):
            assert all("left" in t for t in c.captions)

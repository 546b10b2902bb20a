"""Two actions at once: what comes from which clip, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instruct_data.sources.quantised import read_quantised
from instruct_data.synth.layered import layered_clips
from instruct_data.synth.layering import active_span, activity, layer
from instruct_data.synth.phrases import combine, mirrored
from instruct_data.synth.stances import idle_frame, idle_stances
from instruct_data.text.captions import CaptionBank
from instruct_data.text.english import side_of, split
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

LEGS = [0, 1, 2, 4, 5, 7, 8, 10, 11]


def chest(m: Motion) -> np.ndarray:
    return m.skeleton.fk_full(m.rotations, m.root)[1][:, 9]


def test_activity_is_the_arm_that_waves(made: Any) -> None:
    acts = activity(made.waving(side="right"))
    assert acts.arms() == ("right",) and not acts.left.any()
    assert not acts.right[:12].any() and acts.right[28:35].all()
    first, last = active_span(made.waving(side="right"), ("right",), margin=0.0)
    assert 14 <= first <= 20 and 40 <= last <= 48
    with pytest.raises(UserError, match="nothing"):
        active_span(made.walking(), ("head",))


def test_legs_stay_and_the_arm_comes(made: Any) -> None:
    lower, upper = made.walking(), made.waving()
    out = layer(lower, upper, ("left",), 20)
    assert len(out) == len(lower)
    np.testing.assert_array_equal(out.rotations[:, LEGS], lower.rotations[:, LEGS])
    np.testing.assert_array_equal(out.root, lower.root)
    middle = slice(48, 52)  # in the midst of the wave
    arm = [made.J("l_shoulder"), made.J("l_elbow"), made.J("l_wrist")]
    np.testing.assert_allclose(out.rotations[middle][:, arm], upper.rotations[28:32][:, arm], atol=1e-5)
    right = made.J("r_shoulder")
    np.testing.assert_allclose(out.rotations[:, right], lower.rotations[:, right], atol=1e-5)
    # before and after, the left arm swings with the steps
    np.testing.assert_allclose(out.rotations[:12], lower.rotations[:12], atol=1e-5)
    np.testing.assert_allclose(out.rotations[90:], lower.rotations[90:], atol=1e-5)


def test_chest_keeps_the_gait_and_takes_the_lean_of_the_wave_in_walking_direction(made: Any) -> None:
    upper = made.waving()
    for yaw in (0.0, 1.3):
        lower = made.walking().moved(yaw, np.zeros(3))
        out = layer(lower, upper.moved(-2.0, np.zeros(3)), ("left",), 20)
        added = rot.from_matrix(chest(out)[50] @ chest(lower)[50].T)
        expected = rot.rotate(rot.about_y(yaw), np.array([0, 0, 0.2]))
        np.testing.assert_allclose(rot.to_axis_angle(added), expected, atol=0.03)
        share = [rot.angle_between(out.rotations[50, j], lower.rotations[50, j]) for j in (3, 6, 9)]
        np.testing.assert_allclose(share, 0.2 / 3, atol=0.02)  # spread over the spine


def test_no_jerk_at_the_fades(made: Any) -> None:
    def jerk(m: Motion) -> float:
        return float(np.abs(np.diff(m.joints.astype(float), 3, axis=0)).sum(-1).max())

    lower, upper = made.walking(), made.waving()
    hard = lower.rotations.copy()
    hard[20:80, [13, 16, 18, 20]] = upper.rotations[:, [13, 16, 18, 20]]
    mixed = jerk(layer(lower, upper, ("left",), 20))
    assert mixed < 1.2 * max(jerk(lower), jerk(upper)) < jerk(Motion(hard, lower.root))


def test_mistakes(made: Any) -> None:
    with pytest.raises(UserError, match="parts tail"):
        layer(made.walking(), made.waving(), ("tail",))
    with pytest.raises(UserError, match="start 100"):
        layer(made.walking(), made.waving(), ("left",), 100)
    with pytest.raises(UserError, match="30 fps"):
        layer(made.walking(), made.waving().resampled(30), ("left",))


def test_sentences_say_both() -> None:
    a, b = split("an old man walks slowly"), split("a person waves the left hand")
    assert a and b
    rng = np.random.default_rng(0)
    told = {combine(a, b, rng) for _ in range(60)}
    assert "an old man walks slowly while waving the left hand" in told
    assert "while walking slowly, an old man waves the left hand" in told
    assert len(told) >= 8
    for text in told:
        assert "old man" in text and "left hand" in text and ("walk" in text) and side_of(text) == "left", text


def test_idle_frame_is_standing(made: Any) -> None:
    frame = idle_frame(made.waving())
    assert frame is not None and not 16 < frame < 44
    assert idle_frame(made.walking()) is None
    low = Motion(made.hanging(10), np.tile([0, 0.5, 0], (10, 1)))
    assert idle_frame(low) is None
    stances = idle_stances([made.clip("a", made.waving(), "wave", []), made.clip("b", made.walking(), "walk", [])], 5)
    assert stances.shape == (1, 22, 4)


def test_layered_clips_of_the_corpus(shared: Path) -> None:
    bank = CaptionBank(shared / "data/text/body_captions.json")
    wanted = {"walk", "run", "wave-left-hand", "raise-up-right-hand"}
    clips = [c for c in read_quantised(shared / "data/body", "train") if c.action in wanted][::12]
    clips_made = list(layered_clips(clips, bank, 12, seed=3))
    again = list(layered_clips(clips, bank, 12, seed=3))
    assert [c.captions for c in clips_made] == [c.captions for c in again]
    assert all(np.array_equal(a.load().rotations, b.load().rotations) for a, b in zip(clips_made, again, strict=True))
    for c in clips_made:
        acts = activity(c.load())
        lower, upper = c.action.split("+")
        side = side_of(upper.replace("_", " "))
        assert c.source == "layered" and c.licence == "as its sources" and side in ("left", "right")
        assert getattr(acts, side).mean() > 0.1, (c.action, c.captions)
        for text in c.captions:
            told = side_of(text)
            assert told in (side, "both") or told == side_of(lower.replace("_", " ")), text


def test_mirrored_in_every_respect(made: Any) -> None:
    one = made.clip("a", made.waving(), "walk_left+wave_left_hand", ["a person waves the left hand"])
    one.extra["side"] = "left"
    other = mirrored(one)
    assert other.action == "walk_right+wave_right_hand" and other.extra["side"] == "right"
    assert other.captions == ["a person waves the right hand"] and one.extra["side"] == "left"
    assert activity(other.load()).arms() == ("right",)


def test_no_layered_clips_need_no_clips() -> None:
    bank: Any = None  # which is not looked at
    assert list(layered_clips([], bank, 0)) == []
    with pytest.raises(UserError, match="no clip whose arms or head"):
        list(layered_clips([], bank, 1))

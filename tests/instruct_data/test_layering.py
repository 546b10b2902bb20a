"""Clips put together: one over another, and one after another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instruct_data.factory.synth.layered import layer_clips
from instruct_data.factory.synth.phrases import combine, mirror_clip
from instruct_data.factory.synth.stances import idle_frame, idle_stances
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.joining import join_best, join_motions, suits
from instruct_data.layering import HEAD, SPINE, active_span, activity, bend, chain, find_stance, layer, turns
from instruct_data.sources.quantised import read_quantised
from instruct_data.text.english import side_of, split
from tests.instruct_data.synthetic import J, clip_of, hanging, walking, waving
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import SMPL22

LEGS = [0, 1, 2, 4, 5, 7, 8, 10, 11]


def chest(m: Motion) -> np.ndarray:
    return m.skeleton.fk_full(m.rotations, m.root)[1][:, 9]


def test_activity_is_the_arm_that_waves() -> None:
    acts = activity(waving(side="right"))
    assert acts.arms() == ("right",) and not acts.left.any()
    assert not acts.right[:12].any() and acts.right[28:35].all()
    first, last = active_span(waving(side="right"), ("right",))
    assert 7 <= first <= 13 and 47 <= last <= 55
    with pytest.raises(UserError, match="nothing"):
        active_span(walking(), ("head",))


def test_legs_stay_and_the_arm_comes() -> None:
    lower, upper = walking(), waving()
    out = layer(lower, upper, ("left",), 20)
    assert len(out) == len(lower)
    np.testing.assert_array_equal(out.rotations[:, LEGS], lower.rotations[:, LEGS])
    np.testing.assert_array_equal(out.root, lower.root)
    middle = slice(48, 52)  # in the midst of the wave
    arm = [J("l_shoulder"), J("l_elbow"), J("l_wrist")]
    np.testing.assert_allclose(out.rotations[middle][:, arm], upper.rotations[28:32][:, arm], atol=1e-5)
    right = J("r_shoulder")
    np.testing.assert_allclose(out.rotations[:, right], lower.rotations[:, right], atol=1e-5)
    # before and after, the left arm swings with the steps
    np.testing.assert_allclose(out.rotations[:12], lower.rotations[:12], atol=1e-5)
    np.testing.assert_allclose(out.rotations[90:], lower.rotations[90:], atol=1e-5)


def test_chest_keeps_the_gait_and_takes_the_lean_of_the_wave_in_walking_direction() -> None:
    upper = waving()
    for yaw in (0.0, 1.3):
        lower = walking().moved(yaw, np.zeros(3))
        out = layer(lower, upper.moved(-2.0, np.zeros(3)), ("left",), 20)
        added = rot.from_matrix(chest(out)[50] @ chest(lower)[50].T)
        expected = rot.rotate(rot.about_y(yaw), np.array([0, 0, 0.2]))
        np.testing.assert_allclose(rot.to_axis_angle(added), expected, atol=0.03)
        share = [rot.angle_between(out.rotations[50, j], lower.rotations[50, j]) for j in (3, 6, 9)]
        np.testing.assert_allclose(share, 0.2 / 3, atol=0.02)  # spread over the spine


def test_no_jerk_at_the_fades() -> None:
    def jerk(m: Motion) -> float:
        return float(np.abs(np.diff(m.joints.astype(float), 3, axis=0)).sum(-1).max())

    lower, upper = walking(), waving()
    hard = lower.rotations.copy()
    hard[20:80, [13, 16, 18, 20]] = upper.rotations[:, [13, 16, 18, 20]]
    mixed = jerk(layer(lower, upper, ("left",), 20))
    assert mixed < 1.2 * max(jerk(lower), jerk(upper)) < jerk(Motion(hard, lower.root))


def test_mistakes() -> None:
    cases = ((waving(), "tail", 0, "parts tail"), (waving(), "left", 100, "start 100"),
             (waving().resampled(30), "left", 0, "30 fps"))  # fmt: skip
    for upper, part, start, message in cases:
        with pytest.raises(UserError, match=message):
            layer(walking(), upper, (part,), start)


def test_sentences_say_both() -> None:
    a, b = split("an old man walks slowly"), split("a person waves the left hand")
    assert a and b
    rng = np.random.default_rng(0)
    texts = {combine(a, b, rng) for _ in range(60)}
    assert "an old man walks slowly while waving the left hand" in texts
    assert "while walking slowly, an old man waves the left hand" in texts
    assert len(texts) >= 8
    for text in texts:
        assert "old man" in text and "left hand" in text and ("walk" in text) and side_of(text) == "left", text


def test_idle_frame_is_standing() -> None:
    frame = idle_frame(waving())
    assert frame is not None and not 16 < frame < 44
    assert idle_frame(walking()) is None
    low = Motion(hanging(10), np.tile([0, 0.5, 0], (10, 1)))
    assert idle_frame(low) is None
    stances = idle_stances([clip_of("a", waving(), "wave", []), clip_of("b", walking(), "walk", [])], 5)
    assert stances.shape == (1, 22, 4)


def test_layered_clips_of_the_corpus(shared: Path) -> None:
    bank = CaptionBank(shared / "data/text/body_captions.json")
    actions = {"walk", "run", "wave-left-hand", "raise-up-right-hand"}
    clips = [c for c in read_quantised(shared / "data/body", "train") if c.action in actions][::12]
    clips_made = list(layer_clips(clips, bank, 12, seed=3))
    for a, b in zip(clips_made, layer_clips(clips, bank, 12, seed=3), strict=True):
        assert a.captions == b.captions and np.array_equal(a.load().rotations, b.load().rotations)
    for c in clips_made:
        acts = activity(c.load())
        lower, upper = c.action.split("+")
        side = side_of(upper.replace("_", " "))
        assert c.source == "layered" and c.licence == "as its sources" and side in ("left", "right")
        assert getattr(acts, side).mean() > 0.1, (c.action, c.captions)
        for text in c.captions:
            texts = side_of(text)
            assert texts in (side, "both") or texts == side_of(lower.replace("_", " ")), text


def test_mirrored_in_every_respect() -> None:
    clip = clip_of("a", waving(), "walk_left+wave_left_hand", ["a person waves the left hand"])
    clip.extra["side"] = "left"
    mirror_image = mirror_clip(clip)
    assert mirror_image.action == "walk_right+wave_right_hand" and mirror_image.extra["side"] == "right"
    assert mirror_image.captions == ["a person waves the right hand"] and clip.extra["side"] == "left"
    assert activity(mirror_image.load()).arms() == ("right",)


def test_no_layered_clips_need_no_clips() -> None:
    bank: Any = None  # which is not looked at
    assert list(layer_clips([], bank, 0)) == []
    with pytest.raises(UserError, match="no clip whose arms or head"):
        list(layer_clips([], bank, 1))


def bowing(when: int, side: str = "left", tilt: float = 0.0) -> Motion:
    """Waves, and bends forward by 0.3 radians around frame `when`; the chest is tilted besides."""
    motion = waving(side=side, quiet=12)
    q = motion.rotations.astype(np.float64)
    bump = 0.1 * np.exp(-(((np.arange(len(q)) - when) / 6) ** 2))
    for j in SPINE:
        q[:, j] = rot.from_axis_angle(np.outer(bump, [1.0, 0, 0]) + [0, 0, tilt / 3])
    return replace(motion, rotations=q)


def forward(motion: Motion, joints: tuple[int, ...] = SPINE) -> np.ndarray:
    """(T,) how far a part is bent forward, radians."""
    up = rot.rotate(chain(motion.rotations.astype(np.float64), joints), np.array([0.0, 1, 0]))
    return np.arctan2(up[:, 2], up[:, 1])


def test_standing_and_stepping() -> None:
    assert find_stance(waving()).min() > 0.99 and find_stance(walking()).max() < 0.01


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_standing_body_makes_room_for_the_arms_that_come(side: str) -> None:
    lower, upper = bowing(22, side), bowing(36)
    out = forward(layer(lower, upper, ("left",), 0))
    assert forward(lower)[22] > 0.28 and out[36] > 0.28
    # the bow of an arm that is replaced goes with it; the other arm's stays
    assert out[22] < 0.06 if side == "left" else out[22] > 0.28


def test_steps_keep_their_posture() -> None:
    lower = walking()
    q = lower.rotations.astype(np.float64)
    q[:, 3] = rot.from_axis_angle(np.array([0.2, 0, 0]))  # walks bent
    lower = replace(lower, rotations=q)
    out = layer(lower, bowing(30), ("left",), 10)
    assert np.allclose(forward(out)[40] - forward(lower)[40], 0.3, atol=0.05)
    # the sway of the chest with the steps is all there
    assert np.allclose(forward(out)[72:], forward(lower)[72:], atol=1e-3)
    np.testing.assert_array_equal(out.rotations[80:], lower.rotations[80:])


def test_what_a_stepping_upper_clip_does_with_its_chest_stays_with_its_steps() -> None:
    upper = bowing(30)
    ahead = replace(upper, root=upper.root + np.outer(np.arange(len(upper)) * 0.06, [0, 0, 1.0]))
    lower = walking()
    out = layer(lower, ahead, ("left",), 10)
    assert np.allclose(forward(out), forward(lower), atol=1e-6)


def test_the_head_comes_with_the_chest() -> None:
    upper = bowing(30)
    q = upper.rotations.astype(np.float64)
    level = rot.conjugate(chain(q, SPINE))  # the gaze stays where it was
    q[:, 12], q[:, 15] = rot.slerp(np.broadcast_to(rot.identity(()), level.shape), level, 0.5), rot.identity(())
    q[:, 15] = rot.multiply(rot.conjugate(q[:, 12]), level)
    out = layer(walking(), replace(upper, rotations=q), ("left",), 10)
    assert forward(out)[40] > 0.28
    assert np.abs(forward(out, (*SPINE, *HEAD))).max() < 0.02


def test_the_spine_bends_evenly_as_recordings_do() -> None:
    out = layer(bowing(22, tilt=0.1), bowing(36, tilt=-0.1), ("left",), 0).rotations
    assert np.allclose(out[:, 3], out[:, 6], atol=1e-5) and np.allclose(out[:, 6], out[:, 9], atol=1e-5)
    goal = rot.from_axis_angle(np.array([[0.3, 0.1, -0.4]]))
    bent = bend(hanging(1), SPINE, rot.about_y(np.array([0.7])), goal)
    total = rot.multiply(rot.multiply(bent[:, 0], bent[:, 1]), bent[:, 2])
    assert rot.angle_between(rot.multiply(rot.about_y(np.array([0.7])), total), goal)[0] < 1e-6


def test_somebody_bent_is_not_straightened() -> None:
    def lean(tilt: float) -> float:
        lower = bowing(200, tilt=tilt)  # never bows
        out = layer(lower, bowing(200), ("left",), 0)
        busy = np.zeros(len(out), bool)
        return float(turns(out.slice(28, 32), SPINE, busy[28:32])[1][3])

    assert abs(lean(0.15)) < 0.01  # stands much like the other: takes over the other's stance
    assert abs(lean(0.8) - np.sin(0.4)) < 0.02  # is bent far: stays so


def swing(frames=40, phase=0.0, speed=1.2, yaw=0.0, joint="l_shoulder", amplitude=0.8) -> Motion:
    """Walks along +Z at `speed` m/s while one joint swings."""
    t = np.arange(frames) / 20
    q = rot.identity((frames, 22))
    q[:, SMPL22.index(joint)] = rot.from_axis_angle(np.stack([0 * t, 0 * t, amplitude * np.sin(4 * t + phase)], -1))
    root = np.stack([0 * t, 0 * t + 0.93, speed * t], -1)
    return Motion(q, root).moved(yaw, np.array([3.0, 0, -2.0]))


def jerk(m: Motion) -> np.ndarray:
    return np.abs(np.diff(m.joints.astype(float), 3, axis=0)).sum(-1).max(-1)


def test_join_goes_on_in_direction_and_speed():
    a, b = swing(yaw=0.7), swing(phase=1.5, yaw=-2.0)
    m = join_motions(a, b)
    assert len(m) == len(a) + len(b)
    assert np.array_equal(m.rotations[: len(a)], a.rotations)
    steps = np.linalg.norm(np.diff(m.root[:, [0, 2]], axis=0), axis=-1)
    assert np.allclose(steps, 0.06, atol=1e-3)
    assert np.ptp(m.heading) < 0.01
    naive = concatenate([a, b])
    seam = slice(len(a) - 4, len(a) + 6)
    assert jerk(m)[seam].max() < 0.1 * jerk(naive)[seam].max()
    # after the blend b plays as it is
    assert np.abs(m.rotations[len(a) + 8 :, 1:] - b.rotations[8:, 1:]).max() < 1e-6


def test_join_changes_speed_smoothly():
    m = join_motions(swing(speed=2.0), swing(speed=0.0))
    steps = np.linalg.norm(np.diff(m.root[:, [0, 2]], axis=0), axis=-1)
    assert steps[39] == pytest.approx(0.1, abs=0.01) and steps[50:].max() < 1e-3
    assert np.abs(np.diff(steps)).max() < 0.04


def test_a_clip_with_itself_is_seamless():
    a = swing(60)
    m = join_motions(a.slice(0, 30), a.slice(30, 60))
    assert np.abs(m.joints - a.joints).max() < 0.03  # what the arm would do at constant speed


def test_suits_finds_the_matching_frames():
    long = swing(90)
    a, b = long.slice(0, 50), long.slice(44, 90)
    fit = suits(a, b, window=0.5)
    # the best cut follows the same movement: b's frame `start` is a's last kept frame or the next one
    assert abs((44 + fit.start) - (fit.end - 1)) <= 1
    assert fit.cost < 0.02 < suits(a, swing(phase=3.0, joint="r_shoulder"), window=0.0).cost
    both, seam = join_best(a, b)
    assert seam == fit.end and len(both) == fit.end + len(b) - fit.start


def test_other_frame_rates_are_refused():
    with pytest.raises(UserError, match="20 and 30 fps"):
        join_motions(swing(), swing().resampled(30))


def test_single_frames_join():
    m = join_motions(swing().slice(0, 1), swing().slice(3, 4))
    assert len(m) == 2 and np.isfinite(m.joints).all()


def test_real_seams_are_as_smooth_as_real_motion(shared):
    rows = list(read_quantised(shared / "data/body", "train"))
    rng = np.random.default_rng(0)
    real = np.concatenate([jerk(rows[i].load()) for i in rng.integers(len(rows), size=150)])
    peaks = []
    for i, j in rng.integers(len(rows), size=(60, 2)):
        m, s = join_best(rows[i].load(), rows[j].load())
        peaks.append(jerk(m)[max(s - 6, 0) : s + 8].max())
    assert np.median(peaks) < 1.5 * np.percentile(real, 95)

"""What the solver must keep: planted feet, floor, joint limits, targets, truthfulness, sameness by seed."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from families_made import family_of

from instruct_data.synth import families, keyframed
from instruct_data.synth.loading import poses
from instruct_data.synth.timeline import varied
from instruct_data.text.captions import CaptionBank
from instruct_data.text.english import mirror_text
from scripts.preview_synth import figures, table, violations
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.skeleton import SMPL22

J = {n: i for i, n in enumerate(SMPL22.names)}


def test_same_seed_gives_the_same_bytes_alone_and_in_a_batch() -> None:
    for name in ("drink", "march"):
        family = families()[name]
        alone = keyframed(family, [11])[0]
        among = keyframed(family, [3, 7, 11, 1_000_004])[2]
        assert alone.motion.rotations.tobytes() == among.motion.rotations.tobytes()
        assert alone.motion.root.tobytes() == among.motion.root.tobytes()
        assert alone.captions == among.captions and alone.extra == among.extra


def test_clips_differ_and_carry_what_they_are() -> None:
    clips = keyframed(families()["drink"], [*range(8), 1_000_000])
    assert len({c.motion.rotations.tobytes() for c in clips}) == 9
    assert [c.split for c in clips] == ["train"] * 8 + ["val"]
    assert {c.extra["side"] for c in clips} == {"left", "right"}
    for clip in clips:
        assert clip.source == "synthetic" and clip.action == "drink" and len(set(clip.captions)) >= 4
        other = {"left": "right", "right": "left"}[clip.extra["side"]]
        assert not any(f"{other} hand" in c for c in clip.captions)
        hand = J["l_wrist" if clip.extra["side"] == "left" else "r_wrist"]
        rise = np.ptp(clip.motion.joints[:, [J["l_wrist"], J["r_wrist"]], 1], axis=0)
        assert rise.argmax() == (0 if hand == J["l_wrist"] else 1) and rise.max() > 0.4
        times = {1: "once", 2: "twice", 3: "three times"}[clip.extra["params"]["reps"]]
        assert all(times in c for c in clip.captions if c.startswith("a person drinks t"))


def test_canonical_frame_and_length() -> None:
    for clip in keyframed(families()["march"], range(6)):
        motion = clip.motion
        assert motion.fps == 20 and 1.2 <= motion.seconds <= 12.1
        assert np.abs(motion.root[0, [0, 2]]).max() < 1e-5 and abs(motion.heading[0]) < 1e-4
        assert motion.root[-1, 2] > 1.0 and abs(motion.root[-1, 0]) < 0.2 * motion.root[-1, 2]


def test_standing_feet_do_not_move() -> None:
    for clip in keyframed(families()["drink"], range(8)):
        feet = clip.motion.joints[:, [J["l_ankle"], J["r_ankle"], J["l_foot"], J["r_foot"]]]
        assert np.abs(feet - feet[0]).max() < 1e-4
        com = clip.motion.joints[:, [J["pelvis"], J["neck"]]][..., [0, 2]].mean(1)
        assert np.abs(com - feet[:, :, [0, 2]].mean(1)).max() < 0.15


@pytest.mark.parametrize("name", sorted(poses()))
def test_base_poses_rest_on_the_floor(name: str, tmp_path: Path) -> None:
    keys = f"  - {{after: 0.8, head: [0, 10, 0]}}\n  - {{after: 0.8, pose: {name}}}"
    family = family_of(tmp_path, keys, f"starts: {name}")
    clips = keyframed(family, range(4))
    got = figures(clips)
    assert got["below"] == 0 and got["bent"] == 0 and got["jump"] < 12
    lowest = min(float(c.motion.joints[..., 1].min()) for c in clips)
    assert 0 <= lowest < (0.2 if name == "perch" else 0.06)  # there the legs hang


def test_hands_reach_their_targets_and_swing_round_the_body(tmp_path: Path) -> None:
    family = family_of(
        tmp_path,
        "  - after: 0.8\n    r_hand: {at: [-0.25, 1.3, 0.35], from: stage}\n"
        "    l_hand: {at: [0.2, 0, 0], from: r_hand}\n"
        "    hold: 0.5\n"
        "  - after: 0.8\n    r_hand: {raise: 90, forward: 0, bend: 0}\n"
        "    l_hand: {raise: 170, forward: 40}\n"
        "    hold: 0.5\n",
    )
    from instruct_data.synth.solver import solve
    from instruct_data.synth.timeline import draw

    rng = np.random.default_rng(0)
    timeline = draw(family, rng)
    rotations, root = solve([timeline], [rng], [False], [None])[0]
    joints = SMPL22.fk(rotations, root).astype(np.float64)
    at = round((timeline.times[2] + 0.3) * 20)
    assert joints[at, J["r_wrist"], 1] == pytest.approx(1.3, abs=0.03)
    apart = joints[at, J["l_wrist"]] - joints[at, J["r_wrist"]]
    assert np.linalg.norm(apart) == pytest.approx(0.2, abs=0.03) and apart[0] > 0.15
    at = round((timeline.times[4] + 0.2) * 20)
    way = joints[at, J["r_wrist"]] - joints[at, J["r_shoulder"]]
    assert way[0] < -0.45 and abs(way[1]) < 0.15
    assert joints[at, J["l_wrist"], 1] > joints[at, J["head"], 1] + 0.1


def test_steps_travel_in_arcs_and_weight_shifts_first(tmp_path: Path) -> None:
    family = family_of(tmp_path, "  - {after: 0.7, r_foot: {at: [-0.1, 0, 0.4]}, pelvis: [0, 0, 0.2], hold: 0.6}\n")
    for clip in keyframed(family, range(6)):
        joints = clip.motion.joints.astype(np.float64)
        side = clip.extra.get("side", "right")
        moved = np.abs(joints[-1, [J["l_foot"], J["r_foot"]], 2] - joints[0, [J["l_foot"], J["r_foot"]], 2])
        swing, stand = (J["r_foot"], J["l_foot"]) if moved[1] > moved[0] else (J["l_foot"], J["r_foot"])
        assert side and joints[:, swing, 1].max() > 0.04
        assert np.abs(joints[:, stand] - joints[0, stand]).max() < 1e-3
        air = int(np.argmax(joints[:, swing, 1]))
        toward = np.sign(joints[0, stand, 0] - joints[0, swing, 0])
        assert toward * (joints[air, 0, 0] - joints[0, 0, 0]) > 0.01


def test_jump_is_ballistic(tmp_path: Path) -> None:
    keys = ["after: 0.5, pelvis: [0, -0.25, 0]", "after: 0.2, pelvis: [0, 0, 0]",
            "after: 0.45, air: true, pelvis: [0, 0, 0]", "after: 0.5, pose: stand"]  # fmt: skip
    family = family_of(tmp_path, "".join(f"  - {{{k}}}\n" for k in keys))
    motion = keyframed(family, [0])[0].motion
    toes = motion.joints[:, [10, 11], 1].min(1)
    top = int(toes.argmax())
    assert 0.1 < toes[top] < 0.45
    height = motion.root[top - 2 : top + 3, 1].astype(np.float64)
    assert np.diff(height, 2).mean() * 400 == pytest.approx(-9.81, rel=0.25)


def test_no_family_breaks_the_body() -> None:
    for name in ("drink", "sit_down", "march"):
        got = figures(keyframed(families()[name], range(12)))
        assert got["below"] == 0 and got["bent"] < 1 and got["skate"] < 5 and got["jump"] < 60, (name, got)
        assert 0.3 < got["speed"] < 8 and got["jerk"] < 260
        assert name in table([(name, got)])


def test_violations_see_a_knee_bent_the_wrong_way() -> None:
    rotations = rot.identity((5, 22))
    assert not violations(rotations).any()
    rotations[2, J["l_knee"]] = rot.from_axis_angle(np.array([-0.5, 0, 0]))
    assert violations(rotations).tolist() == [False, False, True, False, False]


def test_real_stances_are_blended_in() -> None:
    family = families()["drink"]
    stances = np.stack([keyframed(family, [s])[0].motion.rotations[0] for s in range(40, 43)])
    stances[:, J["head"]] = rot.from_axis_angle(np.array([0.3, 0.2, 0.0]))
    for clip in keyframed(family, range(4), stances):
        ends = clip.motion.rotations[[0, -1]][:, J["head"]].astype(np.float64)
        wanted = rot.from_axis_angle(np.array([[0.3, 0.2, 0.0], [0.3, -0.2, 0.0]]))
        assert min(rot.angle_between(ends, w).max() for w in wanted) < 0.02
        feet = clip.motion.joints[:, [10, 11]]
        assert np.abs(feet - feet[0]).max() < 1e-3
    with pytest.raises(UserError, match="stances"):
        keyframed(family, [0], np.zeros((2, 21, 4)))


def test_bank_sentences_only_by_rule(tmp_path: Path) -> None:
    bank = tmp_path / "bank.json"
    bank.write_text(
        '{"actions": {"drink": ["{person} drinks from a cup {manner}", "{person} holds a mug with both hands"]}, '
        '"styles": {"normal": {"adverbs": ["well"], "phrases": ["at ease"], "person": ["a person"]}}, "compose": []}'
    )
    clips = keyframed(families()["drink"], range(10), bank=CaptionBank(bank))
    told = [c for clip in clips for c in clip.captions]
    assert any(c.endswith("drinks from a cup") for c in told) and not any("both hands" in c for c in told)
    assert not any("{" in c for c in told)


def test_mirrored_words_follow(tmp_path: Path) -> None:
    family = replace(families()["drink"], captions=families()["drink"].captions[:1])
    for clip in keyframed(family, range(6)):
        right = "a person takes a drink with the right hand"
        assert clip.captions[0] == (right if clip.extra["side"] == "right" else mirror_text(right))


def test_hands_placed_from_each_other_are_refused(tmp_path: Path) -> None:
    keys = "  - {after: 0.5, r_hand: {at: [0, 0, 0.1], from: l_hand}, l_hand: {at: [0, 0, 0.1], from: r_hand}}\n"
    with pytest.raises(UserError, match="try_it.*each hand"):
        keyframed(family_of(tmp_path, keys), [0])


def test_fast_enough() -> None:
    family = families()["sit_down"]
    keyframed(family, range(4))
    started = time.process_time()
    keyframed(family, range(64))
    assert 64 / (time.process_time() - started) > 60  # several hundred on an idle core


def test_variation_keeps_what_is_upside_down() -> None:
    assert varied(40.0, 1.1, 180) == pytest.approx(44.0)
    assert varied(90.0, 1.1, 180) == pytest.approx(99.0)
    assert varied(180.0, 1.1, 180) == varied(-180.0, 1.1, 180) * -1 == 180.0
    assert varied(170.0, 1.1, 180) == pytest.approx(169.0)
    assert varied(-90.0, 0.9, 90) == -90.0 and varied(-80.0, 0.9, 90) == pytest.approx(-81.0)

"""Invariants of the solver: planted feet, floor, joint limits, targets, paths between keys, sameness by seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instruct_data.factory.synth.arms import neutral_elbow
from instruct_data.factory.synth.families import actions, families, keyframed
from instruct_data.factory.synth.format import Family
from instruct_data.factory.synth.loading import poses
from instruct_data.factory.synth.solver import solve
from instruct_data.factory.synth.timeline import KeyTimeline, draw, vary_angle
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.text.english import mirror_text
from scripts.preview_synth import figures, table, violations
from tests.instruct_data.synthetic import family_of
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.skeleton import SMPL22

J = {n: i for i, n in enumerate(SMPL22.names)}


def test_clips_differ_and_carry_what_they_are() -> None:
    clips = keyframed(families()["drink"], [*range(8), 1_000_000])
    assert len({c.motion.rotations.tobytes() for c in clips}) == 9
    assert [c.split for c in clips] == ["train"] * 8 + ["val"]
    assert {c.extra["side"] for c in clips} == {"left", "right"}
    for clip in clips:
        assert clip.source == "synthetic" and clip.action == "drink" and len(set(clip.captions)) >= 4
        opposite = {"left": "right", "right": "left"}[clip.extra["side"]]
        assert not any(f"{opposite} hand" in c for c in clip.captions)
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
    keys = ["r_hand: {at: [-0.25, 1.3, 0.35], from: stage}, l_hand: {at: [0.2, 0, 0], from: r_hand}",
            "r_hand: {raise: 90, forward: 0, bend: 0}, l_hand: {raise: 170, forward: 40}"]  # fmt: skip
    timeline, _, joints = solved(family_of(tmp_path, "".join(f"  - {{after: 0.8, hold: 0.5, {k}}}\n" for k in keys)), 0)
    at = round((timeline.times[2] + 0.3) * 20)
    assert joints[at, J["r_wrist"], 1] == pytest.approx(1.3, abs=0.03)
    offset = joints[at, J["l_wrist"]] - joints[at, J["r_wrist"]]
    assert np.linalg.norm(offset) == pytest.approx(0.2, abs=0.03) and offset[0] > 0.15
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
        targets = rot.from_axis_angle(np.array([[0.3, 0.2, 0.0], [0.3, -0.2, 0.0]]))
        assert min(rot.angle_between(ends, w).max() for w in targets) < 0.02
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
    captions = [c for clip in clips for c in clip.captions]
    assert any(c.endswith("drinks from a cup") for c in captions) and not any("both hands" in c for c in captions)
    assert not any("{" in c for c in captions)


def test_mirrored_words_follow(tmp_path: Path) -> None:
    family = replace(families()["drink"], captions=families()["drink"].captions[:1])
    for clip in keyframed(family, range(6)):
        right = "a person takes a drink with the right hand"
        assert clip.captions[0] == (right if clip.extra["side"] == "right" else mirror_text(right))


def test_hands_placed_from_each_other_are_refused(tmp_path: Path) -> None:
    keys = "  - {after: 0.5, r_hand: {at: [0, 0, 0.1], from: l_hand}, l_hand: {at: [0, 0, 0.1], from: r_hand}}\n"
    with pytest.raises(UserError, match="try_it.*each hand"):
        keyframed(family_of(tmp_path, keys), [0])


def test_variation_keeps_what_is_upside_down() -> None:
    assert vary_angle(40.0, 1.1, 180) == pytest.approx(44.0)
    assert vary_angle(90.0, 1.1, 180) == pytest.approx(99.0)
    assert vary_angle(180.0, 1.1, 180) == vary_angle(-180.0, 1.1, 180) * -1 == 180.0
    assert vary_angle(170.0, 1.1, 180) == pytest.approx(169.0)
    assert vary_angle(-90.0, 0.9, 90) == -90.0 and vary_angle(-80.0, 0.9, 90) == pytest.approx(-81.0)


def solved(family: Family, seed: int) -> tuple[KeyTimeline, np.ndarray, np.ndarray]:
    """Keys, local rotations (T, 22, 4) and joints (T, 22, 3) of a clip that is not mirrored."""
    rng = np.random.default_rng(seed)
    timeline = draw(family, rng)
    rotations, root = solve([timeline], [rng], [False], [None])[0]
    return timeline, rotations, SMPL22.fk(rotations, root).astype(np.float64)


def frames(timeline: KeyTimeline, first: int, last: int, late: float = 0.0) -> slice:
    """The frames between two keys."""
    return slice(round((timeline.times[first] + late) * 20), round((timeline.times[last] + late) * 20) + 1)


def test_a_lift_belongs_to_one_step(tmp_path: Path) -> None:
    family = family_of(
        tmp_path,
        "  - {after: 0.6, r_foot: {at: [-0.1, 0, 0.3], lift: 0.15}, pelvis: [0, 0, 0.15], hold: 0.4}\n"
        "  - {after: 0.6, head: [0, 30, 0]}\n  - {after: 0.6, head: [0, -30, 0], hold: 0.3}\n",
    )
    for seed in range(3):
        timeline, _, joints = solved(family, seed)
        foot = joints[:, J["r_foot"]]
        assert foot[frames(timeline, 1, 2), 1].max() > 0.12
        after = foot[frames(timeline, 2, len(timeline.times) - 1)][1:]
        assert np.abs(after - after[-1]).max() < 1e-3
    stamp = "  - {after: 0.5, r_foot: {at: [-0.1, 0, 0], lift: 0.12}}\n"
    timeline, _, joints = solved(family_of(tmp_path, 2 * stamp), 0)
    tops = [joints[frames(timeline, k, k + 1), J["r_foot"], 1].max() for k in (1, 2)]
    assert min(tops) > 0.09


@pytest.mark.parametrize("lift", ["", ", lift: 0"])
def test_feet_that_keep_to_the_floor_turn_together(tmp_path: Path, lift: str) -> None:
    turned = ", ".join(f"{s}_foot: {{at: [{x}, 0, 0], yaw: 40{lift}}}" for s, x in (("l", 0.1), ("r", -0.1)))
    timeline, _, joints = solved(family_of(tmp_path, f"  - {{after: 0.8, {turned}, balance: off}}\n"), 0)
    way = frames(timeline, 1, 2)
    moves = [np.linalg.norm(np.diff(joints[way, J[f"{s}_foot"]], axis=0), axis=1) > 1e-3 for s in "lr"]
    assert ((moves[0] & moves[1]).sum() > 5) == bool(lift)


def test_hands_that_carry_let_the_body_be_a_plank(tmp_path: Path) -> None:
    plank = (
        "    pelvis: [0, -0.565, 0]\n    pelvis_rot: [71, 0, 0]\n    both_feet: {at: [-0.09, 0, -1.02], pitch: 66}\n"
        "    both_hands: {at: [-0.27, 0.06, 0.42], from: stage, elbow: 45}\n"
        "    contacts: [l_hand, r_hand, l_foot, r_foot]\n"
    )
    family = family_of(tmp_path, f"  - after: 0.8\n{plank}    hold: 0.6\n", "starts: lie_front\nends: lie_front")
    for seed in range(3):
        timeline, _, joints = solved(family, seed)
        at = round((timeline.times[2] + timeline.times[3]) * 10)
        hips, knees, ankles = (joints[at, [J["l_" + n], J["r_" + n]]] for n in ("hip", "knee", "ankle"))
        thigh, shin = hips - knees, ankles - knees
        straight = (thigh * shin).sum(1) / np.linalg.norm(thigh, axis=1) / np.linalg.norm(shin, axis=1)
        assert np.degrees(np.arccos(np.clip(straight, -1, 1))).min() > 145


def test_a_hand_goes_straight_out_while_the_trunk_turns(tmp_path: Path) -> None:
    family = family_of(
        tmp_path,
        "  - {after: 0.7, pelvis_rot: [0, -30, 0], spine: [0, -40, 0], hold: 0.3,\n"
        "     r_hand: {at: [-0.3, 1.25, -0.1], from: stage, elbow: 30}}\n"
        "  - {after: 0.3, pelvis_rot: [0, 35, 0], spine: [5, 45, 0], hold: 0.3,\n"
        "     r_hand: {at: [0.15, 1.38, 0.5], from: stage, elbow: 30}}\n",
    )
    for seed in range(4):
        timeline, rotations, joints = solved(family, seed)
        _, axes = SMPL22.fk_full(rotations, np.zeros((len(rotations), 3)))
        chest = axes[:, J["spine3"]].astype(np.float64)
        place = np.einsum("nji,nj->ni", chest, joints[:, J["r_wrist"]] - joints[:, J["spine3"]])
        way = place[frames(timeline, 3, 4, 0.05)]
        chord = way[-1] - way[0]
        along = (way - way[0]) @ chord / (chord @ chord)
        aside = np.linalg.norm(way - way[0] - along[:, None] * chord, axis=1)
        assert aside.max() < 0.19 and along.max() < 1.15 and along.min() > -0.15


def test_a_hand_placed_from_the_other_follows_it(tmp_path: Path) -> None:
    family = family_of(
        tmp_path,
        "  - {after: 0.8, r_hand: {at: [-0.15, 1.1, 0.35], from: stage}, l_hand: {at: [0.2, 0, 0], from: r_hand}}\n"
        "  - {after: 0.8, r_hand: {at: [-0.15, 1.5, 0.3], from: stage}}\n"
        "  - {after: 0.8, r_hand: {at: [-0.1, 0.95, 0.35], from: stage}, hold: 0.3}\n",
    )
    for seed in range(3):
        timeline, _, joints = solved(family, seed)
        part = joints[frames(timeline, 2, 5, 0.05)]
        offset = np.linalg.norm(part[:, J["l_wrist"]] - part[:, J["r_wrist"]], axis=1)
        assert offset.min() > 0.13 and offset.max() < 0.27
        assert np.linalg.norm(np.diff(part[:, J["l_wrist"]], axis=0), axis=1).max() < 0.12


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_elbows_direction_never_flips_where_arms_go(side: float) -> None:
    up, round_ = np.meshgrid(np.radians(np.arange(-80, 81, 2.0)), np.radians(np.arange(-30, 181, 2.0)), indexing="ij")
    # from in front and 30 degrees across, by the side, to behind
    axis = np.stack([side * np.cos(up) * np.sin(round_), np.sin(up), np.cos(up) * np.cos(round_)], -1)
    elbow = neutral_elbow(side, axis.reshape(-1, 3)).reshape(axis.shape)
    assert np.abs((elbow * axis).sum(-1)).max() < 1e-6
    steep, behind = np.abs(np.degrees(up) - 10) > 35, np.degrees(round_) > 132
    for part in (~behind, steep):
        there = elbow[1:, 1:]
        turn = [(there * neighbour).sum(-1)[part[1:, 1:]] for neighbour in (elbow[:-1, 1:], elbow[1:, :-1])]
        assert np.degrees(np.arccos(np.clip(turn, -1, 1))).max() < 20


def test_arms_circle_behind_the_body_without_a_flip(tmp_path: Path) -> None:
    keys = "".join(
        f"  - {{after: 0.3, both_hands: {{at: [{-0.55 - 0.1 * np.cos(a):.3f}, {-0.05 + 0.15 * np.sin(a):.3f}, "
        f"{-0.15 + 0.12 * np.cos(a):.3f}], from: chest}}}}\n"
        for a in np.arange(9) * np.pi / 4
    )
    _, rotations, _ = solved(family_of(tmp_path, keys), 1)
    turn = rot.angle_between(rotations[1:], rotations[:-1])[:, [J["l_shoulder"], J["r_shoulder"]]]
    assert np.degrees(turn).max() < 60


def test_the_lower_shoulder_lies_on_the_floor(tmp_path: Path) -> None:
    family = family_of(
        tmp_path,
        "  - {after: 1.2, pelvis: [0, -0.84, 0], pelvis_rot: [0, 0, 90], spine: [0, 0, 0], hold: 0.5}\n",
        "starts: lie_back\nends: lie_back",
    )
    _, _, joints = solved(family, 0)
    assert joints[..., 1].min() > 0 and joints[:, [J["l_shoulder"], J["r_shoulder"]], 1].min() > 0.03


def test_every_family_gives_the_same_bytes_alone_and_in_a_batch() -> None:
    of_schemas = {f.schema: f for f in families().values()}  # one entry of each: they share its keys
    for name, family in {**actions(), **{f.name: f for f in of_schemas.values()}}.items():
        alone, among = keyframed(family, [21])[0], keyframed(family, [4, 21])[1]
        assert alone.motion.rotations.tobytes() == among.motion.rotations.tobytes(), name
        assert alone.motion.root.tobytes() == among.motion.root.tobytes(), name
        assert alone.captions == among.captions and alone.extra == among.extra, name

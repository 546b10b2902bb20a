"""Ways between keys: what is planted stays, hands go where they are sent, joints never flip, batches change nothing."""

from pathlib import Path

import numpy as np
import pytest
from families_made import family_of

from instruct_data.synth import Family, actions, families, keyframed
from instruct_data.synth.arms import neutral_elbow
from instruct_data.synth.solver import solve
from instruct_data.synth.timeline import Timeline, draw
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22

J = {n: i for i, n in enumerate(SMPL22.names)}


def solved(family: Family, seed: int) -> tuple[Timeline, np.ndarray, np.ndarray]:
    """Keys, local rotations (T, 22, 4) and joints (T, 22, 3) of a clip that is not mirrored."""
    rng = np.random.default_rng(seed)
    timeline = draw(family, rng)
    rotations, root = solve([timeline], [rng], [False], [None])[0]
    return timeline, rotations, SMPL22.fk(rotations, root).astype(np.float64)


def frames(timeline: Timeline, first: int, last: int, late: float = 0.0) -> slice:
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
        apart = np.linalg.norm(part[:, J["l_wrist"]] - part[:, J["r_wrist"]], axis=1)
        assert apart.min() > 0.13 and apart.max() < 0.27
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
        turn = [(there * near).sum(-1)[part[1:, 1:]] for near in (elbow[:-1, 1:], elbow[1:, :-1])]
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

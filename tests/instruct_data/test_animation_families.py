"""Families that animators ask for (combat, gaits, held) start on the floor, and do what and where their words say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from instruct_data.clip import Clip
from instruct_data.factory.synth.families import families, keyframed
from instruct_data.factory.synth.format import Family
from vqvae.skeleton import SMPL22

J = {n: i for i, n in enumerate(SMPL22.names)}
NEW = [f for f in families().values() if Path(f.path).stem in ("combat", "gaits", "held")]
RAISED = ("box_step", "ladder_down", "wall")  # schemas that leave the floor for something to stand on
LEFT, RIGHT = 1.0, -1.0  # of x


def sign(clip: Clip) -> float:
    """Of the x axis towards the side of a clip."""
    return LEFT if clip.extra["side"] == "left" else RIGHT


def joint(joints: np.ndarray, name: str, clip: Clip, other: bool = False) -> np.ndarray:
    """(T, 3) of a joint on the side of the clip, or on the other one."""
    return joints[:, J[("l_" if (sign(clip) == LEFT) != other else "r_") + name]]


def turned(joints: np.ndarray) -> np.ndarray:
    """(T,) degrees that the hips have turned to the left since the start."""
    across = joints[:, J["l_hip"]] - joints[:, J["r_hip"]]
    angle = np.degrees(np.unwrap(np.arctan2(-across[:, 2], across[:, 0])))
    return angle - angle[0]


def front(joints: np.ndarray) -> np.ndarray:
    """(3,) unit vector out of the chest in the last frame."""
    across = joints[-1, J["l_shoulder"]] - joints[-1, J["r_shoulder"]]
    out = np.cross(across, joints[-1, J["neck"]] - joints[-1, J["pelvis"]])
    return out / np.linalg.norm(out)


@pytest.mark.parametrize("family", NEW, ids=lambda f: f.name)
def test_clips_start_on_the_floor_with_planted_feet_and_do_not_float(family: Family) -> None:
    for clip in keyframed(family, range(10)):
        joints = clip.load().joints.astype(np.float64)
        lies = family.schema == "freeze" and joints[0, 0, 1] < 0.3
        assert 0 <= joints[0, :, 1].min() < (0.09 if lies else 0.04), clip.id
        lowest = clip.extra.get("lowest", 0.0)
        assert joints[..., 1].min() > lowest - 0.001, clip.id
        if family.schema not in RAISED:
            assert joints[:, :, 1].min(1).max() < 0.23, clip.id
        toes = joints[:, [J["l_foot"], J["r_foot"]]]
        carries = (toes[..., 1] - lowest < 0.012) & (joints[:, :1, 1] - lowest > 0.6)
        way = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * (carries[1:] & carries[:-1])
        if family.schema not in ("treadmill", "die"):
            assert np.percentile(way, 99) < 0.005, clip.id


@pytest.mark.parametrize(
    ("name", "lies"),
    [("die_fall_forward", "front"), ("die_fall_backward", "back"), ("die_fall_sideways", "side"), ("faint", ""),
     ("get_shot_and_die", ""), ("sink_to_knees_and_die", ""), ("lie_down_and_stay", "")],
)  # fmt: skip
def test_the_fallen_lie_still(name: str, lies: str) -> None:
    for clip in keyframed(families()[name], range(10)):
        joints = clip.load().joints.astype(np.float64)
        assert joints[-1, [J["pelvis"], J["head"], J["neck"], J["l_knee"], J["r_knee"]], 1].max() < 0.45, clip.id
        assert np.abs(joints[-21:] - joints[-1]).max() < 0.03, clip.id
        posture = lies
        if name == "lie_down_and_stay":
            posture = {"back": "back", "belly": "front", "side": "side"}[clip.extra["params"]["onto"].split()[-1]]
        up, head = front(joints)[1], joints[-1, J["head"]] - joints[0, J["pelvis"]]
        if posture in ("front", "back"):
            assert (up < -0.8 if posture == "front" else up > 0.8), clip.id
        elif posture == "side":
            below, above = (joint(joints, "shoulder", clip, other)[-1, 1] for other in (False, True))
            assert abs(up) < 0.5 and below < above, clip.id
        if name.startswith("die_fall"):
            direction = {"front": head[2], "back": -head[2], "side": sign(clip) * head[0]}[posture]
            assert direction > 0.5, clip.id


def upright(j: np.ndarray, c: Clip) -> bool:
    return bool(j[-1, 0, 1] - c.extra.get("lowest", 0.0) > 0.82)


def kneels(j: np.ndarray, c: Clip) -> bool:
    """On the knee of the side; the other knee is up, or down with it."""
    both = c.extra["params"]["knees"] == "both"
    low, high = (joint(j, "knee", c, o)[len(j) * 6 // 10, 1] for o in (False, True))
    ends = c.extra["params"]["rises"] == "rising"
    return low < 0.12 and (high < 0.12) == both and upright(j, c) == ends


def on_one_leg(j: np.ndarray, c: Clip) -> bool:
    """The ankle of the side stays on the floor while the other one is up for the seconds stated."""
    stands, lifted = (joint(j, "ankle", c, o)[:, 1] for o in (False, True))
    stays = c.extra["params"]["lands"] != "landing"
    return stands.max() < 0.11 and (lifted > stands + 0.05).mean() * len(j) / 20 >= 1.9 and (lifted[-1] > 0.12) == stays


def turns_by(j: np.ndarray, c: Clip) -> bool:
    """In place to the side of the clip by its degrees, the feet planted again."""
    off = abs(sign(c) * turned(j)[-1] - c.extra["params"]["degrees"])
    return bool(off < 10 and np.abs(j[-1, 0, [0, 2]]).max() < 0.15)


CHECKS: dict[str, Callable[[np.ndarray, Clip], bool]] = {
    "hit_in_shoulder": lambda j, c: upright(j, c) and -sign(c) * np.ptp(turned(j)) < 30 and bool(
        (joint(j, "shoulder", c)[:, 2] - joint(j, "shoulder", c, True)[:, 2]).min() < -0.12),
    "hit_in_head": upright,
    "hit_in_belly": lambda j, c: upright(j, c) and j[:, J["head"], 1].min() < j[0, J["head"], 1] - 0.12,
    "stagger_back": lambda j, c: upright(j, c) and j[-1, 0, 2] < -0.4,
    "crouch_walk": lambda j, c: j[len(j) // 2, 0, 1] < 0.83 and j[-1, 0, 2] > 1,
    "crouch_sneak": lambda j, c: j[len(j) // 2, 0, 1] < 0.82 and j[-1, 0, 2] > 0.8,
    "walk_arms_still": lambda j, c: j[-1, 0, 2] > 1.5 and bool(
        np.ptp((j[:, J["l_wrist"]] - j[:, J["neck"]])[10:-10, 2]) < 0.2),
    "start_walking": lambda j, c: np.ptp(j[:8, 0, 2]) < 0.05 and j[-1, 0, 2] - j[-8, 0, 2] > 0.15,
    "stop_walking": lambda j, c: j[-1, 0, 2] > 1.5 and np.ptp(j[-20:, 0, 2]) < 0.03,
    "walk_like_zombie": lambda j, c: j[len(j) // 2, J["l_wrist"], 2] - j[len(j) // 2, 0, 2] > 0.35,
    "drag_leg": lambda j, c: joint(j, "foot", c)[20:-30, 1].max() < joint(j, "foot", c, True)[20:-30, 1].max() - 0.02,
    "limp_holding_belly": lambda j, c: bool(
        np.abs(j[len(j) // 2, [20, 21], 1] - j[len(j) // 2, J["spine1"], 1]).max() < 0.2),
    "strafe": lambda j, c: sign(c) * (j[-1, 0, 0] - j[0, 0, 0]) > 0.8 and abs(turned(j)[-1]) < 12,
    **dict.fromkeys((f"turn_{n}_with_steps" for n in ("little", "quarter", "half", "full")), turns_by),
    "twirl": lambda j, c: abs(sign(c) * turned(j)[-1] - 360 * c.extra["params"]["turns"]) < 15,
    "step_up_onto_box": lambda j, c: abs(rise(j) - c.extra["params"]["height"]) < 0.03,
    "step_down_from_box": lambda j, c: abs(rise(j) + c.extra["params"]["height"]) < 0.03,
    "climb_down_ladder": lambda j, c: abs(rise(j) + 2 * c.extra["params"]["reps"] * c.extra["params"]["rung"]) < 0.05,
    "climb_over_wall": lambda j, c: upright(j, c) and j[:, [7, 8], 1].min(1).max() > 0.5 and abs(rise(j)) < 0.03,
    "hold_pistol_aimed": lambda j, c: joint(j, "wrist", c)[-20:, 2].min() - j[-1, J["neck"], 2] > 0.35,
    "draw_pistol_and_aim": lambda j, c: joint(j, "wrist", c)[-20:, 2].min() - j[-1, J["neck"], 2] > 0.35,
    "hold_rifle_aimed": lambda j, c: bool(np.abs(j[-20:, [20, 21], 1] - j[-1, J["neck"], 1]).max() < 0.25),
    "walk_cycle_in_place": lambda j, c: bool(np.abs(j[:, 0, 2]).max() < 0.15),
    "run_cycle_in_place": lambda j, c: bool(
        np.abs(j[:, 0, 2]).max() < 0.15 and j[20:-20, [10, 11], 1].min(1).max() > 0.03),
    "stand_on_leg": on_one_leg,
    "pick_up_and_carry": lambda j, c: bool(
        j[:, [20, 21], 1].min() < 0.4 and j[-20:, [20, 21], 1].min() > 0.9 and j[-1, 0, 2] > 0.4),
    "balance_on_one_leg": lambda j, c: bool(
        joint(j, "ankle", c)[len(j) // 2, 1] < joint(j, "ankle", c, True)[len(j) // 2, 1] - 0.05),
    "kneel_on_one_knee": kneels,
    "kneel_on_both_knees": kneels,
    "lunge_and_hold": lambda j, c: bool((joint(j, "ankle", c)[:, 2] - joint(j, "ankle", c, True)[:, 2]).max() > 0.4),
    "side_lunge_and_hold": lambda j, c: bool(
        (sign(c) * (joint(j, "ankle", c) - joint(j, "ankle", c, True))[:, 0]).max() > 0.7),
    "raise_one_arm": lambda j, c: joint(j, "wrist", c)[:, 1].max() > 1.25,
    "sit_down_and_stay": lambda j, c: j[-21:, 0, 1].max() < 0.6,
    "sit_to_stand": lambda j, c: j[-1, 0, 1] < 0.6 and j[0, 0, 1] < 0.6 and j[:, 0, 1].max() > 0.85,
    "hold_t_pose": lambda j, c: bool(np.abs(j[-20:, [20, 21], 1] - j[-1, [16, 17], 1]).max() < 0.1),
    "hold_a_pose": lambda j, c: bool(np.ptp(j[-20:, [20, 21]], axis=0).max() < 0.03),
    "hold_salute": lambda j, c: bool(np.linalg.norm(joint(j, "wrist", c)[-1] - j[-1, J["head"]]) < 0.25),
}  # fmt: skip


def rise(joints: np.ndarray) -> float:
    """Metres from the lowest joint of the first frame to that of the last one."""
    return float(joints[-1, :, 1].min() - joints[0, :, 1].min())


@pytest.mark.parametrize("name", CHECKS)
def test_clips_do_what_their_words_say(name: str) -> None:
    for clip in keyframed(families()[name], range(10)):
        assert CHECKS[name](clip.load().joints.astype(np.float64), clip), (clip.id, clip.extra["params"])


def test_a_foot_on_a_belt_goes_back_at_constant_speed() -> None:
    for clip in keyframed(families()["walk_cycle_in_place"], range(4)):
        foot = clip.load().joints[30:70, J["l_ankle"]].astype(np.float64)
        flat = (foot[1:, 1] < 0.09) & (foot[:-1, 1] < 0.09)
        speed = -np.diff(foot[:, 2])[flat]
        assert len(speed) > 7 and np.std(speed[2:-2]) < 0.35 * speed.mean() and speed.mean() > 0.01


def test_stairs_start_at_height_zero_in_both_ways() -> None:
    for clip in keyframed(families()["climb_stairs"], range(10)):
        joints = clip.load().joints.astype(np.float64)
        p = clip.extra["params"]
        assert 0 <= joints[0, :, 1].min() < 0.04
        assert rise(joints) == pytest.approx(2 * p["reps"] * p["rise"] * (1 if p["way"] == "up" else -1), abs=0.04)

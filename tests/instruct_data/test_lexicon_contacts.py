"""Entries of the lexicon move soundly; hands reach the place that they name and do not go through the body, and what is
said to carry the body is on the floor."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from instruct_data.clip import Clip
from instruct_data.factory.synth.families import captions_of, families, keyframed
from instruct_data.factory.synth.format import Family, Key, KeyBlock
from instruct_data.factory.synth.timeline import draw
from scripts.preview_synth import figures
from vqvae import rotations as rot
from vqvae.skeleton import SMPL22, mirror_name

J = {n: i for i, n in enumerate(SMPL22.names)}
ENTRIES = [f for f in families().values() if f.schema]
SLIDING = ("die", "lie_stay", "treadmill")  # feet of a body that falls or lies, or on a belt
FINGERS, PALM = 0.13, 0.09  # from the wrist along the hand, metres
# Joint and point in its axes of the places that the right hand touches.
SKIN = {
    "mouth": ("head", 0, -0.035, 0.105), "nose": ("head", -0.005, 0.005, 0.12), "chin": ("head", -0.01, -0.075, 0.09),
    "cheek": ("head", -0.065, -0.02, 0.07), "eye": ("head", -0.035, 0.04, 0.10), "brow": ("head", -0.035, 0.065, 0.098),
    "forehead": ("head", -0.01, 0.09, 0.095), "ear": ("head", -0.085, 0.02, 0.0), "hair": ("head", -0.07, 0.12, 0.0),
    "crown": ("head", -0.02, 0.155, -0.01), "occiput": ("head", -0.03, 0.05, -0.10),
    "nape": ("head", -0.035, -0.04, -0.085), "neck": ("head", -0.05, -0.09, 0.04),
    "shoulder": ("l_shoulder", -0.01, 0.055, 0.03), "arm": ("l_shoulder", 0.045, -0.12, 0.05),
    "heart": ("spine3", 0.05, 0.02, 0.125), "chest": ("spine3", 0.0, -0.04, 0.13),
    "belly": ("spine3", 0.01, -0.26, 0.125),
    "hip": ("pelvis", -0.15, 0.0, 0.05), "thigh": ("pelvis", -0.13, -0.13, 0.10), "knee": ("r_knee", 0.0, 0.03, 0.065),
    "loin": ("pelvis", -0.05, 0.10, -0.13),
}  # fmt: skip
WRISTS, FEET, ANKLES = ([J[s + n] for s in ("l_", "r_")] for n in ("wrist", "foot", "ankle"))
TABLE = {"standing": 0.90, "seated": 0.68, "kneeling": 0.50, "squatting": 0.48}
HEAD, HEAD_SIZE = np.array([0.0, 0.045, 0.005]), np.array([0.072, 0.115, 0.098])  # its ellipsoid


def globals_of(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, 22, 3) and their axes (T, 22, 3, 3) of a clip; of its mirror image if it is one of the left side."""
    motion = clip.load()
    local = rot.to_matrix(motion.rotations.astype(np.float64))
    axes = np.empty_like(local)
    for j, parent in enumerate(SMPL22.parents):
        axes[:, j] = local[:, j] if parent < 0 else axes[:, parent] @ local[:, j]
    joints = motion.joints.astype(np.float64)
    if clip.extra.get("side") != "left":
        return joints, axes
    swap = [J[mirror_name(n)] for n in SMPL22.names]
    flip = np.diag([-1.0, 1.0, 1.0])
    return joints[:, swap] @ flip, flip @ axes[:, swap] @ flip


def hand(joints: np.ndarray, axes: np.ndarray, side: str, along: float) -> np.ndarray:
    """(T, 3) point of a hand, a little on the side of the palm."""
    wrist, outwards = J[f"{side}_wrist"], 1.0 if side == "l" else -1.0
    return joints[:, wrist] + axes[:, wrist] @ np.array([outwards * along, -0.01, 0.0])


def skin(joints: np.ndarray, axes: np.ndarray, place: str, side: str) -> np.ndarray:
    """(T, 3) where a place of the body is; for the left hand its mirror image."""
    name, *point = SKIN[place]
    if side == "l":
        name, point[0] = mirror_name(name), -point[0]
    turn = axes[:, J["spine3"]] if name.endswith("shoulder") else axes[:, J[name]]
    return joints[:, J[name]] + turn @ np.array(point)


@cache
def clips(name: str) -> list[Clip]:
    return keyframed(families()[name], range(2))


def leaps(items: Iterable[Key | KeyBlock]) -> bool:
    """Whether the body leaves the ground; landings are jerks."""
    return any(i.air if isinstance(i, Key) else leaps(i.keys) for i in items)


def fastest(name: str) -> float:
    """The greatest speed of any joint in the clips, m/s."""
    motions = [c.load() for c in clips(name)]
    return max(float(np.linalg.norm(np.diff(m.joints, axis=0), axis=-1).max()) * m.fps for m in motions)


def touches(family: Family, clip: Clip) -> Iterator[tuple[str, str]]:
    """Places of the body that a clip names, and the hands that go there."""
    p = clip.extra["params"]
    if family.schema == "hand_work" and p["place"] in SKIN:
        yield p["place"], "r"
        if p["second"] in ("mirrors", "alternates"):
            yield p["place"], "l"
    if family.schema == "hand_to":
        for place in sorted({p["first"], p["then"]} & set(SKIN)):
            yield place, "r"
            if p["hands"] == "both hands":
                yield place, "l"


def test_there_are_many_and_none_breaks_the_body() -> None:
    assert len(ENTRIES) >= 220
    faults = {}
    for family in ENTRIES:
        got = figures(clips(family.name))
        slides = family.schema in SLIDING
        sound = got["below"] == 0 and got["bent"] == 0 and (got["skate"] < 5 or slides) and got["jump"] < 66
        sound &= (fastest(family.name) > 0.3 or family.schema == "freeze") and got["speed"] < 9
        jerk = 260 if leaps(family.keys) or slides else 110
        if not (sound and got["jerk"] < jerk and 1.2 <= got["seconds"] < 12.05):
            faults[family.name] = got
    assert not faults, faults


def test_hands_reach_the_place_they_name() -> None:
    far: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for family in ENTRIES:
        for clip in clips(family.name):
            for place, side in touches(family, clip):
                joints, axes = globals_of(clip)
                tip = hand(joints, axes, side, FINGERS if place != "ear" else PALM + 0.01)
                away = float(np.linalg.norm(tip - skin(joints, axes, place, side), axis=1).min())
                gap = float(clip.extra["params"].get("gap", 0))  # something in the hand: its tip is at the place
                far[family.name, place, side].append(away - 1.4 * gap)
    assert len(far) > 90
    assert not {k: v for k, v in far.items() if min(v) > 0.03}
    assert np.median([v for values in far.values() for v in values]) < 0.015


def test_hands_do_not_go_through_head_or_trunk() -> None:
    deep = {}
    for family in ENTRIES:
        for clip in clips(family.name):
            joints, axes = globals_of(clip)
            for side, along in product("lr", (0.0, 0.05, 0.10)):
                point = hand(joints, axes, side, along)
                local = np.einsum("tji,tj->ti", axes[:, J["head"]], point - joints[:, J["head"]])
                head = 1 - np.linalg.norm((local - HEAD) / HEAD_SIZE, axis=1)
                local = np.einsum("tji,tj->ti", axes[:, J["spine3"]], point - joints[:, J["spine3"]])
                trunk = 1 - np.hypot(local[:, 0] / 0.15, local[:, 2] / 0.105)
                trunk[(local[:, 1] > 0.15) | (local[:, 1] < -0.35)] = 0
                if max(head.max(), trunk.max()) > 0.27:  # of a radius of 7 to 10 cm
                    deep[family.name, side] = float(head.max()), float(trunk.max())
    assert not deep, deep


def test_two_hands_meet() -> None:
    """Palms at one thing are as far gaps as it is wide; a hand that works on the other one touches its palm."""
    gaps = {}
    for family in ENTRIES:
        for clip in clips(family.name):
            p = clip.extra["params"]
            joints, axes = globals_of(clip)
            if family.schema == "hands_meet":
                tips = hand(joints, axes, "r", PALM), hand(joints, axes, "l", PALM)
                gap, limit = 2 * p["gap"], 0.06 if p["pattern"] in ("clap", "rub", "press", "wash", "hold") else 0.125
            elif family.schema == "hand_work" and p["place"] == "hand":
                tips = hand(joints, axes, "r", FINGERS), hand(joints, axes, "l", PALM)
                gap, limit = p["gap"], 0.035
            else:
                continue
            away = float(np.linalg.norm(tips[0] - tips[1], axis=1).min()) - gap
            if away > limit + 0.5 * p["gap"] + 0.035 * (p["place"] == "table"):
                gaps[family.name] = away
    assert not gaps, gaps


def test_places_off_the_body_are_at_their_height() -> None:
    wrong = {}
    for family in ENTRIES:
        for clip in clips(family.name):
            p = clip.extra["params"]
            joints, _ = globals_of(clip)
            wrist = joints[:, J["r_wrist"], 1]
            if family.schema == "long_tool":
                handle = np.linalg.norm(joints[25:-25, J["r_wrist"]] - joints[25:-25, J["l_wrist"]], axis=1)
                if np.ptp(handle) > 0.25 or handle.min() < 0.15:
                    wrong[family.name] = float(np.ptp(handle)), float(handle.min())
            for place in {p.get(k) for k in ("place", "first", "then")} if family.schema.startswith("hand_") else ():
                level = p["level"] if place == p.get("place") else p["level"] * (place == p.get("then"))
                table = TABLE[p["stance"]] + 0.08 + level * (0.4 if family.schema == "hand_work" else 1)
                gap = p.get("gap", 0)
                if place in ("table", "table_left", "table_right") and np.abs(wrist - table - gap).min() > 0.03:
                    wrong[family.name] = place, float(np.abs(wrist - table - gap).min())
                if place == "floor" and wrist.min() > 0.16 + gap:
                    wrong[family.name] = place, float(wrist.min())
                if place in ("overhead", "shelf") and (wrist - joints[:, J["head"], 1]).max() < 0.03:
                    wrong[family.name] = place, float((wrist - joints[:, J["head"], 1]).max())
    assert not wrong, wrong


def test_sentences_are_true_and_of_one_family() -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for family in families().values():
        for caption in family.captions:
            owners[caption.text].add(family.name)
    shared = {t: names for t, names in owners.items() if len(names) > 1 and names & {f.name for f in ENTRIES}}
    assert not shared, shared
    for family in ENTRIES:
        plain = [c.text for c in family.captions if c.when is None]
        assert len(plain) >= 5 and len({c.text for c in family.captions}) == len(family.captions) >= 8, family.name
        assert all(not t.endswith(".") and t == t.strip() for t in plain), family.name
        if family.handed == "none":
            words = {w for c in family.captions for w in c.text.replace(",", "").split()}
            assert not words & {"left", "right", "{side}", "{other}"}, family.name
        for clip in clips(family.name):
            assert len(clip.captions) >= 4 and not any("{" in c for c in clip.captions), family.name


@pytest.mark.parametrize("family", ENTRIES[::12], ids=lambda f: f.name)
def test_every_sentence_has_a_word_for_each_placeholder(family: Family) -> None:
    rng = np.random.default_rng(3)
    for _ in range(4):
        timeline = draw(family, rng)
        for caption in family.captions:
            if caption.when is None or caption.when(timeline.scope):
                assert captions_of(replace(family, captions=(caption,)), timeline, False, rng)


def drawn(name: str) -> list[tuple[dict, np.ndarray]]:
    """What was drawn, and joints (T, 22, 3), of the clips of an entry."""
    return [(c.extra["params"], c.load().joints.astype(np.float64)) for c in clips(name)]


def middle(joints: np.ndarray) -> np.ndarray:
    """Heights (22,) while the pose is held."""
    return joints[len(joints) * 9 // 20 : len(joints) * 11 // 20, :, 1].mean(0)


@pytest.mark.parametrize("name", ["plank", "forearm_plank", "downward_dog", "cobra_pose"])
def test_hands_and_feet_carry_the_body(name: str) -> None:
    for _, joints in drawn(name):
        high = middle(joints)
        assert high[WRISTS].max() < 0.10 and high[FEET].max() < (0.2 if name == "cobra_pose" else 0.03), name
        assert high[[J["l_elbow"], J["r_elbow"]]].max() < (0.12 if name == "forearm_plank" else 0.4)
        assert (high[J["pelvis"]] > 0.7) == (name == "downward_dog")


@pytest.mark.parametrize(("name", "head"), [("handstand", 0.3), ("headstand", 0.085), ("shoulder_stand", 0.085)])
def test_upside_down_on_what_the_name_says(name: str, head: float) -> None:
    for _, joints in drawn(name):
        high = middle(joints)
        assert high[J["head"]] < high[J["pelvis"]] - 0.3 and high[ANKLES].min() > high[J["pelvis"]] + 0.3
        assert high[J["head"]] > head
        assert high[WRISTS].max() < 0.09 or name == "shoulder_stand"
        assert high[J["spine3"]] < 0.4 or name != "shoulder_stand"


@pytest.mark.parametrize(("name", "axis"), [("side_split", 0), ("front_split", 2)])
def test_splits_lie_on_the_floor(name: str, axis: int) -> None:
    for _, joints in drawn(name):
        low = joints[joints[:, 0, 1].argmin()]
        assert low[0, 1] < 0.22 and low[ANKLES, 1].max() < 0.2
        gaps = np.abs(low[ANKLES[0]] - low[ANKLES[1]])
        assert gaps[axis] > 1.45 and gaps.argmax() == axis


def test_rolling_over_ends_face_down_or_on_the_side() -> None:
    for params, joints in drawn("roll_over_lying"):
        shoulders = joints[-1, J["l_shoulder"]] - joints[-1, J["r_shoulder"]]
        up = joints[-1, J["spine3"]] - joints[-1, 0]
        front = np.cross(shoulders, up)
        front /= np.linalg.norm(front)
        assert joints[:, 0, 1].max() < 0.3 and abs(up[1]) < 0.2
        assert front[1] < -0.6 if params["to"] == "onto the belly" else abs(front[1]) < 0.4


def test_straight_legs_stay_straight_on_their_way() -> None:
    for _, joints in drawn("raise_legs_lying"):
        leg = np.linalg.norm(joints[:, J["l_hip"]] - joints[:, ANKLES[0]], axis=1)
        assert joints[:, ANKLES[0], 1].max() > 0.7 and leg.min() > 0.97 * leg.max()

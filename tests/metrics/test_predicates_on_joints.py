"""Predicates on bodies whose joints are placed directly; rotations are set only where a check looks at them.

True for the right body, false for a near miss; whole motions: `test_predicates_on_motions`.
"""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates, rows
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.skeleton import SMPL22

T = 60
REST = SMPL22.rest_joints - np.array([0, SMPL22.rest_joints[:, 1].min() - 0.02, 0])


class Body(Signals):
    """Signals on joints that a test puts where it likes; `turns` are head rotations over the chest (T, 4)."""

    def __init__(self, joints: np.ndarray, head: np.ndarray | None = None) -> None:
        self.joints = joints.astype(np.float64)
        rotations = rot.identity((len(joints), 22))
        if head is not None:
            rotations[:, SMPL22.index("head")] = head
        self.first = 0
        motion = SimpleNamespace(rotations=rotations, root=joints[:, 0], skeleton=SMPL22)
        motion.slice = lambda a, b: SimpleNamespace(rotations=rotations[a:b], root=motion.root[a:b], skeleton=SMPL22)
        self.motion = motion  # type: ignore[assignment]


def standing(frames: int = T) -> np.ndarray:
    """(T, 22, 3) standing with hanging arms."""
    joints = np.tile(REST, (frames, 1, 1))
    for side, sign in (("l", 1), ("r", -1)):
        shoulder = joints[:, SMPL22.index(f"{side}_shoulder")]
        joints[:, SMPL22.index(f"{side}_elbow")] = shoulder + np.array([0.03 * sign, -0.26, 0])
        joints[:, SMPL22.index(f"{side}_wrist")] = shoulder + np.array([0.04 * sign, -0.52, 0.03])
    return joints


def bump(frames: int = T) -> np.ndarray:
    """(T,) 0 .. 1 .. 0 with a plateau in the middle third."""
    return np.clip(1.8 * np.sin(np.pi * np.arange(frames) / (frames - 1)), 0, 1)


def wave(cycles: float, frames: int = T) -> np.ndarray:
    """(T,) -1 .. 1, that many periods."""
    return np.sin(2 * np.pi * cycles * np.arange(frames) / frames)


def hand(
    joints: np.ndarray, side: str, offset: np.ndarray | list[float], amount: np.ndarray | None = None
) -> np.ndarray:
    """A wrist moved to its shoulder + `offset` (left, up, forward) by `amount` (T,); the elbow half-way and lower."""
    out = joints.copy()
    a = (np.ones(len(out)) if amount is None else amount)[:, None]
    shoulder, elbow, wrist = (SMPL22.index(f"{side}_{n}") for n in ("shoulder", "elbow", "wrist"))
    target = out[:, shoulder] + np.asarray(offset, float)
    out[:, wrist] = (1 - a) * out[:, wrist] + a * target
    reach = np.linalg.norm(out[:, wrist] - out[:, shoulder], axis=1)
    sag = np.sqrt(np.maximum(0.264**2 - (reach / 2) ** 2, 0))
    middle = 0.5 * (out[:, wrist] + out[:, shoulder])
    middle[:, 1] -= sag
    out[:, elbow] = middle
    return out


def lowered(joints: np.ndarray, drop: np.ndarray | float, back: np.ndarray | float = 0.0) -> np.ndarray:
    """Everything from the pelvis up goes down by `drop` and back by `back` (T,); knees come forward, feet stay."""
    out = joints.copy()
    legs = [4, 5, 7, 8, 10, 11]
    upper = [j for j in range(22) if j not in legs]
    drop, back = np.broadcast_to(drop, len(out)), np.broadcast_to(back, len(out))
    out[:, upper, 1] -= drop[:, None]
    out[:, upper, 2] -= back[:, None]
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        across = out[:, hip] - out[:, ankle]
        length = np.linalg.norm(across, axis=1)
        bulge = np.sqrt(np.maximum(0.41**2 - (length / 2) ** 2, 0))
        forward = np.cross(across / length[:, None], np.array([-1.0, 0, 0]))
        out[:, knee] = 0.5 * (out[:, hip] + out[:, ankle]) + bulge[:, None] * forward
    return out


def pitched(joints: np.ndarray, degrees: np.ndarray | float, around: float | None = None) -> np.ndarray:
    """The trunk, head and arms lean forward about the pelvis by `degrees` (T,)."""
    out = joints.copy()
    a = np.deg2rad(np.broadcast_to(degrees, len(out)))
    upper = [3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
    v = out[:, upper] - out[:, :1]
    c, s = np.cos(a)[:, None], np.sin(a)[:, None]
    out[:, upper] = out[:, :1] + np.stack([v[..., 0], v[..., 1] * c - v[..., 2] * s, v[..., 1] * s + v[..., 2] * c], -1)
    return out


def moved(joints: np.ndarray, left: np.ndarray | float = 0.0, up: np.ndarray | float = 0.0,
          forward: np.ndarray | float = 0.0) -> np.ndarray:  # fmt: skip
    """The whole body displaced (T,)."""
    step = np.stack([np.broadcast_to(x, len(joints)) for x in (left, up, forward)], -1)
    return joints + step[:, None]


def walking(distance: float = 2.0, lift: float = 0.05, cycles: float = 3) -> np.ndarray:
    """Feet lift in turn while the body goes ahead."""
    out = moved(standing(), forward=np.linspace(0, distance, T))
    for knee, ankle, toe, sign in ((4, 7, 10, 1), (5, 8, 11, -1)):
        up = lift * np.clip(sign * wave(cycles), 0, None)
        out[:, [knee, ankle, toe], 1] += up[:, None]
    return out


def lying(joints: np.ndarray, degrees: float = -90.0) -> np.ndarray:
    """The body turned over backward (negative) or forward about the pelvis and put on the floor."""
    a = np.deg2rad(degrees)
    v = joints - joints[:, :1]
    out = np.stack([v[..., 0], v[..., 1] * np.cos(a) - v[..., 2] * np.sin(a),
                    v[..., 1] * np.sin(a) + v[..., 2] * np.cos(a)], -1)  # fmt: skip
    return out + np.array([0, 0.15, 0]) + joints[:, :1] * np.array([1, 0, 1])


def blended(a: np.ndarray, b: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """From the joints of `a` to those of `b` by `amount` (T,)."""
    w = amount[:, None, None]
    return (1 - w) * a + w * b


BACK = np.cos(4 * np.pi * np.arange(T) / T)  # from one side to the other and back, twice
UP = np.clip(np.arange(T) / 30, 0, 1)
SAT = lowered(standing(), 0.42, 0.4)
Make = Callable[[], Body]
FRONT = [-0.05, -0.2, 0.35]


def body(joints: np.ndarray) -> Make:
    return lambda: Body(joints)


def head(pitch: np.ndarray | float = 0.0, yaw: np.ndarray | float = 0.0) -> Make:
    axis = np.stack([np.broadcast_to(np.deg2rad(x), T) for x in (pitch, yaw, 0.0)], -1)
    return lambda: Body(standing(), rot.from_axis_angle(axis))


def hands(offset: list[float], amount: np.ndarray | None = None, mirror: bool = True) -> np.ndarray:
    """Both hands, `offset` for the left one."""
    out = hand(standing(), "l", offset, amount)
    return hand(out, "r", [-offset[0], *offset[1:]] if mirror else offset, amount)


def shaken(side: str, base: list[float], axis: int, size: float, cycles: float) -> np.ndarray:
    """One hand held at `base` from its shoulder, going to and fro along an axis."""
    offset = np.tile(base, (T, 1)).astype(float)
    offset[:, axis] += size * wave(cycles)
    return hand(standing(), side, offset)


def both_shaken(base: list[float], axis: int, size: float, cycles: float, same: bool = True) -> np.ndarray:
    out = standing()
    for side, sign in (("l", 1), ("r", -1)):
        offset = np.tile([sign * base[0], *base[1:]], (T, 1)).astype(float)
        offset[:, axis] += (1 if same else sign) * size * wave(cycles)
        out = hand(out, side, offset)
    return out


def shoulders_up(rise: float, times: float) -> np.ndarray:
    out = standing()
    out[:, [16, 17, 18, 19, 20, 21], 1] += (rise * np.abs(wave(times / 2)))[:, None]
    return out


def gripped(path: np.ndarray) -> np.ndarray:
    """Both wrists at a path (T, 3) from the middle between the shoulders."""
    out = standing()
    middle = 0.5 * (out[:, 16] + out[:, 17])
    for side, x in (("l", 0.08), ("r", -0.08)):
        j = 16 if side == "l" else 17
        out = hand(out, side, middle + path + np.array([x, 0, 0]) - out[:, j])
    return out


def kneeling() -> np.ndarray:
    out = lowered(standing(), 0.42)
    out[:, 5] = out[:, 2] + np.array([0, -0.36, 0.05])
    out[:, 5, 1] = 0.08
    return out


def lunging() -> np.ndarray:
    out = standing()
    out[:, [7, 10], 2] += 0.45
    out[:, [8, 11], 2] -= 0.35
    return blended(standing(), lowered(out, 0.25), bump())


def knees_up(height: float) -> np.ndarray:
    out = standing()
    for knee, ankle, toe, sign in ((4, 7, 10, 1), (5, 8, 11, -1)):
        lift = np.clip(sign * wave(3), 0, None)
        out[:, [knee, ankle, toe], 1] += (height * lift)[:, None]
        out[:, [knee, ankle, toe], 2] += (0.3 * lift)[:, None]
    return out


def jumping(times: int, height: float = 0.2) -> np.ndarray:
    y = np.zeros(T)
    for start in range(5, 5 + 16 * times, 16):
        y[start : start + 8] = height * np.sin(np.pi * (np.arange(8) + 0.5) / 8)
    return moved(standing(), up=y)


def swung(side: str, low: float, speed: float) -> np.ndarray:
    """A stretched arm from behind the hip forward."""
    angle = np.clip((np.arange(T) - 20) * speed, 0, 1) * 2.2 - 0.9
    offset = np.stack([0 * angle, -0.5 * np.cos(angle) - low, 0.5 * np.sin(angle)], -1)
    return lowered(hand(standing(), side, offset), 0.1 * bump())


def pedalling() -> np.ndarray:
    out = SAT.copy()
    for knee, ankle, sign in ((4, 7, 1), (5, 8, -1)):
        out[:, [knee, ankle], 1] += (0.1 * sign * wave(3))[:, None]
    return out


def stairs(rise: float) -> np.ndarray:
    out = moved(standing(), forward=np.linspace(0, 1, T), up=np.linspace(0, rise, T))
    return out


def twisted(joints: np.ndarray, degrees: float) -> np.ndarray:
    """Shoulders and arms turned to the left about the spine."""
    out = joints.copy()
    a = np.deg2rad(degrees) * bump()
    c, s = np.cos(a)[:, None], np.sin(a)[:, None]
    upper = list(range(12, 22))
    v = out[:, upper] - out[:, 9:10]
    out[:, upper] = out[:, 9:10] + np.stack(
        [v[..., 0] * c + v[..., 2] * s, v[..., 1], -v[..., 0] * s + v[..., 2] * c], -1
    )
    return out


def turned(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees) * UP
    c, s = np.cos(a)[:, None], np.sin(a)[:, None]
    x = standing()
    return np.stack([x[..., 0] * c + x[..., 2] * s, x[..., 1], -x[..., 0] * s + x[..., 2] * c], -1)


def akimbo() -> np.ndarray:
    out = hands([0.0, -0.42, 0.02])
    for elbow, sign in ((18, 1), (19, -1)):
        out[:, elbow] = out[:, elbow - 2] + np.array([0.15 * sign, -0.2, -0.05])
    return out


def hugging() -> np.ndarray:
    wide = hands([0.3, -0.05, 0.3])
    return blended(blended(standing(), wide, np.clip(UP * 3, 0, 1)), hands([-0.1, -0.05, 0.3]), UP**4)


CASES: list[tuple[object, Make, Make]] = [
    ("sits", body(SAT), body(lowered(standing(), 0.42))),
    ("sits_down", body(blended(standing(), SAT, UP)), body(blended(SAT, standing(), UP))),
    ("stands_up", body(blended(SAT, standing(), UP)), body(blended(standing(), SAT, UP))),
    ("sits_and_turns", body(twisted(SAT, 45)), body(twisted(standing(), 45))),
    ("kneels", body(kneeling()), body(lowered(standing(), 0.42))),
    ({"kneels": {"side": "right"}}, body(kneeling()), body(SAT)),
    ({"squats": {"times": 2, "most": 2}}, body(lowered(standing(), 0.4 * np.abs(wave(1)))),
     body(lowered(standing(), 0.4 * np.abs(wave(1.5))))),
    ("squats", body(lowered(standing(), 0.4 * bump())), body(blended(standing(), SAT, bump()))),
    ({"lunges": {"side": "left"}}, body(lunging()), body(lowered(standing(), 0.25 * bump()))),
    ("lies_down", body(blended(standing(), lying(standing()), UP)), body(blended(standing(), SAT, UP))),
    ("lies", body(lying(standing())), body(SAT)),
    ("falls_and_gets_up", body(blended(standing(), lying(standing()), np.clip(2 * bump() - 1, 0, 1))),
     body(blended(standing(), lying(standing()), UP))),
    ({"leans": {"side": "forward"}}, body(pitched(standing(), 25 * bump())), body(pitched(standing(), 4 * bump()))),
    ("tilts", body(pitched(standing(), 30 * bump())), body(standing())),
    ("ducks", body(lowered(standing(), 0.3 * bump() ** 2)), body(lowered(standing(), 0.3 * UP))),
    ({"dodges": {"side": "left"}}, body(moved(standing(), left=0.3 * wave(1) ** 2)),
     body(moved(standing(), left=-0.3 * wave(1) ** 2))),
    ("stumbles", body(pitched(walking(1.5), 25 * np.abs(wave(1.5)))), body(walking(1.5))),
    ("turns_in_place", body(turned(170)), body(turned(30))),
    ("stretches", body(hands([0.05, 0.5, 0.0], bump())), body(standing())),
    ({"nods": {"times": 3, "most": 3}}, head(pitch=12 * (1 - np.cos(2 * np.pi * 3 * np.arange(T) / T))),
     head(pitch=12 * (1 - np.cos(2 * np.pi * 5 * np.arange(T) / T)))),
    ("nods", head(pitch=15 * np.abs(wave(1))), head(yaw=15 * wave(2))),
    ({"shakes_head": {"times": 2}}, head(yaw=20 * wave(3)), head(pitch=20 * wave(3))),
    ("looks_around", head(yaw=50 * wave(1)), head(yaw=50 * bump())),
    ({"looks": {"side": "left"}}, head(yaw=40 * bump()), head(yaw=-40 * bump())),
    ("faces_up", head(pitch=-30 * bump()), head(pitch=30 * bump())),
    ({"shrugs": {"times": 2, "most": 2}}, body(shoulders_up(0.05, 2)), body(shoulders_up(0.05, 4))),
    ("shrugs_any", body(shoulders_up(0.05, 1)), body(shoulders_up(0.005, 1))),
    ({"hand_to_mouth": {"side": "left", "times": 1}}, body(hand(standing(), "l", [-0.12, 0.08, 0.2], bump())),
     body(hand(standing(), "r", [0.12, 0.08, 0.2], bump()))),
    ({"hand_at_ear": {"side": "right"}}, body(hand(standing(), "r", [0.05, 0.13, 0.12])),
     body(hand(standing(), "r", FRONT))),
    ({"salutes": {"side": "right"}}, body(hand(standing(), "r", [0.0, 0.24, 0.2])), body(standing())),
    ({"claps": {"times": 3, "most": 3}}, body(both_shaken([-0.05, -0.15, 0.3], 0, 0.12, 3, same=False)),
     body(both_shaken([-0.05, -0.15, 0.3], 0, 0.12, 5, same=False))),
    ("palms_together", body(hands([-0.16, -0.15, 0.25])), body(hands([0.1, -0.15, 0.25]))),
    ("arms_crossed", body(hands([-0.3, -0.2, 0.15])), body(hands([-0.1, -0.2, 0.25]))),
    ("hands_on_hips", body(akimbo()), body(standing())),
    ({"points": {"side": "left", "to": "forward"}}, body(hand(standing(), "l", [0, 0, 0.5], bump())),
     body(hand(standing(), "l", [0.5, 0, 0.0], bump()))),
    ({"points": {"side": "right", "to": "up left"}}, body(hand(standing(), "r", [0.35, 0.35, 0.05], bump())),
     body(hand(standing(), "r", [-0.35, 0.35, 0.05], bump()))),
    ("points_anywhere", body(hand(standing(), "l", [0.3, 0.1, 0.35])), body(standing())),
    ({"reaches": {"to": "high"}}, body(hand(standing(), "l", [0, 0.48, 0.1], bump())),
     body(hand(standing(), "l", [0, 0.0, 0.45], bump()))),
    ({"reaches": {"to": "low"}}, body(lowered(standing(), 0.4 * bump())), body(standing())),
    ({"beckons": {"side": "right"}}, body(shaken("r", [0, -0.05, 0.3], 2, 0.09, 3)),
     body(shaken("l", [0, -0.05, 0.3], 2, 0.09, 3))),
    ("hugs", body(hugging()), body(hands([-0.1, -0.05, 0.3]))),
    ({"shakes_hands": {"side": "right"}}, body(shaken("r", [0, -0.25, 0.38], 1, 0.05, 3)),
     body(shaken("r", [0, -0.25, 0.38], 1, 0.0, 3))),
    ({"picks_up": {"low": 0.55}}, body(pitched(lowered(standing(), 0.45 * bump()), 75 * bump())),
     body(lowered(standing(), 0.1 * bump()))),
    ("lifts", body(gripped(np.stack([0 * UP, -1.0 + 0.7 * UP, 0.3 + 0 * UP], -1))),
     body(gripped(np.tile([0.0, -1.0, 0.3], (T, 1))))),
    ("carries", body(moved(hands([-0.05, -0.3, 0.3]), forward=np.linspace(0, 2, T))),
     body(hands([-0.05, -0.3, 0.3]))),
    ("pushes", body(blended(hands([0, -0.1, 0.2]), hands([0, -0.1, 0.48]), UP)),
     body(blended(hands([0, -0.1, 0.48]), hands([0, -0.1, 0.2]), UP))),
    ("pulls", body(blended(hands([0, -0.1, 0.48]), hands([0, -0.1, 0.15]), UP)),
     body(blended(hands([0, -0.1, 0.15]), hands([0, -0.1, 0.48]), UP))),
    ({"throws": {"side": "right"}}, body(blended(hand(standing(), "r", [0, 0.2, -0.3]),
                                                 hand(standing(), "r", [0, 0.0, 0.5]), np.clip(UP * 5 - 2, 0, 1))),
     body(blended(hand(standing(), "r", [0, 0.2, -0.3]), hand(standing(), "r", [0, 0.0, 0.5]), UP))),
    ("hand_thrown", body(swung("r", 0.0, 0.12)), body(swung("r", 0.0, 0.015))),
    ("catches", body(blended(hands([-0.1, -0.1, 0.45]), hands([-0.1, -0.2, 0.25]), UP)),
     body(hands([-0.1, -0.1, 0.45]))),
    ("hand_drawn_in", body(blended(hands([0, -0.1, 0.45]), hands([0, -0.1, 0.2]), UP)), body(standing())),
    ({"knocks": {"times": 3, "most": 3}}, body(shaken("r", [0, 0.05, 0.25], 2, 0.06, 3)),
     body(shaken("r", [0, 0.05, 0.25], 2, 0.06, 7))),
    ("opens_door", body(blended(hand(standing(), "r", FRONT), hand(standing(), "r", [-0.3, -0.2, 0.25]),
                                np.clip(2 * UP - 1, 0, 1))), body(hand(standing(), "r", FRONT))),
    ("types", body(hands([0, -0.35, 0.3])), body(both_shaken([0, -0.35, 0.3], 0, 0.2, 6))),
    ("wipes", body(shaken("l", [0, -0.4, 0.25], 0, 0.12, 3)), body(shaken("l", [0, -0.4, 0.25], 1, 0.12, 3))),
    ("wipes_wall", body(shaken("l", [0, 0.1, 0.35], 0, 0.12, 3)), body(shaken("l", [0, 0.1, 0.35], 0, 0.02, 3))),
    ("sweeps", body(both_shaken([-0.1, -0.4, 0.2], 0, 0.15, 3)), body(hands([-0.1, -0.4, 0.2]))),
    ("saws", body(shaken("r", [0, -0.35, 0.2], 2, 0.12, 4)), body(shaken("r", [0, -0.35, 0.2], 0, 0.12, 4))),
    ({"chops": {"times": 2, "most": 2}}, body(gripped(np.stack([0 * UP, 0.4 * wave(2), 0.3 + 0 * UP], -1))),
     body(gripped(np.stack([0 * UP, 0.4 * wave(5), 0.3 + 0 * UP], -1)))),
    ("digs", body(pitched(gripped(np.stack([0 * UP, -0.5 + 0.25 * wave(2), 0.35 + 0 * UP], -1)), 35)),
     body(standing())),
    ("rows", body(both_shaken([-0.05, -0.25, 0.2], 2, 0.2, 3)), body(both_shaken([0, -0.25, 0.2], 2, 0.2, 3, False))),
    ("strums", body(hand(shaken("r", [0.1, -0.35, 0.15], 1, 0.06, 5), "l", [0.2, -0.1, 0.25])),
     body(shaken("r", [0.1, -0.35, 0.15], 1, 0.06, 5))),
    ("drums", body(both_shaken([0, -0.3, 0.3], 1, 0.1, 4, False)), body(shaken("r", [0, -0.3, 0.3], 1, 0.1, 4))),
    ("plays_keys", body(both_shaken([0, -0.35, 0.3], 0, 0.05, 3)), body(hands([0, 0.1, 0.3]))),
    ("bows_violin", body(hand(shaken("r", [0.1, -0.1, 0.2], 0, 0.12, 3), "l", [0.05, -0.05, 0.3])),
     body(shaken("r", [0.1, -0.1, 0.2], 0, 0.12, 3))),
    ("conducts", body(shaken("r", [0, -0.1, 0.3], 1, 0.12, 3)), body(hand(standing(), "r", [0, -0.1, 0.3]))),
    ("swims", body(both_shaken([0, 0, 0.05], 1, 0.45, 2, False)), body(both_shaken([0, 0, 0.05], 1, 0.1, 2))),
    ("swings_arms", body(both_shaken([0.05, -0.45, 0], 2, 0.25, 3)), body(standing())),
    ("swings_bat", body(gripped(np.stack([0.45 * wave(4), 0 * UP - 0.1, 0.3 + 0 * UP], -1))),
     body(gripped(np.stack([0.1 * wave(1), 0 * UP - 0.1, 0.3 + 0 * UP], -1)))),
    ("swings_club", body(gripped(np.stack([0.6 * BACK, 0.5 * np.abs(BACK) - 0.6, 0.2 + 0 * UP], -1))),
     body(gripped(np.stack([0.6 * wave(1.5), 0 * UP - 0.1, 0.2 + 0 * UP], -1)))),
    ({"swings_racket": {"side": "right"}}, body(shaken("r", [0, -0.1, 0.25], 0, 0.45, 4)),
     body(shaken("l", [0, -0.1, 0.25], 0, 0.45, 4))),
    ({"bowls": {"side": "right"}}, body(swung("r", 0.0, 0.12)), body(standing())),
    ({"dribbles": {"side": "left", "times": 3}}, body(shaken("l", [0.05, -0.35, 0.2], 1, 0.1, 4)),
     body(shaken("l", [0.05, -0.35, 0.2], 1, 0.1, 1))),
    ("shoots_hoop", body(blended(hands([-0.1, -0.1, 0.25]), hand(hands([-0.1, 0.35, 0.2]), "r", [0, 0.5, 0.15]), UP)),
     body(hands([-0.1, -0.1, 0.25]))),
    ("boxes", body(blended(hands([-0.1, 0, 0.2]), hand(hands([-0.1, 0, 0.2]), "r", [0, 0, 0.5]), wave(3) ** 16)),
     body(hands([-0.1, 0, 0.2]))),
    ("strikes", body(shaken("r", [0, 0, 0.3], 2, 0.25, 6)), body(shaken("r", [0, 0, 0.3], 2, 0.05, 2))),
    ("guards", body(hands([-0.05, 0.05, 0.25])), body(hands([0, -0.35, 0.25]))),
    ("skis", body(lowered(both_shaken([0, -0.3, 0.1], 2, 0.35, 3), 0.2)), body(lowered(standing(), 0.2))),
    ("slaloms", body(moved(lowered(standing(), 0.25), left=0.15 * wave(3))), body(lowered(standing(), 0.25))),
    ("skates", body(moved(lowered(knees_up(0.0), 0.2), left=0.12 * wave(3))), body(lowered(standing(), 0.2))),
    ("cycles", body(pedalling()), body(SAT)),
    ("marches", body(knees_up(0.25)), body(knees_up(0.03))),
    ("knee_lifts", body(knees_up(0.25)), body(knees_up(0.05))),
    ("skips_along", body(moved(jumping(3), forward=np.linspace(0, 2, T))), body(jumping(3))),
    ({"flies": {"times": 3, "most": 3}}, body(jumping(3)), body(jumping(2))),
    ("on_tiptoe", body(moved(walking(1.0), up=0.0) + np.where(np.isin(np.arange(22), [10, 11]), 0.0, 0.06)[:, None]
                       * np.array([0, 1, 0])), body(walking(1.0))),
    ("sneaks", body(lowered(walking(1.5), 0.12)), body(walking(1.5))),
    ("steps_over", body(walking(1.5, lift=0.35)), body(walking(1.5))),
    ({"climbs_stairs": {"way": "up"}}, body(stairs(0.6)), body(stairs(-0.6))),
    ({"climbs_stairs": {"way": "down"}}, body(stairs(-0.6)), body(stairs(0.6))),
    ("climbs_ladder", body(moved(both_shaken([0, 0.1, 0.3], 1, 0.2, 3, False), up=0.6 * UP)), body(stairs(0.6))),
    ({"sidesteps": {"side": "right"}}, body(moved(standing(), left=-UP)), body(moved(standing(), left=UP))),
    ("steps_side_to_side", body(moved(knees_up(0.06), left=0.15 * wave(3))), body(knees_up(0.06))),
    ({"cadence": {"most": 0.5}}, body(standing()), body(walking(2.0) + np.where(
        np.isin(np.arange(22), [7, 10]), 1.0, 0.0)[:, None] * 0.3 * wave(6)[:, None, None] * np.array([0, 0, 1]))),
    ({"hand_below": {"height": 0.5}}, body(lowered(standing(), 0.45 * bump())), body(standing())),
    ("hand_fast", body(shaken("l", FRONT, 0, 0.3, 5)), body(hand(standing(), "l", FRONT))),
    ("hand_before", body(hand(standing(), "l", [0, -0.2, 0.25])), body(standing())),
    ("hand_at_table", body(hand(standing(), "l", [0, -0.4, 0.38], bump())), body(standing())),
    ("club_held", body(pitched(gripped(np.tile([0.0, -0.5, 0.2], (T, 1))), 25 * UP)), body(standing())),
    ("hand_low_guard", body(shaken("l", [0, -0.4, 0.25], 0, 0.2, 4)), body(hand(standing(), "l", FRONT))),
    ("hand_rounds", body(hand(standing(), "l", np.stack([0.1 + 0 * UP, 0.4 * wave(2), 0.4 * np.cos(
        4 * np.pi * np.arange(T) / T)], -1))), body(shaken("l", FRONT, 1, 0.3, 3))),
    ("arm_across", body(hand(standing(), "l", [-0.4, -0.1, 0.2])), body(standing())),
    ("stands", body(standing()), body(lowered(standing(), 0.4 * bump()))),
    ({"hops_on_one_leg": {"side": "right", "times": 2}},
     body(jumping(2) + np.where(np.isin(np.arange(22), [7, 10]), 0.2, 0.0)[:, None] * np.array([0, 1, 0])),
     body(jumping(2))),
]  # fmt: skip


@pytest.mark.parametrize(("check", "right", "wrong"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_true_for_the_right_motion_and_false_for_the_wrong_one(check: object, right: Make, wrong: Make) -> None:
    predicates.validate(check)
    good, bad = predicates.judge(check, right()), predicates.judge(check, wrong())
    assert good.passed, good.values
    assert not bad.passed, bad.values


def test_head_tilts_need_a_bent_neck() -> None:
    bent = standing()
    bent[:, 15, 0] += 0.06 * bump()
    assert predicates.judge("head_tilts", Body(bent)).passed
    assert not predicates.judge("head_tilts", Body(standing())).passed


def test_unknown_sides_and_directions_are_refused() -> None:
    with pytest.raises(UserError, match="accepted left, right, both, any"):
        predicates.judge({"salutes": {"side": "upper"}}, Body(standing()))
    with pytest.raises(UserError, match="accepted words"):
        predicates.judge({"points": {"to": "north"}}, Body(standing()))


def test_the_rest_pose_does_nothing() -> None:
    """A body that stands still does none of the actions (static postures and open questions apart)."""
    still = Body(np.tile(REST, (T, 1, 1)))
    for name in ("sits_down", "kneels", "squats", "claps", "nods", "shrugs", "knocks", "digs", "flies", "limps"):
        assert not predicates.judge(name, still).passed, name


def test_rows_name_what_there_is() -> None:
    takes = {"side": "OneSide", "least": 0.1}
    about = {"text": "x", "takes": takes, "each m": "max(over_head)", "holds": "of(m) > least"}
    row = rows.Row("x", about)
    body = Body(hand(standing(), "l", [0, 0.5, 0]))
    assert row.judge(body, side="left").passed and not row.judge(body, side="right").passed
    assert list(row.judge(body, side="left").values) == ["left_m", "right_m"]
    with pytest.raises(TypeError, match="side"):
        row.judge(body)
    with pytest.raises(NameError, match="overhead"):
        rows.Row("x", {**about, "each m": "max(overhead)"}).judge(body, side="left")
